//! I2: nothing took effect twice. One live booking per wish, one success per message and role, one row of history per thing that happened.

use std::collections::HashMap;

use anyhow::Context;
use chrono::TimeDelta;
use sqlx::PgPool;
use uuid::Uuid;

use super::super::record::{Record, Way, WishKind};
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use crate::calcom_stand_in::By;

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    tokens(evidence, &mut findings);
    short_lived(evidence, &mut findings);
    wishes(record, evidence, &mut findings);
    history(evidence, &mut findings);
    shared_uids(evidence, &mut findings);
    successes(&record.database, &mut findings).await?;
    Ok(findings)
}

/// At most one live booking carries a token.
fn tokens(evidence: &Evidence, findings: &mut Findings) {
    for (token, lives) in evidence.lives.by_token() {
        let live: Vec<&str> = lives.iter().filter(|life| life.is_live()).map(|life| life.head().uid.as_str()).collect();
        findings.expect(live.len() <= 1, || format!("the wish {token} has {} live bookings in Cal.com: {}", live.len(), live.join(", ")));
    }
}

/// A double that we end is a person's time taken meanwhile: found soon, also when the process that made it was killed and its successor, too.
const DOUBLE_LIVES_MAX: TimeDelta = TimeDelta::minutes(5);

fn short_lived(evidence: &Evidence, findings: &mut Findings) {
    for (uid, lived) in evidence.undone_doubles() {
        findings.expect(lived <= DOUBLE_LIVES_MAX, || format!("the second booking {uid} of one wish was there for {} s", lived.num_seconds()));
    }
}

/// How many there were, for people.
pub fn doubles(evidence: &Evidence) -> String {
    let undone = evidence.undone_doubles();
    let longest = undone.values().max().map_or(0, TimeDelta::num_seconds);
    format!("{} made and ended by us, the longest was there for {longest} s", undone.len())
}

/// A caller's slot is wished for as often as the campaign knows, so whatever else stands there is a double, also one with another token.
fn wishes(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let mut live: HashMap<_, Vec<&str>> = HashMap::new();
    for life in evidence.lives.all.iter().filter(|life| life.is_live() && life.made_by() == By::Api) {
        live.entry((life.root().event_type_id, life.root().start)).or_default().push(&life.head().uid);
    }
    let mut wished: HashMap<_, usize> = HashMap::new();
    let booked = record.wishes.iter().filter(|wish| wish.kind == WishKind::Book && matches!(wish.way, Way::Phone { .. }));
    for wish in booked {
        *wished.entry((wish.event_type_id, wish.starts_at)).or_default() += 1;
    }
    for (slot, times) in wished {
        let made = live.get(&slot).map_or(0, Vec::len);
        findings.expect(made <= times, || format!("event type {} at {} was wished for {times} times and is booked {made} times", slot.0, slot.1));
    }
}

/// What happened to a uid stands in the history once; a wish of ours changed something once.
fn history(evidence: &Evidence, findings: &mut Findings) {
    let mut seen: HashMap<(Uuid, &str, &str), usize> = HashMap::new();
    let mut fulfilled: HashMap<(Uuid, &str), usize> = HashMap::new();
    for row in &evidence.rows.modifications {
        if let Some(uid) = &row.calcom_uid {
            *seen.entry((row.company_id, uid, &row.kind)).or_default() += 1;
        }
        if let Some(intent) = row.intent_id {
            *fulfilled.entry((intent, &row.kind)).or_default() += 1;
        }
    }
    for ((_, uid, kind), times) in seen {
        findings.expect(times == 1, || format!("the history says {times} times that {uid} was {kind}"));
    }
    for ((intent, kind), times) in fulfilled {
        findings.expect(times == 1, || format!("the wish {intent} had something {kind} {times} times"));
    }
}

/// A booking belongs to one appointment of one company (incident 7).
fn shared_uids(evidence: &Evidence, findings: &mut Findings) {
    let mut owners: HashMap<&str, Vec<String>> = HashMap::new();
    for row in &evidence.rows.appointments {
        if let Some(uid) = &row.calcom_uid {
            owners.entry(uid).or_default().push(format!("#{} of {}", row.number, evidence.name(row.company_id)));
        }
    }
    for (uid, owners) in owners {
        findings.expect(owners.len() == 1, || format!("the booking {uid} is shared by the appointments {}", owners.join(" and ")));
    }
}

/// A message took effect once in each role.
async fn successes(database: &PgPool, findings: &mut Findings) -> anyhow::Result<()> {
    let done: i64 = sqlx::query_scalar("SELECT count(*) FROM attempts WHERE outcome = 'done'").fetch_one(database).await.context("counting successes")?;
    findings.looked_at(usize::try_from(done).unwrap_or_default());
    let repeated: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT role, kind, message_id, count(*) FROM attempts WHERE outcome = 'done' GROUP BY 1, 2, 3 HAVING count(*) > 1 LIMIT 1000")
            .fetch_all(database)
            .await
            .context("looking for repeated successes")?;
    findings.violated_by(repeated.into_iter().map(|(role, kind, id, times)| format!("{role} handled the {kind} {id} {times} times")));
    Ok(())
}
