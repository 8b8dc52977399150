//! Names of people as callers say them: which of several is taken, what is no name at all, whether a spoken one is the customer's, whom Cal.com gets to see.
//!
//! Not identity: that is the number a call comes from. A name told on the phone goes to the call and the appointment; the customer's own name is never
//! overwritten by one (incidents 47 to 52). Called by the roles that write bookings and by `desk`.

mod attendee;
mod colleagues;
mod email;
mod letters;
mod likeness;
mod screen;
mod sound;
mod sources;
mod transcript;
mod words;

use std::fmt;

pub use attendee::{Attendee, AttendeeError, AttendeeFacts, ContactRule, PLACEHOLDER_EMAIL_HOST, attendee, is_placeholder_email};
pub use colleagues::{Colleague, colleague};
pub use email::{EmailAddress, spoken_email};
pub use likeness::{Agreement, LIKENESS_MIN, Verdict, compare};
pub use screen::{Rejection, Reserved, screen};
pub use sources::{ANALYSIS_KEYS, Candidate, Choice, Source, choose};
pub use transcript::name_in_utterances;

/// A text that can be a person's name: screened, one line, at most 100 characters. Prints masked; `as_str` gives the name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PersonName(String);

impl PersonName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PersonName(…)")
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_prints() {
        let name = screen("Theo Brandner", &Reserved::default(), None).unwrap();
        assert_eq!(format!("{name} {name:?}"), "… PersonName(…)");
        assert_eq!((name.as_str(), name.clone().into_string().as_str()), ("Theo Brandner", "Theo Brandner"));
    }
}
