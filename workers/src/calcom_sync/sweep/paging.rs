//! Where the next page begins. Pure.
//!
//! Cal.com pages by `skip`, and the set moves while we read: a row that is touched leaves its place, and another one slips past an offset. So the offset stays at
//! the moment of the last row read, and a page begins there anew; rows of that moment are read twice, which is harmless. Only where a whole page has one
//! moment (a bulk change) an offset among these goes on, with some rows of overlap (calcom reference 3.11, traps 1 and 2).

use chrono::{DateTime, Utc};
use shared::store::sweeps::Page;

/// Rows of a page: about 200 KB.
pub(super) const TAKE: u32 = 100;
/// How many rows of one moment may leave it between two pages without another one being passed over.
const OVERLAP_ROWS: u32 = 10;

/// The page after one that began at `page` and had `returned` rows, the last of them of the moment `last`. `None`: that was the end.
pub(super) fn after(page: Page, returned: usize, last: Option<DateTime<Utc>>) -> Option<Page> {
    let returned = u32::try_from(returned).unwrap_or(u32::MAX);
    if returned < TAKE {
        return None;
    }
    match (page.from, last) {
        (Some(from), Some(last)) if last > from => Some(Page { from: Some(last), skip: 0 }),
        _ => Some(Page { from: page.from, skip: page.skip.saturating_add(returned - OVERLAP_ROWS) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn page(from: i64, skip: u32) -> Page {
        Page { from: Some(at(from)), skip }
    }

    #[test]
    fn a_short_page_is_the_last_and_a_full_one_goes_on_at_its_last_moment() {
        assert_eq!(after(page(0, 0), 99, Some(at(5))), None);
        assert_eq!(after(page(0, 0), 0, None), None);
        assert_eq!(after(page(0, 0), 100, Some(at(5))), Some(page(5, 0)));
        assert_eq!(after(page(0, 180), 100, Some(at(5))), Some(page(5, 0)));
    }

    #[test]
    fn many_rows_of_one_moment_are_read_with_some_overlap() {
        assert_eq!(after(page(5, 0), 100, Some(at(5))), Some(page(5, 90)));
        assert_eq!(after(page(5, 90), 100, Some(at(5))), Some(page(5, 180)));
        // no row could be read: the offset goes on all the same
        assert_eq!(after(page(5, 0), 100, None), Some(page(5, 90)));
    }

    /// Rows are touched between the pages, and none that stays is passed over.
    #[test]
    fn nothing_is_passed_over_while_rows_leave_the_window() {
        for ties in [1, 7, 40, 250] {
            // (moment, id), sorted; `ties` rows share each moment
            let mut rows: Vec<(i64, usize)> = (0..1000).map(|id| (i64::try_from(id / ties).unwrap() + 1, id)).collect();
            let (mut seen, mut next, mut requests) = (std::collections::HashSet::new(), Some(page(0, 0)), 0);
            let stays: Vec<usize> = rows.iter().map(|row| row.1).filter(|id| id % 97 != 0).collect();
            while let Some(page) = next {
                let from = page.from.unwrap().timestamp();
                let read: Vec<_> =
                    rows.iter().filter(|row| row.0 >= from).skip(usize::try_from(page.skip).unwrap()).take(usize::try_from(TAKE).unwrap()).copied().collect();
                seen.extend(read.iter().map(|row| row.1));
                next = after(page, read.len(), read.last().map(|row| at(row.0)));
                // one row in 97 of what is left is touched now and then, and leaves
                requests += 1;
                rows.retain(|row| !(row.1 % 97 == 0 && row.1 / 97 == requests));
                assert!(requests < 60, "it ends");
            }
            assert!(stays.iter().all(|id| seen.contains(id)), "{ties} rows of one moment");
        }
    }
}
