//! Calls against Retell's own list (I5): what the stand-in says of each call is what our row says, in status, end and duration. And before the last sweeps had
//! their chance: what an acknowledged event told was taken in by then; and at no time did a sweep have to cover up its loss (I1).
//!
//! Called by `convergence` and `no_loss`.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, PgPool};

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::Findings;
use crate::retell_stand_in::CallObject;

/// A row of ours.
#[derive(Debug, Clone, FromRow)]
pub struct CallRow {
    pub retell_call_id: String,
    pub status: String,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    /// Events that a sweep made up for, and that no webhook has told since.
    pub repaired: Vec<String>,
}

/// A sweep takes calls in that ended so long ago; its webhooks may still be on their way before.
const SWEPT_AFTER: TimeDelta = TimeDelta::minutes(2);
/// The same of an analysis.
const ANALYSIS_SWEPT_AFTER: TimeDelta = TimeDelta::minutes(5);

/// How far each call is, by Retell's id: to be read before the last sweeps, which complete what is missing.
///
/// # Errors
/// Postgres is away.
pub async fn calls_now(database: &PgPool) -> anyhow::Result<BTreeMap<String, String>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT retell_call_id, status FROM calls").fetch_all(database).await.context("reading how far calls are")?;
    Ok(rows.into_iter().collect())
}

/// The order of a call's states; 0 = no row.
pub fn stage_of(status: Option<&str>) -> u8 {
    match status {
        Some("analyzed") => 3,
        Some("ended") => 2,
        Some("ongoing") => 1,
        _ => 0,
    }
}

fn stage_of_event(event: &str) -> u8 {
    match event {
        "call_analyzed" => 3,
        "call_ended" => 2,
        "call_started" => 1,
        _ => 0,
    }
}

/// The furthest event of each call that was acknowledged.
fn told(record: &Record) -> HashMap<String, u8> {
    let mut told: HashMap<String, u8> = HashMap::new();
    for webhook in record.retell.webhooks().into_iter().filter(|webhook| webhook.acknowledged) {
        let stage = told.entry(webhook.call_id).or_default();
        *stage = (*stage).max(stage_of_event(&webhook.event));
    }
    told
}

/// Retell's list against ours. Only what Retell connected: whoever merely rang is in no list and promises nothing.
pub fn same_as_retells(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let ours: HashMap<&str, &CallRow> = evidence.rows.calls.iter().map(|row| (row.retell_call_id.as_str(), row)).collect();
    let told = told(record);
    for call in record.retell.calls().iter().filter(|call| call.start_timestamp.is_some()) {
        let known = told.get(&call.call_id).copied().unwrap_or_default().max(swept(call, record.load_ended_at));
        let wrong = differs(call, ours.get(call.call_id.as_str()).copied(), known);
        findings.expect(wrong.is_none(), || format!("the call {} {}", call.call_id, wrong.unwrap_or_default()));
    }
}

/// How much of a call a sweep after the load must have found, whatever was lost: calls that are old enough for it.
fn swept(call: &CallObject, load_ended_at: DateTime<Utc>) -> u8 {
    let ended_at = call.end_timestamp.and_then(DateTime::from_timestamp_millis);
    match ended_at.map(|at| load_ended_at - at) {
        Some(age) if age >= ANALYSIS_SWEPT_AFTER && call.call_analysis.is_some() => 3,
        Some(age) if age >= SWEPT_AFTER => 2,
        _ => 0,
    }
}

/// `known`: the stage that we can know.
fn differs(call: &CallObject, row: Option<&CallRow>, known: u8) -> Option<String> {
    let Some(row) = row else { return (known > 0).then(|| "is in Retell's list and not in ours".to_owned()) };
    if stage_of(Some(&row.status)) < known {
        return Some(format!("is at stage {known} at Retell and {} in our list", row.status));
    }
    // an event that came out of order says "ongoing" of a call that has an end
    let ended_ms = call.end_timestamp.filter(|_| stage_of(Some(&row.status)) >= 2)?;
    if known >= 2 && row.ended_at.map(|at| at.timestamp_millis()) != Some(ended_ms) {
        return Some(format!("ended at {:?} at Retell and at {:?} in our list", DateTime::from_timestamp_millis(ended_ms), row.ended_at));
    }
    (known >= 2 && row.duration_ms != call.duration_ms).then(|| format!("lasted {:?} ms at Retell and {:?} ms in our list", call.duration_ms, row.duration_ms))
}

/// What was told by an acknowledged event needs no sweep.
pub fn told_before_sweeps(record: &Record, findings: &mut Findings) {
    let Some(before) = &record.calls_before_sweeps else { return };
    for (call, stage) in told(record).into_iter().filter(|(_, stage)| *stage > 0) {
        let status = before.get(&call).map(String::as_str);
        findings.expect(stage_of(status) >= stage, || {
            format!("the call {call} was {status:?} before the last sweeps, although an event of stage {stage} had been acknowledged")
        });
    }
}

/// What a sweep of the campaign's hours made up for although its webhook was acknowledged: the event's effect was lost. (A webhook that comes after the sweep prevails over it;
/// one that lies before a human was not lost.)
pub fn covered_up(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let webhooks = record.retell.webhooks();
    let told: HashSet<(&str, &str)> =
        webhooks.iter().filter(|webhook| webhook.acknowledged).map(|webhook| (webhook.call_id.as_str(), webhook.event.as_str())).collect();
    for row in &evidence.rows.calls {
        let id = &row.retell_call_id;
        for event in row.repaired.iter().filter(|event| !evidence.rows.parked_calls.contains(&(id.clone(), (*event).clone()))) {
            findings
                .expect(!told.contains(&(id, event)), || format!("{event} of the call {id} was told by an acknowledged webhook, and made up for by a sweep"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_differs_by_its_row_its_stage_its_end_and_its_duration() {
        let call =
            CallObject { call_id: "c".to_owned(), start_timestamp: Some(1_000), end_timestamp: Some(5_000), duration_ms: Some(4_000), ..Default::default() };
        let ended_at = DateTime::from_timestamp_millis(5_000);
        let row = CallRow { retell_call_id: "c".to_owned(), status: "ended".to_owned(), ended_at, duration_ms: Some(4_000), repaired: Vec::new() };
        let said = |row: Option<&CallRow>| differs(&call, row, 2).unwrap_or_default();
        assert_eq!(said(Some(&row)), "");
        assert!(said(None).contains("not in ours"));
        assert!(said(Some(&CallRow { status: "ongoing".to_owned(), ..row.clone() })).contains("is at stage 2 at Retell"));
        assert!(said(Some(&CallRow { ended_at: None, ..row.clone() })).contains("in our list"));
        assert!(said(Some(&CallRow { duration_ms: Some(1), ..row.clone() })).starts_with("lasted"));
        assert_eq!(differs(&CallObject { end_timestamp: None, ..call.clone() }, Some(&row), 1), None);
        // all its events were lost a moment ago: neither told nor swept yet
        assert_eq!(differs(&call, None, 0), None);
    }

    #[test]
    fn a_sweep_must_have_found_what_ended_long_enough_ago() {
        let call = CallObject { end_timestamp: Some(0), ..Default::default() };
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        assert_eq!([swept(&call, at(1)), swept(&call, at(2)), swept(&call, at(6))], [0, 2, 2]);
        assert_eq!(swept(&CallObject::default(), at(60)), 0);
    }
}
