//! Reads of Cal.com come from a replica (reference/calcom.md 1.6): GET and list may show the state of some time ago, and a
//! list shows what the replica knew then, by its filters and in its order. Changes always see the truth.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::model::Booking;
use super::state::State;

/// Older versions of a booking are forgotten: no replica lags more.
const REMEMBERED: TimeDelta = TimeDelta::minutes(2);
/// And never more than these, whatever the load.
const VERSIONS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReplicaLag {
    /// How old the state is that a read shows; at most two minutes.
    pub ms: u64,
    /// Chance per read, 0 to 1; nothing = every read.
    #[serde(default)]
    pub probability: Option<f64>,
}

/// A version that was true until `replaced_at`.
struct Version {
    replaced_at: DateTime<Utc>,
    booking: Booking,
}

pub struct Replica {
    pub lag: Option<ReplicaLag>,
    /// Reads that were answered from an old state.
    pub stale_reads: u64,
    /// Those of them that showed something else than the truth: mostly nothing has changed since.
    different_reads: Cell<u64>,
    versions: VecDeque<Version>,
    rng: StdRng,
}

impl Replica {
    pub fn new(seed: u64) -> Self {
        Self { lag: None, stale_reads: 0, different_reads: Cell::new(0), versions: VecDeque::new(), rng: StdRng::seed_from_u64(seed) }
    }

    pub fn different_reads(&self) -> u64 {
        self.different_reads.get()
    }

    /// Keeps what a booking was before a change.
    pub fn remember(&mut self, booking: Booking, now: DateTime<Utc>) {
        while self.versions.len() >= VERSIONS_MAX || self.versions.front().is_some_and(|oldest| now - oldest.replaced_at > REMEMBERED) {
            self.versions.pop_front();
        }
        self.versions.push_back(Version { replaced_at: now, booking });
    }

    /// The moment that this read shows; nothing = now.
    pub fn moment(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let lag = self.lag?;
        let chance = lag.probability.unwrap_or(1.0).clamp(0.0, 1.0);
        if chance < 1.0 && !self.rng.random_bool(chance) {
            return None;
        }
        self.stale_reads += 1;
        Some(now - TimeDelta::milliseconds(i64::try_from(lag.ms).unwrap_or(i64::MAX)).min(REMEMBERED))
    }
}

/// The bookings as one read sees them.
pub struct View<'a> {
    state: &'a State,
    moment: Option<DateTime<Utc>>,
    /// What was different at that moment.
    old: HashMap<i64, &'a Booking>,
}

impl State {
    /// Counts a read if what it shows is not what is true.
    pub fn compare_read<'a>(&self, shown: impl IntoIterator<Item = &'a Booking>, truth: impl IntoIterator<Item = &'a Booking>) {
        let face = |booking: &'a Booking| (booking.id, booking.status, booking.updated_at);
        if !shown.into_iter().map(face).eq(truth.into_iter().map(face)) {
            self.replica.different_reads.set(self.replica.different_reads.get() + 1);
        }
    }

    pub fn view(&self, moment: Option<DateTime<Utc>>) -> View<'_> {
        let mut old = HashMap::new();
        if let Some(moment) = moment {
            // From the newest on: the oldest of those replaced after the moment is what stood then.
            let later = self.replica.versions.iter().rev().take_while(|version| version.replaced_at > moment);
            old.extend(later.map(|version| (version.booking.id, &version.booking)));
        }
        View { state: self, moment, old }
    }
}

impl<'a> View<'a> {
    pub fn bookings(&self) -> impl Iterator<Item = &'a Booking> + '_ {
        self.state.bookings.values().filter_map(|booking| self.then(booking))
    }

    pub fn booking(&self, uid: &str) -> Option<&'a Booking> {
        self.then(self.state.booking(uid)?)
    }

    pub fn series(&self, recurring_uid: &str) -> Vec<&'a Booking> {
        self.state.series(recurring_uid).into_iter().filter_map(|booking| self.then(booking)).collect()
    }

    fn then(&self, booking: &'a Booking) -> Option<&'a Booking> {
        let known = self.moment.is_none_or(|moment| booking.created_at <= moment);
        known.then(|| self.old.get(&booking.id).copied().unwrap_or(booking))
    }
}
