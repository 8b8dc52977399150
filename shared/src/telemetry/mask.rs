//! Personal data that does not print: a wrapper whose Debug and Display show nothing of the value, and short hints for people's eyes.
//!
//! Not encryption and not access control. Used by wire types and clients; whoever needs the value calls `expose`.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::protection::Protection;

/// A value of personal data (name, number, e-mail address, spoken words). Prints as `…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Never for a log, a metric or an error.
    #[must_use]
    pub const fn expose(&self) -> &T {
        &self.0
    }

    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Masked<String> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> From<T> for Masked<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Masked<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Protection::Mask.is_off() {
            return self.0.fmt(formatter);
        }
        formatter.write_str("…")
    }
}

impl<T: fmt::Display> fmt::Display for Masked<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Protection::Mask.is_off() {
            return self.0.fmt(formatter);
        }
        formatter.write_str("…")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Masked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// A phone number as a support person may see it in a list: its last two digits.
#[must_use]
pub fn phone_hint(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    // Fewer than seven digits: two of them would give too much of it away.
    if digits.len() < 7 { "…".to_owned() } else { format!("…{}{}", digits[digits.len() - 2], digits[digits.len() - 1]) }
}

/// A name as its initials: `J. M.`
#[must_use]
pub fn name_hint(name: &str) -> String {
    let initials: Vec<String> = name.split_whitespace().filter_map(|word| word.chars().next()).take(3).map(|first| format!("{first}.")).collect();
    if initials.is_empty() { "…".to_owned() } else { initials.join(" ") }
}

/// An e-mail address as its top-level domain: `…@….de`.
#[must_use]
pub fn email_hint(email: &str) -> String {
    match email.rsplit_once('@').and_then(|(_, host)| host.rsplit_once('.')) {
        Some((_, top)) if !top.is_empty() && top.len() <= 12 => format!("…@….{top}"),
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_value_prints_nothing_of_itself() {
        let name = Masked::new("Jörg Müller".to_owned());
        assert_eq!(format!("{name} {name:?} {:?}", Some(&name)), "… … Some(…)");
        assert_eq!(name.expose(), "Jörg Müller");
    }

    #[test]
    fn hints_keep_too_little_to_identify_a_person() {
        assert_eq!(phone_hint("+4915112345678"), "…78");
        assert_eq!(phone_hint("110"), "…");
        assert_eq!(name_hint("Jörg Müller"), "J. M.");
        assert_eq!(name_hint("  "), "…");
        assert_eq!(email_hint("erika@example.org"), "…@….org");
        assert_eq!(email_hint("kein-at"), "…");
    }
}
