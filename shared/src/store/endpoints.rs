//! Endpoints and their sealed secrets, as ingress reads them: the whole table at once, and word when it changes.
//!
//! Read only; adding and rotating is `setup`, the side of the operator. Secrets stay sealed here: who opens them holds the key ring. Called by `ingress::secrets`.

mod setup;

pub use setup::{EndpointSummary, add, disable, list, rotate_secret};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::{StoreError, failed};
use crate::secret::Sealed;

/// More endpoints than this are not loaded: ingress keeps all of them in memory, and no installation we know comes near.
const ENDPOINT_SECRETS_MAX: i64 = 100_000;
const CHANGED: &str = "endpoints_changed";

/// Whose requests an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointProvider {
    Retell,
    Calcom,
}

/// An endpoint that takes requests (disabled ones are left out).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRow {
    pub id: Uuid,
    pub provider: EndpointProvider,
    pub secrets: Vec<EndpointSecretRow>,
}

/// One secret of an endpoint, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecretRow {
    pub id: Uuid,
    /// Live until then; `None`: without end.
    pub not_after: Option<DateTime<Utc>>,
    key_id: String,
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl EndpointSecretRow {
    /// What the key ring opens.
    #[must_use]
    pub fn sealed(&self) -> Sealed {
        Sealed { key_id: self.key_id.clone(), nonce: self.nonce.clone(), ciphertext: self.ciphertext.clone() }
    }

    /// The row to which the ciphertext is bound.
    #[must_use]
    pub fn aad(&self) -> String {
        format!("endpoint_secrets/{}", self.id)
    }

    /// A row as it would come from the table, for tests of its readers.
    #[must_use]
    pub fn new(id: Uuid, not_after: Option<DateTime<Utc>>, sealed: Sealed) -> Self {
        Self { id, not_after, key_id: sealed.key_id, nonce: sealed.nonce, ciphertext: sealed.ciphertext }
    }
}

/// Reads endpoints from one database.
#[derive(Clone, Debug)]
pub struct EndpointReader(PgPool);

impl EndpointReader {
    /// Two connections are enough: one reads, one listens.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// See [`load_all`].
    ///
    /// # Errors
    /// As [`load_all`].
    pub async fn load_all(&self) -> Result<Vec<EndpointRow>, StoreError> {
        load_all(&self.0).await
    }

    /// See [`EndpointChanges::listen`].
    ///
    /// # Errors
    /// As [`EndpointChanges::listen`].
    pub async fn listen(&self) -> Result<EndpointChanges, StoreError> {
        EndpointChanges::listen(&self.0).await
    }
}

/// Every endpoint that is not disabled, with every secret that has not ended by the database's clock, in a fixed order.
///
/// # Errors
/// The database cannot be asked, or holds a provider that this version does not know.
pub async fn load_all(pool: &PgPool) -> Result<Vec<EndpointRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT e.id, e.provider, s.id AS secret_id, s.key_id, s.nonce, s.ciphertext, s.not_after
         FROM endpoints e LEFT JOIN endpoint_secrets s ON s.endpoint_id = e.id AND (s.not_after IS NULL OR s.not_after > now())
         WHERE e.disabled_at IS NULL ORDER BY e.id, s.id LIMIT $1",
    )
    .bind(ENDPOINT_SECRETS_MAX)
    .fetch_all(pool)
    .await
    .map_err(failed("load the endpoints"))?;
    let mut endpoints: Vec<EndpointRow> = Vec::new();
    for row in rows {
        let read = failed("read an endpoint");
        let (id, secret) = (|| Ok((row.try_get("id")?, secret_of(&row)?)))().map_err(read)?;
        if endpoints.last().is_none_or(|last| last.id != id) {
            endpoints.push(EndpointRow { id, provider: provider_of(&row)?, secrets: Vec::new() });
        }
        if let (Some(endpoint), Some(secret)) = (endpoints.last_mut(), secret) {
            endpoint.secrets.push(secret);
        }
    }
    Ok(endpoints)
}

fn provider_of(row: &sqlx::postgres::PgRow) -> Result<EndpointProvider, StoreError> {
    match row.try_get("provider").map_err(failed("read an endpoint"))? {
        "retell" => Ok(EndpointProvider::Retell),
        "calcom" => Ok(EndpointProvider::Calcom),
        _ => Err(StoreError::BadRow { table: "endpoints", column: "provider" }),
    }
}

fn secret_of(row: &sqlx::postgres::PgRow) -> Result<Option<EndpointSecretRow>, sqlx::Error> {
    let Some(id) = row.try_get("secret_id")? else {
        return Ok(None);
    };
    Ok(Some(EndpointSecretRow {
        id,
        not_after: row.try_get("not_after")?,
        key_id: row.try_get("key_id")?,
        nonce: row.try_get("nonce")?,
        ciphertext: row.try_get("ciphertext")?,
    }))
}

/// Hears that endpoints or their secrets changed. Only a hint: who must not miss a change polls too.
pub struct EndpointChanges(PgListener);

impl EndpointChanges {
    /// Listens on a connection of its own out of the pool.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn listen(pool: &PgPool) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(pool).await.map_err(failed("connect to hear of endpoint changes"))?;
        listener.listen(CHANGED).await.map_err(failed("listen for endpoint changes"))?;
        Ok(Self(listener))
    }

    /// Returns at the next change.
    ///
    /// # Errors
    /// The connection broke: listen again.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match self.0.try_recv().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(failed("hear of endpoint changes")(sqlx::Error::PoolClosed)),
            Err(error) => Err(failed("hear of endpoint changes")(error)),
        }
    }
}
