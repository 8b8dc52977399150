//! Who rings, books, moves and cancels when: a pure function of seed, length and rate. Open loop: a time is a time, whatever the answers take.
//! Every booking wish has a slot of its own, so that a double is visible; but for a few that are contested, so that a race is, and for some that follow into a slot
//! that was given up, so that a claim left behind is met again. Called by `load`.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::provocation::Provocation;
use super::tenants::{COMPANIES, Tenant};

/// Per second at rate 1: some 200 requests in all, of which each life makes several and each call three.
const PHONE_LIVES: f64 = 4.0;
const WEB_LIVES: f64 = 2.4;
const CALLS: f64 = 14.0;
const RETELL_EVENTS: f64 = 70.0;
const CALCOM_EVENTS: f64 = 54.0;
/// Events that name a booking nobody knows: they are asked for again and again, then parked. Few, and early: their last attempt is a minute later.
const STRAYS: f64 = 0.1;
const STRAYS_END_AT: f64 = 0.3;
/// Of all lives.
const MOVED: f64 = 0.45;
const CANCELLED: f64 = 0.3;
/// Of callers' lives that give a slot up: somebody else rings for it afterwards.
const REBOOKED: f64 = 0.4;
/// So long after it was given up: mostly that is settled by then.
const REBOOKED_AFTER_MIN: Duration = Duration::from_secs(6);
const REBOOKED_AFTER_MAX: Duration = Duration::from_secs(14);
/// Requests that the provider sends twice.
const DOUBLED: f64 = 0.1;
/// Between two wishes of one life.
const GAP_MIN: Duration = Duration::from_secs(3);
const GAP_MAX: Duration = Duration::from_secs(45);
/// A rival rings or clicks at most so much later: before the other knows what became of the wish.
const RIVAL_WITHIN: Duration = Duration::from_millis(800);
/// Rivals who use the web page; the others ring.
const RIVALS_ON_THE_WEB: f64 = 0.5;
/// Of the hasty: well below the delay of a late webhook.
const HASTY_MIN: Duration = Duration::from_millis(150);
const HASTY_MAX: Duration = Duration::from_millis(1500);

/// How an appointment comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Phone,
    Web,
}

/// The wishes about one appointment.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    pub origin: Origin,
    pub tenant: Tenant,
    /// Of the appointment and its customer.
    pub number: u64,
    pub event_type: i64,
    /// Number of the slot (`tenants::slot`).
    pub slot: u64,
    /// So long after the booking, to this slot.
    pub moved: Option<(Duration, u64)>,
    /// So long after the last wish.
    pub cancelled: Option<Duration>,
    pub doubled: bool,
    /// The host does it instead of the visitor.
    pub by_host: bool,
    /// Somebody else wants the same slot at the same time, and one of them gets it.
    pub contested: bool,
    /// So long after the last wish somebody else rings for the slot of the booking, which is free again then.
    pub rebooked: Option<Duration>,
    /// Whose slot this one takes over.
    pub follows: Option<u64>,
}

/// Far above the numbers of all arrivals.
const FOLLOWERS_FROM: u64 = 500_000;

impl Life {
    /// Who rings for what this one has given up.
    pub fn follower(&self) -> Self {
        let number = FOLLOWERS_FROM + self.number;
        Self { number, moved: None, cancelled: None, doubled: false, contested: false, rebooked: None, follows: Some(self.number), ..self.clone() }
    }
}

/// What begins at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    Life(Life),
    /// A call without any wish: its events in some order.
    Call {
        tenant: Tenant,
        number: u64,
        reordered: bool,
        doubled: bool,
    },
    RetellEvent {
        tenant: Tenant,
        number: u64,
    },
    CalcomEvent {
        tenant: Tenant,
        number: u64,
    },
    Stray {
        tenant: Tenant,
        number: u64,
    },
}

