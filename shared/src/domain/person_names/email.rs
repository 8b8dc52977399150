//! E-mail addresses as people spell them on the phone: "theo punkt brandner ät gmx punkt de" (domain reference 4.4).
//!
//! An address that may be wrong is worse than none: the confirmation would go to a stranger. So nothing is guessed.

use std::fmt;

/// RFC 5321: longer ones cannot be delivered.
const ADDRESS_CHARS_MAX: usize = 254;
const LOCAL_CHARS_MAX: usize = 64;

/// Spoken signs, with blanks around them, and what they mean. Longer phrases first.
const SIGNS: &[(&str, &str)] = &[
    (" klammer affe ", "@"),
    (" klammeraffe ", "@"),
    (" at zeichen ", "@"),
    (" at-zeichen ", "@"),
    (" ad ", "@"),
    (" at ", "@"),
    (" ät ", "@"),
    (" aet ", "@"),
    (" et ", "@"),
    (" punkt ", "."),
    (" dot ", "."),
    (" unterstrich ", "_"),
    (" underscore ", "_"),
    (" bindestrich ", "-"),
    (" minus ", "-"),
    (" strich ", "-"),
    (" plus ", "+"),
];

/// Local parts that models and forms write when there is no address.
const NOBODY: &[&str] = &[
    "anonym",
    "anonymous",
    "beispiel",
    "customer",
    "email",
    "example",
    "kein",
    "keine",
    "kunde",
    "mail",
    "na",
    "nan",
    "no-reply",
    "none",
    "noreply",
    "null",
    "test",
    "undefined",
    "unbekannt",
    "unknown",
    "user",
];

/// An address of a usable form, in small letters. Prints masked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// An address as it is written. Letters beyond ASCII are no address that Cal.com takes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let (local, host) = text.split_once('@')?;
        let local_ok = !local.is_empty()
            && local.len() <= LOCAL_CHARS_MAX
            && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._%+-'".contains(&byte))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let labels: Vec<&str> = host.split('.').collect();
        let label_ok = |label: &&str| {
            !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let top_ok = labels.last().is_some_and(|top| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()));
        (text.len() <= ADDRESS_CHARS_MAX && local_ok && labels.len() >= 2 && labels.iter().all(label_ok) && top_ok).then_some(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is nobody's: a word for nothing before the @, or the same word on both sides of it ("kunde@kunde.de").
    fn is_nobodys(&self) -> bool {
        let (local, host) = self.0.split_once('@').unwrap_or_default();
        NOBODY.contains(&local) || host.split('.').next() == Some(local)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddress(…)")
    }
}

/// An address as it was said or as the agent wrote it down; `None` if it is none, is nobody's, or leaves a doubt.
#[must_use]
pub fn spoken_email(text: &str) -> Option<EmailAddress> {
    if text.len() > 2 * ADDRESS_CHARS_MAX {
        return None;
    }
    let mut written = format!(" {} ", text.to_lowercase().split_whitespace().collect::<Vec<_>>().join("  "));
    for (sign, meant) in SIGNS {
        let doubled = sign.trim().split(' ').collect::<Vec<_>>().join("  ");
        written = written.replace(&format!(" {doubled} "), meant);
    }
    // around a sign the blanks are speech; between two words they are a doubt
    let mut joined = written.trim().to_owned();
    for sign in ['@', '.', '_', '-', '+'] {
        joined = joined.split(sign).map(str::trim).collect::<Vec<_>>().join(&sign.to_string());
    }
    let joined = joined.trim_end_matches(['.', ',', '!', '?']);
    EmailAddress::parse(joined).filter(|address| !address.is_nobodys())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Option<String> {
        spoken_email(text).map(|address| address.as_str().to_owned())
    }

    #[test]
    fn spoken_and_written_addresses_are_one() {
        let table = [
            ("theo.brandner@gmx.de", "theo.brandner@gmx.de"),
            ("  Theo.Brandner@GMX.de ", "theo.brandner@gmx.de"),
            ("theo punkt brandner at gmx punkt de", "theo.brandner@gmx.de"),
            ("Theo Punkt Brandner ät GMX Punkt DE.", "theo.brandner@gmx.de"),
            ("theo unterstrich brandner klammeraffe web punkt de", "theo_brandner@web.de"),
            ("theo minus brandner at t bindestrich online punkt de", "theo-brandner@t-online.de"),
            ("theo @ gmx . de", "theo@gmx.de"),
            ("theo plus termin at mail punkt firma punkt de", "theo+termin@mail.firma.de"),
            ("theo1990 at gmx.de", "theo1990@gmx.de"),
            ("a at zeichen b1 punkt de", "a@b1.de"),
        ];
        for (text, expected) in table {
            assert_eq!(heard(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_doubtful_address_is_none() {
        let table = [
            "",
            "theo",
            "theo at gmx",
            "theo brandner at gmx punkt de",
            "jörg@gmx.de",
            "theo@@gmx.de",
            "theo@gmx..de",
            ".theo@gmx.de",
            "theo.@gmx.de",
            "th..eo@gmx.de",
            "@gmx.de",
            "theo@",
            "theo@gmx.d",
            "theo@gmx.d3",
            "theo@-gmx.de",
            "theo@gmx-.de",
            "theo@gm_x.de",
            "theo<b>@gmx.de",
            "{{email}}",
            "keine",
            "theo at gmx punkt",
        ];
        for text in table {
            assert_eq!(heard(text), None, "{text}");
        }
        assert_eq!(heard(&format!("{}@gmx.de", "a".repeat(65))), None);
        assert!(heard(&format!("{}@gmx.de", "a".repeat(64))).is_some());
        assert_eq!(heard(&format!("a@{}.de", "b.".repeat(130).trim_end_matches('.'))), None);
        assert_eq!(heard(&format!("a@b.de{}", " ".repeat(503))), None);
        assert!(heard(&format!("a@b.de{}", " ".repeat(502))).is_some(), "spelt out, an address may be twice as long");
    }

    #[test]
    fn an_address_of_nobody_is_none() {
        for text in ["test@test.de", "kunde@kunde.de", "unbekannt@gmx.de", "noreply@firma.de", "null@gmx.de", "firma@firma.de"] {
            assert_eq!(heard(text), None, "{text}");
            assert!(EmailAddress::parse(text).is_some(), "{text}: only as it is told is it doubted");
        }
    }

    #[test]
    fn an_address_never_prints() {
        assert_eq!(format!("{:?}", EmailAddress::parse("theo@gmx.de")), "Some(EmailAddress(…))");
    }
}
