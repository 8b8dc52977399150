//! Whether a spoken name is the customer's: Jaro-Winkler over the letters (crate `strsim`), Cologne phonetics over the sound.
//!
//! Speech recognition writes "Wekner" for Wegner (incident 50); a mother books for her daughter (incident 48). So the verdict is kept beside the name, never
//! acted on alone: with the customer's own phone number the name is advisory.

use super::screen::core_of;
use super::sound::sound;

/// From this likeness on, two words are taken for one name heard twice (domain reference 4.2).
pub const LIKENESS_MIN: f64 = 0.65;
/// An equal sound of fewer consonants says nothing: Eva, Uwe and Ivo sound alike to the algorithm, which drops vowels.
const CONSONANTS_MIN: usize = 2;

/// How a spoken name and the customer's agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agreement {
    /// The customer has no name yet, or none was said.
    Unknown,
    /// The same letters, whatever the order, the marks and the form of address.
    Same,
    /// As many words, each sounds like one of the other name.
    SoundsAlike,
    /// One of both is a part of the other: a surname alone, a middle name more.
    PartOf,
    /// Somebody else: whoever calls books for a third person.
    Different,
}

impl Agreement {
    /// The word in rows, metrics and answers.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Same => "same",
            Self::SoundsAlike => "sounds_alike",
            Self::PartOf => "part_of",
            Self::Different => "different",
        }
    }
}

/// The verdict on two names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub agreement: Agreement,
    /// 0 to 1: of the pair of words that fits worst.
    pub likeness: f64,
}

impl Verdict {
    /// Whether the name allows to change what is stored under the other one. `phone_agrees`: the call comes from the customer's own number, which is proof enough
    /// (incident 50: a variant of a surname blocked a legitimate cancellation).
    #[must_use]
    pub fn allows_change(self, phone_agrees: bool) -> bool {
        phone_agrees || matches!(self.agreement, Agreement::Same | Agreement::SoundsAlike | Agreement::PartOf)
    }

    /// Whether the appointment is somebody else's than the customer's who calls (consistency queries Q5 and Q7: a difference must be explained).
    #[must_use]
    pub fn is_third_person(self) -> bool {
        self.agreement == Agreement::Different
    }
}

/// Compares a spoken name with the stored one. Symmetric.
#[must_use]
pub fn compare(spoken: &str, stored: Option<&str>) -> Verdict {
    let spoken = core_of(spoken);
    let stored = stored.map(core_of).unwrap_or_default();
    if spoken.is_empty() || stored.is_empty() {
        return Verdict { agreement: Agreement::Unknown, likeness: 0.0 };
    }
    // "Annalena" and "Anna Lena" are heard alike
    if sorted(&spoken) == sorted(&stored) || spoken.concat() == stored.concat() {
        return Verdict { agreement: Agreement::Same, likeness: 1.0 };
    }
    let likeness = worst_of_best_pairs(&spoken, &stored);
    let agreement = if likeness < LIKENESS_MIN {
        Agreement::Different
    } else if spoken.len() == stored.len() {
        Agreement::SoundsAlike
    } else {
        Agreement::PartOf
    };
    Verdict { agreement, likeness }
}

fn sorted(words: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = words.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}

/// Pairs each word of the shorter name with one of the longer, best pairs first, and returns the worst pair: an equal surname does not make Anna out of Paula.
fn worst_of_best_pairs(one: &[String], other: &[String]) -> f64 {
    let mut pairs: Vec<(f64, usize, usize)> =
        one.iter().enumerate().flat_map(|(i, a)| other.iter().enumerate().map(move |(j, b)| (likeness_of_words(a, b), i, j))).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut worst = 1.0;
    for (likeness, i, j) in pairs {
        if taken.iter().all(|(a, b)| *a != i && *b != j) {
            taken.push((i, j));
            worst = likeness;
        }
    }
    worst
}

