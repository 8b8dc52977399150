//! What an error of Cal.com means for an intent: a pure table (calcom reference 3.13).

use std::time::Duration;

use shared::calcom::{CalcomError, Class};
use shared::store::intents::Op;

/// After a lost connection nothing was done: soon again.
const NOT_SENT_PAUSE: Duration = Duration::from_secs(2);
/// A rejected key is a matter for a human; until then the account rests.
const CREDENTIAL_PAUSE: Duration = Duration::from_secs(60);

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Cal.com will not do it.
    Refused { answer: Refusal, class: &'static str },
    /// It may have been done: search before anything else.
    Unknown { class: &'static str },
    /// It was certainly not done; send again after the pause. Not an attempt.
    Later { pause: Duration, class: &'static str },
    /// As `Later`, and the whole credential rests meanwhile.
    Block { pause: Duration, class: &'static str },
}

/// What the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    SlotTaken,
    OutOfBounds,
    /// Somebody calls back.
    CouldNot,
}

pub(super) fn verdict(op: Op, error: &CalcomError) -> Verdict {
    let class = error.class();
    let name = class.name();
    let refused = |answer| Verdict::Refused { answer, class: name };
    match class {
        Class::SlotTaken => refused(Refusal::SlotTaken),
        Class::OutOfBounds => refused(Refusal::OutOfBounds),
        // 409: taken, or our own first try succeeded
        Class::Conflict => Verdict::Unknown { class: name },
        // cancelled, or moved by somebody whose webhook we have not heard; or by our own lost request: the chain tells
        Class::AlreadyCancelled if op == Op::Cancel => Verdict::Unknown { class: name },
        Class::AlreadyRescheduled { .. } => Verdict::Unknown { class: name },
        Class::Throttled { reset_after } => Verdict::Block { pause: reset_after, class: name },
        Class::CredentialRejected => Verdict::Block { pause: CREDENTIAL_PAUSE, class: name },
        Class::NotSent => Verdict::Later { pause: NOT_SENT_PAUSE, class: name },
        Class::UnknownOutcome | Class::UnexpectedAnswer => Verdict::Unknown { class: name },
        Class::AlreadyCancelled | Class::LimitReached | Class::Gone | Class::InvalidRequest | Class::NotFound | Class::Decoy | Class::Refused => {
            refused(Refusal::CouldNot)
        }
    }
}
