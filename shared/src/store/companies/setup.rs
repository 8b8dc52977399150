//! The set-up document of a company, and everything that can be wrong with it before the database is asked.
//!
//! Pure: no SQL. Read from JSON by `frontdesk company add --from`, built in code by `cargo dev` and tests.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::opening_hours::OpeningHours;
use crate::domain::phone::E164;
use crate::store::companies::policy::{self, NewPolicy};

/// More of one kind than this is a mistake in the file, not a shop.
const ITEMS_MAX: usize = 500;

/// A company to make. Unknown keys are refused, so that a typing error does not become a silent default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCompany {
    pub name: String,
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    /// Feature switches by name.
    #[serde(default)]
    pub features: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub legacy_id: Option<String>,
    /// Label of the Retell account that carries the numbers and agents; made if it is new.
    #[serde(default)]
    pub retell_account: Option<String>,
    /// Label of the Cal.com account that carries the event types; made if it is new.
    #[serde(default)]
    pub calcom_account: Option<String>,
    /// Where calls of every branch without a number of its own are passed on to, E.164.
    #[serde(default)]
    pub transfer_number: Option<String>,
    /// When calls are passed on, as `opening_hours`; without them (and without the branch's), while the branch is open.
    #[serde(default)]
    pub transfer_hours: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    pub branches: Vec<NewBranch>,
    #[serde(default)]
    pub staff: Vec<NewStaff>,
    #[serde(default)]
    pub services: Vec<NewService>,
    #[serde(default)]
    pub phone_numbers: Vec<NewPhoneNumber>,
    #[serde(default)]
    pub agents: Vec<NewAgent>,
    /// Who may cancel or move until when, how often, for which fee; how soon may be booked.
    #[serde(default)]
    pub policies: Vec<NewPolicy>,
}

/// A place where people go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBranch {
    pub name: String,
    /// IANA name; without one, the company's.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Weekday → list of [from, to] in local time.
    #[serde(default)]
    pub opening_hours: serde_json::Map<String, serde_json::Value>,
    /// Where a call is passed on to, E.164; without one, the company's.
    #[serde(default)]
    pub transfer_number: Option<String>,
    /// When, as `opening_hours`; without them, the company's.
    #[serde(default)]
    pub transfer_hours: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Someone who performs services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStaff {
    pub name: String,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub calcom_user_id: Option<i64>,
    /// Name of a branch; without one, works in all of them.
    #[serde(default)]
    pub branch: Option<String>,
    /// Their own extension, E.164: callers who ask for this person are passed on there or not at all.
    #[serde(default)]
    pub transfer_number: Option<String>,
}

/// What can be booked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    pub name: String,
    #[serde(default)]
    pub synonyms: Vec<String>,
    pub duration_minutes: i32,
    /// In the currency's smallest unit (cents).
    #[serde(default)]
    pub price_minor: Option<i64>,
    #[serde(default)]
    pub currency: Option<String>,
    #[serde(default)]
    pub calcom_event_type_id: Option<i64>,
    #[serde(default = "one")]
    pub seats_per_slot: i32,
    #[serde(default = "quarter_of_an_hour")]
    pub minimum_notice_minutes: i32,
    #[serde(default)]
    pub is_default: bool,
    /// Name of a branch; without one, offered in all of them.
    #[serde(default)]
    pub branch: Option<String>,
    /// Names of those who perform it.
    #[serde(default)]
    pub staff: Vec<String>,
}

/// A number that callers dial: it proves the company of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPhoneNumber {
    pub e164: String,
    /// Name of the branch that answers.
    pub branch: String,
    #[serde(default)]
    pub label: String,
}

/// A voice agent at Retell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    pub retell_agent_id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: Option<i32>,
    #[serde(default = "default_variant")]
    pub variant: String,
}

fn default_time_zone() -> String {
    "Europe/Berlin".to_owned()
}

fn default_variant() -> String {
    "default".to_owned()
}

const fn one() -> i32 {
    1
}

const fn quarter_of_an_hour() -> i32 {
    15
}

