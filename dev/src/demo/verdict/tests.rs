//! The verdict on a story that went well, and on every way in which it might not.
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::demo::rows::{Call, Settled};

pub fn plan() -> Plan {
    Plan::after("2026-11-20T12:00:00Z".parse().expect("a time"))
}

/// Rows and ledger of a story that went well.
pub fn as_it_should_be(plan: &Plan) -> (Seen, Told) {
    let now = "2026-11-20T12:00:00Z".parse::<DateTime<Utc>>().expect("a time");
    let base = Appointment {
        number: 1,
        status: "booked".into(),
        starts_at: plan.moved_to,
        ends_at: plan.moved_to + TimeDelta::minutes(30),
        created_at: now,
        calcom_uid: Some("uid2".into()),
        event_type_id: Some(1320),
        service: Some("Herrenhaarschnitt".into()),
        customer: Some("Jürgen Groß".into()),
        call_number: Some(1),
        created_by: Some("customer".into()),
        booking_source: Some("retell_phone".into()),
        booked_by_user_id: None,
        rescheduled_at: Some(now),
        rescheduled_by: Some("customer".into()),
        rescheduled_by_user_id: None,
        reschedule_source: Some("retell_api".into()),
        previous_starts_at: Some(plan.booked_for),
        cancelled_at: None,
        cancelled_by: None,
        cancelled_by_user_id: None,
        cancellation_source: None,
        cancellation_reason: None,
    };
    let web = Appointment {
        number: 2,
        status: "cancelled".into(),
        starts_at: plan.visited,
        ends_at: plan.visited + TimeDelta::minutes(30),
        calcom_uid: Some("uid3".into()),
        event_type_id: Some(1321),
        call_number: None,
        booking_source: Some("calcom_webhook".into()),
        rescheduled_at: None,
        rescheduled_by: None,
        reschedule_source: None,
        previous_starts_at: None,
        cancelled_at: Some(now),
        cancelled_by: Some("customer".into()),
        cancellation_source: Some("calcom_webhook".into()),
        cancellation_reason: Some(plan::VISITOR_REASON.into()),
        ..base.clone()
    };
    let seen = Seen {
        appointments: vec![base, web],
        modifications: rows(plan),
        calls: vec![Call {
            number: 1,
            retell_call_id: "call_1".into(),
            status: "analyzed".into(),
            started_at: Some(now),
            duration_ms: Some(900),
            disconnection_reason: Some("user_hangup".into()),
            sentiment: None,
            customer: None,
        }],
        settled: Settled { intents: 2, handled: 3, ..Settled::default() },
    };
    (seen, told(plan, now))
}

fn rows(plan: &Plan) -> Vec<Modification> {
    let modification = |appointment_number, kind: &str, uid: &str, from, to, source: &str| Modification {
        appointment_number,
        kind: kind.into(),
        calcom_uid: Some(uid.into()),
        previous_starts_at: from,
        new_starts_at: to,
        actor: "customer".into(),
        source: source.into(),
        call_number: (appointment_number == 1).then_some(1),
        reason: None,
    };
    vec![
        modification(1, "booked", "uid1", None, Some(plan.booked_for), "retell_phone"),
        modification(1, "rescheduled", "uid2", Some(plan.booked_for), Some(plan.moved_to), "retell_api"),
        modification(2, "booked", "uid3", None, Some(plan.visited), "calcom_webhook"),
        modification(2, "cancelled", "uid3", Some(plan.visited), None, "calcom_webhook"),
    ]
}

fn told(plan: &Plan, now: DateTime<Utc>) -> Told {
    let entry = |op: &str, uid: &str, start: DateTime<Utc>| {
        json!({"seq": 1, "at": now, "op": op, "uid": uid, "from_uid": null, "start": start, "end": start, "event_type_id": 1320,
            "status": if op == "cancel" { "cancelled" } else { "accepted" }, "metadata": {}, "by": "api", "request_id": null})
    };
    let ledger = json!([
        entry("create", "uid1", plan.booked_for),
        entry("reschedule", "uid2", plan.moved_to),
        entry("create", "uid3", plan.visited),
        entry("cancel", "uid3", plan.visited),
    ]);
    let answer =
        |step: &str| json!({"step": step, "status": 200, "attempts": 1, "latency_ms": 5, "body": {"status": "booked", "message": "Ihr Termin ist gebucht."}});
    let call = json!({"call_id": "call_1", "answers": [answer("book_appointment"), answer("reschedule_appointment")]});
    let delivery = json!([{"seq": 1, "at": now, "trigger": "BOOKING_CREATED", "uid": "uid1", "webhook_id": "w", "status": 204}]);
    Told {
        call: serde_json::from_value(call).expect("a played call"),
        ledger: serde_json::from_value(ledger).expect("a ledger"),
        deliveries: serde_json::from_value(delivery).expect("deliveries"),
        stuck: None,
        live: vec![LiveBooking { uid: "uid2".into(), start: plan.moved_to, event_type_id: 1320 }],
    }
}

