//! Compares one page of Retell's list with our rows: whose calls they are, what was heard of each, and what is missing.
//!
//! What is missing is said by `sorted`. One call that cannot be fetched or stored stops none of the others (`left_out`, `unshown`).

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use shared::domain::call::CallUpdate;
use shared::store::call_sweeps::{self, KnownCall};
use shared::store::records::{self, ApiCall};
use shared::store::resolve::NumberOwner;
use shared::store::troubled_calls;
use shared::wire::retell::{CallList, RetellCall};
use tokio::time::Instant;
use uuid::Uuid;

use super::account::{Account, Answer};
use super::repair::{self, Look, Repair};
use super::sorted::{Listed, Ours, Page, due};
use super::trouble::{self, FAILURES_MAX, IN_A_ROW_MAX, REFUSED, UNAVAILABLE, Whose};
use super::unowned::Unowned;
use super::unshown::Unshown;
use super::{left_out, unowned};
use crate::call_facts;
use crate::calls::{self, Evidence};
use crate::runtime::Failure;
use crate::scheduler::Running;
use crate::tenants;

/// What a sweep found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub listed: usize,
    pub repaired: usize,
    pub unowned: usize,
}

impl Found {
    pub fn words(&self) -> String {
        format!("{} listed, {} repaired, {} nobody's", self.listed, self.repaired, self.unowned)
    }

    pub const fn add(&mut self, other: Self) {
        self.listed += other.listed;
        self.repaired += other.repaired;
        self.unowned += other.unowned;
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
    /// When its turn is over: nothing is begun after that.
    pub ends: Instant,
    pub found: Found,
    /// Who owns which call, asked once; or the reason why nobody does.
    owners: HashMap<Evidence, Result<NumberOwner, &'static str>>,
    /// Different calls, one after the other, that failed perhaps by themselves.
    pub unclear_in_a_row: u32,
    /// Retell showed a call in this pass, or said of one that it will not: it answers such questions.
    pub was_shown_one: bool,
    /// A listed call that nothing is wrong with.
    pub control: Option<String>,
}

/// How far a page was gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Through,
    /// The turn is over: the next one begins with this page, and passes over what was repaired.
    TimeIsUp,
}

