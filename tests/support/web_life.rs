//! A seeded life of many bookings made on Cal.com's page: visitors book, move and cancel, hosts move, cancel, confirm and reject. The same seed does the same in
//! every stand-in, whatever becomes of the webhooks; uids differ from run to run and have labels that do not.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use dev::calcom_stand_in::{CalcomStandIn, VisitorBooking, VisitorCancel, VisitorMove};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Two hosts in turn, and one host; the second one's bookings await the host's word (`WorldOptions::confirm_event_types`).
pub const EVENT_TYPES: [i64; 2] = [1320, 1321];
/// Its host confirms.
pub const CONFIRMED: i64 = 1321;
/// Between two deeds, by Cal.com's clock.
pub const PACE: std::time::Duration = std::time::Duration::from_secs(30);
/// No two bookings of a life ever want the same time.
const FIRST: &str = "2028-02-07T08:00:00Z";

/// What somebody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Book { event_type: i64 },
    Move { booking: usize, as_host: bool },
    Cancel { booking: usize, as_host: bool },
    Decide { booking: usize, accept: bool },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct WebLife {
    pub deeds: Vec<Deed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Pending,
    Accepted,
    Over,
}

impl WebLife {
    /// A life of that many deeds.
    #[must_use]
    pub fn seeded(seed: u64, deeds: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bookings: Vec<(i64, Now)> = Vec::new();
        let mut life = Vec::with_capacity(deeds);
        while life.len() < deeds {
            let alive: Vec<usize> = (0..bookings.len()).filter(|index| bookings[*index].1 != Now::Over).collect();
            let Some(booking) = alive.choose(&mut rng).copied().filter(|_| rng.random_bool(0.6)) else {
                let event_type = EVENT_TYPES[rng.random_range(0..2)];
                bookings.push((event_type, if event_type == CONFIRMED { Now::Pending } else { Now::Accepted }));
                life.push(Deed::Book { event_type });
                continue;
            };
            let (event_type, now) = bookings[booking];
            let (dice, as_host) = (rng.random_range(0..10), rng.random_bool(0.4));
            let deed = match now {
                Now::Pending if dice < 5 => Deed::Decide { booking, accept: true },
                Now::Pending if dice < 7 => Deed::Decide { booking, accept: false },
                // a host would confirm by moving it (calcom reference 3.7)
                Now::Pending if dice < 8 => Deed::Move { booking, as_host: false },
                Now::Accepted if dice < 6 => Deed::Move { booking, as_host },
                _ => Deed::Cancel { booking, as_host },
            };
            bookings[booking].1 = match &deed {
                Deed::Cancel { .. } | Deed::Decide { accept: false, .. } => Now::Over,
                // whoever is not the host asks again
                Deed::Move { as_host: false, .. } if event_type == CONFIRMED => Now::Pending,
                _ => Now::Accepted,
            };
            life.push(deed);
        }
        Self { deeds: life }
    }
}

/// A life that is lived in one stand-in.
pub struct Living<'a> {
    life: &'a WebLife,
    calcom: &'a CalcomStandIn,
    next: usize,
    slots: i64,
    /// The newest uid of each booking, and how many it had.
    heads: Vec<(String, usize)>,
    labels: BTreeMap<String, String>,
}

impl<'a> Living<'a> {
    #[must_use]
    pub fn new(life: &'a WebLife, calcom: &'a CalcomStandIn) -> Self {
        Self { life, calcom, next: 0, slots: 0, heads: Vec::new(), labels: BTreeMap::new() }
    }

    /// Lives on until that many deeds are done.
    ///
    /// # Panics
    /// When Cal.com refuses one: lives are made so that it does not.
    pub async fn until(&mut self, deeds: usize) {
        while self.next < deeds.min(self.life.deeds.len()) {
            let deed = self.life.deeds[self.next].clone();
            self.next += 1;
            let passed = PACE * u32::try_from(self.next).unwrap_or(u32::MAX);
            self.calcom.set_clock_offset_ms(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
            self.live(&deed).await.unwrap_or_else(|error| panic!("deed {} {deed:?} is refused: {error:?}", self.next));
        }
    }

    /// uid → which booking it is and the how-manieth of its uids.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    async fn live(&mut self, deed: &Deed) -> Result<(), dev::calcom_stand_in::ApiError> {
        match deed {
            Deed::Book { event_type } => {
                // some people come again
                let person = self.heads.len() % 17;
                let booking = VisitorBooking {
                    event_type_id: *event_type,
                    start: self.slot(),
                    name: format!("Besucherin {person}"),
                    email: format!("besucherin{person}@example.org"),
                    phone: None,
                    notes: String::new(),
                };
                let uid = self.calcom.visitor_book(booking).await?.uid;
                self.heads.push((String::new(), 0));
                self.label(self.heads.len() - 1, uid);
            }
            Deed::Move { booking, as_host } => {
                let order = VisitorMove { uid: self.heads[*booking].0.clone(), start: self.slot(), as_host: *as_host };
                let uid = self.calcom.visitor_reschedule(order).await?.uid;
                self.label(*booking, uid);
            }
            Deed::Cancel { booking, as_host } => {
                let reason = Some(format!("Grund {booking}"));
                self.calcom.visitor_cancel(VisitorCancel { uid: self.heads[*booking].0.clone(), reason, as_host: *as_host }).await?;
            }
            // without a reason: the API does not give it back (calcom reference 3.10)
            Deed::Decide { booking, accept } => drop(self.calcom.host_decides(&self.heads[*booking].0, *accept, None).await?),
        }
        Ok(())
    }

    fn slot(&mut self) -> DateTime<Utc> {
        self.slots += 1;
        FIRST.parse::<DateTime<Utc>>().expect("a constant instant") + Duration::minutes(30 * self.slots)
    }

    fn label(&mut self, booking: usize, uid: String) {
        let head = &mut self.heads[booking];
        head.1 += 1;
        self.labels.insert(uid.clone(), format!("booking {booking} uid {}", head.1));
        head.0 = uid;
    }
}
