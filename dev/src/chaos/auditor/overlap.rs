//! I6: we never promise one person's time twice. Two looks: at the claims that stand now, and at the wishes that were under way at the same moment, because the
//! loser of two promises is gone by the time that anybody looks.

use std::collections::HashMap;

use anyhow::Context;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::rows::IntentRow;

const CLAIMS: &str = "SELECT c.name || ' ' || a.resource || ' seat ' || a.seat || ': ' || a.during || ' and ' || b.during
    FROM slot_claims a JOIN slot_claims b ON b.company_id = a.company_id AND b.resource = a.resource AND b.seat = a.seat AND b.during && a.during
        AND b.holder <> a.holder AND b.id > a.id AND b.kind = 'promise'
    JOIN companies c ON c.id = a.company_id WHERE a.kind = 'promise' LIMIT 1000";

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    let claims: i64 =
        sqlx::query_scalar("SELECT count(*) FROM slot_claims WHERE kind = 'promise'").fetch_one(&record.database).await.context("counting claims")?;
    findings.looked_at(usize::try_from(claims).unwrap_or_default());
    let overlapping: Vec<String> = sqlx::query_scalar(CLAIMS).fetch_all(&record.database).await.context("looking for overlapping claims")?;
    findings.violated_by(overlapping.into_iter().map(|pair| format!("two promises overlap: {pair}")));
    wishes(evidence, &mut findings);
    Ok(findings)
}

/// Wishes for one person's time, sent to Cal.com while the other was. A guarded second wish is not even recorded before the first is settled, so no clock is compared
/// too closely: it is sent later than that.
fn wishes(evidence: &Evidence, findings: &mut Findings) {
    let mut of_host: HashMap<i64, Vec<&IntentRow>> = HashMap::new();
    for intent in evidence.rows.intents.iter().filter(|intent| matches!(intent.op.as_str(), "create" | "reschedule")) {
        if let Some(host) = intent.event_type_id.and_then(|event_type| evidence.host_of(event_type)) {
            of_host.entry(host).or_default().push(intent);
        }
    }
    for (host, mut intents) in of_host {
        intents.sort_by_key(|intent| intent.starts_at);
        findings.looked_at(intents.len());
        for (index, one) in intents.iter().enumerate() {
            // sorted by start: what begins after this one ends cannot overlap, nor anything behind it
            for other in intents[index + 1..].iter().take_while(|other| other.starts_at < one.ends_at) {
                if at_once(one, other) {
                    let name = evidence.name(one.company_id);
                    findings.violated(format!(
                        "two wishes for one person's time were under way at once: host {host} of {name}, {:?} and {:?}",
                        one.starts_at, other.starts_at
                    ));
                }
            }
        }
    }
}

fn at_once(one: &IntentRow, other: &IntentRow) -> bool {
    let under_way = |intent: &IntentRow| intent.sent_at.zip(intent.settled_at);
    let (Some((sent, settled)), Some((other_sent, other_settled))) = (under_way(one), under_way(other)) else { return false };
    one.appointment_id != other.appointment_id && sent < other_settled && other_sent < settled
}
