//! Histories that the fold or the rows once got wrong, by their events and in the order in which they were heard. Each was seen to fail with its fault put back.
//! Faults that no whole life can tell (things told by half, or by a sweep alone) stand in `shared/src/domain/booking_chain/tests.rs`. Used by `pure` and `store`.

use chrono::Duration;
use tests::convergence::{By, Life, Told, What};

/// One history.
pub struct Case {
    /// What was wrong.
    pub was: &'static str,
    pub life: Life,
    /// As it was heard.
    pub line: Vec<Told>,
}

const OURS: What = What::Create { by: By::Us, pending: false, seated: false };
const OURS_REQUESTED: What = What::Create { by: By::Us, pending: true, seated: false };
const THEIRS: What = What::Create { by: By::Customer, pending: false, seated: false };
const THEIRS_SEATED: What = What::Create { by: By::Customer, pending: false, seated: true };
const MOVED: What = What::Move { by: By::Customer, pending: false };
const MOVED_BY_US: What = What::Move { by: By::Us, pending: false };
const MOVED_REQUESTED: What = What::Move { by: By::Staff, pending: true };
const CANCELLED: What = What::Cancel { by: By::Customer, series: false };

fn case(was: &'static str, steps: &[What], order: &[usize]) -> Case {
    let life = Life::of(1_000, steps);
    let told = life.told();
    Case { was, line: order.iter().map(|index| told[*index].clone()).collect(), life }
}

/// The first that is heard is a copy, which Cal.com stamped later (calcom reference 2.1).
fn copy_first(mut case: Case) -> Case {
    let copy = &mut case.line[0];
    copy.fact.told_at += Duration::milliseconds(761);
    copy.provenance.occurred_at = copy.fact.told_at;
    case
}

/// Every case.
pub fn once_failed() -> Vec<Case> {
    vec![
        case("the confirmation overtook its request and stayed the booking", &[OURS_REQUESTED, What::Confirm], &[2, 1, 0]),
        case("the host's request for another time was lost beside the cancellation", &[THEIRS, What::AskForAnotherTime, CANCELLED], &[0, 2, 1]),
        case("the host's request for another time was lost beside the move", &[THEIRS, What::AskForAnotherTime, MOVED], &[2, 1, 0]),
        case("an absence held that had been taken back before it was heard of", &[THEIRS, What::NoShow, What::NoShowTakenBack], &[0, 2, 1]),
        copy_first(case("the absence was that of the copy which came first", &[THEIRS, What::NoShow], &[1, 0, 1])),
        case("what a look saw of the new host did not count", &[THEIRS, MOVED, What::Reassign], &[0, 1, 2]),
        case("the move told before its booking kept its own time as the one before", &[OURS, MOVED_BY_US], &[3, 1, 0, 2]),
        case("the move that came last left two appointments", &[THEIRS, MOVED_REQUESTED, What::Confirm], &[0, 2, 1]),
        // seed 63 of the first lives: the other was dropped as "the first seat's own, again"
        copy_first(case("of two copies of a seated booking's event the later one counted, as it came first", &[THEIRS_SEATED, What::SeatLeaves], &[0, 0, 1])),
    ]
}