/// Everything, in the order of time.
pub fn schedule(seed: u64, length: Duration, rate: f64, provocation: &Provocation) -> Vec<(Duration, Arrival)> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x10ad);
    let mut slots = Slots::default();
    let mut all = Vec::new();
    for (origin, per_second) in [(Origin::Phone, PHONE_LIVES * provocation.callers), (Origin::Web, WEB_LIVES)] {
        for at in times(&mut rng, length, per_second * rate) {
            let number = all.len() as u64;
            let life = life(&mut rng, &mut slots, origin, number, length.saturating_sub(at), provocation.hasty);
            if origin == Origin::Phone && rng.random_bool(provocation.contested) {
                all.extend(rivals(&mut rng, &mut slots, life, at));
            } else {
                all.push((at, Arrival::Life(life)));
            }
        }
    }
    let until = length.mul_f64(STRAYS_END_AT);
    let kinds: [(f64, Duration, Make); 4] = [
        (CALLS, length, |tenant, number, rng| Arrival::Call { tenant, number, reordered: rng.random_bool(0.1), doubled: rng.random_bool(DOUBLED) }),
        (RETELL_EVENTS, length, |tenant, number, _| Arrival::RetellEvent { tenant, number }),
        (CALCOM_EVENTS, length, |tenant, number, _| Arrival::CalcomEvent { tenant, number }),
        (STRAYS * provocation.strays, until, |tenant, number, _| Arrival::Stray { tenant, number }),
    ];
    for (per_second, until, make) in kinds {
        for at in times(&mut rng, until, per_second * rate) {
            let tenant = any_tenant(&mut rng);
            let number = all.len() as u64;
            all.push((at, make(tenant, number, &mut rng)));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// What arrives for this tenant under this number.
type Make = fn(Tenant, u64, &mut StdRng) -> Arrival;

/// Evenly, each somewhere within its own stretch.
fn times(rng: &mut StdRng, length: Duration, per_second: f64) -> Vec<Duration> {
    let mut times = Vec::new();
    for place in 0_u32.. {
        let at = Duration::from_secs_f64((f64::from(place) + rng.random_range(0.0..1.0)) / per_second);
        if at >= length {
            return times;
        }
        times.push(at);
    }
    times
}

fn any_tenant(rng: &mut StdRng) -> Tenant {
    Tenant(rng.random_range(0..COMPANIES))
}

/// Two callers, or a caller and a visitor, who want the same fixed slot at nearly the same moment, and nothing else.
fn rivals(rng: &mut StdRng, slots: &mut Slots, life: Life, at: Duration) -> [(Duration, Arrival); 2] {
    let event_type = life.tenant.fixed_event_type();
    let one = Life { event_type, slot: slots.next(event_type), moved: None, cancelled: None, doubled: false, contested: true, rebooked: None, ..life };
    let origin = if rng.random_bool(RIVALS_ON_THE_WEB) { Origin::Web } else { Origin::Phone };
    let other = Life { origin, number: one.number + 1, ..one.clone() };
    let (earlier, later) = if rng.random_bool(0.5) { (one, other) } else { (other, one) };
    [(at, Arrival::Life(earlier)), (at + RIVAL_WITHIN.mul_f64(rng.random_range(0.0..1.0)), Arrival::Life(later))]
}

fn life(rng: &mut StdRng, slots: &mut Slots, origin: Origin, number: u64, left: Duration, hasty: f64) -> Life {
    let tenant = any_tenant(rng);
    let event_type = if rng.random_bool(0.5) { tenant.fixed_event_type() } else { tenant.round_robin_event_type() };
    let slot = slots.next(event_type);
    let mut left = left;
    // a caller needs a while to ring again
    let hasty = origin == Origin::Web && rng.random_bool(hasty);
    let moved = gap(rng, MOVED, hasty, &mut left).map(|gap| (gap, slots.next(event_type)));
    let cancelled = gap(rng, CANCELLED, hasty, &mut left);
    let (doubled, by_host) = (rng.random_bool(DOUBLED), rng.random_bool(0.3));
    let gives_up = origin == Origin::Phone && (moved.is_some() || cancelled.is_some());
    let after = rng.random_range(REBOOKED_AFTER_MIN..REBOOKED_AFTER_MAX);
    let rebooked = (rng.random_bool(REBOOKED) && gives_up && after <= left).then_some(after);
    Life { origin, tenant, number, event_type, slot, moved, cancelled, doubled, by_host, contested: false, rebooked, follows: None }
}

/// A pause before the next wish, if there is one and the load lasts so long.
fn gap(rng: &mut StdRng, chance: f64, hasty: bool, left: &mut Duration) -> Option<Duration> {
    if !rng.random_bool(chance) {
        return None;
    }
    let (least, most) = if hasty { (HASTY_MIN, HASTY_MAX) } else { (GAP_MIN, GAP_MAX.min(left.mul_f64(0.6))) };
    let gap = rng.random_range(least..least.max(most) + Duration::from_millis(1));
    *left = left.checked_sub(gap)?;
    Some(gap)
}

/// Hands out each slot once.
#[derive(Default)]
struct Slots(BTreeMap<i64, u64>);

impl Slots {
    fn next(&mut self, event_type: i64) -> u64 {
        let next = self.0.entry(event_type).or_default();
        *next += 1;
        *next - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::trial::Trial;
    use super::*;

    fn lives(all: &[(Duration, Arrival)]) -> Vec<&Life> {
        all.iter().filter_map(|(_, arrival)| if let Arrival::Life(life) = arrival { Some(life) } else { None }).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_load() {
        let (length, usual) = (Duration::from_secs(40), Provocation::of(Trial::Ordinary));
        assert_eq!(schedule(5, length, 1.0, &usual), schedule(5, length, 1.0, &usual));
        assert_ne!(schedule(5, length, 1.0, &usual), schedule(6, length, 1.0, &usual));
    }

    #[test]
    fn ten_minutes_book_more_than_two_thousand_times_by_phone_and_only_rivals_want_the_same_slot() {
        let all = schedule(1, Duration::from_secs(600), 1.0, &Provocation::of(Trial::Ordinary));
        assert!(all.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        let lives = lives(&all);
        let by_phone = lives.iter().filter(|life| life.origin == Origin::Phone && !life.contested).count();
        // a tenth may meet a fault that the caller hears of
        assert!(by_phone > 2_250, "{by_phone}");
        let slots = lives
            .iter()
            .filter(|life| !life.contested)
            .flat_map(|life| [Some(life.slot), life.moved.map(|(_, slot)| slot)].into_iter().flatten().map(|slot| (life.event_type, slot)));
        let slots: Vec<_> = slots.collect();
        assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len());
        let customers: BTreeSet<_> = lives.iter().map(|life| (life.tenant.0, life.number)).collect();
        assert_eq!(customers.len(), lives.len());
        let uncontested: BTreeSet<_> = slots.into_iter().collect();
        assert!(lives.iter().filter(|life| life.contested).all(|life| !uncontested.contains(&(life.event_type, life.slot))));
    }

    #[test]
    fn some_freed_slots_are_wanted_by_somebody_else_in_a_short_campaign_too() {
        for seed in 0..5 {
            let all = schedule(seed, Duration::from_secs(40), 0.7, &Provocation::of(Trial::Ordinary));
            let followed: Vec<&Life> = lives(&all).into_iter().filter(|life| life.rebooked.is_some()).collect();
            assert!(followed.len() >= 2, "{}", followed.len());
            for life in followed {
                assert!(life.origin == Origin::Phone && !life.contested && (life.moved.is_some() || life.cancelled.is_some()));
                let follower = life.follower();
                assert_eq!((follower.follows, follower.slot, follower.event_type), (Some(life.number), life.slot, life.event_type));
                assert!(follower.rebooked.is_none() && follower.moved.is_none() && follower.number >= FOLLOWERS_FROM);
            }
            assert!(all.len() < FOLLOWERS_FROM as usize);
        }
    }

    #[test]
    fn about_five_of_a_hundred_lives_are_contested_by_callers_and_by_visitors() {
        for seed in 0..5 {
            let all = schedule(seed, Duration::from_secs(600), 1.0, &Provocation::of(Trial::Ordinary));
            let lives = lives(&all);
            let contested: Vec<&&Life> = lives.iter().filter(|life| life.contested).collect();
            let share = contested.len() as f64 / lives.len() as f64;
            assert!((0.035..0.065).contains(&share), "{share}");
            let mut wanted: BTreeMap<(i64, u64), Vec<Origin>> = BTreeMap::new();
            contested.iter().for_each(|life| wanted.entry((life.event_type, life.slot)).or_default().push(life.origin));
            assert!(wanted.values().all(|origins| origins.len() == 2 && origins.contains(&Origin::Phone)));
            let with_a_visitor = wanted.values().filter(|origins| origins.contains(&Origin::Web)).count();
            assert!(with_a_visitor > 10 && wanted.len() - with_a_visitor > 10, "{with_a_visitor} of {}", wanted.len());
        }
    }
}
