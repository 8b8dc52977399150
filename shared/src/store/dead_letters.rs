//! What a human must decide: messages that no role could or may handle, as rows that are listed, filtered and replayed.
//!
//! Written by the workers' runtime in the settling transaction; read and settled by `frontdesk dead`. No row-level security: the company may be unknown.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, Row};
use uuid::Uuid;

use crate::broker::topology::{self};
use crate::envelope::{Kind, Lane, MessageId, SCHEMA_VERSION};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A list shows at most this many rows; more are found by filtering.
pub const LIST_ROWS_MAX: i64 = 1000;
/// Details are classes and ids; longer text is cut, so that no body slips in.
const DETAIL_CHARS_MAX: usize = 200;

/// A message to park.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    pub message_id: Option<String>,
    /// As the message claims; need not be one of ours.
    pub kind: Option<String>,
    pub role: Option<&'static str>,
    pub queue: String,
    pub endpoint: Option<Uuid>,
    pub company_id: Option<Uuid>,
    pub schema_version: Option<u16>,
    pub attempt: u32,
    pub reason: String,
    /// A class or an id, never data.
    pub detail: String,
    pub body: Vec<u8>,
    pub received_at: Option<DateTime<Utc>>,
}

/// Parks in a transaction of the caller. The same delivery parked twice is one row.
///
/// # Errors
/// When Postgres is away.
pub async fn insert(tx: &mut CompanyTx, letter: &NewDeadLetter) -> Result<(), StoreError> {
    insert_on(tx.connection(), letter).await
}

async fn insert_on<'e>(executor: impl sqlx::Executor<'e, Database = Postgres>, letter: &NewDeadLetter) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dead_letters (id, message_id, kind, role, queue, endpoint_id, company_id, schema_version, attempt, reason, detail, body, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
    )
    .bind(Uuid::now_v7())
    .bind(letter.message_id.as_deref())
    .bind(letter.kind.as_deref())
    .bind(letter.role)
    .bind(&letter.queue)
    .bind(letter.endpoint)
    .bind(letter.company_id)
    .bind(letter.schema_version.map(i32::from))
    .bind(i32::try_from(letter.attempt).unwrap_or(i32::MAX))
    .bind(&letter.reason)
    .bind(letter.detail.chars().take(DETAIL_CHARS_MAX).collect::<String>())
    .bind(&letter.body)
    .bind(letter.received_at)
    .execute(executor)
    .await
    .map_err(failed("write a dead letter"))?;
    Ok(())
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Retried,
    Discarded,
}

impl State {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Retried, Self::Discarded].into_iter().find(|state| state.name() == name)
    }
}

/// A dead letter without its body.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: Uuid,
    pub message_id: Option<String>,
    pub kind: Option<String>,
    pub role: Option<String>,
    pub queue: String,
    pub endpoint: Option<Uuid>,
    pub company_id: Option<Uuid>,
    pub schema_version: Option<i32>,
    pub attempt: i32,
    pub reason: String,
    pub detail: String,
    pub body_bytes: i32,
    pub received_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub state: State,
    pub settled_at: Option<DateTime<Utc>>,
}

/// Which dead letters to list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub reason: Option<String>,
    pub role: Option<String>,
    /// At most [`LIST_ROWS_MAX`], which is also the default.
    pub limit: Option<u32>,
}

/// The columns of a [`DeadLetter`], in one place for every statement that reads one.
macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, message_id, kind, role, queue, endpoint_id, company_id, schema_version, attempt, reason, detail, octet_length(body) AS body_bytes, ",
            "received_at, created_at, state, settled_at FROM dead_letters ",
            $rest
        )
    };
}

/// Newest first.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool, filter: &Filter) -> Result<Vec<DeadLetter>, StoreError> {
    let rows = sqlx::query(columns!(
        "WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR reason = $2) AND ($3::text IS NULL OR role = $3)
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ))
    .bind(filter.state.map(State::name))
    .bind(filter.reason.as_deref())
    .bind(filter.role.as_deref())
    .bind(filter.limit.map_or(LIST_ROWS_MAX, i64::from).min(LIST_ROWS_MAX))
    .fetch_all(pool)
    .await
    .map_err(failed("list dead letters"))?;
    rows.iter().map(from_row).collect()
}

/// One dead letter and its body; `None` if there is none of that id. The body is personal data: shown on demand only.
///
/// # Errors
/// When Postgres is away.
pub async fn get(pool: &PgPool, id: Uuid) -> Result<Option<(DeadLetter, Vec<u8>)>, StoreError> {
    let row = sqlx::query(columns!("WHERE id = $1")).bind(id).fetch_optional(pool).await.map_err(failed("read a dead letter"))?;
    let Some(row) = row else { return Ok(None) };
    let body = sqlx::query_scalar("SELECT body FROM dead_letters WHERE id = $1").bind(id).fetch_one(pool).await;
    Ok(Some((from_row(&row)?, body.map_err(failed("read the body of a dead letter"))?)))
}

