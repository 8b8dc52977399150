//! Which of several told names is taken: function argument > analysis > transcript (incident 47: what the agent had confirmed was overwritten by an extraction).

use super::{PersonName, Rejection, Reserved, screen};

/// Keys of the analysis under which the former agents wrote a caller's name (domain reference 2.1). Agent configuration: a company may name others.
pub const ANALYSIS_KEYS: [&str; 3] = ["customer_name", "caller_full_name", "patient_full_name"];

/// Where a name was told. Ordered: the greatest is believed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Found in what the caller said.
    Transcript,
    /// Retell's analysis after the call.
    Analysis,
    /// Given to a function: the agent has read it back.
    FunctionArgument,
}

impl Source {
    /// The word in rows and metrics.
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::Analysis => "analysis",
            Self::FunctionArgument => "function_argument",
        }
    }
}

/// A text that may be a name.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub source: Source,
    pub text: &'a str,
}

/// The name that is taken, and what was refused on the way (for the metric).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub name: Option<(PersonName, Source)>,
    pub refused: Vec<(Source, Rejection)>,
}

/// Takes the first usable name of the most trusted source. Within one source the later candidate is the correction of the earlier, so it comes first.
/// `known`: the customer's own name (see [`screen`]). At most 32 candidates are looked at: no caller says more names.
#[must_use]
pub fn choose(candidates: &[Candidate<'_>], reserved: &Reserved<'_>, known: Option<&str>) -> Choice {
    const CANDIDATES_MAX: usize = 32;
    let mut ordered: Vec<&Candidate<'_>> = candidates.iter().rev().collect();
    // stable: within a source the later one stays first
    ordered.sort_by_key(|candidate| std::cmp::Reverse(candidate.source));
    let mut choice = Choice::default();
    for candidate in ordered.into_iter().take(CANDIDATES_MAX) {
        match screen(candidate.text, reserved, known) {
            Ok(name) => {
                choice.name = Some((name, candidate.source));
                break;
            }
            Err(reason) => choice.refused.push((candidate.source, reason)),
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::Source::{Analysis, FunctionArgument, Transcript};
    use super::*;

    fn taken(candidates: &[(Source, &str)]) -> Option<(String, Source)> {
        let candidates: Vec<_> = candidates.iter().map(|(source, text)| Candidate { source: *source, text }).collect();
        choose(&candidates, &Reserved { staff: &["Rieke Sommerfeld"], ..Reserved::default() }, None).name.map(|(name, source)| (name.into_string(), source))
    }

    /// Incident 47: transcript extraction ("Sir Hollander") overwrote the name that the agent had confirmed.
    #[test]
    fn the_argument_wins_over_analysis_and_that_over_the_transcript() {
        let (argument, analysis, transcript) = ((FunctionArgument, "Sarah Holländer"), (Analysis, "Sara Hollander"), (Transcript, "Sir Hollander"));
        let table = [
            (vec![argument, analysis, transcript], argument),
            (vec![transcript, analysis, argument], argument),
            (vec![transcript, analysis], analysis),
            (vec![analysis, transcript], analysis),
            (vec![transcript], transcript),
            (vec![(FunctionArgument, "Unbekannt"), analysis, transcript], analysis),
            (vec![(FunctionArgument, "Acht Uhr"), (Analysis, ""), transcript], transcript),
            (vec![(FunctionArgument, "Rieke"), transcript], transcript),
            (vec![(FunctionArgument, "Sara"), argument], argument),
            (vec![argument, (FunctionArgument, "None")], argument),
        ];
        for (candidates, (source, name)) in table {
            assert_eq!(taken(&candidates), Some((name.to_owned(), source)), "{candidates:?}");
        }
        assert_eq!(taken(&[(FunctionArgument, "Rieke"), (Analysis, "null"), (Transcript, "")]), None);
        assert_eq!(taken(&[]), None);
    }

    #[test]
    fn what_was_refused_is_told_with_its_source() {
        let candidates = [Candidate { source: Analysis, text: "Unbekannt" }, Candidate { source: FunctionArgument, text: "{{name}}" }];
        let choice = choose(&candidates, &Reserved::default(), None);
        assert_eq!(choice.refused, [(FunctionArgument, Rejection::Template), (Analysis, Rejection::Placeholder)]);
        assert_eq!(choice.name, None);
    }

    #[test]
    fn a_flood_of_candidates_is_cut() {
        let flood: Vec<_> = (0..200).map(|_| Candidate { source: Transcript, text: "Unbekannt" }).collect();
        assert_eq!(choose(&flood, &Reserved::default(), None).refused.len(), 32);
    }

    #[test]
    fn the_customers_own_name_is_believed_even_if_a_colleague_has_it() {
        let reserved = Reserved { staff: &["Anna Beispiel"], ..Reserved::default() };
        let told = [Candidate { source: FunctionArgument, text: "Anna Beispiel" }];
        assert_eq!(choose(&told, &reserved, None).name, None);
        assert!(choose(&told, &reserved, Some("Anna Beispiel")).name.is_some());
    }

    #[test]
    fn sources_have_words() {
        assert_eq!([Transcript, Analysis, FunctionArgument].map(Source::literal), ["transcript", "analysis", "function_argument"]);
    }
}
