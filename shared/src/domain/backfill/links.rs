//! The rules that link rows of history to each other: a change to its call, a call to its customer. By identity or number within the company, never by a name.

use serde_json::json;

use super::evidence::{CallEvidence, ModificationRow};
use super::{Found, Rule, Value};

/// Changes that name no call.
pub static MODIFICATION_RULES: &[Rule<ModificationRow>] = &[
    Rule {
        name: "call_named",
        column: "call_id",
        rank: 1,
        confidence: 0.98,
        needs: "call_id of its metadata is Retell's id of a call of the company",
        find: |row| row.named_call.map(|call| Found { value: Value::Row(call), evidence: json!({"by": "retell_call_id"}) }),
    },
    Rule {
        name: "call_around",
        column: "call_id",
        rank: 2,
        confidence: 0.8,
        needs: "exactly one call of the customer, begun before it and ended at most two minutes before it; not of a change that Cal.com, a portal or a person made",
        find: call_around,
    },
];

/// Calls that name no customer.
pub static CALL_RULES: &[Rule<CallEvidence>] = &[
    Rule {
        name: "number",
        column: "customer_id",
        rank: 1,
        confidence: 1.0,
        needs: "the customer of the company who has the caller's number",
        find: |row| row.customer_of_number.map(|customer| Found { value: Value::Row(customer), evidence: json!({"by": "caller"}) }),
    },
    Rule {
        name: "appointment",
        column: "customer_id",
        rank: 2,
        confidence: 0.9,
        needs: "the customer of the appointment that the call says it led to, where no customer has the caller's number",
        find: |row| row.customer_of_appointment.map(|customer| Found { value: Value::Row(customer), evidence: json!({"by": "converted_appointment"}) }),
    },
];

fn call_around(row: &ModificationRow) -> Option<Found> {
    if !matches!(row.source.as_str(), "retell_phone" | "retell_webhook" | "retell_api" | "unknown") {
        return None;
    }
    let mut held = row.calls_around.iter().filter(|call| call.holds(row.occurred_at));
    match (held.next(), held.next()) {
        (Some(call), None) => Some(Found { value: Value::Row(call.id), evidence: json!({"by": "caller and time"}) }),
        _ => None,
    }
}
