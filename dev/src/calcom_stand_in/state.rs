//! The whole memory of the stand-in and the lookups over it. Changes of bookings stand in `book`, `reschedule` and
//! `decide`. It lives behind one mutex that is never held across an await.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::echo::EchoBarrier;
use super::faults::Faults;
use super::ledger::{Fate, Ledger};
use super::limiter::Limiter;
use super::model::{ApiKey, Booking, EventType, Host, Status, Webhook};
use super::replica::Replica;
use super::webhook_faults::WebhookDice;

/// Ids start where those of the fixtures do, to look familiar.
const FIRST_BOOKING_ID: i64 = 90_210;

pub struct State {
    pub hosts: BTreeMap<i64, Host>,
    pub event_types: BTreeMap<i64, EventType>,
    pub keys: Vec<ApiKey>,
    pub webhooks: Vec<Webhook>,
    pub bookings: BTreeMap<i64, Booking>,
    by_uid: HashMap<String, i64>,
    pub ledger: Ledger,
    pub limiter: Limiter,
    pub faults: Faults,
    pub echo: EchoBarrier,
    pub webhook_dice: WebhookDice,
    pub replica: Replica,
}

impl State {
    pub fn new(seed: u64) -> Self {
        Self {
            hosts: BTreeMap::new(),
            event_types: BTreeMap::new(),
            keys: Vec::new(),
            webhooks: Vec::new(),
            bookings: BTreeMap::new(),
            by_uid: HashMap::new(),
            ledger: Ledger::default(),
            limiter: Limiter::default(),
            faults: Faults::new(seed),
            echo: EchoBarrier::default(),
            webhook_dice: WebhookDice::new(seed),
            replica: Replica::new(seed),
        }
    }

    /// Forgets what happened, keeps hosts, event types, keys and webhooks.
    pub fn reset_history(&mut self, seed: u64) {
        let fresh = Self::new(seed);
        *self = Self {
            hosts: std::mem::take(&mut self.hosts),
            event_types: std::mem::take(&mut self.event_types),
            keys: std::mem::take(&mut self.keys),
            webhooks: std::mem::take(&mut self.webhooks),
            ..fresh
        };
    }

    pub fn faults_fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = self.faults.fired().clone();
        let webhooks = self.ledger.fates.iter().filter(|(fate, _)| **fate != Fate::Sent);
        fired.extend(webhooks.map(|(fate, count)| (fate.fault_name(), *count)));
        fired.insert("replica_lag", self.replica.stale_reads);
        fired
    }

    /// As `faults_fired`, but only what somebody could see: a commit behind a lost answer, a read that was not the truth, a webhook that was overtaken.
    pub fn faults_felt(&self) -> BTreeMap<&'static str, u64> {
        let mut felt = self.faults.felt().clone();
        felt.extend(self.ledger.felt.iter().map(|(fate, count)| (fate.fault_name(), *count)));
        felt.insert("replica_lag", self.replica.different_reads());
        felt
    }

    pub fn next_booking_id(&self) -> i64 {
        self.bookings.last_key_value().map_or(FIRST_BOOKING_ID, |(id, _)| id + 1)
    }

    pub fn insert(&mut self, booking: Booking) -> i64 {
        let id = booking.id;
        self.by_uid.insert(booking.uid.clone(), id);
        self.bookings.insert(id, booking);
        id
    }

    pub fn booking(&self, uid: &str) -> Option<&Booking> {
        self.bookings.get(self.by_uid.get(uid)?)
    }

    /// For a change at `now`; what it was before stays visible to a replica that lags.
    pub fn booking_mut(&mut self, uid: &str, now: DateTime<Utc>) -> Option<&mut Booking> {
        let booking = self.bookings.get_mut(self.by_uid.get(uid)?)?;
        self.replica.remember(booking.clone(), now);
        Some(booking)
    }

    /// The members of a recurring series, in order of time.
    pub fn series(&self, recurring_uid: &str) -> Vec<&Booking> {
        let mut members: Vec<_> = self.bookings.values().filter(|booking| booking.recurring_uid.as_deref() == Some(recurring_uid)).collect();
        members.sort_by_key(|booking| booking.start);
        members
    }

    /// Accepted bookings of this host that overlap. Pending ones do not block, as in the original (3.4).
    pub fn taken<'a>(&'a self, host: i64, start: DateTime<Utc>, end: DateTime<Utc>, except_uid: Option<&'a str>) -> impl Iterator<Item = &'a Booking> {
        self.bookings.values().filter(move |booking| {
            booking.status == Status::Accepted
                && booking.start < end
                && start < booking.end
                && booking.host_ids.contains(&host)
                && Some(booking.uid.as_str()) != except_uid
        })
    }

    /// May this key see the booking? (3.11, trap 4: an attendee's key sees it too.)
    pub fn visible(&self, key: &ApiKey, booking: &Booking) -> bool {
        let Some(user) = key.user_id else {
            return true;
        };
        let owner = self.event_types.get(&booking.event_type_id).and_then(EventType::owner);
        let email = self.hosts.get(&user).map(|host| host.email.as_str());
        booking.host_ids.contains(&user) || owner == Some(user) || booking.attendees.iter().any(|attendee| Some(attendee.email.as_str()) == email)
    }
}
