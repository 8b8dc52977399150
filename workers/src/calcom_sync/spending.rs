//! Requests that are paid for: no request to Cal.com leaves without a token of its credential's budget, and what became of it is told to all processes at once
//! (architecture section 8, 6).
//!
//! Not the budget (`shared::store::budgets`), not what an answer means (`verdict`), not a sweep's requests (`sweep::reader`). Called by `carry_out`.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use shared::calcom::CalcomError;
use shared::envelope::Lane;
use shared::store::budgets::{self, Taken};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::budget_metrics::{BudgetMetrics, Purpose};
use super::verdict::{Word, word};

/// The further requests of a job wait so long for their tokens at most; then the job starts over later. Longer would hold its place among those under way for nothing.
const TOKEN_PATIENCE: Duration = Duration::from_secs(10);

/// The purse of one job: whose budget it spends. The job's lease paid for its first request.
pub(super) struct Spending<'a> {
    pool: &'a PgPool,
    metrics: &'a BudgetMetrics,
    credential_id: Uuid,
    lane: Lane,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The request that the lease paid for was made.
    begun: bool,
    under_way: bool,
    /// For tokens, over all requests of the job.
    waited: Duration,
    /// The brake holds: until the next probe.
    probe: Option<Duration>,
}

impl<'a> Spending<'a> {
    pub(super) fn new(pool: &'a PgPool, metrics: &'a BudgetMetrics, credential_id: Uuid, lane: Lane) -> Self {
        Self { pool, metrics, credential_id, lane, state: Mutex::default() }
    }

    /// Makes one request when there is a token for it, and tells what became of it.
    ///
    /// # Errors
    /// The request's own, or [`CalcomError::Withheld`] when there is no token for it in time.
    pub(super) async fn request<T>(&self, purpose: Purpose, request: impl Future<Output = Result<T, CalcomError>>) -> Result<T, CalcomError> {
        let further = std::mem::replace(&mut self.state().begun, true);
        if further {
            self.token().await?;
        }
        self.state().under_way = true;
        let result = request.await;
        self.state().under_way = false;
        self.tell(if further { Purpose::Further } else { purpose }, word(result.as_ref().err())).await;
        result
    }

    /// The job's time is over. Whether Cal.com had it: a request was under way, and not the wait for a token.
    pub(super) async fn gave_up(&self, purpose: Purpose) -> bool {
        let under_way = self.state().under_way;
        if under_way {
            self.tell(purpose, Word::Fails).await;
        }
        under_way
    }

    /// Nothing of this account for that long: its key cannot be opened.
    pub(super) async fn rest(&self, pause: Duration) {
        if let Err(error) = budgets::block(self.pool, self.credential_id, pause).await {
            tracing::warn!(credential.id = %self.credential_id, class = error.class(), "the account's rest could not be recorded");
        }
    }

    /// The brake holds: how long until the next probe.
    pub(super) fn probe(&self) -> Option<Duration> {
        self.state().probe
    }

    async fn token(&self) -> Result<(), CalcomError> {
        let began = Instant::now();
        let patience = TOKEN_PATIENCE.saturating_sub(self.state().waited);
        let result = loop {
            let wait = match budgets::take_further(self.pool, self.credential_id, self.lane).await {
                Ok(Taken::Token) => break Ok(()),
                Ok(Taken::Wait(wait)) => wait,
                Err(error) => {
                    tracing::warn!(credential.id = %self.credential_id, class = error.class(), "no token could be taken");
                    break Err(CalcomError::Withheld { wait: TOKEN_PATIENCE });
                }
            };
            if began.elapsed() + wait > patience {
                break Err(CalcomError::Withheld { wait });
            }
            tokio::time::sleep(wait).await;
        };
        self.metrics.waited(began.elapsed());
        self.state().waited += began.elapsed();
        result
    }

    async fn tell(&self, purpose: Purpose, word: Word) {
        self.metrics.requested(purpose, word);
        let told = match word {
            Word::Answers => budgets::succeeded(self.pool, self.credential_id).await,
            Word::Rests(pause) => budgets::block(self.pool, self.credential_id, pause).await,
            Word::Fails => budgets::failed(self.pool, self.credential_id).await.map(|probe| self.state().probe = probe),
            Word::Nothing => Ok(()),
        };
        if let Err(error) = told {
            // Postgres is away: then nobody leases either, and the next outcome tells it again
            tracing::warn!(credential.id = %self.credential_id, class = error.class(), "what became of a request could not be told");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
