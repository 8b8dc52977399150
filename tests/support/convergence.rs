//! Lives of a Cal.com booking for the proof that the order of facts does not matter: `life` makes one up and tells it as Cal.com would, `model` says what must
//! come of it. Neither shares code with the fold.

pub mod life;
pub mod model;

pub use life::{By, HOSTS, Life, Step, Told, What, at, call_id, intent_id};
pub use model::expected;
