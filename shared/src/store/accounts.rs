//! Provider accounts: one Retell workspace or Cal.com organisation, shared by any number of companies.
//!
//! Not their secrets (`endpoints`, `credentials`). Called by the CLI, `companies::create` and tests.

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::person_names::ContactRule;
use crate::store::{StoreError, failed};

/// An operator sees at most this many rows of a list; more accounts than this is another product.
pub(super) const LIST_MAX: i64 = 1_000;

/// Whose account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Retell,
    Calcom,
}

impl Provider {
    pub const ALL: [Self; 2] = [Self::Retell, Self::Calcom];

    /// The name in tables and URL paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retell => "retell",
            Self::Calcom => "calcom",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    pub(super) fn of_column(table: &'static str, name: &str) -> Result<Self, StoreError> {
        Self::parse(name).ok_or(StoreError::BadRow { table, column: "provider" })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    pub id: Uuid,
    pub provider: Provider,
    pub label: String,
}

/// The account of that label, made if it is not there yet.
///
/// # Errors
/// When Postgres is away.
pub async fn get_or_create(connection: &mut PgConnection, provider: Provider, label: &str) -> Result<Uuid, StoreError> {
    sqlx::query("INSERT INTO provider_accounts (id, provider, label) VALUES ($1, $2, $3) ON CONFLICT (provider, label) DO NOTHING")
        .bind(Uuid::now_v7())
        .bind(provider.name())
        .bind(label)
        .execute(&mut *connection)
        .await
        .map_err(failed("add a provider account"))?;
    sqlx::query_scalar("SELECT id FROM provider_accounts WHERE provider = $1 AND label = $2")
        .bind(provider.name())
        .bind(label)
        .fetch_one(connection)
        .await
        .map_err(failed("find a provider account"))
}

/// As [`get_or_create`], for callers outside this room. The flag tells whether it was new.
///
/// # Errors
/// When Postgres is away.
pub async fn add(pool: &PgPool, provider: Provider, label: &str) -> Result<(Account, bool), StoreError> {
    let before = find(pool, &format!("{provider}/{label}")).await?;
    let mut connection = pool.acquire().await.map_err(failed("connect"))?;
    let id = get_or_create(&mut connection, provider, label).await?;
    Ok((Account { id, provider, label: label.to_owned() }, before.is_empty()))
}

/// Accounts by id, by `provider/label`, or by label alone: none, one, or two (a label of both providers).
///
/// # Errors
/// When Postgres is away.
pub async fn find(pool: &PgPool, name: &str) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT id, provider, label FROM provider_accounts WHERE id::text = $1 OR label = $1 OR provider || '/' || label = $1 ORDER BY provider LIMIT $2",
    )
    .bind(name)
    .bind(LIST_MAX)
    .fetch_all(pool)
    .await
    .map_err(failed("find a provider account"))?;
    rows.into_iter().map(account).collect()
}

/// Every account, by provider and label.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as("SELECT id, provider, label FROM provider_accounts ORDER BY provider, label LIMIT $1")
        .bind(LIST_MAX)
        .fetch_all(pool)
        .await
        .map_err(failed("list the provider accounts"))?;
    rows.into_iter().map(account).collect()
}

/// Says which contact the booking forms of a Cal.com account demand; every booking from now on goes by it. `false`: there is no such account of Cal.com.
///
/// # Errors
/// When Postgres is away.
pub async fn set_contact_rule(pool: &PgPool, account_id: Uuid, rule: ContactRule) -> Result<bool, StoreError> {
    let changed = sqlx::query("UPDATE provider_accounts SET contact_rule = $2 WHERE id = $1 AND provider = 'calcom'")
        .bind(account_id)
        .bind(rule.literal())
        .execute(pool)
        .await
        .map_err(failed("set an account's contact rule"))?;
    Ok(changed.rows_affected() == 1)
}

fn account((id, provider, label): (Uuid, String, String)) -> Result<Account, StoreError> {
    Ok(Account { id, provider: Provider::of_column("provider_accounts", &provider)?, label })
}
