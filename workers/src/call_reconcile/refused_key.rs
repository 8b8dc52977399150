//! A key that Retell refuses, or that cannot be opened: told to a human, once per company whose calls nobody compares meanwhile. It never mends itself.

use serde_json::json;
use shared::store::call_sweeps;
use shared::store::reviews::{self, Finding};
use uuid::Uuid;

use super::trouble::{KEY_REJECTED, KEY_SEALED};
use crate::runtime::Failure;
use crate::scheduler::Running;

/// Opens the reviews, if that is what the failure is.
///
/// # Errors
/// What the store says; the leadership is lost.
pub(super) async fn tell(running: &Running, credential_id: Uuid, failure: &Failure) -> Result<(), Failure> {
    let class = failure.class();
    if !matches!(class, KEY_REJECTED | KEY_SEALED) {
        return Ok(());
    }
    tracing::error!(credential.id = %credential_id, class, "an account of Retell rests: its API key is refused or cannot be opened (frontdesk credential rotate)");
    for company_id in call_sweeps::companies(&running.context.pool, credential_id).await? {
        let finding = Finding {
            subject: "credential",
            reason: "credential_rejected",
            appointment_id: None,
            call_id: None,
            intent_id: None,
            details: json!({ "credential_id": credential_id, "class": class }),
            dedup_key: format!("credential_rejected/{credential_id}"),
        };
        let mut tx = running.begin(Some(company_id)).await?;
        // a new key may be refused, too
        reviews::open_anew(&mut tx, &finding).await?;
        tx.commit().await?;
    }
    Ok(())
}
