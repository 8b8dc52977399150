//! Loads what a fact about a Cal.com booking meets: the appointment that its uid, its predecessor or our token leads to, with its chain and our intents.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::booking_chain::{Booking, BookingState, Chain, Mark, Reason};
use crate::store::appointments::{self, Appointment};
use crate::store::intents::Intent;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// By what a fact finds its appointment, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainKey<'a> {
    pub uid: &'a str,
    pub predecessor_uid: Option<&'a str>,
    /// The intent token in the booking's metadata.
    pub token: Option<Uuid>,
    /// For an answer to our own call: the appointment that it is for.
    pub appointment_id: Option<Uuid>,
    /// Where a new appointment's host is looked up among the staff.
    pub host_user_id: Option<i64>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Locked until the transaction ends.
    pub appointment: Option<Appointment>,
    pub chain: Chain,
    /// The appointment's intents, newest first, at most 20.
    pub intents: Vec<Intent>,
    /// The staff member that the fact's host is.
    pub staff_id: Option<Uuid>,
    /// The staff members that the chain's hosts are.
    pub staff: Vec<Member>,
    /// The appointments that the key leads to if it leads to several: they are one, and are to be joined.
    pub owners: Vec<Owner>,
}

impl Loaded {
    /// The staff member of the first host that is one.
    #[must_use]
    pub fn staff_of(&self, host_user_ids: &[i64]) -> Option<Uuid> {
        host_user_ids.iter().find_map(|host| self.staff.iter().find(|member| member.calcom_user_id == *host).map(|member| member.id))
    }
}

/// Who in Cal.com is who here.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Member {
    pub calcom_user_id: i64,
    pub id: Uuid,
}

/// One of several appointments that a fact shows to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    pub id: Uuid,
    /// It has the booking that the fact's uid replaced.
    pub root: bool,
    /// We made it: it has a create intent.
    pub creates: bool,
    /// We changed it, or mean to.
    pub intends: bool,
}

/// The appointment that the others merge into: the one that owns an intent, else the root's (architecture section 7, Convergence).
#[must_use]
pub fn winner(owners: &[Owner]) -> Option<Uuid> {
    owners.iter().max_by_key(|owner| (owner.creates, owner.intends, owner.root, std::cmp::Reverse(owner.id))).map(|owner| owner.id)
}

#[derive(Deserialize)]
struct Row {
    locked: Option<Value>,
    seen_revision: Option<i32>,
    bookings: Vec<Stored>,
    intents: Vec<Intent>,
    staff_id: Option<Uuid>,
    staff: Vec<Member>,
    owners: Vec<Owner>,
}

/// A booking with the columns of who opened and closed it, which programs before the marks wrote instead of them.
#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    booking: Booking,
    opened_at: Option<DateTime<Utc>>,
    opened_by: Option<String>,
    opened_source: Option<String>,
    opened_by_user_id: Option<Uuid>,
    opened_call_id: Option<Uuid>,
    closed_at: Option<DateTime<Utc>>,
    closed_by: Option<String>,
    closed_source: Option<String>,
    closed_by_user_id: Option<Uuid>,
    closed_call_id: Option<Uuid>,
    closed_reason: Option<String>,
}

impl Stored {
    fn into_booking(self) -> Booking {
        let mark = |at, by: Option<String>, source: Option<String>, user_id, call_id| {
            Some(Mark { actor: by.unwrap_or_default(), channel: source.unwrap_or_default(), user_id, call_id, ..Mark::unheard(at?) })
        };
        let mut booking = self.booking;
        let marks = &mut booking.marks;
        if marks.opened.is_none() {
            marks.opened = mark(self.opened_at, self.opened_by, self.opened_source, self.opened_by_user_id, self.opened_call_id);
        }
        let ended = match booking.state {
            BookingState::Cancelled => &mut marks.cancelled,
            BookingState::Rejected => &mut marks.rejected,
            _ => &mut marks.reschedule_requested,
        };
        if ended.is_none() {
            *ended = mark(self.closed_at, self.closed_by, self.closed_source, self.closed_by_user_id, self.closed_call_id)
                .map(|mark| Mark { reason: self.closed_reason.map(|text| Reason { found: false, at: mark.at, text }), ..mark });
        }
        booking
    }
}

