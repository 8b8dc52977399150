//! German numbers in words, transcribed: "vierzehn", "einunddreissig", "zweitausendsechsundzwanzig", "dritter", "einunddreissigsten".

const UNITS: [&str; 20] = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fuenf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwoelf",
    "dreizehn",
    "vierzehn",
    "fuenfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const TENS: [&str; 8] = ["zwanzig", "dreissig", "vierzig", "fuenfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
/// Other forms. Not "eine", "einen": those are articles.
const FORMS: [(&str, u32); 7] = [("eins", 1), ("einer", 1), ("einem", 1), ("ner", 1), ("nem", 1), ("zwo", 2), ("nullnull", 0)];
const ORDINALS: [(&str, u32); 4] = [("erst", 1), ("zwot", 2), ("dritt", 3), ("siebt", 7)];
const ENDINGS: [&str; 5] = ["en", "er", "es", "em", "e"];

/// A cardinal, 0 to 99 or a year of this century.
pub(super) fn cardinal(word: &str) -> Option<u32> {
    if let Some((_, value)) = FORMS.iter().find(|(form, _)| *form == word) {
        return Some(*value);
    }
    if let Some(rest) = word.strip_prefix("zweitausend") {
        let rest = rest.strip_prefix("und").unwrap_or(rest);
        return if rest.is_empty() { Some(2000) } else { below_hundred(rest).map(|value| 2000 + value) };
    }
    below_hundred(word)
}

fn below_hundred(word: &str) -> Option<u32> {
    let unit = |word: &str| UNITS.iter().position(|unit| *unit == word);
    let tens = |word: &str| TENS.iter().position(|tens| *tens == word).map(|place| 20 + 10 * place);
    let value = match word.split_once("und") {
        Some((one, ten)) => unit(one).filter(|one| (1..=9).contains(one))? + tens(ten)?,
        None => unit(word).or_else(|| tens(word))?,
    };
    u32::try_from(value).ok()
}

/// An ordinal, 1 to 99.
pub(super) fn ordinal(word: &str) -> Option<u32> {
    let stem = ENDINGS.iter().find_map(|ending| word.strip_suffix(ending))?;
    if let Some((_, value)) = ORDINALS.iter().find(|(ordinal, _)| *ordinal == stem) {
        return Some(*value);
    }
    // "achte" has no t of its own; from twenty on the ending is -ste.
    let small = if stem == "acht" { Some(stem) } else { stem.strip_suffix('t') };
    let small = small.and_then(below_hundred).filter(|value| (1..20).contains(value));
    small.or_else(|| stem.strip_suffix("st").and_then(below_hundred).filter(|value| *value >= 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinals_from_zero_to_ninety_nine_and_years_are_read() {
        for (word, value) in [
            ("null", 0),
            ("ein", 1),
            ("eins", 1),
            ("einer", 1),
            ("zwo", 2),
            ("zwoelf", 12),
            ("neunzehn", 19),
            ("zwanzig", 20),
            ("einundzwanzig", 21),
            ("neunundfuenfzig", 59),
            ("neunundneunzig", 99),
            ("zweitausend", 2000),
            ("zweitausendsechsundzwanzig", 2026),
            ("zweitausendundneun", 2009),
        ] {
            assert_eq!(cardinal(word), Some(value), "{word}");
        }
        for word in ["eine", "einen", "undzwanzig", "nullundzwanzig", "zehnundzwanzig", "einundzwanzigeins", "hund", "zweitausendx", ""] {
            assert_eq!(cardinal(word), None, "{word}");
        }
    }

    #[test]
    fn ordinals_are_read_in_every_ending() {
        for (word, value) in [
            ("erste", 1),
            ("ersten", 1),
            ("zweiter", 2),
            ("zwoten", 2),
            ("drittes", 3),
            ("vierten", 4),
            ("sechsten", 6),
            ("siebten", 7),
            ("siebenten", 7),
            ("achtem", 8),
            ("achten", 8),
            ("neunzehnten", 19),
            ("zwanzigster", 20),
            ("einunddreissigsten", 31),
        ] {
            assert_eq!(ordinal(word), Some(value), "{word}");
        }
        for word in ["acht", "achtst", "zwanzigten", "vierste", "nullte", "weiter", "te", "ste", ""] {
            assert_eq!(ordinal(word), None, "{word}");
        }
    }
}