/// The names of the checks that do not hold after a change.
fn broken(change: impl FnOnce(&mut Seen, &mut Told)) -> Vec<String> {
    let plan = plan();
    let (mut seen, mut told) = as_it_should_be(&plan);
    change(&mut seen, &mut told);
    judge(&plan, &seen, &told).into_iter().filter(|check| !check.holds()).map(|check| check.what).collect()
}

#[test]
fn a_story_that_went_well_holds_in_every_line() {
    assert_eq!(broken(|_, _| {}), Vec::<String>::new());
}

#[test]
fn every_audit_column_that_is_not_as_expected_is_noticed() {
    type Change = fn(&mut Appointment);
    let booking: [Change; 3] =
        [|row| row.created_by = None, |row| row.booking_source = Some("retell_webhook".into()), |row| row.booked_by_user_id = Some(Uuid::nil())];
    let reschedule: [Change; 5] = [
        |row| row.rescheduled_at = if row.rescheduled_at.is_some() { None } else { Some(row.created_at) },
        |row| row.rescheduled_by = Some("retell_ai".into()),
        |row| row.rescheduled_by_user_id = Some(Uuid::nil()),
        |row| row.reschedule_source = Some("crm_admin".into()),
        |row| row.previous_starts_at = Some(row.starts_at),
    ];
    let cancellation: [Change; 5] = [
        |row| row.cancelled_at = if row.cancelled_at.is_some() { None } else { Some(row.created_at) },
        |row| row.cancelled_by = Some("staff".into()),
        |row| row.cancelled_by_user_id = Some(Uuid::nil()),
        |row| row.cancellation_source = Some("crm_admin".into()),
        |row| row.cancellation_reason = Some("not_given".into()),
    ];
    for index in 0..2 {
        for (group, changes) in [("booking", &booking[..]), ("reschedule", &reschedule[..]), ("cancellation", &cancellation[..])] {
            for change in changes {
                let broken = broken(|seen, _| change(&mut seen.appointments[index]));
                assert_eq!(broken, [format!("appointment #{}, {group} group", index + 1)]);
            }
        }
    }
}

#[test]
fn a_difference_to_the_ledger_is_noticed() {
    assert_eq!(broken(|_, told| told.live.clear()), ["live bookings in Cal.com = booked appointments"]);
    assert_eq!(broken(|_, told| told.live[0].event_type_id = 9), ["live bookings in Cal.com = booked appointments"]);
    assert_eq!(broken(|_, told| told.ledger.truncate(3)), ["changes in Cal.com = modification rows"]);
}

#[test]
fn a_call_on_the_wrong_modification_a_second_row_and_a_leftover_are_noticed() {
    assert_eq!(broken(|seen, _| seen.modifications[3].call_number = Some(1)), ["modification 4"]);
    assert_eq!(broken(|seen, _| seen.modifications[0].call_number = None), ["modification 1"]);
    let doubled = broken(|seen, _| seen.modifications.push(seen.modifications[0].clone()));
    assert_eq!(doubled, ["modification 5", "changes in Cal.com = modification rows"]);
    assert_eq!(broken(|seen, _| seen.settled.dead_letters = 1), ["dead letters, reviews, callbacks"]);
    assert_eq!(broken(|seen, _| seen.settled.troubles = 1), ["messages handled at once, in trouble, refused by ingress"]);
    assert_eq!(broken(|_, told| told.deliveries[0].status = Some(503)), ["messages handled at once, in trouble, refused by ingress"]);
    assert_eq!(broken(|_, told| told.stuck = Some("waited 30 s".into())), ["the story"]);
    assert_eq!(broken(|seen, _| seen.appointments.clear()).len(), 10);
}

#[test]
fn a_line_says_what_was_expected_and_what_was_found() {
    assert_eq!(Check::new("intents", "2", "2").to_string(), "ok      intents: 2");
    assert_eq!(Check::new("intents", "2", "3").to_string(), "NOT ok  intents: expected 2, found 3");
}
