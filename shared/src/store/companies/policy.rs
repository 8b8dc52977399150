//! The policies of a set-up document: whose rules, about what. What the rules may say is `domain::policies::Rules`. Pure; called by the set-up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::NewCompany;
use crate::domain::policies::Rules;

/// Rules of one level for one type of change. Without branch, service and staff they are the company's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    #[serde(rename = "type")]
    pub policy_type: PolicyType,
    /// Name of a branch, a service or a member of staff: at most one of them.
    #[serde(default)]
    pub branch: Option<String>,
    #[serde(default)]
    pub service: Option<String>,
    #[serde(default)]
    pub staff: Option<String>,
    pub rules: serde_json::Value,
}

/// What a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyType {
    Booking,
    Cancellation,
    Reschedule,
}

impl PolicyType {
    /// The literal in `policies.policy_type`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Booking => "booking",
            Self::Cancellation => "cancellation",
            Self::Reschedule => "reschedule",
        }
    }
}

/// Everything that is wrong with the document's policies.
pub(super) fn problems(company: &NewCompany) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, policy) in company.policies.iter().enumerate() {
        let mut tell = |problem: String| problems.push(format!("policies[{index}] {problem}"));
        let known = policy.branch.as_ref().is_none_or(|name| company.branches.iter().any(|branch| branch.name == *name))
            && policy.service.as_ref().is_none_or(|name| company.services.iter().any(|service| service.name == *name))
            && policy.staff.as_ref().is_none_or(|name| company.staff.iter().any(|person| person.name == *name));
        if !known {
            tell("names a branch, a service or someone that is not in this document".to_owned());
        }
        if [&policy.branch, &policy.service, &policy.staff].into_iter().flatten().count() > 1 {
            tell("names more than one of branch, service and staff: a row has one level".to_owned());
        }
        match Rules::from_json(&policy.rules) {
            Err(error) => tell(format!("is not usable: {error}")),
            Ok(rules) => {
                // anywhere else it would be ignored in silence (domain reference 4.5)
                let is_notice = rules == Rules { booking_notice_minutes: rules.booking_notice_minutes, ..Rules::default() };
                let of_branch = policy.branch.is_some();
                match policy.policy_type {
                    PolicyType::Booking if !of_branch || !is_notice => tell("of the type booking says only booking_notice_minutes, and of a branch".to_owned()),
                    PolicyType::Cancellation | PolicyType::Reschedule if rules.booking_notice_minutes.is_some() => {
                        tell("says booking_notice_minutes, which belongs to the type booking".to_owned());
                    }
                    _ => {}
                }
            }
        }
        if !seen.insert((policy.policy_type, &policy.branch, &policy.service, &policy.staff)) {
            tell("repeats the type and level of an earlier one".to_owned());
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_that_cannot_be_meant_is_told() {
        let with = |policies: serde_json::Value| -> Vec<String> {
            let company = json!({
                "name": "A", "branches": [{"name": "Mitte"}], "staff": [{"name": "Rieke"}], "services": [{"name": "Schnitt", "duration_minutes": 30}], "policies": policies,
            });
            problems(&serde_json::from_value(company).unwrap())
        };
        let sound = json!([
            {"type": "cancellation", "rules": {"hours_before": 24}},
            {"type": "reschedule", "rules": {"max_reschedules_per_appointment": 2}},
            {"type": "cancellation", "service": "Schnitt", "rules": {"fee_percentage": 50}},
            {"type": "cancellation", "staff": "Rieke", "rules": {"is_override": true, "hours_before": 2}},
            {"type": "booking", "branch": "Mitte", "rules": {"booking_notice_minutes": 60}},
        ]);
        assert_eq!(with(sound), Vec::<String>::new());
        let unsound = [
            json!({"type": "cancellation", "rules": {"hours_befor": 24}}),
            json!({"type": "cancellation", "service": "Farbe", "rules": {}}),
            json!({"type": "cancellation", "service": "Schnitt", "branch": "Mitte", "rules": {}}),
            json!({"type": "booking", "rules": {"booking_notice_minutes": 60}}),
            json!({"type": "booking", "branch": "Mitte", "rules": {"hours_before": 1}}),
            json!({"type": "reschedule", "rules": {"booking_notice_minutes": 60}}),
        ];
        for policy in unsound {
            assert_eq!(with(json!([policy])).len(), 1, "{policy}");
        }
        assert_eq!(with(json!([{"type": "cancellation", "rules": {}}, {"type": "cancellation", "rules": {}}])).len(), 1);
        let literals = [PolicyType::Booking, PolicyType::Cancellation, PolicyType::Reschedule].map(|kind| json!(kind) == json!(kind.literal()));
        assert_eq!(literals, [true; 3]);
    }
}
