//! Requests that are paid for: no request to Cal.com leaves without a token of its credential's budget, and what became of it is told to all processes at once
//! (architecture section 8, 6).
//!
//! Not the budget (`shared::store::budgets`), not what an answer means (`verdict`), not a sweep's requests (`sweep::reader`). Called by `carry_out`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::calcom::CalcomError;
use shared::envelope::Lane;
use shared::store::Pulse;
use shared::store::budgets::{self, Taken};
use shared::store::intents::Lease;
use sqlx::PgPool;
use tokio::time::Instant;

use super::bounds::{self, CALL_MAX, CALL_MAX_LIVE};
use super::budget_metrics::{BudgetMetrics, Purpose};
use super::verdict::{Word, word};

/// The further requests of a job wait so long for their tokens at most; then the job starts over later. Longer would hold its place among those under way for nothing.
const TOKEN_PATIENCE: Duration = Duration::from_secs(10);

/// The purse of one job: whose budget it spends. The job's lease paid for its first request.
pub(super) struct Spending<'a> {
    pool: &'a PgPool,
    pulse: &'a Pulse,
    metrics: &'a BudgetMetrics,
    lease: &'a Lease,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Token,
    under_way: bool,
    /// For tokens, over all requests of the job.
    waited: Duration,
    /// The brake holds: until the next probe.
    probe: Option<Duration>,
}

/// The token for the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    /// The lease took it, and no request was made yet.
    #[default]
    Leased,
    /// It was asked for, and the answer is not here: it may be ours.
    AskedFor,
    /// There is none, or its request was made.
    None,
}

impl<'a> Spending<'a> {
    pub(super) fn new(pool: &'a PgPool, pulse: &'a Pulse, metrics: &'a BudgetMetrics, lease: &'a Lease) -> Self {
        Self { pool, pulse, metrics, lease, state: Mutex::default() }
    }

    /// Makes one request when there is a token for it, and tells what became of it. The first one is only made if its lease is young enough for it to end in time: whoever
    /// was frozen in between must not send what somebody else has taken up.
    ///
    /// # Errors
    /// The request's own, or [`CalcomError::Withheld`] when there is no token for it in time, or no time.
    pub(super) async fn request<T>(&self, purpose: Purpose, request: impl Future<Output = Result<T, CalcomError>>) -> Result<T, CalcomError> {
        let further = self.state().token != Token::Leased;
        if further {
            self.token().await?;
        } else if bounds::left(self.lease.asked_at.elapsed()) < self.call_max() {
            return Err(CalcomError::Withheld { wait: Duration::ZERO });
        }
        {
            let mut state = self.state();
            state.token = Token::None;
            state.under_way = true;
        }
        let result = request.await;
        self.state().under_way = false;
        self.tell(if further { Purpose::Further } else { purpose }, word(result.as_ref().err())).await;
        result
    }

    /// How long one of its requests may take.
    pub(super) const fn call_max(&self) -> Duration {
        if self.lease.live { CALL_MAX_LIVE } else { CALL_MAX }
    }

    /// The job's time is over. Whether Cal.com had it: a request was under way, and not the wait for a token.
    pub(super) async fn gave_up(&self, purpose: Purpose) -> bool {
        let under_way = self.state().under_way;
        if under_way {
            self.tell(purpose, Word::Fails).await;
        }
        under_way
    }

    /// The job has ended, however: what it was given and made no request with goes back, above all the probe of an outage, which others wait for. `true`: something did.
    pub(super) async fn close(&self) -> bool {
        let tokens = match self.state().token {
            Token::Leased => 1,
            // too many tokens would overrun Cal.com's window; one too few is refilled in half a second
            Token::AskedFor => 0,
            Token::None => return false,
        };
        let lease = self.lease;
        let given_back = self.pulse.answered("give an unused token back", budgets::unused(self.pool, lease.credential_id, lease.holder, tokens)).await;
        if let Err(error) = given_back {
            // it is refilled, and the probe ends with the lease's time
            tracing::warn!(credential.id = %lease.credential_id, class = error.class(), "an unused token could not be given back");
        }
        true
    }

    /// Nothing of this account for that long: its key cannot be opened.
    pub(super) async fn rest(&self, pause: Duration) {
        let credential_id = self.lease.credential_id;
        if let Err(error) = self.pulse.answered("block a credential", budgets::block(self.pool, credential_id, pause)).await {
            tracing::warn!(credential.id = %credential_id, class = error.class(), "the account's rest could not be recorded");
        }
    }

    /// The brake holds: how long until the next probe.
    pub(super) fn probe(&self) -> Option<Duration> {
        self.state().probe
    }

    async fn token(&self) -> Result<(), CalcomError> {
        let (began, lease) = (Instant::now(), self.lease);
        let patience = TOKEN_PATIENCE.saturating_sub(self.state().waited);
        let lane = if lease.live { Lane::Live } else { Lane::Bulk };
        let result = loop {
            self.state().token = Token::AskedFor;
            let asked = budgets::take_further(self.pool, lease.credential_id, lane, lease.holder);
            let wait = match self.pulse.answered("take a token of a credential's budget", asked).await {
                Ok(Taken::Token) => break Ok(()),
                Ok(Taken::Wait(wait)) => wait,
                Err(error) => {
                    tracing::warn!(credential.id = %lease.credential_id, class = error.class(), "no token could be taken");
                    break Err(CalcomError::Withheld { wait: TOKEN_PATIENCE });
                }
            };
            self.state().token = Token::None;
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
        let credential_id = self.lease.credential_id;
        let telling = async {
            match word {
                Word::Answers => budgets::succeeded(self.pool, credential_id).await,
                Word::Rests(pause) => budgets::block(self.pool, credential_id, pause).await,
                Word::Fails => budgets::failed(self.pool, credential_id).await.map(|probe| self.state().probe = probe),
                Word::Nothing => Ok(()),
            }
        };
        if let Err(error) = self.pulse.answered("tell what became of a request", telling).await {
            // Postgres is away: then nobody leases either, and the next outcome tells it again
            tracing::warn!(credential.id = %credential_id, class = error.class(), "what became of a request could not be told");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use uuid::Uuid;

    use super::*;

    /// A process that was frozen after it took an intent up, for as long as the lease holds, must not send it: somebody else has it.
    #[tokio::test]
    async fn a_request_that_its_lease_leaves_no_time_for_is_not_made() {
        let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:9/nothing").unwrap();
        let (pulse, metrics) = (Pulse::new(), BudgetMetrics::new(&Registry::new()).unwrap());
        for (live, frozen, made) in [(false, 0, true), (false, 15, false), (true, 15, true), (true, 35, false), (true, 90, false)] {
            let asked_at = Instant::now().checked_sub(Duration::from_secs(frozen)).unwrap();
            let lease = Lease { intent_id: Uuid::nil(), company_id: Uuid::nil(), credential_id: Uuid::nil(), live, holder: Uuid::nil(), asked_at };
            let spending = Spending::new(&pool, &pulse, &metrics, &lease);
            let reached = std::cell::Cell::new(false);
            let request = async {
                reached.set(true);
                // one of which there is nothing to tell: no database here
                Err::<(), _>(CalcomError::Withheld { wait: Duration::MAX })
            };
            assert!(spending.request(Purpose::Send, request).await.is_err());
            assert_eq!(reached.get(), made, "live {live}, frozen for {frozen} s");
            assert_eq!(spending.state().token == Token::Leased, !made, "what was not made is given back");
        }
    }
}
