//! Every tenant's rows in a form in which two runs of the same life are equal: generated keys become what they stand for, and what may differ is left out, with
//! the reason. The tables come from the catalogue, so that a new one is compared or named here.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

/// Tables that tell of the way and not of the end.
pub const EXCLUDED_TABLES: [(&str, &str); 5] = [
    ("api_calls", "how often we asked: a sweep asks"),
    ("reviews", "what somebody had to look at on the way: news that came late may have overlapped for a while"),
    ("audit_log", "two appointments that were joined on the way"),
    ("silences", "whether webhooks come at all"),
    ("intents", "looks that news caused; the lives have no wishes of ours"),
];

/// Columns that may differ, of every table.
pub const EXCLUDED_COLUMNS: [(&str, &str); 30] = [
    ("id", "generated; what it leads to is compared"),
    ("number", "given in the order of arrival"),
    ("holder", "the appointment's id, as appointment_id"),
    ("revision", "how often the row was written"),
    ("created_at", "when the row was written"),
    ("updated_at", "when the row was written"),
    ("first_seen_at", "when the row was written"),
    ("occurred_at", "of another run; a sweep knows it from the row instead of the event"),
    ("rescheduled_at", "of another run"),
    ("cancelled_at", "of another run"),
    ("requested_at", "of another run"),
    ("accepted_at", "of another run"),
    ("opened_at", "of another run"),
    ("closed_at", "of another run"),
    ("provider_updated_at", "only a sweep knows it"),
    ("sequence", "only an event knows it"),
    ("fact_hash", "of the last teller"),
    ("marks", "who told; what follows from them is compared"),
    ("message_id", "the event that told, if one did"),
    ("booking_source", "reconciled where no event told: how we know it"),
    ("reschedule_source", "reconciled where no event told"),
    ("cancellation_source", "reconciled where no event told"),
    ("opened_source", "reconciled where no event told"),
    ("closed_source", "reconciled where no event told"),
    ("source", "reconciled where no event told"),
    ("opened_by", "as the modification's actor, which is compared"),
    ("closed_by", "as the modification's actor, which is compared"),
    ("closed_reason", "as the modification's reason, which is compared"),
    ("legacy_id", "of the set-up document"),
    ("search_key", "generated from what is compared"),
];

/// The rows of every tenant table, sorted; `labels` names Cal.com's uids.
///
/// # Panics
/// When the database does not answer.
pub async fn canonical(db: &PgPool, labels: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let names = names(db, labels).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'company_id' AND a.attnotnull ORDER BY 1",
    )
    .fetch_all(db)
    .await
    .expect("the catalogue");
    let mut dump = BTreeMap::new();
    for table in tables.into_iter().filter(|table| EXCLUDED_TABLES.iter().all(|(name, _)| name != table)) {
        let rows: Vec<Value> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT to_jsonb(t) FROM {table} t"))).fetch_all(db).await.expect("the rows of a table");
        let mut rows: Vec<String> = rows.into_iter().map(|row| named(&row, &names)).collect();
        rows.sort();
        dump.insert(table, rows);
    }
    dump
}

/// What differs between two dumps, line by line; empty if nothing does.
#[must_use]
pub fn difference(one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut lines = Vec::new();
    for table in one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>() {
        let none = Vec::new();
        let (ours, theirs) = (one.get(table).unwrap_or(&none), other.get(table).unwrap_or(&none));
        let count = |rows: &[String], row: &String| rows.iter().filter(|other| *other == row).count();
        for row in ours.iter().chain(theirs).collect::<std::collections::BTreeSet<_>>() {
            match (count(ours, row), count(theirs, row)) {
                (here, there) if here == there => {}
                (here, there) if here > there => lines.push(format!("- {table} {row}")),
                _ => lines.push(format!("+ {table} {row}")),
            }
        }
    }
    lines
}

fn named(row: &Value, names: &[(String, String)]) -> String {
    let mut row = row.clone();
    if let Value::Object(columns) = &mut row {
        columns.retain(|column, _| EXCLUDED_COLUMNS.iter().all(|(name, _)| name != column));
    }
    let mut text = row.to_string();
    for (id, name) in names {
        if text.contains(id) {
            text = text.replace(id, name);
        }
    }
    text
}

/// What each generated key stands for.
async fn names(db: &PgPool, labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = sqlx::query_as(
        "SELECT id::text, 'company ' || name FROM companies
         UNION ALL SELECT id::text, 'branch ' || name FROM branches
         UNION ALL SELECT id::text, 'service ' || name FROM services
         UNION ALL SELECT id::text, 'staff ' || name FROM staff
         UNION ALL SELECT id::text, 'number ' || e164 FROM phone_numbers
         UNION ALL SELECT id::text, 'agent ' || retell_agent_id FROM agents
         UNION ALL SELECT id::text, 'account ' || provider FROM provider_accounts
         UNION ALL SELECT id::text, 'customer ' || coalesce(email, phone, '?') FROM customers
         UNION ALL SELECT id::text, 'call ' || retell_call_id FROM calls
         UNION ALL SELECT id::text, 'appointment of ' || coalesce(calcom_uid, starts_at::text) FROM appointments",
    )
    .fetch_all(db)
    .await
    .expect("the names");
    // last: the names above may hold uids
    names.extend(labels.iter().map(|(uid, label)| (uid.clone(), label.clone())));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_there_once_more_or_differs_is_told() {
        let dump = |rows: &[&str]| BTreeMap::from([("table".to_owned(), rows.iter().map(ToString::to_string).collect::<Vec<_>>())]);
        assert!(difference(&dump(&["a", "b"]), &dump(&["b", "a"])).is_empty());
        assert_eq!(difference(&dump(&["a", "a"]), &dump(&["a", "c"])), ["- table a", "+ table c"]);
    }
}
