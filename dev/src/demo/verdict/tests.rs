//! The verdict on a story that went well, and on every way in which it might not.
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::demo::rows::{Call, Callback, Settled};
use crate::demo::story::Ring;

pub fn plan() -> Plan {
    Plan::after("2026-11-20T12:00:00Z".parse().expect("a time"))
}

/// Rows and ledger of a story that went well.
pub fn as_it_should_be(plan: &Plan) -> (Seen, Told) {
    let now = "2026-11-20T12:00:00Z".parse::<DateTime<Utc>>().expect("a time");
    let seen = Seen {
        appointments: appointments(plan, now),
        modifications: modifications(plan),
        calls: calls(now),
        callbacks: vec![callback(3, "anonymous_change", now), callback(6, "transfer_failed", now)],
        customers: ["Erika Musterfrau", "Jürgen Groß", "Klara Winter", "Paula Weidner", "Theo Brandner"].map(str::to_owned).into(),
        settled: Settled { intents: 6, handled: 14, callbacks: 2, ..Settled::default() },
    };
    (seen, told(plan, now))
}

/// What the second of two is offered and takes.
fn instead(plan: &Plan) -> DateTime<Utc> {
    plan.contested + TimeDelta::minutes(30)
}

fn appointments(plan: &Plan, now: DateTime<Utc>) -> Vec<Appointment> {
    let moved = Appointment {
        number: 1,
        status: "booked".into(),
        starts_at: plan.moved_to,
        ends_at: plan.moved_to + TimeDelta::minutes(30),
        created_at: now,
        calcom_uid: Some("uid2".into()),
        event_type_id: Some(1320),
        service: Some("Herrenhaarschnitt".into()),
        customer: Some("Jürgen Groß".into()),
        name_given: Some("Jürgen Groß".into()),
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
    let plain = Appointment { rescheduled_at: None, rescheduled_by: None, reschedule_source: None, previous_starts_at: None, ..moved.clone() };
    let web = Appointment {
        number: 2,
        status: "cancelled".into(),
        starts_at: plan.visited,
        ends_at: plan.visited + TimeDelta::minutes(30),
        calcom_uid: Some("uid3".into()),
        event_type_id: Some(1321),
        call_number: None,
        booking_source: Some("calcom_webhook".into()),
        cancelled_at: Some(now),
        cancelled_by: Some("customer".into()),
        cancellation_source: Some("calcom_webhook".into()),
        cancellation_reason: Some(plan::VISITOR_REASON.into()),
        ..plain.clone()
    };
    let by_phone = |number: i64, starts_at: DateTime<Utc>, customer: &str, name: &str| Appointment {
        number,
        starts_at,
        ends_at: starts_at + TimeDelta::minutes(30),
        calcom_uid: Some(format!("uid{}", number + 1)),
        call_number: Some(number - 1),
        customer: Some(customer.into()),
        name_given: Some(name.into()),
        ..plain.clone()
    };
    let [first, second] = plan::RIVALS.map(|(_, name)| name);
    let further = [
        by_phone(3, plan.for_son, plan::CALLER_NAME, plan::SON_NAME),
        by_phone(4, plan.anonymous, plan::ANONYMOUS_NAME, plan::ANONYMOUS_NAME),
        by_phone(5, plan.contested, first, first),
        by_phone(6, instead(plan), second, second),
    ];
    [moved, web].into_iter().chain(further).collect()
}

fn modifications(plan: &Plan) -> Vec<Modification> {
    let modification = |appointment_number: i64, kind: &str, uid: i64, from, to, source: &str| Modification {
        appointment_number,
        kind: kind.into(),
        calcom_uid: Some(format!("uid{uid}")),
        previous_starts_at: from,
        new_starts_at: to,
        actor: "customer".into(),
        source: source.into(),
        call_number: match appointment_number {
            1 => Some(1),
            2 => None,
            later => Some(later - 1),
        },
        reason: None,
    };
    let booked = |number: i64, at: DateTime<Utc>| modification(number, "booked", number + 1, None, Some(at), "retell_phone");
    vec![
        modification(1, "booked", 1, None, Some(plan.booked_for), "retell_phone"),
        modification(1, "rescheduled", 2, Some(plan.booked_for), Some(plan.moved_to), "retell_api"),
        modification(2, "booked", 3, None, Some(plan.visited), "calcom_webhook"),
        modification(2, "cancelled", 3, Some(plan.visited), None, "calcom_webhook"),
        booked(3, plan.for_son),
        booked(4, plan.anonymous),
        booked(5, plan.contested),
        booked(6, instead(plan)),
    ]
}

fn calls(now: DateTime<Utc>) -> Vec<Call> {
    let call = |number: i64| Call {
        number,
        retell_call_id: format!("call_{number}"),
        status: "analyzed".into(),
        started_at: Some(now),
        duration_ms: Some(900),
        disconnection_reason: Some("user_hangup".into()),
        customer: (number == 2).then(|| plan::CALLER_NAME.into()),
        name_given: (number == 2).then(|| plan::SON_NAME.into()),
        name_agreement: (number == 2).then(|| "different".into()),
    };
    (1..=6).map(call).collect()
}

fn callback(call_number: i64, reason: &str, now: DateTime<Utc>) -> Callback {
    Callback {
        call_number: Some(call_number),
        reason: reason.into(),
        priority: "high".into(),
        state: "open".into(),
        phone: None,
        due_at: now + TimeDelta::hours(4),
    }
}

fn told(plan: &Plan, now: DateTime<Utc>) -> Told {
    let entry = |op: &str, uid: i64, start: DateTime<Utc>| {
        json!({"seq": 1, "at": now, "op": op, "uid": format!("uid{uid}"), "from_uid": null, "start": start, "end": start, "event_type_id": 1320,
            "status": if op == "cancel" { "cancelled" } else { "accepted" }, "metadata": {}, "by": "api", "request_id": null})
    };
    let ledger = json!([
        entry("create", 1, plan.booked_for),
        entry("reschedule", 2, plan.moved_to),
        entry("create", 3, plan.visited),
        entry("cancel", 3, plan.visited),
        entry("create", 4, plan.for_son),
        entry("create", 5, plan.anonymous),
        entry("create", 6, plan.contested),
        entry("create", 7, instead(plan)),
    ]);
    let live = |uid: i64, start: DateTime<Utc>| LiveBooking { uid: format!("uid{uid}"), start, event_type_id: 1320 };
    let delivery = json!([{"seq": 1, "at": now, "trigger": "BOOKING_CREATED", "uid": "uid1", "webhook_id": "w", "status": 204}]);
    Told {
        calls: rings(plan),
        ledger: serde_json::from_value(ledger).expect("a ledger"),
        deliveries: serde_json::from_value(delivery).expect("deliveries"),
        stuck: None,
        live: vec![live(2, plan.moved_to), live(4, plan.for_son), live(5, plan.anonymous), live(6, plan.contested), live(7, instead(plan))],
    }
}

fn rings(plan: &Plan) -> Vec<Ring> {
    let booked = json!({"success": true, "booked": true, "status": "booked", "message": "Ihr Termin ist gebucht."});
    let greeting = |text: &str| json!({"call_inbound": {"dynamic_variables": {"greeting": text}}});
    let local = instead(plan).with_timezone(&plan::ZONE);
    let offer = json!([{"date": local.format("%Y-%m-%d").to_string(), "time": local.format("%H:%M").to_string(), "description": "gleich danach"}]);
    let lost = json!({"success": false, "booked": false, "reason": "slot_taken", "alternatives": offer, "message": "Diese Zeit wurde leider gerade vergeben."});
    let calls = [
        vec![("book_appointment", booked.clone()), ("reschedule_appointment", booked.clone())],
        vec![
            ("call_inbound", greeting("Guten Tag! Schön, Sie wieder zu hören, Jürgen Groß.")),
            ("apply_vip_benefits", json!({"vip_tier": "gold"})),
            ("book_appointment", booked.clone()),
        ],
        vec![("book_appointment", booked.clone()), ("cancel_appointment", json!({"success": false, "reason": "callback_queued"}))],
        vec![("book_appointment", booked.clone())],
        vec![("book_appointment", lost), ("book_appointment", booked)],
        vec![("transfer_call", json!({"success": true, "action": "transfer"})), ("transfer_started", json!({})), ("transfer_cancelled", json!({}))],
    ];
    let ring = |(index, steps): (usize, Vec<(&str, serde_json::Value)>)| {
        let answers: Vec<_> =
            steps.into_iter().map(|(step, body)| json!({"step": step, "status": 200, "attempts": 1, "latency_ms": 5, "body": body})).collect();
        let played = json!({"call_id": format!("call_{}", index + 1), "answers": answers});
        Ring { title: "A call", played: serde_json::from_value(played).expect("a played call") }
    };
    calls.into_iter().enumerate().map(ring).collect()
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
    assert_eq!(broken(|_, told| told.live.truncate(4)), ["live bookings in Cal.com = booked appointments"]);
    assert_eq!(broken(|_, told| told.live[0].event_type_id = 9), ["live bookings in Cal.com = booked appointments"]);
    assert_eq!(broken(|_, told| told.ledger.truncate(7)), ["changes in Cal.com = modification rows"]);
}

#[test]
fn a_call_on_the_wrong_modification_a_second_row_and_a_leftover_are_noticed() {
    assert_eq!(broken(|seen, _| seen.modifications[3].call_number = Some(1)), ["modification 4"]);
    assert_eq!(broken(|seen, _| seen.modifications[0].call_number = None), ["modification 1"]);
    let doubled = broken(|seen, _| seen.modifications.push(seen.modifications[0].clone()));
    assert_eq!(doubled, ["modification 9", "changes in Cal.com = modification rows"]);
    assert_eq!(broken(|seen, _| seen.settled.dead_letters = 1), ["dead letters, reviews"]);
    assert_eq!(broken(|seen, _| seen.settled.troubles = 1), ["messages handled at once, in trouble, refused by ingress"]);
    assert_eq!(broken(|_, told| told.deliveries[0].status = Some(503)), ["messages handled at once, in trouble, refused by ingress"]);
    assert_eq!(broken(|_, told| told.stuck = Some("waited 30 s".into())), ["the story"]);
    assert_eq!(broken(|seen, _| seen.appointments.clear()).len(), 15);
}

/// Incidents 30, 48, 53 and the failed transfer: each scene has a check that notices when it did not happen so.
#[test]
fn a_scene_that_went_otherwise_is_noticed() {
    let customer = |seen: &mut Seen| seen.appointments[2].customer = Some(plan::SON_NAME.into());
    assert_eq!(broken(|seen, _| customer(seen)), ["appointment #3 is for somebody else"]);
    assert_eq!(broken(|seen, _| seen.appointments[2].name_given = None), ["appointment #3 is for somebody else"]);
    assert_eq!(broken(|seen, _| seen.calls[1].name_given = None), ["the name told in call #2"]);
    assert_eq!(broken(|seen, _| seen.customers.push(plan::SON_NAME.into())), ["customers"]);
    let greeted = |told: &mut Told, step: usize, body: serde_json::Value| told.calls[1].played.answers[step].body = body;
    assert_eq!(broken(|_, told| greeted(told, 0, json!({"message": "Guten Tag! Wie heißen Sie?"}))), ["the returning caller is greeted as"]);
    assert_eq!(broken(|_, told| greeted(told, 1, json!({"vip_tier": "none"}))), ["the returning caller is greeted as"]);

    assert_eq!(broken(|seen, _| seen.appointments[3].status = "cancelled".into()), ["appointment #4", "live bookings in Cal.com = booked appointments"]);
    assert_eq!(broken(|_, told| told.calls[2].played.answers[1].body = json!({"success": true})), ["who withholds the number heard"]);

    let both = broken(|seen, _| seen.appointments[5].starts_at = seen.appointments[4].starts_at);
    assert_eq!(both.len(), 3, "who has the time, the second one's appointment, Cal.com: {both:?}");
    assert_eq!(broken(|_, told| drop(told.calls[4].played.answers.remove(1))).first().map(String::as_str), Some("the second of two heard"));

    assert_eq!(broken(|seen, _| seen.callbacks.truncate(1)), ["callbacks"]);
    assert_eq!(broken(|seen, _| seen.callbacks.push(seen.callbacks[1].clone())), ["callbacks"]);
    assert_eq!(broken(|_, told| told.calls[5].played.answers[0].body = json!({"action": "continue"})), ["the transferred caller heard"]);
    assert_eq!(broken(|seen, _| seen.calls[3].status = "ended".into()), ["calls"]);
}

#[test]
fn a_line_says_what_was_expected_and_what_was_found() {
    assert_eq!(Check::new("intents", "2", "2").to_string(), "ok      intents: 2");
    assert_eq!(Check::new("intents", "2", "3").to_string(), "NOT ok  intents: expected 2, found 3");
}
