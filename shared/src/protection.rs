//! The protections that keep the promises, by name, so that a campaign can switch one off and see that its auditor notices (`cargo dev chaos --break NAME`).
//!
//! Not a feature and not a setting: a release build has no such switch ([`Protection::is_off`] is constantly false there, and the branch is gone). In a debug
//! build the processes read `FRONTDESK_BREAK=name[,name]` once, at start. The hook stands at the protection itself, one line each; a test
//! (`tests/it/protections.rs`) finds each of them in the sources.

use std::fmt;

/// The variable that names what is switched off.
pub const VARIABLE: &str = "FRONTDESK_BREAK";

/// One protection. What is lost without it is an invariant of faults.md section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protection {
    Confirm,
    Inbox,
    Search,
    Tag,
    Rls,
    Rank,
    Call,
    Relay,
    Attempts,
    Spool,
    Mask,
    Overlap,
    Fairness,
}

impl Protection {
    pub const ALL: [Self; 13] = [
        Self::Confirm,
        Self::Inbox,
        Self::Search,
        Self::Tag,
        Self::Rls,
        Self::Rank,
        Self::Call,
        Self::Relay,
        Self::Attempts,
        Self::Spool,
        Self::Mask,
        Self::Overlap,
        Self::Fairness,
    ];

    /// The name for command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Inbox => "inbox",
            Self::Search => "search",
            Self::Tag => "tag",
            Self::Rls => "rls",
            Self::Rank => "rank",
            Self::Call => "call",
            Self::Relay => "relay",
            Self::Attempts => "attempts",
            Self::Spool => "spool",
            Self::Mask => "mask",
            Self::Overlap => "overlap",
            Self::Fairness => "fairness",
        }
    }

    /// What is off then.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Confirm => "a publish counts as confirmed before the broker has it, and so nothing is spooled",
            Self::Inbox => "a message that was handled before is taken for a new one",
            Self::Search => "a change of unknown outcome is repeated without looking for it",
            Self::Tag => "an answer that does not carry our token is taken for ours",
            Self::Rls => "sessions keep the login role, which row-level security does not bind",
            Self::Rank => "whatever was told first about a booking holds, whatever is told later",
            Self::Call => "modifications do not name their call (the schema's CHECK has to go, too)",
            Self::Relay => "stale outbox rows are not relayed, and some are not published by their own process either",
            Self::Attempts => "a failing message is retried without end",
            Self::Spool => "a record counts as spooled before it is written, and is not written",
            Self::Mask => "masked personal data prints",
            Self::Overlap => "claims on one person's time may overlap (the schema's EXCLUDE has to go)",
            Self::Fairness => "due intents are taken oldest first, whoever's they are (the database's function has to go)",
        }
    }

    /// Held by the database alone: the campaign takes it out of its own database.
    #[must_use]
    pub const fn is_in_database(self) -> bool {
        matches!(self, Self::Overlap | Self::Fairness)
    }

    /// The protection of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protection| protection.name() == name)
    }

    /// Whether it is switched off in this process. Never in a release build.
    #[cfg(not(debug_assertions))]
    #[must_use]
    #[inline]
    pub const fn is_off(self) -> bool {
        false
    }

    /// Whether it is switched off in this process. Never in a release build.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn is_off(self) -> bool {
        static OFF: std::sync::LazyLock<Vec<Protection>> = std::sync::LazyLock::new(|| asked().unwrap_or_default());
        OFF.contains(&self)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The variable names something that is no protection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakError {
    #[error("{VARIABLE} names {}, which is no protection of this program", .0.escape_debug())]
    Unknown(String),
    #[error("{VARIABLE} is set, but a release build keeps all its protections")]
    Release,
}

/// Says in the log what is switched off. Every process calls it right after its log is there.
///
/// # Errors
/// The variable asks for what cannot be done: the process must not run as if it were done.
pub fn announce() -> Result<(), BreakError> {
    for protection in asked()? {
        tracing::warn!(protection = protection.name(), what = protection.what(), "a protection is switched off: this is a test");
    }
    Ok(())
}

/// What the variable asks for.
fn asked() -> Result<Vec<Protection>, BreakError> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let names = parse_all(&text)?;
    if !names.is_empty() && !cfg!(debug_assertions) {
        return Err(BreakError::Release);
    }
    Ok(names)
}

fn parse_all(text: &str) -> Result<Vec<Protection>, BreakError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| Protection::parse(name).ok_or_else(|| BreakError::Unknown(name.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protection_has_a_name_of_its_own_and_is_found_by_it() {
        let mut names: Vec<_> = Protection::ALL.iter().map(|protection| protection.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Protection::ALL.len());
        for protection in Protection::ALL {
            assert_eq!(Protection::parse(protection.name()), Some(protection));
            assert!(!protection.what().is_empty());
        }
    }

    #[test]
    fn a_misspelt_protection_is_an_error_and_not_a_green_run() {
        assert_eq!(parse_all(" inbox, ,rls "), Ok(vec![Protection::Inbox, Protection::Rls]));
        assert_eq!(parse_all(""), Ok(vec![]));
        assert_eq!(parse_all("inbox,imbox"), Err(BreakError::Unknown("imbox".to_owned())));
    }

    #[test]
    fn nothing_is_off_unless_asked_for() {
        assert!(std::env::var(VARIABLE).is_err() && Protection::ALL.iter().all(|protection| !protection.is_off()));
    }

    /// Compiles in a release build only if the switch is a constant there: then no branch is left.
    #[cfg(not(debug_assertions))]
    const _: () = assert!(!Protection::Inbox.is_off());
}
