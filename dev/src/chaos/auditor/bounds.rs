//! I8: everything has its bound, whatever happens: attempts per message, requests per Cal.com credential, bytes of a spool, memory of a process.

use std::collections::{HashMap, VecDeque};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::obedience;
use crate::calcom_stand_in::RequestEntry;

/// One and the same attempt at one message is made again by every copy of it (a provider sends three times when nobody answers, a fault doubles that, and each may go through
/// the broker and, unconfirmed, through the spool too), or after a kill between its row and the next tier's confirm. More often than this is a number that does not rise.
const SAME_ATTEMPT_MAX: i64 = 12;

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    attempts(record, &mut findings).await?;
    let mut by_key: HashMap<&str, Vec<&RequestEntry>> = HashMap::new();
    for request in &evidence.requests {
        by_key.entry(request.key_name.as_deref().unwrap_or("no key")).or_default().push(request);
    }
    for (key, requests) in by_key {
        window(record, key, &requests, &mut findings);
        refusals(key, &requests, &mut findings);
    }
    obedience::judge(record, evidence, &mut findings);
    for spool in &record.spools {
        findings.expect(spool.bytes_max <= spool.quota_bytes, || {
            format!("the spool {} held {} bytes, its quota is {}", spool.folder.display(), spool.bytes_max, spool.quota_bytes)
        });
    }
    for process in &record.processes {
        let (seen, cap) = (process.resident_bytes_max >> 20, record.limits.resident_bytes_max >> 20);
        findings
            .expect(process.resident_bytes_max <= record.limits.resident_bytes_max, || format!("{} took {seen} MiB of memory, its cap is {cap}", process.name));
    }
    Ok(findings)
}

async fn attempts(record: &Record, findings: &mut Findings) -> anyhow::Result<()> {
    let handled: i64 = sqlx::query_scalar("SELECT count(DISTINCT message_id) FROM attempts").fetch_one(&record.database).await.context("counting messages")?;
    findings.looked_at(usize::try_from(handled).unwrap_or_default());
    let beyond: Vec<(String, String, i32)> =
        sqlx::query_as("SELECT role, kind, max(attempt) FROM attempts GROUP BY role, kind, message_id HAVING max(attempt) > $1 LIMIT 1000")
            .bind(record.limits.attempts_max)
            .fetch_all(&record.database)
            .await
            .context("looking for attempts beyond their bound")?;
    findings.violated_by(beyond.into_iter().map(|(role, kind, attempt)| format!("{role} is at attempt {attempt} of a {kind}")));
    // the number is the product's own; the rows are counted, too
    let repeated: Vec<(String, String, i32, i64)> = sqlx::query_as(
        "SELECT role, kind, attempt, count(*) FROM attempts WHERE outcome = 'retry' GROUP BY role, kind, message_id, attempt HAVING count(*) > $1 LIMIT 1000",
    )
    .bind(SAME_ATTEMPT_MAX)
    .fetch_all(&record.database)
    .await
    .context("counting attempts")?;
    findings
        .violated_by(repeated.into_iter().map(|(role, kind, attempt, times)| format!("{role} has made attempt {attempt} at a {kind} {times} times in vain")));
    Ok(())
}

/// In no window of that length more than the provider allows.
fn window(record: &Record, key: &str, requests: &[&RequestEntry], findings: &mut Findings) {
    let length = TimeDelta::from_std(record.limits.calcom_window).unwrap_or(TimeDelta::MAX);
    let (most, ended) = fullest(requests.iter().map(|request| request.at), length);
    findings.expect(most <= record.limits.calcom_per_window as usize, || {
        format!("{key} made {most} requests in the {} s before {ended:?}, {} are allowed", length.num_seconds(), record.limits.calcom_per_window)
    });
}

/// The most instants within one window, and when it ended.
fn fullest(instants: impl Iterator<Item = DateTime<Utc>>, length: TimeDelta) -> (usize, Option<DateTime<Utc>>) {
    let mut instants: Vec<_> = instants.collect();
    instants.sort();
    let mut inside: VecDeque<DateTime<Utc>> = VecDeque::new();
    let mut most = (0, None);
    for at in instants {
        while inside.front().is_some_and(|first| at - *first >= length) {
            inside.pop_front();
        }
        inside.push_back(at);
        most = most.max((inside.len(), Some(at)));
    }
    most
}

/// The limiter itself never had to refuse us; refusals that were ordered as a fault are no fault of ours.
fn refusals(key: &str, requests: &[&RequestEntry], findings: &mut Findings) {
    let refused = requests.iter().filter(|request| request.status == 429 && request.fault.is_none()).count();
    findings.expect(refused == 0, || format!("{key} was refused {refused} times for asking too often"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_window_is_found_wherever_it_lies() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let minute = TimeDelta::seconds(60);
        assert_eq!(fullest([0, 59, 60, 61, 119, 200].map(at).into_iter(), minute), (3, Some(at(119))));
        assert_eq!(fullest(std::iter::empty(), minute), (0, None));
    }
}
