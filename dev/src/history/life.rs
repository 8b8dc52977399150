//! What really happened to an appointment: who booked it, who moved it, who cancelled it, when, through what and in which call. The truth, before anything is lost.
//! A function of the plan and the place alone. Not what the former system kept of it (`evidence`). Called by `contents`.
//!
//! Everything that happens to one customer happens on days of their own (the places of a customer's appointments differ by eight's remainder, and so do the days), so
//! that no call is by accident a second candidate for a change: where there are two candidates, `calls` made them.
use super::chance::Chance;
use super::plan::{DAY, FIRST_DAY, PER_CUSTOMER, Plan};

/// Days between the things that happen to an appointment; appointments of one customer have different remainders by it.
const STRIDE: i64 = 8;
/// So many strides lie between the first booking and the last.
const BOOKING_STRIDES: u64 = 26;
/// Some appointments are of an earlier customer: by an odd number of places, whose own days are then the others.
const REGULAR_STEPS_BACK: u64 = 7;
/// Second thing in the same call.
const SAME_CALL_LATER: i64 = 40;

/// The way a change came in, with the word that our columns have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    RetellPhone,
    RetellWebhook,
    RetellApi,
    Calcom,
    Portal,
    Admin,
    /// The former system's own backfill from Cal.com.
    Backfill,
}

impl Channel {
    pub const fn word(self) -> &'static str {
        match self {
            Self::RetellPhone => "retell_phone",
            Self::RetellWebhook => "retell_webhook",
            Self::RetellApi => "retell_api",
            Self::Calcom => "calcom_webhook",
            Self::Portal => "customer_portal",
            Self::Admin => "crm_admin",
            Self::Backfill => "backfill_from_calcom",
        }
    }

    /// There was a call.
    pub const fn by_phone(self) -> bool {
        matches!(self, Self::RetellPhone | Self::RetellWebhook | Self::RetellApi)
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Seconds since 1970.
    pub at: i64,
    pub channel: Channel,
    /// `customer`, `staff` or `system`.
    pub actor: &'static str,
    /// Which user of the company did it by hand.
    pub user: Option<u64>,
    /// Place of the call (`retell_call_id`).
    pub call: Option<u64>,
    /// The times before and after.
    pub from: Option<i64>,
    pub to: i64,
    pub reason: Option<&'static str>,
}

/// An appointment's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    pub company: usize,
    /// Place among the appointments of the company.
    pub place: u64,
    pub customer: u64,
    pub service: u64,
    pub staff: u64,
    pub booked: Deed,
    pub moves: Vec<Deed>,
    pub cancelled: Option<Deed>,
    /// Of those that stand, one in so many did not come.
    pub no_show: bool,
    /// The second appointment of one call (incident 29): the call belongs to the place before.
    pub second_of_call: bool,
}

impl Life {
    pub fn starts_at(&self) -> i64 {
        self.moves.last().map_or(self.booked.to, |last| last.to)
    }

    /// The last thing that happened: what the former system had in `updated_at`.
    pub fn changed_at(&self) -> i64 {
        self.cancelled.as_ref().or(self.moves.last()).unwrap_or(&self.booked).at
    }
}

const REASONS: [&str; 5] = ["Krank geworden", "Termin passt nicht mehr", "Kind muss zum Arzt", "Anderweitig versorgt", "Zug fällt aus"];

/// The life of the appointment at a place of a company.
pub fn life(plan: &Plan, company: usize, place: u64) -> Life {
    let mut life = alone(plan, company, place);
    // every so often the second of two places was booked in the call of the first
    if place % PER_CUSTOMER == 1 && Chance::of(&[plan.seed, 8, company as u64, place]).percent(30) {
        let first = alone(plan, company, place - 1);
        if first.customer == life.customer && first.booked.channel == Channel::RetellPhone {
            // the day after the call's is the first of this place's own, so what comes later keeps its distance and its days
            let shift = (first.booked.at / DAY + 1 - life.booked.at / DAY) * DAY;
            for deed in std::iter::once(&mut life.booked).chain(&mut life.moves).chain(&mut life.cancelled) {
                (deed.at, deed.from, deed.to) = (deed.at + shift, deed.from.map(|from| from + shift), deed.to + shift);
            }
            life.booked = Deed { at: first.booked.at + SAME_CALL_LATER, to: life.booked.to, ..first.booked };
            life.second_of_call = true;
        }
    }
    life
}

