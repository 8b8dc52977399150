//! Places at which a test may make a step fail: the process dies there, the step fails once, or it runs twice. Whatever happens there must lose nothing and
//! double nothing (faults C3; `tests/it/crash_matrix.rs` has a case for each place, flow and fault).
//!
//! Nothing decides differently here unless a test asks: [`reach`] is one line that compiles to nothing in a release build. In a debug build it looks into the
//! folder that `FRONTDESK_FAULTS_DIR` names; whoever removes the file of a fault from it first is the one whose step fails, so each fault happens once.

use shared::broker::Destination;

use super::handler::{Failure, Handler};
use super::lane::{Item, Message, Worker};

/// A place between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Prepared, no transaction yet.
    AfterConsume,
    /// Handled, nothing committed.
    BeforeCommit,
    /// Committed, nothing published.
    AfterCommit,
    /// Published, the outbox rows still there.
    AfterOutboxPublish,
    /// Everything done but the ack.
    BeforeAck,
    /// A retry is in its tier, the original not acked.
    AfterDelayPublish,
    /// calcom-sync: the intent is marked as sent.
    AfterIntentCommit,
    /// calcom-sync: right before the request.
    BeforeCall,
    /// calcom-sync: the provider has done it, nothing recorded.
    AfterCall,
    /// calcom-sync: the result is recorded, nobody told.
    AfterResultCommit,
}

impl Checkpoint {
    /// Every checkpoint, in the order in which a message meets them.
    pub const ALL: [Self; 10] = [
        Self::AfterConsume,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterOutboxPublish,
        Self::BeforeAck,
        Self::AfterDelayPublish,
        Self::AfterIntentCommit,
        Self::BeforeCall,
        Self::AfterCall,
        Self::AfterResultCommit,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterConsume => "after_consume",
            Self::BeforeCommit => "before_commit",
            Self::AfterCommit => "after_commit",
            Self::AfterOutboxPublish => "after_outbox_publish",
            Self::BeforeAck => "before_ack",
            Self::AfterDelayPublish => "after_delay_publish",
            Self::AfterIntentCommit => "after_intent_commit",
            Self::BeforeCall => "before_call",
            Self::AfterCall => "after_call",
            Self::AfterResultCommit => "after_result_commit",
        }
    }
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The process is gone, as after a power cut.
    Crash,
    /// The step fails.
    Error,
    /// The step runs twice, or its message is delivered again.
    Duplicate,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Crash, Self::Error, Self::Duplicate];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Error => "error",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The variable that names the folder of the faults to come.
pub const VARIABLE: &str = "FRONTDESK_FAULTS_DIR";
/// The class of an injected failure, where a failure has one.
pub const INJECTED: &str = "injected";

/// The name of a fault's file: what shall happen, where, and to whose step (the kind of a message, the operation of an intent).
#[must_use]
pub fn file_name(fault: Fault, checkpoint: Checkpoint, subject: &str) -> String {
    format!("{}@{}@{subject}", fault.name(), checkpoint.name())
}

/// Marks a place: which fault the step there meets. A crash does not return.
#[inline]
#[must_use]
pub fn reach(checkpoint: Checkpoint, subject: impl FnOnce() -> String) -> Option<Fault> {
    #[cfg(debug_assertions)]
    return asked(checkpoint, subject);
    #[cfg(not(debug_assertions))]
    {
        let _ = (checkpoint, subject);
        None
    }
}

impl<H: Handler> Worker<H> {
    /// Marks a place in a message's way. To be duplicated is to be delivered again.
    ///
    /// # Errors
    /// If the step shall fail: a transient failure, as a lost connection would be.
    pub(super) async fn reach(&self, checkpoint: Checkpoint, message: &Message) -> Result<(), Failure> {
        match reach(checkpoint, || message.envelope.kind.name()) {
            None | Some(Fault::Crash) => Ok(()),
            Some(Fault::Error) => Err(Failure::retry(INJECTED)),
            Some(Fault::Duplicate) => {
                let again = self.context.publisher.publish(&Destination::Work(message.queue.clone()), &message.envelope).await;
                again.map_err(|error| Failure::Retry { class: INJECTED, cause: Some(Box::new(error)) })
            }
        }
    }

    /// As [`Worker::reach`], for what goes through one transaction.
    pub(super) async fn reach_all(&self, checkpoint: Checkpoint, items: &[Item<H::Work>]) -> Result<(), Failure> {
        for item in items {
            self.reach(checkpoint, &item.message).await?;
        }
        Ok(())
    }
}

#[cfg(debug_assertions)]
fn asked(checkpoint: Checkpoint, subject: impl FnOnce() -> String) -> Option<Fault> {
    static FOLDER: std::sync::LazyLock<Option<std::path::PathBuf>> = std::sync::LazyLock::new(|| std::env::var_os(VARIABLE).map(Into::into));
    let (folder, subject) = (FOLDER.as_ref()?, subject());
    let fault = Fault::ALL.into_iter().find(|fault| std::fs::remove_file(folder.join(file_name(*fault, checkpoint, &subject))).is_ok())?;
    tracing::warn!(checkpoint = checkpoint.name(), fault = fault.name(), subject, "a fault is injected: this is a test");
    if fault == Fault::Crash {
        std::process::abort();
    }
    Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_checkpoint_once_and_in_order() {
        for (place, checkpoint) in Checkpoint::ALL.into_iter().enumerate() {
            assert_eq!(checkpoint as usize, place, "{}", checkpoint.name());
        }
        // the last variant closes the list: a new one behind it makes this fail, a new one before it the line above
        assert_eq!(Checkpoint::ALL.len(), Checkpoint::AfterResultCommit as usize + 1);
    }
}
