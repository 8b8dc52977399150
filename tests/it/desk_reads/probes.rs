//! What each function of desk answers to whom: the cells that `desk_reads` plays.

use chrono::Weekday;
use serde_json::{Value, json};
use shared::functions::Function;
use tests::world::ahead;

use super::{ERIKA, NOBODY};

/// A function of desk with what its answer is for each kind of caller.
pub struct Probe {
    pub function: Function,
    pub arguments: Value,
    pub found: fn(&Value) -> bool,
    /// Nothing to be found: other arguments, or another caller, or the company is closed.
    pub none: (Value, &'static str, fn(&Value) -> bool),
    pub anonymous: fn(&Value) -> bool,
}

pub fn is(answer: &Value, field: &str, value: impl Into<Value>) -> bool {
    answer.pointer(&format!("/{field}")) == Some(&value.into())
}

pub fn says(answer: &Value, words: &str) -> bool {
    answer["message"].as_str().unwrap().contains(words)
}

fn about_the_caller() -> [Probe; 5] {
    [
        Probe {
            function: Function::InitializeCall,
            arguments: json!({}),
            found: |a| {
                is(a, "customer/status", "existing_customer")
                    && is(a, "customer/name", "Erika Musterfrau")
                    && a["customer"]["next_appointment"]["service"] == "Beratung"
            },
            none: (json!({}), NOBODY, |a| is(a, "customer/status", "new_customer") && is(a, "branch/branch_name", "Mitte")),
            anonymous: |a| is(a, "customer/status", "anonymous") && says(a, "wie Sie heißen") && is(a, "customer/next_appointment", Value::Null),
        },
        Probe {
            function: Function::IdentifyCustomer,
            arguments: json!({ "customer_name": "Otto Fremd" }),
            found: |a| {
                is(a, "status", "existing_customer")
                    && is(a, "vip_status", "gold")
                    && is(a, "total_appointments", 3)
                    && is(a, "first_name", "Erika")
                    && says(a, "wieder zu hören")
            },
            none: (json!({}), NOBODY, |a| is(a, "found", false) && is(a, "status", "new_customer")),
            anonymous: |a| is(a, "status", "anonymous") && is(a, "vip_status", "none") && a.get("customer_name").is_none(),
        },
        Probe {
            function: Function::QueryAppointment,
            arguments: json!({ "service_name": "Beratung" }),
            found: |a| a["appointments"].as_array().unwrap().len() == 1 && is(a, "appointments/0/service", "Beratung") && says(a, "einen Termin: Beratung"),
            none: (json!({ "service_name": "Dauerwelle" }), ERIKA, |a| is(a, "reason", "not_found") && says(a, "keinen kommenden Termin")),
            anonymous: |a| is(a, "reason", "anonymous") && a.get("appointments").is_none() && says(a, "zurückrufen"),
        },
        Probe {
            function: Function::SaveCustomerPreference,
            arguments: json!({ "preference_type": "staff", "preference_key": "favourite", "preference_value": "Rieke" }),
            found: |a| is(a, "success", true) && a["usage_count"].as_i64() >= Some(1) && a["confidence"].as_f64() >= Some(0.5),
            none: (json!({ "preference_type": "time", "preference_key": "day", "preference_value": ["fri"] }), NOBODY, |a| {
                is(a, "success", true) && is(a, "usage_count", 1)
            }),
            anonymous: |a| is(a, "reason", "no_customer"),
        },
        Probe {
            function: Function::ApplyVipBenefits,
            arguments: json!({ "booking_data": { "x": 1 } }),
            found: |a| is(a, "vip_tier", "gold") && is(a, "discount", 10) && says(a, "10 Prozent Nachlass und besondere Zeiten"),
            none: (json!({}), NOBODY, |a| is(a, "discount", 0) && is(a, "benefits", json!([]))),
            anonymous: |a| is(a, "status", "anonymous") && is(a, "discount", 0),
        },
    ]
}

fn about_dates_and_the_company() -> [Probe; 5] {
    [
        Probe {
            function: Function::CurrentTimeBerlin,
            arguments: json!({}),
            found: |a| is(a, "timezone", "Europe/Berlin") && says(a, a["weekday"].as_str().unwrap()),
            none: (json!({}), NOBODY, |a| is(a, "success", true)),
            anonymous: |a| is(a, "success", true),
        },
        Probe {
            function: Function::ParseDate,
            arguments: json!({ "date": "übermorgen", "time": "halb zehn" }),
            found: |a| is(a, "exact", true) && is(a, "time", "09:30") && says(a, "Sie meinen") && says(a, "um 9 Uhr 30"),
            none: (json!({ "date": "demnächst irgendwann" }), ERIKA, |a| is(a, "success", false) && a["reason"].is_string()),
            anonymous: |a| is(a, "exact", true),
        },
        Probe {
            function: Function::ListServices,
            arguments: json!({}),
            found: |a| a["services"].as_array().unwrap().len() == 2 && says(a, "Beratung oder Herrenhaarschnitt"),
            none: (json!({ "branch": "Hamburg" }), ERIKA, |a| is(a, "argument", "branch") && says(a, "Welche Filiale")),
            anonymous: |a| is(a, "success", true),
        },
        Probe {
            function: Function::GetServiceInfo,
            arguments: json!({ "service_name": "Haarschnitt" }),
            found: |a| is(a, "service/name", "Herrenhaarschnitt") && says(a, "30 Minuten und kostet 32 Euro"),
            none: (json!({ "service_name": "Bartpflege" }), ERIKA, |a| is(a, "reason", "unknown_service") && says(a, "Herrenhaarschnitt")),
            anonymous: |a| is(a, "success", true),
        },
        Probe {
            function: Function::GetOpeningHours,
            arguments: json!({}),
            found: |a| says(a, "dienstags und mittwochs von 9 bis 18 Uhr") && is(a, "branch", "Mitte"),
            none: (json!({ "date": ahead(3, Weekday::Mon, 9, 0).1 }), ERIKA, |a| is(a, "open", false) && says(a, "geschlossen")),
            anonymous: |a| is(a, "success", true),
        },
    ]
}

/// The numbers that callers without a customer's row have.
fn about_people_behind() -> [Probe; 3] {
    [
        Probe {
            function: Function::RequestCallback,
            arguments: json!({ "customer_name": "Erika Musterfrau", "preferred_time_window": "morgen Nachmittag", "reason": "Es ist dringend" }),
            found: |a| is(a, "callback", true) && is(a, "priority", "high") && (says(a, "spätestens") || is(a, "already_promised", true)),
            none: (json!({ "phone_number": "keine Ahnung" }), NOBODY, |a| is(a, "argument", "customer_phone")),
            anonymous: |a| is(a, "reason", "phone_required") && a.get("callback").is_none(),
        },
        Probe {
            function: Function::CheckTransferAvailability,
            arguments: json!({}),
            found: |a| is(a, "available", true) && is(a, "transfer_number", "+493023125099"),
            none: (json!({ "mitarbeiter": "Anna Beispiel" }), ERIKA, |a| is(a, "available", false) && is(a, "reason", "person_unavailable")),
            anonymous: |a| is(a, "available", true),
        },
        Probe {
            function: Function::TransferCall,
            arguments: json!({ "staff": "Rieke" }),
            found: |a| is(a, "action", "transfer") && is(a, "transfer_number", "+493023125098"),
            none: (json!({ "staff": "Annegret Unbekannt" }), ERIKA, |a| is(a, "reason", "unknown_staff")),
            anonymous: |a| is(a, "action", "transfer"),
        },
    ]
}

pub fn probes() -> Vec<Probe> {
    about_the_caller().into_iter().chain(about_dates_and_the_company()).chain(about_people_behind()).collect()
}
