//! Compares one page of Retell's list with our rows: whose calls they are, what was heard of each, and what is missing.
//!
//! An event that may still be under way is not missing: Retell tries for up to a minute, an analysis takes its time (reference/retell.md 2.3), and what waits in our
//! own queues was received. One call that cannot be fetched or stored stops none of the others (`left_out`).

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use shared::domain::call::{CallUpdate, Lifecycle};
use shared::store::call_sweeps::{self, KnownCall};
use shared::store::records::{self, ApiCall};
use shared::store::resolve::NumberOwner;
use shared::wire::retell::{CallList, RetellCall};
use uuid::Uuid;

use super::account::Account;
use super::repair::{self, Look, Repair};
use super::trouble::{self, FAILURES_MAX, IN_A_ROW_MAX, Whose};
use super::{left_out, unowned};
use crate::call_facts;
use crate::calls::{self, Evidence};
use crate::runtime::Failure;
use crate::scheduler::Running;
use crate::tenants;

/// Up to four deliveries of ten seconds each, and our own queue.
pub(crate) const SETTLE: Duration = Duration::minutes(2);
/// An analysis comes seconds to tens of seconds after the end; its own deliveries come on top.
const SETTLE_ANALYSIS: Duration = Duration::minutes(5);

/// What all accounts' sweeps found so far.
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

/// One account's sweep.
pub(super) struct Pass<'a> {
    pub running: &'a Running,
    pub account: &'a Account,
    pub now: DateTime<Utc>,
    /// What was received until then was handled.
    pub heard_until: DateTime<Utc>,
    /// Whether calls that were left out before are tried again.
    pub tries_left_out: bool,
    /// Who owns which call, asked once; or the reason why nobody does.
    owners: HashMap<Evidence, Result<NumberOwner, &'static str>>,
    /// Different calls, one after the other, that failed perhaps by themselves.
    unclear_in_a_row: u32,
}

/// A listed call of ours.
struct Listed<'a> {
    id: String,
    call: RetellCall<'a>,
    /// Events that must have been heard by now.
    due: BTreeSet<Lifecycle>,
}

impl<'a> Pass<'a> {
    pub fn new(running: &'a Running, account: &'a Account, now: DateTime<Utc>, heard_until: DateTime<Utc>, tries_left_out: bool) -> Self {
        Self { running, account, now, heard_until: heard_until.min(now), tries_left_out, owners: HashMap::new(), unclear_in_a_row: 0 }
    }

