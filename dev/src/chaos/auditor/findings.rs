//! What a check found. Bounded: a broken protection violates its invariant ten thousand times, and nobody reads more than the first few.

/// Sentences that are kept of one check; the rest is counted.
const TOLD_MAX: usize = 20;

/// A check that could not be made has an error, which counts as a violation.
pub type Judged = anyhow::Result<Findings>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Things that were looked at.
    pub checked: u64,
    told: Vec<String>,
    untold: u64,
}

impl Findings {
    /// One violation, nothing looked at.
    pub fn of(violation: String) -> Self {
        Self { told: vec![violation], ..Self::default() }
    }

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
        for number in 0..23 {
            findings.expect(number < 1, || format!("number {number}"));
        }
        assert_eq!(findings.checked, 23);
        let told = findings.told();
        assert_eq!((told.len(), told[0].as_str(), told[20].as_str()), (21, "number 1", "and 2 more"));
    }
}
