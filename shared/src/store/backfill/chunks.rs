//! Chunks: which rows belong together, who has them, what came of them.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::domain::backfill::{Counts, Subject};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A message may be lost with its worker; after this it is published again. Far beyond the 30 s that a handler may take.
const LOST_AFTER_SECONDS: i32 = 60;

/// The rows of one table after a key up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub subject: Subject,
    pub after_id: Uuid,
    pub until_id: Uuid,
}

/// A chunk's name, as its message carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkName {
    pub run_id: Uuid,
    pub subject: Subject,
    pub number: i32,
    /// How often it was published, this time included.
    pub sent_count: i32,
}

/// A chunk in hand: its row is locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub range: Range,
    pub state: String,
    pub run_state: String,
}

/// The rows that may have open cells: history that was taken over (rows of our own have none: the schema's CHECKs), and links that are missing.
const fn open_rows(subject: Subject) -> &'static str {
    match subject {
        Subject::Appointments => "appointments t WHERE t.company_id = $1 AND t.import_run_id IS NOT NULL",
        Subject::Modifications => "appointment_modifications t WHERE t.company_id = $1 AND t.import_run_id IS NOT NULL AND t.call_id IS NULL",
        Subject::Calls => "calls t WHERE t.company_id = $1 AND t.customer_id IS NULL AND (t.caller IS NOT NULL OR t.converted_appointment IS NOT NULL)",
    }
}

fn cuts(subject: Subject) -> String {
    format!(
        "SELECT number, coalesce(lag(until_id) OVER (ORDER BY number), '00000000-0000-0000-0000-000000000000') AS after_id, until_id,
            (place - coalesce(lag(place) OVER (ORDER BY number), 0))::integer AS row_count
         FROM (SELECT id AS until_id, place, ((place - 1) / $2)::integer AS number
               FROM (SELECT t.id, row_number() OVER (ORDER BY t.id) AS place, count(*) OVER () AS of FROM {}) keyed WHERE place % $2 = 0 OR place = of) cut",
        open_rows(subject)
    )
}

/// Where the rows of a table would be cut, without a run: for a plan.
///
/// # Errors
/// When Postgres is away.
pub async fn ranges(tx: &mut CompanyTx, subject: Subject, chunk_rows: i32) -> Result<Vec<Range>, StoreError> {
    let company_id = tx.company_id();
    let rows = sqlx::query(AssertSqlSafe(format!("{} ORDER BY number", cuts(subject))))
        .bind(company_id)
        .bind(i64::from(chunk_rows))
        .fetch_all(tx.connection())
        .await
        .map_err(failed("cut a table into chunks"))?;
    let read = |row: &sqlx::postgres::PgRow| Ok(Range { subject, after_id: row.try_get("after_id")?, until_id: row.try_get("until_id")? });
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed("read the cuts of a table"))
}

/// Cuts a table for a run; its rows.
///
/// # Errors
/// When Postgres is away.
pub async fn cut(tx: &mut CompanyTx, run_id: Uuid, subject: Subject, chunk_rows: i32) -> Result<i64, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar(AssertSqlSafe(format!(
        "WITH made AS (
             INSERT INTO backfill_chunks (company_id, run_id, table_name, number, after_id, until_id, row_count)
             SELECT $1, $3, $4, number, after_id, until_id, row_count FROM ({}) c RETURNING row_count)
         SELECT coalesce(sum(row_count), 0)::bigint FROM made",
        cuts(subject)
    )))
    .bind(company_id)
    .bind(i64::from(chunk_rows))
    .bind(run_id)
    .bind(subject.table())
    .fetch_one(tx.connection())
    .await
    .map_err(failed("cut a table into chunks"))
}

