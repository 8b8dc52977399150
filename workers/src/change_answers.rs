//! What a caller hears who wants to move or cancel: the machine fields beside the sentences, and what the change costs.
//!
//! Not the decision (`domain::policies`) nor the rules of answers in general (`answers`). Words for denials are the reference's (domain reference 2.2 and 4.1).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time::spoken;
use shared::domain::money;
use shared::domain::offers;
use shared::domain::policies::{Denial, DenialReason};
use shared::store::appointments::Appointment;
use shared::store::services::Service;
use shared::texts::Sentence;

/// More than four are not said on the phone.
const SAID_MAX: usize = 4;

/// What a change costs; goes with its intent to its row and into its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub fee_minor: i64,
    pub currency: String,
}

impl Charge {
    /// As the intent carries it. `appointment_modifications` takes `within_policy` and `fee_minor` from there: what a policy denies never becomes an intent.
    #[must_use]
    pub fn as_request(&self) -> Value {
        json!({ "within_policy": true, "fee_minor": self.fee_minor, "currency": self.currency })
    }

    /// What an intent carries; wishes from before there were fees are free.
    #[must_use]
    pub fn of(request: &Value) -> Self {
        Self { fee_minor: request["fee_minor"].as_i64().unwrap_or(0), currency: request["currency"].as_str().unwrap_or("EUR").to_owned() }
    }

    fn said(&self) -> Option<String> {
        (self.fee_minor > 0).then(|| money::spoken(self.fee_minor, &self.currency))
    }

    fn write(&self, answer: &mut Value) {
        answer["fee"] = amount(self.fee_minor);
        answer["fee_minor"] = json!(self.fee_minor);
        answer["currency"] = json!(self.currency);
    }
}

/// In whole units with two decimals, as a text: a float would not be exact.
fn amount(minor: i64) -> Value {
    json!(format!("{}.{:02}", minor / 100, minor % 100))
}

fn zone_of(appointment: &Appointment) -> Tz {
    appointment.time_zone.parse().unwrap_or(Tz::Europe__Berlin)
}

fn local(at: DateTime<Utc>, appointment: &Appointment) -> String {
    at.with_timezone(&zone_of(appointment)).format("%Y-%m-%d %H:%M").to_string()
}

/// The move stands in Cal.com, or waits there for the host.
#[must_use]
pub fn rescheduled(appointment: &Appointment, charge: &Charge) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let confirmed = appointment.status == "booked";
    let fee = charge.said();
    let sentence = match &fee {
        _ if !confirmed => Sentence::RescheduleRequested { when: &when },
        Some(fee) => Sentence::RescheduledWithFee { when: &when, fee },
        None => Sentence::Rescheduled { when: &when },
    };
    let new_time = local(appointment.starts_at, appointment);
    let old_time = appointment.previous_starts_at.map(|at| local(at, appointment));
    let mut answer = json!({
        "success": true, "rescheduled": confirmed, "status": appointment.status, "appointment_number": appointment.number, "starts_at": new_time,
        "previous_starts_at": old_time, "old_time": old_time, "new_time": new_time, "message": sentence.german(),
    });
    charge.write(&mut answer);
    answer
}

/// The cancellation stands in Cal.com.
#[must_use]
pub fn cancelled(appointment: &Appointment, charge: &Charge) -> Value {
    let when = spoken(appointment.starts_at, zone_of(appointment));
    let fee = charge.said();
    let sentence = fee.as_ref().map_or(Sentence::Cancelled { when: &when }, |fee| Sentence::CancelledWithFee { when: &when, fee });
    let mut answer =
        json!({ "success": true, "cancelled": true, "status": appointment.status, "appointment_number": appointment.number, "message": sentence.german() });
    charge.write(&mut answer);
    answer
}

/// The new time is free and held; nothing is moved before the caller says yes to exactly this (incidents 73, 80).
#[must_use]
pub fn ready_for_confirmation(appointment: &Appointment, starts_at: DateTime<Utc>, charge: &Charge) -> Value {
    let (from, to) = (spoken(appointment.starts_at, zone_of(appointment)), spoken(starts_at, zone_of(appointment)));
    let fee = charge.said();
    let sentence = match &fee {
        Some(fee) => Sentence::RescheduleReadBackWithFee { from: &from, to: &to, fee },
        None => Sentence::RescheduleReadBack { from: &from, to: &to },
    };
    let mut answer = json!({
        "success": true, "rescheduled": false, "status": "ready_for_confirmation", "awaiting_confirmation": true, "appointment_number": appointment.number,
        "old_time": local(appointment.starts_at, appointment), "new_time": local(starts_at, appointment), "message": sentence.german(),
    });
    charge.write(&mut answer);
    answer
}

/// The appointment is found; where to it shall be moved was not said.
#[must_use]
pub fn needs_new_time(appointment: &Appointment) -> Value {
    json!({
        "success": false, "status": "needs_new_time", "reason": "needs_new_time", "appointment_number": appointment.number,
        "old_time": local(appointment.starts_at, appointment), "message": Sentence::AskNewDateAndTime {}.german(),
    })
}

