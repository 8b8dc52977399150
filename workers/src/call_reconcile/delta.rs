//! Jobs `calls_delta` and `calls_nightly`: Retell's list of calls against ours, account by account.
//!
//! The delta reads the calls that ended since the last run, with an overlap for analyses that came late; it goes on from a saved instant, so that an hour
//! without it costs nothing but time. The nightly one reads the last days by the calls' start: it finds what has no end (calls that never connected) and
//! what the delta missed. An account that cannot be asked stops no other.

use chrono::{DateTime, Duration, Utc};
use shared::retell::{CallQuery, Span};
use shared::store::call_sweeps::{self, SweptAccount};
use shared::store::jobs;
use shared::wire::retell::CallList;

use super::account::Account;
use super::page::{self, Found, Owners, SETTLE};
use crate::runtime::{Failure, failure_log};
use crate::scheduler::Running;

/// An analysis later than this after the end of its call is left to the nightly run.
const OVERLAP: Duration = Duration::minutes(30);
/// One list is of one such span: its progress is saved after each.
const SPAN: Duration = Duration::hours(1);
/// A run makes up for at most a day; the next one goes on.
const SPANS_MAX: usize = 24;
/// A hundred calls each: a workspace with a thousand lines that end a call every three minutes has 20,000 in an hour.
const PAGES_MAX: usize = 300;
/// The first sweep of an account: what began before it was connected is the backfill's (reference/retell.md 7.1: two hours at most).
const BEFORE_FIRST: Duration = Duration::hours(2);
const FIRST_MAX: Duration = Duration::hours(24);
/// What the nightly run reads: three chances for each call. Calls begin at most two hours before they end.
const NIGHTLY_SINCE: Duration = Duration::hours(72);
const NIGHTLY_UNTIL: Duration = Duration::hours(2);

/// What ended since the last run.
///
/// # Errors
/// Postgres is away; the leadership is lost; an account could not be asked (the others were).
pub async fn delta(running: Running) -> Result<String, Failure> {
    each_account(&running, |row, now| {
        let first = (row.created_at - BEFORE_FIRST).max(now - FIRST_MAX);
        let from = row.swept_until.map_or(first, |until| until - OVERLAP);
        Plan { span: Span::Ended, from, until: now - SETTLE, saves: true }
    })
    .await
    .map(|found| {
        running.context.metrics.reconcile.unowned_calls.set(i64::try_from(found.unowned).unwrap_or(i64::MAX));
        found.words()
    })
}

/// What began in the last three days.
///
/// # Errors
/// As [`delta`].
pub async fn nightly(running: Running) -> Result<String, Failure> {
    each_account(&running, |_, now| Plan { span: Span::Started, from: now - NIGHTLY_SINCE, until: now - NIGHTLY_UNTIL, saves: false })
        .await
        .map(|found| found.words())
}

/// What to read of an account.
struct Plan {
    span: Span,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    saves: bool,
}

async fn each_account(running: &Running, plan: impl Fn(&SweptAccount, DateTime<Utc>) -> Plan) -> Result<Found, Failure> {
    let now = jobs::now(&running.context.pool).await?;
    let mut found = Found::default();
    let mut failed = None;
    for row in call_sweeps::accounts(&running.context.pool).await? {
        let Some(account) = Account::open(&running.context, row.credential_id, row.endpoint_id).await? else { continue };
        if let Err(failure) = sweep(running, &account, &plan(&row, now), now, &mut found).await {
            if matches!(failure, Failure::StoreAway { .. }) {
                return Err(failure);
            }
            tracing::warn!(credential.id = %row.credential_id, class = failure.class(), cause = failure_log::chain(&failure), "a Retell account could not be swept");
            failed = Some(failure);
        }
    }
    failed.map_or(Ok(found), Err)
}

async fn sweep(running: &Running, account: &Account, plan: &Plan, now: DateTime<Utc>, found: &mut Found) -> Result<(), Failure> {
    let mut owners = Owners::new();
    let spans_max = if plan.saves { SPANS_MAX } else { usize::MAX };
    for (from, until) in spans(plan.from, plan.until).take(spans_max) {
        let mut query = CallQuery { span: plan.span, from, until, pagination_key: None };
        for page in 1.. {
            let body = account.page(&query).await?;
            let list = CallList::parse(&body).map_err(|error| Failure::Retry { class: "retell_unreadable", cause: Some(Box::new(error)) })?;
            page::compare(running, account, &list, now, &mut owners, found).await?;
            match list.pagination_key {
                Some(key) if list.has_more && page < PAGES_MAX => query.pagination_key = Some(key),
                // the rest would be passed over in silence
                _ if list.has_more => return Err(Failure::retry("retell_list_endless")),
                _ => break,
            }
        }
        if plan.saves {
            let mut tx = running.begin(None).await?;
            call_sweeps::swept(&mut tx, account.credential_id, until).await?;
            tx.commit().await?;
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