impl NewCompany {
    /// A company with a name and nothing else.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            time_zone: default_time_zone(),
            features: serde_json::Map::new(),
            legacy_id: None,
            retell_account: None,
            calcom_account: None,
            transfer_number: None,
            transfer_hours: None,
            branches: Vec::new(),
            staff: Vec::new(),
            services: Vec::new(),
            phone_numbers: Vec::new(),
            agents: Vec::new(),
            policies: Vec::new(),
        }
    }

    /// Everything that is wrong, one sentence each; empty when the document is sound in itself.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() || self.name.len() > 200 {
            problems.push("name must have 1 to 200 characters".to_owned());
        }
        let zones = std::iter::once(&self.time_zone).chain(self.branches.iter().filter_map(|branch| branch.time_zone.as_ref()));
        problems.extend(
            zones.filter(|zone| zone.parse::<chrono_tz::Tz>().is_err()).map(|zone| format!("time zone \"{zone}\" is not an IANA name such as Europe/Berlin")),
        );
        self.check_names(&mut problems);
        self.check_references(&mut problems);
        self.check_numbers(&mut problems);
        self.check_hours(&mut problems);
        self.check_services(&mut problems);
        problems.extend(policy::problems(self));
        problems
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        let lists: [(&str, Vec<&str>); 5] = [
            ("branches", self.branches.iter().map(|item| item.name.as_str()).collect()),
            ("staff", self.staff.iter().map(|item| item.name.as_str()).collect()),
            ("services", self.services.iter().map(|item| item.name.as_str()).collect()),
            ("phone_numbers", self.phone_numbers.iter().map(|item| item.e164.as_str()).collect()),
            ("agents", self.agents.iter().map(|item| item.retell_agent_id.as_str()).collect()),
        ];
        for (list, names) in lists {
            let mut seen = BTreeSet::new();
            for (index, name) in names.iter().enumerate() {
                if name.trim().is_empty() {
                    problems.push(format!("{list}[{index}] has no name"));
                } else if !seen.insert(name) {
                    problems.push(format!("{list}[{index}] repeats the name of an earlier one"));
                }
            }
            if names.len() > ITEMS_MAX {
                problems.push(format!("{list} has more than {ITEMS_MAX} entries"));
            }
        }
    }

    fn check_references(&self, problems: &mut Vec<String>) {
        let branch_ok = |name: &str| self.branches.iter().any(|branch| branch.name == name);
        let unknown_branch = |list: &str, index: usize| format!("{list}[{index}] names a branch that is not in branches");
        for (index, person) in self.staff.iter().enumerate() {
            if person.branch.as_deref().is_some_and(|name| !branch_ok(name)) {
                problems.push(unknown_branch("staff", index));
            }
            if person.email.as_deref() == Some("") {
                problems.push(format!("staff[{index}].email is empty: leave it out"));
            }
        }
        for (index, service) in self.services.iter().enumerate() {
            if service.branch.as_deref().is_some_and(|name| !branch_ok(name)) {
                problems.push(unknown_branch("services", index));
            }
            if !service.staff.iter().all(|name| self.staff.iter().any(|person| person.name == *name)) {
                problems.push(format!("services[{index}] names someone who is not in staff"));
            }
        }
        for (index, number) in self.phone_numbers.iter().enumerate() {
            if !branch_ok(&number.branch) {
                problems.push(unknown_branch("phone_numbers", index));
            }
        }
        if self.retell_account.is_none() && !(self.phone_numbers.is_empty() && self.agents.is_empty()) {
            problems.push("phone numbers and agents need retell_account, the label of their account".to_owned());
        }
        if self.calcom_account.is_none() && self.services.iter().any(|service| service.calcom_event_type_id.is_some()) {
            problems.push("event types need calcom_account, the label of their account".to_owned());
        }
    }

    fn check_numbers(&self, problems: &mut Vec<String>) {
        let wrong = |what: &str, index: usize| format!("{what}[{index}] is not a number in E.164 such as +493012345678 (incident 42: exact or nothing)");
        for (index, number) in self.phone_numbers.iter().enumerate() {
            if E164::parse(&number.e164).is_none() {
                problems.push(wrong("phone_numbers", index));
            }
        }
        let no_number = |number: &Option<String>| number.as_deref().is_some_and(|number| E164::parse(number).is_none());
        for (index, _) in self.branches.iter().enumerate().filter(|(_, branch)| no_number(&branch.transfer_number)) {
            problems.push(wrong("transfer_number of branches", index));
        }
        for (index, _) in self.staff.iter().enumerate().filter(|(_, person)| no_number(&person.transfer_number)) {
            problems.push(wrong("transfer_number of staff", index));
        }
        if no_number(&self.transfer_number) {
            problems.push("transfer_number is not a number in E.164 such as +493012345678".to_owned());
        }
    }

    fn check_hours(&self, problems: &mut Vec<String>) {
        let of_branches = self.branches.iter().enumerate().flat_map(|(index, branch)| {
            let plans = [("opening_hours", Some(&branch.opening_hours)), ("transfer_hours", branch.transfer_hours.as_ref())];
            plans.map(|(name, plan)| (format!("branches[{index}].{name}"), plan))
        });
        for (name, plan) in of_branches.chain([("transfer_hours".to_owned(), self.transfer_hours.as_ref())]) {
            if let Some(Err(problem)) = plan.map(OpeningHours::parse) {
                problems.push(format!("{name}: {problem}"));
            }
        }
    }

    fn check_services(&self, problems: &mut Vec<String>) {
        let mut event_types = BTreeSet::new();
        for (index, service) in self.services.iter().enumerate() {
            if !(1..=1440).contains(&service.duration_minutes) {
                problems.push(format!("services[{index}].duration_minutes is not 1 to 1440"));
            }
            if !(1..=1000).contains(&service.seats_per_slot) {
                problems.push(format!("services[{index}].seats_per_slot is not 1 to 1000"));
            }
            if service.minimum_notice_minutes < 0 || service.price_minor.is_some_and(|price| price < 0) {
                problems.push(format!("services[{index}] has a negative price or notice"));
            }
            let currency_ok = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
            if service.currency.as_deref().is_some_and(|text| !currency_ok(text)) {
                problems.push(format!("services[{index}].currency is not three capital letters such as EUR"));
            }
            if service.calcom_event_type_id.is_some_and(|id| !event_types.insert(id)) {
                problems.push(format!("services[{index}] repeats the event type of an earlier one"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_company_is_sound() {
        let text = include_str!("../../../../deploy/demo/company.json");
        let company: NewCompany = serde_json::from_str(text).unwrap();
        assert_eq!(company.problems(), Vec::<String>::new());
        assert_eq!((company.branches.len(), company.services.len(), company.staff.len(), company.phone_numbers.len()), (2, 3, 2, 2));
    }

    #[test]
    fn every_problem_is_told_at_once_and_without_names_or_numbers() {
        let text = r#"{"name": "", "time_zone": "Europe/Bärlin",
            "transfer_number": "0800", "transfer_hours": {"fri": "morgens"},
            "branches": [{"name": "A", "transfer_number": "030 1234", "opening_hours": {"montag": []}}, {"name": "A", "transfer_hours": {"mon": [["18:00", "09:00"]]}}],
            "staff": [{"name": "Anna Beispiel", "branch": "C", "email": "", "transfer_number": "42"}],
            "services": [{"name": "S", "duration_minutes": 0, "calcom_event_type_id": 1, "staff": ["X"], "currency": "euro"}],
            "phone_numbers": [{"e164": "030 998877", "branch": "C"}]}"#;
        let problems = serde_json::from_str::<NewCompany>(text).unwrap().problems();
        assert_eq!(problems.len(), 18, "{problems:#?}");
        let told = problems.join("\n");
        assert!(!told.contains("Beispiel") && !told.contains("998877"), "{told}");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(serde_json::from_str::<NewCompany>(r#"{"name": "A", "phonenumbers": []}"#).is_err());
    }
}
