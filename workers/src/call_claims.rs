//! What a call's end shows of its agent: a booking that it claimed and nobody made (incident 81), and an agent that froze (incident 83).
//!
//! Judged by our rows, never by Retell's own flag of success (incident 82). A finding changes nothing about the call. Called by `calls`.

use prometheus::{IntCounterVec, Registry};
use serde_json::{Value, json};
use shared::store::calls::{self, CallUpdate, FoldedCall, Lifecycle};
use shared::store::reviews::{self, Finding};
use shared::store::tx::CompanyTx;
use shared::telemetry::metrics::counter_by;

use crate::runtime::Failure;

/// What the agents' analysis says of it: the exported agent's own field, and that of agents from before (domain reference 2.1).
const CLAIM: &str = "appointment_made";
/// A call in which the model was asked once said its greeting, and nothing after it.
const REQUESTS_OF_A_FROZEN_AGENT: i64 = 1;
const FROZE: &str = "frozen";
const SPOKE: &str = "spoke";

/// Calls that ended, by whether their agent did anything.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    ended: IntCounterVec,
}

impl AgentMetrics {
    /// # Errors
    /// The name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Connected calls that ended; frozen: the agent used no function, or its model was asked once at most";
        Ok(Self { ended: counter_by(registry, "frontdesk_calls_ended_total", help, "agent", [FROZE, SPOKE])? })
    }
}

/// Looks at a call of which that was just heard. `model_requests`: how often the agent's model was asked, where Retell says so. Counts twice if its transaction is repeated.
///
/// # Errors
/// Only what the store says.
pub async fn judge(tx: &mut CompanyTx, folded: &FoldedCall, told: &CallUpdate, model_requests: Option<i64>, metrics: &AgentMetrics) -> Result<(), Failure> {
    let ended = folded.folded.news.contains(&Lifecycle::Ended) && told.connected == Some(true);
    let claimed = told.analysis.as_ref().is_some_and(|analysis| claims(&analysis.custom));
    if !ended && !claimed {
        return Ok(());
    }
    let deeds = calls::deeds(tx, folded.call.id).await?;
    if ended {
        let froze = !deeds.functions || model_requests.is_some_and(|requests| requests <= REQUESTS_OF_A_FROZEN_AGENT);
        metrics.ended.with_label_values(&[if froze { FROZE } else { SPOKE }]).inc();
    }
    if claimed && !deeds.appointments {
        let finding = Finding {
            subject: "call",
            reason: "booking_claimed",
            appointment_id: None,
            call_id: Some(folded.call.id),
            intent_id: None,
            details: json!({ "call_number": folded.call.number }),
            dedup_key: format!("booking_claimed/{}", folded.call.id),
        };
        reviews::open(tx, &finding).await?;
    }
    Ok(())
}

/// Models write a truth value as such, or as a word.
fn claims(custom: &Value) -> bool {
    match &custom[CLAIM] {
        Value::Bool(said) => *said,
        Value::String(word) => matches!(word.trim().to_lowercase().as_str(), "true" | "ja" | "yes"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Incident 81: what counts as a claim. Anything unclear is none, since a human would look at each of them.
    #[test]
    fn only_a_clear_word_is_a_claim() {
        for said in [json!(true), json!("true"), json!("True"), json!("ja"), json!(" Yes ")] {
            assert!(claims(&json!({ "appointment_made": said })), "{said}");
        }
        for said in [json!(false), json!(null), json!("nein"), json!("vielleicht"), json!(1), json!({}), json!("")] {
            assert!(!claims(&json!({ "appointment_made": said })), "{said}");
        }
        assert!(!claims(&json!({})) && !claims(&json!([])));
    }
}
