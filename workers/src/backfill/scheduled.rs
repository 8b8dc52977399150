//! Job `backfill`: begins a run where history was taken over since a finished one: the first is a human's. The processes with the role carry it out.

use shared::store::backfill::{CHUNK_ROWS, act, runs};
use shared::store::companies;
use uuid::Uuid;

use crate::runtime::Failure;
use crate::scheduler::Running;

/// One run for all companies that need one; in words.
pub(crate) async fn begin(running: Running) -> Result<String, Failure> {
    let run_id = Uuid::now_v7();
    let (mut begun, mut rows) = (0, 0);
    for (company_id, _) in companies::list(&running.context.pool).await? {
        let mut tx = running.begin(Some(company_id)).await?;
        act(&mut tx).await?;
        if !runs::is_wanted(&mut tx).await? {
            continue;
        }
        // one that has an open run gets on without another
        if let Some(of_company) = runs::begin(&mut tx, run_id, CHUNK_ROWS).await? {
            tx.commit().await?;
            (begun, rows) = (begun + 1, rows + of_company);
        }
    }
    Ok(format!("{begun} companies begun, {rows} rows"))
}
