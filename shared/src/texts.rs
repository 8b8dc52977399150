//! Every sentence that a caller hears, by key, in German; English can follow as a second text beside each.
//!
//! A sentence's slots are typed: what is not filled does not compile, so nobody ever hears "{when}" (incident 65). What fills them is cleaned and cut, because
//! it comes from set-up and language models. Not the decision what to say, and not the machine fields beside it. Called by whoever answers a caller: `functions`
//! names the keys of each function, `desk` and the writing roles fill them; ingress speaks the fallbacks.

mod german;
pub mod lint;
pub mod times;

pub use german::{Key, Sentence};

/// What fills a slot is cut here: four spoken times as choices fit whole, and the longest sentence stays within the lint's 300 characters.
const SLOT_CHARS_MAX: usize = 210;

/// One line without braces and control characters, cut at a word.
fn clean(value: &str) -> String {
    let plain: String = value.chars().map(|character| if character.is_control() || "{}[]<>".contains(character) { ' ' } else { character }).collect();
    let mut cleaned = String::with_capacity(plain.len());
    let mut chars = 0;
    for word in plain.split_whitespace() {
        chars += word.chars().count() + usize::from(!cleaned.is_empty());
        if chars > SLOT_CHARS_MAX {
            if cleaned.is_empty() {
                cleaned.extend(word.chars().take(SLOT_CHARS_MAX));
            }
            break;
        }
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(word);
    }
    cleaned.trim_end_matches([',', ';', ' ']).to_owned()
}

/// Choices as people say them: "Herrenhaarschnitt, Beratung oder Yoga". At most five: nobody remembers more.
#[must_use]
pub fn choices(items: &[impl AsRef<str>]) -> String {
    const CHOICES_MAX: usize = 5;
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).take(CHOICES_MAX).collect();
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} oder {last}", others.join(", ")),
    }
}

/// How a person is greeted at that hour of the day; a sentence of the catalogue follows.
#[must_use]
pub const fn daytime(hour: u32) -> &'static str {
    match hour {
        5..=10 => "Guten Morgen!",
        11..=17 => "Guten Tag!",
        _ => "Guten Abend!",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_clean_line_of_bounded_length() {
        assert_eq!(clean("  Haare\nschneiden {{x}} "), "Haare schneiden x");
        assert_eq!(clean(&"Wort, ".repeat(60)).chars().count(), 208, "thirty-five words with their blanks, and no comma at the end");
        assert_eq!(clean(&format!("{} bbbb", "a".repeat(205))).len(), 210, "the last word just fits");
        assert_eq!(clean(&format!("{} bbbb", "a".repeat(206))).len(), 206);
        assert_eq!(clean(&"ä".repeat(999)).chars().count(), 210, "a word without end is cut");
        assert_eq!(clean(""), "");
    }

    #[test]
    fn the_day_has_three_greetings() {
        assert_eq!([4, 5, 10, 11, 17, 18, 23, 0].map(daytime).map(|said| &said[6..9]), ["Abe", "Mor", "Mor", "Tag", "Tag", "Abe", "Abe", "Abe"]);
    }

    #[test]
    fn choices_are_said_as_people_say_them() {
        let none: [&str; 0] = [];
        assert_eq!(choices(&none), "");
        assert_eq!(choices(&["Beratung"]), "Beratung");
        assert_eq!(choices(&["Beratung", "Yoga"]), "Beratung oder Yoga");
        assert_eq!(choices(&["A", "B", "C", "D", "E", "F"]), "A, B, C, D oder E");
    }
}
