//! What was kept of the moves: the columns tell of the last, modifications of each.
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
    Payload,
    Archive,
    Notes,
    NoTrace,
}

const fn forms(channel: Channel) -> (&'static str, &'static [(Form, u64)]) {
    use Form::{Archive, Filled, NoTrace, Notes, Payload, Row, RowByTime};
    match channel {
        Channel::Calcom => ("moved in Cal.com", &[(Filled, 10), (Row, 32), (Payload, 34), (Archive, 12), (Notes, 7), (NoTrace, 5)]),
        Channel::Portal => ("moved in the portal", &[(Filled, 10), (Row, 82), (NoTrace, 8)]),
        Channel::Admin => ("moved by hand", &[(Filled, 15), (Row, 85)]),
        _ => ("moved by phone", &[(Filled, 10), (Row, 52), (RowByTime, 20), (Notes, 12), (NoTrace, 6)]),
    }
}

impl Remains<'_> {
    pub(super) fn moves(&mut self) {
        let life = self.life;
        let Some(last) = life.moves.last() else { return };
        let (row, forms) = forms(last.channel);
        let mut form = self.turns.next(row, forms);
        if matches!(form, Form::Payload | Form::Archive) && !self.payload_tells() {
            form = Form::Row;
        }
        self.audit.rescheduled_count = if form == Form::NoTrace { 0 } else { life.moves.len().try_into().unwrap_or_default() };
        let all = match form {
            Form::Filled => Some(FILLED),
            Form::Row | Form::RowByTime => Some("modification"),
            Form::Payload | Form::Archive => Some("payload"),
            Form::Notes => Some("notes"),
            Form::NoTrace => None,
        };
        // notes say when, not who
        let who = if form == Form::Notes { None } else { all };
        self.truth.tell("rescheduled_at", instant(last.at), all);
        self.truth.tell("previous_starts_at", last.from.map(instant), all);
        self.truth.tell("rescheduled_by", last.actor, who);
        self.truth.tell("reschedule_source", last.channel.word(), who);
        let user = self.user(last.user);
        if let Some(user) = user {
            self.truth.tell("rescheduled_by_user_id", user.to_string(), who);
        }
        match form {
            Form::Filled => {
                (self.audit.rescheduled_at, self.audit.previous_starts_at) = (Some(last.at), last.from);
                (self.audit.rescheduled_by, self.audit.reschedule_source) = (Some(last.actor), Some(last.channel.word()));
                self.audit.rescheduled_by_user = user;
                self.stamped("stamped move", "rescheduled", last);
            }
            Form::Row | Form::RowByTime => {
                self.damaged(Damage::MoveInRow);
                for moved in &life.moves {
                    self.change("rescheduled", moved, form == Form::RowByTime);
                }
            }
            Form::Payload => {
                self.damaged(Damage::MoveInPayload);
                let (new, old) = (self.plan.uid(life.company, life.place, life.moves.len()), self.plan.uid(life.company, life.place, life.moves.len() - 1));
                let payload = self.in_calcom(&new, |calcom| calcom.rescheduled(last, &old));
                self.put("last_update_payload", payload);
                self.put("previous_booking_id", old);
            }
            Form::Archive => {
                self.damaged(Damage::MoveInArchiveWords);
                let new = self.plan.uid(life.company, life.place, life.moves.len());
                let payload = self.in_calcom(&new, |calcom| calcom.rescheduled_in_archive(last));
                self.put("last_update_payload", payload);
            }
            Form::Notes => {
                self.damaged(Damage::MoveInNotes);
                let from = last.from.unwrap_or(last.to);
                self.notes.push(format!("Rescheduled on {} from {} to {}", instant(last.at), instant(from), instant(last.to)));
            }
            Form::NoTrace => self.damaged(Damage::MoveWithoutTrace),
        }
    }
}
