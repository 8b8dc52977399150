//! The life of a call, folded from whatever is told of it: lifecycle events, transfers, functions and Retell's own answers, in any order, doubled or late.
//!
//! Pure. One rule for every value: the word of the later stage of the call wins, and of two words of one stage the greater; what is not told overwrites
//! nothing. The status moves forward only. So the row depends on what was told, never on when it came (incidents 32, 33, 34, 86; faults E2; architecture
//! section 7, Convergence). Not here: whose call it is, and its row. Called by `store::calls`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where a call stands. Only moves to the right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallStatus {
    #[default]
    Registered,
    Ongoing,
    Ended,
    Analyzed,
}

impl CallStatus {
    pub const ALL: [Self; 4] = [Self::Registered, Self::Ongoing, Self::Ended, Self::Analyzed];

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
            Self::Analyzed => "analyzed",
        }
    }

    /// The status of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.literal() == literal)
    }
}

/// The lifecycle events of which a call has one each: those that a sweep can make up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    Started,
    Ended,
    Analyzed,
}

impl Lifecycle {
    pub const ALL: [Self; 3] = [Self::Started, Self::Ended, Self::Analyzed];

    /// The event's name at Retell, in `calls.heard` and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "call_started",
            Self::Ended => "call_ended",
            Self::Analyzed => "call_analyzed",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// How far a transfer came. Several attempts in one call are normal: the furthest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transfer {
    Started,
    Cancelled,
    Bridged,
    Ended,
}

impl Transfer {
    pub const ALL: [Self; 4] = [Self::Started, Self::Cancelled, Self::Bridged, Self::Ended];

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Cancelled => "cancelled",
            Self::Bridged => "bridged",
            Self::Ended => "ended",
        }
    }

    /// The state of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transfer| transfer.literal() == literal)
    }
}

/// What Retell made of the call afterwards: kept as a whole, so that two analyses are never mixed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    pub summary: Option<String>,
    pub sentiment: Option<String>,
    pub in_voicemail: Option<bool>,
    /// Retell's own flag; never the outcome (incident 82).
    pub successful: Option<bool>,
    /// An object.
    pub custom: Value,
}

/// What one event, function or answer says about a call. `None` = it says nothing.
#[derive(Clone, Debug, Default)]
pub struct CallUpdate {
    pub retell_call_id: String,
    pub status: Option<CallStatus>,
    /// The lifecycle events that this is, or makes up for.
    pub heard: BTreeSet<Lifecycle>,
    /// Retell's answer to our question: when we asked. It outranks every event of its stage.
    pub asked_at: Option<DateTime<Utc>>,
    pub branch_id: Uuid,
    pub phone_number_id: Option<Uuid>,
    pub customer_id: Option<Uuid>,
    pub agent_id: Option<String>,
    pub agent_version: Option<i32>,
    pub direction: Option<String>,
    pub caller_raw: Option<String>,
    pub caller: Option<String>,
    pub our_number: Option<String>,
    pub connected: Option<bool>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub disconnection_reason: Option<String>,
    pub transfer: Option<Transfer>,
    pub transfer_destination: Option<String>,
    pub transcript: Option<String>,
    pub recording_url: Option<String>,
    pub analysis: Option<Analysis>,
    pub cost_cents: Option<f64>,
    /// An object: Retell sends it whole, so it is replaced as a whole.
    pub metadata: Option<Value>,
}

/// Where a value comes from: the call's stage, when we asked (0: an event told it by itself), and what breaks the tie. The greater one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark(u8, i64, i64);

/// A call as folded so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallState {
    pub status: CallStatus,
    pub heard: BTreeSet<Lifecycle>,
    /// Those of them that only Retell's answer made up for: no event has told them.
    pub repaired: BTreeSet<Lifecycle>,
    pub phone_number_id: Option<Uuid>,
    pub customer_id: Option<Uuid>,
    pub agent_id: Option<String>,
    pub agent_version: Option<i32>,
    pub direction: Option<String>,
    pub caller_raw: Option<String>,
    pub caller: Option<String>,
    pub our_number: Option<String>,
    pub connected: Option<bool>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub disconnection_reason: Option<String>,
    pub transfer: Option<Transfer>,
    pub transfer_destination: Option<String>,
    pub transcript: Option<String>,
    pub recording_url: Option<String>,
    pub analysis: Option<Analysis>,
    pub cost_cents: Option<f64>,
    pub metadata: Option<Value>,
    /// By field, where it came from. A field without one is constant throughout the call.
    pub marks: BTreeMap<String, Mark>,
}

