//! Runs of the backfill: their rows, their chunks, the evidence they read, and how hard the database is pressed meanwhile.
//!
//! Not the rules (`domain::backfill`), not the writing of what they decide (`appointments::fill_nulls`: the one write path). Called by the role `backfill` and by
//! `frontdesk backfill`.

pub mod chunks;
pub mod evidence;
pub mod pressure;
pub mod runs;

use crate::domain::backfill::{APPOINTMENT_RULES, CALL_RULES, Counts, Evidence, MODIFICATION_RULES, Rule, Subject, decide};
use crate::store::appointments::fill_nulls::Filling;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};
use chunks::Range;
use uuid::Uuid;

/// Rows of a chunk: more gains nothing, and a caller whose row it holds waits no longer than some ten milliseconds (limits, 1 M appointments).
pub const CHUNK_ROWS: i32 = 1_000;

/// The rest of the transaction acts as the role that alone may link a modification to its call, whatever roles the process runs besides.
///
/// # Errors
/// When Postgres is away, or the process's login is no member of that role.
pub async fn act(tx: &mut CompanyTx) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL ROLE frontdesk_backfill").execute(tx.connection()).await.map_err(failed("act as the backfill"))?;
    Ok(())
}

/// What the rules say about a chunk's rows: the one way for a run and for its plan.
///
/// # Errors
/// When Postgres is away.
pub async fn decisions(tx: &mut CompanyTx, range: Range) -> Result<(Vec<Filling>, Counts), StoreError> {
    Ok(match range.subject {
        Subject::Appointments => {
            let rows = evidence::appointments(tx, range).await?;
            by(APPOINTMENT_RULES, range.subject, rows.iter().map(|row| (row.id, Some(row.revision), row)))
        }
        Subject::Modifications => {
            let rows = evidence::modifications(tx, range).await?;
            by(MODIFICATION_RULES, range.subject, rows.iter().map(|row| (row.id, None, row)))
        }
        Subject::Calls => {
            let rows = evidence::calls(tx, range).await?;
            by(CALL_RULES, range.subject, rows.iter().map(|row| (row.id, None, row)))
        }
    })
}

fn by<'e, E: Evidence + 'e>(rules: &[Rule<E>], subject: Subject, rows: impl Iterator<Item = (Uuid, Option<i32>, &'e E)>) -> (Vec<Filling>, Counts) {
    let mut counts = Counts::default();
    let mut fillings = Vec::new();
    for (id, revision, row) in rows {
        let decision = decide(rules, row);
        counts.add(subject, &decision);
        if !decision.is_empty() {
            fillings.push(Filling { id, revision, decision });
        }
    }
    (fillings, counts)
}
