//! Messages to publish, written in the transaction that causes them and deleted when the broker has confirmed them.
//!
//! Not the publishing (that is the workers' runtime: its own rows right after the commit, and a relay for what a dead process left behind).

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::broker::topology::{self, QueueName};
use crate::envelope::{Envelope, Kind, Lane, MessageId, SCHEMA_VERSION};
use crate::store::{StoreError, failed};

/// The relay takes at most this many rows in one transaction: they are published at once, and each waits at most one confirm timeout.
pub const RELAY_ROWS_MAX: i64 = 100;

/// One message of ours. Nobody waits for it: it has no deadline and no reply address.
#[derive(Clone, Debug)]
pub struct OutboxMessage {
    pub id: Uuid,
    pub queue: QueueName,
    pub message_id: MessageId,
    pub kind: Kind,
    pub endpoint: Option<Uuid>,
    pub attempt: u32,
    pub received_at: DateTime<Utc>,
    pub traceparent: Option<String>,
    pub body: Bytes,
}

impl OutboxMessage {
    /// A message to the bulk queue of the kind's own role.
    #[must_use]
    pub fn new(message_id: MessageId, kind: Kind, received_at: DateTime<Utc>, body: Bytes) -> Self {
        Self {
            id: Uuid::now_v7(),
            queue: topology::queue(kind.role(), Lane::Bulk),
            message_id,
            kind,
            endpoint: None,
            attempt: 1,
            received_at,
            traceparent: None,
            body,
        }
    }

    /// The same message as part of that trace.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<&str>) -> Self {
        self.traceparent = traceparent.map(str::to_owned);
        self
    }

    /// The form in which it is published.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope {
            message_id: self.message_id.clone(),
            kind: self.kind,
            schema_version: SCHEMA_VERSION,
            endpoint: self.endpoint,
            received_at: self.received_at,
            attempt: self.attempt,
            deadline: None,
            reply_to: None,
            traceparent: self.traceparent.clone(),
            caller_gone: false,
            body: self.body.clone(),
        }
    }
}

/// Writes the messages of one transaction in one statement.
pub(crate) async fn insert(connection: &mut PgConnection, messages: &[OutboxMessage]) -> Result<(), StoreError> {
    let column = |text: fn(&OutboxMessage) -> String| messages.iter().map(text).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO outbox (id, queue, message_id, kind, endpoint_id, attempt, received_at, traceparent, body)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::timestamptz[], $8::text[], $9::bytea[])",
    )
    .bind(messages.iter().map(|message| message.id).collect::<Vec<_>>())
    .bind(column(|message| message.queue.to_string()))
    .bind(column(|message| message.message_id.to_string()))
    .bind(column(|message| message.kind.name()))
    .bind(messages.iter().map(|message| message.endpoint).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| i32::try_from(message.attempt).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| message.received_at).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| message.traceparent.clone()).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| message.body.as_ref()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(failed("insert outbox rows"))?;
    Ok(())
}

/// Deletes rows that the broker has confirmed.
///
/// # Errors
/// When Postgres is away; the relay publishes them once more then, which the inbox makes harmless.
pub async fn delete(pool: &PgPool, ids: &[Uuid]) -> Result<(), StoreError> {
    let deleted = sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(ids).execute(pool).await;
    deleted.map(|_| ()).map_err(failed("delete confirmed outbox rows"))
}

/// How many messages wait to be published.
///
/// # Errors
/// When Postgres is away.
pub async fn depth(pool: &PgPool) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(pool).await.map_err(failed("count the outbox"))
}

/// Rows left behind by a process that died or could not publish, locked so that no other relay takes them.
#[derive(Debug)]
pub struct RelayBatch {
    transaction: Transaction<'static, Postgres>,
    pub messages: Vec<OutboxMessage>,
    /// Rows whose kind or queue this version does not know: a newer process wrote them and will relay them.
    pub unknown: Vec<Uuid>,
}

/// Takes up to [`RELAY_ROWS_MAX`] rows older than `older_than`, skipping what another relay holds. Oldest first, but without a cursor: a row that commits
/// late is not passed over (architecture section 6, Outbox). `left` are rows that this look has met already and could not send: a hundred of them at the head
/// would keep all others from being seen.
///
/// # Errors
/// When Postgres is away.
pub async fn lock_stale(pool: &PgPool, older_than: Duration, left: &[Uuid]) -> Result<RelayBatch, StoreError> {
    let mut transaction = pool.begin().await.map_err(failed("begin relaying the outbox"))?;
    let rows = sqlx::query(
        "SELECT id, queue, message_id, kind, endpoint_id, attempt, received_at, traceparent, body FROM outbox
         WHERE created_at < now() - make_interval(secs => $1) AND id <> ALL($3) ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(older_than.as_secs_f64())
    .bind(RELAY_ROWS_MAX)
    .bind(left)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed("read stale outbox rows"))?;
    let mut batch = RelayBatch { transaction, messages: Vec::with_capacity(rows.len()), unknown: Vec::new() };
    for row in &rows {
        match from_row(row).map_err(failed("read an outbox row"))? {
            Some(message) => batch.messages.push(message),
            None => batch.unknown.push(row.try_get("id").map_err(failed("read an outbox row"))?),
        }
    }
    Ok(batch)
}

impl RelayBatch {
    /// Deletes the confirmed ones and lets go of the rest.
    ///
    /// # Errors
    /// When Postgres is away; they are published once more then.
    pub async fn finish(mut self, confirmed: &[Uuid]) -> Result<(), StoreError> {
        if !confirmed.is_empty() {
            let deleted = sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(confirmed).execute(&mut *self.transaction).await;
            deleted.map_err(failed("delete relayed outbox rows"))?;
        }
        self.transaction.commit().await.map_err(failed("commit relayed outbox rows"))
    }
}

fn from_row(row: &sqlx::postgres::PgRow) -> Result<Option<OutboxMessage>, sqlx::Error> {
    let queue = QueueName::parse(row.try_get("queue")?);
    let kind = Kind::parse(row.try_get("kind")?);
    let message_id = MessageId::parse(row.try_get("message_id")?);
    let (Some(queue), Some(kind), Some(message_id)) = (queue, kind, message_id) else { return Ok(None) };
    Ok(Some(OutboxMessage {
        id: row.try_get("id")?,
        queue,
        message_id,
        kind,
        endpoint: row.try_get("endpoint_id")?,
        attempt: u32::try_from(row.try_get::<i32, _>("attempt")?).unwrap_or(1).max(1),
        received_at: row.try_get("received_at")?,
        traceparent: row.try_get("traceparent")?,
        body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?),
    }))
}
