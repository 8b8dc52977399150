//! One row of the table `policies` as rules. Strict: a misspelt key would otherwise allow in silence what somebody meant to forbid.

use serde_json::{Map, Value};

/// No company needs more steps than this, and an endless list is a mistake.
const TIERS_MAX: usize = 20;
/// A year in hours: what is booked further ahead is not booked at all.
const HOURS_MAX: u32 = 8_784;
/// 100,000.00 in the smallest unit: a larger fee is a mistake in the decimal point.
const FEE_MINOR_MAX: i64 = 10_000_000;
/// A month has no room for more; a larger number is a mistake.
const COUNT_MAX: u32 = 1_000;
/// A year in minutes, as above.
const NOTICE_MINUTES_MAX: u32 = 527_040;

/// From this notice on, this fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub min_hours: u32,
    pub fee_minor: i64,
}

/// What a change costs. Amounts in the smallest unit of the service's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fee {
    Fixed {
        fee_minor: i64,
    },
    /// Longest notice first, no notice twice.
    Tiers(Vec<Tier>),
    /// Of the service's price.
    Percentage(u8),
}

/// What one level says about one type of change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Only what this level says replaces what the levels above it say; without this the level stands alone.
    pub is_override: bool,
    /// Later than this many hours before the start it is denied.
    pub hours_before: Option<u32>,
    /// In the last 30 days, by this customer.
    pub max_cancellations_per_month: Option<u32>,
    /// In the last 30 days, by this customer.
    pub max_reschedules_per_month: Option<u32>,
    pub max_reschedules_per_appointment: Option<u32>,
    /// Of the type `booking`, at the level of a branch.
    pub booking_notice_minutes: Option<u32>,
    /// `None`: the default tiers.
    pub fee: Option<Fee>,
}

/// Rules that cannot be meant. Names the key, so that the operator finds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    #[error("the rules are not a JSON object")]
    NotAnObject,
    #[error("the rules hold the unknown key {key:?}")]
    UnknownKey { key: String },
    #[error("the rules' {key} is not usable")]
    Invalid { key: &'static str },
    #[error("the rules name several of fee, fee_tiers and fee_percentage: one is meant")]
    SeveralFees,
}

const KEYS: [&str; 9] = [
    "is_override",
    "hours_before",
    "max_cancellations_per_month",
    "max_reschedules_per_month",
    "max_reschedules_per_appointment",
    "booking_notice_minutes",
    "fee",
    "fee_tiers",
    "fee_percentage",
];

impl Rules {
    /// Reads a row's `rules`. Fees are amounts of the currency, as people write them: `10`, `12.5`, `"12.50"`.
    ///
    /// # Errors
    /// Not an object, an unknown key, a value out of its bounds, or more than one kind of fee.
    pub fn from_json(rules: &Value) -> Result<Self, RulesError> {
        let rules = rules.as_object().ok_or(RulesError::NotAnObject)?;
        if let Some(key) = rules.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(RulesError::UnknownKey { key: key.chars().take(40).collect() });
        }
        Ok(Self {
            is_override: match given(rules, "is_override") {
                None => false,
                Some(value) => value.as_bool().ok_or(RulesError::Invalid { key: "is_override" })?,
            },
            hours_before: whole(rules, "hours_before", HOURS_MAX)?,
            max_cancellations_per_month: whole(rules, "max_cancellations_per_month", COUNT_MAX)?,
            max_reschedules_per_month: whole(rules, "max_reschedules_per_month", COUNT_MAX)?,
            max_reschedules_per_appointment: whole(rules, "max_reschedules_per_appointment", COUNT_MAX)?,
            booking_notice_minutes: whole(rules, "booking_notice_minutes", NOTICE_MINUTES_MAX)?,
            fee: fee(rules)?,
        })
    }
}

fn given<'a>(rules: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    rules.get(key).filter(|value| !value.is_null())
}

fn whole(rules: &Map<String, Value>, key: &'static str, max: u32) -> Result<Option<u32>, RulesError> {
    let Some(value) = given(rules, key) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= max);
    number.map(Some).ok_or(RulesError::Invalid { key })
}

fn fee(rules: &Map<String, Value>) -> Result<Option<Fee>, RulesError> {
    let (fixed, tiers) = (given(rules, "fee"), given(rules, "fee_tiers"));
    let percentage = whole(rules, "fee_percentage", 100)?;
    Ok(match (fixed, tiers, percentage) {
        (None, None, None) => None,
        (Some(fixed), None, None) => Some(Fee::Fixed { fee_minor: minor(fixed).ok_or(RulesError::Invalid { key: "fee" })? }),
        (None, Some(tiers), None) => Some(Fee::Tiers(sorted_tiers(tiers).ok_or(RulesError::Invalid { key: "fee_tiers" })?)),
        (None, None, Some(percentage)) => Some(Fee::Percentage(u8::try_from(percentage).map_err(|_| RulesError::Invalid { key: "fee_percentage" })?)),
        _ => return Err(RulesError::SeveralFees),
    })
}

