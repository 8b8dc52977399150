//! How well a company knows a customer: score and tier (domain reference 4.3). The tier is said by identify_customer and colours the greeting; the benefits are the company's promise.

use chrono::{DateTime, Months, Utc};

/// What the score is made of, counted now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loyalty {
    /// Of this customer with this company, cancelled ones not counted.
    pub appointments: u32,
    pub no_shows: u32,
    /// When the customer came to the company; `None`: not known.
    pub since: Option<DateTime<Utc>>,
    /// Of completed appointments, in the smallest unit of the currency.
    pub revenue_minor: i64,
}

/// Lowest first; the literals are those of `customers.vip_tier`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VipTier {
    #[default]
    None,
    Bronze,
    Silver,
    Gold,
    Platinum,
}

impl Loyalty {
    /// −20 to 80 (the reference's maximum). Every step is reached at its number, the no-show rate has to be above it.
    #[must_use]
    pub fn score(&self, now: DateTime<Utc>) -> i32 {
        let step = |steps: [(bool, i32); 3]| steps.into_iter().find(|(reached, _)| *reached).map_or(0, |(_, points)| points);
        let appointments = step([(self.appointments >= 50, 30), (self.appointments >= 20, 20), (self.appointments >= 10, 10)]);
        let for_months = |months| self.since.and_then(|since| since.checked_add_months(Months::new(months))).is_some_and(|reached| reached <= now);
        let tenure = step([(for_months(24), 25), (for_months(12), 15), (for_months(6), 5)]);
        let above = |percent: u64| u64::from(self.no_shows) * 100 > u64::from(self.appointments) * percent && self.appointments > 0;
        let no_shows = step([(above(20), -20), (above(10), -10), (false, 0)]);
        let revenue = step([(self.revenue_minor >= 500_000, 25), (self.revenue_minor >= 200_000, 15), (self.revenue_minor >= 100_000, 5)]);
        appointments + tenure + no_shows + revenue
    }

    #[must_use]
    pub fn tier(&self, now: DateTime<Utc>) -> VipTier {
        VipTier::of_score(self.score(now))
    }
}

impl VipTier {
    pub const ALL: [Self; 5] = [Self::None, Self::Bronze, Self::Silver, Self::Gold, Self::Platinum];

    #[must_use]
    pub const fn of_score(score: i32) -> Self {
        match score {
            80.. => Self::Platinum,
            60.. => Self::Gold,
            40.. => Self::Silver,
            20.. => Self::Bronze,
            _ => Self::None,
        }
    }

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
            Self::Platinum => "platinum",
        }
    }

    /// The tier of that literal.
    #[must_use]
    pub fn parse(literal: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.literal() == literal)
    }

    #[must_use]
    pub const fn discount_percent(self) -> u8 {
        match self {
            Self::Platinum => 15,
            Self::Gold => 10,
            Self::Silver => 5,
            Self::Bronze | Self::None => 0,
        }
    }

    /// What the customer may count on, as words that agents and pages know.
    #[must_use]
    pub const fn benefits(self) -> &'static [&'static str] {
        match self {
            Self::Platinum => &["discount", "exclusive_slots", "account_manager"],
            Self::Gold => &["discount", "exclusive_slots"],
            Self::Silver => &["discount", "priority"],
            Self::Bronze => &["flexible_cancellation"],
            Self::None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    fn score(appointments: u32, no_shows: u32, months: Option<u32>, revenue_minor: i64) -> i32 {
        let since = months.and_then(|months| now().checked_sub_months(Months::new(months)));
        Loyalty { appointments, no_shows, since, revenue_minor }.score(now())
    }

    /// Done 7 of issue 4: each row of the score, at its edges, alone.
    #[test]
    fn each_row_of_the_score_counts_from_its_number_on() {
        for (appointments, expected) in [(0, 0), (9, 0), (10, 10), (19, 10), (20, 20), (49, 20), (50, 30), (5_000, 30)] {
            assert_eq!(score(appointments, 0, None, 0), expected, "{appointments} appointments");
        }
        for (months, expected) in [(0, 0), (5, 0), (6, 5), (11, 5), (12, 15), (23, 15), (24, 25), (240, 25)] {
            assert_eq!(score(0, 0, Some(months), 0), expected, "{months} months");
        }
        for (no_shows, expected) in [(0, 0), (10, 0), (11, -10), (20, -10), (21, -20), (100, -20)] {
            assert_eq!(score(100, no_shows, None, 0), 30 + expected, "{no_shows} of 100 missed");
        }
        for (revenue, expected) in [(0, 0), (99_999, 0), (100_000, 5), (199_999, 5), (200_000, 15), (499_999, 15), (500_000, 25), (i64::MAX, 25)] {
            assert_eq!(score(0, 0, None, revenue), expected, "{revenue}");
        }
    }

    #[test]
    fn a_month_is_a_month_of_the_calendar_to_the_second() {
        let since = |text: &str| Loyalty { since: Some(text.parse().unwrap()), ..Loyalty::default() }.score(now());
        assert_eq!(since("2026-05-20T09:00:00Z"), 5);
        assert_eq!(since("2026-05-20T09:00:01Z"), 0);
        assert_eq!(since("2030-01-01T00:00:00Z"), 0, "a customer of the future");
    }

    #[test]
    fn the_rows_add_up_to_eighty_at_most() {
        assert_eq!(score(50, 0, Some(24), 500_000), 80);
        assert_eq!(score(50, 5, Some(24), 500_000), 80, "ten per cent is not above ten per cent");
        assert_eq!(score(50, 6, Some(24), 500_000), 70);
        assert_eq!(score(1, 1, None, 0), -20);
        assert_eq!(score(0, 3, None, 0), 0, "no rate without appointments");
        assert_eq!(score(20, 0, Some(12), 100_000), 40);
    }

    #[test]
    fn each_tier_begins_at_its_score_and_has_its_benefits() {
        use VipTier::{Bronze, Gold, None, Platinum, Silver};
        for (score, tier) in
            [(-20, None), (0, None), (19, None), (20, Bronze), (39, Bronze), (40, Silver), (59, Silver), (60, Gold), (79, Gold), (80, Platinum), (99, Platinum)]
        {
            assert_eq!(VipTier::of_score(score), tier, "{score}");
        }
        assert_eq!(VipTier::ALL.map(VipTier::discount_percent), [0, 0, 5, 10, 15]);
        assert_eq!(VipTier::ALL.map(|tier| tier.benefits().len()), [0, 1, 2, 2, 3]);
        assert!(Platinum.benefits().contains(&"account_manager") && Gold.benefits().contains(&"exclusive_slots") && Silver.benefits().contains(&"priority"));
        assert_eq!(Bronze.benefits(), ["flexible_cancellation"]);
        for tier in VipTier::ALL {
            assert_eq!(VipTier::parse(tier.literal()), Some(tier));
            assert_eq!(tier.benefits().contains(&"discount"), tier.discount_percent() > 0);
        }
        assert_eq!((VipTier::parse("diamond"), VipTier::default()), (Option::None, None));
        assert_eq!(Loyalty { appointments: 20, ..Loyalty::default() }.tier(now()), Bronze);
    }
}
