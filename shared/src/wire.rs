//! Retell's and Cal.com's JSON as it is: tolerant, bounded, borrowed where it is large.
//!
//! Not verification (ingress) and not meaning (domain): a missing or odd field is `None`, an unknown name is kept as text, and only a body that is no
//! such message at all is an error. Types of this room stop at its wall: workers turn them into domain types. Called by workers and by the API clients.
//!
//! Everything that holds personal data prints masked.

pub mod arguments;
pub mod calcom;
pub(crate) mod lenient;
pub mod retell;

/// A body that cannot be read as the message it claims to be. Carries positions, never content.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the body is not a JSON object of the expected form (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("the field {field} is missing or not usable")]
    Field { field: &'static str },
    #[error("the function arguments are not a JSON object")]
    Arguments,
}

impl WireError {
    /// serde's own message may quote the body, so only its position is kept.
    fn json(error: &serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}
