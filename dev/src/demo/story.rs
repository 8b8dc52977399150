//! The story itself, told through the stand-ins: a phone call that books and moves, a web visitor who books and cancels. Waits on what Postgres says,
//! never on time alone. Called by `demo`.
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use reqwest::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::plan::{self, Plan, ZONE};
use super::processes::post;
use super::rows::{self, Settled};
use super::setup::{Stage, url};
use crate::calcom_stand_in::{DeliveryEntry, LedgerEntry};
use crate::progress::Progress;
use crate::retell_stand_in::Played;

/// Each wait; on a loaded two-core machine a step takes a second or two.
const BOUND: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Two functions of up to six seconds, webhooks with up to three retries.
const CALL_BOUND: Duration = Duration::from_secs(120);

/// What the stand-ins say afterwards: the other side of the story.
pub struct Told {
    pub call: Played,
    /// Webhooks that Cal.com sent, with what ingress answered.
    pub deliveries: Vec<DeliveryEntry>,
    /// Every change that Cal.com really made.
    pub ledger: Vec<LedgerEntry>,
    /// What stands in Cal.com now.
    pub live: Vec<LiveBooking>,
    /// Where the story came to a stop, if it did not come to its end.
    pub stuck: Option<String>,
}

/// A booking that Cal.com holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct LiveBooking {
    pub uid: String,
    pub start: DateTime<Utc>,
    pub event_type_id: i64,
}

impl Told {
    /// Messages that ingress took from either provider.
    pub fn messages(&self) -> usize {
        self.call.answers.len() + self.deliveries.len()
    }

    /// What the caller heard, sentence by sentence: the answers of the functions.
    pub fn sentences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.call.answers.iter().filter_map(|answer| Some((answer.step.as_str(), answer.body.get("message")?.as_str()?)))
    }
}

/// Plays it from the first ring until everything has settled, or until it is stuck: what happened until then is shown and judged all the same.
pub async fn play(stage: &Stage, progress: &Progress, plan: &Plan) -> anyhow::Result<Told> {
    let step = progress.step("a caller rings, books, and moves the appointment");
    let call = ring(stage, plan).await?;
    let mut told = Told { call, ledger: Vec::new(), deliveries: Vec::new(), live: Vec::new(), stuck: None };
    let stuck = until(stage, "the call to be analysed and its appointment to be moved", |settled| settled.calls_analyzed == 1 && settled.moved == 1).await?;
    told.stuck = refused(&told.call).or(stuck);
    if told.stuck.is_none() {
        step.done();
        let step = progress.step("a web visitor books and cancels in Cal.com");
        told.stuck = visit(stage, plan).await?;
        if told.stuck.is_none() {
            step.done();
        }
    }
    told.deliveries = get(stage, "deliveries").await?;
    if told.stuck.is_none() {
        let step = progress.step("everything settles");
        let messages = told.messages();
        told.stuck = until(stage, "every message to be handled, and outbox and intents to be empty", |settled| settled.is_quiet_after(messages)).await?;
        if told.stuck.is_none() {
            step.done();
        }
    }
    told.ledger = get(stage, "ledger").await?;
    told.live = get(stage, "bookings?live=true").await?;
    Ok(told)
}

/// The web visitor. `Some`: where it is stuck.
async fn visit(stage: &Stage, plan: &Plan) -> anyhow::Result<Option<String>> {
    let wish = json!({"event_type_id": plan::VISITOR_EVENT_TYPE, "start": plan.visited, "name": plan::VISITOR_NAME, "email": plan::VISITOR_EMAIL});
    let booked: LiveBooking = post(stage, "visitor/book", &wish).await?.json().await.context("the visitor's booking cannot be read")?;
    if let Some(stuck) = until(stage, "the visitor's booking to be taken over", |settled| settled.booked == 2).await? {
        return Ok(Some(stuck));
    }
    post(stage, "visitor/cancel", &json!({"uid": booked.uid, "reason": plan::VISITOR_REASON})).await?;
    until(stage, "the visitor's cancellation to be taken over", |settled| settled.cancelled == 1).await
}