/// Takes up to `at_most` chunks of the company's run that nobody has, to be published in this transaction.
///
/// # Errors
/// When Postgres is away.
pub async fn take(tx: &mut CompanyTx, run_id: Uuid, at_most: i64) -> Result<Vec<ChunkName>, StoreError> {
    let company_id = tx.company_id();
    let rows = sqlx::query(
        "UPDATE backfill_chunks k SET state = 'published', published_at = frontdesk_now(), sent_count = k.sent_count + 1
         FROM (SELECT c.table_name, c.number FROM backfill_chunks c
               WHERE c.company_id = $1 AND c.run_id = $2
                 AND (c.state = 'waiting' OR (c.state = 'published' AND c.published_at <= frontdesk_now() - make_interval(secs => $4)))
               ORDER BY c.table_name, c.number LIMIT $3 FOR UPDATE SKIP LOCKED) due
         WHERE k.company_id = $1 AND k.run_id = $2 AND k.table_name = due.table_name AND k.number = due.number
           AND EXISTS (SELECT FROM backfill_runs r WHERE r.company_id = $1 AND r.id = $2 AND r.state IN ('running', 'undoing'))
         RETURNING k.table_name, k.number, k.sent_count",
    )
    .bind(company_id)
    .bind(run_id)
    .bind(at_most)
    .bind(f64::from(LOST_AFTER_SECONDS))
    .fetch_all(tx.connection())
    .await
    .map_err(failed("take chunks of a backfill"))?;
    let read = |row: &sqlx::postgres::PgRow| -> Result<Option<ChunkName>, sqlx::Error> {
        let (number, sent_count) = (row.try_get("number")?, row.try_get("sent_count")?);
        Ok(Subject::parse(row.try_get("table_name")?).map(|subject| ChunkName { run_id, subject, number, sent_count }))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect::<Result<_, _>>().map_err(failed("read chunks of a backfill"))
}

/// Takes a chunk in hand. Somebody who has it already is waited for, and it is done then.
///
/// # Errors
/// When Postgres is away.
pub async fn lock(tx: &mut CompanyTx, name: ChunkName) -> Result<Option<Chunk>, StoreError> {
    let company_id = tx.company_id();
    let row = sqlx::query(
        "SELECT c.after_id, c.until_id, c.state, r.state AS run_state FROM backfill_chunks c JOIN backfill_runs r ON r.company_id = c.company_id AND r.id = c.run_id
         WHERE c.company_id = $1 AND c.run_id = $2 AND c.table_name = $3 AND c.number = $4 FOR UPDATE OF c",
    )
    .bind(company_id)
    .bind(name.run_id)
    .bind(name.subject.table())
    .bind(name.number)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("take a chunk in hand"))?;
    let read = |row: sqlx::postgres::PgRow| {
        let range = Range { subject: name.subject, after_id: row.try_get("after_id")?, until_id: row.try_get("until_id")? };
        Ok(Chunk { range, state: row.try_get("state")?, run_state: row.try_get("run_state")? })
    };
    row.map(read).transpose().map_err(failed("read a chunk"))
}

/// Notes that a chunk is done, and what was filled (`None`: it was taken back, the counts stay what they were).
///
/// # Errors
/// When Postgres is away.
pub async fn finish(tx: &mut CompanyTx, name: ChunkName, counts: Option<&Counts>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query(
        "UPDATE backfill_chunks SET state = 'done', done_at = frontdesk_now(), counts = coalesce($5, counts)
         WHERE company_id = $1 AND run_id = $2 AND table_name = $3 AND number = $4",
    )
    .bind(company_id)
    .bind(name.run_id)
    .bind(name.subject.table())
    .bind(name.number)
    .bind(counts.map(|counts| Json(counts.json())))
    .execute(tx.connection())
    .await
    .map_err(failed("finish a chunk"))?;
    Ok(())
}

/// Gives a chunk back undone: its run rests.
///
/// # Errors
/// When Postgres is away.
pub async fn give_back(tx: &mut CompanyTx, name: ChunkName) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("UPDATE backfill_chunks SET state = 'waiting', published_at = NULL WHERE company_id = $1 AND run_id = $2 AND table_name = $3 AND number = $4")
        .bind(company_id)
        .bind(name.run_id)
        .bind(name.subject.table())
        .bind(name.number)
        .execute(tx.connection())
        .await
        .map_err(failed("give a chunk back"))?;
    Ok(())
}

/// What the company's part of a run has filled so far, by table, column and rule.
///
/// # Errors
/// When Postgres is away.
pub async fn counts(tx: &mut CompanyTx, run_id: Uuid) -> Result<Counts, StoreError> {
    let company_id = tx.company_id();
    let stored: Vec<Json<serde_json::Value>> =
        sqlx::query_scalar("SELECT counts FROM backfill_chunks WHERE company_id = $1 AND run_id = $2 AND state = 'done' AND counts <> '{}'")
            .bind(company_id)
            .bind(run_id)
            .fetch_all(tx.connection())
            .await
            .map_err(failed("add up what a backfill filled"))?;
    let mut counts = Counts::default();
    for Json(one) in &stored {
        counts.merge(&Counts::parse(one));
    }
    Ok(counts)
}
