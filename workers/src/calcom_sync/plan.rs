//! What to do with an intent now: a pure function of where it stands.

use chrono::{DateTime, Utc};
use shared::store::appointments::Appointment;
use shared::store::intents::{Intent, IntentState, Op};

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
    let may_be_done = matches!(intent.state, IntentState::Sent | IntentState::Unknown) && intent.sent_count > 0;
    if may_be_done && intent.looked_count < LOOKS_MAX {
        return Step::Search;
    }
    if intent.sent_count >= SENT_MAX {
        return Step::GiveUp { class: "sent_too_often" };
    }
    // a past appointment has an end state (incident 14)
    if intent.starts_at.is_some_and(|starts_at| starts_at <= now) {
        return Step::GiveUp { class: "in_the_past" };
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
