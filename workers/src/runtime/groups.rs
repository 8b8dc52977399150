//! Which of the delivered bulk messages share a transaction: those of one company, oldest company first, at most sixteen and at most a megabyte.
//!
//! Pure; it knows nothing of messages. While all permits are busy the groups grow by themselves: that is what makes a full queue cheap.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

/// ⚗ Beyond sixteen the gain is small, and one bad message sends more of its neighbours through again (architecture section 6, Cost).
pub const GROUP_MESSAGES_MAX: usize = 16;
/// One claim statement carries all raw bodies of its group; a recorded hour of talk is a megabyte by itself.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;

struct Waiting<T> {
    bytes: usize,
    item: T,
}

/// What waits for a permit, by company.
pub struct Groups<T> {
    waiting: HashMap<Option<Uuid>, VecDeque<Waiting<T>>>,
    /// Companies in the order in which their oldest item came.
    turns: VecDeque<Option<Uuid>>,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<T> Groups<T> {
    /// Adds an item with the size of its body. Its bound is the prefetch of the lane.
    pub fn push(&mut self, company_id: Option<Uuid>, bytes: usize, item: T) {
        let queue = self.waiting.entry(company_id).or_default();
        if queue.is_empty() {
            self.turns.push_back(company_id);
        }
        queue.push_back(Waiting { bytes, item });
    }

    /// Takes the next group; a company that has more waits for its next turn.
    pub fn next_group(&mut self) -> Option<Vec<T>> {
        let company_id = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&company_id)?;
        let mut group = Vec::with_capacity(queue.len().min(GROUP_MESSAGES_MAX));
        let mut bytes = 0;
        while let Some(next) = queue.front() {
            let fits = group.is_empty() || (group.len() < GROUP_MESSAGES_MAX && bytes + next.bytes <= GROUP_BYTES_MAX);
            if !fits {
                break;
            }
            bytes += next.bytes;
            group.extend(queue.pop_front().map(|waiting| waiting.item));
        }
        if queue.is_empty() {
            self.waiting.remove(&company_id);
        } else {
            self.turns.push_back(company_id);
        }
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(number: u128) -> Option<Uuid> {
        Some(Uuid::from_u128(number))
    }

    #[test]
    fn a_group_is_of_one_company_in_order_of_arrival() {
        let mut groups = Groups::default();
        for (owner, item) in [(company(1), 'a'), (company(2), 'b'), (company(1), 'c'), (None, 'd'), (company(2), 'e')] {
            groups.push(owner, 10, item);
        }
        assert_eq!(groups.next_group(), Some(vec!['a', 'c']));
        assert_eq!(groups.next_group(), Some(vec!['b', 'e']));
        assert_eq!(groups.next_group(), Some(vec!['d']));
        assert_eq!(groups.next_group(), None);
    }

    #[test]
    fn a_company_with_a_backlog_takes_turns_with_the_others() {
        let mut groups = Groups::default();
        for item in 0..40 {
            groups.push(company(1), 1, item);
        }
        groups.push(company(2), 1, 100);
        let sizes: Vec<_> = std::iter::from_fn(|| groups.next_group()).map(|group| (group[0], group.len())).collect();
        assert_eq!(sizes, [(0, 16), (100, 1), (16, 16), (32, 8)]);
    }

    #[test]
    fn large_bodies_make_small_groups_and_a_huge_one_goes_alone() {
        let mut groups = Groups::default();
        groups.push(None, 3 * GROUP_BYTES_MAX, 'x');
        groups.push(None, GROUP_BYTES_MAX / 2, 'y');
        groups.push(None, GROUP_BYTES_MAX / 2, 'z');
        groups.push(None, 1, 'w');
        let all: Vec<_> = std::iter::from_fn(|| groups.next_group()).collect();
        assert_eq!(all, [vec!['x'], vec!['y', 'z'], vec!['w']]);
    }
}
