//! Whether Postgres answers: one small question a second over a connection of its own, for as long as the process lives.
//!
//! A peer that vanishes without a word (a stopped server, a cut network; faults D4) breaks nothing by itself: sqlx waits for ever on a connection that is in
//! use, and for ever on one that is given back (sqlx #4349); it sets no keepalive, and the server's own time limits are not heard. So whoever waits for Postgres
//! listens to the pulse as well, and the pools made with it ([`super::connect_watched`]) give up every connection that is older than the last silence.
//! Not a health check of queries: a slow statement is bounded by the server, and a busy pool is no silence. Called by the workers' runtime.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::store::{StoreError, failed};

/// Between two looks; also how late a return is noticed by those who do not ask.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Those who ask are many after an outage: together they get at most ten looks a second.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Connecting included. A healthy server needs a hundredth of it even when it is busy.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// One late answer may be a loaded machine; the second in a row is silence, declared at most eight seconds after it began.
const SILENT_AFTER: u32 = 2;
/// A look and the one that may be under way when it is asked for.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Cheap to clone; all clones feel the same pulse.
#[derive(Clone)]
pub struct Pulse(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    asked: Notify,
    answers: IntGauge,
    silences: IntCounter,
    bypasses_rls: IntGauge,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    answers: bool,
    /// Looks that ran into their time limit, in a row.
    missed: u32,
    /// One of them did since the last answer.
    late: bool,
    /// Silences declared, and when the last one was.
    silences: u64,
    silent_at: Option<Instant>,
    /// Looks begun and ended, for those who wait for a fresh one.
    begun: u64,
    ended: u64,
}

impl State {
    const fn is_silent(&self) -> bool {
        self.missed >= SILENT_AFTER
    }

    fn declare_silence(&mut self) {
        self.silences += 1;
        self.silent_at = Some(Instant::now());
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Pulse").field(&*self.0.state.borrow()).finish()
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// A pulse that nobody feels yet: Postgres does not answer, and is not silent either.
    #[must_use]
    pub fn new() -> Self {
        const FIXED: &str = "name and help are fixed and well formed";
        Self(Arc::new(Inner {
            state: watch::Sender::default(),
            asked: Notify::new(),
            answers: IntGauge::new("frontdesk_database_answers", "1 while Postgres answers").expect(FIXED),
            silences: IntCounter::new("frontdesk_database_silences_total", "Times that Postgres fell silent and its connections were given up").expect(FIXED),
            bypasses_rls: IntGauge::new("frontdesk_database_role_bypasses_rls", "1 if the sessions of this process may pass row-level security: never")
                .expect(FIXED),
        }))
    }

    /// Adds the pulse's metrics to a registry.
    ///
    /// # Errors
    /// Another pulse is registered there.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.0.answers.clone()))?;
        registry.register(Box::new(self.0.silences.clone()))?;
        registry.register(Box::new(self.0.bypasses_rls.clone()))
    }

