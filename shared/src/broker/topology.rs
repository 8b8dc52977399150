//! The one table of exchanges and queues: names, bindings, limits. Everything that touches RabbitMQ is made from it.
//!
//! Pure: it talks to no broker (that is `apply`). Called by every other file of this room; `deploy/rabbitmq/definitions.json` is held to it by a test.
//! Works on RabbitMQ 3.10.8 and 4.x: all limits are declare arguments, so a broker needs no policy (reference section 11).

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::envelope::{Lane, Role};

/// Topic exchange that ingress publishes to; the routing key is the queue's name, and with it the lane.
pub const EVENTS: &str = "frontdesk.events";
/// Direct exchange of doorbells and of whatever returns from a delay; the routing key is the queue's name.
pub const WORK: &str = "frontdesk.work";
/// What no queue wanted: alternate exchange of the two above, and the queue behind it.
pub const UNROUTED: &str = "frontdesk.unrouted";
/// The crash net: what a role queue gave up on, and the queue behind it.
pub const DEAD: &str = "frontdesk.dead";
/// Direct exchange of answers to waiting requests; each ingress process binds its own exclusive queue.
pub const REPLY: &str = "frontdesk.reply";
/// The publisher's test whether a quorum queue takes and confirms a message; nobody reads what lies here.
pub const PROBE: &str = "frontdesk.probe";
/// Every queue that one ingress process makes for its answers starts with this.
pub const REPLY_QUEUE_PREFIX: &str = "frontdesk.reply.";

/// A message that kills its worker this often is moved to `frontdesk.dead`. A crash net only: retries of ours are counted in our own header.
pub const DELIVERY_LIMIT: u32 = 50;
/// For queues whose messages must never be dropped by a limit. 4.x would default to 20, and 3.10 has no way to say "none".
const DELIVERY_LIMIT_NEVER: u32 = 1_000_000;

const MIB: u64 = 1024 * 1024;
/// Live: beyond this many nobody is still waiting on the line (deadline 6 s); a full lane makes ingress fall back at once instead of queueing lies.
const LIVE: Limits = Limits { messages: 10_000, bytes: 256 * MIB };
/// Bulk: a quarter of an hour of the highest load we test (500/s), and what one broker disk takes for twelve such queues.
const BULK: Limits = Limits { messages: 500_000, bytes: 2048 * MIB };
/// A tier holds retries only; when it is full the worker's retry is refused and the delivery stays unacked, which slows intake: wanted.
const DELAY: Limits = Limits { messages: 100_000, bytes: 512 * MIB };
/// Parked messages until their mover has written them into `dead_letters`.
const PARKED: Limits = Limits { messages: 100_000, bytes: 1024 * MIB };
/// One probe is enough; the next pushes it out.
const PROBES: Limits = Limits { messages: 1, bytes: MIB };

/// The name of a queue. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

impl QueueName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The work queue, dead or unrouted queue of that name; `None` if the table has no such queue (delay tiers and probes are not addressable).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let role_queue = Role::ALL.into_iter().any(|role| role.lanes().iter().any(|lane| work_queue_name(role, *lane) == name));
        (role_queue || name == DEAD || name == UNROUTED).then(|| Self(name.into()))
    }

    /// The queue that collects what could not be routed.
    #[must_use]
    pub fn unrouted() -> Self {
        Self(UNROUTED.into())
    }

    /// The queue that collects what a role queue gave up on.
    #[must_use]
    pub fn dead() -> Self {
        Self(DEAD.into())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn work_queue_name(role: Role, lane: Lane) -> String {
    match lane {
        Lane::Live => format!("frontdesk.{role}.live"),
        Lane::Bulk => format!("frontdesk.{role}"),
    }
}

/// The queue of that role and lane. A role with one lane has one queue, whatever lane is asked for: `desk` is live only, calcom-sync and backfill are
/// bulk only. `scheduler` consumes nothing: a message for it is unroutable and ends in `frontdesk.unrouted`.
#[must_use]
pub fn queue(role: Role, lane: Lane) -> QueueName {
    let lane = match role.lanes() {
        [only] => *only,
        _ => lane,
    };
    QueueName(work_queue_name(role, lane).into())
}

/// How long a message waits before it returns to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    FiveSeconds,
    OneMinute,
    FifteenMinutes,
}

