//! I4: who, when, through which channel: the thirteen audit columns are filled where they apply, and whatever a call changed names that call. The columns' rules are
//! written down here a second time, because the schema's CHECKs are what is judged; which call changed what is known from the callers.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use chrono::{DateTime, Utc};

use super::super::record::{Record, Way, Wish, WishKind};
use super::evidence::Evidence;
use super::findings::{Findings, Judged};
use super::lives::Change;
use super::rows::ModificationRow;
use crate::calcom_stand_in::By;

/// What is missing, per appointment; nothing came from history in a campaign, so no import excuses it.
const GAPS: &str = "SELECT c.name || ' #' || a.number || ' (' || a.status || '): ' || g.gap
    FROM appointments a JOIN companies c ON c.id = a.company_id
    CROSS JOIN LATERAL (VALUES
        (a.created_by IS NULL, 'created_by'),
        (a.booking_source IS NULL, 'booking_source'),
        ((a.booked_by_user_id IS NULL) = (a.booking_source = 'crm_admin'), 'booked_by_user_id'),
        ((a.rescheduled_count > 0) = (a.rescheduled_at IS NULL), 'rescheduled_at'),
        ((a.rescheduled_count > 0) = (a.rescheduled_by IS NULL), 'rescheduled_by'),
        ((a.rescheduled_count > 0) = (a.reschedule_source IS NULL), 'reschedule_source'),
        ((a.rescheduled_count > 0) = (a.previous_starts_at IS NULL), 'previous_starts_at'),
        ((a.rescheduled_by_user_id IS NOT NULL) <> (a.reschedule_source IS NOT DISTINCT FROM 'crm_admin'), 'rescheduled_by_user_id'),
        ((a.status = 'cancelled') = (a.cancelled_at IS NULL), 'cancelled_at'),
        ((a.status = 'cancelled') = (a.cancelled_by IS NULL), 'cancelled_by'),
        ((a.status = 'cancelled') = (a.cancellation_source IS NULL), 'cancellation_source'),
        ((a.status = 'cancelled') = (nullif(a.cancellation_reason, '') IS NULL), 'cancellation_reason'),
        ((a.cancelled_by_user_id IS NOT NULL) <> (a.cancellation_source IS NOT DISTINCT FROM 'crm_admin'), 'cancelled_by_user_id')
    ) AS g (is_gap, gap)
    WHERE g.is_gap ORDER BY 1 LIMIT 1000";

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    findings.looked_at(evidence.rows.appointments.len());
    let gaps: Vec<String> = sqlx::query_scalar(GAPS).fetch_all(&record.database).await.context("looking for empty audit columns")?;
    findings.violated_by(gaps.into_iter().map(|gap| format!("an audit column is wrong or empty: {gap}")));
    for row in evidence.rows.modifications.iter().filter(|row| row.source.starts_with("retell_")) {
        findings.expect(row.call_id.is_some(), || format!("{} of {:?} came by phone and names no call", row.kind, row.calcom_uid));
    }
    calls(evidence, &Callers::of(&record.wishes), &mut findings);
    Ok(findings)
}

type Place = (&'static str, i64, DateTime<Utc>);

/// Who rang for what: the calls that wished for a change at a slot.
struct Callers<'a>(HashMap<Place, HashSet<&'a str>>);

impl<'a> Callers<'a> {
    fn of(wishes: &'a [Wish]) -> Self {
        let mut found: HashMap<Place, HashSet<&str>> = HashMap::new();
        for wish in wishes {
            if let Way::Phone { retell_call_id, .. } = &wish.way {
                found.entry((kind(wish.kind), wish.event_type_id, wish.starts_at)).or_default().insert(retell_call_id);
            }
        }
        Self(found)
    }

    fn at(&self, change: &Change) -> Option<&HashSet<&'a str>> {
        self.0.get(&(change.kind, change.event_type_id, change.start))
    }
}

fn kind(kind: WishKind) -> &'static str {
    match kind {
        WishKind::Book => "booked",
        WishKind::Move => "rescheduled",
        WishKind::Cancel => "cancelled",
    }
}

/// Who did it, by Cal.com's ledger: what we did for a caller came by phone (or we ended it ourselves); what somebody else did came by no call, and we did not do it.
fn attributed(change: &Change, row: &ModificationRow, findings: &mut Findings) {
    let (by_phone, by_us) = (row.source.starts_with("retell_"), row.actor == SYSTEM);
    let what = || format!("{} was {} by {:?}, and its history says {} by {}", change.uid, change.kind, change.by, row.actor, row.source);
    if change.by == By::Api {
        findings.expect(by_phone || by_us, what);
    } else {
        findings.expect(!by_phone && !by_us, what);
        findings.expect(row.call_id.is_none(), || format!("{} was {} by {:?}, and its history names a call", change.uid, change.kind, change.by));
    }
}

/// The actor of what nobody asked for.
const SYSTEM: &str = "system";

/// Every change that we made in Cal.com was made for a caller: its row of history names that call. A missing row is not judged here but by I5.
fn calls(evidence: &Evidence, callers: &Callers<'_>, findings: &mut Findings) {
    let mut rows: HashMap<(&str, &str), &ModificationRow> = HashMap::new();
    for row in &evidence.rows.modifications {
        if let Some(uid) = &row.calcom_uid {
            rows.insert((uid, &row.kind), row);
        }
    }
    for change in evidence.owed().flat_map(|life| &life.changes) {
        let Some(row) = rows.get(&(change.uid.as_str(), change.kind)) else { continue };
        attributed(change, row, findings);
        if change.by != By::Api {
            continue;
        }
        findings.expect(row.call_id.is_some(), || format!("{} was {} by us for a caller, and its history names no call", change.uid, change.kind));
        if let (Some(rang), Some(named)) = (callers.at(change), &row.retell_call_id) {
            findings.expect(rang.contains(named.as_str()), || {
                format!("{} was {} in another call than the one that its history names ({named})", change.uid, change.kind)
            });
        }
    }
}
