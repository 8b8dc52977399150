//! Job `calls_overdue`: calls that ought to be over and of which no end was heard, and calls with two analyses that disagree. Retell is asked about each;
//! one that Retell holds for running is asked about again, for as long as a call can last at all (reference/retell.md 2.3, 7.1; incident 34).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::Duration;
use serde_json::json;
use shared::domain::call::{CallStatus, CallUpdate};
use shared::store::call_sweeps::{self, DueCall};
use shared::store::reviews::{self, Finding};
use shared::store::tx::uid_lock;
use shared::store::{calls, records};
use shared::wire::retell::RetellCall;
use uuid::Uuid;

use super::account::{Account, Answer};
use super::repair::{self, Look, Repair};
use crate::call_facts;
use crate::calls::evidence;
use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;
use crate::tenants;

/// A request each; the rest is the next run's, a minute later.
const CALLS_MAX: i32 = 60;
/// Until a call that is still running is asked about again.
const AGAIN: Duration = Duration::minutes(10);
/// The first look is after an hour, and no call lasts longer than two: six looks more, and it is a human's.
const LOOKS_MAX: i32 = 7;

/// Asks about what is due.
///
/// # Errors
/// Postgres is away; the leadership is lost; an account could not be asked (the others were).
pub async fn overdue(running: Running) -> Result<String, Failure> {
    let due = call_sweeps::due(&running.context.pool, CALLS_MAX).await?;
    let (asked, mut repaired, mut failed) = (due.len(), 0, None);
    let mut accounts: HashMap<Uuid, Option<Account>> = HashMap::new();
    for call in due {
        let account = match accounts.entry(call.credential_id) {
            Entry::Occupied(account) => account.into_mut(),
            Entry::Vacant(place) => place.insert(Account::open(&running.context, call.credential_id, call.endpoint_id).await?),
        };
        let Some(account) = account else { continue };
        match look(&running, account, &call).await {
            Ok(events) => repaired += events,
            Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
            Err(failure) => {
                let (class, cause) = (failure.class(), failure_log::chain(&failure));
                tracing::warn!(company.id = %call.company_id, class, cause, "Retell could not be asked about a call");
                // its look stays due; what this account does not answer now, it does not answer for the next call either
                accounts.insert(call.credential_id, None);
                failed = Some(failure);
            }
        }
    }
    failed.map_or_else(|| Ok(format!("{asked} asked about, {repaired} repaired")), Err)
}

async fn look(running: &Running, account: &Account, due: &DueCall) -> Result<usize, Failure> {
    let answer = account.call(&due.retell_call_id).await?;
    let Some(body) = answer.body.as_deref() else { return gone(running, due, &answer).await };
    let Ok(call) = serde_json::from_slice::<RetellCall<'_>>(body) else {
        // a proxy's page, say: it tells nothing about the call
        return put_by(running, due, &answer, "retell_answer_unreadable", Some(AGAIN)).await;
    };
    let evidence = evidence(&call);
    let owner = match tenants::of_call(&running.context.pool, account.endpoint_id, &evidence.as_ref()).await {
        Ok(owner) if owner.company_id == due.company_id => owner,
        // the number was given to somebody else meanwhile: the row stays whose it was
        Ok(_) | Err(Failure::Park { .. }) => return put_by(running, due, &answer, "owner_changed", None).await,
        Err(failure) => return Err(failure),
    };
    let told = call_facts::answered(&call, answer.asked_at).filter(|told| told.retell_call_id == due.retell_call_id);
    match told {
        Some(told) if told.status >= Some(CallStatus::Ended) => {
            let repair = Repair { owner: &owner, told, record: Some(&answer.record), look: Look::Done(answer.asked_at) };
            Ok(repair::carry_out(running, repair).await?.len())
        }
        _ => put_by(running, due, &answer, "call_never_ends", Some(AGAIN)).await,
    }
}

/// Retell does not know the call, or no longer (deleted, or past its retention): it is over, and nothing more will be heard of it.
async fn gone(running: &Running, due: &DueCall, answer: &Answer) -> Result<usize, Failure> {
    let mut tx = running.begin_locked(Some(due.company_id), &[uid_lock(due.company_id, &due.retell_call_id)]).await?;
    let told = CallUpdate { retell_call_id: due.retell_call_id.clone(), status: Some(CallStatus::Ended), ..CallUpdate::default() };
    let call = calls::upsert(&mut tx, &told).await?;
    call_sweeps::looked(&mut tx, &due.retell_call_id, answer.asked_at, None).await?;
    records::insert_api_call(&mut tx, &answer.record).await?;
    reviews::open(&mut tx, &finding(call.id, "call_unknown_to_retell")).await?;
    tx.commit().await?;
    Ok(0)
}

/// Nothing to fold: asked again after a while, or, when that was enough, left to a human.
async fn put_by(running: &Running, due: &DueCall, answer: &Answer, reason: &'static str, again: Option<Duration>) -> Result<usize, Failure> {
    let mut tx = running.begin_locked(Some(due.company_id), &[uid_lock(due.company_id, &due.retell_call_id)]).await?;
    let looks = call_sweeps::looked(&mut tx, &due.retell_call_id, answer.asked_at, again).await?;
    if again.is_none() || looks >= LOOKS_MAX {
        let told = CallUpdate { retell_call_id: due.retell_call_id.clone(), ..CallUpdate::default() };
        let call = calls::upsert(&mut tx, &told).await?;
        call_sweeps::looked(&mut tx, &due.retell_call_id, answer.asked_at + AGAIN, None).await?;
        reviews::open(&mut tx, &finding(call.id, reason)).await?;
    }
    records::insert_api_call(&mut tx, &answer.record).await?;
    tx.commit().await?;
    Ok(0)
}

fn finding(call_id: Uuid, reason: &'static str) -> Finding<'static> {
    Finding {
        subject: "call",
        reason,
        appointment_id: None,
        call_id: Some(call_id),
        intent_id: None,
        details: json!({}),
        dedup_key: format!("call/{call_id}/{reason}"),
    }
}
