//! A page of Retell's list, sorted: whose each call is, what must have been heard of it by now, and what is missing.
//!
//! An event that may still be under way is not missing: Retell tries for up to a minute, an analysis takes its time (reference/retell.md 2.3), and what waits in our
//! own queues was received. Pure but for what it holds; filled and gone through by `page`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use shared::domain::call::Lifecycle;
use shared::store::call_sweeps::KnownCall;
use shared::wire::retell::RetellCall;
use uuid::Uuid;

use super::trouble;
use crate::call_facts;

/// Up to four deliveries of ten seconds each, and our own queue.
pub(crate) const SETTLE: Duration = Duration::minutes(2);
/// An analysis comes seconds to tens of seconds after the end; its own deliveries come on top.
const SETTLE_ANALYSIS: Duration = Duration::minutes(5);

/// A listed call of ours.
pub(super) struct Listed<'a> {
    pub id: String,
    pub call: RetellCall<'a>,
    /// Events that must have been heard by now.
    pub due: BTreeSet<Lifecycle>,
}

/// A company's calls of a page, and what we know of them.
pub(super) struct Ours<'a> {
    pub company_id: Uuid,
    pub listed: Vec<Listed<'a>>,
    pub known: HashMap<String, KnownCall>,
    /// Left out before, by class.
    pub parked: BTreeMap<String, String>,
}

/// A page, sorted.
#[derive(Default)]
pub(super) struct Page<'a> {
    pub ours: Vec<Ours<'a>>,
    /// Ids, with the reason why and the text of the list.
    pub nobodys: Vec<(String, &'static str, &'a str)>,
}

impl Ours<'_> {
    pub fn has_transcript(&self, listed: &Listed<'_>) -> bool {
        self.known.get(&listed.id).is_some_and(|known| known.has_transcript)
    }

    pub fn is_complete(&self, listed: &Listed<'_>) -> bool {
        self.known.get(&listed.id).is_some_and(|known| listed.due.is_subset(&known.heard))
    }

    pub fn is_missing(&self, listed: &Listed<'_>, tries_left_out: bool) -> bool {
        match self.parked.get(&listed.id) {
            None => !self.is_complete(listed),
            // what the list told is there: its transcript may be had another day
            Some(class) => tries_left_out && (!self.is_complete(listed) || (trouble::may_pass(class) && !self.has_transcript(listed))),
        }
    }
}

/// The events that must have been heard, if everything until `heard_until` was.
pub(super) fn due(call: &RetellCall<'_>, heard_until: DateTime<Utc>) -> BTreeSet<Lifecycle> {
    // a call without an end (never connected) is found by its start, long ago
    let age = call.ended_at.or(call.started_at).map_or(Duration::MAX, |at| heard_until - at);
    let mut due = call_facts::events_of(call);
    due.retain(|event| age >= if *event == Lifecycle::Analyzed { SETTLE_ANALYSIS } else { SETTLE });
    // a call that is under way has its own time: `overdue` asks about it
    if due.contains(&Lifecycle::Ended) { due } else { BTreeSet::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_under_way_is_not_missing() {
        let body = r#"{"call_id":"c","call_status":"ended","start_timestamp":1000,"end_timestamp":100000,"call_analysis":{}}"#;
        let call: RetellCall<'_> = serde_json::from_str(body).unwrap();
        let after = |seconds: i64| {
            let now = DateTime::from_timestamp(100 + seconds, 0).unwrap();
            due(&call, now).into_iter().map(Lifecycle::name).collect::<Vec<_>>()
        };
        assert!(after(119).is_empty());
        assert_eq!(after(120), ["call_started", "call_ended"]);
        assert_eq!(after(300), ["call_started", "call_ended", "call_analyzed"]);
        let running: RetellCall<'_> = serde_json::from_str(r#"{"call_id":"c","call_status":"ongoing","start_timestamp":1000}"#).unwrap();
        assert!(due(&running, DateTime::from_timestamp(100_000, 0).unwrap()).is_empty());
    }
}
