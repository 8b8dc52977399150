//! A whole call as JSON, played from the start to the end: what `POST /admin/calls` takes and what the story uses.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::Call;
use super::deliver::{Answer, Target};

/// A real call has a few dozen; more is a mistake in the script.
const STEPS_MAX: usize = 500;

#[derive(Debug, Clone, Deserialize)]
pub struct Script {
    pub from: String,
    pub to: String,
    /// Instead of the configured agent.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Instead of a random one.
    #[serde(default)]
    pub call_id: Option<String>,
    /// Instead of the configured endpoint and key.
    #[serde(default)]
    pub target: Option<Target>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    Ring,
    Start,
    Say {
        role: String,
        content: String,
    },
    Function {
        name: String,
        #[serde(default)]
        args: Value,
    },
    /// The caller takes the first time that the last answer offered instead: the function with that date and time. Without an offer nothing is said.
    TakeOffer {
        name: String,
        #[serde(default)]
        args: Value,
    },
    Transfer {
        event: String,
        number: String,
    },
    End {
        #[serde(default)]
        reason: Option<String>,
    },
    Analyze {
        #[serde(default)]
        summary: String,
        #[serde(default)]
        custom: Value,
    },
}

/// What a script's steps were answered; steps that send nothing are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Played {
    pub call_id: String,
    pub answers: Vec<StepAnswer>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepAnswer {
    /// Event or function name.
    pub step: String,
    pub status: u16,
    pub attempts: u32,
    pub latency_ms: u64,
    pub body: Value,
}

pub(super) async fn play(mut call: Call, steps: Vec<Step>) -> Played {
    let mut answers: Vec<StepAnswer> = Vec::new();
    for step in steps.into_iter().take(STEPS_MAX) {
        let (name, answer) = match step {
            Step::Ring => ("call_inbound".to_owned(), call.ring().await),
            Step::Start => ("call_started".to_owned(), call.start().await),
            Step::Say { role, content } => {
                call.say(&role, &content);
                continue;
            }
            Step::Function { name, args } => {
                let args = if args.is_null() { json!({}) } else { args };
                let answer = call.function(&name, args).await;
                (name, answer)
            }
            Step::TakeOffer { name, args } => {
                let Some(args) = answers.last().and_then(|last| first_offer(&last.body, args)) else { continue };
                let answer = call.function(&name, args).await;
                (name, answer)
            }
            Step::Transfer { event, number } => {
                let answer = call.transfer(&event, &number).await;
                (event, answer)
            }
            Step::End { reason } => {
                let reason = reason.as_deref().unwrap_or("user_hangup");
                ("call_ended".to_owned(), call.end_because(reason).await)
            }
            Step::Analyze { summary, custom } => ("call_analyzed".to_owned(), call.analyze(&summary, custom).await),
        };
        answers.push(StepAnswer::of(name, answer));
    }
    Played { call_id: call.id(), answers }
}

/// The arguments with the date and time of the answer's first alternative.
fn first_offer(answer: &Value, args: Value) -> Option<Value> {
    let offer = answer.get("alternatives")?.as_array()?.first()?;
    let mut args = if args.is_object() { args } else { json!({}) };
    for name in ["date", "time"] {
        args[name] = offer.get(name)?.clone();
    }
    Some(args)
}

impl StepAnswer {
    fn of(step: String, answer: Answer) -> Self {
        Self {
            step,
            status: answer.status,
            attempts: answer.attempts,
            latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
            body: answer.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offer_is_taken_and_without_one_nothing() {
        let answer = json!({ "alternatives": [{ "date": "2026-11-25", "time": "15:30" }, { "date": "2026-11-26", "time": "15:00" }] });
        let taken = json!({ "service_name": "Beratung", "date": "2026-11-25", "time": "15:30" });
        assert_eq!(first_offer(&answer, json!({ "service_name": "Beratung", "time": "15:00" })), Some(taken));
        for nothing in [json!({}), json!({ "alternatives": [] }), json!({ "alternatives": [{ "date": "2026-11-25" }] })] {
            assert_eq!(first_offer(&nothing, Value::Null), None, "{nothing}");
        }
    }
}
