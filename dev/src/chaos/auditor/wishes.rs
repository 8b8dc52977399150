//! What a caller wished for is not lost (I1), and nobody was told "booked" who is not (I3): each phone wish that ingress acknowledged against its row of
//! `function_calls`, its intent, the change in Cal.com's ledger, and where nothing came of it the refusal that the caller heard or a promise to call back.
//!
//! Not whether the rows agree with each other (I3, I5), nor how many came to nothing (`fulfilled`). Called by `no_loss` and `no_orphan`.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::record::{Record, Way, Wish, WishKind};
use super::evidence::Evidence;
use super::findings::Findings;
use super::rows::{FunctionRow, IntentRow};
use crate::calcom_stand_in::By;

/// Of callers, one in so many at least is told at once what became of the wish: under faults without end the others hear that it is being done.
const ONE_OF_PUT_OFF: usize = 5;
/// At most one in so many is asked to ring again.
const ONE_IN_ASKS_AGAIN: usize = 10;
/// Fewer say nothing.
const TOLD_MIN: usize = 30;

/// What a caller heard.
enum Heard<'a> {
    Done,
    /// No, for that reason.
    Refusal(&'a str),
    /// That it is being done, and to call again: nobody promised to call.
    AskAgain,
    /// The sentence of the deadline, or nothing that can be understood.
    Nothing,
}

fn heard(told: Option<&Value>) -> Heard<'_> {
    let Some(told) = told else { return Heard::Nothing };
    if told["success"] == true {
        return Heard::Done;
    }
    match told["reason"].as_str() {
        Some("ask_again") => Heard::AskAgain,
        reason => reason.map_or(Heard::Nothing, Heard::Refusal),
    }
}

/// Every acknowledged wish of a caller, with the message that it is.
pub fn of_callers(record: &Record) -> impl Iterator<Item = (&Wish, &str, &str)> {
    record.wishes.iter().filter(|wish| wish.acknowledged).filter_map(|wish| match &wish.way {
        Way::Phone { retell_call_id, message_id } => Some((wish, retell_call_id.as_str(), message_id.as_str())),
        Way::Web { .. } => None,
    })
}

fn named(record: &Record, wish: &Wish, message_id: &str) -> String {
    let company = record.companies.get(wish.company).map_or("nobody", |company| company.name.as_str());
    format!("the wish {:?} of {company} for {} ({message_id})", wish.kind, wish.starts_at)
}

/// Each has an end, and each end is what happened.
pub fn kept(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let rows = evidence.functions();
    let said = answers(record);
    let pushed: HashSet<String> = record.retell.live_updates().into_iter().map(|update| update.call_id).collect();
    for (wish, call, message_id) in of_callers(record) {
        let wrong = match rows.get(message_id) {
            // what lies before a human is judged by I9
            None => (!evidence.parked.contains(message_id)).then(|| "was acknowledged, and no row knows of it".to_owned()),
            Some(row) => end(evidence, wish, row, pushed.contains(call)),
        };
        findings.expect(wrong.is_none(), || {
            let (told, heard) = (rows.get(message_id).and_then(|row| row.told.as_deref()), said.get(call).map_or("", String::as_str));
            format!("{} {} (our rows: told {told:?}; answers in that call:{heard})", named(record, wish, message_id), wrong.unwrap_or_default())
        });
    }
}

/// What each sending of a function was answered, by call: a bug is found by that.
fn answers(record: &Record) -> HashMap<String, String> {
    let mut said: HashMap<String, String> = HashMap::new();
    for entry in record.retell.ledger().into_iter().filter(|entry| entry.tool_call_id.is_some()) {
        let answer = format!(" {} {} at {};", entry.kind, entry.status.unwrap_or_default(), entry.at.format("%H:%M:%S%.3f"));
        said.entry(entry.call_id).or_default().push_str(&answer);
    }
    said
}

/// What is wrong with its end.
fn end(evidence: &Evidence, wish: &Wish, row: &FunctionRow, pushed: bool) -> Option<String> {
    let heard = heard(wish.told.as_ref());
    let owed = !row.called_back && !pushed;
    match (row.success, heard) {
        (None, _) => Some("has no result".to_owned()),
        (Some(true), _) if !done(evidence, wish, row) => Some("has a result that says it is done, and Cal.com's ledger does not".to_owned()),
        (Some(true), Heard::Refusal(reason)) => Some(format!("is done, and the caller was told no ({reason})")),
        (Some(true), Heard::Nothing) if owed => Some("is done, and nobody tells the caller, who heard that it is being done".to_owned()),
        (Some(true), _) => None,
        (Some(false), Heard::Done) => Some("failed, and the caller was told that it is done".to_owned()),
        (Some(false), Heard::Nothing) if owed => Some("failed, and nobody calls back the caller, who heard that it is being done".to_owned()),
        (Some(false), Heard::Refusal("callback_queued")) if owed => Some("failed, and nobody calls back, as was promised".to_owned()),
        (Some(false), _) => None,
    }
}

