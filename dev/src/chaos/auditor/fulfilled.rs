//! How many wishes came to nothing that could be fulfilled (part of I1; done 4 of issue 3): every acknowledged wish of a caller for a time that was free is done, or it is
//! counted here. What was free, and what overtook what, the campaign knows by itself; the product's reasons are only printed. Called by `no_loss`.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

use super::super::record::{Record, Wish, WishKind};
use super::super::tenants::ZONE;
use super::evidence::Evidence;
use super::findings::Findings;
use super::rows::FunctionRow;
use super::wishes::{done, of_callers};

/// Done 4 of issue 3: at least 99.5 % are confirmed. Of fewer than 600 three may fail: a share of them is an anecdote.
const FAILED_ONE_IN: usize = 200;
const FAILED_FREE: usize = 3;
/// A hold ends with its call, and after five minutes without a word of the caller (architecture section 9); he heard of it up to a deadline after he asked.
const HELD_MAX: TimeDelta = TimeDelta::seconds(310);
/// A hold on a person's time is as long as the service.
const LONGEST_SERVICE: TimeDelta = TimeDelta::hours(1);
/// When a change is settled, its slot is free; for clocks that read the same time a moment apart.
const KNOWN_FREE_AFTER: TimeDelta = TimeDelta::seconds(1);

/// Wishes that could be fulfilled and were not.
#[derive(Debug, Default)]
pub struct Failed {
    pub all: usize,
    /// By the class of their error, or by the reason that the caller was given.
    pub failed: BTreeMap<String, usize>,
    /// Uttered before an earlier wish of the same appointment was taken in: whoever rings again before the booking is known hears that there is none.
    pub early: usize,
    /// For a time that another caller had been offered up to five minutes before, and that was held for him: refused at once, without an intent.
    pub held: usize,
    /// Moves and cancellations that were refused before any intent was recorded. Counted and printed, not judged: how many are rightly so has not been measured.
    pub refused_changes: usize,
}

impl Failed {
    pub fn words(&self) -> String {
        let classes: Vec<String> = self.failed.iter().map(|(class, times)| format!("{times} × {class}")).collect();
        let (times, all, early) = (self.times(), self.all, self.early);
        format!(
            "{times} of {all} that could be fulfilled{}{}; {early} came too early, {} were for a time offered to somebody else, {} other changes were refused",
            if classes.is_empty() { "" } else { ": " },
            classes.join(", "),
            self.held,
            self.refused_changes
        )
    }

    fn times(&self) -> usize {
        self.failed.values().sum()
    }
}

/// Every acknowledged wish of a caller for what was free: done, or a failure. Not counted: rivals for one slot, what the
/// loser of a race was offered instead (a slot offered is held), what was wished of an appointment that was not made
/// (which is a failure once), and what overtook an earlier wish of the same appointment, or was overtaken. Whether a slot was free, the campaign knows; not the product's
/// own reason.
pub fn failed_share(record: &Record, evidence: &Evidence) -> Failed {
    let rows = evidence.functions();
    let contested = contested(&record.wishes);
    let is_done = |wish: &Wish, message_id: &str| rows.get(message_id).is_some_and(|row| row.success == Some(true) && done(evidence, wish, row));
    let mut in_order: Vec<_> = of_callers(record).collect();
    in_order.sort_by_key(|(wish, ..)| wish.uttered_at);
    let freed = freed(&in_order, evidence, &rows);
    let offers = offers(&in_order, &rows);
    let mut found = Failed::default();
    let mut broken_off: HashSet<u64> = HashSet::new();
    let recorded_at = |message_id: &str| Some(evidence.intent(rows.get(message_id)?.intent_id?)?.created_at);
    let mut earlier: HashMap<u64, Vec<Option<DateTime<Utc>>>> = HashMap::new();
    let cancelled: HashSet<u64> = in_order.iter().filter(|(wish, ..)| wish.kind == WishKind::Cancel).map(|(wish, ..)| wish.appointment).collect();
    for (wish, _, message_id) in in_order {
        let is_possible = match wish.follows {
            Some(before) => freed.get(&before).is_some_and(|at| *at + KNOWN_FREE_AFTER <= wish.uttered_at),
            None => wish.kind == WishKind::Cancel || !contested.contains(&(wish.event_type_id, wish.starts_at)),
        };
        let recorded = recorded_at(message_id);
        let earlier = earlier.entry(wish.appointment).or_default();
        let is_early = earlier.iter().any(|at| at.is_none_or(|at| at >= wish.uttered_at));
        earlier.push(recorded);
        if !is_possible || broken_off.contains(&wish.appointment) {
            continue;
        }
        let is_overtaken = wish.kind == WishKind::Move && recorded.is_none() && cancelled.contains(&wish.appointment);
        if is_early || is_overtaken {
            found.early += usize::from(is_early);
            continue;
        }
        if wish.kind != WishKind::Book && recorded.is_none() {
            found.refused_changes += 1;
            broken_off.insert(wish.appointment);
            continue;
        }
        let is_done = is_done(wish, message_id);
        if !is_done && recorded.is_none() && wish.kind == WishKind::Book && offers.iter().any(|offer| offer.is_in_the_way_of(wish)) {
            found.held += 1;
            broken_off.insert(wish.appointment);
            continue;
        }
        found.all += 1;
        if is_done {
            continue;
        }
        broken_off.insert(wish.appointment);
        let row = rows.get(message_id);
        let class = row.and_then(|row| evidence.intent(row.intent_id?)).and_then(|intent| intent.error_class.clone());
        let reason = || row.and_then(|row| row.reason.as_ref()).map(|reason| format!("{:?} {reason}", wish.kind));
        *found.failed.entry(class.or_else(reason).unwrap_or_else(|| format!("{:?} without a reason", wish.kind))).or_default() += 1;
    }
    found
}

