//! Compares one page of Retell's list with our rows: whose calls they are, what was heard of each, and what is missing.
//!
//! An event that may still be under way is not missing: Retell tries for up to a minute, and an analysis takes its time (reference/retell.md 2.3).

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use shared::domain::call::{CallUpdate, Lifecycle};
use shared::store::call_sweeps::{self, KnownCall};
use shared::store::resolve::NumberOwner;
use shared::wire::retell::{CallList, RetellCall};

use super::account::Account;
use super::repair::{self, Look, Repair};
use super::unowned;
use crate::call_facts;
use crate::calls::{self, Evidence};
use crate::runtime::Failure;
use crate::scheduler::Running;
use crate::tenants;

/// Up to four deliveries of ten seconds each, and our own queue.
pub(super) const SETTLE: Duration = Duration::minutes(2);
/// An analysis comes seconds to tens of seconds after the end; its own deliveries come on top.
const SETTLE_ANALYSIS: Duration = Duration::minutes(5);

/// What one account's sweep found so far.
#[derive(Default)]
pub(super) struct Found {
    pub listed: usize,
    pub repaired: usize,
    pub unowned: usize,
}

impl Found {
    pub fn words(&self) -> String {
        format!("{} listed, {} repaired, {} nobody's", self.listed, self.repaired, self.unowned)
    }
}

/// Who owns which call, asked once per run; or the reason why nobody does.
pub(super) type Owners = HashMap<Evidence, Result<NumberOwner, &'static str>>;

/// A listed call of ours.
struct Listed<'a> {
    id: String,
    call: RetellCall<'a>,
    /// Events that must have been heard by now.
    due: BTreeSet<Lifecycle>,
}

/// Goes through the page.
///
/// # Errors
/// As its parts; what was repaired before stays.
pub(super) async fn compare(
    running: &Running,
    account: &Account,
    list: &CallList<'_>,
    now: DateTime<Utc>,
    owners: &mut Owners,
    found: &mut Found,
) -> Result<(), Failure> {
    found.listed += list.len();
    let mut by_company: HashMap<uuid::Uuid, (NumberOwner, Vec<Listed<'_>>)> = HashMap::new();
    for call in list.calls() {
        let due = due(&call, now);
        let Some(id) = call.call_id.clone().filter(|_| !due.is_empty()) else { continue };
        match owner(running, account, &call, owners).await? {
            // two branches of a company share its transaction; the repair asks for the call's own branch
            Ok(owner) => by_company.entry(owner.company_id).or_insert_with(|| (owner, Vec::new())).1.push(Listed { id, call, due }),
            Err(reason) => {
                found.unowned += 1;
                unowned::park_once(running, account, &id, reason, now).await?;
            }
        }
    }
    for (owner, listed) in by_company.into_values() {
        let ids: Vec<String> = listed.iter().map(|listed| listed.id.clone()).collect();
        let mut tx = running.begin(Some(owner.company_id)).await?;
        let known = call_sweeps::known(&mut tx, &ids).await?;
        tx.commit().await?;
        for listed in &listed {
            let nothing = KnownCall::default();
            let known = known.get(&listed.id).unwrap_or(&nothing);
            if listed.due.is_subset(&known.heard) {
                continue;
            }
            found.repaired += repair_one(running, account, listed, known, now, owners).await?;
        }
    }
    Ok(())
}

/// Items of a list carry no transcript: unless we have it, the call itself is fetched.
async fn repair_one(
    running: &Running,
    account: &Account,
    listed: &Listed<'_>,
    known: &KnownCall,
    now: DateTime<Utc>,
    owners: &mut Owners,
) -> Result<usize, Failure> {
    let answer = if known.has_transcript { None } else { Some(account.call(&listed.id).await?) };
    let fetched = answer.as_ref().and_then(|answer| answer.body.as_deref()).and_then(|body| serde_json::from_slice::<RetellCall<'_>>(body).ok());
    let call = fetched.as_ref().filter(|call| call.call_id.as_ref() == Some(&listed.id)).unwrap_or(&listed.call);
    let (Ok(owner), Some(told)) = (owner(running, account, call, owners).await?, call_facts::answered(call, now)) else { return Ok(0) };
    // only what was due is made up for: the rest may be under way
    let told = CallUpdate { heard: listed.due.clone(), ..told };
    let repair = Repair { owner: &owner, told, record: answer.as_ref().map(|answer| &answer.record), look: Look::None };
    Ok(repair::carry_out(running, repair).await?.len())
}

async fn owner(running: &Running, account: &Account, call: &RetellCall<'_>, owners: &mut Owners) -> Result<Result<NumberOwner, &'static str>, Failure> {
    let evidence = calls::evidence(call);
    if let Some(known) = owners.get(&evidence) {
        return Ok(known.clone());
    }
    let owner = match tenants::of_call(&running.context.pool, account.endpoint_id, &evidence.as_ref()).await {
        Ok(owner) => Ok(owner),
        Err(Failure::Park { reason, .. }) => Err(reason),
        Err(failure) => return Err(failure),
    };
    owners.insert(evidence, owner.clone());
    Ok(owner)
}

/// The events that must have been heard by now.
fn due(call: &RetellCall<'_>, now: DateTime<Utc>) -> BTreeSet<Lifecycle> {
    // a call without an end (never connected) is found by its start, long ago
    let age = call.ended_at.or(call.started_at).map_or(Duration::MAX, |at| now - at);
    let mut due = call_facts::events_of(call);
    due.retain(|event| age >= if *event == Lifecycle::Analyzed { SETTLE_ANALYSIS } else { SETTLE });
    // a call that is under way has its own time: `overdue` asks about it
    if due.contains(&Lifecycle::Ended) { due } else { BTreeSet::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_under_way_is_not_missing() {
        let body = r#"{"call_id":"c","call_status":"ended","start_timestamp":1000,"end_timestamp":100000,"call_analysis":{}}"#;
        let call: RetellCall<'_> = serde_json::from_str(body).unwrap();
        let after = |seconds: i64| {
            let now = DateTime::from_timestamp(100 + seconds, 0).unwrap();
            due(&call, now).into_iter().map(Lifecycle::name).collect::<Vec<_>>()
        };
        assert!(after(119).is_empty());
        assert_eq!(after(120), ["call_started", "call_ended"]);
        assert_eq!(after(300), ["call_started", "call_ended", "call_analyzed"]);
        let running: RetellCall<'_> = serde_json::from_str(r#"{"call_id":"c","call_status":"ongoing","start_timestamp":1000}"#).unwrap();
        assert!(due(&running, DateTime::from_timestamp(100_000, 0).unwrap()).is_empty());
    }
}
