//! I9: when the faults are over everything comes to its end: no message in a queue or an outbox, no wish open, nobody waiting, nothing given up that was not for a human.

use anyhow::Context;
use serde_json::Value;
use shared::broker::depth::Gauge;
use shared::broker::topology;
use sqlx::AssertSqlSafe;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};

/// What must be empty, and how a sentence calls what is in it.
const LEFTOVERS: [(&str, &str); 8] = [
    ("messages in the outbox", "SELECT count(*) FROM outbox"),
    ("wishes that are neither confirmed nor failed", "SELECT count(*) FROM intents WHERE state NOT IN ('confirmed', 'failed')"),
    ("leases on wishes", "SELECT count(*) FROM intents WHERE lease_holder IS NOT NULL"),
    ("appointments still being requested", "SELECT count(*) FROM appointments WHERE status = 'requested'"),
    ("function calls without a result", "SELECT count(*) FROM function_calls WHERE state <> 'final'"),
    ("callers who wait for a result", "SELECT count(*) FROM reply_waiters"),
    // a claim that was left behind keeps a free time from every later caller
    (
        "claims on times at which no appointment stands",
        "SELECT count(*) FROM slot_claims c WHERE c.expires_at IS NULL AND NOT EXISTS (SELECT FROM appointments a
         WHERE a.company_id = c.company_id AND a.id = c.appointment_id AND a.status IN ('pending', 'booked') AND tstzrange(a.starts_at, a.ends_at) = c.during)
         AND NOT EXISTS (SELECT FROM intents i WHERE i.company_id = c.company_id AND i.appointment_id = c.appointment_id AND i.state NOT IN ('confirmed', 'failed'))",
    ),
    (
        "appointments whose time nothing claims",
        "SELECT count(*) FROM appointments a WHERE a.status IN ('pending', 'booked') AND (a.staff_id IS NOT NULL OR a.service_id IS NOT NULL)
         AND NOT EXISTS (SELECT FROM slot_claims c WHERE c.company_id = a.company_id AND c.appointment_id = a.id AND c.during = tstzrange(a.starts_at, a.ends_at))",
    ),
];

/// Whatever the reason: a campaign sends nothing that a human would have to decide, but for the strays.
const GIVEN_UP: &str = "SELECT kind, reason, body FROM dead_letters WHERE state = 'open'";

/// What may become of such an event.
const STRAY_REASONS: [&str; 3] = ["unknown_booking", "attempts_exhausted", "waited_too_long"];

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    findings.expect(record.quiet.reached, || format!("not at rest after {} s: {}", record.quiet.after.as_secs(), record.quiet.left.join("; ")));
    for (what, statement) in LEFTOVERS {
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&record.database).await.with_context(|| format!("counting {what}"))?;
        findings.expect(left == 0, || format!("{left} {what}"));
    }
    given_up(record, evidence, &mut findings).await?;
    let gauge = Gauge::open(&record.amqp_url).await.context("asking the broker")?;
    for queue in topology::queues().into_iter().filter(|queue| queue.name.as_str() != topology::PROBE) {
        let depth = gauge.depth(queue.name.as_str()).await.with_context(|| format!("asking for the depth of {}", queue.name))?;
        findings.expect(depth == 0, || format!("{depth} messages in the queue {}", queue.name));
    }
    gauge.close().await;
    // the same from outside, for every queue that is there: also what a consumer holds and does not finish
    findings.expect(!record.queues.is_empty(), || "the broker's management knows of no queue".to_owned());
    for (queue, messages) in &record.queues {
        findings.expect(*messages == 0, || format!("{messages} messages, waiting or in work, in the queue {queue}"));
    }
    for process in &evidence.metrics {
        findings.expect(process.text.is_some(), || format!("{} does not answer for its metrics", process.name));
        let spooled = process.text.iter().flat_map(|text| text.lines()).find_map(|line| line.strip_prefix("frontdesk_ingress_spool_records "));
        // one that does not say how many it has may have any number
        let is_empty = if process.program == "ingress" { spooled.is_some_and(|records| records.parse() == Ok(0.0)) } else { spooled.is_none() };
        findings.expect(is_empty, || format!("{} has {} records in its spool", process.name, spooled.unwrap_or("an unknown number of")));
    }
    for process in &record.processes {
        findings.expect(process.odd_ends.is_empty(), || format!("{} ended by itself or not cleanly: {}", process.name, process.odd_ends.join("; ")));
    }
    Ok(findings)
}

/// An event about a booking that Cal.com never had waits in vain for it, and rightly ends with a human. Nothing else does.
async fn given_up(record: &Record, evidence: &Evidence, findings: &mut Findings) -> anyhow::Result<()> {
    let letters: Vec<(Option<String>, String, Vec<u8>)> = sqlx::query_as(GIVEN_UP).fetch_all(&record.database).await.context("reading what was given up")?;
    for (kind, reason, body) in letters {
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        let uid = event["payload"]["uid"].as_str();
        let stray = uid.is_some_and(|uid| evidence.lives.of(uid).is_none());
        // its event type tells no company either
        let stray = stray && STRAY_REASONS.contains(&reason.as_str());
        findings.expect(stray, || format!("a {} was given up: {reason}", kind.unwrap_or_default()));
    }
    Ok(())
}
