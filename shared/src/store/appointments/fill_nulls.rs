//! The backfill's part of the one write path: fills empty cells of history and takes them back. It touches no revision and no `updated_at`, and nothing goes out to Cal.com.
//!
//! What is filled was decided by `domain::backfill`; each row's provenance is written in the same statement. Called by the role `backfill`.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::backfill::{Decision, Subject};
use crate::store::backfill::chunks::Range;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// The cells that the backfill may fill, with their types.
const APPOINTMENT_CELLS: [(&str, &str); 15] = [
    ("created_by", "text"),
    ("booking_source", "text"),
    ("booked_by_user_id", "uuid"),
    ("rescheduled_at", "timestamptz"),
    ("rescheduled_by", "text"),
    ("rescheduled_by_user_id", "uuid"),
    ("reschedule_source", "text"),
    ("previous_starts_at", "timestamptz"),
    ("cancelled_at", "timestamptz"),
    ("cancelled_by", "text"),
    ("cancelled_by_user_id", "uuid"),
    ("cancellation_source", "text"),
    ("cancellation_reason", "text"),
    ("call_id", "uuid"),
    ("staff_id", "uuid"),
];

const fn cells(subject: Subject) -> &'static [(&'static str, &'static str)] {
    match subject {
        Subject::Appointments => &APPOINTMENT_CELLS,
        Subject::Modifications => &[("call_id", "uuid")],
        Subject::Calls => &[("customer_id", "uuid")],
    }
}

/// One row to fill.
#[derive(Clone, Debug)]
pub struct Filling {
    pub id: Uuid,
    /// Of an appointment: the revision that the decision was made for.
    pub revision: Option<i32>,
    pub decision: Decision,
}

/// Fills the rows, with their provenance, in one statement.
///
/// # Errors
/// When Postgres is away, or a row changed since its evidence was read (`StoreError::is_contention`): read again.
pub async fn fill(tx: &mut CompanyTx, run_id: Uuid, subject: Subject, fillings: &[Filling]) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<Value> = fillings.iter().filter(|filling| !filling.decision.filled.is_empty()).map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let (table, cells) = (subject.table(), cells(subject));
    let list = |write: &dyn Fn(&str, &str) -> String, between: &str| cells.iter().map(|(name, of)| write(name, of)).collect::<Vec<_>>().join(between);
    // names of ours: nothing in this text comes from outside
    let statement = format!(
        "WITH input AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($2) AS n (id uuid, revision integer, filled jsonb, {columns})),
              written AS (UPDATE {table} t SET {set} FROM input n WHERE t.company_id = $1 AND t.id = n.id {unchanged} RETURNING t.id, n.filled)
         INSERT INTO backfill_changes (company_id, run_id, table_name, row_id, filled) SELECT $1, $3, '{table}', w.id, w.filled FROM written w",
        columns = list(&|name, of| format!("{name} {of}"), ", "),
        set = list(&|name, _| format!("{name} = coalesce(t.{name}, n.{name})"), ", "),
        unchanged = match subject {
            Subject::Appointments => "AND t.revision = n.revision",
            Subject::Modifications => "AND t.call_id IS NULL",
            Subject::Calls => "AND t.customer_id IS NULL",
        },
    );
    let done = sqlx::query(AssertSqlSafe(statement))
        .bind(company_id)
        .bind(Json(&rows))
        .bind(run_id)
        .execute(tx.connection())
        .await
        .map_err(failed("fill empty cells"))?;
    if done.rows_affected() == rows.len() as u64 { Ok(()) } else { Err(StoreError::Changed { table }) }
}

fn row(filling: &Filling) -> Value {
    let mut row = json!({"id": filling.id, "revision": filling.revision, "filled": filling.decision.provenance()});
    for filled in &filling.decision.filled {
        row[filled.column] = filled.found.value.json();
    }
    row
}

/// Empties again what the run filled in these rows, where the value is still the one that it wrote; how many rows.
///
/// # Errors
/// When Postgres is away.
pub async fn take_back(tx: &mut CompanyTx, run_id: Uuid, range: Range) -> Result<u64, StoreError> {
    let company_id = tx.company_id();
    let table = range.subject.table();
    let set = |(name, of): &(&str, &str)| format!("{name} = CASE WHEN t.{name} = (c.filled #>> '{{{name},value}}')::{of} THEN NULL ELSE t.{name} END");
    let statement = format!(
        "WITH taken AS (
             UPDATE backfill_changes c SET undone_at = now()
             WHERE c.company_id = $1 AND c.table_name = '{table}' AND c.row_id > $3 AND c.row_id <= $4 AND c.run_id = $2 AND c.undone_at IS NULL RETURNING c.row_id, c.filled)
         UPDATE {table} t SET {} FROM taken c WHERE t.company_id = $1 AND t.id = c.row_id",
        cells(range.subject).iter().map(set).collect::<Vec<_>>().join(", "),
    );
    let done = sqlx::query(AssertSqlSafe(statement))
        .bind(company_id)
        .bind(run_id)
        .bind(range.after_id)
        .bind(range.until_id)
        .execute(tx.connection())
        .await
        .map_err(failed("take filled cells back"))?;
    Ok(done.rows_affected())
}

/// Asks humans what no evidence tells, one review per row and column.
///
/// # Errors
/// When Postgres is away.
pub async fn ask(tx: &mut CompanyTx, run_id: Uuid, subject: Subject, fillings: &[Filling]) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let questions = fillings.iter().flat_map(|filling| filling.decision.questions.iter().map(|question| (filling.id, question)));
    let rows: Vec<Value> = questions
        .map(|(id, question)| {
            json!({"id": Uuid::now_v7(), "target": id, "reason": if question.rules.is_empty() { "backfill_unknown" } else { "backfill_contradiction" },
                "key": format!("backfill/{}/{id}/{}", subject.table(), question.column),
                "details": {"table": subject.table(), "column": question.column, "rules": question.rules, "backfill_run": run_id}})
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO reviews (id, company_id, subject, reason, appointment_id, details, dedup_key)
         SELECT n.id, $1, 'appointment', n.reason, CASE WHEN $3 THEN n.target END, n.details, n.key
         FROM jsonb_to_recordset($2) AS n (id uuid, target uuid, reason text, details jsonb, key text)
         ON CONFLICT (company_id, dedup_key) DO NOTHING",
    )
    .bind(company_id)
    .bind(Json(&rows))
    .bind(subject == Subject::Appointments)
    .execute(tx.connection())
    .await
    .map_err(failed("open reviews of a backfill"))?;
    Ok(())
}
