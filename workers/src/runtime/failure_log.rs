//! Prints the chain of a failure once, where it is settled, without the values that a database error may quote.

use std::error::Error;
use std::fmt::Write as _;

/// A chain is a few links; a loop in one must not print for ever.
const LINKS_MAX: usize = 8;

/// The error and its causes in one line. A database error gives its SQLSTATE and constraint only: its message may quote what a caller said.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    for _ in 0..LINKS_MAX {
        let Some(link) = next else { break };
        if !text.is_empty() {
            text.push_str(": ");
        }
        if let Some(sqlx::Error::Database(database)) = link.downcast_ref::<sqlx::Error>() {
            let code = database.code();
            // writing to a string cannot fail
            let _ = write!(text, "SQLSTATE {} {}", code.as_deref().unwrap_or("unknown"), database.constraint().unwrap_or_default());
            return text;
        }
        let _ = write!(text, "{link}");
        next = link.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::handler::Failure;

    #[test]
    fn a_chain_is_one_line_with_every_cause() {
        let cause = std::io::Error::other("broken pipe");
        let failure = Failure::Retry { class: "calcom_down", cause: Some(Box::new(cause)) };
        assert_eq!(chain(&failure), "failed for now: calcom_down: broken pipe");
    }
}
