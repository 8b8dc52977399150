//! Is what happened what should have happened? The rows of Postgres against literal expectations and against the Cal.com stand-in's ledger.
//! Pure. Called by `demo`; each check is one line. `scenes` has what is particular about each call.
mod scenes;

use std::fmt;

use chrono::{DateTime, Utc};

use super::plan::{self, Plan};
use super::rows::{Appointment, Modification, Seen};
use super::story::{LiveBooking, Told};
use super::table::local;
use crate::calcom_stand_in::Op;

/// One line of the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    what: String,
    expected: String,
    found: String,
}

impl Check {
    fn new(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        let said = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        Self { what: what.into(), expected: said(expected.into()), found: said(found.into()) }
    }

    /// True when it is as it should be.
    pub fn holds(&self) -> bool {
        self.expected == self.found
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds() {
            write!(f, "ok      {}: {}", self.what, self.found)
        } else {
            write!(f, "NOT ok  {}: expected {}, found {}", self.what, self.expected, self.found)
        }
    }
}

/// Every check, in the order of the story.
pub fn judge(plan: &Plan, seen: &Seen, told: &Told) -> Vec<Check> {
    let end = "came to its end";
    let mut checks =
        vec![Check::new("the story", end, told.stuck.as_deref().unwrap_or(end)), Check::new("appointments", "6", seen.appointments.len().to_string())];
    checks.extend(by_phone(plan, seen.appointments.first()));
    checks.extend(by_web(plan, seen.appointments.get(1)));
    checks.extend(scenes::returning(plan, seen, told));
    checks.extend(scenes::anonymous(plan, seen, told));
    checks.extend(scenes::race(plan, seen, told));
    checks.extend(scenes::transfer(seen, told));
    checks.extend(modifications(plan, seen, told));
    checks.extend(calls(seen, told));
    checks.extend(ledger(seen, told));
    checks.extend(left_over(seen, told));
    checks
}

/// The caller's appointment: booked and moved by phone, not cancelled.
fn by_phone(plan: &Plan, row: Option<&Appointment>) -> [Check; 4] {
    let found = |of: fn(&Appointment) -> String| row.map_or_else(|| "no such appointment".to_owned(), of);
    let at = local(plan.moved_to);
    [
        Check::new("appointment #1", format!("booked, {at}, from call #1"), found(state)),
        Check::new("appointment #1, booking group", "customer, retell_phone, user –", found(booking)),
        Check::new(
            "appointment #1, reschedule group",
            format!("at a time, customer, retell_api, user –, before {}", local(plan.booked_for)),
            found(reschedule),
        ),
        Check::new("appointment #1, cancellation group", "at –, –, –, user –, reason –", found(cancellation)),
    ]
}

/// The visitor's appointment: booked and cancelled in Cal.com, never moved.
fn by_web(plan: &Plan, row: Option<&Appointment>) -> [Check; 4] {
    let found = |of: fn(&Appointment) -> String| row.map_or_else(|| "no such appointment".to_owned(), of);
    let reason = plan::VISITOR_REASON;
    [
        Check::new("appointment #2", format!("cancelled, {}, from no call", local(plan.visited)), found(state)),
        Check::new("appointment #2, booking group", "customer, calcom_webhook, user –", found(booking)),
        Check::new("appointment #2, reschedule group", "at –, –, –, user –, before –", found(reschedule)),
        Check::new("appointment #2, cancellation group", format!("at a time, customer, calcom_webhook, user –, reason {reason}"), found(cancellation)),
    ]
}

fn state(row: &Appointment) -> String {
    let call = row.call_number.map_or_else(|| "no call".to_owned(), |number| format!("call #{number}"));
    format!("{}, {}, from {call}", row.status, local(row.starts_at))
}

fn booking(row: &Appointment) -> String {
    format!("{}, {}, user {}", text(row.created_by.as_ref()), text(row.booking_source.as_ref()), text(row.booked_by_user_id.as_ref()))
}

fn reschedule(row: &Appointment) -> String {
    format!(
        "at {}, {}, {}, user {}, before {}",
        some_time(row.rescheduled_at),
        text(row.rescheduled_by.as_ref()),
        text(row.reschedule_source.as_ref()),
        text(row.rescheduled_by_user_id.as_ref()),
        start(row.previous_starts_at),
    )
}

fn cancellation(row: &Appointment) -> String {
    format!(
        "at {}, {}, {}, user {}, reason {}",
        some_time(row.cancelled_at),
        text(row.cancelled_by.as_ref()),
        text(row.cancellation_source.as_ref()),
        text(row.cancelled_by_user_id.as_ref()),
        text(row.cancellation_reason.as_ref()),
    )
}

fn text(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "–".to_owned(), ToString::to_string)
}

fn some_time(at: Option<DateTime<Utc>>) -> &'static str {
    if at.is_some() { "a time" } else { "–" }
}

fn start(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "–".to_owned(), local)
}

