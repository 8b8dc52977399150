//! Job `complete_appointments`: what stands and is over has taken place. That nobody came is Cal.com's word (`no_show`), before or after.

use std::collections::BTreeMap;

use shared::store::appointments;
use uuid::Uuid;

use super::Running;
use crate::runtime::Failure;

/// Of one run; the next comes in five minutes. A day of a thousand shops is spread over its hours.
const AT_MOST: i32 = 5_000;
/// Of one transaction, so that no caller waits behind it.
const BATCH: usize = 200;

pub(super) async fn complete(running: Running) -> Result<String, Failure> {
    let mut of_company: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for (company_id, appointment_id) in appointments::over(&running.context.pool, AT_MOST).await? {
        of_company.entry(company_id).or_default().push(appointment_id);
    }
    let mut completed = 0;
    for (company_id, ids) in of_company {
        for batch in ids.chunks(BATCH) {
            let mut tx = running.begin(Some(company_id)).await?;
            completed += appointments::complete(&mut tx, batch).await?;
            tx.commit().await?;
        }
    }
    Ok(format!("{completed} completed"))
}
