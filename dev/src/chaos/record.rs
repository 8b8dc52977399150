//! Everything that a campaign knows when its load is over and all is quiet: who sent what, what was acknowledged, which faults fired, where the product's
//! traces lie. The boundary between the campaign, which fills it, and the auditor, which judges by it and by public truth alone.
//!
//! No judgement stands here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::protection::Protection;
use sqlx::PgPool;
use uuid::Uuid;

use crate::calcom_stand_in::CalcomStandIn;
use crate::retell_stand_in::RetellStandIn;

/// What the auditor gets.
pub struct Record {
    pub seed: u64,
    pub companies: Vec<Company>,
    /// Every request that was answered with a 2xx, in the order of the answers.
    pub acknowledged: Vec<Acknowledged>,
    /// Requests that were sent at all, retries counted apart.
    pub sent: u64,
    /// Answers that were no 2xx, and requests without any.
    pub refused: Vec<Refusal>,
    /// Faults that explain some of them, each for its time.
    pub excuses: Vec<Excuse>,
    /// What callers and visitors wanted; each booking has a slot of its own, but for rivals and for those who want what another one gave up.
    pub wishes: Vec<Wish>,
    pub calcom: CalcomStandIn,
    pub retell: RetellStandIn,
    /// How many strikes of each kind of fault changed something that somebody could notice. Every kind has an entry.
    pub faults: BTreeMap<&'static str, u64>,
    /// Kinds that this machine cannot produce, with the reason ("needs Linux and root").
    pub skipped: BTreeMap<&'static str, String>,
    /// SIGKILLs in all.
    pub kills: u64,
    pub processes: Vec<ProcessRecord>,
    pub spools: Vec<Spool>,
    /// The campaign's database, as superuser and past no proxy.
    pub database: PgPool,
    /// The same as a URL, for a session of another role.
    pub database_url: String,
    /// The campaign's vhost, past no proxy.
    pub amqp_url: String,
    /// Every queue of that vhost with its messages, those in work as well, as the broker's management counts them.
    pub queues: Vec<(String, u64)>,
    /// When the first and the last request was sent.
    pub began_at: DateTime<Utc>,
    pub load_ended_at: DateTime<Utc>,
    /// Whether everything became quiet, and how long it took.
    pub quiet: Quiet,
    /// How far each call was before the last sweeps (`auditor::calls_now`); nothing: they were not run.
    pub calls_before_sweeps: Option<BTreeMap<String, String>>,
    /// The one protection that was off in the product's processes.
    pub broken: Option<Protection>,
    pub limits: Limits,
}

/// A tenant of the campaign.
#[derive(Clone, Debug)]
pub struct Company {
    pub id: Uuid,
    pub name: String,
    pub retell_account_id: Uuid,
    pub calcom_account_id: Uuid,
    pub credential_id: Uuid,
    /// The credential's API key by its name in the stand-in's request list.
    pub api_key_name: String,
    pub retell_endpoint: Uuid,
    pub calcom_endpoint: Uuid,
    /// One host each time, and one of several.
    pub event_types: Vec<EventTypeRecord>,
    /// Texts that belong to this company's customers alone and may stand in no log, metric, header or detail: names, numbers, addresses, spoken words.
    /// Each is unique to the company.
    pub canaries: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct EventTypeRecord {
    pub id: i64,
    pub service_name: String,
    pub service_id: Uuid,
    pub hosts: Vec<i64>,
    pub minutes: i64,
}

/// Who the sender was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Retell,
    Calcom,
}

/// One request that ingress promised to keep.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The key of the inbox, made by the campaign itself (`gate::message_id`).
    pub message_id: String,
    pub source: Source,
    pub endpoint: Uuid,
    /// Index in `companies`; nothing for what belongs to nobody.
    pub company: Option<usize>,
    /// The event, trigger or function name.
    pub what: String,
    /// A caller was waiting for the answer (functions; call_inbound is a question and promises nothing, so it is not in the list).
    pub live: bool,
    pub at: DateTime<Utc>,
    pub status: u16,
}

