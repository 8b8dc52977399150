//! Whether a text can be a person's name at all (incident 49: "Unbekannt", "Acht Uhr", the agent's own name and a staff member's name were booked).
//!
//! Not whether it is *this* person's name (`likeness`). A wrong refusal costs one question, a wrong name stands in a calendar: in doubt it is no name.

use super::PersonName;
use super::letters;
use super::words::{INVENTED, PARTICLES, PLACEHOLDERS, SENTENCE_WORDS, TIMES, TIMES_AND_SURNAMES, TITLES};

/// Cal.com shows the whole name; a longer one is a sentence.
const NAME_CHARS_MAX: usize = 100;
/// "Maria del Carmen Fernández de la Cruz" has seven; more is a sentence.
const NAME_WORDS_MAX: usize = 7;

/// What people say around their name: it is taken off, not refused.
const LEAD_INS: &[&str] = &[
    "der termin ist für",
    "mein name ist",
    "der name ist",
    "auf den namen",
    "hier spricht",
    "ich heisse",
    "my name is",
    "ich heiße",
    "guten tag",
    "ich bin der",
    "ich bin die",
    "name ist",
    "this is",
    "hier ist",
    "hallo",
    "name:",
    "für",
];
const LEAD_OUTS: &[&str] = &["am apparat", "ist mein name", "hier", "bitte"];

/// Names that belong to somebody or something else in this company. Texts as they stand in the set-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reserved<'a> {
    /// People who work there.
    pub staff: &'a [&'a str],
    /// The voice agents, as they introduce themselves.
    pub agents: &'a [&'a str],
    /// The company and its branches.
    pub companies: &'a [&'a str],
    /// Services and their synonyms.
    pub services: &'a [&'a str],
}

/// Why a text is no name of a customer. Names are metric labels; the text itself goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    #[error("there is no name")]
    Empty,
    #[error("the text is too long for a name")]
    TooLong,
    #[error("the name is a template that nobody resolved")]
    Template,
    #[error("the name holds digits or signs")]
    NotLetters,
    #[error("the name is a word for nobody")]
    Placeholder,
    #[error("the name is a time or a date")]
    Time,
    #[error("the name is a sentence")]
    Sentence,
    #[error("the name is a staff member's")]
    Staff,
    #[error("the name is the voice agent's")]
    Agent,
    #[error("the name is the company's")]
    Company,
    #[error("the name is a service")]
    Service,
}

impl Rejection {
    /// Every reason: metrics create their label values from this.
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::TooLong,
        Self::Template,
        Self::NotLetters,
        Self::Placeholder,
        Self::Time,
        Self::Sentence,
        Self::Staff,
        Self::Agent,
        Self::Company,
        Self::Service,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Template => "template",
            Self::NotLetters => "not_letters",
            Self::Placeholder => "placeholder",
            Self::Time => "time",
            Self::Sentence => "sentence",
            Self::Staff => "staff",
            Self::Agent => "agent",
            Self::Company => "company",
            Self::Service => "service",
        }
    }
}

/// Takes a text for a name, or says why it is none. `known`: the name that the customer of this call already has; whoever says that one is believed, even if
/// a staff member is called the same.
///
/// # Errors
/// The text cannot be a customer's name.
pub fn screen(text: &str, reserved: &Reserved<'_>, known: Option<&str>) -> Result<PersonName, Rejection> {
    let text = without_phrases(&one_line(text));
    if text.is_empty() {
        return Err(Rejection::Empty);
    }
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(Rejection::TooLong);
    }
    if text.contains(['{', '}', '<', '>', '[', ']', '$']) {
        return Err(Rejection::Template);
    }
    let text = surname_last(&text);
    let words = letters::words(&text);
    let core: Vec<&str> = words.iter().map(String::as_str).filter(|word| !TITLES.contains(word)).collect();
    if is_nobody(&core) {
        return Err(Rejection::Placeholder);
    }
    if !text.chars().all(|character| character.is_alphabetic() || ('\u{300}'..='\u{36f}').contains(&character) || " -'’.".contains(character)) {
        return Err(Rejection::NotLetters);
    }
    let name = PersonName(with_capitals(&text));
    if known.is_some_and(|known| core_of(known) == core) {
        return Ok(name);
    }
    no_time(&core, core.len() < words.len())?;
    if core.len() > NAME_WORDS_MAX || core.iter().any(|word| SENTENCE_WORDS.contains(word)) {
        return Err(Rejection::Sentence);
    }
    not_reserved(&core, reserved)?;
    Ok(name)
}