impl Tier {
    /// Every tier, shortest first.
    pub const ALL: [Self; 3] = [Self::FiveSeconds, Self::OneMinute, Self::FifteenMinutes];

    /// The real delay; a broker set up with a [`Scale`] waits that much less.
    #[must_use]
    pub const fn delay(self) -> Duration {
        match self {
            Self::FiveSeconds => Duration::from_secs(5),
            Self::OneMinute => Duration::from_secs(60),
            Self::FifteenMinutes => Duration::from_secs(900),
        }
    }

    /// The tier's name in queue names and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FiveSeconds => "5s",
            Self::OneMinute => "1m",
            Self::FifteenMinutes => "15m",
        }
    }
}

/// The fanout exchange (and the one queue behind it, same name) in which that role's messages wait that long. Per role, because one full
/// queue would otherwise hold every role's retries for minutes.
#[must_use]
pub fn delay_exchange(role: Role, tier: Tier) -> String {
    format!("frontdesk.{role}.delay.{}", tier.name())
}

/// Tier times are divided by this. Production is 1, tests are 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(NonZeroU32);

impl Scale {
    /// Tier times as they are named.
    pub const REAL: Self = Self(NonZeroU32::MIN);

    /// Tier times divided by `divisor`; 0 counts as 1.
    #[must_use]
    pub fn divided_by(divisor: u32) -> Self {
        Self(NonZeroU32::new(divisor).unwrap_or(NonZeroU32::MIN))
    }

    /// A duration at this scale, never below a millisecond.
    #[must_use]
    pub fn apply(self, duration: Duration) -> Duration {
        (duration / self.0.get()).max(Duration::from_millis(1))
    }
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub messages: u32,
    pub bytes: u64,
}

/// What happens to a message that is rejected, expired, or delivered too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The publisher gets a nack: nothing is ever lost by being accepted.
    RejectPublish,
    /// The oldest is dropped: for the probe queue only, whose messages mean nothing.
    DropHead,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    Topic,
    Direct,
    Fanout,
}

/// One row: an exchange.
#[derive(Clone, Debug)]
pub struct ExchangeRow {
    pub name: String,
    pub routing: Routing,
    pub alternate: Option<&'static str>,
}

/// One row: a quorum queue and the exchanges that feed it.
#[derive(Clone, Debug)]
pub struct QueueRow {
    pub name: QueueName,
    /// (exchange, routing key)
    pub bindings: Vec<(String, String)>,
    pub limits: Limits,
    pub overflow: Overflow,
    pub tier: Option<Tier>,
    pub dead_letter_exchange: Option<&'static str>,
    pub delivery_limit: Option<u32>,
}

impl QueueRow {
    /// The declare arguments. They never change for a queue that exists: a change is a new name.
    #[must_use]
    pub fn arguments(&self, scale: Scale) -> FieldTable {
        let mut table = FieldTable::default();
        let text = |value: &str| AMQPValue::LongString(LongString::from(value));
        let whole = |value: u64| AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX));
        table.insert("x-queue-type".into(), text("quorum"));
        table.insert("x-max-length".into(), whole(self.limits.messages.into()));
        table.insert("x-max-length-bytes".into(), whole(self.limits.bytes));
        table.insert(
            "x-overflow".into(),
            text(match self.overflow {
                Overflow::RejectPublish => "reject-publish",
                Overflow::DropHead => "drop-head",
            }),
        );
        if let Some(exchange) = self.dead_letter_exchange {
            table.insert("x-dead-letter-exchange".into(), text(exchange));
            table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        }
        if let Some(limit) = self.delivery_limit {
            table.insert("x-delivery-limit".into(), whole(limit.into()));
        }
        if let Some(tier) = self.tier {
            let ttl = scale.apply(tier.delay()).as_millis();
            table.insert("x-message-ttl".into(), whole(u64::try_from(ttl).unwrap_or(u64::MAX)));
        }
        table
    }
}

