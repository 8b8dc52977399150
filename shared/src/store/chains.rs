//! Loads what a fact about a Cal.com booking meets: the appointment that its uid, its predecessor or our token leads to, with its chain and our intents.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::booking_chain::{Booking, Chain};
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
    /// The fact's predecessor is a booking of another appointment than its uid: two chains to be joined by a human.
    pub split: bool,
}

#[derive(Deserialize)]
struct Row {
    locked: Option<Value>,
    seen_revision: Option<i32>,
    bookings: Vec<Booking>,
    intents: Vec<Intent>,
    staff_id: Option<Uuid>,
    owners: Vec<Uuid>,
}

const LOAD: &str = "
    WITH found AS (
        SELECT appointment_id, 1 AS trust FROM calcom_bookings WHERE company_id = $1 AND uid = $2
        UNION ALL SELECT appointment_id, 2 FROM calcom_bookings WHERE company_id = $1 AND uid = $3
        UNION ALL SELECT appointment_id, 3 FROM intents WHERE company_id = $1 AND token = $4 AND op = 'create'
        UNION ALL SELECT $5::uuid, 4 WHERE $5::uuid IS NOT NULL
    ), chosen AS (
        SELECT appointment_id AS id FROM found ORDER BY trust LIMIT 1
    ), locked AS (
        SELECT a.* FROM appointments a WHERE a.company_id = $1 AND a.id = (SELECT id FROM chosen) FOR UPDATE
    )
    SELECT jsonb_build_object(
        'locked', (SELECT to_jsonb(l) FROM locked l),
        'seen_revision', (SELECT a.revision FROM appointments a WHERE a.company_id = $1 AND a.id = (SELECT id FROM chosen)),
        'bookings', coalesce((SELECT jsonb_agg(to_jsonb(k)) FROM calcom_bookings k WHERE k.company_id = $1 AND k.appointment_id = (SELECT id FROM chosen)), '[]'),
        'intents', coalesce((SELECT jsonb_agg(to_jsonb(i)) FROM (SELECT * FROM intents WHERE company_id = $1 AND appointment_id = (SELECT id FROM chosen)
                                                                ORDER BY created_at DESC, id DESC LIMIT 20) i), '[]'),
        'staff_id', (SELECT s.id FROM staff s WHERE s.company_id = $1 AND s.calcom_user_id = $6 ORDER BY s.id LIMIT 1),
        'owners', coalesce((SELECT jsonb_agg(DISTINCT appointment_id) FROM found WHERE trust <= 2), '[]')
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
    Ok(Loaded { appointment, chain: Chain { bookings: row.bookings }, intents: row.intents, staff_id: row.staff_id, split: row.owners.len() > 1 })
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

/// The start of the appointment that owns a uid, if we know it: for facts that carry no times.
///
/// # Errors
/// When Postgres is away.
pub async fn times_of(tx: &mut CompanyTx, uid: &str) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as("SELECT starts_at, ends_at FROM calcom_bookings WHERE company_id = $1 AND uid = $2")
        .bind(company_id)
        .bind(uid)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("read a booking's times"))
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
