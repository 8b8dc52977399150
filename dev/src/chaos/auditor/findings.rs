//! What a check found. Bounded: a broken protection violates its invariant ten thousand times.

/// Sentences that are kept of one check; the rest is counted. So many, because the one that proves a broken protection may come late; the report shows a few.
const TOLD_MAX: usize = 5_000;

/// A check that could not be made has an error: what it was to show is neither kept nor violated.
pub type Judged = anyhow::Result<Findings>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Things that were looked at.
    pub checked: u64,
    told: Vec<String>,
    untold: u64,
}

impl Findings {
    /// Looks at one thing; the sentence is made only if it is wrong.
    pub fn expect(&mut self, right: bool, violation: impl FnOnce() -> String) {
        self.checked += 1;
        if !right {
            self.violated(violation());
        }
    }

    pub fn violated(&mut self, violation: String) {
        if self.told.len() < TOLD_MAX { self.told.push(violation) } else { self.untold += 1 }
    }

    pub fn looked_at(&mut self, things: usize) {
        self.checked += things as u64;
    }

    /// Rows of a query each of which is a violation.
    pub fn violated_by(&mut self, sentences: impl IntoIterator<Item = String>) {
        sentences.into_iter().for_each(|sentence| self.violated(sentence));
    }

    /// The sentences, and how many more there are.
    pub fn told(self) -> Vec<String> {
        let more = (self.untold > 0).then(|| format!("and {} more", self.untold));
        self.told.into_iter().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_counts_and_the_first_ones_are_told() {
        let mut findings = Findings::default();
        for number in 0..TOLD_MAX + 3 {
            findings.expect(number < 1, || format!("number {number}"));
        }
        assert_eq!(findings.checked, TOLD_MAX as u64 + 3);
        let told = findings.told();
        assert_eq!((told.len(), told[0].as_str(), told[TOLD_MAX].as_str()), (TOLD_MAX + 1, "number 1", "and 2 more"));
    }
}
