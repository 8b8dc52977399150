//! The contract between the runtime and a role: prepare outside, handle inside a transaction that the runtime owns, fail with the decision.
//!
//! No queue, no ack, no commit in here or in a role: a handler is tested by calling it.

use std::error::Error;
use std::fmt;

use shared::envelope::{Envelope, Role};
use shared::store::StoreError;
use shared::store::tx::CompanyTx;
use uuid::Uuid;

/// An error as a source, of whatever room.
pub type Cause = Box<dyn Error + Send + Sync>;

/// One role's handling of its messages.
pub trait Handler: Send + Sync + 'static {
    /// Whose messages these are.
    const ROLE: Role;
    /// What `prepare` found out and `handle` works on.
    type Work: Send + Sync + 'static;

    /// Parses the body and proves the tenant, outside any transaction. Of foreign systems it only reads, and only what a waiting caller needs (Cal.com's free slots). May run
    /// again for the same message.
    fn prepare(&self, envelope: &Envelope) -> impl Future<Output = Result<Prepared<Self::Work>, Failure>> + Send;

    /// Effects, inside a transaction that the runtime begins, commits or rolls back. The message is claimed in the inbox already.
    fn handle(&self, tx: &mut CompanyTx, envelope: &Envelope, work: &Self::Work) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Several claimed messages of one company in one transaction (bulk lanes), in the order in which they came. A role that knows a way for all of them says
    /// so here; the effects are those of one after the other.
    fn handle_group(&self, tx: &mut CompanyTx, group: &[(&Envelope, &Self::Work)]) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            for (envelope, work) in group {
                self.handle(tx, envelope, work).await?;
            }
            Ok(())
        }
    }

    /// The message was handled before, and a caller waits for its answer (it has a `reply_to`): send the stored answer to this `reply_to`, or join the
    /// waiters. No other effects. Every other duplicate is acked without calling the role.
    fn duplicate(&self, _tx: &mut CompanyTx, _envelope: &Envelope, _work: &Self::Work) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// What a request that waits for an answer hears when its message is parked for a human: a true sentence now instead of silence until the deadline.
    fn parked_answer(&self, _envelope: &Envelope) -> Option<Vec<u8>> {
        None
    }
}

/// A message that is ready for its transaction.
#[derive(Debug)]
pub struct Prepared<W> {
    /// The proven company; `None` only for messages that touch no company's rows.
    pub company_id: Option<Uuid>,
    /// Advisory locks (`store::tx::uid_lock`) of every Cal.com uid of the fact; any order, the runtime sorts.
    pub locks: Vec<i64>,
    pub work: W,
}

impl<W> Prepared<W> {
    /// The same message with its work wrapped: for a role that has several kinds of work.
    pub fn map<V>(self, wrap: impl FnOnce(W) -> V) -> Prepared<V> {
        Prepared { company_id: self.company_id, locks: self.locks, work: wrap(self.work) }
    }
}

