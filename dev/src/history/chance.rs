//! Chance from a seed, and turns that give every kind its share: the same on every machine and with every version of every crate, so that a history can be made again.
//! Not for secrets. Called by everything in `history`.
use std::collections::HashMap;

/// 2^64 divided by the golden ratio: multiples of it fall evenly into any interval.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64. Our own ten lines, because `rand` promises no stable output over its versions.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A source of its own for every place: the same parts give the same numbers, whatever was drawn elsewhere.
    pub fn of(parts: &[u64]) -> Self {
        Self(parts.iter().fold(GOLDEN, |state, part| mixed(state ^ part.wrapping_mul(GOLDEN)).wrapping_add(GOLDEN)))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mixed(self.0)
    }

    /// 0 to `bound` - 1; `bound` is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        share(self.next(), bound)
    }

    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of at least one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap_or_default()]
    }

    /// Lower-case hexadecimal digits.
    pub fn hex(&mut self) -> String {
        format!("{:016x}", self.next())
    }
}

const fn mixed(state: u64) -> u64 {
    let one = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let two = (one ^ (one >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    two ^ (two >> 31)
}

/// The place of `number` among `bound` equal parts of all numbers.
fn share(number: u64, bound: u64) -> u64 {
    // the product of two 64-bit numbers, halved to its upper half, fits again
    u64::try_from((u128::from(number) * u128::from(bound)) >> 64).unwrap_or_default()
}

/// Kinds in turn, each by its weight: a share of one per cent comes once in a hundred, not perhaps, so that every kind is there in a small history, too.
#[derive(Debug)]
pub struct Turns {
    start: u64,
    taken: HashMap<&'static str, u64>,
}

impl Turns {
    pub fn new(seed: u64) -> Self {
        Self { start: mixed(seed ^ GOLDEN), taken: HashMap::new() }
    }

    /// The next of `kinds` (kind and weight) in the row called `row`.
    pub fn next<T: Copy>(&mut self, row: &'static str, kinds: &[(T, u64)]) -> T {
        let taken = self.taken.entry(row).or_default();
        *taken += 1;
        let at = self.start.wrapping_add(taken.wrapping_mul(GOLDEN));
        let mut left = share(at, kinds.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in kinds {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        kinds[0].0
    }

    /// `of_hundred` times in a hundred.
    pub fn percent(&mut self, row: &'static str, of_hundred: u64) -> bool {
        self.next(row, &[(true, of_hundred), (false, 100 - of_hundred)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let mut chance = Chance::of(&[7, 1]);
        let drawn = [chance.below(1000), chance.below(1000), chance.below(1000)];
        let mut again = Chance::of(&[7, 1]);
        assert_eq!([again.below(1000), again.below(1000), again.below(1000)], drawn);
        assert_ne!(Chance::of(&[7, 2]).next(), Chance::of(&[7, 1]).next());
        assert_ne!(Chance::of(&[1, 7]).next(), Chance::of(&[7, 1]).next());
    }

    #[test]
    fn every_kind_comes_by_its_weight_in_a_short_row() {
        for seed in 0..50 {
            let mut turns = Turns::new(seed);
            let drawn: Vec<_> = (0..300).map(|_| turns.next("row", &[('a', 96), ('b', 3), ('c', 1)])).collect();
            let count = |kind| drawn.iter().filter(|drawn| **drawn == kind).count();
            assert!((7..=11).contains(&count('b')), "seed {seed}: {}", count('b'));
            assert!((1..=5).contains(&count('c')), "seed {seed}: {}", count('c'));
        }
    }
}
