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

/// A yes to nothing: the call holds no time that its caller was asked about.
#[must_use]
pub fn nothing_to_confirm() -> Value {
    json!({ "success": false, "booked": false, "reason": "nothing_to_confirm", "message": Sentence::NothingToConfirm {}.german() })
}

/// The wished time lies behind us.
#[must_use]
pub fn in_the_past() -> Value {
    refusal("past_date", Sentence::InThePast {})
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

/// Something on the way to Cal.com failed for good; somebody calls back.
#[must_use]
pub fn could_not() -> Value {
    refusal("callback_queued", Sentence::CouldNot {})
}

/// The function exists, but nobody carries it out yet.
#[must_use]
pub fn cannot_do_this() -> Value {
    refusal("not_available", Sentence::CannotDoThis {})
}

fn local(at: DateTime<Utc>, appointment: &Appointment) -> String {
    at.with_timezone(&zone_of(appointment)).format("%Y-%m-%d %H:%M").to_string()
}