/// Each change is one row, with its call where a call caused it, and only there.
fn modifications(plan: &Plan, seen: &Seen, told: &Told) -> Vec<Check> {
    let (ten, two, friday) = (local(plan.booked_for), local(plan.moved_to), local(plan.visited));
    let by_phone = |number: i64, at: String, call: i64| format!("#{number} booked, – → {at}, customer, retell_phone, call #{call}");
    let expected = [
        by_phone(1, ten.clone(), 1),
        format!("#1 rescheduled, {ten} → {two}, customer, retell_api, call #1"),
        format!("#2 booked, – → {friday}, customer, calcom_webhook, no call"),
        format!("#2 cancelled, {friday} → –, customer, calcom_webhook, no call"),
        by_phone(3, local(plan.for_son), 2),
        by_phone(4, local(plan.anonymous), 3),
        by_phone(5, local(plan.contested), 4),
        by_phone(6, scenes::offered(told), 5),
    ];
    let count = expected.len().max(seen.modifications.len());
    (0..count)
        .map(|index| {
            let none = || "no row".to_owned();
            let expected = expected.get(index).cloned().unwrap_or_else(none);
            Check::new(format!("modification {}", index + 1), expected, seen.modifications.get(index).map_or_else(none, modification))
        })
        .collect()
}

fn modification(row: &Modification) -> String {
    let call = row.call_number.map_or_else(|| "no call".to_owned(), |number| format!("call #{number}"));
    let (from, to) = (start(row.previous_starts_at), start(row.new_starts_at));
    format!("#{} {}, {from} → {to}, {}, {}, {call}", row.appointment_number, row.kind, row.actor, row.source)
}

/// Every call to its end, and the first caller heard the results.
fn calls(seen: &Seen, told: &Told) -> [Check; 2] {
    let found: Vec<String> = seen.calls.iter().map(|call| format!("#{} {}, {}", call.number, call.status, call.retell_call_id)).collect();
    let expected: Vec<String> = told.calls.iter().enumerate().map(|(index, call)| format!("#{} analyzed, {}", index + 1, call.played.call_id)).collect();
    let results: Vec<String> = told
        .calls
        .iter()
        .take(1)
        .flat_map(|call| &call.played.answers)
        .filter(|answer| matches!(answer.step.as_str(), "book_appointment" | "reschedule_appointment"))
        .map(|answer| format!("{} {}", answer.step, scenes::field(answer, "status")))
        .collect();
    [
        Check::new("calls", expected.join("; "), found.join("; ")),
        Check::new("the first caller heard", "book_appointment booked, reschedule_appointment booked", results.join(", ")),
    ]
}

/// Cal.com's truth and ours are the same.
fn ledger(seen: &Seen, told: &Told) -> [Check; 2] {
    let mut live: Vec<&LiveBooking> = told.live.iter().collect();
    live.sort();
    let theirs: Vec<String> = live.iter().map(|booking| held(&booking.uid, booking.start, booking.event_type_id)).collect();
    let mut ours: Vec<&Appointment> = seen.appointments.iter().filter(|row| row.status == "booked").collect();
    ours.sort_by_key(|row| row.calcom_uid.clone());
    let ours: Vec<String> =
        ours.iter().map(|row| held(row.calcom_uid.as_deref().unwrap_or("–"), row.starts_at, row.event_type_id.unwrap_or_default())).collect();

    let mut done: Vec<String> = told.ledger.iter().map(|entry| format!("{} {}", kind_of(entry.op), entry.uid)).collect();
    done.sort();
    let mut recorded: Vec<String> = seen.modifications.iter().map(|row| format!("{} {}", row.kind, text(row.calcom_uid.as_ref()))).collect();
    recorded.sort();
    [
        Check::new("live bookings in Cal.com = booked appointments", theirs.join(", "), ours.join(", ")),
        Check::new("changes in Cal.com = modification rows", done.join(", "), recorded.join(", ")),
    ]
}

fn held(uid: &str, starts_at: DateTime<Utc>, event_type_id: i64) -> String {
    format!("{uid} {} type {event_type_id}", local(starts_at))
}

fn kind_of(op: Op) -> &'static str {
    match op {
        Op::Create => "booked",
        Op::Reschedule => "rescheduled",
        Op::Cancel => "cancelled",
        Op::Confirm => "confirmed",
        Op::Reject => "rejected",
    }
}

/// Nothing is under way, nothing waits for a human.
fn left_over(seen: &Seen, told: &Told) -> [Check; 4] {
    let settled = &seen.settled;
    let refused = told.calls.iter().flat_map(|call| &call.played.answers).filter(|answer| !(200..300).contains(&answer.status)).count()
        + told.deliveries.iter().filter(|delivery| !delivery.status.is_some_and(|status| (200..300).contains(&status))).count();
    [
        Check::new(
            "messages handled at once, in trouble, refused by ingress",
            format!("{}, 0, 0", told.messages()),
            format!("{}, {}, {refused}", settled.handled, settled.troubles),
        ),
        Check::new("intents", "6, 0 open, 0 failed", format!("{}, {} open, {} failed", settled.intents, settled.intents_open, settled.intents_failed)),
        Check::new("outbox, running functions, waiting replies", "0, 0, 0", format!("{}, {}, {}", settled.outbox, settled.functions_running, settled.waiters)),
        Check::new("dead letters, reviews", "0, 0", format!("{}, {}", settled.dead_letters, settled.reviews)),
    ]
}

#[cfg(test)]
pub mod tests;