/// What a fold changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Lifecycle events that were not heard before.
    pub news: BTreeSet<Lifecycle>,
    /// Two analyses of one call disagree, and events carry no time of their own: only Retell knows which one holds.
    pub disputed: bool,
}

impl CallState {
    /// Takes in what was told.
    pub fn fold(&mut self, told: &CallUpdate) -> Folded {
        let status = told.status.unwrap_or_default();
        let at = Mark(status as u8, told.asked_at.map_or(0, |at| at.timestamp_millis()), 0);
        let news: BTreeSet<Lifecycle> = told.heard.difference(&self.heard).copied().collect();
        if told.asked_at.is_some() {
            self.repaired.extend(&news);
        } else {
            // a webhook that comes after the sweep prevails over it
            self.repaired = self.repaired.difference(&told.heard).copied().collect();
        }
        self.heard.extend(&told.heard);
        self.status = self.status.max(status);
        self.transfer = self.transfer.max(told.transfer);
        // the customer is linked once and by us; the first word counts
        self.customer_id = self.customer_id.or(told.customer_id);
        greater(&mut self.phone_number_id, &told.phone_number_id);
        greater(&mut self.agent_id, &told.agent_id);
        greater(&mut self.agent_version, &told.agent_version);
        greater(&mut self.direction, &told.direction);
        greater(&mut self.caller_raw, &told.caller_raw);
        greater(&mut self.caller, &told.caller);
        greater(&mut self.our_number, &told.our_number);
        greater(&mut self.started_at, &told.started_at);
        let mut marked = Marked { marks: &mut self.marks, at };
        marked.keep("connected", &mut self.connected, &told.connected);
        marked.keep("ended_at", &mut self.ended_at, &told.ended_at);
        marked.keep("duration_ms", &mut self.duration_ms, &told.duration_ms);
        marked.keep("disconnection_reason", &mut self.disconnection_reason, &told.disconnection_reason);
        marked.keep("transcript", &mut self.transcript, &told.transcript);
        marked.keep("recording_url", &mut self.recording_url, &told.recording_url);
        marked.keep("cost_cents", &mut self.cost_cents, &told.cost_cents);
        marked.at.2 = told.transfer.map_or(0, |transfer| transfer as i64 + 1);
        marked.keep("transfer_destination", &mut self.transfer_destination, &told.transfer_destination);
        if let Some(metadata) = &told.metadata {
            marked.at.2 = fingerprint(&metadata.to_string());
            marked.keep_whole("metadata", &mut self.metadata, metadata);
        }
        let disputed = told.analysis.as_ref().is_some_and(|analysis| {
            marked.at.2 = analysis.fingerprint();
            marked.keep_whole("analysis", &mut self.analysis, analysis)
        });
        Folded { news, disputed }
    }
}

/// Constant throughout a call: of two different words (there should be none) the greater.
fn greater<T: PartialOrd + Clone>(value: &mut Option<T>, told: &Option<T>) {
    if told.as_ref().is_some_and(|told| value.as_ref().is_none_or(|value| told > value)) {
        value.clone_from(told);
    }
}

struct Marked<'a> {
    marks: &'a mut BTreeMap<String, Mark>,
    at: Mark,
}

impl Marked<'_> {
    fn keep<T: PartialOrd + Clone>(&mut self, field: &str, value: &mut Option<T>, told: &Option<T>) {
        let Some(told) = told else { return };
        let mark = self.marks.get(field).copied().unwrap_or_default();
        let wins = match value {
            Some(value) => self.at > mark || (self.at == mark && *told > *value),
            None => true,
        };
        if wins {
            *value = Some(told.clone());
            self.marks.insert(field.to_owned(), self.at);
        }
    }

    /// For values without an order: the mark holds their fingerprint. True if an event's word and the one that stands are of the same stage and differ.
    fn keep_whole<T: Clone>(&mut self, field: &str, value: &mut Option<T>, told: &T) -> bool {
        let mark = self.marks.get(field).copied().unwrap_or_default();
        if self.at > mark {
            *value = Some(told.clone());
            self.marks.insert(field.to_owned(), self.at);
        }
        self.at.1 == 0 && mark.0 == self.at.0 && mark.2 != self.at.2
    }
}

impl Analysis {
    fn fingerprint(&self) -> i64 {
        fingerprint(&format!("{:?} {:?} {:?} {:?} {}", self.summary, self.sentiment, self.in_voicemail, self.successful, self.custom))
    }
}

