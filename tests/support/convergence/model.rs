//! What must come of a life: told in its true order, step by step, as calcom reference 2.3 to 2.10 reads. It knows no facts, no chains, no ranks and no order of
//! arrival; it is what the fold is measured by.

use serde_json::{Value, json};
use shared::domain::booking_chain::Happening;

use super::life::{By, Life, Step, What, at, call_id};

/// The appointment's columns, its uids and its history, as one canonical value.
#[must_use]
pub fn expected(life: &Life) -> Value {
    let mut told = Account { call: json!(call_id(life.seed)), appointment: json!({}), bookings: Vec::new(), history: Vec::new() };
    for step in &life.steps {
        told.take(step);
    }
    told.history.sort_by_key(|row| (row["uid"].to_string(), row["kind"].to_string()));
    told.bookings.sort_by_key(|row| row["uid"].to_string());
    json!({ "appointment": told.appointment, "bookings": told.bookings, "history": told.history })
}

struct Account {
    call: Value,
    appointment: Value,
    bookings: Vec<Value>,
    history: Vec<Value>,
}

impl Account {
    fn take(&mut self, step: &Step) {
        match step.what {
            What::Create { by, pending, .. } => {
                let (actor, source, call, when) = self.hand(by, step, "retell_phone");
                self.appointment = json!({
                    "status": if pending { "pending" } else { "booked" }, "uid": step.uid, "starts_at": at(step.starts), "ends_at": at(step.starts + 30),
                    "host": step.host, "rescheduled_count": 0, "rescheduled_at": null, "rescheduled_by": null, "reschedule_source": null,
                    "previous_starts_at": null, "cancelled_at": null, "cancelled_by": null, "cancellation_source": null, "cancellation_reason": null,
                });
                self.made(step, Value::Null, pending);
                self.wrote(step, "booked", [Value::Null, json!(at(step.starts))], [actor, source, call, Value::Null, when]);
            }
            What::Move { by, pending } => {
                let (actor, source, call, when) = self.hand(by, step, "retell_api");
                self.last_booking()["state"] = json!("superseded");
                self.made(step, json!(step.from), pending);
                let a = &mut self.appointment;
                a["status"] = if pending { "pending" } else { "booked" }.into();
                a["uid"] = json!(step.uid);
                a["previous_starts_at"] = a["starts_at"].clone();
                a["starts_at"] = json!(at(step.starts));
                a["ends_at"] = json!(at(step.starts + 30));
                a["rescheduled_count"] = json!(a["rescheduled_count"].as_i64().expect("a count") + 1);
                (a["rescheduled_at"], a["rescheduled_by"], a["reschedule_source"]) = (when.clone(), actor.clone(), source.clone());
                self.wrote(step, "rescheduled", [json!(at(step.from_starts)), json!(at(step.starts))], [actor, source, call, Value::Null, when]);
            }
            What::Confirm => {
                self.became(step, "accepted", "booked");
                self.told_by_cal_com(step, "confirmed", "staff");
            }
            What::NoShow => self.attended(step, "no_show", true),
            What::NoShowTakenBack => self.attended(step, "no_show_withdrawn", false),
            What::Reassign => {
                self.appointment["host"] = json!(step.host);
                self.last_booking()["host"] = json!(step.host);
            }
            What::Reject => self.ended(step, "rejected", By::Staff, false),
            What::AskForAnotherTime => self.ended(step, "reschedule_requested", By::Staff, false),
            What::Cancel { by, .. } => self.ended(step, "cancelled", by, false),
            What::CancelSeated => self.ended(step, "cancelled", By::Customer, true),
            What::SeatLeaves | What::Look => {}
        }
    }

    /// Actor, source, call and time of a change by that hand. A caller's wish was uttered a minute before Cal.com knew.
    fn hand(&self, by: By, step: &Step, by_phone: &str) -> (Value, Value, Value, Value) {
        match by {
            By::Customer => ("customer".into(), "calcom_webhook".into(), Value::Null, json!(at(step.minute))),
            By::Staff => ("staff".into(), "calcom_webhook".into(), Value::Null, json!(at(step.minute))),
            By::Us => ("customer".into(), by_phone.into(), self.call.clone(), json!(at(step.minute - 1))),
        }
    }

    fn last_booking(&mut self) -> &mut Value {
        self.bookings.last_mut().expect("a life begins with a booking")
    }

    fn made(&mut self, step: &Step, predecessor: Value, pending: bool) {
        self.bookings.push(json!({
            "uid": step.uid, "predecessor": predecessor, "state": if pending { "pending" } else { "accepted" }, "starts_at": at(step.starts),
            "ends_at": at(step.starts + 30), "host": step.host, "no_show": false, "placeholder": false,
        }));
    }

    fn became(&mut self, step: &Step, state: &str, status: &str) {
        assert_eq!(self.appointment["uid"], json!(step.uid));
        self.last_booking()["state"] = state.into();
        self.appointment["status"] = status.into();
    }

    /// An absence is the status of a booking that stands; each word is in the history once, as it was first said.
    fn attended(&mut self, step: &Step, kind: &str, absent: bool) {
        self.last_booking()["no_show"] = absent.into();
        if step.state == Happening::Accepted {
            self.appointment["status"] = if absent { "no_show" } else { "booked" }.into();
        }
        if !self.history.iter().any(|row| row["uid"] == json!(step.uid) && row["kind"] == json!(kind)) {
            self.told_by_cal_com(step, kind, "staff");
        }
    }

    fn told_by_cal_com(&mut self, step: &Step, kind: &str, actor: &str) {
        let who = [actor.into(), "calcom_webhook".into(), Value::Null, Value::Null, json!(at(step.minute))];
        self.wrote(step, kind, [Value::Null, json!(at(step.starts))], who);
    }

    fn ended(&mut self, step: &Step, state: &str, by: By, found: bool) {
        self.became(step, state, state);
        let (mut actor, mut source, call, when) = self.hand(by, step, "retell_api");
        let mut reason = json!(format!("Grund {}", step.minute));
        if found {
            (actor, source, reason) = ("unknown".into(), "reconciled".into(), "not_given".into());
        }
        if state == "cancelled" {
            let a = &mut self.appointment;
            (a["cancelled_at"], a["cancelled_by"], a["cancellation_source"]) = (when.clone(), actor.clone(), source.clone());
            a["cancellation_reason"] = reason.clone();
        }
        self.wrote(step, state, [json!(at(step.starts)), Value::Null], [actor, source, call, reason, when]);
    }

    fn wrote(&mut self, step: &Step, kind: &str, [previous, new]: [Value; 2], [actor, source, call, reason, when]: [Value; 5]) {
        self.history.push(json!({
            "uid": step.uid, "kind": kind, "previous_starts_at": previous, "new_starts_at": new, "actor": actor, "source": source, "call_id": call,
            "reason": reason, "occurred_at": when,
        }));
    }
}