/// Letters and sound must both agree, so their likenesses are multiplied: Schmidt and Schneider share five letters, Weber and Wagner two sounds. An equal sound
/// is enough by itself: Meier and Mayr have two letters of four in common.
fn likeness_of_words(one: &str, other: &str) -> f64 {
    if one.chars().count().min(other.chars().count()) == 1 {
        // an initial says its letter and no more
        return if one.chars().next() == other.chars().next() { LIKENESS_MIN } else { 0.0 };
    }
    let (sound, other_sound) = (sound(one), sound(other));
    let letters = strsim::jaro_winkler(one, other);
    if sound.is_empty() || other_sound.is_empty() {
        // another script, or a word without sound: the letters are all there is
        return letters;
    }
    let likeness = letters * strsim::normalized_levenshtein(&sound, &other_sound);
    let consonants = sound.trim_start_matches('0').len();
    if sound == other_sound && consonants >= CONSONANTS_MIN { likeness.max(LIKENESS_MIN) } else { likeness }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(spoken: &str, stored: &str) -> Agreement {
        let verdict = compare(spoken, Some(stored));
        let other = compare(stored, Some(spoken));
        assert_eq!((verdict.agreement, verdict.likeness.to_bits()), (other.agreement, other.likeness.to_bits()), "{spoken} / {stored}: symmetric");
        assert!((0.0..=1.0).contains(&verdict.likeness), "{spoken} / {stored}");
        verdict.agreement
    }

    #[test]
    fn one_name_in_several_spellings_is_the_same() {
        let table = [
            ("Jürgen Groß", "juergen gross"),
            ("Groß, Jürgen", "Jürgen Groß"),
            ("Frau Dr. Anna Schmidt", "Anna Schmidt"),
            ("Annalena Berg", "Anna-Lena Berg"),
            ("Anna Lena Berg", "Anna-Lena Berg"),
            ("O'Neill", "ONeill"),
            ("Dvořák", "Dvorak"),
        ];
        for (spoken, stored) in table {
            assert_eq!(agreement(spoken, stored), Agreement::Same, "{spoken} / {stored}");
        }
        assert_eq!(compare("Groß", Some("Groß")).likeness, 1.0);
    }

    /// Incident 50: variants of one surname that speech recognition wrote.
    #[test]
    fn what_speech_recognition_makes_of_a_name_sounds_like_it() {
        let table = [
            ("Wekner", "Wegner"),
            ("Meier", "Mayr"),
            ("Maier", "Meyer"),
            ("Theo Brantner", "Theo Brandner"),
            ("Schmitt", "Schmidt"),
            ("Fogel", "Vogel"),
            ("Bohl", "Pohl"),
            ("Hofmann", "Hoffmann"),
            ("Peterson", "Petersen"),
            ("Kowalsky", "Kowalski"),
            ("Krist", "Christ"),
            ("Hanna Berg", "Anna Berg"),
            ("Ewa Berg", "Eva Berg"),
            ("Marie Schulz", "Maria Scholz"),
            ("Wegler", "Wegner"),
            ("J. Weiß", "Jürgen Weiß"),
            ("Jürgen W.", "Jürgen Weiß"),
            ("H. Weiß", "Hans Weiß"),
            // one letter of another alphabet slipped in
            ("Иvан", "Иван"),
        ];
        for (spoken, stored) in table {
            assert_eq!(agreement(spoken, stored), Agreement::SoundsAlike, "{spoken} / {stored}: {:?}", compare(spoken, Some(stored)));
        }
    }

    #[test]
    fn a_surname_alone_or_a_middle_name_more_is_a_part() {
        let table = [
            ("Brandner", "Theo Brandner"),
            ("Herr Brantner", "Theo Brandner"),
            ("Theo", "Theo Brandner"),
            ("Hans Peter Müller", "Hans Müller"),
            ("Leyen", "Ursula von der Leyen"),
            ("Müller", "Müller-Lüdenscheidt"),
        ];
        for (spoken, stored) in table {
            assert_eq!(agreement(spoken, stored), Agreement::PartOf, "{spoken} / {stored}");
        }
    }

    /// Incident 48: a booking for a third person ("Max Mustermann" against the stored "Paula Weidner").
    #[test]
    fn somebody_else_is_different_even_of_the_same_family() {
        let table = [
            ("Max Mustermann", "Paula Weidner"),
            ("Anna Weidner", "Paula Weidner"),
            ("Weber", "Wagner"),
            ("Schmidt", "Schneider"),
            ("Eva Berg", "Uwe Berg"),
            ("Ina Berg", "Uwe Berg"),
            ("Anna", "Paula Weidner"),
            ("Müller", "Fischer"),
            ("Fischer", "Theo Brandner"),
            ("K. Weiß", "Jürgen Weiß"),
            ("Иван", "Пётр"),
        ];
        for (spoken, stored) in table {
            assert_eq!(agreement(spoken, stored), Agreement::Different, "{spoken} / {stored}: {:?}", compare(spoken, Some(stored)));
        }
    }

    #[test]
    fn without_two_names_there_is_no_verdict() {
        for (spoken, stored) in [("Theo Brandner", None), ("Theo Brandner", Some("")), ("", Some("Theo Brandner")), ("Frau", Some("Theo Brandner"))] {
            assert_eq!(compare(spoken, stored), Verdict { agreement: Agreement::Unknown, likeness: 0.0 });
        }
    }

    #[test]
    fn names_of_other_scripts_are_compared_by_their_letters() {
        assert_eq!(agreement("Иван Петров", "Иван Петров"), Agreement::Same);
        assert_eq!(agreement("Иван Петрова", "Иван Петров"), Agreement::SoundsAlike);
    }

    /// Incident 50, the rule: a strong phone match makes the name advisory, else it must sound alike.
    #[test]
    fn the_callers_own_number_is_proof_and_a_name_only_if_it_sounds_alike() {
        let table = [("Theo Brandner", true), ("Brandner", true), ("Brantner", true), ("Paula Weidner", false)];
        for (spoken, allowed) in table {
            let verdict = compare(spoken, Some("Theo Brandner"));
            assert_eq!((verdict.allows_change(false), verdict.allows_change(true)), (allowed, true), "{spoken}");
            assert_eq!(verdict.is_third_person(), !allowed, "{spoken}");
        }
        assert!(!compare("Theo", None).allows_change(false) && !compare("Theo", None).is_third_person());
    }

    #[test]
    fn every_agreement_has_a_word() {
        let all = [Agreement::Unknown, Agreement::Same, Agreement::SoundsAlike, Agreement::PartOf, Agreement::Different];
        assert_eq!(all.map(Agreement::literal), ["unknown", "same", "sounds_alike", "part_of", "different"]);
    }
}
