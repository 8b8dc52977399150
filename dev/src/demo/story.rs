//! The story itself, told through the stand-ins: phone calls (`scripts` says what is said in them) and a web visitor, one scene after the other. Waits on what Postgres says, never on
//! time alone. Called by `demo`.
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use reqwest::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::plan::{self, Plan};
use super::processes::post;
use super::rows::{self, Settled};
use super::scripts;
use super::setup::{Stage, url};
use crate::calcom_stand_in::{DeliveryEntry, LedgerEntry};
use crate::progress::Progress;
use crate::retell_stand_in::{Played, StepAnswer};

/// Each wait; on a loaded two-core machine a step takes a second or two.
const BOUND: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Two functions of up to six seconds, webhooks with up to three retries.
const CALL_BOUND: Duration = Duration::from_secs(120);

/// What the stand-ins say afterwards: the other side of the story.
#[derive(Default)]
pub struct Told {
    /// In the order of their calls' numbers.
    pub calls: Vec<Ring>,
    /// Webhooks that Cal.com sent, with what ingress answered.
    pub deliveries: Vec<DeliveryEntry>,
    /// Every change that Cal.com really made.
    pub ledger: Vec<LedgerEntry>,
    /// What stands in Cal.com now.
    pub live: Vec<LiveBooking>,
    /// Where the story came to a stop, if it did not come to its end.
    pub stuck: Option<String>,
}

/// A call that was played.
pub struct Ring {
    /// Who does what in it.
    pub title: &'static str,
    pub played: Played,
}

/// A booking that Cal.com holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct LiveBooking {
    pub uid: String,
    pub start: DateTime<Utc>,
    pub event_type_id: i64,
}

impl Ring {
    /// What the caller heard, sentence by sentence: the greeting, and the answers of the functions.
    pub fn sentences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.played.answers.iter().filter_map(|answer| {
            let greeting = answer.body.pointer("/call_inbound/dynamic_variables/greeting");
            Some((answer.step.as_str(), answer.body.get("message").or(greeting)?.as_str()?))
        })
    }

    /// The answers to that function or event.
    pub fn answers<'a>(&'a self, step: &'a str) -> impl Iterator<Item = &'a StepAnswer> {
        self.played.answers.iter().filter(move |answer| answer.step == step)
    }
}

impl Told {
    /// Messages that ingress took from either provider.
    pub fn messages(&self) -> usize {
        self.calls.iter().map(|call| call.played.answers.len()).sum::<usize>() + self.deliveries.len()
    }
}