/// The whole call as Retell plays it.
async fn ring(stage: &Stage, plan: &Plan) -> anyhow::Result<Played> {
    let answer = stage.http.post(format!("{}/admin/calls", url(stage.ports.retell))).timeout(CALL_BOUND).json(&script(plan)).send().await;
    let answer = answer.context("the Retell stand-in did not answer")?;
    let status = answer.status();
    ensure!(status.is_success(), "the Retell stand-in refused the call with {status}");
    answer.json().await.context("the played call cannot be read")
}

/// The first step of the call that ingress did not take.
fn refused(call: &Played) -> Option<String> {
    let failed = call.answers.iter().find(|answer| !(200..300).contains(&answer.status))?;
    Some(format!("ingress answered {} to {}, after {} attempt(s)", failed.status, failed.step, failed.attempts))
}

fn script(plan: &Plan) -> Value {
    let date = |at: DateTime<Utc>| at.with_timezone(&ZONE).format("%Y-%m-%d").to_string();
    let time = |at: DateTime<Utc>| at.with_timezone(&ZONE).format("%H:%M").to_string();
    let book = json!({"customer_name": plan::CALLER_NAME, "service_name": plan::PHONE_SERVICE, "date": date(plan.booked_for), "time": time(plan.booked_for)});
    let shift = json!({"old_date": date(plan.booked_for), "new_date": date(plan.moved_to), "new_time": time(plan.moved_to), "bestaetigung": true});
    json!({"from": plan::CALLER, "to": plan::SALON, "steps": [
        {"do": "ring"},
        {"do": "start"},
        {"do": "say", "role": "agent", "content": "Guten Tag, Friseur Müller. Was kann ich für Sie tun?"},
        {"do": "say", "role": "user", "content": "Ich hätte gerne am Donnerstag um zehn einen Haarschnitt."},
        {"do": "function", "name": "book_appointment", "args": book},
        {"do": "say", "role": "user", "content": "Ach, vierzehn Uhr wäre mir doch lieber."},
        {"do": "function", "name": "reschedule_appointment", "args": shift},
        {"do": "end"},
        {"do": "analyze", "summary": "Ein Termin wurde gebucht und verschoben.", "custom": {"intent": "book"}},
    ]})
}

/// Waits until Postgres says so. `Some`: it did not.
async fn until(stage: &Stage, what: &str, condition: impl Fn(&Settled) -> bool) -> anyhow::Result<Option<String>> {
    let deadline = Instant::now() + BOUND;
    let mut connection = rows::connect(stage).await?;
    loop {
        let settled = rows::settled(&mut connection).await?;
        if condition(&settled) {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(format!("waited {} s for {what}", BOUND.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn get<T: serde::de::DeserializeOwned>(stage: &Stage, path: &str) -> anyhow::Result<T> {
    let answer = stage.http.get(format!("{}/admin/{path}", url(stage.ports.calcom))).send().await;
    let answer = answer.and_then(Response::error_for_status).with_context(|| format!("the Cal.com stand-in did not answer on {path}"))?;
    answer.json().await.with_context(|| format!("the Cal.com stand-in's {path} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retell_stand_in::Script;

    #[test]
    fn the_script_is_one_that_the_stand_in_plays() {
        let plan = Plan::after("2026-11-20T12:00:00Z".parse().expect("a time"));
        let value = script(&plan);
        assert_eq!(value["steps"][4]["args"]["date"], "2026-11-26");
        assert_eq!(value["steps"][4]["args"]["time"], "10:00");
        assert_eq!(value["steps"][6]["args"]["new_time"], "14:00");
        let script: Script = serde_json::from_value(value).expect("a script");
        assert_eq!(script.steps.len(), 9);
    }
}
