//! Calls that Retell did not tell us of: Retell never sends a webhook again after about a minute (reference/retell.md 2.3), so we ask.
//!
//! Jobs of the scheduler, once a minute: `delta` compares the calls that ended with Retell's own list, `overdue` asks about calls that ought to be over,
//! `silence` says which companies hear nothing any more; and `nightly`, the delta of the last days by their start. What is missing goes through the fold of
//! the webhooks (`calls::take_in`), under the same lock, and is counted (target 0). Faults E2, E4; incident 34.
//!
//! Map: `account` opens an account and asks Retell within its budget · `page` compares one page of the list (`sorted`: what is missing) · `repair` folds one call in · `unowned` parks,
//! once, what is nobody's · `left_out` tells a human, once, of a call that cannot be taken in, `refused_key` of a key; `trouble` (pure) says whose fault that is, `unshown` finds it out.

mod account;
mod delta;
mod left_out;
mod overdue;
mod page;
mod refused_key;
mod repair;
mod silence;
mod sorted;
mod trouble;
mod unowned;
mod unshown;

#[cfg(test)]
pub(crate) use delta::DELTA_LONGEST;
pub use delta::{delta, nightly};
pub use overdue::overdue;
pub use silence::judge as silence;
#[cfg(test)]
pub(crate) use sorted::SETTLE;
