//! The rows of one appointment and of everything that hangs on it, cell by cell in the order of `copy`'s columns.
//! Not what is in them (`evidence`). Called by `contents`.
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::contents::Part;
use super::copy::{Row, Table};
use super::damage::Damage;
use super::evidence::{Change, Remains};
use super::life;
use super::plan::{DAY, Of};
use super::truth::Truth;

/// The calls that belong to this appointment's place: place, when, outcome, and whether it is the booking's.
pub fn calls_of(remains: &Remains<'_>) -> Vec<(u64, i64, &'static str, bool)> {
    let life = remains.life;
    let mut calls = Vec::new();
    if let (Some(call), false) = (life.booked.call, life.second_of_call) {
        calls.push((call, life.booked.at, "appointment_booked", true));
    }
    calls.extend(life.moves.iter().filter_map(|moved| Some((moved.call?, moved.at, "appointment_rescheduled", false))));
    calls.extend(life.cancelled.iter().filter_map(|cancelled| Some((cancelled.call?, cancelled.at, remains.cancelling_outcome, false))));
    calls
}

/// Writes the row and everything that hangs on it; returns all damage that was done.
pub fn write_appointment(part: &mut Part, remains: &Remains<'_>) -> Vec<Damage> {
    let (plan, life) = (remains.plan, remains.life);
    let (id, company) = (plan.key(Of::Appointment, life.company, life.place), plan.key(Of::Company, life.company, 0));
    let mut damages = remains.truth.damage.clone();
    appointment_row(part, remains);
    if let Some(uid) = &remains.uid {
        part.batch
            .row(Table::CalcomBookings)
            .id(company)
            .text(uid)
            .id(id)
            .id(plan.key(Of::CalcomAccount, 0, 0))
            .text(if life.cancelled.is_some() { "cancelled" } else { "accepted" })
            .time(life.starts_at())
            .time(life.starts_at() + plan.minutes(life.service) * 60)
            .number(remains.event_type)
            .number(500_000 + plan.legacy_id(life.company, life.place).cast_signed())
            .number(remains.host)
            .time(life.booked.at)
            .end();
    }
    for (number, change) in remains.changes.iter().enumerate() {
        damages.extend_from_slice(&change.damage);
        modification_row(part, remains, change, life.place * life::CALLS_PER_PLACE + number as u64);
    }
    if let Some(event) = &remains.event {
        let body = event.to_string();
        part.batch
            .row(Table::Events)
            .text(&hex::encode(&Sha256::digest(&body)[..16]))
            .text("calcom.booking_created")
            .id(company)
            .time(life.booked.at)
            .time(life.booked.at)
            .bytes(&body)
            .end();
    }
    if let Some(user) = remains.logged_user {
        part.batch
            .row(Table::AuditLog)
            .id(plan.key(Of::AuditLog, life.company, life.place))
            .id(company)
            .id(user)
            .text("user")
            .text("created")
            .text("appointment")
            .text(&id.to_string())
            .json(&json!({ "legacy_id": plan.legacy_id(life.company, life.place).to_string() }))
            .time(life.booked.at)
            .end();
    }
    remains.truth.write("appointments", id, company, &mut part.truth);
    damages
}

fn appointment_row(part: &mut Part, remains: &Remains<'_>) {
    let (plan, life, audit) = (remains.plan, remains.life, &remains.audit);
    let status = match (&life.cancelled, life.no_show) {
        (Some(_), _) => "cancelled",
        (None, true) => "no_show",
        (None, false) => "completed",
    };
    let notes = remains.notes.join("\n");
    part.batch
        .row(Table::Appointments)
        .id(plan.key(Of::Appointment, life.company, life.place))
        .id(plan.key(Of::Company, life.company, 0))
        .number(life.place.cast_signed() + 1)
        .id(plan.key(Of::Branch, life.company, 0))
        .id(plan.key(Of::Customer, life.company, life.customer))
        .id(plan.key(Of::Service, life.company, life.service))
        .maybe(remains.staff, Row::id)
        .maybe(remains.call, Row::id)
        .text(status)
        .time(life.starts_at())
        .time(life.starts_at() + plan.minutes(life.service) * 60)
        .text("Europe/Berlin")
        .maybe(remains.name_given.as_deref(), Row::text)
        .maybe((!notes.is_empty()).then_some(notes.as_str()), Row::text)
        .maybe(remains.uid.as_deref(), Row::text)
        .number(audit.rescheduled_count)
        .maybe(audit.created_by, Row::text)
        .maybe(audit.booking_source, Row::text)
        .maybe(audit.booked_by_user, Row::id)
        .maybe(audit.rescheduled_at, Row::time)
        .maybe(audit.rescheduled_by, Row::text)
        .maybe(audit.rescheduled_by_user, Row::id)
        .maybe(audit.reschedule_source, Row::text)
        .maybe(audit.previous_starts_at, Row::time)
        .maybe(audit.cancelled_at, Row::time)
        .maybe(audit.cancelled_by, Row::text)
        .maybe(audit.cancelled_by_user, Row::id)
        .maybe(audit.cancellation_source, Row::text)
        .maybe(audit.cancellation_reason, Row::text)
        .id(plan.key(Of::ImportRun, life.company, 0))
        .text(&plan.legacy_id(life.company, life.place).to_string())
        .json(&Value::Object(remains.metadata.clone()))
        .time(life.booked.at)
        .time(life.changed_at())
        .end();
}

fn modification_row(part: &mut Part, remains: &Remains<'_>, change: &Change, number: u64) {
    let (plan, life, deed) = (remains.plan, remains.life, &change.deed);
    let (id, company) = (plan.key(Of::Modification, life.company, number), plan.key(Of::Company, life.company, 0));
    let moved = change.kind == "rescheduled";
    // ten euros for whoever came late with it
    let late = deed.from.is_some_and(|from| from - deed.at < 2 * DAY);
    part.batch
        .row(Table::Modifications)
        .id(id)
        .id(company)
        .id(plan.key(Of::Appointment, life.company, life.place))
        .id(plan.key(Of::Customer, life.company, life.customer))
        .text(change.kind)
        .maybe(deed.from.filter(|_| moved), Row::time)
        .maybe(moved.then_some(deed.to), Row::time)
        .text(deed.actor)
        .text(change.source)
        .maybe(change.user, Row::id)
        .number(if late { 1000 } else { 0 })
        .maybe(deed.reason, Row::text)
        .id(plan.key(Of::ImportRun, life.company, 0))
        .text(&plan.legacy_id(life.company, number).to_string())
        .json(&change.metadata)
        .time(deed.at)
        .time(deed.at)
        .end();
    let mut truth = Truth::of(change.damage.clone());
    if let Some(call) = deed.call {
        truth.tell("call_id", plan.key(Of::Call, life.company, call).to_string(), change.call_by);
    }
    truth.write("appointment_modifications", id, company, &mut part.truth);
}