/// What a retry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is in the outbox under this new identity and will be handled as a message of its own.
    Published(MessageId),
    NotFound,
    /// Retried or discarded before.
    NotOpen(State),
    /// This program still does not know the kind: deploy the version that does, and retry with it.
    UnknownKind(String),
    /// As above, for the envelope's schema version.
    NewerSchema(i32),
}

/// Marks a dead letter as retried and writes the outbox row that carries it to the bulk queue of its kind's role, in one transaction: an operator who asks
/// twice, or two operators at once, publish one message. The workers' relay picks it up within seconds.
///
/// # Errors
/// When Postgres is away.
pub async fn retry(pool: &PgPool, id: Uuid) -> Result<Retried, StoreError> {
    let operation = "retry a dead letter";
    let mut transaction = pool.begin().await.map_err(failed(operation))?;
    let row = sqlx::query(columns!("WHERE id = $1 FOR UPDATE")).bind(id).fetch_optional(&mut *transaction).await.map_err(failed(operation))?;
    let Some(letter) = row.as_ref().map(from_row).transpose()? else { return Ok(Retried::NotFound) };
    if letter.state != State::Open {
        return Ok(Retried::NotOpen(letter.state));
    }
    if let Some(version) = letter.schema_version.filter(|version| *version > i32::from(SCHEMA_VERSION)) {
        return Ok(Retried::NewerSchema(version));
    }
    let kind_name = letter.kind.unwrap_or_default();
    let Some(kind) = Kind::parse(&kind_name) else { return Ok(Retried::UnknownKind(kind_name)) };
    let original = letter.message_id.as_deref().and_then(MessageId::parse).unwrap_or_else(|| MessageId::of_own("dead_letter", id.as_bytes()));
    let digest = original.as_str().split('#').next().unwrap_or_default();
    // retries of one message take turns, so that each gets a number of its own
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('dead_letter ' || $1, 0))")
        .bind(digest)
        .execute(&mut *transaction)
        .await
        .map_err(failed(operation))?;
    let before: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters WHERE split_part(message_id, '#', 1) = $1 AND state = 'retried'")
        .bind(digest)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(operation))?;
    // the original counts as #1
    let replay = original.replay(u32::try_from(before).unwrap_or(u32::MAX).saturating_add(2));
    sqlx::query(
        "WITH letter AS (
             UPDATE dead_letters SET state = 'retried', retried_count = retried_count + 1, settled_at = now() WHERE id = $1
             RETURNING endpoint_id, received_at, body
         )
         INSERT INTO outbox (id, queue, message_id, kind, endpoint_id, received_at, body)
         SELECT $2, $3, $4, $5, endpoint_id, coalesce(received_at, now()), body FROM letter",
    )
    .bind(id)
    .bind(Uuid::now_v7())
    .bind(topology::queue(kind.role(), Lane::Bulk).as_str())
    .bind(replay.as_str())
    .bind(kind.name())
    .execute(&mut *transaction)
    .await
    .map_err(failed(operation))?;
    transaction.commit().await.map_err(failed(operation))?;
    Ok(Retried::Published(replay))
}

/// Closes a dead letter for good; false if it is not open.
///
/// # Errors
/// When Postgres is away.
pub async fn discard(pool: &PgPool, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE dead_letters SET state = 'discarded', settled_at = now() WHERE id = $1 AND state = 'open'").bind(id).execute(pool).await;
    done.map(|done| done.rows_affected() == 1).map_err(failed("discard a dead letter"))
}

fn from_row(row: &PgRow) -> Result<DeadLetter, StoreError> {
    let state: String = row.try_get("state").map_err(failed("read a dead letter"))?;
    let state = State::parse(&state).ok_or(StoreError::BadRow { table: "dead_letters", column: "state" })?;
    let read = |row: &PgRow| -> Result<DeadLetter, sqlx::Error> {
        Ok(DeadLetter {
            id: row.try_get("id")?,
            message_id: row.try_get("message_id")?,
            kind: row.try_get("kind")?,
            role: row.try_get("role")?,
            queue: row.try_get("queue")?,
            endpoint: row.try_get("endpoint_id")?,
            company_id: row.try_get("company_id")?,
            schema_version: row.try_get("schema_version")?,
            attempt: row.try_get("attempt")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            body_bytes: row.try_get("body_bytes")?,
            received_at: row.try_get("received_at")?,
            created_at: row.try_get("created_at")?,
            state,
            settled_at: row.try_get("settled_at")?,
        })
    };
    read(row).map_err(failed("read a dead letter"))
}