    /// Whether Postgres answered last time.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.0.state.borrow().answers
    }

    /// Resolves when Postgres falls silent, at once if it is: what waits for it on the connections of now waits in vain.
    pub async fn silence(&self) {
        let mut states = self.0.state.subscribe();
        let silences = states.borrow().silences;
        // an error would mean that the sender is gone, which we hold
        let _ = states.wait_for(|state| state.is_silent() || state.silences > silences).await;
    }

    /// Waits for the end of a look that begins from now on; false also if nobody looks.
    pub async fn look(&self) -> bool {
        let mut states = self.0.state.subscribe();
        let begun = states.borrow_and_update().begun;
        self.0.asked.notify_one();
        let looked = timeout(ANSWER_MAX, states.wait_for(|state| state.ended > begun)).await;
        matches!(looked, Ok(Ok(state)) if state.answers)
    }

    /// Somebody met an error: look soon, and let readiness tell.
    pub fn doubt(&self) {
        self.0.asked.notify_one();
    }

    /// Work that waits for Postgres, given up when Postgres falls silent. What it held is closed by the pool; what it did is unknown.
    ///
    /// # Errors
    /// What the work says, or that Postgres is silent (which is [`StoreError::is_unavailable`]).
    pub async fn answered<T, E: From<StoreError>>(&self, operation: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.silence() => Err(StoreError::Silent { operation }.into()),
        }
    }

    /// Whether a connection of that age may still be used: none that a silence has met.
    pub(super) fn trusts(&self, age: Duration) -> bool {
        self.0.state.borrow().silent_at.is_none_or(|at| age < at.elapsed())
    }

    /// Looks until `stop`. One task per process.
    ///
    /// # Errors
    /// The URL cannot be read; nothing else ends it before `stop`.
    pub async fn feel(self, url: &str, role: Option<&str>, name: &str, stop: CancellationToken) -> Result<(), StoreError> {
        let options = super::session_options(url, role, &format!("{name} pulse"))?;
        let mut connection: Option<PgConnection> = None;
        loop {
            self.0.state.send_modify(|state| state.begun += 1);
            // the connection goes with a look that is given up: what it would answer later is nobody's business
            let looked = tokio::select! {
                looked = timeout(LOOK_MAX, look(&options, connection.take())) => looked,
                () = stop.cancelled() => return Ok(()),
            };
            match looked {
                Ok(Ok((kept, bypasses))) => {
                    connection = Some(kept);
                    self.heard(bypasses);
                }
                Ok(Err(error)) => self.not_heard(&error, false),
                Err(_) => self.not_heard(&StoreError::Silent { operation: "ask whether Postgres answers" }, true),
            }
            let waiting = async {
                tokio::time::sleep(LOOK_PAUSE_MIN).await;
                let _ = timeout(LOOK_EVERY, self.0.asked.notified()).await;
            };
            tokio::select! {
                () = waiting => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn heard(&self, bypasses_rls: bool) {
        if bypasses_rls {
            tracing::error!("the sessions of this process may pass row-level security");
        }
        self.0.bypasses_rls.set(bypasses_rls.into());
        self.0.answers.set(1);
        let mut before = State::default();
        self.0.state.send_modify(|state| {
            before = *state;
            *state = State { answers: true, missed: 0, late: false, ended: state.begun, ..*state };
            if before.late && !before.is_silent() {
                // The connection that did not answer was given up, and a new one answers: the peer of the old ones is gone (a failover), or was stopped for a
                // moment. Nobody tells them; to begin again on new ones costs little.
                state.declare_silence();
            }
        });
        if before.late && !before.is_silent() {
            self.0.silences.inc();
            tracing::warn!("the database answers new connections only: the old ones are given up");
        }
        if !before.answers {
            tracing::info!("the database answers");
        }
    }

    fn not_heard(&self, error: &StoreError, silent: bool) {
        self.0.answers.set(0);
        let mut before = State::default();
        self.0.state.send_modify(|state| {
            before = *state;
            let missed = if silent { state.missed.saturating_add(1) } else { 0 };
            *state = State { answers: false, missed, late: state.late || silent, ended: state.begun, ..*state };
            if missed == SILENT_AFTER {
                state.declare_silence();
            }
        });
        if before.answers {
            tracing::warn!(class = error.class(), "the database does not answer; deliveries are held until it does");
        }
        if silent && before.missed + 1 == SILENT_AFTER {
            self.0.silences.inc();
            tracing::error!("the database is silent: its connections are given up, and whatever waits on them begins again when it is back");
        }
    }
}

/// Asks over the kept connection, or over a new one. The answer: may these sessions pass row-level security?
async fn look(options: &PgConnectOptions, kept: Option<PgConnection>) -> Result<(PgConnection, bool), StoreError> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => options.connect().await.map_err(failed("connect to ask whether Postgres answers"))?,
    };
    let bypasses: bool = sqlx::query_scalar("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        .fetch_one(&mut connection)
        .await
        .map_err(failed("ask whether Postgres answers"))?;
    Ok((connection, bypasses))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: StoreError = StoreError::Silent { operation: "x" };

    #[tokio::test]
    async fn the_second_late_answer_in_a_row_is_silence_and_an_answer_ends_it() {
        let pulse = Pulse::new();
        pulse.heard(false);
        pulse.not_heard(&LATE, true);
        assert!(!pulse.answers() && !pulse.0.state.borrow().is_silent() && pulse.trusts(Duration::from_secs(3600)));
        pulse.not_heard(&LATE, true);
        let waiting = pulse.answered::<(), StoreError>("wait", std::future::pending()).await;
        assert!(matches!(waiting, Err(StoreError::Silent { operation: "wait" })));
        assert!(!pulse.trusts(Duration::from_secs(3600)), "a connection that the silence has met");
        pulse.heard(false);
        assert!(pulse.answers() && !pulse.trusts(Duration::from_secs(3600)) && pulse.trusts(Duration::ZERO));
        assert_eq!(pulse.0.silences.get(), 1);
    }

    #[tokio::test]
    async fn a_refused_connection_is_no_silence() {
        let pulse = Pulse::new();
        for _ in 0..5 {
            pulse.not_heard(&StoreError::SchemaMissing, false);
        }
        assert!(!pulse.answers() && !pulse.0.state.borrow().is_silent());
        pulse.heard(false);
        assert!(pulse.trusts(Duration::from_secs(3600)), "what a restart broke says so itself");
        assert_eq!(pulse.0.silences.get(), 0);
    }

    #[tokio::test]
    async fn an_old_connection_that_is_late_while_a_new_one_answers_means_that_the_old_ones_are_dead() {
        let pulse = Pulse::new();
        pulse.heard(false);
        let waiting = tokio::spawn({
            let pulse = pulse.clone();
            async move { pulse.answered::<(), StoreError>("wait", std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        pulse.not_heard(&LATE, true);
        pulse.heard(false);
        assert!(waiting.await.unwrap().is_err());
        assert!(pulse.answers() && !pulse.trusts(Duration::from_secs(3600)));
        // new work is not disturbed by what is over
        assert!(
            pulse
                .answered::<(), StoreError>("work", async {
                    tokio::task::yield_now().await;
                    Ok(())
                })
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_look_waits_for_one_that_began_after_it_was_asked_for() {
        let pulse = Pulse::new();
        pulse.0.state.send_modify(|state| state.begun += 1);
        let (asked, answer) = (
            pulse.clone(),
            tokio::spawn({
                let pulse = pulse.clone();
                async move { pulse.look().await }
            }),
        );
        asked.0.asked.notified().await;
        // the look that was under way says yes, the next one no: the second is the answer
        asked.heard(false);
        asked.0.state.send_modify(|state| state.begun += 1);
        asked.not_heard(&LATE, true);
        assert!(!answer.await.unwrap());
    }
}
