//! The demo company of `deploy/demo/company.json`, or others like it.

use serde_json::Value;
use shared::store::companies::NewCompany;

/// The demo company.
///
/// # Panics
/// When the sample is not what the program reads.
#[must_use]
pub fn demo() -> NewCompany {
    serde_json::from_str(include_str!("../../deploy/demo/company.json")).expect("the demo company is read by the program")
}

/// A second company of the same shape: other name, numbers, event types and accounts, the same people.
///
/// # Panics
/// When the sample is not what the program reads.
#[must_use]
pub fn other(n: u32) -> NewCompany {
    let mut company: Value = serde_json::from_str(include_str!("../../deploy/demo/company.json")).expect("the demo company is JSON");
    company["name"] = format!("Praxis Nummer {n}").into();
    company["legacy_id"] = Value::Null;
    for (index, number) in company["phone_numbers"].as_array_mut().expect("numbers").iter_mut().enumerate() {
        number["e164"] = format!("+4930{:08}", 40_000_000 + n * 10 + u32::try_from(index).expect("few numbers")).into();
    }
    for service in company["services"].as_array_mut().expect("services") {
        let event_type = service["calcom_event_type_id"].as_i64().expect("an event type");
        service["calcom_event_type_id"] = (event_type + i64::from(n) * 10_000).into();
    }
    serde_json::from_value(company).expect("the changed company is read by the program")
}
