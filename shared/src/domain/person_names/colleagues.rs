//! Which member of the staff a caller means: that person or a clear no, never somebody else in silence (incident 55).
//!
//! Not whether that person does the service or is free. Called by the functions that take a wish for somebody.

use super::likeness::{Agreement, compare};
use super::screen::core_of;

/// What people say who want nobody in particular.
const ANYONE: &[&str] = &[
    "egal",
    "beliebig",
    "irgendwer",
    "irgendjemand",
    "jeder",
    "jede",
    "alle",
    "wer frei ist",
    "keine praeferenz",
    "kein wunsch",
    "any",
    "anyone",
    "no preference",
];

/// Whom a spoken name means, as places in the list that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Colleague {
    /// Nobody in particular.
    Anyone,
    /// Each word that was said is a word of this name, and of no other.
    Exactly(usize),
    /// One name sounds like it: to be asked, never taken.
    Probably(usize),
    /// More than one may be meant: to be asked.
    Several(Vec<usize>),
    /// "That person I do not find."
    Nobody,
}

/// Finds the colleague of that name. An empty text means anyone.
#[must_use]
pub fn colleague(spoken: &str, staff: &[&str]) -> Colleague {
    let words = core_of(spoken);
    if words.is_empty() || ANYONE.contains(&words.join(" ").as_str()) {
        return Colleague::Anyone;
    }
    let of = |fits: &dyn Fn(&str) -> bool| staff.iter().enumerate().filter(|(_, name)| fits(name)).map(|(place, _)| place).collect::<Vec<_>>();
    let named = of(&|name| {
        let name = core_of(name);
        words.iter().all(|word| name.contains(word))
    });
    match named[..] {
        [only] => return Colleague::Exactly(only),
        [] => {}
        _ => return Colleague::Several(named),
    }
    let alike = of(&|name| matches!(compare(spoken, Some(name)).agreement, Agreement::Same | Agreement::SoundsAlike | Agreement::PartOf));
    match alike[..] {
        [only] => Colleague::Probably(only),
        [] => Colleague::Nobody,
        _ => Colleague::Several(alike),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAFF: &[&str] = &["Rieke Sommerfeld", "Anna Beispiel", "Dr. Anna-Lena Wegner"];

    /// Incident 55: a name that nobody has was answered with another colleague.
    #[test]
    fn a_name_means_that_person_or_nobody() {
        use Colleague::{Anyone, Exactly, Nobody, Probably, Several};
        let table = [
            ("Rieke Sommerfeld", Exactly(0)),
            ("rieke", Exactly(0)),
            ("Frau Sommerfeld", Exactly(0)),
            ("Sommerfeld, Rieke", Exactly(0)),
            ("Doktor Wegner", Exactly(2)),
            ("Lena", Exactly(2)),
            ("Anna Beispiel", Exactly(1)),
            ("Anna", Several(vec![1, 2])),
            ("Annalena Wegner", Probably(2)),
            ("Frau Wekner", Probably(2)),
            ("Ricke", Probably(0)),
            ("Hanna", Several(vec![1, 2])),
            ("Theo", Nobody),
            ("Rieke Beispiel", Nobody),
            ("Frau Brandner", Nobody),
            ("0192f3a4-5b6c-7d8e-9f01-23456789abcd", Nobody),
            ("egal", Anyone),
            ("Wer frei ist", Anyone),
            ("Keine Präferenz", Anyone),
            ("", Anyone),
            ("Frau", Anyone),
        ];
        for (spoken, expected) in table {
            assert_eq!(colleague(spoken, STAFF), expected, "{spoken}");
        }
        assert_eq!(colleague("Rieke", &[]), Nobody);
    }
}
