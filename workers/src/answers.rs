//! What a caller hears and the agent reads: the machine fields of a function's answer beside its sentence from the catalogue (`shared::texts`).
//!
//! Always HTTP 200 with `success`, machine fields and a `message` that can be spoken. `booked` is true only together with an appointment (incident 78);
//! until Cal.com has confirmed nothing is "gebucht" (architecture section 6).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time::spoken;
use shared::functions::arguments;
use shared::store::appointments::Appointment;
use shared::texts::{Sentence, choices};
use shared::wire::arguments::ArgumentError;

fn zone_of(appointment: &Appointment) -> Tz {
    appointment.time_zone.parse().unwrap_or(Tz::Europe__Berlin)
}

fn refusal(reason: &str, sentence: Sentence<'_>) -> Value {
    json!({ "success": false, "reason": reason, "message": sentence.german() })
}

/// The booking stands in Cal.com, or waits there for the host.
#[must_use]
pub fn booked(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let confirmed = appointment.status == "booked";
    let sentence = if confirmed { Sentence::Booked { when: &when } } else { Sentence::BookingRequested { when: &when } };
    json!({ "success": true, "booked": confirmed, "status": appointment.status, "appointment_number": appointment.number,
            "starts_at": local(appointment.starts_at, appointment), "message": sentence.german() })
}

/// The move stands in Cal.com, or waits there for the host.
#[must_use]
pub fn rescheduled(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let confirmed = appointment.status == "booked";
    let sentence = if confirmed { Sentence::Rescheduled { when: &when } } else { Sentence::RescheduleRequested { when: &when } };
    json!({ "success": true, "rescheduled": confirmed, "status": appointment.status, "appointment_number": appointment.number,
            "starts_at": local(appointment.starts_at, appointment),
            "previous_starts_at": appointment.previous_starts_at.map(|at| local(at, appointment)), "message": sentence.german() })
}

/// The cancellation stands in Cal.com.
#[must_use]
pub fn cancelled(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    json!({ "success": true, "cancelled": true, "status": appointment.status, "appointment_number": appointment.number,
            "message": Sentence::Cancelled { when: &when }.german() })
}

/// Cal.com or another promise of ours took the time.
#[must_use]
pub fn slot_taken() -> Value {
    refusal("slot_taken", Sentence::SlotTaken {})
}

/// Cal.com does not take bookings at that time: too soon, or too far ahead.
#[must_use]
pub fn out_of_bounds() -> Value {
    refusal("out_of_bounds", Sentence::OutOfBounds {})
}

/// The wished time lies behind us.
#[must_use]
pub fn in_the_past() -> Value {
    refusal("past_date", Sentence::InThePast {})
}

/// The clocks skip that hour.
#[must_use]
pub fn no_such_time() -> Value {
    refusal("no_such_time", Sentence::NoSuchTime {})
}

/// Too soon after now for this service.
#[must_use]
pub fn too_soon(minimum_minutes: i32) -> Value {
    json!({ "success": false, "reason": "booking_notice_violation", "minimum_notice_minutes": minimum_minutes,
            "message": Sentence::TooSoon {}.german() })
}

/// The service is not among what the branch offers: the list is said, never a silent default (incident 67).
#[must_use]
pub fn unknown_service(names: &[String]) -> Value {
    let listed = choices(names);
    let sentence = if listed.is_empty() { Sentence::ServiceUnknown {} } else { Sentence::ServiceChoice { services: &listed } };
    json!({ "success": false, "reason": "unknown_service", "services": names, "message": sentence.german() })
}

/// The service cannot be booked by us: it has no event type or no credential. A matter for the operator.
#[must_use]
pub fn not_bookable() -> Value {
    refusal("not_bookable", Sentence::NotBookable {})
}

/// An argument is missing, vague or wrong: ask for it.
#[must_use]
pub fn argument(error: &ArgumentError) -> Value {
    // the questions have no slots: their text is the sentence
    let question = arguments::question(error.argument()).german();
    json!({ "success": false, "reason": "argument", "argument": error.argument(), "message": question })
}

/// The caller withholds the number: booking is possible, changing is not; somebody calls back (incident 53).
#[must_use]
pub fn anonymous_change() -> Value {
    refusal("callback_queued", Sentence::AnonymousChange {})
}

/// No appointment of this caller fits.
#[must_use]
pub fn no_appointment() -> Value {
    refusal("not_found", Sentence::NoAppointment {})
}

/// Several appointments fit: they are listed, never the earliest taken (incident 72).
#[must_use]
pub fn several_appointments(appointments: &[Appointment]) -> Value {
    let listed: Vec<String> = appointments.iter().take(4).map(|appointment| spoken(appointment.starts_at, zone_of(appointment))).collect();
    let rows: Vec<Value> = appointments
        .iter()
        .map(|appointment| json!({ "appointment_number": appointment.number, "starts_at": local(appointment.starts_at, appointment) }))
        .collect();
    json!({ "success": false, "reason": "multiple_found", "appointments": rows,
            "message": Sentence::SeveralAppointments { appointments: &listed.join("; ") }.german() })
}

/// Something on the way to Cal.com failed for good; somebody calls back.
#[must_use]
pub fn could_not() -> Value {
    refusal("callback_queued", Sentence::CouldNot {})
}

/// Somebody will call: the promise is a row with a deadline.
#[must_use]
pub fn callback_promised() -> Value {
    json!({ "success": true, "callback": true, "message": Sentence::CallbackPromised {}.german() })
}

/// The function exists, but nobody carries it out yet.
#[must_use]
pub fn cannot_do_this() -> Value {
    refusal("not_available", Sentence::CannotDoThis {})
}

fn local(at: DateTime<Utc>, appointment: &Appointment) -> String {
    at.with_timezone(&zone_of(appointment)).format("%Y-%m-%d %H:%M").to_string()
}
