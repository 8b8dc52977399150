//! The table of rules against rows of history as the former system left them.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use uuid::Uuid;

use super::*;

const CALL: &str = "00000000-0000-7000-8000-0000000000ca";
const USER: &str = "00000000-0000-7000-8000-0000000000ab";

fn row(fields: Json) -> AppointmentEvidence {
    let mut all = json!({"id": Uuid::nil(), "status": "booked"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn history(fields: Json) -> Json {
    let mut all = json!({"id": Uuid::max(), "actor": "unknown", "source": "unknown", "occurred_at": "2025-10-14T09:00:00Z"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    all
}

/// column → (value, rule) of what was filled.
fn filled(fields: Json) -> Json {
    let decision = decide(APPOINTMENT_RULES, &row(fields));
    Json::Object(decision.filled.iter().map(|filled| (filled.column.to_owned(), json!([filled.found.value.json(), filled.rule]))).collect())
}

#[test]
fn every_rule_has_a_name_of_its_own_and_stands_in_its_order_of_trust() {
    let mut names = BTreeSet::new();
    let mut columns: Vec<&str> = Vec::new();
    for rule in APPOINTMENT_RULES {
        assert!(names.insert((rule.column, rule.name, rule.rank)), "{}.{} stands there twice", rule.column, rule.name);
        assert!((0.0..=1.0).contains(&rule.confidence) && !rule.needs.is_empty());
        assert_eq!(rule.rank == NOTHING_KNOWN, rule.confidence == 0.0, "{}.{}", rule.column, rule.name);
        if columns.last() != Some(&rule.column) {
            assert!(!columns.contains(&rule.column), "the rules of {} stand together", rule.column);
            columns.push(rule.column);
        }
        assert!(row(json!({"status": "cancelled", "rescheduled_count": 1})).is_open(rule.column), "{} is a column of the row", rule.column);
    }
    assert!(APPOINTMENT_RULES.is_sorted_by(|one, next| one.column != next.column || one.rank <= next.rank));
    assert_eq!(columns.len(), 15, "the thirteen audit columns, the call and the staff");
}

#[test]
fn where_nothing_is_known_the_words_say_so_and_what_never_happened_stays_empty() {
    assert_eq!(filled(json!({})), json!({"created_by": ["unknown", "nothing_known"], "booking_source": ["unknown", "nothing_known"]}));
}

/// Domain reference 1.2: three vocabularies, one canonical word each.
#[test]
fn former_words_become_the_word_of_the_column() {
    let table = [
        (json!({"source": "retell_webhook"}), "customer", "retell_webhook"),
        (json!({"source": "phone"}), "customer", "retell_phone"),
        (json!({"source": "cal.com"}), "customer", "calcom_webhook"),
        (json!({"booked_via": "cal.com_direct"}), "customer", "calcom_webhook"),
        (json!({"created_by": "retell_agent", "booking_source": "phone_call"}), "customer", "retell_phone"),
        (json!({"created_by": "admin_user", "booking_source": "manual_admin"}), "staff", "crm_admin"),
        (json!({"created_by": "system", "booking_source": "backfill_from_calcom"}), "system", "backfill_from_calcom"),
        (json!({"source": "api"}), "customer", "retell_api"),
        (json!({"backfilled": true}), "system", "backfill_from_calcom"),
        // a text is no call (incident 37)
        (json!({"retell_call_id": "call_1"}), "unknown", "unknown"),
        (json!({"booking_source": "widget_embed"}), "unknown", "unknown"),
        (json!({"source": "no such word"}), "unknown", "unknown"),
    ];
    for (metadata, actor, source) in table {
        let filled = filled(json!({"legacy_metadata": metadata}));
        assert_eq!((&filled["created_by"][0], &filled["booking_source"][0]), (&json!(actor), &json!(source)), "{metadata}");
    }
}

/// Incident 99: columns were empty although rows of history existed.
#[test]
fn a_move_and_a_cancellation_are_filled_from_the_rows_of_history() {
    let moved =
        history(json!({"actor": "customer", "source": "retell_phone", "previous_starts_at": "2025-10-15T08:00:00Z", "occurred_at": "2025-10-14T09:00:05Z"}));
    let cancelled = history(json!({"actor": "staff", "source": "crm_admin", "user_id": USER, "reason": " krank ", "occurred_at": "2025-10-15T07:00:00Z"}));
    let filled = filled(json!({"status": "cancelled", "rescheduled_count": 1, "moved": moved, "cancelled": cancelled}));
    for (column, value) in [
        ("rescheduled_at", json!("2025-10-14T09:00:05.000000Z")),
        ("rescheduled_by", json!("customer")),
        ("reschedule_source", json!("retell_api")),
        ("previous_starts_at", json!("2025-10-15T08:00:00.000000Z")),
        ("cancelled_at", json!("2025-10-15T07:00:00.000000Z")),
        ("cancelled_by", json!("staff")),
        ("cancelled_by_user_id", json!(USER)),
        ("cancellation_source", json!("crm_admin")),
        ("cancellation_reason", json!("krank")),
    ] {
        assert_eq!(filled[column][0], value, "{column}");
    }
    assert_eq!(filled["rescheduled_by_user_id"], Json::Null, "a customer's change names no user");
}

#[test]
fn a_kept_webhook_tells_by_whom_when_and_from_where() {
    let update = json!({"createdAt": "2025-10-14T09:00:00.000Z", "payload": {"rescheduledBy": "Anna@example.org", "rescheduleStartTime": "2025-10-15T10:00:00+02:00",
        "organizer": {"email": "salon@example.org"}, "attendees": [{"email": "anna@example.org"}]}});
    let cancel = json!({"cancelledBy": "salon@example.org", "cancellationReason": "zu", "organizer": {"email": "salon@example.org"}, "attendees": []});
    let filled = filled(json!({"status": "cancelled", "legacy_metadata": {"last_update_payload": update, "cancellation_payload": cancel}}));
    assert_eq!(filled["rescheduled_at"], json!(["2025-10-14T09:00:00.000000Z", "kept_webhook"]));
    assert_eq!(filled["rescheduled_by"], json!(["customer", "kept_webhook"]));
    assert_eq!(filled["previous_starts_at"], json!(["2025-10-15T08:00:00.000000Z", "kept_webhook"]));
    assert_eq!(filled["reschedule_source"][0], "calcom_webhook");
    assert_eq!(
        (&filled["cancelled_by"][0], &filled["cancellation_source"][0], &filled["cancellation_reason"][0]),
        (&json!("staff"), &json!("calcom_webhook"), &json!("zu"))
    );
    assert_eq!(filled["cancelled_at"], Json::Null, "this webhook does not say when");
}

/// Our own cancellation comes back from Cal.com as a webhook: it was not made there.
#[test]
fn an_echo_from_calcom_does_not_hide_the_way_that_the_former_system_named() {
    let filled = filled(json!({"status": "cancelled", "legacy_metadata": {"cancelled_via": "retell_ai", "cancellation_payload": {"uid": "u"}}}));
    assert_eq!((&filled["cancellation_source"][0], &filled["cancelled_by"][0]), (&json!("retell_api"), &json!("customer")));
}

#[test]
fn notes_are_the_last_witness() {
    let notes = "Created via Retell webhook\nRescheduled on 2025-10-14T09:00:00Z from 2025-10-15T09:00:00Z to 2025-10-16T09:00:00Z\nCancelled on 2025-10-15T07:00:00Z. Reason: Urlaub im Mai";
    let filled = filled(json!({"status": "cancelled", "notes": notes}));
    assert_eq!(filled["booking_source"], json!(["retell_webhook", "notes"]));
    assert_eq!(filled["rescheduled_at"], json!(["2025-10-14T09:00:00.000000Z", "notes"]));
    assert_eq!(filled["previous_starts_at"], json!(["2025-10-15T09:00:00.000000Z", "notes"]));
    assert_eq!(filled["cancelled_at"], json!(["2025-10-15T07:00:00.000000Z", "notes"]));
    assert_eq!(filled["cancellation_reason"], json!(["Urlaub im Mai", "notes"]));
}

#[test]
fn a_time_without_a_zone_proves_no_instant() {
    for (text, found) in [
        ("2025-10-14 09:00:00", false),
        ("2025-10-14 09:00:00+00", true),
        ("2025-10-14T11:00:00+02:00", true),
        ("2025-10-14 09:00:00 UTC", true),
        ("bald", false),
    ] {
        assert_eq!(payload::time(text).map(|at: DateTime<Utc>| at.to_rfc3339()), found.then(|| "2025-10-14T09:00:00+00:00".to_owned()), "{text}");
    }
}

#[test]
fn two_witnesses_of_one_rank_that_disagree_fill_nothing_and_ask_a_human() {
    let decision = decide(APPOINTMENT_RULES, &row(json!({"legacy_metadata": {"booked_via": "retell_phone", "created_via": "cal.com"}})));
    assert_eq!(decision.questions, [Question { column: "booking_source", rules: vec!["booked_via", "created_via"] }]);
    let source = decision.filled.iter().find(|filled| filled.column == "booking_source").unwrap();
    assert_eq!((source.rule, source.found.value.json()), ("nothing_known", json!("unknown")));
    // times of one event differ by a moment
    let moved = history(json!({"previous_starts_at": "2025-10-15T08:00:00Z", "legacy_metadata": {"original_time": "2025-10-15 08:00:00+00"}}));
    assert!(decide(APPOINTMENT_RULES, &row(json!({"moved": moved}))).questions.is_empty());
}

#[test]
fn a_cancellation_of_unknown_time_is_asked_about_and_stays_empty() {
    let decision = decide(APPOINTMENT_RULES, &row(json!({"status": "cancelled"})));
    assert_eq!(decision.questions, [Question { column: "cancelled_at", rules: Vec::new() }]);
    assert!(decision.filled.iter().all(|filled| filled.column != "cancelled_at"));
}

#[test]
fn what_stands_there_is_never_written_again() {
    let cells = json!({"created_by": "staff", "booking_source": "unknown"});
    assert_eq!(filled(json!({"cells": cells, "legacy_metadata": {"source": "retell_webhook"}})), json!({}));
}

#[test]
fn one_candidate_is_a_link_and_two_are_none() {
    let other = Uuid::max();
    assert_eq!(filled(json!({"converted_calls": [CALL]}))["call_id"], json!([CALL, "call_converted"]));
    assert_eq!(filled(json!({"converted_calls": [CALL, other]}))["call_id"], Json::Null);
    assert_eq!(filled(json!({"named_calls": [CALL], "legacy_metadata": {"retell_call_id": "c"}}))["call_id"], json!([CALL, "call_named"]));
    assert_eq!(filled(json!({"named_calls": [CALL], "shares_uid": true}))["call_id"], Json::Null, "incident 7: the metadata may be the other's");
    assert_eq!(filled(json!({"detailed_calls": [CALL]}))["call_id"], json!([CALL, "call_details"]));
    assert_eq!(filled(json!({"created_event": true}))["booking_source"], json!(["calcom_webhook", "stored_event"]));
    assert_eq!(filled(json!({"host_staff": [USER]}))["staff_id"][0], USER);

    let around = |source: &str, calls: Json| {
        let row = json!({"id": Uuid::nil(), "source": source, "occurred_at": "2025-10-14T09:02:00Z", "named_call": null, "calls_around": calls});
        decide(MODIFICATION_RULES, &serde_json::from_value::<ModificationRow>(row).unwrap()).filled.len()
    };
    let call = json!({"id": CALL, "started_at": "2025-10-14T08:58:00Z", "ended_at": "2025-10-14T09:00:30Z"});
    assert_eq!(around("unknown", json!([call])), 1);
    assert_eq!(around("unknown", json!([call, call])), 0);
    assert_eq!(around("calcom_webhook", json!([call])), 0, "no call made it");
    let earlier = json!({"id": CALL, "started_at": "2025-10-14T08:00:00Z", "ended_at": "2025-10-14T08:10:00Z"});
    assert_eq!(around("unknown", json!([earlier])), 0);
}

#[test]
fn a_call_that_ended_with_a_cancellation_is_the_third_witness() {
    let calls = json!([{"id": CALL, "started_at": "2025-10-15T06:58:00Z", "ended_at": "2025-10-15T07:01:00Z"}]);
    let with = |metadata: Json| filled(json!({"status": "cancelled", "cancelling_calls": calls, "legacy_metadata": metadata}));
    assert_eq!(with(json!({"cancelled_at": "2025-10-15T07:00:00Z"}))["cancellation_source"], json!(["retell_api", "call_outcome"]));
    assert_eq!(with(json!({}))["cancellation_source"], json!(["unknown", "nothing_known"]), "when is not known, so no call holds it");
}

/// A second run finds the cells that the first one filled and nothing more: no rule gains a witness from them.
#[test]
fn a_filled_row_has_nothing_left_to_fill() {
    let moved = history(json!({"actor": "staff", "source": "crm_admin", "user_id": USER, "previous_starts_at": "2025-10-15T08:00:00Z"}));
    let mut fields = json!({"status": "cancelled", "rescheduled_count": 2, "moved": moved, "converted_calls": [CALL], "legacy_metadata": {"cancelled_via": "phone"},
        "booking_user": USER, "notes": "Cancelled on 2025-10-15T07:00:00Z"});
    let first = decide(APPOINTMENT_RULES, &row(fields.clone()));
    assert!(first.filled.len() > 10, "{first:?}");
    fields["cells"] = Json::Object(first.filled.iter().map(|filled| (filled.column.to_owned(), filled.found.value.json())).collect());
    assert!(decide(APPOINTMENT_RULES, &row(fields)).is_empty());
}

/// Incident 24: metadata was encoded twice.
#[test]
fn metadata_that_is_json_inside_json_is_read() {
    let once = json!({"source": "retell_webhook"}).to_string();
    for text in [once.clone(), Json::String(once).to_string()] {
        let decision = decide(APPOINTMENT_RULES, &row(json!({"legacy_metadata": {"metadata_text": text}})).unpacked());
        assert_eq!(decision.filled[1].found.value, Value::Word("retell_webhook"), "{text}");
    }
    assert!(row(json!({"legacy_metadata": {"metadata_text": "{broken"}})).unpacked().said("source").is_none());
}

#[test]
fn counts_are_stored_and_read_again() {
    let mut counts = Counts::default();
    counts.add(Subject::Appointments, &decide(APPOINTMENT_RULES, &row(json!({"status": "cancelled"}))));
    let mut twice = Counts::parse(&counts.json());
    assert_eq!(twice, counts);
    assert_eq!(counts.values(), 5, "two of the booking, three of the cancellation: {counts:?}");
    twice.merge(&counts);
    assert_eq!(twice.values(), 10);
}