const LOAD: &str = "
    WITH found AS (
        SELECT appointment_id, 1 AS trust, true AS is_one FROM calcom_bookings WHERE company_id = $1 AND uid = $2
        UNION ALL SELECT appointment_id, 2, true FROM calcom_bookings WHERE company_id = $1 AND uid = $3
        -- a second booking with the token of a wish that has its booking is a double, no part of it
        UNION ALL SELECT appointment_id, 3, state <> 'confirmed' OR uid IS NULL OR uid = $2 OR $3 IS NOT NULL FROM intents WHERE company_id = $1 AND token = $4 AND op = 'create'
        -- it may have been joined to another since
        UNION ALL SELECT id, 4, true FROM appointments WHERE company_id = $1 AND id = $5
    ), chosen AS (
        SELECT appointment_id AS id FROM found ORDER BY trust LIMIT 1
    ), locked AS (
        SELECT a.* FROM appointments a WHERE a.company_id = $1 AND a.id = (SELECT id FROM chosen) FOR UPDATE
    )
    SELECT jsonb_build_object(
        'locked', (SELECT to_jsonb(l) FROM locked l),
        'seen_revision', (SELECT a.revision FROM appointments a WHERE a.company_id = $1 AND a.id = (SELECT id FROM chosen)),
        'bookings', coalesce((SELECT jsonb_agg(to_jsonb(k)) FROM calcom_bookings k WHERE k.company_id = $1 AND k.appointment_id = (SELECT id FROM chosen)), '[]'),
        'intents', coalesce((SELECT jsonb_agg(to_jsonb(i) ORDER BY i.created_at DESC, i.id DESC) FROM (SELECT * FROM intents WHERE company_id = $1 AND appointment_id = (SELECT id FROM chosen)
                                                                -- the wish that made it, and any other, must not be lost behind many looks
                                                                ORDER BY op <> 'create', op = 'look', created_at DESC, id DESC LIMIT 20) i), '[]'),
        'staff_id', (SELECT s.id FROM staff s WHERE s.company_id = $1 AND s.calcom_user_id = $6 ORDER BY s.id LIMIT 1),
        'staff', coalesce((SELECT jsonb_agg(jsonb_build_object('calcom_user_id', s.calcom_user_id, 'id', s.id) ORDER BY s.id) FROM staff s
                           WHERE s.company_id = $1 AND (s.calcom_user_id = $6 OR s.calcom_user_id IN (
                               SELECT k.host_user_id FROM calcom_bookings k WHERE k.company_id = $1 AND k.appointment_id = (SELECT id FROM chosen)))), '[]'),
        'owners', coalesce((SELECT jsonb_agg(jsonb_build_object('id', o.id, 'root', o.root,
                'creates', EXISTS (SELECT FROM intents i WHERE i.company_id = $1 AND i.appointment_id = o.id AND i.op = 'create'),
                'intends', EXISTS (SELECT FROM intents i WHERE i.company_id = $1 AND i.appointment_id = o.id AND i.op <> 'look')))
            FROM (SELECT appointment_id AS id, bool_or(trust = 2) AS root FROM found WHERE is_one GROUP BY 1) o
            WHERE (SELECT count(DISTINCT appointment_id) FROM found WHERE is_one) > 1), '[]')
    )";

/// Loads and locks what the key leads to.
///
/// # Errors
/// When Postgres is away, or another transaction changed the appointment between this statement's snapshot and its lock (`is_contention`: load again).
pub async fn load(tx: &mut CompanyTx, key: &ChainKey<'_>) -> Result<Loaded, StoreError> {
    let company_id = tx.company_id();
    let value: Value = sqlx::query_scalar(LOAD)
        .bind(company_id)
        .bind(key.uid)
        .bind(key.predecessor_uid)
        .bind(key.token)
        .bind(key.appointment_id)
        .bind(key.host_user_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("load a booking chain"))?;
    let row: Row = serde_json::from_value(value).map_err(|_| StoreError::BadRow { table: "calcom_bookings", column: "row" })?;
    let appointment = row.locked.map(appointments::parse).transpose()?;
    // the lock waited for another writer: its bookings are not in our snapshot
    if appointment.as_ref().map(|appointment| appointment.revision) != row.seen_revision {
        return Err(StoreError::Changed { table: "appointments" });
    }
    let bookings = row.bookings.into_iter().map(Stored::into_booking).collect();
    Ok(Loaded { appointment, chain: Chain { bookings }, intents: row.intents, staff_id: row.staff_id, staff: row.staff, owners: row.owners })
}

