//! What the stand-in really did, whatever it answered. Three append-only lists share one sequence, so that "the echo
//! came before the answer" can be read from the numbers: changes, API requests, webhook deliveries.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::faults::FaultKind;
use super::model::{Booking, By, Status};
use crate::stand_in::json_order::OrderedMap;

/// Load runs make many requests; beyond this the oldest of the request and delivery lists are forgotten. Changes are
/// never forgotten: a test asks them for truth.
const LISTED_MAX: usize = 200_000;
/// More changes than happen while one request's own is on its way (its echo is awaited in between).
const CHANGES_LOOKED_THROUGH: usize = 5_000;
/// More webhooks than are sent while one is held back.
const DELIVERIES_LOOKED_THROUGH: usize = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Create,
    Reschedule,
    Cancel,
    Confirm,
    Reject,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub op: Op,
    pub uid: String,
    /// The old uid of a move.
    pub from_uid: Option<String>,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub event_type_id: i64,
    /// After the change.
    pub status: Status,
    pub metadata: OrderedMap,
    pub by: By,
    /// Nothing for changes made through the admin API.
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestEntry {
    /// Taken when the request arrived.
    pub seq: u64,
    /// Taken when its answer was ready.
    pub answered_seq: u64,
    pub at: DateTime<Utc>,
    pub request_id: String,
    pub method: String,
    pub path: String,
    pub query: String,
    /// Our own time for it, an awaited echo included; not the way there and back.
    #[serde(default)]
    pub took_us: u64,
    /// 0 = the connection was dropped on purpose.
    pub status: u16,
    pub key_name: Option<String>,
    /// What was done to it on purpose: a 429 without one is the limiter's own.
    #[serde(default)]
    pub fault: Option<FaultKind>,
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    #[default]
    Sent,
    /// By a fault or by the barrier; nobody got it.
    Lost,
    /// The second of two.
    Doubled,
    Late,
    Shuffled,
}

impl Fate {
    /// Among the other faults.
    pub fn fault_name(self) -> &'static str {
        match self {
            Self::Sent => "webhook_sent",
            Self::Lost => "webhook_lost",
            Self::Doubled => "webhook_doubled",
            Self::Late => "webhook_late",
            Self::Shuffled => "webhook_shuffled",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryEntry {
    /// Taken when the receiver had answered, or when it was lost.
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub trigger: String,
    /// Absent for a ping.
    pub uid: Option<String>,
    pub webhook_id: String,
    /// Nothing when the receiver could not be reached, or was not asked.
    pub status: Option<u16>,
    #[serde(default)]
    pub fate: Fate,
    /// Taken when it was caused: one with a smaller number that is sent later was overtaken.
    #[serde(default)]
    pub caused_seq: u64,
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..300)
}

#[derive(Default)]
pub struct Ledger {
    seq: u64,
    pub changes: Vec<LedgerEntry>,
    pub requests: Vec<RequestEntry>,
    pub deliveries: Vec<DeliveryEntry>,
    /// Webhooks by their fate; never forgotten.
    pub fates: BTreeMap<Fate, u64>,
    /// Those of them whose receiver could see the fault: it took a second copy, one that was late, one that another had overtaken, or missed one.
    pub felt: BTreeMap<Fate, u64>,
}

impl Ledger {
    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn change(&mut self, op: Op, booking: &Booking, by: By, request_id: Option<&str>, at: DateTime<Utc>) {
        let seq = self.next_seq();
        self.changes.push(LedgerEntry {
            seq,
            at,
            op,
            uid: booking.uid.clone(),
            from_uid: booking.rescheduled_from.clone().filter(|_| op == Op::Reschedule),
            start: booking.start,
            end: booking.end,
            event_type_id: booking.event_type_id,
            status: booking.status,
            metadata: booking.metadata.clone(),
            by,
            request_id: request_id.map(str::to_owned),
        });
    }

    /// Whether a request is the cause of any change. Looked for among the latest: it is asked right after the change.
    pub fn was_changed_by(&self, request_id: &str) -> bool {
        self.changes.iter().rev().take(CHANGES_LOOKED_THROUGH).any(|change| change.request_id.as_deref() == Some(request_id))
    }

    /// Whether that receiver got a webhook already that was caused later.
    pub fn is_overtaken(&self, webhook_id: &str, caused_seq: u64) -> bool {
        let got = |delivery: &&DeliveryEntry| delivery.webhook_id == webhook_id && delivery.status.is_some_and(is_success);
        self.deliveries.iter().rev().take(DELIVERIES_LOOKED_THROUGH).filter(got).any(|delivery| delivery.caused_seq > caused_seq)
    }

    pub fn request(&mut self, entry: RequestEntry) {
        push_bounded(&mut self.requests, entry);
    }

    /// `overtaken`: when it was sent, its receiver already had a later one.
    pub fn delivery(&mut self, entry: DeliveryEntry, overtaken: bool) {
        *self.fates.entry(entry.fate).or_default() += 1;
        let taken = entry.status.is_some_and(is_success);
        let felt = match entry.fate {
            Fate::Sent => false,
            Fate::Lost => true,
            Fate::Doubled | Fate::Late => taken,
            Fate::Shuffled => taken && overtaken,
        };
        if felt {
            *self.felt.entry(entry.fate).or_default() += 1;
        }
        push_bounded(&mut self.deliveries, entry);
    }
}

/// Drops a tenth at once: shifting the list by one for every entry would cost more than the request itself.
fn push_bounded<T>(list: &mut Vec<T>, entry: T) {
    if list.len() >= LISTED_MAX {
        list.drain(..LISTED_MAX / 10);
    }
    list.push(entry);
}
