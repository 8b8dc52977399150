//! How soon a person must call back (domain reference 4.8): by what the caller says, and by who it is.

use super::VipTier;

/// Words are looked for in this much of what was said.
const WORDS_MAX: usize = 200;

const URGENT: &[&str] = &["notfall", "notfäll", "sofort", "urgent"];
const HIGH: &[&str] = &["dringend", "wichtig", "eilig"];
/// "Es ist nicht dringend."
const NEGATIONS: &[&str] = &["nicht", "kein", "keine", "keinen", "weniger", "not"];

/// Most urgent last; the literals are those of `callback_requests.priority`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    #[default]
    Normal,
    High,
    Urgent,
}

impl Urgency {
    pub const ALL: [Self; 3] = [Self::Normal, Self::High, Self::Urgent];

    /// The urgency of a wish to be called back: what is said, at least `High` for gold and platinum customers.
    #[must_use]
    pub fn of(said: &str, tier: VipTier) -> Self {
        let by_tier = if tier >= VipTier::Gold { Self::High } else { Self::Normal };
        let said = said.to_lowercase();
        let words: Vec<&str> = said.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS_MAX).collect();
        let means = |keywords: &[&str]| {
            words.iter().enumerate().any(|(index, word)| {
                let negated = index > 0 && NEGATIONS.contains(&words[index - 1]);
                !negated && keywords.iter().any(|keyword| word.starts_with(keyword))
            })
        };
        let by_words = if means(URGENT) {
            Self::Urgent
        } else if means(HIGH) {
            Self::High
        } else {
            Self::Normal
        };
        by_words.max(by_tier)
    }

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }

    /// Until when somebody must have called.
    #[must_use]
    pub const fn hours(self) -> u32 {
        match self {
            Self::Normal => 24,
            Self::High => 4,
            Self::Urgent => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_tier_decide_and_the_more_urgent_wins() {
        use Urgency::{High, Normal, Urgent};
        let table = [
            ("", VipTier::None, Normal),
            ("Es geht um meine Rechnung", VipTier::None, Normal),
            ("Es ist ein NOTFALL", VipTier::None, Urgent),
            ("Notfälle", VipTier::None, Urgent),
            ("bitte sofort", VipTier::None, Urgent),
            ("urgent!", VipTier::Platinum, Urgent),
            ("Es ist dringend.", VipTier::None, High),
            ("etwas Wichtiges", VipTier::None, High),
            ("ich bin eilig", VipTier::Silver, High),
            ("wichtig, nein: ein Notfall", VipTier::None, Urgent),
            ("nicht dringend", VipTier::None, Normal),
            ("kein Notfall, aber wichtig", VipTier::None, High),
            ("unwichtig", VipTier::None, Normal),
            ("nicht eilig", VipTier::Gold, High),
            ("", VipTier::Gold, High),
            ("", VipTier::Platinum, High),
            ("", VipTier::Silver, Normal),
        ];
        for (said, tier, expected) in table {
            assert_eq!(Urgency::of(said, tier), expected, "{said:?} {tier:?}");
        }
        assert_eq!(Urgency::of(&format!("{} notfall", "bla ".repeat(200)), VipTier::None), Normal);
    }

    #[test]
    fn deadlines_are_those_of_the_reference() {
        assert_eq!(Urgency::ALL.map(|urgency| (urgency.literal(), urgency.hours())), [("normal", 24), ("high", 4), ("urgent", 2)]);
    }
}
