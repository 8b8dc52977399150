//! Lives of a Cal.com booking for the proof that the order of facts does not matter: `life` makes one up, `telling` tells it as Cal.com
//! would, `model` says what must come of it. None of them shares code with the fold.

pub mod life;
pub mod model;
pub mod telling;

pub use life::{By, EVENTS, HOSTS, Life, Step, What, at, call_id, intent_id};
pub use model::expected;
pub use telling::{KINDS, Told, kinds, shaken};
