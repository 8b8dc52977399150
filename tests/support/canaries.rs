//! What must never be told: everything personal in the fixtures, gathered from the files themselves, so that a new fixture brings its own canaries.
//!
//! Used by `World::finish` for every test's logs and by the privacy test for everything else.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;

use crate::fixtures;

/// Fields that hold a person's name.
const NAMES: [&str; 6] = ["name", "firstName", "lastName", "caller_full_name", "customer_name", "who"];
/// Fields that hold what somebody said or wrote.
const SPOKEN: [&str; 10] = [
    "transcript",
    "content",
    "call_summary",
    "notes",
    "additionalNotes",
    "cancellationReason",
    "rejectionReason",
    "reschedulingReason",
    "next_appointment",
    "meetingUrl",
];
/// Fields that hold a booking's uid: who knows it can cancel the booking (calcom reference 3.2).
const UIDS: [&str; 4] = ["uid", "bookingUid", "rescheduleUid", "rescheduledToUid"];
/// Shorter words stand in any text.
const SPOKEN_CHARS_MIN: usize = 7;
const NAME_CHARS_MIN: usize = 4;
/// Long words of the fixtures' texts that our own texts use too.
const TECHNICAL: [&str; 2] = ["reschedule", "integrations"];
/// Characters of a uid in the fixtures; a shorter one ("nope") is a word.
const UID_CHARS_MIN: usize = 16;

/// All of them, sorted.
///
/// # Panics
/// When the fixtures cannot be read, or hold nothing personal (then the search would prove nothing).
pub fn all() -> &'static [String] {
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = BTreeSet::new();
        for provider in ["calcom", "retell"] {
            for file in std::fs::read_dir(fixtures::folder().join(provider)).expect("the folder of the fixtures") {
                let path = file.expect("a file of the fixtures").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.extension().is_some_and(|extension| extension == "json") && !["signatures.json", "headers.json"].contains(&name.as_str()) {
                    gather(&fixtures::json(&format!("{provider}/{name}")), "", &mut found);
                }
            }
        }
        for known in ["Jürgen", "Groß", "Musterfrau", "15112345678", "3023125042", "erika@example.org", "verschieben", "2NtaeaVcKfpmSZ4CthFdfk"] {
            assert!(found.contains(known), "{known} of the fixtures is not among {found:?}");
        }
        found.into_iter().collect()
    })
}

fn gather(value: &Value, field: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| gather(value, name, found)),
        Value::Array(items) => items.iter().for_each(|item| gather(item, field, found)),
        Value::String(text) => gather_text(text, field, found),
        _ => {}
    }
}

fn gather_text(text: &str, field: &str, found: &mut BTreeSet<String>) {
    let words = |length: usize| text.split(|c: char| !c.is_alphabetic()).filter(move |word| word.chars().count() >= length).map(str::to_owned);
    // a function's name stands in `name` too
    if NAMES.contains(&field) && !text.contains('_') {
        found.extend(words(NAME_CHARS_MIN));
    }
    // a tool's result is JSON, not speech
    if SPOKEN.contains(&field) && !text.starts_with('{') && !text.contains("://") {
        found.extend(words(SPOKEN_CHARS_MIN).filter(|word| !TECHNICAL.contains(&word.as_str())));
    }
    if UIDS.contains(&field) && text.len() >= UID_CHARS_MIN {
        found.insert(text.to_owned());
    }
    let part = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    for token in text.split(|c| !part(c)) {
        let digits = token.strip_prefix('+').unwrap_or(token).split('@').next().unwrap_or_default();
        if token.starts_with('+') && (10..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // without the country code: however the number is written
            found.insert(digits[2..].to_owned());
        }
        if token.split('@').count() == 2 && token.split('@').all(|side| side.len() > 2) {
            found.insert(token.trim_matches('.').to_owned());
        }
    }
}