    /// Goes through the page.
    ///
    /// # Errors
    /// What is no single call's fault; what was repaired before stays.
    pub async fn compare(&mut self, list: &CallList<'_>, found: &mut Found) -> Result<(), Failure> {
        found.listed += list.len();
        let mut by_company: HashMap<Uuid, (NumberOwner, Vec<Listed<'_>>)> = HashMap::new();
        for (call, text) in list.as_told() {
            let due = due(&call, self.heard_until);
            let Some(id) = call.call_id.clone().filter(|_| !due.is_empty()) else { continue };
            match self.owner(&call).await? {
                // two branches of a company share its transaction; the repair asks for the call's own branch
                Ok(owner) => by_company.entry(owner.company_id).or_insert_with(|| (owner, Vec::new())).1.push(Listed { id, call, due }),
                Err(reason) => {
                    found.unowned += 1;
                    self.park(&id, reason, text).await?;
                }
            }
        }
        for (owner, listed) in by_company.into_values() {
            let (known, parked) = self.known(owner.company_id, &listed).await?;
            for listed in &listed {
                let nothing = KnownCall::default();
                let known = known.get(&listed.id).unwrap_or(&nothing);
                if listed.due.is_subset(&known.heard) || (parked.contains(&listed.id) && !self.tries_left_out) {
                    continue;
                }
                match self.repair(owner.company_id, listed, known).await {
                    Ok(events) => {
                        self.unclear_in_a_row = 0;
                        found.repaired += events;
                    }
                    Err(failure) => self.leave_out(owner.company_id, &listed.id, failure).await?,
                }
            }
        }
        Ok(())
    }

    async fn known(&self, company_id: Uuid, listed: &[Listed<'_>]) -> Result<(HashMap<String, KnownCall>, BTreeSet<String>), Failure> {
        let ids: Vec<String> = listed.iter().map(|listed| listed.id.clone()).collect();
        let mut tx = self.running.begin(Some(company_id)).await?;
        let known = call_sweeps::known(&mut tx, &ids).await?;
        let parked = call_sweeps::parked(&mut tx, self.account.credential_id, &ids).await?;
        tx.commit().await?;
        Ok((known, parked))
    }

    /// Items of a list carry no transcript: unless we have it, the call itself is fetched. If that cannot be had or stored, what the list tells is taken in all the same.
    async fn repair(&mut self, company_id: Uuid, listed: &Listed<'_>, known: &KnownCall) -> Result<usize, Failure> {
        if known.has_transcript {
            return self.fold(listed, &listed.call, None).await;
        }
        let trouble = match self.account.call(&listed.id).await {
            Ok(answer) => {
                let fetched = answer.body.as_deref().and_then(|body| serde_json::from_slice::<RetellCall<'_>>(body).ok());
                let call = fetched.as_ref().filter(|call| call.call_id.as_ref() == Some(&listed.id)).unwrap_or(&listed.call);
                match self.fold(listed, call, Some(&answer.record)).await {
                    Ok(events) => return Ok(events),
                    Err(failure) => {
                        // it was made, whatever its answer holds
                        records::insert_account_request(&self.running.context.pool, &answer.record).await?;
                        failure
                    }
                }
            }
            Err(failure) => failure,
        };
        if trouble::whose(&trouble) != Whose::Call {
            return Err(trouble);
        }
        let events = self.fold(listed, &listed.call, None).await?;
        left_out::note(self.running, self.account.credential_id, company_id, &listed.id, trouble).await?;
        Ok(events)
    }

    async fn fold(&mut self, listed: &Listed<'_>, call: &RetellCall<'_>, record: Option<&ApiCall>) -> Result<usize, Failure> {
        let (Ok(owner), Some(told)) = (self.owner(call).await?, call_facts::answered(call, self.now)) else { return Ok(0) };
        // only what was due is made up for: the rest may be under way
        let told = CallUpdate { heard: listed.due.clone(), ..told };
        let repair = Repair { owner: &owner, endpoint_id: self.account.endpoint_id, told, record, look: Look::None };
        Ok(repair::carry_out(self.running, repair).await?.len())
    }

    async fn leave_out(&mut self, company_id: Uuid, retell_call_id: &str, failure: Failure) -> Result<(), Failure> {
        let unclear = trouble::whose(&failure) == Whose::Perhaps;
        let class = failure.class();
        left_out::note(self.running, self.account.credential_id, company_id, retell_call_id, failure).await?;
        self.unclear_in_a_row += u32::from(unclear);
        if unclear && self.unclear_in_a_row >= IN_A_ROW_MAX { Err(Failure::retry(class)) } else { Ok(()) }
    }

    /// A call that is nobody's. As Retell's own answer tells it, or if that cannot be had as the list does.
    async fn park(&mut self, retell_call_id: &str, reason: &'static str, text: &str) -> Result<(), Failure> {
        let call = unowned::Unowned { retell_call_id, reason, now: self.now };
        let Err(failure) = unowned::park_once(self.running, self.account, &call, None).await else { return Ok(()) };
        let failures_max = match trouble::whose(&failure) {
            Whose::Everybody => return Err(failure),
            Whose::Perhaps => FAILURES_MAX,
            Whose::Call => 1,
        };
        let mut tx = self.running.begin(None).await?;
        let enough = call_sweeps::trouble(&mut tx, self.account.credential_id, retell_call_id, failure.class(), failures_max).await?;
        tx.commit().await?;
        if enough {
            return unowned::park_once(self.running, self.account, &call, Some(text)).await;
        }
        self.unclear_in_a_row += 1;
        if self.unclear_in_a_row >= IN_A_ROW_MAX { Err(failure) } else { Ok(()) }
    }

    async fn owner(&mut self, call: &RetellCall<'_>) -> Result<Result<NumberOwner, &'static str>, Failure> {
        let evidence = calls::evidence(call);
        if let Some(known) = self.owners.get(&evidence) {
            return Ok(known.clone());
        }
        let owner = match tenants::of_call(&self.running.context.pool, self.account.endpoint_id, &evidence.as_ref()).await {
            Ok(owner) => Ok(owner),
            Err(Failure::Park { reason, .. }) => Err(reason),
            Err(failure) => return Err(failure),
        };
        self.owners.insert(evidence, owner.clone());
        Ok(owner)
    }
}

/// The events that must have been heard, if everything until `heard_until` was.
fn due(call: &RetellCall<'_>, heard_until: DateTime<Utc>) -> BTreeSet<Lifecycle> {
    // a call without an end (never connected) is found by its start, long ago
    let age = call.ended_at.or(call.started_at).map_or(Duration::MAX, |at| heard_until - at);
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
