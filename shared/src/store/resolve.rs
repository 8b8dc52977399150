//! How a company is proven from signed content, within the account of the endpoint that signed it. Never guessed (architecture section 13).

use sqlx::PgPool;
use uuid::Uuid;

use crate::store::{StoreError, failed};

/// The company that a call's own number belongs to.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct NumberOwner {
    pub company_id: Uuid,
    pub branch_id: Uuid,
    pub phone_number_id: Uuid,
    pub time_zone: String,
}

/// The company that an event type belongs to.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventTypeOwner {
    pub company_id: Uuid,
    pub branch_id: Uuid,
    pub service_id: Uuid,
    pub provider_account_id: Uuid,
    pub time_zone: String,
}

/// The company and appointment of a Cal.com booking that we know.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct BookingOwner {
    pub company_id: Uuid,
    pub appointment_id: Uuid,
    pub event_type_id: Option<i64>,
}

/// Whose number this is: exact E.164 or nothing (incident 42).
///
/// # Errors
/// When Postgres is away.
pub async fn phone_number(pool: &PgPool, endpoint: Uuid, e164: &str) -> Result<Option<NumberOwner>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_phone_number($1, $2)").bind(endpoint).bind(e164).fetch_optional(pool).await.map_err(failed("resolve a phone number"))
}

/// The companies that use this agent: a cross-check of the number's company.
///
/// # Errors
/// When Postgres is away.
pub async fn agent(pool: &PgPool, endpoint: Uuid, agent: &str) -> Result<Vec<Uuid>, StoreError> {
    sqlx::query_scalar("SELECT * FROM resolve_agent($1, $2)").bind(endpoint).bind(agent).fetch_all(pool).await.map_err(failed("resolve an agent"))
}

/// Whose event type this is.
///
/// # Errors
/// When Postgres is away.
pub async fn event_type(pool: &PgPool, endpoint: Uuid, event_type_id: i64) -> Result<Option<EventTypeOwner>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_event_type($1, $2)")
        .bind(endpoint)
        .bind(event_type_id)
        .fetch_optional(pool)
        .await
        .map_err(failed("resolve an event type"))
}

/// Whose booking this is, for events that carry no event type.
///
/// # Errors
/// When Postgres is away.
pub async fn booking(pool: &PgPool, endpoint: Uuid, uid: &str) -> Result<Option<BookingOwner>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_booking($1, $2)").bind(endpoint).bind(uid).fetch_optional(pool).await.map_err(failed("resolve a booking"))
}