/// Roles that own queues, and with them delay tiers.
fn consuming_roles() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| !role.lanes().is_empty())
}

/// Every exchange.
#[must_use]
pub fn exchanges() -> Vec<ExchangeRow> {
    let row = |name: &str, routing, alternate| ExchangeRow { name: name.to_owned(), routing, alternate };
    let mut rows = vec![
        row(UNROUTED, Routing::Fanout, None),
        row(EVENTS, Routing::Topic, Some(UNROUTED)),
        row(WORK, Routing::Direct, Some(UNROUTED)),
        row(DEAD, Routing::Fanout, None),
        row(REPLY, Routing::Direct, None),
        row(PROBE, Routing::Fanout, None),
    ];
    rows.extend(consuming_roles().flat_map(|role| Tier::ALL.map(|tier| row(&delay_exchange(role, tier), Routing::Fanout, None))));
    rows
}

/// Every queue.
#[must_use]
pub fn queues() -> Vec<QueueRow> {
    let mut rows = vec![parking_queue(UNROUTED), parking_queue(DEAD), probe_queue()];
    for role in consuming_roles() {
        rows.extend(role.lanes().iter().map(|lane| work_queue(role, *lane)));
        rows.extend(Tier::ALL.map(|tier| delay_queue(role, tier)));
    }
    rows
}

fn work_queue(role: Role, lane: Lane) -> QueueRow {
    let name = queue(role, lane);
    QueueRow {
        bindings: [EVENTS, WORK].map(|exchange| (exchange.to_owned(), name.as_str().to_owned())).into(),
        name,
        limits: match lane {
            Lane::Live => LIVE,
            Lane::Bulk => BULK,
        },
        overflow: Overflow::RejectPublish,
        tier: None,
        dead_letter_exchange: Some(DEAD),
        delivery_limit: Some(DELIVERY_LIMIT),
    }
}

fn delay_queue(role: Role, tier: Tier) -> QueueRow {
    let name = delay_exchange(role, tier);
    QueueRow {
        // the routing key is kept on the way back, so it stays the name of the queue that the message returns to
        bindings: vec![(name.clone(), String::new())],
        name: QueueName(name.into()),
        limits: DELAY,
        overflow: Overflow::RejectPublish,
        tier: Some(tier),
        dead_letter_exchange: Some(WORK),
        delivery_limit: None,
    }
}

fn parking_queue(name: &str) -> QueueRow {
    QueueRow {
        name: QueueName(name.into()),
        bindings: vec![(name.to_owned(), String::new())],
        limits: PARKED,
        overflow: Overflow::RejectPublish,
        tier: None,
        dead_letter_exchange: None,
        // its consumer gives a message back while Postgres is away: that must never drop it
        delivery_limit: Some(DELIVERY_LIMIT_NEVER),
    }
}

