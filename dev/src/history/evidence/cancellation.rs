//! What was kept of a cancellation.
use serde_json::json;

use super::super::calls::Fate;
use super::super::copy::instant;
use super::super::damage::Damage;
use super::super::life::Channel;
use super::super::truth::FILLED;
use super::Remains;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Filled,
    Row,
    RowByTime,
    UserIdWord,
    Payload,
    PayloadOfNobody,
    Notes,
    CallOutcome,
    AtUpdate,
}

const fn forms(channel: Channel) -> (&'static str, &'static [(Form, u64)]) {
    use Form::{AtUpdate, CallOutcome, Filled, Notes, Payload, PayloadOfNobody, Row, RowByTime, UserIdWord};
    match channel {
        Channel::Calcom => ("cancelled in Cal.com", &[(Filled, 10), (Row, 30), (Payload, 32), (PayloadOfNobody, 14), (Notes, 9), (AtUpdate, 5)]),
        Channel::Portal => ("cancelled in the portal", &[(Filled, 10), (Row, 55), (UserIdWord, 25), (AtUpdate, 10)]),
        Channel::Admin => ("cancelled by hand", &[(Filled, 15), (Row, 80), (AtUpdate, 5)]),
        _ => ("cancelled by phone", &[(Filled, 10), (Row, 42), (RowByTime, 16), (CallOutcome, 14), (Notes, 12), (AtUpdate, 6)]),
    }
}

impl Remains<'_> {
    pub(super) fn cancellation(&mut self) {
        let life = self.life;
        let Some(cancelled) = &life.cancelled else { return };
        let (row, forms) = forms(cancelled.channel);
        let mut form = self.turns.next(row, forms);
        if matches!(form, Form::Payload | Form::PayloadOfNobody | Form::UserIdWord | Form::AtUpdate) && !self.payload_tells() {
            form = Form::Row;
        }
        // the call must lead to its customer by time, or the outcome tells nothing
        let found = cancelled.call.is_some_and(|call| Fate::of(self.plan, life.company, call).found_by_time()) && self.person.phone.is_some();
        let (when, who, source, why) = match form {
            Form::Filled => (Some(FILLED), Some(FILLED), Some(FILLED), Some(FILLED)),
            Form::Row | Form::RowByTime | Form::UserIdWord => (Some("modification"), Some("modification"), Some("modification"), Some("modification")),
            Form::Payload => (Some("payload"), Some("payload"), Some("payload"), Some("payload")),
            Form::PayloadOfNobody => (Some("payload"), None, Some("payload"), Some("payload")),
            Form::Notes => (Some("notes"), None, None, Some("notes")),
            Form::CallOutcome => {
                let outcome = found.then_some("call_outcome");
                (Some("notes"), outcome, outcome, Some("notes"))
            }
            Form::AtUpdate => (None, None, None, None),
        };
        self.truth.tell("cancelled_at", instant(cancelled.at), when);
        self.truth.tell("cancelled_by", cancelled.actor, who);
        self.truth.tell("cancellation_source", cancelled.channel.word(), source);
        if let Some(user) = self.user(cancelled.user) {
            self.truth.tell("cancelled_by_user_id", user.to_string(), who);
        }
        if let Some(reason) = cancelled.reason {
            self.truth.tell("cancellation_reason", reason, why);
        }
        if cancelled.call.is_some() && matches!(form, Form::Notes | Form::AtUpdate) {
            self.cancelling_outcome = "other";
        }
        self.leave_cancellation(form);
    }

    fn leave_cancellation(&mut self, form: Form) {
        let life = self.life;
        let Some(cancelled) = &life.cancelled else { return };
        match form {
            Form::Filled => {
                (self.audit.cancelled_at, self.audit.cancelled_by) = (Some(cancelled.at), Some(cancelled.actor));
                (self.audit.cancellation_source, self.audit.cancelled_by_user) = (Some(cancelled.channel.word()), self.user(cancelled.user));
                self.audit.cancellation_reason = cancelled.reason;
                self.stamped("stamped cancellation", "cancelled", cancelled);
            }
            Form::Row | Form::RowByTime => {
                self.damaged(Damage::CancelledInRow);
                self.change("cancelled", cancelled, form == Form::RowByTime);
            }
            Form::UserIdWord => {
                self.damaged(Damage::UserIdAsWord);
                let number = 1 + self.chance.below(900);
                self.put("cancelled_by", json!(number.to_string()));
                self.change("cancelled", cancelled, false);
            }
            Form::Payload | Form::PayloadOfNobody => {
                self.damaged(if form == Form::Payload { Damage::CancelledInPayload } else { Damage::CancelledByNobody });
                let uid = self.plan.uid(life.company, life.place, life.moves.len());
                let payload = self.in_calcom(&uid, |calcom| calcom.cancelled(cancelled, form == Form::Payload));
                self.put("cancellation_payload", payload);
            }
            Form::Notes | Form::CallOutcome => {
                self.damaged(if form == Form::Notes { Damage::CancelledInNotes } else { Damage::CancelledByCallOutcome });
                let reason = cancelled.reason.map_or_else(String::new, |reason| format!(". Reason: {reason}"));
                self.notes.push(format!("Cancelled on {}{reason}", instant(cancelled.at)));
            }
            Form::AtUpdate => {
                self.damaged(Damage::CancelledAtUpdate);
                self.put("last_modified_at", instant(cancelled.at));
            }
        }
    }
}
