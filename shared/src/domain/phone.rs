//! Phone numbers: E.164 or nothing. "anonymous", SIP names and internal extensions are not numbers (retell reference 2.6).

use std::fmt;

/// A number in E.164: `+`, no leading zero, 7 to 15 digits. Prints masked; `as_str` gives the number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// A number that is already in E.164, as Retell sends it. Separators, national forms and names give `None`: exact or nothing (incident 42).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let shape_ok = (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        shape_ok.then(|| Self(text.to_owned()))
    }

    /// A number as people type or say it; national forms are read as numbers of `country` (ISO code, such as "DE").
    #[must_use]
    pub fn normalise(text: &str, country: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > 40 {
            return None;
        }
        Self::parse(text).or_else(|| phonelib::PhoneNumber::parse_with_country(text, country).and_then(|number| Self::parse(number.e164())))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("E164(…)")
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("+…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_e164_is_a_callers_number() {
        assert!(E164::parse("+4915112345678").is_some());
        for text in ["", "anonymous", "unknown", "015112345678", "004915112345678", "+0151", "+49 151", "sip:a@b", "+123456", "+1234567890123456"] {
            assert_eq!(E164::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_national_number_is_read_in_its_country() {
        assert_eq!(E164::normalise("030 23125042", "DE").map(|number| number.as_str().to_owned()), Some("+493023125042".to_owned()));
        assert_eq!(E164::normalise("anonymous", "DE"), None);
    }

    #[test]
    fn a_number_never_prints() {
        let number = E164::parse("+4915112345678").unwrap();
        assert!(!format!("{number} {number:?}").contains("151"));
    }
}
