//! What travels through RabbitMQ: the provider's bytes, untouched, and what a worker must know about them.
//!
//! Not the AMQP encoding (that is `broker`), not the meaning of the body (that is `wire`). Made by ingress and by the outbox, read by workers.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::functions::Function;

/// The version of this envelope's meaning. A worker that meets a greater one parks the message (architecture section 4).
pub const SCHEMA_VERSION: u16 = 1;

/// A worker process runs exactly one role (or all of them on one machine).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Booking,
    Reschedule,
    Cancellation,
    CalcomSync,
    Desk,
    Calls,
    Backfill,
    Scheduler,
}

impl Role {
    /// Every role, in the order of the architecture's table.
    pub const ALL: [Self; 8] =
        [Self::Booking, Self::Reschedule, Self::Cancellation, Self::CalcomSync, Self::Desk, Self::Calls, Self::Backfill, Self::Scheduler];

    /// The role's name in queues, metrics, logs, the inbox and the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Booking => "booking",
            Self::Reschedule => "reschedule",
            Self::Cancellation => "cancellation",
            Self::CalcomSync => "calcom-sync",
            Self::Desk => "desk",
            Self::Calls => "calls",
            Self::Backfill => "backfill",
            Self::Scheduler => "scheduler",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The lanes the role consumes. `desk` only ever answers a caller; calcom-sync and backfill have nobody waiting; scheduler consumes nothing.
    #[must_use]
    pub const fn lanes(self) -> &'static [Lane] {
        match self {
            Self::Booking | Self::Reschedule | Self::Cancellation | Self::Calls => &[Lane::Live, Lane::Bulk],
            Self::Desk => &[Lane::Live],
            Self::CalcomSync | Self::Backfill => &[Lane::Bulk],
            Self::Scheduler => &[],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Live: a caller is waiting. Bulk: everything else. A caller never waits behind a backlog, so the lanes share nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    Live,
    Bulk,
}

impl Lane {
    /// The lane's name in metrics and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bulk => "bulk",
        }
    }
}

/// What a message is. A closed list: anything else that arrives in a queue is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    RetellCallInbound,
    RetellCallStarted,
    RetellCallEnded,
    RetellCallAnalyzed,
    RetellTransferStarted,
    RetellTransferBridged,
    RetellTransferCancelled,
    RetellTransferEnded,
    /// Any other authentic Retell event: stored and counted, never an error.
    RetellOther,
    RetellFunction(Function),
    RetellFunctionUnknown,
    CalcomBookingCreated,
    CalcomBookingRequested,
    CalcomBookingPaid,
    CalcomBookingRescheduled,
    CalcomBookingCancelled,
    CalcomBookingRejected,
    CalcomBookingNoShowUpdated,
    /// Any other authentic Cal.com event: stored, counted and, if it names a booking, looked up.
    CalcomOther,
    /// Ingress told a caller a fallback sentence because the worker's answer came too late.
    FunctionAnswerMissed,
    /// Doorbell of calcom-sync: an intent is due. The work itself is the `intents` table.
    IntentDue,
    BackfillChunk,
}

/// Kinds that are not functions, with their names and the role that handles them.
const PLAIN_KINDS: [(Kind, &str, Role); 20] = [
    (Kind::RetellCallInbound, "retell.call_inbound", Role::Desk),
    (Kind::RetellCallStarted, "retell.call_started", Role::Calls),
    (Kind::RetellCallEnded, "retell.call_ended", Role::Calls),
    (Kind::RetellCallAnalyzed, "retell.call_analyzed", Role::Calls),
    (Kind::RetellTransferStarted, "retell.transfer_started", Role::Calls),
    (Kind::RetellTransferBridged, "retell.transfer_bridged", Role::Calls),
    (Kind::RetellTransferCancelled, "retell.transfer_cancelled", Role::Calls),
    (Kind::RetellTransferEnded, "retell.transfer_ended", Role::Calls),
    (Kind::RetellOther, "retell.other", Role::Calls),
    (Kind::CalcomBookingCreated, "calcom.booking_created", Role::Booking),
    (Kind::CalcomBookingRequested, "calcom.booking_requested", Role::Booking),
    (Kind::CalcomBookingPaid, "calcom.booking_paid", Role::Booking),
    (Kind::CalcomBookingRescheduled, "calcom.booking_rescheduled", Role::Reschedule),
    (Kind::CalcomBookingCancelled, "calcom.booking_cancelled", Role::Cancellation),
    (Kind::CalcomBookingRejected, "calcom.booking_rejected", Role::Cancellation),
    (Kind::CalcomBookingNoShowUpdated, "calcom.booking_no_show_updated", Role::Calls),
    (Kind::CalcomOther, "calcom.other", Role::Calls),
    (Kind::FunctionAnswerMissed, "function.answer_missed", Role::Calls),
    (Kind::IntentDue, "intent.due", Role::CalcomSync),
    (Kind::BackfillChunk, "backfill.chunk", Role::Backfill),
];

