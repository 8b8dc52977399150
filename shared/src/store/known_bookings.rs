//! What we hold of the bookings that a sweep finds: whose they are, what is known of each uid, and which rows of history there are. Only reading.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::booking_chain::BookingState;
use crate::store::resolve::EventTypeOwner;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What is known of a uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub uid: String,
    pub state: BookingState,
    /// Heard of as a predecessor only.
    pub placeholder: bool,
    pub predecessor_uid: Option<String>,
    /// Somebody told that it was booked or moved here.
    pub opened: bool,
    /// It was requested before it was accepted.
    pub requested: bool,
    pub no_show: bool,
    pub host_user_id: Option<i64>,
    /// The moment at which this host counts.
    pub host_as_of: Option<DateTime<Utc>>,
}

/// Whose event types these are within the account, as far as they are somebody's.
///
/// # Errors
/// When Postgres is away.
pub async fn owners_of_event_types(pool: &PgPool, account_id: Uuid, event_types: &[i64]) -> Result<Vec<(i64, EventTypeOwner)>, StoreError> {
    type Row = (i64, Uuid, Uuid, Uuid, Uuid, String);
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM resolve_event_types_of_account($1, $2)")
        .bind(account_id)
        .bind(event_types)
        .fetch_all(pool)
        .await
        .map_err(failed("resolve event types"))?;
    let owner = |(event_type_id, company_id, branch_id, service_id, provider_account_id, time_zone): Row| {
        (event_type_id, EventTypeOwner { company_id, branch_id, service_id, provider_account_id, time_zone })
    };
    Ok(rows.into_iter().map(owner).collect())
}

/// The companies of bookings that we know within the account, for those that name no event type.
///
/// # Errors
/// When Postgres is away.
pub async fn owners_of_bookings(pool: &PgPool, account_id: Uuid, uids: &[&str]) -> Result<Vec<(String, Uuid)>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_bookings_of_account($1, $2)").bind(account_id).bind(uids).fetch_all(pool).await.map_err(failed("resolve bookings"))
}

/// What is known of these uids.
///
/// # Errors
/// When Postgres is away.
pub async fn of(tx: &mut CompanyTx, uids: &[&str]) -> Result<Vec<Known>, StoreError> {
    type Row = (String, String, bool, Option<String>, bool, bool, bool, Option<i64>, Option<DateTime<Utc>>);
    let company_id = tx.company_id();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT uid, state, placeholder, predecessor_uid, marks ? 'opened' OR opened_at IS NOT NULL, requested_at IS NOT NULL, no_show, host_user_id,
                (SELECT greatest((h ->> 'told')::timestamptz, (h ->> 'seen')::timestamptz) FROM jsonb_array_elements(marks -> 'hosts') h
                 WHERE (h ->> 'host')::bigint = host_user_id)
         FROM calcom_bookings WHERE company_id = $1 AND uid = ANY ($2)",
    )
    .bind(company_id)
    .bind(uids)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read known bookings"))?;
    rows.into_iter()
        .map(|(uid, state, placeholder, predecessor_uid, opened, requested, no_show, host_user_id, host_as_of)| {
            let state = BookingState::parse(&state).ok_or(StoreError::BadRow { table: "calcom_bookings", column: "state" })?;
            Ok(Known { uid, state, placeholder, predecessor_uid, opened, requested, no_show, host_user_id, host_as_of })
        })
        .collect()
}

/// The rows of history of these uids that no wish of ours explains: (uid, kind).
///
/// # Errors
/// When Postgres is away.
pub async fn history_of(tx: &mut CompanyTx, uids: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as("SELECT calcom_uid, kind FROM appointment_modifications WHERE company_id = $1 AND calcom_uid = ANY ($2) AND intent_id IS NULL")
        .bind(company_id)
        .bind(uids)
        .fetch_all(tx.connection())
        .await
        .map_err(failed("read the history of bookings"))
}