/// A request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which ingress it was given to last; nothing: none could be reached.
    pub backend: Option<usize>,
    /// 0 = no answer.
    pub status: u16,
    /// From its sending until that was clear.
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// A fault that explains why something was not taken, or not heard, for as long as it went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excuse {
    pub why: Why,
    /// Which ingress it befell; nothing: each.
    pub backend: Option<usize>,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An ingress that was killed or told to stop, until its next life says that it is ready.
    Down,
    /// An ingress that stands still.
    Paused,
    /// The weather between the providers and ingress.
    Link,
    /// The broker is silent and the spool's disk is full.
    FullDisk,
    /// What ingress waits for is away or slow: requests pile up.
    Jam,
    /// An answer of Cal.com may not have reached our database, or a request that had its token was held up. Says nothing about ingress.
    Unheard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishKind {
    Book,
    Move,
    Cancel,
}

/// How a wish came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A function in a call.
    Phone { retell_call_id: String, message_id: String },
    /// The visitor's page; the uid that Cal.com gave.
    Web { uid: String },
}

/// What somebody wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    pub company: usize,
    pub kind: WishKind,
    pub way: Way,
    /// Wishes of one appointment have the same number.
    pub appointment: u64,
    /// The appointment that gave up the slot that this one wants.
    pub follows: Option<u64>,
    pub event_type_id: i64,
    /// The slot of a booking, the new one of a move, the last known one of a cancellation.
    pub starts_at: DateTime<Utc>,
    /// Whether ingress took it (always true of a visitor's: Cal.com had it before us).
    pub acknowledged: bool,
    /// What the caller was told at once.
    pub told: Option<Value>,
    pub uttered_at: DateTime<Utc>,
}

/// One process, all its lives together.
#[derive(Clone, Debug)]
pub struct ProcessRecord {
    pub name: String,
    /// `ingress` or `workers`.
    pub program: &'static str,
    pub roles: Vec<&'static str>,
    pub log: PathBuf,
    /// `/metrics` of the life that runs now.
    pub metrics_url: String,
    /// How often it was started.
    pub starts: u64,
    /// The most memory that any look at it saw.
    pub resident_bytes_max: u64,
    /// Ends that nobody asked for, and stops that were not clean: a sentence each.
    pub odd_ends: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Spool {
    pub folder: PathBuf,
    pub quota_bytes: u64,
    /// The most that any look at it saw.
    pub bytes_max: u64,
}

/// How the campaign came to rest.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// Nothing is under way: queues, outbox, intents and spools are empty.
    pub reached: bool,
    pub after: Duration,
    /// What was still there when the deadline passed.
    pub left: Vec<String>,
    /// Whether messages were among it, in queues or spools: then what they would have done is not lost, it is not known.
    pub messages_left: bool,
}

/// The bounds that the campaign ran under.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What the stand-in allows an API key: requests per window.
    pub calcom_per_window: u32,
    pub calcom_window: Duration,
    pub attempts_max: i32,
    pub resident_bytes_max: u64,
}

/// The judgement over one invariant.
#[derive(Clone, Debug)]
pub struct InvariantResult {
    /// `I1` to `I11`.
    pub id: &'static str,
    pub name: &'static str,
    /// How many things were looked at: a check that looked at nothing proves nothing.
    pub checked: u64,
    /// A sentence each, without personal data.
    pub violations: Vec<String>,
    /// Why it could not be looked at: then it is neither kept nor violated.
    pub unseen: Option<String>,
}

/// The auditor's report.
#[derive(Clone, Debug)]
pub struct Audit {
    pub rows: Vec<InvariantResult>,
    /// Effects that a sweep had to add, by what the rows say about themselves.
    pub repaired: u64,
    /// Effects in all: modifications of appointments.
    pub effects: u64,
    /// What was measured beside, for people: name and value.
    pub figures: Vec<(&'static str, String)>,
}
