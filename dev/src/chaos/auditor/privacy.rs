//! I10: nothing personal stands anywhere but in the rows that are for it: not in logs, metrics, records of deliveries and calls, nor in what is said about dead letters.

use anyhow::Context;
use sqlx::AssertSqlSafe;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::spools;

/// What our rows say about work and failures, without the bodies that they are for. A line each.
const ROWS: [(&str, &str); 6] = [
    ("dead_letters", "SELECT string_agg((to_jsonb(d) - 'body')::text, E'\\n') FROM dead_letters d"),
    // many and alike: what differs in them is what is looked at
    ("attempts", "SELECT string_agg(DISTINCT concat_ws(' ', role, lane, kind, outcome, error_class, traceparent), E'\\n') FROM attempts"),
    ("api_calls", "SELECT string_agg(to_jsonb(a)::text, E'\\n') FROM api_calls a"),
    ("reviews", "SELECT string_agg(to_jsonb(r)::text, E'\\n') FROM reviews r"),
    ("intents", "SELECT string_agg(DISTINCT concat_ws(' ', state, error_class, channel), E'\\n') FROM intents"),
    ("outbox", "SELECT string_agg((to_jsonb(o) - 'body')::text, E'\\n') FROM outbox o"),
];

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    for process in &record.processes {
        let bytes = tokio::fs::read(&process.log).await.with_context(|| format!("reading the log of {}", process.name))?;
        let text = String::from_utf8_lossy(&bytes);
        findings.expect(!text.trim().is_empty(), || format!("the log of {} is empty, so looking into it proves nothing", process.name));
        look(evidence, &format!("the log of {}", process.name), &text, &mut findings);
        let panics = text.matches("panicked at").count();
        findings.expect(panics == 0, || format!("{} panicked {panics} times: a panic prints what it likes", process.name));
    }
    for process in &evidence.metrics {
        look(evidence, &format!("the metrics of {}", process.name), process.text.as_deref().unwrap_or_default(), &mut findings);
    }
    for (table, statement) in ROWS {
        let text: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&record.database).await.with_context(|| format!("reading {table}"))?;
        look(evidence, table, &text.unwrap_or_default(), &mut findings);
    }
    spools::judge(record, evidence, &mut findings).await?;
    Ok(findings)
}

fn look(evidence: &Evidence, place: &str, text: &str, findings: &mut Findings) {
    findings.looked_at(text.lines().count());
    findings.violated_by(evidence.needles.found_in(text).into_iter().map(|found| format!("{place} holds {found}")));
}
