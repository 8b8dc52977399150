//! I1: every event that was acknowledged was handled, or lies where a human finds it; no sweep had to make up for one; every wish has its end; nothing valid was refused.

use std::collections::HashSet;

use anyhow::Context;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::{calls, fulfilled, refusals, wishes};

/// Which webhooks tell that something happened to a uid.
const TOLD_BY: [(&str, &[&str]); 4] = [
    ("booked", &["BOOKING_CREATED", "BOOKING_REQUESTED"]),
    ("rescheduled", &["BOOKING_RESCHEDULED"]),
    ("cancelled", &["BOOKING_CANCELLED"]),
    ("rejected", &["BOOKING_REJECTED"]),
];

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    let ids: HashSet<&str> = record.acknowledged.iter().map(|event| event.message_id.as_str()).collect();
    findings.looked_at(ids.len());
    let ids: Vec<&str> = ids.into_iter().collect();
    let lost: HashSet<String> = sqlx::query_scalar(
        "SELECT wanted.message FROM unnest($1::text[]) AS wanted (message)
         WHERE NOT EXISTS (SELECT FROM inbox i WHERE i.message_id = wanted.message) AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.message_id = wanted.message)",
    )
    .bind(&ids)
    .fetch_all(&record.database)
    .await
    .context("looking for acknowledged events")?
    .into_iter()
    .collect();
    for event in record.acknowledged.iter().filter(|event| lost.contains(&event.message_id)) {
        let company = event.company.and_then(|index| record.companies.get(index)).map_or("nobody", |company| company.name.as_str());
        findings.violated(format!("{} of {company}, answered {} at {}, is lost: {}", event.what, event.status, event.at, event.message_id));
    }
    // a claim without an attempt that says "done" would be a claim whose effects are missing: both are written in one transaction
    let claimed_only: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT i.message_id FROM inbox i WHERE i.message_id = ANY ($1)
         AND NOT EXISTS (SELECT FROM attempts a WHERE a.message_id = i.message_id AND a.role = i.role AND a.outcome = 'done')",
    )
    .bind(&ids)
    .fetch_all(&record.database)
    .await
    .context("looking for claims without an effect")?;
    findings.violated_by(claimed_only.into_iter().map(|id| format!("the inbox has {id}, but no attempt says that it was done")));
    refusals::judge(record, &mut findings);
    covered_up(evidence, &mut findings);
    calls::told_before_sweeps(record, &mut findings);
    calls::covered_up(record, evidence, &mut findings);
    wishes::kept(record, evidence, &mut findings);
    fulfilled::few_failed(record, evidence, &mut findings);
    wishes::few_put_off(record, &mut findings);
    Ok(findings)
}

/// What a sweep found although its webhook was acknowledged: the event's effect was lost. (A webhook that comes after the sweep prevails over it, so that the
/// row's source says who told, whatever came first.)
fn covered_up(evidence: &Evidence, findings: &mut Findings) {
    for row in evidence.rows.modifications.iter().filter(|row| row.source == "reconciled") {
        let (Some(uid), Some((_, triggers))) = (&row.calcom_uid, TOLD_BY.iter().find(|(kind, _)| *kind == row.kind)) else { continue };
        findings.expect(!evidence.heard_of(uid, triggers), || {
            format!("that {uid} was {} was told by an acknowledged webhook, and only a sweep took it in", row.kind)
        });
    }
}
