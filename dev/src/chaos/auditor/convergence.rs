//! I5: whatever came lost, doubled, late or out of order, our rows end as the ledger tells it in its true order: state and chain of each uid, the appointment's
//! projection, every row of history and no other. The same for calls: a call is as far as the furthest event that we took of it, and as Retell's list has it.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use uuid::Uuid;

use super::super::record::Record;
use super::calls;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::lives::{Change, Life};
use super::rows::{AppointmentRow, ModificationRow, UidRow};
use crate::calcom_stand_in::Status;

/// Not in the ledger of bookings: attendance, and the host's question for another time.
const BEYOND_THE_LEDGER: [&str; 3] = ["no_show", "no_show_withdrawn", "reschedule_requested"];

/// Calls whose row is behind an event that took effect. Bodies are read as they came; compressed ones (long transcripts) are left out.
const CALLS_BEHIND: &str = "WITH told AS (
        SELECT e.company_id, e.body_json #>> '{call,call_id}' AS retell_call_id, e.kind
        FROM (SELECT company_id, kind, convert_from(body, 'UTF8')::jsonb AS body_json FROM events
              WHERE encoding = 'identity' AND company_id IS NOT NULL AND kind IN ('retell.call_started', 'retell.call_ended', 'retell.call_analyzed')) e
    ), furthest AS (
        SELECT company_id, retell_call_id, max(CASE kind WHEN 'retell.call_started' THEN 1 WHEN 'retell.call_ended' THEN 2 ELSE 3 END) AS stage
        FROM told WHERE retell_call_id IS NOT NULL GROUP BY 1, 2
    )
    SELECT f.retell_call_id, f.stage, c.status FROM furthest f LEFT JOIN calls c ON c.company_id = f.company_id AND c.retell_call_id = f.retell_call_id";

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    let (uids, appointments) = (evidence.uid_rows(), evidence.appointments());
    let mut history: HashMap<&str, Vec<&ModificationRow>> = HashMap::new();
    for row in &evidence.rows.modifications {
        if let Some(uid) = &row.calcom_uid {
            history.entry(uid).or_default().push(row);
        }
    }
    for life in evidence.owed() {
        chain(evidence, life, &uids, &mut findings);
        projection(evidence, life, &uids, &appointments, &mut findings);
        changes(evidence, life, &history, &mut findings);
    }
    calls_behind(record, &mut findings).await?;
    calls::same_as_retells(record, evidence, &mut findings);
    Ok(findings)
}

/// Every uid's row. One that we do not know at all is I3's.
fn chain(evidence: &Evidence, life: &Life, uids: &HashMap<&str, Vec<&UidRow>>, findings: &mut Findings) {
    let mut owners = HashSet::new();
    for (index, stay) in life.stays.iter().enumerate() {
        let Some([row]) = uids.get(stay.uid.as_str()).map(Vec::as_slice) else { continue };
        owners.insert(row.appointment_id);
        let superseded = index + 1 < life.stays.len();
        let state = if superseded { "superseded" } else { state(stay.status) };
        findings.expect(row.state == state, || {
            let told = life.stays.iter().all(|stay| evidence.was_told(&stay.uid));
            let although = if told { ", although every webhook about it arrived" } else { "" };
            format!("{} is {state} in Cal.com and {} in our rows{although}", stay.uid, row.state)
        });
        findings.expect((row.starts_at, row.ends_at) == (stay.start, stay.end), || {
            format!("{} is at {} in Cal.com and at {} in our rows", stay.uid, stay.start, row.starts_at)
        });
        let before = index.checked_sub(1).map(|before| life.stays[before].uid.as_str());
        findings.expect(row.predecessor_uid.as_deref() == before, || format!("{} came from {before:?}, and our rows say {:?}", stay.uid, row.predecessor_uid));
        findings.expect(!row.placeholder, || format!("{} was never more than heard of", stay.uid));
    }
    findings.expect(owners.len() <= 1, || format!("the booking {} belongs to {} appointments", life.head().uid, owners.len()));
}

fn state(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Accepted => "accepted",
        Status::Cancelled => "cancelled",
        Status::Rejected => "rejected",
    }
}

/// What the appointment says of its moves. Times and status are I3's.
fn projection(evidence: &Evidence, life: &Life, uids: &HashMap<&str, Vec<&UidRow>>, appointments: &HashMap<Uuid, &AppointmentRow>, findings: &mut Findings) {
    let Some(row) = uids.get(life.head().uid.as_str()).and_then(|rows| appointments.get(&rows.first()?.appointment_id)) else { return };
    let moves = i32::try_from(life.stays.len() - 1).unwrap_or(i32::MAX);
    findings.expect((row.rescheduled_count, row.previous_starts_at) == (moves, life.previous_start()), || {
        let (name, number) = (evidence.name(row.company_id), row.number);
        format!(
            "appointment #{number} of {name} was moved {moves} times, last from {:?}; it says {} and {:?}",
            life.previous_start(),
            row.rescheduled_count,
            row.previous_starts_at
        )
    });
}

/// The history: every change of the ledger is a row, with its times, and no other row is there.
fn changes(evidence: &Evidence, life: &Life, history: &HashMap<&str, Vec<&ModificationRow>>, findings: &mut Findings) {
    for change in &life.changes {
        let row = history.get(change.uid.as_str()).and_then(|rows| rows.iter().find(|row| row.kind == change.kind));
        match row {
            // that a host confirmed is told by its webhook alone: a later look shows only that the booking stands
            None if change.kind == "confirmed" && !evidence.was_told(&change.uid) => {}
            None => findings.expect(false, || format!("{} was {} at Cal.com, and the history does not say so", change.uid, change.kind)),
            Some(row) => findings.expect(times_fit(change, row), || {
                format!(
                    "{} was {} from {:?} to {:?}; the history says {:?} to {:?}",
                    change.uid, change.kind, change.previous, change.new, row.previous_starts_at, row.new_starts_at
                )
            }),
        }
    }
    for stay in &life.stays {
        for row in history.get(stay.uid.as_str()).into_iter().flatten() {
            let happened =
                life.changes.iter().any(|change| change.uid == stay.uid && change.kind == row.kind) || BEYOND_THE_LEDGER.contains(&row.kind.as_str());
            findings.expect(happened, || format!("the history says that {} was {}, which Cal.com never did", stay.uid, row.kind));
        }
    }
}

/// What is not said is not judged: a confirmation has no former time.
fn times_fit(change: &Change, row: &ModificationRow) -> bool {
    change.previous.is_none_or(|previous| row.previous_starts_at == Some(previous)) && change.new.is_none_or(|new| row.new_starts_at == Some(new))
}

async fn calls_behind(record: &Record, findings: &mut Findings) -> anyhow::Result<()> {
    let furthest: Vec<(String, i32, Option<String>)> =
        sqlx::query_as(CALLS_BEHIND).fetch_all(&record.database).await.context("comparing calls with their events")?;
    for (call, stage, status) in furthest {
        findings.expect(i32::from(calls::stage_of(status.as_deref())) >= stage, || {
            format!("the call {call} is {status:?}, although an event of stage {stage} took effect")
        });
    }
    Ok(())
}
