//! Which level's rules hold: Staff → Service → Branch → Company, the first that says anything (incident 76: Branch and Company were asked before Service).

use super::Rules;

/// Who says it. Ordered: the nearest to the appointment is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Staff,
    Service,
    Branch,
    Company,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Staff, Self::Service, Self::Branch, Self::Company];

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Service => "service",
            Self::Branch => "branch",
            Self::Company => "company",
        }
    }
}

/// The rules that hold, and the level that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub level: Level,
    pub rules: Rules,
}

/// Resolves the rows of one type of change, given in any order, at most one per level (a unique key of the table). `None`: no policy at all, everything is allowed and
/// free (domain reference 4.1).
///
/// A row with `is_override` says only what differs: each thing it leaves out comes from the next level that has a row, and so on while those are overrides, too.
#[must_use]
pub fn resolve(rows: &[(Level, Rules)]) -> Option<Effective> {
    let mut levels: Vec<&(Level, Rules)> = rows.iter().collect();
    levels.sort_by_key(|(level, _)| *level);
    let mut levels = levels.into_iter();
    let (level, first) = levels.next()?;
    let mut rules = first.clone();
    let mut asks_on = first.is_override;
    for (_, next) in levels {
        if !asks_on {
            break;
        }
        rules.hours_before = rules.hours_before.or(next.hours_before);
        rules.max_cancellations_per_month = rules.max_cancellations_per_month.or(next.max_cancellations_per_month);
        rules.max_reschedules_per_month = rules.max_reschedules_per_month.or(next.max_reschedules_per_month);
        rules.max_reschedules_per_appointment = rules.max_reschedules_per_appointment.or(next.max_reschedules_per_appointment);
        rules.booking_notice_minutes = rules.booking_notice_minutes.or(next.booking_notice_minutes);
        rules.fee = rules.fee.or_else(|| next.fee.clone());
        asks_on = next.is_override;
    }
    Some(Effective { level: *level, rules })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policies::Fee;

    fn hours(hours: u32) -> Rules {
        Rules { hours_before: Some(hours), ..Rules::default() }
    }

    /// Incident 76, every combination of levels that have a row, in both orders of the rows.
    #[test]
    fn the_nearest_level_that_says_anything_decides() {
        for present in 0_u8..16 {
            let mut rows: Vec<_> = Level::ALL
                .iter()
                .enumerate()
                .filter(|(index, _)| present & (1 << index) != 0)
                .map(|(index, level)| (*level, hours(u32::try_from(index).unwrap())))
                .collect();
            let expected = rows.first().cloned().map(|(level, rules)| Effective { level, rules });
            assert_eq!(resolve(&rows), expected, "{present:04b}");
            rows.reverse();
            assert_eq!(resolve(&rows), expected, "{present:04b} in the other order");
        }
    }

    #[test]
    fn an_override_changes_only_what_it_says() {
        let staff = Rules { is_override: true, hours_before: Some(2), ..Rules::default() };
        let service = Rules { is_override: true, max_reschedules_per_month: Some(1), hours_before: Some(99), ..Rules::default() };
        let branch = Rules { fee: Some(Fee::Percentage(50)), max_reschedules_per_appointment: Some(2), ..Rules::default() };
        let company = Rules {
            max_cancellations_per_month: Some(9),
            booking_notice_minutes: Some(7),
            max_reschedules_per_month: Some(9),
            max_reschedules_per_appointment: Some(9),
            ..hours(24)
        };
        let rows = [(Level::Company, company.clone()), (Level::Branch, branch), (Level::Service, service), (Level::Staff, staff.clone())];
        let found = resolve(&rows).unwrap();
        let expected = Rules {
            is_override: true,
            hours_before: Some(2),
            max_reschedules_per_month: Some(1),
            fee: Some(Fee::Percentage(50)),
            max_reschedules_per_appointment: Some(2),
            // the branch stands alone: the company is not asked any more
            ..Rules::default()
        };
        assert_eq!(found, Effective { level: Level::Staff, rules: expected });
        let found = resolve(&[(Level::Staff, staff), (Level::Company, company)]).unwrap();
        assert_eq!((found.rules.hours_before, found.rules.max_cancellations_per_month, found.rules.booking_notice_minutes), (Some(2), Some(9), Some(7)));
    }

    #[test]
    fn levels_have_words() {
        assert_eq!(Level::ALL.map(Level::literal), ["staff", "service", "branch", "company"]);
    }
}
