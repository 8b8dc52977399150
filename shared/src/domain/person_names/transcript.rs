//! Names in what a caller said: the least trusted source (incident 47), and never the agent's own words (incident 49: the agent's name was extracted).
//!
//! Not a judgement: what is found is a candidate for `screen`. Called with the utterances of the caller only.

use super::letters;
use super::words::{PARTICLES, TITLES};

/// A call has a few hundred turns at most; names are said in the first of them.
const UTTERANCES_MAX: usize = 500;
/// One turn of speech; a longer one is a monologue whose end names nobody.
const WORDS_MAX: usize = 200;
/// Forms of address, first names, particles and a double surname.
const NAME_WORDS_MAX: usize = 6;

/// A phrase that introduces a name, as folded words. Strong: whatever follows is the name, even without capitals. Weak: "Hier ist …", "Ich bin …" introduce
/// anything.
struct Cue {
    words: &'static [&'static str],
    strong: bool,
    /// A single noun is no name behind it: "Ich bin Rentner".
    needs_two: bool,
}

const CUES: [Cue; 9] = [
    Cue { words: &["mein", "name", "ist"], strong: true, needs_two: false },
    Cue { words: &["name", "ist"], strong: true, needs_two: false },
    Cue { words: &["ich", "heisse"], strong: true, needs_two: false },
    Cue { words: &["auf", "den", "namen"], strong: true, needs_two: false },
    Cue { words: &["hier", "spricht"], strong: true, needs_two: false },
    Cue { words: &["my", "name", "is"], strong: true, needs_two: false },
    Cue { words: &["hier", "ist"], strong: false, needs_two: false },
    Cue { words: &["ich", "bin", "der"], strong: false, needs_two: false },
    Cue { words: &["ich", "bin"], strong: false, needs_two: true },
];

/// What may stand between the phrase and the name.
const FILLERS: &[&str] = &["aeh", "aehm", "eh", "hm", "also", "ja", "der", "die"];

/// The texts that may be names in a caller's utterances, in the order in which they were said.
#[must_use]
pub fn name_in_utterances<'a>(utterances: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    utterances.into_iter().take(UTTERANCES_MAX).filter_map(name_in).collect()
}

/// The last name in one utterance: "Mein Name ist Meier, nein, mein Name ist Mayr."
fn name_in(utterance: &str) -> Option<String> {
    let words: Vec<&str> = utterance.split_whitespace().take(WORDS_MAX).collect();
    let folded: Vec<String> = words.iter().map(|word| letters::words(word).concat()).collect();
    let capitals = utterance.chars().any(char::is_uppercase);
    (0..words.len()).rev().find_map(|start| {
        let cue = CUES.iter().find(|cue| folded[start..].len() >= cue.words.len() && folded[start..].iter().zip(cue.words).all(|(word, cue)| word == cue))?;
        // a sentence ended inside the phrase: "So war mein Name. Ist …"
        let end = start + cue.words.len();
        if words[start..end].iter().any(|word| word.ends_with(['.', '!', '?'])) {
            return None;
        }
        let mut begin = end;
        while folded.get(begin).is_some_and(|word| FILLERS.contains(&word.as_str())) {
            begin += 1;
        }
        let name = name_words(&words[begin..], &folded[begin..], cue.strong && !capitals);
        let enough = !cue.needs_two || name.len() > 1;
        (enough && !name.is_empty()).then(|| name.join(" "))
    })
}

/// The words of the name: with capitals (or particles and forms of address), up to the end of the phrase. `any`: nothing is written with capitals here.
fn name_words<'a>(words: &[&'a str], folded: &[String], any: bool) -> Vec<&'a str> {
    let mut name: Vec<&str> = Vec::new();
    let mut lasting = 0;
    for (word, folded) in words.iter().zip(folded).take(NAME_WORDS_MAX) {
        let title = TITLES.contains(&folded.as_str());
        let capital = word.starts_with(char::is_uppercase);
        if !any && !capital && !title && !PARTICLES.contains(&folded.as_str()) {
            break;
        }
        name.push(word.trim_end_matches([',', '.', '!', '?', ';', ':']));
        if any || capital || title {
            lasting = name.len();
        }
        if word.ends_with([',', '!', '?', ';', ':']) || (word.ends_with('.') && !title) {
            break;
        }
    }
    // a particle at the end belongs to what follows: "Anna und …"
    name.truncate(lasting);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::person_names::{Reserved, screen};

    #[test]
    fn a_name_is_found_behind_the_phrases_that_introduce_one() {
        let table = [
            ("Guten Tag, mein Name ist Theo Brandner, ich hätte gern einen Termin.", "Theo Brandner"),
            ("Ja, ich heiße Brandner.", "Brandner"),
            ("Mein Name ist Brandner, Theo wartet schon", "Brandner"),
            ("Hier spricht Frau Dr. Schmidt.", "Frau Dr Schmidt"),
            ("Hier ist Ursula von der Leyen und ich", "Ursula von der Leyen"),
            ("Ich bin der Theo", "Theo"),
            ("ich bin Theo Brandner aus Berlin", "Theo Brandner"),
            ("Auf den Namen Müller-Lüdenscheidt bitte", "Müller-Lüdenscheidt"),
            ("Mein Name ist äh also Brandner", "Brandner"),
            ("mein name ist theo brandner", "theo brandner"),
            ("Mein Name ist Meier, nein, mein Name ist Mayr.", "Mayr"),
            ("My name is John Miller", "John Miller"),
        ];
        for (utterance, expected) in table {
            assert_eq!(name_in_utterances([utterance]), [expected], "{utterance}");
            assert!(screen(expected, &Reserved::default(), None).is_ok(), "{expected}");
        }
    }

    #[test]
    fn what_introduces_nobody_gives_no_name() {
        let table = [
            "Ich bin krank",
            "Ich bin Rentner",
            "Hier ist es laut",
            "Ich möchte einen Termin am Freitag",
            "Mein Name ist",
            "Das war mein Name. Ist Freitag frei?",
            "Theo Brandner",
            "",
        ];
        for utterance in table {
            assert_eq!(name_in_utterances([utterance]), Vec::<String>::new(), "{utterance}");
        }
    }

    /// Incident 49: what is found is still screened.
    #[test]
    fn what_is_found_need_not_be_a_name() {
        let found = name_in_utterances(["Hier ist Ihr Kunde", "Mein Name ist acht Uhr"]);
        assert!(found.iter().all(|text| screen(text, &Reserved::default(), None).is_err()), "{found:?}");
    }

    #[test]
    fn utterances_keep_their_order_and_long_ones_are_cut() {
        assert_eq!(name_in_utterances(["Ich heiße Meier", "Nein", "Ich heiße Mayr"]), ["Meier", "Mayr"]);
        let monologue = format!("{} ich heiße Mayr", "bla ".repeat(300));
        assert!(name_in_utterances([monologue.as_str()]).is_empty());
        let many: Vec<_> = (0..1_000).map(|_| "Ich heiße Mayr").collect();
        assert_eq!(name_in_utterances(many).len(), 500);
        assert_eq!(name_in_utterances(["mein name ist eins zwei drei vier fünf sechs sieben"]), ["eins zwei drei vier fünf sechs"]);
    }
}