/// Why a message is not done, and with it the decision what becomes of it.
#[derive(Debug)]
pub enum Failure {
    /// A human must decide: a repeat cannot help. `reason` is a dead letter reason (see [`reason`]), `detail` a class or an id, never data.
    Park { reason: &'static str, detail: String },
    /// Transient: try again after a delay. Counted; after the last attempt it is parked as `attempts_exhausted`.
    Retry { class: &'static str, cause: Option<Cause> },
    /// Not the message's fault and not an attempt: it waits in a tier, for at most an hour since it was received.
    Wait { class: &'static str, cause: Option<Cause> },
    /// Serialization failure or deadlock: the runtime repeats the transaction at once, at most three times; then it waits. Never parked (faults D5).
    Contention { cause: Cause },
    /// Postgres is away: the runtime holds the delivery and begins again when it is back. Burns no attempt.
    StoreAway { cause: Cause },
    /// A statement took longer than Postgres lets one take. Postgres is there: nobody else waits, and this is tried again after a delay. Burns no attempt and is never parked,
    /// because an overloaded Postgres does it to everybody (faults D5).
    StoreSlow { cause: Cause },
}

impl Failure {
    /// Parks with a reason of [`reason`].
    #[must_use]
    pub fn park(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Park { reason, detail: detail.into() }
    }

    /// A counted retry without a cause.
    #[must_use]
    pub const fn retry(class: &'static str) -> Self {
        Self::Retry { class, cause: None }
    }

    /// The class for attempts, metrics and logs.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Park { reason, .. } => reason,
            Self::Retry { class, .. } | Self::Wait { class, .. } => class,
            Self::Contention { .. } => "store_contention",
            Self::StoreAway { .. } => "store_unavailable",
            Self::StoreSlow { .. } => "store_slow",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park { reason, detail } => write!(formatter, "a human must decide: {reason} {detail}"),
            Self::Retry { class, .. } => write!(formatter, "failed for now: {class}"),
            Self::Wait { class, .. } => write!(formatter, "not yet: {class}"),
            Self::Contention { .. } => formatter.write_str("another transaction stood in the way"),
            Self::StoreAway { .. } => formatter.write_str("the database is away"),
            Self::StoreSlow { .. } => formatter.write_str("a statement took too long"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Park { .. } => None,
            Self::Retry { cause, .. } | Self::Wait { cause, .. } => cause.as_ref().map(|cause| cause.as_ref() as &(dyn Error + 'static)),
            Self::Contention { cause } | Self::StoreAway { cause } | Self::StoreSlow { cause } => Some(cause.as_ref()),
        }
    }
}

/// Contention is repeated, an absent Postgres is waited for, a statement that took too long is tried later, a value that cannot be stored is parked; a refused constraint or an unreadable row is retried (a newer schema may be rolling out)
/// and parked in the end.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_contention() {
            Self::Contention { cause: Box::new(error) }
        } else if error.is_unavailable() {
            Self::StoreAway { cause: Box::new(error) }
        } else if error.is_slow() {
            Self::StoreSlow { cause: Box::new(error) }
        } else if error.is_bad_value() {
            Self::park(reason::POISON, "the body holds a value that cannot be stored")
        } else {
            Self::Retry { class: error.class(), cause: Some(Box::new(error)) }
        }
    }
}

/// Reasons of dead letters: a closed list, because they are label values and what an operator filters by.
pub mod reason {
    pub const POISON: &str = "poison";
    pub const UNKNOWN_KIND: &str = "unknown_kind";
    pub const NEWER_SCHEMA: &str = "newer_schema";
    pub const WRONG_QUEUE: &str = "wrong_queue";
    pub const UNREADABLE: &str = "unreadable";
    pub const UNKNOWN_ENDPOINT: &str = "unknown_endpoint";
    pub const UNKNOWN_NUMBER: &str = "unknown_number";
    pub const UNKNOWN_EVENT_TYPE: &str = "unknown_event_type";
    pub const UNKNOWN_BOOKING: &str = "unknown_booking";
    pub const TENANT_DISAGREES: &str = "tenant_disagrees";
    pub const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
    pub const WAITED_TOO_LONG: &str = "waited_too_long";
    pub const DELIVERY_LIMIT: &str = "delivery_limit";
    pub const UNROUTED: &str = "unrouted";

    /// Every reason: metrics create their label values from this; a reason that is not in here is counted as `other`.
    pub const ALL: [&str; 14] = [
        POISON,
        UNKNOWN_KIND,
        NEWER_SCHEMA,
        WRONG_QUEUE,
        UNREADABLE,
        UNKNOWN_ENDPOINT,
        UNKNOWN_NUMBER,
        UNKNOWN_EVENT_TYPE,
        UNKNOWN_BOOKING,
        TENANT_DISAGREES,
        ATTEMPTS_EXHAUSTED,
        WAITED_TOO_LONG,
        DELIVERY_LIMIT,
        UNROUTED,
    ];
}
