//! What it means that a company's rows are consistent: how bad a finding is, who mends it, and three scores with their formulas. Pure.
//!
//! Not the checks themselves: those are SQL (`store::consistency`). Called by them, by the scheduler's job and by `frontdesk check consistency`.
//!
//! The formulas (domain reference 5.1; issue 5):
//! - **population** = filled cells / applicable cells, over the thirteen audit columns. A cell is applicable if its column has something to tell about its row
//!   ([`COLUMNS`]): nobody cancelled an appointment that stands. The literal `unknown` fills a cell, and is counted beside it.
//! - **consistency** = rows without a violation / rows, over appointments, their history and calls. Checks of severity info do not count.
//! - **audit completeness** = changes with a row of history, and with a call if a call caused them / changes. A change is the booking of an appointment that Cal.com
//!   came to hold, each of its moves, and its cancellation.
//!
//! Of nothing, everything is good: a company without rows scores one.

use std::ops::Add;

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; in no score.
    Info,
    /// Somebody must look.
    Warning,
    /// The rows contradict each other or do not say who did what: whoever relies on them is told something wrong.
    Critical,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word in rows, metrics and answers.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Who mends a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// History that was taken over: filled from its evidence.
    Backfill,
    /// Rows that our programs cannot have written so: a fault of ours or a hand in the database.
    Engineering,
    /// Something that is late or stopped.
    Operations,
    /// What only a person who knows the customer can decide.
    Support,
}

impl Owner {
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Engineering => "engineering",
            Self::Operations => "operations",
            Self::Support => "support",
        }
    }
}

/// Good ones of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Score {
    pub good: i64,
    pub of: i64,
}

impl Score {
    /// Neither is negative, and no more are good than there are.
    #[must_use]
    pub fn new(good: i64, of: i64) -> Self {
        let of = of.max(0);
        Self { good: good.clamp(0, of), of }
    }

    /// 0 to 1; of nothing, everything is good.
    #[must_use]
    pub fn ratio(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
        if self.of == 0 { 1.0 } else { self.good as f64 / self.of as f64 }
    }

    #[must_use]
    pub const fn is_full(self) -> bool {
        self.good == self.of
    }

    /// In per cent with two decimals, rounded down: 100 says that nothing is missing.
    #[must_use]
    pub fn percent(self) -> String {
        let hundredths = if self.of == 0 { 10_000 } else { i128::from(self.good) * 10_000 / i128::from(self.of) };
        format!("{}.{:02} %", hundredths / 100, hundredths % 100)
    }
}

impl Add for Score {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { good: self.good + other.good, of: self.of + other.of }
    }
}

/// One of the thirteen audit columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// When the column has something to tell about a row.
    pub applies: Applies,
}

/// To which appointments a column applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applies {
    Always,
    /// Booked by a person of the company (`booking_source` is `crm_admin`): else there is no such person.
    BookedByStaff,
    /// The row counts a move, one of its columns of a move is filled, or its history has one.
    Moved,
    MovedByStaff,
    Cancelled,
    CancelledByStaff,
}

impl Applies {
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Always => "every appointment",
            Self::BookedByStaff => "booked by a person of the company",
            Self::Moved => "moved",
            Self::MovedByStaff => "moved by a person of the company",
            Self::Cancelled => "cancelled",
            Self::CancelledByStaff => "cancelled by a person of the company",
        }
    }
}

/// The thirteen (domain reference 1.1), in its order.
pub const COLUMNS: [Column; 13] = [
    Column { name: "created_by", applies: Applies::Always },
    Column { name: "booking_source", applies: Applies::Always },
    Column { name: "booked_by_user_id", applies: Applies::BookedByStaff },
    Column { name: "rescheduled_at", applies: Applies::Moved },
    Column { name: "rescheduled_by", applies: Applies::Moved },
    Column { name: "rescheduled_by_user_id", applies: Applies::MovedByStaff },
    Column { name: "reschedule_source", applies: Applies::Moved },
    Column { name: "previous_starts_at", applies: Applies::Moved },
    Column { name: "cancelled_at", applies: Applies::Cancelled },
    Column { name: "cancelled_by", applies: Applies::Cancelled },
    Column { name: "cancelled_by_user_id", applies: Applies::CancelledByStaff },
    Column { name: "cancellation_source", applies: Applies::Cancelled },
    Column { name: "cancellation_reason", applies: Applies::Cancelled },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_good_ones_of_all() {
        assert!((Score::new(3, 4).ratio() - 0.75).abs() < f64::EPSILON);
        assert_eq!(Score::new(1, 4) + Score::new(2, 4), Score::new(3, 8));
    }

    #[test]
    fn of_nothing_everything_is_good() {
        assert!((Score::default().ratio() - 1.0).abs() < f64::EPSILON);
        assert_eq!(Score::default().percent(), "100.00 %");
        assert!(Score::default().is_full());
    }

    #[test]
    fn a_hundred_per_cent_is_never_rounded_up_to() {
        assert_eq!(Score::new(999_999, 1_000_000).percent(), "99.99 %");
        assert_eq!(Score::new(1_000_000, 1_000_000).percent(), "100.00 %");
        assert_eq!(Score::new(1, 3).percent(), "33.33 %");
        assert_eq!(Score::new(5, 10_000).percent(), "0.05 %");
    }

    #[test]
    fn a_count_that_overtook_its_whole_is_full_and_no_more() {
        // rows come while a company is examined: the two counts are of different moments
        assert_eq!(Score::new(5, 4), Score::new(4, 4));
        assert_eq!(Score::new(-1, -1), Score::default());
    }

    #[test]
    fn the_audit_columns_are_thirteen_different_ones() {
        let names: std::collections::BTreeSet<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), 13);
    }

    #[test]
    fn who_acted_is_asked_of_staff_only_and_what_happened_of_those_to_whom_it_happened() {
        for column in COLUMNS {
            let expected = match (column.name.ends_with("_by_user_id"), column.name) {
                (true, "booked_by_user_id") => Applies::BookedByStaff,
                (true, "rescheduled_by_user_id") => Applies::MovedByStaff,
                (true, _) => Applies::CancelledByStaff,
                (false, name) if name.starts_with("reschedule") || name == "previous_starts_at" => Applies::Moved,
                (false, name) if name.starts_with("cancel") => Applies::Cancelled,
                _ => Applies::Always,
            };
            assert_eq!(column.applies, expected, "{}", column.name);
            assert!(!column.applies.words().is_empty());
        }
    }

    #[test]
    fn severities_rise() {
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
        assert_eq!(Severity::ALL.map(Severity::literal), ["info", "warning", "critical"]);
    }
}
