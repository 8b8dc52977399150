//! Whether a sentence can be spoken to a caller. Called by tests: of the catalogue, and of every answer that a function gives (Done 4 of issue 4).

/// Longer answers are not listened to.
pub const CHARS_MAX: usize = 300;
/// A year has four digits; five and more are a number that nobody follows.
const DIGITS_MAX: usize = 4;
/// A run of so many hexadecimal digits is an identifier, whatever its form.
const HEX_MAX: usize = 15;

/// What makes a sentence unspeakable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Empty,
    TooLong,
    /// A UUID, another long hexadecimal text, or a name with an underscore.
    Identifier,
    /// `2026-11-26`, `T10:00`.
    IsoDate,
    /// A template that nobody filled.
    Braces,
    /// A machine's word for nothing.
    Null,
    LongDigits,
    /// Neither a question nor a word about what happens next: the caller would wait for something.
    NoNextStep,
}

/// Words of sentences that say what happens next without asking.
const NEXT_STEPS: &[&str] =
    &["rufen Sie", "ruft Sie", "zurückrufen", "meldet sich", "melden uns", "Moment", "kümmern uns", "kümmert sich", "verbinde", "versuche", "folgt"];

/// Every fault of a sentence; empty = it can be spoken.
#[must_use]
pub fn faults(sentence: &str) -> Vec<Fault> {
    let words: Vec<&str> = sentence.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let characters: Vec<char> = sentence.chars().collect();
    let found = [
        (Fault::Empty, words.is_empty()),
        (Fault::TooLong, characters.len() > CHARS_MAX),
        (Fault::Identifier, sentence.contains('_') || longest_run(&characters, hex) > HEX_MAX),
        (Fault::IsoDate, is_iso(&characters)),
        (Fault::Braces, sentence.contains(['{', '}', '[', ']', '<', '>'])),
        (Fault::Null, words.iter().any(|word| ["null", "none", "nil", "undefined", "nan"].contains(&word.to_lowercase().as_str()))),
        (Fault::LongDigits, longest_run(&characters, |character| character.is_ascii_digit()) > DIGITS_MAX),
        (Fault::NoNextStep, !sentence.contains('?') && !NEXT_STEPS.iter().any(|step| sentence.contains(step))),
    ];
    found.into_iter().filter(|(_, is_so)| *is_so).map(|(fault, _)| fault).collect()
}

/// A UUID's hyphens do not end the run.
fn hex(character: char) -> bool {
    character.is_ascii_hexdigit() || character == '-'
}

fn longest_run(characters: &[char], belongs: impl Fn(char) -> bool) -> usize {
    characters.split(|character| !belongs(*character)).map(<[char]>::len).max().unwrap_or(0)
}

/// Four digits, a hyphen and two digits; or a `T` before an hour.
fn is_iso(characters: &[char]) -> bool {
    let digit = |at: usize| characters.get(at).is_some_and(char::is_ascii_digit);
    (0..characters.len()).any(|at| {
        let date = (at..at + 4).all(digit) && characters.get(at + 4) == Some(&'-') && digit(at + 5) && digit(at + 6);
        let time = characters[at] == 'T' && digit(at + 1) && digit(at + 2) && characters.get(at + 3) == Some(&':');
        date || time
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_alone() {
        let table = [
            ("Passt Ihnen Donnerstag, den 26. November 2026 um 14 Uhr 30?", vec![]),
            ("Wir rufen Sie zurück.", vec![]),
            ("Das ist jetzt erledigt.", vec![Fault::NoNextStep]),
            ("", vec![Fault::Empty, Fault::NoNextStep]),
            ("?!", vec![Fault::Empty]),
            ("Ist 0192f3a4-5b6c-7d8e-9f01-23456789abcd richtig?", vec![Fault::Identifier, Fault::LongDigits]),
            ("Ist deadbeefdeadbeef richtig?", vec![Fault::Identifier]),
            ("Ist deadbeefdeadbee richtig?", vec![]),
            ("Ist call_ab richtig?", vec![Fault::Identifier]),
            ("Passt 2026-11-26?", vec![Fault::IsoDate]),
            ("Passt 2026-11?", vec![Fault::IsoDate]),
            ("Passt T10:00?", vec![Fault::IsoDate]),
            ("Passt T1000: oder X10:00 oder Tab: oder 10:00?", vec![]),
            ("Passt {when}?", vec![Fault::Braces]),
            ("Passt null?", vec![Fault::Null]),
            ("Passt None?", vec![Fault::Null]),
            ("Passt Nullnummer oder Nonne?", vec![]),
            ("Ist die 49151 richtig?", vec![Fault::LongDigits]),
            ("Ist die 4915 richtig?", vec![]),
        ];
        for (sentence, expected) in table {
            assert_eq!(faults(sentence), expected, "{sentence}");
        }
        assert_eq!(faults(&format!("{}?", "ä".repeat(299))), []);
        assert_eq!(faults(&format!("{}?", "ä".repeat(300))), [Fault::TooLong]);
    }
}
