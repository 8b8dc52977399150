//! What an agent must be told of a bad call: the machine's reason, or that it was a question and nothing else.

use serde_json::Value;

/// What is expected of an answer. Whether anything is booked is counted, not believed.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    /// `success` is false for this reason.
    No(&'static str),
    /// `success` is false, and this argument is asked for.
    Ask(&'static str),
    /// `success` is true and nothing happened: `booked`, `rescheduled` and `cancelled` are not true.
    Only,
    /// The booking that there is, said again.
    Booked,
}

impl Said {
    pub fn is(self, answer: &Value, appointment: i64) -> bool {
        let happened = ["booked", "rescheduled", "cancelled"].iter().any(|field| answer[*field] == true);
        match self {
            Self::No(reason) => answer["success"] == false && !happened && answer["reason"].as_str().unwrap_or_default() == reason,
            Self::Ask(argument) => answer["success"] == false && !happened && answer["reason"] == "argument" && answer["argument"] == argument,
            Self::Only => answer["success"] == true && !happened,
            Self::Booked => answer["booked"] == true && answer["appointment_number"] == appointment,
        }
    }
}
