//! How many wishes came to nothing that could be fulfilled (part of I1; done 4 of issue 3): every acknowledged wish of a caller for a time that was free is done, or it is
//! counted here. What was free, and what overtook what, the campaign knows by itself; the product's reasons are only printed. Called by `no_loss`.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::super::record::{Record, Wish, WishKind};
use super::evidence::Evidence;
use super::findings::Findings;
use super::rows::FunctionRow;
use super::wishes::{done, of_callers};

/// Done 4 of issue 3: at least 99.5 % are confirmed. Of fewer than 600 three may fail: a share of them is an anecdote.
const FAILED_ONE_IN: usize = 200;
const FAILED_FREE: usize = 3;
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
    /// Moves and cancellations that were refused before any intent was recorded. Counted and printed, not judged: how many are rightly so has not been measured.
    pub refused_changes: usize,
}

impl Failed {
    pub fn words(&self) -> String {
        let classes: Vec<String> = self.failed.iter().map(|(class, times)| format!("{times} × {class}")).collect();
        let (times, all, early) = (self.times(), self.all, self.early);
        format!(
            "{times} of {all} that could be fulfilled{}{}; {early} came too early, {} other changes were refused",
            if classes.is_empty() { "" } else { ": " },
            classes.join(", "),
            self.refused_changes
        )
    }

    fn times(&self) -> usize {
        self.failed.values().sum()
    }
}

/// Every acknowledged wish of a caller for what was free: done, or a failure. Not counted: rivals for one slot, what was wished of an appointment that was not made
/// (which is a failure once), and what overtook an earlier wish of the same appointment, or was overtaken. Whether a slot was free, the campaign knows; not the product's
/// own reason.
pub fn failed_share(record: &Record, evidence: &Evidence) -> Failed {
    let rows = evidence.functions();
    let contested = contested(&record.wishes);
    let is_done = |wish: &Wish, message_id: &str| rows.get(message_id).is_some_and(|row| row.success == Some(true) && done(evidence, wish, row));
    let mut in_order: Vec<_> = of_callers(record).collect();
    in_order.sort_by_key(|(wish, ..)| wish.uttered_at);
    let freed = freed(&in_order, evidence, &rows);
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
        found.all += 1;
        if is_done(wish, message_id) {
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
    fn a_slot_is_contested_if_two_appointments_want_it_and_not_if_one_comes_and_goes() {
        let alone = [wish(WishKind::Book, 1, 8), wish(WishKind::Cancel, 1, 8), wish(WishKind::Book, 2, 9)];
        assert!(contested(&alone).is_empty());
        let both = [wish(WishKind::Book, 1, 8), wish(WishKind::Move, 2, 8)];
        assert_eq!(contested(&both).len(), 1);
        let one_after_the_other = [wish(WishKind::Book, 1, 8), Wish { follows: Some(1), ..wish(WishKind::Book, 2, 8) }];
        assert!(contested(&one_after_the_other).is_empty());
    }
}
