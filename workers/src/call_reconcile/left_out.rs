//! A call that cannot be taken in is left out and told to a human, once; the rest goes on.

use serde_json::json;
use shared::store::accounts::Provider;
use shared::store::reviews::{self, Finding};
use shared::store::troubled_calls;
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use super::trouble::{FAILURES_MAX, Whose, whose};
use crate::runtime::Failure;
use crate::scheduler::Running;

/// Notes the failure; from when on a human must look, there is a review. Whether that is so.
///
/// # Errors
/// The failure itself, if it is not this call's; what the store says; the leadership is lost.
pub(super) async fn note(running: &Running, credential_id: Uuid, company_id: Uuid, retell_call_id: &str, failure: Failure) -> Result<bool, Failure> {
    let failures_max = match whose(&failure) {
        Whose::Everybody => return Err(failure),
        Whose::Perhaps => FAILURES_MAX,
        Whose::Call => 1,
    };
    let mut tx = running.begin(Some(company_id)).await?;
    let is_a_humans = troubled_calls::trouble(&mut tx, credential_id, retell_call_id, failure.class(), failures_max).await?;
    let news = is_a_humans && review(&mut tx, credential_id, retell_call_id, failure.class()).await?;
    tx.commit().await?;
    told(running, company_id, failure.class(), news);
    Ok(is_a_humans)
}

/// The review of a call that cannot be taken in; whether it is news. Its condition may come again after a human resolved it.
pub(super) async fn review(tx: &mut CompanyTx, credential_id: Uuid, retell_call_id: &str, class: &str) -> Result<bool, Failure> {
    let finding = Finding {
        subject: "call",
        reason: "sweep_left_out",
        appointment_id: None,
        // it may have no row
        call_id: None,
        intent_id: None,
        details: json!({ "credential_id": credential_id, "retell_call_id": retell_call_id, "class": class }),
        dedup_key: format!("sweep_left_out/{credential_id}/{retell_call_id}"),
    };
    Ok(reviews::open_anew(tx, &finding).await?)
}

/// After the commit.
pub(super) fn told(running: &Running, company_id: Uuid, class: &'static str, news: bool) {
    if news {
        running.context.metrics.reconcile.left_out(Provider::Retell);
        tracing::warn!(company.id = %company_id, class, "a call of Retell's cannot be taken in: it is left to a human");
    }
}
