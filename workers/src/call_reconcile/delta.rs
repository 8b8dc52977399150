//! Jobs `calls_delta` and `calls_nightly`: Retell's list of calls against ours, account by account.
//!
//! The delta reads the calls that ended since the last run, with an overlap for analyses that came late; it goes on from a saved instant, so that an hour
//! without it costs nothing but time. The nightly one reads the last days by the calls' start: it finds what has no end (calls that never connected) and
//! what the delta missed. An account that cannot be asked stops no other; accounts take turns, and each stops after a while with what it came to saved.

use chrono::{DateTime, Duration, Utc};
use shared::retell::{CallQuery, Span};
use shared::store::accounts::Provider;
use shared::store::call_sweeps::{self, CallSweep, SweptAccount};
use shared::store::jobs;
use shared::wire::retell::CallList;
use tokio::time::Instant;

use super::account::Account;
use super::page::{Found, Pass, SETTLE};
use crate::hearing;
use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// An analysis later than this after the end of its call is left to the nightly run.
const OVERLAP: Duration = Duration::minutes(30);
/// One list is of one such span: its progress is saved after each.
const SPAN: Duration = Duration::hours(1);
/// After that no further span of an account is begun, the rest is its next turn's: the others wait.
const DELTA_TURN_MAX: std::time::Duration = std::time::Duration::from_secs(60);
const NIGHTLY_TURN_MAX: std::time::Duration = std::time::Duration::from_secs(900);
/// A hundred calls each: a workspace with a thousand lines that end a call every three minutes has 20,000 in an hour.
const PAGES_MAX: usize = 300;
/// The first sweep of an account: what began before it was connected is the backfill's (reference/retell.md 7.1: two hours at most).
const BEFORE_FIRST: Duration = Duration::hours(2);
const FIRST_MAX: Duration = Duration::hours(24);
/// What the nightly run reads: three chances for each call. Calls begin at most two hours before they end.
const NIGHTLY_SINCE: Duration = Duration::hours(72);
const NIGHTLY_UNTIL: Duration = Duration::hours(2);
/// Longer than the nightly run looks back: what it did not see for so long it never sees again.
const TROUBLES_KEPT: Duration = Duration::days(7);

/// What ended since the last run.
///
/// # Errors
/// Postgres is away; the leadership is lost; an account could not be asked (the others were).
pub async fn delta(running: Running) -> Result<String, Failure> {
    let found = each_account(&running, CallSweep::Delta).await?;
    running.context.metrics.reconcile.unowned_calls.set(i64::try_from(found.unowned).unwrap_or(i64::MAX));
    Ok(found.words())
}

/// What began in the last three days.
///
/// # Errors
/// As [`delta`].
pub async fn nightly(running: Running) -> Result<String, Failure> {
    let mut tx = running.begin(None).await?;
    call_sweeps::forget_troubles(&mut tx, TROUBLES_KEPT).await?;
    tx.commit().await?;
    each_account(&running, CallSweep::Nightly).await.map(|found| found.words())
}

/// What to read of an account.
struct Plan {
    sweep: CallSweep,
    span: Span,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    turn_max: std::time::Duration,
}

impl Plan {
    /// `heard`: until when everything was heard; what ended later is left to its webhook.
    fn of(sweep: CallSweep, row: &SweptAccount, now: DateTime<Utc>, heard: DateTime<Utc>) -> Self {
        match sweep {
            CallSweep::Delta => {
                let first = (row.created_at - BEFORE_FIRST).max(now - FIRST_MAX);
                let from = row.swept_until.map_or(first, |until| until - OVERLAP);
                Self { sweep, span: Span::Ended, from, until: heard - SETTLE, turn_max: DELTA_TURN_MAX }
            }
            CallSweep::Nightly => {
                let from = row.reached.map_or(now - NIGHTLY_SINCE, |reached| reached.max(now - NIGHTLY_SINCE));
                Self { sweep, span: Span::Started, from, until: now - NIGHTLY_UNTIL, turn_max: NIGHTLY_TURN_MAX }
            }
        }
    }
}

