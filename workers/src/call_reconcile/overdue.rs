//! Job `calls_overdue`: calls that ought to be over and of which no end was heard, and calls with two analyses that disagree. Retell is asked about each;
//! one that Retell holds for running is asked about again, for as long as a call can last at all (reference/retell.md 2.3, 7.1; incident 34). A look that cannot be
//! made is put off, so that neither one call nor one broken key stands before all the others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::Duration;
use serde_json::json;
use shared::domain::call::{CallStatus, CallUpdate};
use shared::store::call_sweeps::{self, DueCall};
use shared::store::reviews::{self, Finding};
use shared::store::tx::uid_lock;
use shared::store::{calls, jobs, records};
use shared::wire::retell::RetellCall;
use uuid::Uuid;

use super::account::{Account, Answer};
use super::left_out;
use super::repair::{self, Look, Repair};
use super::trouble::{IN_A_ROW_MAX, Whose, whose};
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
/// After 10, 20, 40 … minutes, up to six hours each: ten hours in which Retell says nothing about this call, and it is a human's.
const FAILURES_MAX: i32 = 7;

/// Asks about what is due.
///
/// # Errors
/// Postgres is away; the leadership is lost; an account could not be asked (the others were).
pub async fn overdue(running: Running) -> Result<String, Failure> {
    let due = call_sweeps::due(&running.context.pool, CALLS_MAX).await?;
    let (mut asked, mut repaired, mut failed) = (0, 0, None);
    let mut accounts: HashMap<Uuid, Asked> = HashMap::new();
    for call in due {
        let place = match accounts.entry(call.credential_id) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                let account = match Account::open(&running.context, call.credential_id, call.endpoint_id).await {
                    Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
                    // told by the delta
                    Err(failure) => {
                        failed = Some(failure);
                        None
                    }
                    Ok(account) => account,
                };
                place.insert(Asked { account, unclear_in_a_row: 0 })
            }
        };
        let Some(account) = &place.account else {
            put_off(&running, &call, false).await?;
            continue;
        };
        asked += 1;
        let failure = match look(&running, account, &call).await {
            Ok(events) => {
                place.unclear_in_a_row = 0;
                repaired += events;
                continue;
            }
            Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
            Err(failure) => failure,
        };
        let (class, cause) = (failure.class(), failure_log::chain(&failure));
        tracing::warn!(company.id = %call.company_id, class, cause, "Retell could not be asked about a call");
        match whose(&failure) {
            Whose::Call => give_up(&running, &call, class).await?,
            Whose::Perhaps => {
                if put_off(&running, &call, true).await? >= FAILURES_MAX {
                    give_up(&running, &call, class).await?;
                }
                place.unclear_in_a_row += 1;
                if place.unclear_in_a_row >= IN_A_ROW_MAX {
                    place.account = None;
                    failed = Some(failure);
                }
            }
            // what this account does not answer now, it does not answer for the next call either
            Whose::Everybody => {
                put_off(&running, &call, false).await?;
                place.account = None;
                failed = Some(failure);
            }
        }
    }
    failed.map_or_else(|| Ok(format!("{asked} asked about, {repaired} repaired")), Err)
}

/// An account in this run.
struct Asked {
    /// `None`: not any more.
    account: Option<Account>,
    unclear_in_a_row: u32,
}

/// The look comes again later; how many of this call's failed so far.
async fn put_off(running: &Running, due: &DueCall, counts: bool) -> Result<i32, Failure> {
    let mut tx = running.begin(Some(due.company_id)).await?;
    let failures = call_sweeps::put_off(&mut tx, &due.retell_call_id, counts).await?;
    tx.commit().await?;
    Ok(failures)
}

/// Retell's answer about this call cannot be had, or not be stored: it is asked about no more, and left to a human.
async fn give_up(running: &Running, due: &DueCall, class: &'static str) -> Result<(), Failure> {
    let now = jobs::now(&running.context.pool).await?;
    let mut tx = running.begin(Some(due.company_id)).await?;
    // whenever the next one was to be: there is none
    call_sweeps::looked(&mut tx, &due.retell_call_id, now + Duration::days(1), None).await?;
    let news = left_out::review(&mut tx, due.credential_id, &due.retell_call_id, class).await?;
    tx.commit().await?;
    left_out::told(running, due.company_id, class, news);
    Ok(())
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
            let repair = Repair { owner: &owner, endpoint_id: account.endpoint_id, told, record: Some(&answer.record), look: Look::Done(answer.asked_at) };
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
