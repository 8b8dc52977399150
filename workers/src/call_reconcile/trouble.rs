//! Whose fault it is that a call could not be taken in. Pure. One call's fault stops nobody else's; an account's stops that account, and ours stops the run.

use crate::runtime::Failure;

/// Retell's refusal of this one request (400, 404, a body beyond the client's limit, an id that is none): it will be the same next time.
pub(super) const REFUSED: &str = "retell_refused";
/// No answer, or a 5xx.
pub(super) const UNAVAILABLE: &str = "retell_unavailable";
/// 429.
pub(super) const THROTTLED: &str = "retell_throttled";
pub(super) const KEY_REJECTED: &str = "retell_key_rejected";
/// None of our master keys opens it.
pub(super) const KEY_SEALED: &str = "retell_key_sealed";
/// No token in time: a block, an outage, or others were first.
pub(super) const BUDGET: &str = "retell_budget";

/// So many unclear failures of one call, and a human looks at it. One run each: five minutes at least.
pub(super) const FAILURES_MAX: i32 = 5;
/// So many of different calls in a row, and it is the account that does not answer.
pub(super) const IN_A_ROW_MAX: u32 = 3;

/// Whose fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The call's: a repeat cannot help.
    Call,
    /// The call's, or that of the moment: a few repeats tell.
    Perhaps,
    /// Not this call's.
    Everybody,
}

pub(super) fn whose(failure: &Failure) -> Whose {
    match failure {
        Failure::Park { .. } => Whose::Call,
        Failure::StoreAway { .. } => Whose::Everybody,
        Failure::Contention { .. } | Failure::StoreSlow { .. } => Whose::Perhaps,
        Failure::Retry { class, .. } | Failure::Wait { class, .. } => match *class {
            REFUSED => Whose::Call,
            THROTTLED | KEY_REJECTED | KEY_SEALED | BUDGET | "leadership_lost" => Whose::Everybody,
            // no answer, a constraint that refuses the row, a row that a newer version wrote
            _ => Whose::Perhaps,
        },
    }
}

/// Whether a call that was left out with that class may be had another day: its own fault lasts.
pub(super) fn may_pass(class: &str) -> bool {
    class == UNAVAILABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_calls_fault_is_told_from_an_accounts() {
        for (failure, expected) in [
            (Failure::park("poison", "a NUL character"), Whose::Call),
            (Failure::retry(REFUSED), Whose::Call),
            (Failure::retry(UNAVAILABLE), Whose::Perhaps),
            (Failure::retry("store_constraint"), Whose::Perhaps),
            (Failure::Contention { cause: "40P01".into() }, Whose::Perhaps),
            (Failure::StoreSlow { cause: "57014".into() }, Whose::Perhaps),
            (Failure::retry(THROTTLED), Whose::Everybody),
            (Failure::retry(KEY_REJECTED), Whose::Everybody),
            (Failure::retry(KEY_SEALED), Whose::Everybody),
            (Failure::retry(BUDGET), Whose::Everybody),
            (Failure::retry("leadership_lost"), Whose::Everybody),
            (Failure::StoreAway { cause: "57P01".into() }, Whose::Everybody),
        ] {
            assert_eq!(whose(&failure), expected, "{failure}");
        }
    }
}