/// When the slot that an appointment was booked for was free again, as far as our own rows had settled it: by its number.
fn freed(in_order: &[(&Wish, &str, &str)], evidence: &Evidence, rows: &HashMap<&str, &FunctionRow>) -> HashMap<u64, DateTime<Utc>> {
    let mut freed = HashMap::new();
    for (wish, _, message_id) in in_order.iter().filter(|(wish, ..)| wish.kind != WishKind::Book) {
        let row = rows.get(message_id).filter(|row| done(evidence, wish, row));
        if let Some(settled_at) = row.and_then(|row| evidence.intent(row.intent_id?)?.settled_at) {
            // the first change gives the booked slot up; a later one the other
            freed.entry(wish.appointment).or_insert(settled_at);
        }
    }
    freed
}

/// A time that a caller was offered instead of the one he wanted.
#[derive(Clone, Copy)]
struct Offer {
    company: usize,
    appointment: u64,
    starts_at: DateTime<Utc>,
    asked_at: DateTime<Utc>,
}

impl Offer {
    /// Whether it was held for somebody else when that was wished for.
    fn is_in_the_way_of(&self, wish: &Wish) -> bool {
        let overlaps = (self.starts_at - wish.starts_at).abs() < LONGEST_SERVICE;
        let is_held = self.asked_at <= wish.uttered_at && wish.uttered_at <= self.asked_at + HELD_MAX;
        self.company == wish.company && self.appointment != wish.appointment && overlaps && is_held
    }
}

/// All of them, by the answers that our rows keep: the campaign itself hears only those that came in time.
fn offers(in_order: &[(&Wish, &str, &str)], rows: &HashMap<&str, &FunctionRow>) -> Vec<Offer> {
    let of = |(wish, _, message_id): &(&Wish, &str, &str)| {
        let told = rows.get(message_id).and_then(|row| row.offered.as_array()).into_iter().flatten();
        let starts: Vec<_> = told.filter_map(|slot| start_of(slot["date"].as_str()?, slot["time"].as_str()?)).collect();
        let (company, appointment, asked_at) = (wish.company, wish.appointment, wish.uttered_at);
        starts.into_iter().map(move |starts_at| Offer { company, appointment, starts_at, asked_at })
    };
    in_order.iter().flat_map(of).collect()
}

fn start_of(date: &str, time: &str) -> Option<DateTime<Utc>> {
    let local = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y-%m-%d %H:%M").ok()?;
    Some(ZONE.from_local_datetime(&local).earliest()?.to_utc())
}

/// At most one in two hundred fails.
pub fn few_failed(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let share = failed_share(record, evidence);
    let allowed = FAILED_FREE.max(share.all / FAILED_ONE_IN);
    findings.expect(share.times() <= allowed, || format!("wishes failed, {} ({allowed} may)", share.words()));
}

/// Slots that two wanted: one of them must not get it.
fn contested(wishes: &[Wish]) -> HashSet<(i64, DateTime<Utc>)> {
    let mut wanted: HashMap<(i64, DateTime<Utc>), HashSet<u64>> = HashMap::new();
    for wish in wishes.iter().filter(|wish| wish.kind != WishKind::Cancel && wish.follows.is_none()) {
        wanted.entry((wish.event_type_id, wish.starts_at)).or_default().insert(wish.appointment);
    }
    wanted.into_iter().filter(|(_, by)| by.len() > 1).map(|(slot, _)| slot).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::record::Way;
    use super::*;

    fn wish(kind: WishKind, appointment: u64, hour: u32) -> Wish {
        Wish {
            company: 0,
            kind,
            way: Way::Web { uid: String::new() },
            appointment,
            follows: None,
            event_type_id: 1,
            starts_at: format!("2026-07-06T{hour:02}:00:00Z").parse().unwrap(),
            acknowledged: true,
            told: None,
            uttered_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_offered_to_one_caller_is_held_from_another_and_only_afterwards() {
        let at = |hour: u32| wish(WishKind::Book, 2, hour);
        let starts_at = start_of("2026-07-06", "12:30").unwrap();
        assert_eq!(starts_at, at(10).starts_at + TimeDelta::minutes(30));
        let offer = Offer { company: at(10).company, appointment: 1, starts_at, asked_at: DateTime::UNIX_EPOCH };
        assert!(offer.is_in_the_way_of(&at(10)) && offer.is_in_the_way_of(&at(11)));
        assert!(!offer.is_in_the_way_of(&at(12)) && !offer.is_in_the_way_of(&wish(WishKind::Book, 1, 10)), "another time, and his own");
        assert!(!Offer { asked_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(1), ..offer }.is_in_the_way_of(&at(10)), "it was free when it was wished for");
        let later = Wish { uttered_at: DateTime::UNIX_EPOCH + HELD_MAX + TimeDelta::seconds(1), ..at(10) };
        assert!(!Offer { asked_at: DateTime::UNIX_EPOCH, ..offer }.is_in_the_way_of(&later), "it was free again");
    }

    #[test]
    fn a_slot_is_contested_if_two_appointments_want_it_and_not_if_one_comes_and_goes() {
        let alone = [wish(WishKind::Book, 1, 8), wish(WishKind::Cancel, 1, 8), wish(WishKind::Book, 2, 9)];
        assert!(contested(&alone).is_empty());
        let both = [wish(WishKind::Book, 1, 8), wish(WishKind::Move, 2, 8)];
        assert_eq!(contested(&both).len(), 1);
        let one_after_the_other = [wish(WishKind::Book, 1, 8), Wish { follows: Some(1), ..wish(WishKind::Book, 2, 8) }];
        assert!(contested(&one_after_the_other).is_empty());
    }
}