const UNKNOWN_FUNCTION: &str = "retell.function.unknown";
const FUNCTION_PREFIX: &str = "retell.function.";

impl Kind {
    /// The name in the `type` property, in `events`, in dead letters and in logs.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::RetellFunction(function) => format!("{FUNCTION_PREFIX}{}", function.name()),
            Self::RetellFunctionUnknown => UNKNOWN_FUNCTION.to_owned(),
            plain => PLAIN_KINDS.iter().find(|(kind, ..)| *kind == plain).map_or_else(String::new, |(_, name, _)| (*name).to_owned()),
        }
    }

    /// The kind of that name; `None` means a dead letter.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == UNKNOWN_FUNCTION {
            return Some(Self::RetellFunctionUnknown);
        }
        if let Some(function) = name.strip_prefix(FUNCTION_PREFIX) {
            return Function::by_canonical_name(function).map(Self::RetellFunction);
        }
        PLAIN_KINDS.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind)
    }

    /// Who handles it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::RetellFunction(function) => function.role(),
            Self::RetellFunctionUnknown => Role::Desk,
            plain => PLAIN_KINDS.iter().find(|(kind, ..)| *kind == plain).map_or(Role::Calls, |(_, _, role)| *role),
        }
    }

    /// Live if a caller waits for the answer.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::RetellCallInbound | Self::RetellFunction(_) | Self::RetellFunctionUnknown => Lane::Live,
            _ => Lane::Bulk,
        }
    }

    /// Every kind that exists: metrics create their label values from this.
    pub fn all() -> impl Iterator<Item = Self> {
        PLAIN_KINDS
            .iter()
            .map(|(kind, ..)| *kind)
            .chain(Function::ALL.iter().map(|function| Self::RetellFunction(*function)))
            .chain([Self::RetellFunctionUnknown])
    }
}

/// The one identity of a message from ingress to the last log line: hex SHA-256 over endpoint and raw body (64 characters),
/// with `#n` appended by a forced replay.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// The identity of a provider's request: the same bytes at the same endpoint are the same message.
    #[must_use]
    pub fn of_request(endpoint: Uuid, body: &[u8]) -> Self {
        Self(hex::encode(Sha256::new().chain_update(endpoint.as_bytes()).chain_update(body).finalize()))
    }

    /// The identity of one of our own messages: the same purpose and key are the same message.
    #[must_use]
    pub fn of_own(purpose: &str, key: &[u8]) -> Self {
        Self(hex::encode(Sha256::new().chain_update(purpose.as_bytes()).chain_update([0]).chain_update(key).finalize()))
    }

    /// An identity read from a message; `None` if it is not 64 lower-case hex digits with an optional `#n`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digest, replay) = text.split_once('#').unwrap_or((text, "1"));
        let digest_ok = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let replay_ok = !replay.is_empty() && replay.len() <= 6 && replay.bytes().all(|byte| byte.is_ascii_digit());
        (digest_ok && replay_ok).then(|| Self(text.to_owned()))
    }

    /// The identity of the `n`-th forced replay of this message.
    #[must_use]
    pub fn replay(&self, n: u32) -> Self {
        let digest = self.0.split_once('#').map_or(self.0.as_str(), |(digest, _)| digest);
        Self(format!("{digest}#{n}"))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where an answer goes: a reply queue of one ingress process, and which of its requests it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub queue: String,
    pub correlation_id: Uuid,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub message_id: MessageId,
    pub kind: Kind,
    pub schema_version: u16,
    /// The endpoint whose secret signed the body; `None` for our own messages.
    pub endpoint: Option<Uuid>,
    /// When ingress took it. Age = now − received_at.
    pub received_at: DateTime<Utc>,
    /// 1 on the first delivery; counted by us, never by the broker.
    pub attempt: u32,
    /// Until when the caller waits.
    pub deadline: Option<DateTime<Utc>>,
    pub reply_to: Option<ReplyTo>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The caller has already heard a fallback sentence: the wish is carried out, but nobody waits.
    pub caller_gone: bool,
    /// The provider's bytes as they came (decompressed).
    pub body: Bytes,
}