async fn each_account(running: &Running, sweep: CallSweep) -> Result<Found, Failure> {
    let heard = hearing::until(running, Provider::Retell).await?;
    let now = jobs::now(&running.context.pool).await?;
    let mut found = Found::default();
    let mut failed = None;
    for row in call_sweeps::accounts(&running.context.pool, sweep).await? {
        let mut tx = running.begin(None).await?;
        call_sweeps::begin_turn(&mut tx, row.credential_id, sweep).await?;
        tx.commit().await?;
        let Some(account) = Account::open(&running.context, row.credential_id, row.endpoint_id).await? else { continue };
        let mut pass = Pass::new(running, &account, now, heard, sweep == CallSweep::Nightly);
        let plan = Plan::of(sweep, &row, now, pass.heard_until);
        if let Err(failure) = turn(&mut pass, &plan, &mut found).await {
            if matches!(failure, Failure::StoreAway { .. }) {
                return Err(failure);
            }
            tracing::warn!(credential.id = %row.credential_id, class = failure.class(), cause = failure_log::chain(&failure), "a Retell account could not be swept");
            failed = Some(failure);
        }
    }
    failed.map_or(Ok(found), Err)
}

/// One account's turn: span by span, each saved.
async fn turn(pass: &mut Pass<'_>, plan: &Plan, found: &mut Found) -> Result<(), Failure> {
    let begun = Instant::now();
    for (from, until) in spans(plan.from, plan.until) {
        if begun.elapsed() > plan.turn_max {
            return Ok(());
        }
        list(pass, CallQuery { span: plan.span, from, until, pagination_key: None }, found).await?;
        let mut tx = pass.running.begin(None).await?;
        match plan.sweep {
            CallSweep::Delta => call_sweeps::swept(&mut tx, pass.account.credential_id, until).await?,
            CallSweep::Nightly => call_sweeps::reach(&mut tx, pass.account.credential_id, Some(until)).await?,
        }
        tx.commit().await?;
    }
    let mut tx = pass.running.begin(None).await?;
    match plan.sweep {
        CallSweep::Delta => call_sweeps::swept_now(&mut tx, pass.account.credential_id).await?,
        CallSweep::Nightly => call_sweeps::reach(&mut tx, pass.account.credential_id, None).await?,
    }
    tx.commit().await?;
    Ok(())
}

/// All pages of one span.
async fn list(pass: &mut Pass<'_>, mut query: CallQuery, found: &mut Found) -> Result<(), Failure> {
    for page in 1.. {
        let body = pass.account.page(&query).await?;
        let list = CallList::parse(&body).map_err(|error| Failure::Retry { class: "retell_unreadable", cause: Some(Box::new(error)) })?;
        pass.compare(&list, found).await?;
        match list.pagination_key {
            Some(key) if list.has_more && page < PAGES_MAX => query.pagination_key = Some(key),
            // the rest would be passed over in silence
            _ if list.has_more => return Err(Failure::retry("retell_list_endless")),
            _ => break,
        }
    }
    Ok(())
}

/// The time from `from` to `until` in pieces; nothing if it has not begun.
fn spans(from: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
    let mut next = from;
    std::iter::from_fn(move || {
        let start = next;
        next = (start + SPAN).min(until);
        (start < next).then_some((start, next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_time_without_a_gap() {
        let at = |minutes: i64| DateTime::from_timestamp(minutes * 60, 0).unwrap();
        assert_eq!(spans(at(0), at(130)).collect::<Vec<_>>(), [(at(0), at(60)), (at(60), at(120)), (at(120), at(130))]);
        assert_eq!(spans(at(5), at(5)).count() + spans(at(6), at(5)).count(), 0);
    }
}
