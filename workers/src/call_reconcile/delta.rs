//! Jobs `calls_delta` and `calls_nightly`: Retell's list of calls against ours, account by account.
//!
//! The delta reads the calls that ended since the last run, with an overlap for analyses that came late; it goes on from a saved instant, so that an hour
//! without it costs nothing but time. The nightly one reads the last days by the calls' start: it finds what has no end (calls that never connected) and
//! what the delta missed. An account that cannot be asked stops no other; a few accounts have their turns at once, and each ends in time, with the page that it came to saved.

use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt as _, stream};
use shared::retell::{CallQuery, Span};
use shared::store::accounts::Provider;
use shared::store::call_sweeps::{self, CallSweep, OpenList, SweptAccount};
use shared::store::{jobs, troubled_calls};
use shared::wire::retell::CallList;
use tokio::time::Instant;
use uuid::Uuid;

use super::account::Account;
#[cfg(test)]
use super::account::STEP_LONGEST;
use super::page::{Found, Gone, Pass};
use super::refused_key;
use super::sorted::SETTLE;
use crate::hearing;
use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// An analysis later than this after the end of its call is left to the nightly run.
const OVERLAP: Duration = Duration::minutes(30);
/// One list is of one such span: its progress is saved after each.
const SPAN: Duration = Duration::hours(1);
/// So many accounts at a time: each has its own budget, and mostly waits for Retell.
const AT_ONCE: usize = 4;
/// The delta's run ends about then, so that the next one is not late: what is left of an account is its next turn's, from the page at which it stopped.
const DELTA_RUN_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// Later than that no account's turn begins: it would have no time. The next run begins with it.
const DELTA_BEGINS_MAX: std::time::Duration = std::time::Duration::from_secs(30);
const NIGHTLY_TURN_MAX: std::time::Duration = std::time::Duration::from_secs(900);
/// As above; with the last turn well below the job's hour.
const NIGHTLY_BEGINS_MAX: std::time::Duration = std::time::Duration::from_secs(2_600);
/// From the begin of a delta to its end, with the last call or page that was begun in time.
#[cfg(test)]
pub(crate) const DELTA_LONGEST: std::time::Duration = std::time::Duration::from_secs(DELTA_RUN_MAX.as_secs() + STEP_LONGEST.as_secs());
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
    let (found, failed) = each_account(&running, CallSweep::Delta).await?;
    let (gauge, unowned) = (&running.context.metrics.reconcile.unowned_calls, i64::try_from(found.unowned).unwrap_or(i64::MAX));
    // what an account that could not be asked showed before is not taken back
    gauge.set(if failed.is_some() { unowned.max(gauge.get()) } else { unowned });
    failed.map_or_else(|| Ok(found.words()), Err)
}

/// What began in the last three days.
///
/// # Errors
/// As [`delta`].
pub async fn nightly(running: Running) -> Result<String, Failure> {
    let mut tx = running.begin(None).await?;
    troubled_calls::forget_troubles(&mut tx, TROUBLES_KEPT).await?;
    tx.commit().await?;
    let (found, failed) = each_account(&running, CallSweep::Nightly).await?;
    failed.map_or_else(|| Ok(found.words()), Err)
}