fn no_time(core: &[&str], has_title: bool) -> Result<(), Rejection> {
    let surname = has_title && matches!(core, [only] if TIMES_AND_SURNAMES.contains(only));
    let only_times = core.iter().all(|word| TIMES.contains(word));
    if (only_times && !surname) || core.contains(&"uhr") { Err(Rejection::Time) } else { Ok(()) }
}

/// Words for nobody only, one letter, or one letter over and over.
fn is_nobody(core: &[&str]) -> bool {
    let placeholder = core.iter().all(|word| PLACEHOLDERS.contains(word)) || INVENTED.contains(&core.join(" ").as_str());
    let shapeless = core.iter().all(|word| word.chars().nth(1).is_none() || (word.len() > 2 && word.chars().all(|letter| word.starts_with(letter))));
    placeholder || shapeless
}

/// People of the company are meant by their whole name or by one word of it ("bei Anna", "zu Frau Beispiel"); whoever really is called so says the rest when
/// asked. A company is meant by its whole name only: "Friseur Müller" has customers called Müller.
fn not_reserved(core: &[&str], reserved: &Reserved<'_>) -> Result<(), Rejection> {
    let person = |names: &[&str]| {
        names.iter().any(|name| {
            let parts = core_of(name);
            let all_of_it = parts.len() == core.len() && core.iter().all(|word| parts.iter().any(|part| part == word));
            all_of_it || matches!(core, [only] if parts.iter().any(|part| part == only))
        })
    };
    let company = |name: &&str| {
        let parts = core_of(name);
        // one word ("Haarwerk") may be a surname beside another: only alone it is the company
        parts == core || (parts.len() > 1 && core.windows(parts.len()).any(|window| parts == window))
    };
    if person(reserved.staff) {
        return Err(Rejection::Staff);
    }
    if person(reserved.agents) {
        return Err(Rejection::Agent);
    }
    if reserved.companies.iter().any(company) {
        return Err(Rejection::Company);
    }
    if reserved.services.iter().any(|name| core_of(name) == core) {
        return Err(Rejection::Service);
    }
    Ok(())
}

/// A name's words without forms of address.
pub(super) fn core_of(name: &str) -> Vec<String> {
    letters::words(name).into_iter().filter(|word| !TITLES.contains(&word.as_str())).collect()
}

/// One line without control characters, quotes and blanks at its ends.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let joined = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.trim_matches(|character: char| "\"„“”‚‘»«.,;:!?- ".contains(character)).to_owned()
}

/// Without what people say around a name. Twice, because "Hier ist … am Apparat" and "Hallo, mein Name ist …" are two phrases.
fn without_phrases(text: &str) -> String {
    let mut rest = text;
    for _ in 0..2 {
        rest = LEAD_INS.iter().find_map(|phrase| after(rest, phrase)).unwrap_or(rest);
        rest = LEAD_OUTS.iter().find_map(|phrase| before(rest, phrase)).unwrap_or(rest);
    }
    rest.to_owned()
}

/// What follows a phrase at the beginning, if a whole word ends there.
fn after<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let head = text.get(..phrase.len()).filter(|head| head.to_lowercase() == phrase)?;
    let rest = &text[head.len()..];
    rest.starts_with([' ', ',']).then(|| rest.trim_start_matches([' ', ',']))
}

/// What precedes a phrase at the end, if a whole word begins there.
fn before<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let start = text.len().checked_sub(phrase.len())?;
    text.get(start..).filter(|tail| tail.to_lowercase() == phrase)?;
    let rest = &text[..start];
    rest.ends_with([' ', ',']).then(|| rest.trim_end_matches([' ', ',']))
}

/// "Müller, Hans" is Hans Müller; a second comma stays and is refused as a sign.
fn surname_last(text: &str) -> String {
    match text.split_once(',') {
        Some((surname, first)) => format!("{} {}", first.trim(), surname.trim()),
        None => text.to_owned(),
    }
}

/// Speech recognition sometimes writes small letters only: then every word but the particles begins with a capital.
fn with_capitals(text: &str) -> String {
    if text.chars().any(char::is_uppercase) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        if PARTICLES.contains(&word) {
            shown.push_str(word);
            continue;
        }
        for (index, part) in word.split('-').enumerate() {
            if index > 0 {
                shown.push('-');
            }
            let mut letters = part.chars();
            shown.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            shown.push_str(letters.as_str());
        }
    }
    shown
}

#[cfg(test)]
mod tests;
