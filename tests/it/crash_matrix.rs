//! Every checkpoint × book, move, cancel × crash, error, duplicate, generated from the one list of checkpoints: whatever happens there, Cal.com is changed exactly
//! once for each wish, and each is recorded once, with its call, its answer, and nothing left for a human.
//!
//! Faults C1 and C3, incidents 1, 2, 11, 15 and 28. A test per checkpoint (`matrix!`); a checkpoint without one does not compile.

mod arena;

use arena::{Arena, Whose};
use dev::calcom_stand_in::EchoOrder;
use workers::runtime::checkpoint::{Checkpoint, Fault};

macro_rules! matrix {
    ($($name:ident: $checkpoint:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                at(Checkpoint::$checkpoint).await;
            }
        )*

        /// The tests above. Exhaustive: a new checkpoint needs a line in `matrix!`.
        const fn test_of(checkpoint: Checkpoint) -> &'static str {
            match checkpoint {
                $(Checkpoint::$checkpoint => stringify!($name),)*
            }
        }
    };
}

matrix! {
    a_fault_after_a_message_is_consumed_changes_nothing: AfterConsume,
    a_fault_before_the_commit_changes_nothing: BeforeCommit,
    a_fault_after_the_commit_changes_nothing: AfterCommit,
    a_fault_after_the_outbox_is_published_changes_nothing: AfterOutboxPublish,
    a_fault_before_the_ack_changes_nothing: BeforeAck,
    a_fault_after_a_retry_is_published_changes_nothing: AfterDelayPublish,
    a_fault_after_the_intent_is_marked_as_sent_changes_nothing: AfterIntentCommit,
    a_fault_right_before_the_call_changes_nothing: BeforeCall,
    a_fault_between_call_and_commit_changes_nothing: AfterCall,
    a_fault_after_the_result_is_recorded_changes_nothing: AfterResultCommit,
}

/// All cells of one checkpoint, in one world: a life (book, move, cancel) for each fault, and for each message or step that meets the checkpoint.
async fn at(checkpoint: Checkpoint) {
    let mut arena = Arena::new(checkpoint).await;
    for fault in Fault::ALL {
        for (whose, echoes) in passages(checkpoint) {
            arena.live(fault, *whose, *echoes).await;
        }
    }
    arena.finish().await;
}

/// Who comes by there, and what becomes of Cal.com's echoes meanwhile. Lost ones leave the intent and the search to find out what Cal.com did; those that come
/// before the answer race with it.
const fn passages(checkpoint: Checkpoint) -> &'static [(Whose, EchoOrder)] {
    match checkpoint {
        Checkpoint::AfterConsume
        | Checkpoint::BeforeCommit
        | Checkpoint::AfterCommit
        | Checkpoint::AfterOutboxPublish
        | Checkpoint::BeforeAck
        | Checkpoint::AfterDelayPublish => &[(Whose::Wish, EchoOrder::After), (Whose::Doorbell, EchoOrder::Lose), (Whose::Echo, EchoOrder::Before)],
        Checkpoint::AfterIntentCommit | Checkpoint::BeforeCall | Checkpoint::AfterResultCommit => &[(Whose::Intent, EchoOrder::Lose)],
        Checkpoint::AfterCall => &[(Whose::Intent, EchoOrder::Lose), (Whose::Intent, EchoOrder::Before)],
    }
}

#[test]
fn each_checkpoint_has_a_test_and_stands_at_one_place() {
    let mut names: Vec<&str> = Checkpoint::ALL.into_iter().map(test_of).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Checkpoint::ALL.len(), "a test each");
    let code = arena::code_of_the_workers();
    for checkpoint in Checkpoint::ALL {
        let place = format!("Checkpoint::{checkpoint:?}");
        let places = code.matches(&format!("{place},")).count() + code.matches(&format!("{place})")).count();
        assert_eq!(places, 1, "{place} is reached at one place");
    }
}