impl<'a> Pass<'a> {
    pub fn new(running: &'a Running, account: &'a Account, now: DateTime<Utc>, heard_until: DateTime<Utc>, tries_left_out: bool, ends: Instant) -> Self {
        let heard_until = heard_until.min(now);
        let (found, owners) = (Found::default(), HashMap::new());
        Self { running, account, now, heard_until, tries_left_out, ends, found, owners, unclear_in_a_row: 0, was_shown_one: false, control: None }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Goes through the page.
    ///
    /// # Errors
    /// What is no single call's fault; what was repaired before stays.
    pub async fn compare(&mut self, list: &CallList<'_>) -> Result<Gone, Failure> {
        self.found.listed += list.len();
        let page = self.sort(list).await?;
        self.found.unowned += page.nobodys.len();
        let mut unshown = Vec::new();
        for (id, reason, text) in &page.nobodys {
            if self.is_over() {
                self.judge(&mut unshown, false).await?;
                return Ok(Gone::TimeIsUp);
            }
            self.park(Unowned { retell_call_id: id, reason, now: self.now }, text, &mut unshown).await?;
        }
        let tries_left_out = self.tries_left_out;
        for ours in &page.ours {
            for listed in ours.listed.iter().filter(|listed| ours.is_missing(listed, tries_left_out)) {
                if self.is_over() {
                    self.judge(&mut unshown, false).await?;
                    return Ok(Gone::TimeIsUp);
                }
                self.make_up(ours, listed, &mut unshown).await?;
            }
        }
        self.judge(&mut unshown, false).await?;
        Ok(Gone::Through)
    }

    /// Whose the calls are, and what is known of each.
    async fn sort<'l>(&mut self, list: &CallList<'l>) -> Result<Page<'l>, Failure> {
        let mut page = Page::default();
        let mut by_company: HashMap<Uuid, Vec<Listed<'l>>> = HashMap::new();
        for (call, text) in list.as_told() {
            let due = due(&call, self.heard_until);
            let Some(id) = call.call_id.clone().filter(|_| !due.is_empty()) else { continue };
            match self.owner(&call).await? {
                // two branches of a company share its transaction; the repair asks for the call's own branch
                Ok(owner) => by_company.entry(owner.company_id).or_default().push(Listed { id, call, due }),
                Err(reason) => page.nobodys.push((id, reason, text)),
            }
        }
        for (company_id, listed) in by_company {
            let (known, parked) = self.known(company_id, &listed).await?;
            let ours = Ours { company_id, listed, known, parked };
            let control = ours.listed.iter().find(|listed| ours.is_complete(listed) && !ours.parked.contains_key(&listed.id));
            self.control = control.map(|listed| listed.id.clone()).or_else(|| self.control.take());
            page.ours.push(ours);
        }
        Ok(page)
    }

    async fn known(&self, company_id: Uuid, listed: &[Listed<'_>]) -> Result<(HashMap<String, KnownCall>, BTreeMap<String, String>), Failure> {
        let ids: Vec<String> = listed.iter().map(|listed| listed.id.clone()).collect();
        let mut tx = self.running.begin(Some(company_id)).await?;
        let known = call_sweeps::known(&mut tx, &ids).await?;
        let parked = troubled_calls::parked(&mut tx, self.account.credential_id, &ids).await?;
        tx.commit().await?;
        Ok((known, parked))
    }

    async fn make_up<'p>(&mut self, ours: &'p Ours<'p>, listed: &'p Listed<'p>, unshown: &mut Vec<Unshown<'p>>) -> Result<(), Failure> {
        let company_id = ours.company_id;
        match self.repair(ours, listed).await {
            Ok(events) => {
                self.unclear_in_a_row = 0;
                self.found.repaired += events;
                Ok(())
            }
            Err(failure) if failure.class() == UNAVAILABLE => self.hold(unshown, Unshown::Ours { company_id, listed, failure }).await,
            Err(failure) => self.leave_out(company_id, &listed.id, failure).await,
        }
    }

    /// Retell's own answer about a call.
    pub async fn ask(&mut self, retell_call_id: &str) -> Result<Answer, Failure> {
        let answer = self.account.call(retell_call_id).await;
        self.was_shown_one |= answer.as_ref().map_or_else(|failure| failure.class() == REFUSED, |_| true);
        answer
    }

    /// Items of a list carry no transcript: unless we have it, the call itself is fetched. If that cannot be had or stored, what the list tells is taken in all the same.
    async fn repair(&mut self, ours: &Ours<'_>, listed: &Listed<'_>) -> Result<usize, Failure> {
        if ours.has_transcript(listed) {
            return self.fold(listed, &listed.call, None).await;
        }
        let trouble = match self.ask(&listed.id).await {
            Ok(answer) => {
                let fetched = answer.body.as_deref().and_then(|body| serde_json::from_slice::<RetellCall<'_>>(body).ok());
                let call = fetched.as_ref().filter(|call| call.call_id.as_ref() == Some(&listed.id)).unwrap_or(&listed.call);
                match self.fold(listed, call, Some(&answer.record)).await {
                    Ok(events) => {
                        self.forget_trouble(ours, listed).await?;
                        return Ok(events);
                    }
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
        left_out::note(self.running, self.account.credential_id, ours.company_id, &listed.id, trouble).await?;
        Ok(events)
    }

    /// A call that was left out before was had after all.
    async fn forget_trouble(&self, ours: &Ours<'_>, listed: &Listed<'_>) -> Result<(), Failure> {
        if !ours.parked.contains_key(&listed.id) {
            return Ok(());
        }
        let mut tx = self.running.begin(None).await?;
        troubled_calls::forget_trouble(&mut tx, self.account.credential_id, &listed.id).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn fold(&mut self, listed: &Listed<'_>, call: &RetellCall<'_>, record: Option<&ApiCall>) -> Result<usize, Failure> {
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
    async fn park<'p>(&mut self, call: Unowned<'p>, text: &'p str, unshown: &mut Vec<Unshown<'p>>) -> Result<(), Failure> {
        let failure = match unowned::park_once(self.running, self.account, &call, None).await {
            Ok(asked) => {
                self.was_shown_one |= asked;
                return Ok(());
            }
            Err(failure) if failure.class() == UNAVAILABLE => return self.hold(unshown, Unshown::Nobodys { call, text, failure }).await,
            Err(failure) => failure,
        };
        match trouble::whose(&failure) {
            Whose::Everybody => Err(failure),
            Whose::Call => self.park_as_listed(&call, text, failure.class(), 1).await,
            Whose::Perhaps => {
                self.park_as_listed(&call, text, failure.class(), FAILURES_MAX).await?;
                self.unclear_in_a_row += 1;
                if self.unclear_in_a_row >= IN_A_ROW_MAX { Err(failure) } else { Ok(()) }
            }
        }
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