/// Why a story ends before its end.
enum Halt {
    /// Something did not come to pass: what happened until then is shown and judged all the same.
    Stuck(String),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Plays it from the first ring until everything has settled, or until it is stuck.
pub async fn play(stage: &Stage, progress: &Progress, plan: &Plan) -> anyhow::Result<Told> {
    let mut told = Told::default();
    match scenes(stage, progress, plan, &mut told).await {
        Ok(()) => {}
        Err(Halt::Stuck(stuck)) => told.stuck = Some(stuck),
        Err(Halt::Failed(error)) => return Err(error),
    }
    told.deliveries = get(stage, "deliveries").await?;
    told.ledger = get(stage, "ledger").await?;
    told.live = get(stage, "bookings?live=true").await?;
    Ok(told)
}

async fn scenes(stage: &Stage, progress: &Progress, plan: &Plan, told: &mut Told) -> Result<(), Halt> {
    let step = progress.step("a caller rings, books, and moves the appointment");
    ring(stage, told, "A caller books, and moves the appointment", &scripts::first(plan)).await?;
    until(stage, "the first appointment to be moved", |settled| settled.moved == 1).await?;
    step.done();

    let step = progress.step("a web visitor books and cancels in Cal.com");
    visit(stage, plan).await?;
    step.done();

    let step = progress.step("the caller rings again, by now a gold customer, and books for somebody else");
    rows::make_gold(stage, plan::CALLER).await?;
    ring(stage, told, "The same caller, by now a gold customer, books for his son", &scripts::returning(plan)).await?;
    step.done();

    let step = progress.step("somebody without a number books, and wants to cancel");
    ring(stage, told, "Somebody without a number books, and may not cancel", &scripts::anonymous(plan)).await?;
    step.done();

    let step = progress.step("two callers want the same time");
    race(stage, told, plan).await?;
    step.done();

    let step = progress.step("a transfer that fails");
    ring(stage, told, "A transfer fails", &scripts::transferred()).await?;
    until(stage, "a callback instead of the transfer", |settled| settled.callbacks == 2).await?;
    step.done();

    let step = progress.step("everything settles");
    let calls = i64::try_from(told.calls.len()).unwrap_or_default();
    until(stage, "every call to be analysed", |settled| settled.calls_analyzed == calls).await?;
    told.deliveries = get(stage, "deliveries").await?;
    let messages = told.messages();
    until(stage, "every message to be handled, and outbox and intents to be empty", |settled| settled.is_quiet_after(messages)).await?;
    step.done();
    Ok(())
}

/// The web visitor.
async fn visit(stage: &Stage, plan: &Plan) -> Result<(), Halt> {
    let wish = json!({"event_type_id": plan::VISITOR_EVENT_TYPE, "start": plan.visited, "name": plan::VISITOR_NAME, "email": plan::VISITOR_EMAIL});
    let booked: LiveBooking = post(stage, "visitor/book", &wish).await?.json().await.context("the visitor's booking cannot be read")?;
    until(stage, "the visitor's booking to be taken over", |settled| settled.booked == 2).await?;
    post(stage, "visitor/cancel", &json!({"uid": booked.uid, "reason": plan::VISITOR_REASON})).await?;
    until(stage, "the visitor's cancellation to be taken over", |settled| settled.cancelled == 1).await
}

/// The second caller asks while the first one's wish is on its way: the first has the time as soon as our own row says so, whatever Cal.com takes to answer.
async fn race(stage: &Stage, told: &mut Told, plan: &Plan) -> Result<(), Halt> {
    let [first, second] = plan::RIVALS.map(|rival| scripts::rival(plan, rival));
    let winner = async { Ok(played(stage, &first).await?) };
    let loser = async {
        until(stage, "the first of two callers to be promised the time", |settled| settled.appointments == 5).await?;
        Ok::<_, Halt>(played(stage, &second).await?)
    };
    let (winner, loser) = tokio::try_join!(winner, loser)?;
    told.add("Two callers want the same time: the first gets it", winner)?;
    told.add("The second hears what else there is, and takes it", loser)
}

/// One call after the other.
async fn ring(stage: &Stage, told: &mut Told, title: &'static str, script: &Value) -> Result<(), Halt> {
    told.add(title, played(stage, script).await?)
}

impl Told {
    /// Keeps a call; a step that ingress did not take ends the story.
    fn add(&mut self, title: &'static str, played: Played) -> Result<(), Halt> {
        let refused = refused(&played);
        self.calls.push(Ring { title, played });
        refused.map_or(Ok(()), |refused| Err(Halt::Stuck(refused)))
    }
}

/// The whole call as Retell plays it.
async fn played(stage: &Stage, script: &Value) -> anyhow::Result<Played> {
    let answer = stage.http.post(format!("{}/admin/calls", url(stage.ports.retell))).timeout(CALL_BOUND).json(script).send().await;
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

/// Waits until Postgres says so.
async fn until(stage: &Stage, what: &str, condition: impl Fn(&Settled) -> bool) -> Result<(), Halt> {
    let deadline = Instant::now() + BOUND;
    let mut connection = rows::connect(stage).await?;
    loop {
        let settled = rows::settled(&mut connection).await?;
        if condition(&settled) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Halt::Stuck(format!("waited {} s for {what}", BOUND.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn get<T: serde::de::DeserializeOwned>(stage: &Stage, path: &str) -> anyhow::Result<T> {
    let answer = stage.http.get(format!("{}/admin/{path}", url(stage.ports.calcom))).send().await;
    let answer = answer.and_then(Response::error_for_status).with_context(|| format!("the Cal.com stand-in did not answer on {path}"))?;
    answer.json().await.with_context(|| format!("the Cal.com stand-in's {path} cannot be read"))
}