/// Joins the other owners to the winner: their uids, history and wishes become its, and they vanish. The caller loads again and projects the joined chain.
/// `false`: two have a request on its way to Cal.com, so one of them stays until that has ended.
///
/// # Errors
/// When Postgres is away, or another transaction joined them first (`is_contention`: load again).
pub async fn join(tx: &mut CompanyTx, owners: &[Owner]) -> Result<bool, StoreError> {
    let company_id = tx.company_id();
    let Some(winner) = winner(owners) else { return Ok(true) };
    let mut all = true;
    for loser in owners.iter().filter(|owner| owner.id != winner) {
        let joined: bool = sqlx::query_scalar("SELECT merge_appointments($1, $2, $3)")
            .bind(company_id)
            .bind(loser.id)
            .bind(winner)
            .fetch_one(tx.connection())
            .await
            .map_err(failed("join two appointments"))?;
        all &= joined;
    }
    Ok(all)
}

/// A key that leads to nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The staff member that the fact's host is.
    pub staff_id: Option<Uuid>,
}

/// Which of several keys lead to nothing, one answer per key. The caller holds the advisory locks of their uids, so that it stays so. Keys that name an
/// appointment are not for here.
///
/// # Errors
/// When Postgres is away.
pub async fn unknown(tx: &mut CompanyTx, keys: &[ChainKey<'_>]) -> Result<Vec<Option<Unknown>>, StoreError> {
    let company_id = tx.company_id();
    // scalar sub-selects, not joins: each is one look into an index, whatever the planner thinks of the number of keys
    let rows: Vec<(bool, Option<Uuid>)> = sqlx::query_as(
        "SELECT (SELECT k.appointment_id FROM calcom_bookings k WHERE k.company_id = $1 AND k.uid = key.uid) IS NULL
            AND (key.predecessor_uid IS NULL OR (SELECT k.appointment_id FROM calcom_bookings k WHERE k.company_id = $1 AND k.uid = key.predecessor_uid) IS NULL)
            AND (key.token IS NULL OR NOT EXISTS (SELECT FROM intents i WHERE i.company_id = $1 AND i.token = key.token AND i.op = 'create')),
            (SELECT s.id FROM staff s WHERE s.company_id = $1 AND s.calcom_user_id = key.host ORDER BY s.id LIMIT 1)
         FROM unnest($2::text[], $3::text[], $4::uuid[], $5::bigint[]) WITH ORDINALITY AS key (uid, predecessor_uid, token, host, place) ORDER BY key.place",
    )
    .bind(company_id)
    .bind(keys.iter().map(|key| key.uid).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.predecessor_uid).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.token).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.host_user_id).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await
    .map_err(failed("look for known bookings"))?;
    Ok(rows.into_iter().map(|(unknown, staff_id)| unknown.then_some(Unknown { staff_id })).collect())
}

/// The provider account of a chain's bookings, for rows that are added to it later.
///
/// # Errors
/// When Postgres is away.
pub async fn provider_account(tx: &mut CompanyTx, credential_id: Uuid) -> Result<Uuid, StoreError> {
    sqlx::query_scalar("SELECT provider_account_id FROM credentials WHERE id = $1")
        .bind(credential_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("read a credential's account"))
}

/// The provider account of a booking that we know.
///
/// # Errors
/// When Postgres is away.
pub async fn account_of(tx: &mut CompanyTx, uid: &str) -> Result<Option<Uuid>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar("SELECT provider_account_id FROM calcom_bookings WHERE company_id = $1 AND uid = $2")
        .bind(company_id)
        .bind(uid)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("read a booking's account"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appointment_that_owns_an_intent_wins_else_the_roots() {
        let owner = |id, root, creates, intends| Owner { id: Uuid::from_u128(id), root, creates, intends };
        for (owners, expected) in [
            (vec![owner(1, false, false, false), owner(2, true, false, false)], 2),
            (vec![owner(1, false, false, true), owner(2, true, false, false)], 1),
            (vec![owner(1, false, true, true), owner(2, true, false, true)], 1),
            (vec![owner(2, false, false, false), owner(1, false, false, false)], 1),
        ] {
            assert_eq!(winner(&owners), Some(Uuid::from_u128(expected)), "{owners:?}");
        }
    }
}
