//! A Retell account, opened: one request at a time, each paid for from the budget that all processes share. Retell's limits are unpublished; the default rate
//! of a credential (114 a minute, reference/retell.md 6.6 suggests 2 to 5 a second) is below every figure that was seen.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::config::Retell;
use shared::envelope::Lane;
use shared::retell::{CallQuery, RetellClient, RetellError};
use shared::secret::SecretString;
use shared::store::budgets::{self, Taken};
use shared::store::records::ApiCall;
use shared::store::{StoreError, credentials, jobs, records};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::trouble;
use crate::runtime::{Context, Failure};

/// The longest that one call or page takes: the wait for a token, and the request (`RETELL_TIMEOUT_MS` as shipped).
#[cfg(test)]
pub(super) const STEP_LONGEST: Duration = Duration::from_secs(TOKEN_WAIT_MAX.as_secs() + 10);
/// Longer than this is no queue but a block or an outage: the next run asks again.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Retell said 429 and not for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(30);
/// A rejected key is a matter for a human; until then the account rests.
const REJECTED_PAUSE: Duration = Duration::from_secs(60);

/// An account that can be asked.
pub(super) struct Account {
    pub credential_id: Uuid,
    /// Whose webhooks are compared; it proves companies as it does for webhooks.
    pub endpoint_id: Uuid,
    client: RetellClient,
    api_key: SecretString,
    pool: PgPool,
}

/// What Retell answered about a call, and when it was asked (by the database's clock).
pub(super) struct Answer {
    /// `None`: Retell does not know the call, or no longer.
    pub body: Option<Vec<u8>>,
    pub asked_at: DateTime<Utc>,
    pub record: ApiCall,
}

impl Account {
    /// `None`: the key is gone.
    ///
    /// # Errors
    /// The key does not open; Postgres is away.
    pub async fn open(context: &Context, credential_id: Uuid, endpoint_id: Uuid) -> Result<Option<Self>, Failure> {
        let Some(keyring) = &context.keyring else { return Err(Failure::retry("no_master_keys")) };
        let credential = match credentials::open(&context.pool, keyring, credential_id).await {
            Ok(Some(credential)) => credential,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Secret(_)) => return Err(Failure::Retry { class: trouble::KEY_SEALED, cause: Some(Box::new(error)) }),
            Err(error) => return Err(error.into()),
        };
        let config = Retell { base_url: credential.base_url, ..context.config.retell.clone() };
        let client = RetellClient::new(&config).map_err(|error| Failure::Retry { class: "retell_client", cause: Some(Box::new(error)) })?;
        Ok(Some(Self { credential_id, endpoint_id, client, api_key: credential.api_key, pool: context.pool.clone() }))
    }

    /// Asks about one call.
    ///
    /// # Errors
    /// Retell is away, throttles or refuses; the budget is spent; Postgres is away.
    pub async fn call(&self, retell_call_id: &str) -> Result<Answer, Failure> {
        self.take_token().await?;
        let asked_at = jobs::now(&self.pool).await?;
        let begun = Instant::now();
        let answer = self.client.get_call(&self.api_key, retell_call_id).await;
        let record = self.record("get_call", begun, answer.as_ref().err());
        let body = self.settle(answer, &record).await?;
        let record = ApiCall { status: body.is_none().then_some(422), error_class: body.is_none().then_some("unknown_call"), ..record };
        Ok(Answer { body, asked_at, record })
    }

    /// A page of the list.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn page(&self, query: &CallQuery) -> Result<Vec<u8>, Failure> {
        self.take_token().await?;
        let begun = Instant::now();
        let answer = self.client.list_calls(&self.api_key, query).await;
        let record = self.record("list_calls", begun, answer.as_ref().err());
        let body = self.settle(answer, &record).await?;
        // it is of all companies of the account, and so of none
        records::insert_account_request(&self.pool, &record).await?;
        Ok(body)
    }

    fn record(&self, operation: &'static str, begun: Instant, error: Option<&RetellError>) -> ApiCall {
        ApiCall {
            intent_id: None,
            credential_id: self.credential_id,
            provider: "retell",
            operation,
            lane: Lane::Bulk,
            status: error.and_then(status),
            error_class: error.map(class),
            provider_request_id: None,
            took_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }

    async fn take_token(&self) -> Result<(), Failure> {
        let until = Instant::now() + TOKEN_WAIT_MAX;
        loop {
            match budgets::take(&self.pool, self.credential_id, Lane::Bulk).await? {
                Taken::Token => return Ok(()),
                Taken::Wait(pause) if Instant::now() + pause > until => return Err(Failure::retry(trouble::BUDGET)),
                Taken::Wait(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    /// Tells the budget what became of a request, and records one that failed: whoever asked has nothing to record it with.
    async fn settle<T>(&self, answer: Result<T, RetellError>, record: &ApiCall) -> Result<T, Failure> {
        let (pool, id) = (&self.pool, self.credential_id);
        match &answer {
            Err(RetellError::Throttled { retry_after, .. }) => budgets::block(pool, id, retry_after.unwrap_or(THROTTLED_PAUSE)).await?,
            Err(RetellError::CredentialRejected { .. }) => budgets::block(pool, id, REJECTED_PAUSE).await?,
            Err(RetellError::Unavailable { .. }) => drop(budgets::failed(pool, id).await?),
            Ok(_) | Err(_) => budgets::succeeded(pool, id).await?,
        }
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                records::insert_account_request(pool, record).await?;
                Err(Failure::Retry { class: class(&error), cause: Some(Box::new(error)) })
            }
        }
    }
}

const fn class(error: &RetellError) -> &'static str {
    match error {
        RetellError::Throttled { .. } => trouble::THROTTLED,
        RetellError::CredentialRejected { .. } => trouble::KEY_REJECTED,
        RetellError::Unavailable { .. } => trouble::UNAVAILABLE,
        RetellError::Refused { .. } | RetellError::TooLarge { .. } | RetellError::Unsendable { .. } | RetellError::Client(_) => trouble::REFUSED,
    }
}

const fn status(error: &RetellError) -> Option<u16> {
    match error {
        RetellError::Throttled { .. } => Some(429),
        RetellError::CredentialRejected { status, .. } | RetellError::Refused { status, .. } => Some(*status),
        RetellError::Unavailable { status, .. } => *status,
        RetellError::TooLarge { .. } | RetellError::Unsendable { .. } | RetellError::Client(_) => None,
    }
}
