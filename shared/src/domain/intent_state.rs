//! The states of an intent and the ways between them: recorded → sent → confirmed | failed | unknown (architecture section 7). Pure; the database refuses every other way
//! by the same table (`intents_transition`, held to this one by a test). Used by the store and by calcom-sync.

use serde::Deserialize;

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// An earlier intent of the appointment is open.
    Waiting,
    Recorded,
    Sent,
    /// Sent, outcome not known: search before repeat.
    Unknown,
    Confirmed,
    Failed,
}

impl IntentState {
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Recorded, Self::Sent, Self::Unknown, Self::Confirmed, Self::Failed];

    /// The literal in `intents.state`.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Recorded => "recorded",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }

    /// Still to be settled.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Recorded | Self::Sent | Self::Unknown)
    }

    /// Whether an intent may go from here to there. `look`: it only reads, and is never marked as sent. `was_sent`: at least one request of it left.
    #[must_use]
    pub const fn may_become(self, next: Self, look: bool, was_sent: bool) -> bool {
        match (self, next) {
            // released by the one before; or never booked, so that nothing is left to change
            (Self::Waiting, Self::Recorded | Self::Failed) => true,
            // it waits again when two appointments are joined; confirmed: what was wanted is so already
            (Self::Recorded, Self::Waiting | Self::Confirmed | Self::Failed) => true,
            (Self::Recorded, Self::Sent) => !look,
            (Self::Recorded, Self::Unknown) => look,
            // recorded: certainly not done, or to be sent against another uid
            (Self::Sent | Self::Unknown, Self::Recorded | Self::Confirmed | Self::Failed) => true,
            (Self::Sent, Self::Unknown) => true,
            // the repeat, after it was looked for
            (Self::Unknown, Self::Sent) => !look,
            // nobody said no, and Cal.com had done it after all
            (Self::Failed, Self::Confirmed) => was_sent && !look,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_confirmed_stays_so() {
        for next in IntentState::ALL {
            assert!(!IntentState::Confirmed.may_become(next, false, true), "{next:?}");
        }
    }

    /// Incident 14: appointments were retried for ever because nothing was an end.
    #[test]
    fn every_open_state_has_a_way_to_an_end_and_an_end_has_none_back() {
        for state in IntentState::ALL {
            let reopened = IntentState::ALL.into_iter().any(|next| next.is_open() && state.may_become(next, false, true));
            assert_eq!(reopened, state.is_open(), "{state:?}");
            assert_eq!(state.may_become(IntentState::Failed, false, true), state.is_open(), "{state:?}");
        }
    }

    #[test]
    fn what_was_never_sent_cannot_be_heard_of_late() {
        assert!(IntentState::Failed.may_become(IntentState::Confirmed, false, true));
        assert!(!IntentState::Failed.may_become(IntentState::Confirmed, false, false));
    }
}
