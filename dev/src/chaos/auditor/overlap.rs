//! I6: we never promise one person's time twice. Two looks: at the claims that stand now, and at the wishes that were under way at the same moment, because the
//! loser of two promises is gone by the time that anybody looks.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::super::record::{Record, Way, WishKind};
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::lives::{Change, Life};
use super::rows::IntentRow;

const CLAIMS: &str = "SELECT c.name || ' ' || a.resource || ' seat ' || a.seat || ': ' || a.during || ' and ' || b.during
    FROM slot_claims a JOIN slot_claims b ON b.company_id = a.company_id AND b.resource = a.resource AND b.seat = a.seat AND b.during && a.during
        AND b.holder <> a.holder AND b.id > a.id AND b.kind = 'promise'
    JOIN companies c ON c.id = a.company_id WHERE a.kind = 'promise' LIMIT 1000";

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    // a look without a pair compares nothing: only pairs count
    findings.looked_at(pairs(record, evidence));
    let overlapping: Vec<String> = sqlx::query_scalar(CLAIMS).fetch_all(&record.database).await.context("looking for overlapping claims")?;
    findings.violated_by(overlapping.into_iter().map(|pair| format!("two promises overlap: {pair}")));
    wishes(evidence, &mut findings);
    Ok(findings)
}

/// From when to when, and for which appointment.
type Wanted = (DateTime<Utc>, DateTime<Utc>, u64, Option<u64>);

/// Pairs of callers who wanted one person at overlapping times; what became of each is compared below, if both came so far.
pub fn pairs(record: &Record, evidence: &Evidence) -> usize {
    let mut wanted: HashMap<i64, Vec<Wanted>> = HashMap::new();
    let callers = record.wishes.iter().filter(|wish| wish.acknowledged && wish.kind != WishKind::Cancel && matches!(wish.way, Way::Phone { .. }));
    for wish in callers {
        if let Some((host, minutes)) = evidence.host_of(wish.event_type_id) {
            wanted.entry(host).or_default().push((wish.starts_at, wish.starts_at + TimeDelta::minutes(minutes), wish.appointment, wish.follows));
        }
    }
    let of_host = |mut wishes: Vec<Wanted>| {
        wishes.sort_unstable();
        // who wants what another one gave up is no rival
        let rivals = |one: &Wanted, other: &Wanted| one.2 != other.2 && one.3 != Some(other.2) && other.3 != Some(one.2);
        let overlapping =
            |(index, one): (usize, &Wanted)| wishes[index + 1..].iter().take_while(|other| other.0 < one.1).filter(|other| rivals(one, other)).count();
        wishes.iter().enumerate().map(overlapping).sum::<usize>()
    };
    wanted.into_values().map(of_host).sum()
}

/// Wishes for one person's time while another was under way, or stood. A guarded second wish is not even recorded before the first is settled, so no clock is
/// compared too closely: it is sent later than that.
fn wishes(evidence: &Evidence, findings: &mut Findings) {
    let mut of_host: HashMap<i64, Vec<&IntentRow>> = HashMap::new();
    for intent in evidence.rows.intents.iter().filter(|intent| matches!(intent.op.as_str(), "create" | "reschedule")) {
        if let Some((host, _)) = intent.event_type_id.and_then(|event_type| evidence.host_of(event_type)) {
            of_host.entry(host).or_default().push(intent);
        }
    }
    let ends = Ends::of(evidence);
    for (host, mut intents) in of_host {
        intents.sort_by_key(|intent| intent.starts_at);
        for (index, one) in intents.iter().enumerate() {
            // sorted by start: what begins after this one ends cannot overlap, nor anything behind it
            for other in intents[index + 1..].iter().take_while(|other| other.starts_at < one.ends_at) {
                let what = || format!("host {host} of {}, {:?} and {:?}", evidence.name(one.company_id), one.starts_at, other.starts_at);
                if at_once(one, other) {
                    findings.violated(format!("two wishes for one person's time were under way at once: {}", what()));
                } else if ends.stood_at_once(evidence, one, other) {
                    findings.violated(format!("one person's time was promised to two callers: {}", what()));
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

/// When what was promised was given up again: by a later move or cancellation of ours.
struct Ends<'a>(HashMap<Uuid, Vec<&'a IntentRow>>);

impl<'a> Ends<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let mut changes: HashMap<Uuid, Vec<&IntentRow>> = HashMap::new();
        let changing = |intent: &&IntentRow| matches!(intent.op.as_str(), "reschedule" | "cancel") && intent.state == "confirmed";
        for intent in evidence.rows.intents.iter().filter(changing) {
            changes.entry(intent.appointment_id).or_default().push(intent);
        }
        Self(changes)
    }

    fn stood_at_once(&self, evidence: &Evidence, one: &IntentRow, other: &IntentRow) -> bool {
        let (Some((sent, end)), Some((other_sent, other_end))) = (self.stood(evidence, one), self.stood(evidence, other)) else { return false };
        one.appointment_id != other.appointment_id && sent < other_end && other_sent < end
    }

    /// From its sending until it failed, or until it was given up; what somebody else ended stood at least until it was settled.
    fn stood(&self, evidence: &Evidence, intent: &IntentRow) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let (sent, settled) = intent.sent_at.zip(intent.settled_at)?;
        if intent.state != "confirmed" {
            return Some((sent, settled));
        }
        let later = self.0.get(&intent.appointment_id).into_iter().flatten().filter(|change| change.created_at > intent.created_at);
        let given_up = later.filter_map(|change| change.settled_at).min();
        // Cal.com had it before we knew
        let there = evidence.intents_life(intent).and_then(|life| given_up_at(life, intent, sent));
        let given_up = [given_up, there].into_iter().flatten().min();
        let stands = evidence.intents_life(intent).is_some_and(|life| life.is_live() && Some(life.head().start) == intent.starts_at);
        Some((sent, given_up.unwrap_or(if stands { DateTime::<Utc>::MAX_UTC } else { settled })))
    }
}

/// When Cal.com's ledger says that the time was left again.
fn given_up_at(life: &Life, intent: &IntentRow, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let left = |change: &&Change| change.at > sent && (change.kind == "cancelled" || change.kind == "rescheduled" && Some(change.start) != intent.starts_at);
    life.changes.iter().filter(left).map(|change| change.at).min()
}