fn alone(plan: &Plan, company: usize, place: u64) -> Life {
    let mut chance = Chance::of(&[plan.seed, 7, company as u64, place]);
    let own = place / PER_CUSTOMER;
    let customer = if own >= REGULAR_STEPS_BACK && chance.percent(12) { own - REGULAR_STEPS_BACK } else { own };
    let moves: i64 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3][index(chance.below(20))];
    let cancelled = chance.percent(20);
    let strides = moves + i64::from(cancelled);
    let day = FIRST_DAY + (place % 8).cast_signed() + STRIDE * chance.below(BOOKING_STRIDES).cast_signed();
    let at =
        |chance: &mut Chance, day: i64| day * DAY + (7 + chance.below(10).cast_signed()) * 3600 + minutes_of(plan, company) + chance.below(720).cast_signed();
    let first_start = (day + STRIDE * strides + 2 + chance.below(12).cast_signed()) * DAY + slot(&mut chance);
    let booked_at = at(&mut chance, day);
    let booked = deed(&mut chance, plan, place, Change::Booked, booked_at, None, first_start);
    let mut done = Vec::new();
    let mut start = first_start;
    for number in 1..=moves {
        let moved_at = at(&mut chance, day + STRIDE * number);
        // another day, so never the same time
        let to = (start / DAY + 1 + chance.below(3).cast_signed()) * DAY + slot(&mut chance);
        done.push(deed(&mut chance, plan, place, Change::Moved(number.cast_unsigned()), moved_at, Some(start), to));
        start = to;
    }
    let cancelled_at = at(&mut chance, day + STRIDE * strides);
    let cancelled = cancelled.then(|| deed(&mut chance, plan, place, Change::Cancelled, cancelled_at, Some(start), start));
    Life {
        company,
        place,
        customer,
        service: chance.below(plan.services()),
        staff: chance.below(plan.staff()),
        booked,
        moves: done,
        cancelled,
        no_show: chance.percent(5),
        second_of_call: false,
    }
}

/// Where in an hour things happen in a company: never when they happen in its neighbour, whose calls end up here and there (`calls`).
const fn minutes_of(plan: &Plan, company: usize) -> i64 {
    let third = company + 1 == plan.companies && plan.companies % 2 == 1;
    if third { 2_400 } else { 1_200 * (company % 2) as i64 }
}

/// Quarters of an hour between 7:00 and 16:45 UTC.
fn slot(chance: &mut Chance) -> i64 {
    7 * 3600 + 900 * chance.below(40).cast_signed()
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// What a deed does; a call's place follows from it.
#[derive(Debug, Clone, Copy)]
enum Change {
    Booked,
    Moved(u64),
    Cancelled,
}

/// Calls of an appointment's place: the booking's, up to three moves', the cancellation's; the rest are for those that run at the same moment.
pub const CALLS_PER_PLACE: u64 = 16;

fn deed(chance: &mut Chance, plan: &Plan, place: u64, change: Change, at: i64, from: Option<i64>, to: i64) -> Deed {
    let weighted = |chance: &mut Chance, of: &[(Channel, &'static str, u64)]| {
        let mut left = chance.below(100);
        for (channel, actor, weight) in of {
            if left < *weight {
                return (*channel, *actor);
            }
            left -= weight;
        }
        (of[0].0, of[0].1)
    };
    use Channel::{Admin, Backfill, Calcom, Portal, RetellApi, RetellPhone, RetellWebhook};
    let (channel, actor) = match change {
        Change::Booked => weighted(
            chance,
            &[
                (RetellPhone, "customer", 30),
                (RetellWebhook, "customer", 24),
                (RetellApi, "customer", 5),
                (Calcom, "customer", 22),
                (Portal, "customer", 6),
                (Admin, "staff", 10),
                (Backfill, "system", 3),
            ],
        ),
        Change::Moved(_) | Change::Cancelled => {
            weighted(chance, &[(RetellApi, "customer", 45), (Calcom, "customer", 20), (Calcom, "staff", 12), (Portal, "customer", 10), (Admin, "staff", 13)])
        }
    };
    let offset = match change {
        Change::Booked => 0,
        Change::Moved(number) => number,
        Change::Cancelled => 4,
    };
    let reason = matches!(change, Change::Cancelled) && chance.percent(65);
    Deed {
        at,
        channel,
        actor,
        user: (channel == Admin).then(|| chance.below(plan.users())),
        call: channel.by_phone().then_some(place * CALLS_PER_PLACE + offset),
        from,
        to,
        reason: reason.then(|| chance.pick(&REASONS)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn what_happens_to_a_customer_happens_on_different_days_or_in_one_call() {
        let plan = Plan { seed: 11, companies: 3, appointments: 9_000 };
        let mut days: HashMap<(u64, i64), u64> = HashMap::new();
        for place in 0..3_000 {
            let life = life(&plan, 1, place);
            for deed in std::iter::once(&life.booked).chain(&life.moves).chain(&life.cancelled) {
                let other = days.insert((life.customer, deed.at / DAY), place);
                assert!(other.is_none() || (life.second_of_call && other == Some(place - 1)), "customer {} of places {place} and {other:?}", life.customer);
            }
        }
    }

    #[test]
    fn a_life_goes_forward() {
        let plan = Plan { seed: 5, companies: 2, appointments: 4_000 };
        for place in 0..2_000 {
            let life = life(&plan, 0, place);
            let mut at = life.booked.at;
            let mut start = life.booked.to;
            for moved in &life.moves {
                assert!(moved.at > at && moved.from == Some(start) && moved.to != start, "{life:?}");
                (at, start) = (moved.at, moved.to);
            }
            assert!(life.cancelled.as_ref().is_none_or(|cancelled| cancelled.at > at && cancelled.from == Some(start)));
            assert!(life.starts_at() > life.changed_at(), "{life:?}");
        }
    }
}
