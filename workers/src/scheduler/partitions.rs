//! Job `partitions`: the day partitions of the fourteen days ahead, so that nobody has to run `frontdesk migrate` for them.

use shared::store::jobs;
use shared::store::schema::PARTITION_DAYS_AHEAD;

use super::Running;
use crate::runtime::Failure;

pub(super) async fn make(running: Running) -> Result<String, Failure> {
    let mut tx = running.begin(None).await?;
    let made = jobs::make_day_partitions(&mut tx, PARTITION_DAYS_AHEAD).await?;
    tx.commit().await?;
    Ok(format!("{made} made"))
}
