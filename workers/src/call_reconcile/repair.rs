//! Folds one of Retell's answers in, and notes what it made up for: in one transaction, counted after its commit.

use chrono::{DateTime, Utc};
use shared::domain::call::{CallUpdate, Lifecycle};
use shared::store::accounts::Provider;
use shared::store::records::{self, ApiCall};
use shared::store::resolve::NumberOwner;
use shared::store::tx::{CompanyTx, uid_lock};
use shared::store::{call_sweeps, silences, troubled_calls};
use uuid::Uuid;

use super::unowned::PARKED_WITHIN;
use crate::calls;
use crate::runtime::Failure;
use crate::scheduler::Running;

/// What to do about the call's look beside the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// None was due.
    None,
    /// It is answered, by the answer to a question of that time.
    Done(DateTime<Utc>),
}

/// The answer and its company.
pub(super) struct Repair<'a> {
    pub owner: &'a NumberOwner,
    /// Where its webhooks would have come in.
    pub endpoint_id: Uuid,
    pub told: CallUpdate,
    /// The request that it cost, if it cost one.
    pub record: Option<&'a ApiCall>,
    pub look: Look,
}

/// Takes it in; the events that it made up for.
///
/// # Errors
/// What the store says; the leadership is lost.
pub(super) async fn carry_out(running: &Running, repair: Repair<'_>) -> Result<Vec<Lifecycle>, Failure> {
    let Repair { owner, endpoint_id, told, record, look } = repair;
    let told = CallUpdate { branch_id: owner.branch_id, phone_number_id: Some(owner.phone_number_id), ..told };
    let mut tx = running.begin_locked(Some(owner.company_id), &[uid_lock(owner.company_id, &told.retell_call_id)]).await?;
    let folded = calls::take_in(&mut tx, &told).await?;
    let mut news: Vec<Lifecycle> = folded.folded.news.into_iter().collect();
    if !news.is_empty() {
        // a webhook that was parked was received: it is a human's, and no loss
        let since = told.asked_at.unwrap_or_else(|| running.context.clock.now()) - PARKED_WITHIN;
        let parked = troubled_calls::parked_kinds(&mut tx, endpoint_id, &told.retell_call_id, since).await?;
        news.retain(|event| !parked.contains(&format!("retell.{}", event.name())));
    }
    note_missed(&mut tx, &told, &news).await?;
    if let Look::Done(asked_at) = look {
        call_sweeps::looked(&mut tx, &told.retell_call_id, asked_at, None).await?;
    }
    if let Some(record) = record {
        records::insert_api_call(&mut tx, record).await?;
    }
    tx.commit().await?;
    for event in &news {
        running.context.metrics.reconcile.repaired(event.name(), 1);
    }
    if !news.is_empty() {
        let events: Vec<_> = news.iter().map(|event| event.name()).collect();
        tracing::info!(company.id = %owner.company_id, call.id = %folded.call.id, events = events.join(","), "a call was completed from Retell: no webhook told it");
    }
    Ok(news)
}

async fn note_missed(tx: &mut CompanyTx, told: &CallUpdate, news: &[Lifecycle]) -> Result<(), Failure> {
    let happened_at: Vec<DateTime<Utc>> = news
        .iter()
        .filter_map(|event| match event {
            Lifecycle::Started => told.started_at,
            Lifecycle::Ended | Lifecycle::Analyzed => told.ended_at,
        })
        .collect();
    Ok(silences::missed(tx, Provider::Retell, &happened_at).await?)
}
