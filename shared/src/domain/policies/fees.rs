//! What a change costs by its notice (domain reference 4.1).

use chrono::Duration;

use super::{Fee, Rules, Tier};

/// A policy that says nothing of fees: from 48 hours on free, from 24 on 10, below 15.
pub const DEFAULT_TIERS: [Tier; 3] = [Tier { min_hours: 48, fee_minor: 0 }, Tier { min_hours: 24, fee_minor: 1_000 }, Tier { min_hours: 0, fee_minor: 1_500 }];

/// The fee of a change with that notice, in the smallest unit. No policy: free.
///
/// Of tiers, the one with the longest notice that is still kept; below all of them the fee of the shortest, never a cheaper one. A percentage of a price that
/// nobody knows is 0: no caller is told an amount that may be wrong. Percentages round down, in favour of who pays.
#[must_use]
pub fn fee_minor(rules: Option<&Rules>, notice: Duration, price_minor: Option<i64>) -> i64 {
    let Some(rules) = rules else { return 0 };
    match &rules.fee {
        None => of_tiers(&DEFAULT_TIERS, notice),
        Some(Fee::Fixed { fee_minor }) => *fee_minor,
        Some(Fee::Tiers(tiers)) => of_tiers(tiers, notice),
        Some(Fee::Percentage(percentage)) => price_minor.unwrap_or(0).max(0).saturating_mul(i64::from(*percentage)) / 100,
    }
}

fn of_tiers(tiers: &[Tier], notice: Duration) -> i64 {
    let kept = tiers.iter().find(|tier| notice >= Duration::hours(i64::from(tier.min_hours)));
    kept.or(tiers.last()).map_or(0, |tier| tier.fee_minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fee: Option<Fee>) -> Rules {
        Rules { fee, ..Rules::default() }
    }

    /// Done 7 of issue 4: each fee tier of the reference, at its edges.
    #[test]
    fn the_default_tiers_are_exact_to_the_second() {
        let day = 24 * 3_600;
        let table = [
            (30 * day, 0),
            (2 * day + 1, 0),
            (2 * day, 0),
            (2 * day - 1, 1_000),
            (day + 1, 1_000),
            (day, 1_000),
            (day - 1, 1_500),
            (1, 1_500),
            (0, 1_500),
            (-1, 1_500),
        ];
        for (seconds, expected) in table {
            assert_eq!(fee_minor(Some(&Rules::default()), Duration::seconds(seconds), None), expected, "{seconds} s");
            assert_eq!(fee_minor(None, Duration::seconds(seconds), Some(9_900)), 0, "no policy, no fee");
        }
    }

    #[test]
    fn a_companys_own_tiers_hold_down_to_the_shortest_notice() {
        let tiers = vec![Tier { min_hours: 72, fee_minor: 0 }, Tier { min_hours: 12, fee_minor: 700 }, Tier { min_hours: 6, fee_minor: 2_000 }];
        let rules = with(Some(Fee::Tiers(tiers)));
        for (hours, expected) in [(100, 0), (72, 0), (71, 700), (12, 700), (11, 2_000), (6, 2_000), (5, 2_000), (0, 2_000), (-5, 2_000)] {
            assert_eq!(fee_minor(Some(&rules), Duration::hours(hours), None), expected, "{hours} h");
        }
        assert_eq!(fee_minor(Some(&with(Some(Fee::Tiers(Vec::new())))), Duration::zero(), None), 0);
    }

    #[test]
    fn a_fixed_fee_and_a_percentage_do_not_ask_for_the_notice() {
        let hour = Duration::hours(1);
        assert_eq!(fee_minor(Some(&with(Some(Fee::Fixed { fee_minor: 500 }))), hour, None), 500);
        let table = [
            (50, Some(3_200), 1_600),
            (100, Some(3_200), 3_200),
            (0, Some(3_200), 0),
            (33, Some(100), 33),
            (33, Some(101), 33),
            (50, None, 0),
            (50, Some(-5), 0),
        ];
        for (percentage, price, expected) in table {
            assert_eq!(fee_minor(Some(&with(Some(Fee::Percentage(percentage)))), hour, price), expected, "{percentage} % of {price:?}");
        }
        assert_eq!(fee_minor(Some(&with(Some(Fee::Percentage(100)))), hour, Some(i64::MAX)), i64::MAX / 100, "an absurd price does not overflow");
    }
}