/// A confirmed intent, and the change in the ledger.
pub fn done(evidence: &Evidence, wish: &Wish, row: &FunctionRow) -> bool {
    let Some(intent) = row.intent_id.and_then(|id| evidence.intent(id)) else { return false };
    intent.state == "confirmed"
        && match wish.kind {
            WishKind::Book => made(evidence, wish, &intent.token.to_string()),
            WishKind::Move => changed(evidence, intent, "rescheduled", Some(wish.starts_at)),
            WishKind::Cancel => changed(evidence, intent, "cancelled", None),
        }
}

fn made(evidence: &Evidence, wish: &Wish, token: &str) -> bool {
    let slot = (wish.event_type_id, wish.starts_at);
    evidence.lives.of_token(token).any(|life| (life.root().event_type_id, life.root().start) == slot)
}

/// By whomever: what was wanted is so.
fn changed(evidence: &Evidence, intent: &IntentRow, kind: &str, start: Option<DateTime<Utc>>) -> bool {
    let life = intent.uid.as_deref().and_then(|uid| evidence.lives.of(uid));
    life.is_some_and(|life| life.changes.iter().any(|change| change.kind == kind && start.is_none_or(|start| change.start == start)))
}

/// Who was told "booked" has a booking of ours, with a token of a wish of ours.
pub fn told_the_truth(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let intents = evidence.intents_by_token();
    let mut ours: HashSet<(i64, DateTime<Utc>)> = HashSet::new();
    for life in evidence.lives.all.iter().filter(|life| life.made_by() == By::Api) {
        if life.root().token.as_deref().is_some_and(|token| intents.contains_key(token)) {
            ours.insert((life.root().event_type_id, life.root().start));
        }
    }
    for (wish, _, message_id) in of_callers(record).filter(|(wish, ..)| wish.kind == WishKind::Book) {
        if matches!(heard(wish.told.as_ref()), Heard::Done) {
            findings.expect(ours.contains(&(wish.event_type_id, wish.starts_at)), || {
                format!("ghost: {} was told to be booked, and Cal.com has no booking with our token there", named(record, wish, message_id))
            });
        }
    }
}

/// How callers were answered while they were on the line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What became of the wish.
    pub at_once: usize,
    /// That it is being done: somebody calls back, or they hear it later in the call.
    pub pending: usize,
    pub ask_again: usize,
}

impl Told {
    pub fn words(self) -> String {
        let Self { at_once, pending, ask_again } = self;
        format!("{at_once} what became of it, {pending} that it is being done, {ask_again} to ask again")
    }

    fn all(self) -> usize {
        self.at_once + self.pending + self.ask_again
    }

    /// Whether few enough were put off; of a handful nothing is said.
    fn is_bearable(self) -> bool {
        let all = self.all();
        all < TOLD_MIN || (ONE_OF_PUT_OFF * self.at_once >= all && self.ask_again * ONE_IN_ASKS_AGAIN <= all)
    }
}

pub fn told(record: &Record) -> Told {
    let mut told = Told::default();
    for (wish, ..) in of_callers(record) {
        match heard(wish.told.as_ref()) {
            Heard::Done | Heard::Refusal(_) => told.at_once += 1,
            Heard::Nothing => told.pending += 1,
            Heard::AskAgain => told.ask_again += 1,
        }
    }
    told
}

/// Most hear at once what became of their wish, whatever is killed meanwhile.
pub fn few_put_off(record: &Record, findings: &mut Findings) {
    let told = told(record);
    findings.expect(told.is_bearable(), || format!("too many callers were put off: {}", told.words()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn callers_are_put_off_too_often_if_fewer_than_one_in_five_hears_at_once_or_more_than_one_in_ten_is_to_ask_again() {
        let bearable = |at_once, pending, ask_again| Told { at_once, pending, ask_again }.is_bearable();
        assert!(bearable(25, 75, 0) && !bearable(15, 85, 0));
        assert!(bearable(80, 10, 10) && !bearable(80, 9, 11));
        assert!(bearable(1, 28, 0), "an anecdote");
    }

    #[test]
    fn what_a_caller_heard_is_done_a_refusal_or_nothing_yet() {
        assert!(matches!(heard(Some(&json!({ "success": true }))), Heard::Done));
        assert!(matches!(heard(Some(&json!({ "success": false, "reason": "slot_taken" }))), Heard::Refusal("slot_taken")));
        assert!(matches!(heard(Some(&json!({ "success": false, "pending": true }))), Heard::Nothing));
        assert!(matches!(heard(None), Heard::Nothing));
    }
}