/// serde_json keeps keys sorted, so the same value has the same text.
fn fingerprint(text: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    i64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: CallStatus) -> CallUpdate {
        CallUpdate { retell_call_id: "call_1".to_owned(), status: Some(status), ..CallUpdate::default() }
    }

    fn analysis(summary: &str) -> Option<Analysis> {
        Some(Analysis { summary: Some(summary.to_owned()), custom: json!({}), ..Analysis::default() })
    }

    fn folded(tellings: &[&CallUpdate]) -> CallState {
        let mut state = CallState::default();
        for told in tellings {
            state.fold(told);
        }
        state
    }

    #[test]
    fn the_later_stage_wins_whenever_it_comes_and_nothing_told_overwrites_nothing() {
        let early = CallUpdate { recording_url: Some("https://z".into()), metadata: Some(json!({"n": 1})), ..told(CallStatus::Ongoing) };
        let ended = CallUpdate { recording_url: Some("https://b".into()), metadata: Some(json!({"n": 2})), ..told(CallStatus::Ended) };
        let analyzed = told(CallStatus::Analyzed);
        let expected = folded(&[&early, &ended, &analyzed]);
        assert_eq!(expected.recording_url.as_deref(), Some("https://b"));
        assert_eq!((expected.status, &expected.metadata), (CallStatus::Analyzed, &Some(json!({"n": 2}))));
        assert_eq!(folded(&[&analyzed, &early, &ended]), expected);
        assert_eq!(folded(&[&analyzed, &ended, &early]), expected);
    }

    #[test]
    fn what_a_sweep_made_up_for_is_known_until_its_event_comes_whatever_the_order() {
        let event = CallUpdate { heard: [Lifecycle::Ended].into(), ..told(CallStatus::Ended) };
        let answer =
            CallUpdate { heard: [Lifecycle::Started, Lifecycle::Ended].into(), asked_at: DateTime::from_timestamp_millis(5), ..told(CallStatus::Ended) };
        assert_eq!(folded(&[&answer]).repaired, [Lifecycle::Started, Lifecycle::Ended].into());
        assert_eq!(folded(&[&event]).repaired, [].into());
        for order in [[&event, &answer], [&answer, &event]] {
            assert_eq!(folded(&order).repaired, [Lifecycle::Started].into());
        }
    }

    #[test]
    fn two_analyses_are_disputed_and_retells_own_answer_settles_it() {
        let (one, two) =
            (CallUpdate { analysis: analysis("A"), ..told(CallStatus::Analyzed) }, CallUpdate { analysis: analysis("B"), ..told(CallStatus::Analyzed) });
        assert_eq!(folded(&[&one, &two]), folded(&[&two, &one]));
        let mut state = folded(&[&one]);
        assert!(!state.fold(&one).disputed);
        assert!(state.fold(&two).disputed);
        let asked_at = DateTime::from_timestamp_millis(5);
        for truth in ["A", "B"] {
            let answer = CallUpdate { asked_at, analysis: analysis(truth), ..told(CallStatus::Analyzed) };
            assert!(!state.clone().fold(&answer).disputed, "an answer never disputes");
            assert_eq!(folded(&[&one, &two, &answer]).analysis, analysis(truth));
            assert_eq!(folded(&[&answer, &two, &one]).analysis, analysis(truth));
        }
    }

    #[test]
    fn the_furthest_transfer_and_its_destination_stay() {
        let attempt =
            |transfer, number: &str| CallUpdate { transfer: Some(transfer), transfer_destination: Some(number.to_owned()), ..told(CallStatus::Ongoing) };
        let (first, failed, second) = (attempt(Transfer::Started, "+499"), attempt(Transfer::Cancelled, "+499"), attempt(Transfer::Bridged, "+491"));
        for order in [[&first, &failed, &second], [&second, &failed, &first], [&failed, &second, &first]] {
            let state = folded(&order);
            assert_eq!((state.transfer, state.transfer_destination.as_deref()), (Some(Transfer::Bridged), Some("+491")));
        }
    }

    #[test]
    fn an_event_is_news_once() {
        let ended = CallUpdate { heard: [Lifecycle::Ended].into(), ..told(CallStatus::Ended) };
        let mut state = CallState::default();
        assert_eq!(state.fold(&ended).news, [Lifecycle::Ended].into());
        assert!(state.fold(&ended).news.is_empty());
    }

    #[test]
    fn every_literal_is_read_back() {
        assert!(CallStatus::ALL.iter().all(|status| CallStatus::parse(status.literal()) == Some(*status)));
        assert!(Transfer::ALL.iter().all(|transfer| Transfer::parse(transfer.literal()) == Some(*transfer)));
        assert!(Lifecycle::ALL.iter().all(|event| Lifecycle::parse(event.name()) == Some(*event)));
        assert_eq!(CallStatus::parse("over"), None);
    }
}
