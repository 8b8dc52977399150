//! What a caller hears and the agent reads: one place for every sentence and field of a function's answer.
//!
//! Always HTTP 200 with `success`, machine fields and a `message` that can be spoken. `booked` is true only together with an appointment (incident 78);
//! until Cal.com has confirmed nothing is "gebucht" (architecture section 6).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time::spoken;
use shared::store::appointments::Appointment;
use shared::wire::arguments::ArgumentError;

fn zone_of(appointment: &Appointment) -> Tz {
    appointment.time_zone.parse().unwrap_or(Tz::Europe__Berlin)
}

fn refusal(reason: &str, message: &str) -> Value {
    json!({ "success": false, "reason": reason, "message": message })
}

/// The booking stands in Cal.com, or waits there for the host.
#[must_use]
pub fn booked(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let confirmed = appointment.status == "booked";
    let message = if confirmed {
        format!("Ihr Termin am {when} ist gebucht.")
    } else {
        format!("Ihr Termin am {when} ist angefragt. Die Bestätigung folgt, sobald der Betrieb zugesagt hat.")
    };
    json!({ "success": true, "booked": confirmed, "status": appointment.status, "appointment_number": appointment.number,
            "starts_at": local(appointment.starts_at, appointment), "message": message })
}

/// The move stands in Cal.com, or waits there for the host.
#[must_use]
pub fn rescheduled(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let confirmed = appointment.status == "booked";
    let message = if confirmed {
        format!("Ihr Termin ist verschoben. Er ist jetzt am {when}.")
    } else {
        format!("Die Verschiebung auf {when} ist angefragt. Die Bestätigung folgt, sobald der Betrieb zugesagt hat.")
    };
    json!({ "success": true, "rescheduled": confirmed, "status": appointment.status, "appointment_number": appointment.number,
            "starts_at": local(appointment.starts_at, appointment),
            "previous_starts_at": appointment.previous_starts_at.map(|at| local(at, appointment)), "message": message })
}

/// The cancellation stands in Cal.com.
#[must_use]
pub fn cancelled(appointment: &Appointment) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    json!({ "success": true, "cancelled": true, "status": appointment.status, "appointment_number": appointment.number,
            "message": format!("Ihr Termin am {when} ist abgesagt.") })
}

/// Cal.com or another promise of ours took the time.
#[must_use]
pub fn slot_taken() -> Value {
    refusal("slot_taken", "Dieser Termin ist leider gerade nicht mehr frei. Soll ich nach einer anderen Zeit schauen?")
}

/// Cal.com does not take bookings at that time: too soon, or too far ahead.
#[must_use]
pub fn out_of_bounds() -> Value {
    refusal("out_of_bounds", "Zu dieser Zeit nehmen wir leider keine Termine an. Welche andere Zeit passt Ihnen?")
}

/// The wished time lies behind us.
#[must_use]
pub fn in_the_past() -> Value {
    refusal("past_date", "Dieser Zeitpunkt ist schon vorbei. An welchem Tag möchten Sie kommen?")
}

/// The clocks skip that hour.
#[must_use]
pub fn no_such_time() -> Value {
    refusal("no_such_time", "Diese Uhrzeit gibt es an dem Tag wegen der Zeitumstellung nicht. Welche andere Uhrzeit passt Ihnen?")
}

/// Too soon after now for this service.
#[must_use]
pub fn too_soon(minimum_minutes: i32) -> Value {
    json!({ "success": false, "reason": "booking_notice_violation", "minimum_notice_minutes": minimum_minutes,
            "message": "So kurzfristig geht es leider nicht mehr. Welche spätere Zeit passt Ihnen?" })
}

/// The service is not among what the branch offers: the list is said, never a silent default (incident 67).
#[must_use]
pub fn unknown_service(names: &[String]) -> Value {
    let listed = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    json!({ "success": false, "reason": "unknown_service", "services": names,
            "message": if listed.is_empty() { "Diese Leistung kann ich leider nicht buchen. Möchten Sie, dass wir Sie zurückrufen?".to_owned() }
                       else { format!("Welche Leistung möchten Sie? Wir bieten zum Beispiel {listed}.") } })
}

/// The service cannot be booked by us: it has no event type or no credential. A matter for the operator.
#[must_use]
pub fn not_bookable() -> Value {
    refusal("not_bookable", "Diese Leistung kann ich am Telefon gerade nicht eintragen. Wir rufen Sie dazu gerne zurück.")
}

/// An argument is missing, vague or wrong: ask for it.
#[must_use]
pub fn argument(error: &ArgumentError) -> Value {
    let message = match error.argument() {
        "customer_name" => "Auf welchen Namen darf ich den Termin eintragen?",
        "service_name" => "Um welche Leistung geht es?",
        _ => "An welchem Tag und um welche Uhrzeit genau?",
    };
    json!({ "success": false, "reason": "argument", "argument": error.argument(), "message": message })
}

/// The caller withholds the number: booking is possible, changing is not; somebody calls back (incident 53).
#[must_use]
pub fn anonymous_change() -> Value {
    refusal("callback_queued", "Da ich Ihre Nummer nicht sehe, kann ich den Termin nicht selbst ändern. Ein Mitarbeiter kümmert sich darum und meldet sich.")
}

/// No appointment of this caller fits.
#[must_use]
pub fn no_appointment() -> Value {
    refusal("not_found", "Ich finde dazu leider keinen kommenden Termin. An welchem Tag wäre er denn?")
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
            "message": format!("Sie haben mehrere Termine: {}. Welchen meinen Sie?", listed.join("; ")) })
}

/// Something on the way to Cal.com failed for good; somebody calls back.
#[must_use]
pub fn could_not() -> Value {
    refusal("callback_queued", "Das hat gerade leider nicht geklappt. Wir kümmern uns darum und rufen Sie zurück.")
}

/// Somebody will call: the promise is a row with a deadline.
#[must_use]
pub fn callback_promised() -> Value {
    json!({ "success": true, "callback": true, "message": "Gern, ich habe notiert, dass wir Sie zurückrufen. Wir melden uns spätestens morgen." })
}

/// The function exists, but nobody carries it out yet.
#[must_use]
pub fn cannot_do_this() -> Value {
    refusal("not_available", "Das kann ich gerade leider nicht für Sie erledigen. Möchten Sie, dass wir Sie zurückrufen?")
}

fn local(at: DateTime<Utc>, appointment: &Appointment) -> String {
    at.with_timezone(&zone_of(appointment)).format("%Y-%m-%d %H:%M").to_string()
}