/// The new time is not free. `alternatives` are held for the call; `spoken` says them. `lost`: it was free a moment ago (incident 30).
#[must_use]
pub fn unavailable(alternatives: &Value, spoken: &str, lost: bool) -> Value {
    let sentence = match (spoken.is_empty(), lost) {
        (true, true) => Sentence::SlotTaken {},
        (true, false) => Sentence::NothingFree {},
        (false, true) => Sentence::RaceLost { alternatives: spoken },
        (false, false) => Sentence::NotFree { alternatives: spoken },
    };
    let reason = if lost { "slot_taken" } else { "unavailable" };
    json!({ "success": false, "status": "unavailable", "reason": reason, "alternatives": alternatives, "message": sentence.german() })
}

/// Whether the new time is free cannot be found out now, and without knowing it nothing is promised.
#[must_use]
pub fn calendar_away() -> Value {
    json!({ "success": false, "reason": "calendar_unavailable", "offer_callback": true, "message": Sentence::CalendarAway {}.german() })
}

/// The caller has another appointment then (incident 70).
#[must_use]
pub fn own_appointment_then(own: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> Value {
    let when = offers::spoken(own, now, zone);
    json!({
        "success": false, "status": "unavailable", "reason": "local_db_conflict", "has_existing_appointment": true, "alternatives": [],
        "message": Sentence::OwnAppointmentThen { when: &when }.german(),
    })
}

/// Beyond twelve months.
#[must_use]
pub fn too_far() -> Value {
    json!({ "success": false, "reason": "too_far", "message": Sentence::TooFar {}.german() })
}

/// The policy forbids it: all numbers, and somebody may call back (domain reference 4.1).
#[must_use]
pub fn denied(appointment: &Appointment, denial: &Denial, currency: &str) -> Value {
    let hours = denial.required_hours.unwrap_or(0).to_string();
    let sentence = match denial.reason {
        DenialReason::AlreadyStarted => Sentence::AlreadyStarted {},
        DenialReason::DeadlineMissed => Sentence::DeadlineMissed { hours: &hours },
        DenialReason::QuotaExceeded => Sentence::QuotaExceeded {},
        DenialReason::MaxReschedulesReached => Sentence::MaxReschedulesReached {},
    };
    json!({
        "success": false, "status": "denied", "reason": denial.reason.literal(), "appointment_number": appointment.number, "hours_notice": denial.hours_notice,
        "required_hours": denial.required_hours, "fee_if_forced": amount(denial.fee_if_forced_minor), "fee_if_forced_minor": denial.fee_if_forced_minor,
        "currency": currency, "quota_used": denial.quota_used, "quota_max": denial.quota_max, "offer_callback": true, "message": sentence.german(),
    })
}

/// No appointment of this caller fits.
#[must_use]
pub fn no_appointment() -> Value {
    json!({ "success": false, "reason": "not_found", "message": Sentence::NoAppointment {}.german() })
}

/// Several appointments fit: they are listed, never the earliest taken (incident 72).
#[must_use]
pub fn several_appointments(appointments: &[Appointment], offered: &[Service]) -> Value {
    listed("multiple_found", appointments, offered)
}

/// None of the caller's appointments is for the service that was named: those that there are.
#[must_use]
pub fn not_that_service(appointments: &[Appointment], offered: &[Service]) -> Value {
    listed("not_found", appointments, offered)
}

fn listed(reason: &str, appointments: &[Appointment], offered: &[Service]) -> Value {
    let service_of = |appointment: &Appointment| offered.iter().find(|service| Some(service.id) == appointment.service_id).map(|service| service.name.as_str());
    let said: Vec<String> = appointments.iter().take(SAID_MAX).map(|appointment| spoken(appointment.starts_at, zone_of(appointment))).collect();
    let rows: Vec<Value> = appointments
        .iter()
        .map(|appointment| json!({ "appointment_number": appointment.number, "starts_at": local(appointment.starts_at, appointment), "service": service_of(appointment) }))
        .collect();
    let message = match appointments {
        [only] => Sentence::OneAppointment { when: &said.join(""), service: service_of(only).unwrap_or("Termin") }.german(),
        _ => Sentence::SeveralAppointments { appointments: &said.join("; ") }.german(),
    };
    json!({ "success": false, "reason": reason, "appointments": rows, "message": message })
}

#[cfg(test)]
mod tests {
    use shared::texts::lint::faults;

    use super::*;

    #[test]
    fn a_charge_comes_back_from_its_intent() {
        let charge = Charge { fee_minor: 1_250, currency: "CHF".to_owned() };
        assert_eq!(Charge::of(&charge.as_request()), charge);
        assert_eq!(Charge::of(&json!({})), Charge { fee_minor: 0, currency: "EUR".to_owned() });
        assert_eq!((charge.said().as_deref(), amount(1_250), amount(5)), (Some("12 Franken 50"), json!("12.50"), json!("0.05")));
    }

    #[test]
    fn what_is_not_free_is_said_with_what_is() {
        for (spoken, lost, reason) in
            [("", true, "slot_taken"), ("", false, "unavailable"), ("morgen um 10 Uhr", true, "slot_taken"), ("morgen um 10 Uhr", false, "unavailable")]
        {
            let answer = unavailable(&json!([]), spoken, lost);
            let message = answer["message"].as_str().unwrap();
            assert_eq!((&answer["reason"], faults(message)), (&json!(reason), vec![]), "{message}");
            assert!(message.contains(spoken));
        }
    }
}
