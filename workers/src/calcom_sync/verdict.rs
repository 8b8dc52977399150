//! What an answer of Cal.com means: for the intent (a pure table, calcom reference 3.13), for the account that asked, and for how long to wait.

use std::time::Duration;

use shared::calcom::{CalcomError, Class};
use shared::store::intents::Op;

/// After a lost connection nothing was done: soon again.
const NOT_SENT_PAUSE: Duration = Duration::from_secs(2);
/// A rejected key is a matter for a human; until then the account rests.
const CREDENTIAL_PAUSE: Duration = Duration::from_secs(60);
/// Before the n-th look for an unknown outcome: replica lag is typically under a second and unbounded (calcom reference 3.4).
const LOOK_PAUSES: [Duration; 4] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(5)];
/// Before a look that brought no answer is tried again: a quarter of the intent's age, within these.
const UNANSWERED_PAUSE_MIN: Duration = Duration::from_secs(2);
const UNANSWERED_PAUSE_MAX: Duration = Duration::from_secs(600);
/// While the brake holds, an intent whose probe failed makes room for so many others: one that can never succeed must not be every probe. When the outage is over,
/// it is due at once.
const PROBES_TO_OTHERS: u32 = 8;

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Cal.com will not do it.
    Refused { answer: Refusal, class: &'static str },
    /// It may have been done: search before anything else. Neither a look nor an attempt: nobody said anything.
    Unknown { class: &'static str },
    /// It was looked for, and is not there: one look more.
    Absent { class: &'static str },
    /// It was certainly not done; send again after the pause. Not an attempt.
    Later { pause: Duration, class: &'static str },
    /// As `Later`: the whole credential rests, and the intent goes on with it.
    Rest { class: &'static str },
}

/// What the outcome of a request says about the account that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Cal.com is there, whatever it said.
    Answers,
    /// It failed as it fails for everybody.
    Fails,
    /// Nothing more of this account before that.
    Rests(Duration),
    /// The request never left, for a reason of our own.
    Nothing,
}

/// See [`Word`]. `None`: a usable answer.
pub(crate) fn word(error: Option<&CalcomError>) -> Word {
    match error.map(CalcomError::class) {
        // a maintenance page is an outage, too
        Some(Class::UnknownOutcome | Class::NotSent | Class::UnexpectedAnswer) => Word::Fails,
        Some(Class::Throttled { reset_after }) => Word::Rests(reset_after),
        Some(Class::CredentialRejected) => Word::Rests(CREDENTIAL_PAUSE),
        Some(Class::Withheld { .. }) => Word::Nothing,
        _ => Word::Answers,
    }
}

/// How long after the `looks`-th look, or after the send (0), the next look is made, and after the last one the change is sent again. Each repeat waits four times
/// longer than the one before: six sends take an hour, so that an hour in which Cal.com reads but cannot write does not use them up.
pub(super) fn look_pause(looks: i32, sends: i32) -> Duration {
    let looks = usize::try_from(looks).unwrap_or(0).min(LOOK_PAUSES.len() - 1);
    let repeats = u32::try_from(sends - 1).unwrap_or(0).min(5);
    // at once after each send: only the repeat waits (architecture section 8, 3)
    if looks == 0 { LOOK_PAUSES[0] } else { LOOK_PAUSES[looks] * 4_u32.pow(repeats) }
}

/// How long until what got no answer is tried again.
pub(super) fn unanswered_pause(age: Duration) -> Duration {
    (age / 4).clamp(UNANSWERED_PAUSE_MIN, UNANSWERED_PAUSE_MAX)
}

/// The same while the brake holds and the next probe is in `probe`. Never scaled in tests: it follows the credential's own setting.
pub(super) fn probing_pause(probe: Duration) -> Duration {
    probe * PROBES_TO_OTHERS
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
        Class::Throttled { .. } | Class::CredentialRejected => Verdict::Rest { class: name },
        Class::NotSent => Verdict::Later { pause: NOT_SENT_PAUSE, class: name },
        Class::Withheld { wait } => Verdict::Later { pause: wait, class: name },
        Class::UnknownOutcome | Class::UnexpectedAnswer => Verdict::Unknown { class: name },
        Class::AlreadyCancelled | Class::LimitReached | Class::Gone | Class::InvalidRequest | Class::NotFound | Class::Decoy | Class::Refused => {
            refused(Refusal::CouldNot)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_sends_and_their_looks_take_more_than_an_hour_and_the_first_look_is_always_at_once() {
        let mut waited = Duration::ZERO;
        for sends in 1..=5 {
            assert_eq!(look_pause(0, sends), Duration::from_millis(500), "only the repeat waits");
            waited += (0..=3).map(|looks| look_pause(looks, sends)).sum::<Duration>();
        }
        assert!(waited > Duration::from_secs(3600), "{waited:?}");
        assert_eq!(look_pause(9, 99), Duration::from_secs(5 * 1024), "bounded");
    }

    #[test]
    fn what_got_no_answer_waits_longer_the_older_it_is_and_lets_others_probe() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(unanswered_pause(Duration::ZERO), UNANSWERED_PAUSE_MIN);
        assert_eq!(unanswered_pause(minutes(4)), minutes(1));
        assert_eq!(unanswered_pause(minutes(600)), UNANSWERED_PAUSE_MAX);
        assert_eq!(probing_pause(minutes(1)), minutes(8));
    }

    #[test]
    fn only_what_fails_for_everybody_is_an_outage() {
        let refused = |class, status| CalcomError::Refused { operation: "x", class, status, request_id: shared::calcom::RequestId::default() };
        assert_eq!(word(None), Word::Answers);
        assert_eq!(word(Some(&refused(Class::SlotTaken, 400))), Word::Answers);
        assert_eq!(word(Some(&refused(Class::NotFound, 404))), Word::Answers);
        let reset_after = Duration::from_secs(7);
        assert_eq!(word(Some(&refused(Class::Throttled { reset_after }, 429))), Word::Rests(reset_after));
        assert_eq!(word(Some(&refused(Class::CredentialRejected, 401))), Word::Rests(CREDENTIAL_PAUSE));
        assert_eq!(word(Some(&CalcomError::Withheld { wait: reset_after })), Word::Nothing);
        let unknown = CalcomError::UnknownOutcome { operation: "x", status: Some(502), request_id: shared::calcom::RequestId::default(), source: None };
        assert_eq!(word(Some(&unknown)), Word::Fails);
        assert_eq!(verdict(Op::Create, &unknown), Verdict::Unknown { class: "unknown_outcome" });
    }
}
