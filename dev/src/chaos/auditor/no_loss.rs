//! I1: every event that was acknowledged was handled, or lies where a human finds it.

use std::collections::HashSet;

use anyhow::Context;

use super::super::record::Record;
use super::findings::{Findings, Judged};

pub async fn judge(record: &Record) -> Judged {
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
    Ok(findings)
}
