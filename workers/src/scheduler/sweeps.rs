//! Jobs `calcom_updates` and `calcom_window`: want sweeps; the processes with the role calcom-sync carry them out.

use shared::store::accounts::Provider;
use shared::store::sweeps::{self, SweepKind};

use super::Running;
use crate::hearing;
use crate::runtime::Failure;

/// What changed since the last one; where nothing was adopted yet, everything.
pub(super) async fn updates(running: Running) -> Result<String, Failure> {
    hearing::until(&running, Provider::Calcom).await?;
    let mut tx = running.begin(None).await?;
    let again = sweeps::want_for_new_services(&mut tx).await?;
    let wanted = sweeps::want(&mut tx, SweepKind::Updates).await?;
    tx.commit().await?;
    Ok(format!("{wanted} wanted, {again} adoptions again"))
}

/// What starts in the near past and future.
pub(super) async fn window(running: Running) -> Result<String, Failure> {
    hearing::until(&running, Provider::Calcom).await?;
    let mut tx = running.begin(None).await?;
    let wanted = sweeps::want(&mut tx, SweepKind::Window).await?;
    tx.commit().await?;
    Ok(format!("{wanted} wanted"))
}