fn probe_queue() -> QueueRow {
    QueueRow {
        name: QueueName(PROBE.into()),
        bindings: vec![(PROBE.to_owned(), String::new())],
        limits: PROBES,
        overflow: Overflow::DropHead,
        tier: None,
        dead_letter_exchange: None,
        delivery_limit: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn argument(row: &QueueRow, name: &str) -> Option<AMQPValue> {
        row.arguments(Scale::REAL).inner().get(name).cloned()
    }

    #[test]
    fn names_are_unique() {
        let queues: BTreeSet<_> = queues().into_iter().map(|row| row.name).collect();
        let exchanges: BTreeSet<_> = exchanges().into_iter().map(|row| row.name).collect();
        assert_eq!(queues.len(), super::queues().len());
        assert_eq!(exchanges.len(), super::exchanges().len());
    }

    #[test]
    fn every_binding_and_every_dead_letter_exchange_exists() {
        let exchanges: BTreeSet<_> = exchanges().into_iter().map(|row| row.name).collect();
        for row in queues() {
            assert!(row.bindings.iter().all(|(exchange, _)| exchanges.contains(exchange)), "{}", row.name);
            assert!(row.dead_letter_exchange.is_none_or(|exchange| exchanges.contains(exchange)), "{}", row.name);
        }
    }

    #[test]
    fn every_lane_of_every_role_has_its_queue_and_every_consuming_role_its_tiers() {
        let names: BTreeSet<_> = queues().into_iter().map(|row| row.name.to_string()).collect();
        for role in Role::ALL {
            for lane in role.lanes() {
                assert!(names.contains(queue(role, *lane).as_str()));
            }
            for tier in Tier::ALL {
                assert_eq!(names.contains(&delay_exchange(role, tier)), !role.lanes().is_empty());
            }
        }
        assert_eq!(queue(Role::Booking, Lane::Live).as_str(), "frontdesk.booking.live");
        assert_eq!(queue(Role::Booking, Lane::Bulk).as_str(), "frontdesk.booking");
        assert_eq!(queue(Role::Desk, Lane::Bulk).as_str(), "frontdesk.desk.live");
        assert_eq!(queue(Role::CalcomSync, Lane::Live).as_str(), "frontdesk.calcom-sync");
    }

    #[test]
    fn every_queue_is_a_bounded_quorum_queue() {
        for row in queues() {
            assert_eq!(argument(&row, "x-queue-type"), Some(AMQPValue::LongString("quorum".into())));
            assert!(row.limits.messages > 0 && row.limits.bytes > 0);
            assert_eq!(row.overflow == Overflow::DropHead, row.name.as_str() == PROBE, "{}", row.name);
        }
    }

    #[test]
    fn work_queues_have_the_crash_net() {
        let work = queues().into_iter().filter(|row| row.dead_letter_exchange == Some(DEAD)).collect::<Vec<_>>();
        assert_eq!(work.len(), Role::ALL.iter().map(|role| role.lanes().len()).sum::<usize>());
        for row in work {
            assert_eq!(argument(&row, "x-delivery-limit"), Some(AMQPValue::LongLongInt(50)));
            assert_eq!(argument(&row, "x-dead-letter-strategy"), Some(AMQPValue::LongString("at-least-once".into())));
            assert_eq!(row.bindings.iter().map(|(exchange, _)| exchange.as_str()).collect::<Vec<_>>(), [EVENTS, WORK]);
            assert!(row.bindings.iter().all(|(_, key)| key == row.name.as_str()));
        }
    }

    #[test]
    fn tiers_keep_the_routing_key_and_shrink_with_the_scale() {
        for row in queues() {
            let Some(tier) = row.tier else { continue };
            assert_eq!(row.dead_letter_exchange, Some(WORK));
            assert_eq!(argument(&row, "x-dead-letter-routing-key"), None);
            let ttl = |scale| row.arguments(scale).inner().get("x-message-ttl").cloned();
            let millis = i64::try_from(tier.delay().as_millis()).unwrap();
            assert_eq!(ttl(Scale::REAL), Some(AMQPValue::LongLongInt(millis)));
            assert_eq!(ttl(Scale::divided_by(100)), Some(AMQPValue::LongLongInt(millis / 100)));
        }
        assert_eq!(Scale::divided_by(0), Scale::REAL);
        assert_eq!(Scale::divided_by(u32::MAX).apply(Duration::from_secs(5)), Duration::from_millis(1));
    }

    #[test]
    fn a_stored_queue_name_is_accepted_only_if_it_can_be_addressed() {
        assert_eq!(QueueName::parse("frontdesk.booking.live"), Some(queue(Role::Booking, Lane::Live)));
        assert_eq!(QueueName::parse("frontdesk.dead"), Some(QueueName::dead()));
        for foreign in ["frontdesk.booking.delay.5s", "frontdesk.probe", "frontdesk.scheduler", "frontdesk.desk", "", "amq.direct"] {
            assert_eq!(QueueName::parse(foreign), None, "{foreign}");
        }
    }
}
