//! Places at which a test may kill the process: a crash between two steps must lose nothing and double nothing.
//!
//! Not a test-only branch in the product path: nothing decides differently here. [`reach`] is one line that compiles to nothing in a release build;
//! in a debug build it aborts the process, as a power cut would, if FRONTDESK_CRASH_AT names the place.

/// Every checkpoint, in the order in which a message meets them.
pub const CHECKPOINTS: [&str; 10] = [
    AFTER_CONSUME,
    BEFORE_COMMIT,
    AFTER_COMMIT,
    AFTER_OUTBOX_PUBLISH,
    BEFORE_ACK,
    AFTER_DELAY_PUBLISH,
    AFTER_INTENT_COMMIT,
    BEFORE_CALL,
    AFTER_CALL,
    AFTER_RESULT_COMMIT,
];

/// Prepared, no transaction yet.
pub const AFTER_CONSUME: &str = "after_consume";
/// Handled, nothing committed.
pub const BEFORE_COMMIT: &str = "before_commit";
/// Committed, nothing published.
pub const AFTER_COMMIT: &str = "after_commit";
/// Published, the outbox rows still there.
pub const AFTER_OUTBOX_PUBLISH: &str = "after_outbox_publish";
/// Everything done but the ack.
pub const BEFORE_ACK: &str = "before_ack";
/// A retry is in its tier, the original not acked.
pub const AFTER_DELAY_PUBLISH: &str = "after_delay_publish";
/// calcom-sync: the intent is marked as sent.
pub const AFTER_INTENT_COMMIT: &str = "after_intent_commit";
/// calcom-sync: right before the request.
pub const BEFORE_CALL: &str = "before_call";
/// calcom-sync: the provider has done it, nothing recorded.
pub const AFTER_CALL: &str = "after_call";
/// calcom-sync: the result is recorded, nobody told.
pub const AFTER_RESULT_COMMIT: &str = "after_result_commit";

/// The variable that names the checkpoint at which to die.
pub const VARIABLE: &str = "FRONTDESK_CRASH_AT";

/// Marks a place.
#[inline]
pub fn reach(name: &'static str) {
    #[cfg(debug_assertions)]
    crash_if_asked(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
fn crash_if_asked(name: &'static str) {
    static ASKED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let asked = ASKED.get_or_init(|| std::env::var(VARIABLE).ok());
    if asked.as_deref() == Some(name) {
        tracing::error!(checkpoint = name, "dying here, as FRONTDESK_CRASH_AT asks");
        std::process::abort();
    }
}