/// What to read of an account.
struct Plan {
    sweep: CallSweep,
    span: Span,
    /// In whose middle the last turn ended.
    open: Option<OpenList>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Plan {
    /// `heard`: until when everything was heard; what ended later is left to its webhook.
    fn of(sweep: CallSweep, row: &SweptAccount, now: DateTime<Utc>, heard: DateTime<Utc>) -> Self {
        let open = row.open_list();
        let next = open.as_ref().map(|open| open.until);
        match sweep {
            CallSweep::Delta => {
                let first = (row.created_at - BEFORE_FIRST).max(now - FIRST_MAX);
                let from = row.swept_until.map_or(first, |until| until - OVERLAP);
                Self { sweep, span: Span::Ended, open, from: next.unwrap_or(from), until: heard - SETTLE }
            }
            CallSweep::Nightly => {
                let from = row.reached.map_or(now - NIGHTLY_SINCE, |reached| reached.max(now - NIGHTLY_SINCE));
                Self { sweep, span: Span::Started, open, from: next.unwrap_or(from), until: now - NIGHTLY_UNTIL }
            }
        }
    }

    /// The lists to read, one after the other.
    fn lists(&self) -> impl Iterator<Item = OpenList> + use<> {
        let anew = spans(self.from, self.until).map(|(from, until)| OpenList { from, until, key: None, pages: 0 });
        self.open.clone().into_iter().chain(anew)
    }
}

/// One run: its sweep, when it began, and until when everything was heard.
#[derive(Clone, Copy)]
struct Run {
    sweep: CallSweep,
    began: Instant,
    now: DateTime<Utc>,
    heard: DateTime<Utc>,
}

impl Run {
    /// When a turn that begins now ends; `None`: it is too late for one.
    fn ends(&self, begins: Instant) -> Option<Instant> {
        let (begins_max, ends) = match self.sweep {
            CallSweep::Delta => (DELTA_BEGINS_MAX, self.began + DELTA_RUN_MAX),
            CallSweep::Nightly => (NIGHTLY_BEGINS_MAX, begins + NIGHTLY_TURN_MAX),
        };
        (begins <= self.began + begins_max).then_some(ends)
    }
}

/// A few accounts at a time; what was found, and the failure of one of them.
async fn each_account(running: &Running, sweep: CallSweep) -> Result<(Found, Option<Failure>), Failure> {
    let heard = hearing::until(running, Provider::Retell).await?;
    let run = Run { sweep, began: Instant::now(), now: jobs::now(&running.context.pool).await?, heard };
    let turns: Vec<_> = call_sweeps::accounts(&running.context.pool, sweep).await?.into_iter().map(|row| turn(running, run, row)).collect();
    let mut turns = stream::iter(turns).buffer_unordered(AT_ONCE);
    let (mut found, mut failed) = (Found::default(), None);
    while let Some((credential_id, one, ended)) = turns.next().await {
        found.add(one);
        match ended {
            Ok(()) => {}
            // away for all of them
            Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
            Err(failure) => {
                tracing::warn!(credential.id = %credential_id, class = failure.class(), cause = failure_log::chain(&failure), "a Retell account could not be swept");
                failed = Some(failure);
            }
        }
    }
    Ok((found, failed))
}

/// One account's turn; what it found, however it ended.
async fn turn(running: &Running, run: Run, row: SweptAccount) -> (Uuid, Found, Result<(), Failure>) {
    let credential_id = row.credential_id;
    let mut found = Found::default();
    let mut ended = sweep(running, run, row, &mut found).await;
    if let Err(failure) = &ended
        && let Err(worse) = refused_key::tell(running, credential_id, failure).await
    {
        ended = Err(worse);
    }
    (credential_id, found, ended)
}

async fn sweep(running: &Running, run: Run, row: SweptAccount, found: &mut Found) -> Result<(), Failure> {
    let Some(ends) = run.ends(Instant::now()) else { return Ok(()) };
    let mut tx = running.begin(None).await?;
    call_sweeps::begin_turn(&mut tx, row.credential_id, run.sweep).await?;
    tx.commit().await?;
    let Some(account) = Account::open(&running.context, row.credential_id, row.endpoint_id).await? else { return Ok(()) };
    let mut pass = Pass::new(running, &account, run.now, run.heard, run.sweep == CallSweep::Nightly, ends);
    let plan = Plan::of(run.sweep, &row, run.now, pass.heard_until);
    let ended = read_all(&mut pass, &plan).await;
    *found = pass.found;
    ended
}

/// List by list, each saved.
async fn read_all(pass: &mut Pass<'_>, plan: &Plan) -> Result<(), Failure> {
    for list in plan.lists() {
        let until = list.until;
        if pass.is_over() || read(pass, plan, list).await? == Gone::TimeIsUp {
            return Ok(());
        }
        let mut tx = pass.running.begin(None).await?;
        call_sweeps::turn_page(&mut tx, pass.account.credential_id, plan.sweep, None).await?;
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

/// The pages of one list, from that one on.
async fn read(pass: &mut Pass<'_>, plan: &Plan, mut list: OpenList) -> Result<Gone, Failure> {
    loop {
        let query = CallQuery { span: plan.span, from: list.from, until: list.until, pagination_key: list.key.clone() };
        let body = pass.account.page(&query).await?;
        let page = CallList::parse(&body).map_err(|error| Failure::Retry { class: "retell_unreadable", cause: Some(Box::new(error)) })?;
        if pass.compare(&page).await? == Gone::TimeIsUp {
            keep(pass, plan.sweep, &list).await?;
            return Ok(Gone::TimeIsUp);
        }
        match page.pagination_key {
            Some(key) if page.has_more && list.pages + 1 < PAGES_MAX => list = OpenList { key: Some(key), pages: list.pages + 1, ..list },
            // the rest would be passed over in silence
            _ if page.has_more => return Err(Failure::retry("retell_list_endless")),
            _ => return Ok(Gone::Through),
        }
        keep(pass, plan.sweep, &list).await?;
        if pass.is_over() {
            return Ok(Gone::TimeIsUp);
        }
    }
}

/// Notes where the list is to be read on; the account comes on, though no list of it is through.
async fn keep(pass: &Pass<'_>, sweep: CallSweep, list: &OpenList) -> Result<(), Failure> {
    let mut tx = pass.running.begin(None).await?;
    call_sweeps::turn_page(&mut tx, pass.account.credential_id, sweep, Some(list)).await?;
    if sweep == CallSweep::Delta {
        call_sweeps::swept(&mut tx, pass.account.credential_id, list.from).await?;
    }
    tx.commit().await?;
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
    fn no_turn_begins_too_late_and_each_ends_with_its_run() {
        let began = Instant::now();
        let after = |seconds| began + std::time::Duration::from_secs(seconds);
        let run = |sweep| Run { sweep, began, now: DateTime::UNIX_EPOCH, heard: DateTime::UNIX_EPOCH };
        let (delta, nightly) = (run(CallSweep::Delta), run(CallSweep::Nightly));
        assert_eq!([0, 30, 31].map(|seconds| delta.ends(after(seconds))), [Some(after(60)), Some(after(60)), None]);
        assert_eq!([0, 2_600, 2_601].map(|seconds| nightly.ends(after(seconds))), [Some(after(900)), Some(after(3_500)), None]);
    }

    #[test]
    fn spans_cover_the_time_without_a_gap() {
        let at = |minutes: i64| DateTime::from_timestamp(minutes * 60, 0).unwrap();
        assert_eq!(spans(at(0), at(130)).collect::<Vec<_>>(), [(at(0), at(60)), (at(60), at(120)), (at(120), at(130))]);
        assert_eq!(spans(at(5), at(5)).count() + spans(at(6), at(5)).count(), 0);
    }
}