fn sorted_tiers(value: &Value) -> Option<Vec<Tier>> {
    let rows = value.as_array().filter(|rows| !rows.is_empty() && rows.len() <= TIERS_MAX)?;
    let mut tiers = Vec::with_capacity(rows.len());
    for row in rows {
        let min_hours = row.get("min_hours")?.as_u64().and_then(|hours| u32::try_from(hours).ok()).filter(|hours| *hours <= HOURS_MAX)?;
        tiers.push(Tier { min_hours, fee_minor: minor(row.get("fee")?)? });
    }
    tiers.sort_by_key(|tier| std::cmp::Reverse(tier.min_hours));
    tiers.windows(2).all(|pair| pair[0].min_hours > pair[1].min_hours).then_some(tiers)
}

/// An amount in the smallest unit, exactly: two decimals at most, never by way of a float's rounding.
fn minor(value: &Value) -> Option<i64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // a sign is no digit, and nothing is no number
    if decimals.len() > 2 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let cents: i64 = format!("{decimals:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents).filter(|minor| *minor <= FEE_MINOR_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let rules = Rules::from_json(&json!({
            "is_override": true, "hours_before": 24, "max_cancellations_per_month": 2, "max_reschedules_per_month": 3,
            "max_reschedules_per_appointment": 1, "booking_notice_minutes": 60, "fee_tiers": [{"min_hours": 24, "fee": "10.50"}, {"min_hours": 48, "fee": 0}],
        }));
        let expected = Rules {
            is_override: true,
            hours_before: Some(24),
            max_cancellations_per_month: Some(2),
            max_reschedules_per_month: Some(3),
            max_reschedules_per_appointment: Some(1),
            booking_notice_minutes: Some(60),
            fee: Some(Fee::Tiers(vec![Tier { min_hours: 48, fee_minor: 0 }, Tier { min_hours: 24, fee_minor: 1_050 }])),
        };
        assert_eq!(rules, Ok(expected));
        assert_eq!(Rules::from_json(&json!({})), Ok(Rules::default()));
        assert_eq!(Rules::from_json(&json!({"hours_before": null, "fee": null})), Ok(Rules::default()));
    }

    #[test]
    fn amounts_are_exact() {
        let table = [
            (json!(0), Some(0)),
            (json!(10), Some(1_000)),
            (json!(12.5), Some(1_250)),
            (json!("12.05"), Some(1_205)),
            (json!(" 7 "), Some(700)),
            (json!(100_000), Some(10_000_000)),
            (json!(100_000.01), None),
            (json!("1.005"), None),
            (json!(-1), None),
            (json!("+1"), None),
            (json!("1,50"), None),
            (json!(".5"), None),
            (json!(""), None),
            (json!(1e20), None),
            (json!("99999999999999999999"), None),
            (json!("999999999999999999"), None),
            (json!("1.+5"), None),
            (json!(true), None),
        ];
        for (value, expected) in table {
            assert_eq!(minor(&value), expected, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_key() {
        let invalid = |key| Err(RulesError::Invalid { key });
        let tier = |hours: u32| json!({"min_hours": hours, "fee": 1});
        let table = [
            (json!([]), Err(RulesError::NotAnObject)),
            (json!({"hours_befor": 24}), Err(RulesError::UnknownKey { key: "hours_befor".to_owned() })),
            (json!({"hours_before": -1}), invalid("hours_before")),
            (json!({"hours_before": 24.5}), invalid("hours_before")),
            (json!({"hours_before": "24"}), invalid("hours_before")),
            (json!({"hours_before": 8_785}), invalid("hours_before")),
            (json!({"is_override": 1}), invalid("is_override")),
            (json!({"max_reschedules_per_month": 1_001}), invalid("max_reschedules_per_month")),
            (json!({"fee": "free"}), invalid("fee")),
            (json!({"fee_percentage": 101}), invalid("fee_percentage")),
            (json!({"fee_tiers": []}), invalid("fee_tiers")),
            (json!({"fee_tiers": [{"min_hours": 24}]}), invalid("fee_tiers")),
            (json!({"fee_tiers": [{"fee": 1}]}), invalid("fee_tiers")),
            (json!({"fee_tiers": [tier(24), tier(24)]}), invalid("fee_tiers")),
            (json!({"fee_tiers": (0..21).map(tier).collect::<Vec<_>>()}), invalid("fee_tiers")),
            (json!({"fee": 1, "fee_percentage": 10}), Err(RulesError::SeveralFees)),
            (json!({"fee": 1, "fee_tiers": [tier(1)]}), Err(RulesError::SeveralFees)),
        ];
        for (rules, expected) in table {
            assert_eq!(Rules::from_json(&rules), expected, "{rules}");
        }
        assert!(Rules::from_json(&json!({"fee_tiers": (0..20).map(tier).collect::<Vec<_>>()})).is_ok());
        assert_eq!(Rules::from_json(&json!({"fee_percentage": 100})).unwrap().fee, Some(Fee::Percentage(100)));
        assert_eq!(Rules::from_json(&json!({"hours_before": 8_784})).unwrap().hours_before, Some(8_784));
    }
}
