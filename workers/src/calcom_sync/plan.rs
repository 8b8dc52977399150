//! What to do with an intent now: a pure function of where it stands.

use chrono::{DateTime, Utc};
use shared::protection::Protection;
use shared::store::appointments::Appointment;
use shared::store::intents::{Intent, IntentState, Op};

use super::failed_wish::IN_THE_PAST;

/// How often a change is sent at most: with a search before each repeat, more only hammers.
const SENT_MAX: i32 = 6;
/// How often the outcome is looked for before a repeat: reads come from a replica that lags (calcom reference 3.4).
pub(super) const LOOKS_MAX: i32 = 3;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the change, against this uid if it is about a booking that exists.
    Send { uid: Option<String> },
    /// A request may have been carried out: look for it.
    Search,
    /// Only read.
    Look { uid: String },
    /// It can no longer be done.
    GiveUp { class: &'static str },
    /// Nothing is left to do: what was wanted is so already.
    Moot,
}

pub(super) fn plan(intent: &Intent, appointment: &Appointment, now: DateTime<Utc>) -> Step {
    if intent.op == Op::Look {
        return intent.uid.clone().or_else(|| appointment.calcom_uid.clone()).map_or(Step::Moot, |uid| Step::Look { uid });
    }
    let may_be_done = matches!(intent.state, IntentState::Sent | IntentState::Unknown);
    if may_be_done && intent.looked_count < LOOKS_MAX && !Protection::Search.is_off() {
        return Step::Search;
    }
    if intent.sent_count >= SENT_MAX {
        return Step::GiveUp { class: "sent_too_often" };
    }
    // a past appointment has an end state (incident 14); what is to be cancelled may have been moved since the wish
    let wanted_at = if intent.op == Op::Cancel { Some(appointment.starts_at) } else { intent.starts_at };
    if wanted_at.is_some_and(|starts_at| starts_at <= now) {
        return Step::GiveUp { class: IN_THE_PAST };
    }
    match intent.op {
        Op::Create => Step::Send { uid: None },
        Op::Reschedule | Op::Cancel if matches!(appointment.status.as_str(), "cancelled" | "rejected" | "failed") => {
            if intent.op == Op::Cancel && appointment.status == "cancelled" { Step::Moot } else { Step::GiveUp { class: "gone" } }
        }
        // the newest uid of the chain at the time of sending, not the one at the time of the wish (incident 3)
        Op::Reschedule | Op::Cancel => match &appointment.calcom_uid {
            Some(uid) => Step::Send { uid: Some(uid.clone()) },
            None => Step::GiveUp { class: "never_booked" },
        },
        Op::Look => Step::Moot,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-07-01T10:00:00Z".parse().unwrap()
    }

    fn intent(op: Op, state: IntentState, sent_count: i32, looked_count: i32) -> Intent {
        let row = json!({
            "id": Uuid::nil(), "company_id": Uuid::nil(), "credential_id": Uuid::nil(), "appointment_id": Uuid::nil(), "op": op.literal(), "state": state.literal(),
            "lane": "live", "sent_count": sent_count, "looked_count": looked_count, "token": Uuid::nil(), "starts_at": "2026-07-06T08:00:00Z", "actor": "customer",
            "channel": "retell_phone", "request": {}, "created_at": "2026-07-01T09:00:00Z",
        });
        serde_json::from_value(row).unwrap()
    }

    fn appointment(status: &str, uid: Option<&str>) -> Appointment {
        let row = json!({
            "id": Uuid::nil(), "company_id": Uuid::nil(), "number": 1, "branch_id": Uuid::nil(), "customer_id": Uuid::nil(), "status": status, "calcom_uid": uid,
            "starts_at": "2026-07-06T08:00:00Z", "ends_at": "2026-07-06T08:30:00Z", "time_zone": "Europe/Berlin", "revision": 1, "rescheduled_count": 0,
        });
        serde_json::from_value(row).unwrap()
    }

    const CHANGES: [Op; 3] = [Op::Create, Op::Reschedule, Op::Cancel];

    /// Faults rule 4: from `sent` look first, never send first. However often it was sent before, and even if the count was taken back.
    #[test]
    fn what_may_have_been_done_is_looked_for_before_it_is_sent_again() {
        for op in CHANGES {
            for state in [IntentState::Sent, IntentState::Unknown] {
                for (sent, looked) in [(0, 0), (1, 0), (1, 1), (1, 2), (5, 2), (99, 0)] {
                    let step = plan(&intent(op, state, sent, looked), &appointment("booked", Some("uid1")), now());
                    assert_eq!(step, Step::Search, "{op:?} {state:?} sent {sent} looked {looked}");
                }
            }
        }
    }

    #[test]
    fn a_change_is_sent_when_it_is_new_or_was_looked_for_often_enough() {
        let booked = appointment("booked", Some("uid1"));
        for (state, sent, looked) in [(IntentState::Recorded, 0, 0), (IntentState::Unknown, 1, LOOKS_MAX), (IntentState::Unknown, SENT_MAX - 1, LOOKS_MAX)] {
            assert_eq!(plan(&intent(Op::Create, state, sent, looked), &appointment("requested", None), now()), Step::Send { uid: None });
            for op in [Op::Reschedule, Op::Cancel] {
                assert_eq!(plan(&intent(op, state, sent, looked), &booked, now()), Step::Send { uid: Some("uid1".to_owned()) }, "{op:?}");
            }
        }
    }

    #[test]
    fn nothing_is_sent_for_ever() {
        for op in CHANGES {
            let step = plan(&intent(op, IntentState::Unknown, SENT_MAX, LOOKS_MAX), &appointment("booked", Some("uid1")), now());
            assert_eq!(step, Step::GiveUp { class: "sent_too_often" }, "{op:?}");
        }
    }

    /// Incident 14: past appointments were retried for ever. One that may have been made is still looked for: it may stand in the calendar.
    #[test]
    fn a_past_time_is_an_end_but_for_what_may_have_been_done() {
        let later = "2026-07-06T08:00:00Z".parse().unwrap();
        for op in CHANGES {
            let booked = appointment("booked", Some("uid1"));
            assert_eq!(plan(&intent(op, IntentState::Recorded, 0, 0), &booked, later), Step::GiveUp { class: "in_the_past" }, "{op:?}");
            assert_eq!(plan(&intent(op, IntentState::Unknown, 1, 0), &booked, later), Step::Search, "{op:?}");
            assert_eq!(plan(&intent(op, IntentState::Unknown, 1, LOOKS_MAX), &booked, later), Step::GiveUp { class: "in_the_past" }, "{op:?}");
        }
    }

    /// Incident 5: a failed move became a new booking. What is gone is not moved, what is cancelled is cancelled.
    #[test]
    fn what_is_gone_is_neither_moved_nor_booked_anew() {
        for status in ["cancelled", "rejected", "failed"] {
            let gone = appointment(status, Some("uid1"));
            assert_eq!(plan(&intent(Op::Reschedule, IntentState::Recorded, 0, 0), &gone, now()), Step::GiveUp { class: "gone" }, "{status}");
        }
        assert_eq!(plan(&intent(Op::Cancel, IntentState::Recorded, 0, 0), &appointment("cancelled", Some("uid1")), now()), Step::Moot);
        assert_eq!(plan(&intent(Op::Cancel, IntentState::Recorded, 0, 0), &appointment("requested", None), now()), Step::GiveUp { class: "never_booked" });
    }

    #[test]
    fn a_look_only_reads() {
        for state in [IntentState::Recorded, IntentState::Unknown] {
            assert_eq!(plan(&intent(Op::Look, state, 0, 0), &appointment("booked", Some("uid1")), now()), Step::Look { uid: "uid1".to_owned() });
        }
    }
}
