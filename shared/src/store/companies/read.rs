//! A company's set-up as it stands in the database, with ids: for `frontdesk company show` and for the checks.
//!
//! Read under the company's row-level security, in one transaction, so that it is one moment's picture.

use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Names of staff and numbers are set-up of the company, but stay out of logs: this type is for the operator's own screen.
#[derive(Clone, Serialize)]
pub struct CompanySetup {
    pub id: Uuid,
    pub name: String,
    pub time_zone: String,
    /// Where calls of every branch without a number of its own are passed on to, E.164.
    pub transfer_number: Option<String>,
    pub branches: Vec<SetBranch>,
    pub services: Vec<SetService>,
    pub staff: Vec<SetStaff>,
    pub phone_numbers: Vec<SetNumber>,
    pub agents: Vec<SetAgent>,
}

#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetBranch {
    pub id: Uuid,
    pub name: String,
    pub time_zone: String,
    /// Where a call is passed on to, E.164; without one, the company's.
    pub transfer_number: Option<String>,
}

#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetStaff {
    pub id: Uuid,
    pub name: String,
    /// Their own extension, E.164.
    pub transfer_number: Option<String>,
    pub calcom_user_id: Option<i64>,
}

#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetAgent {
    pub id: Uuid,
    pub retell_agent_id: String,
    pub provider_account_id: Uuid,
}

#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetService {
    pub id: Uuid,
    pub name: String,
    pub duration_minutes: i32,
    pub seats_per_slot: i32,
    pub active: bool,
    pub calcom_event_type_id: Option<i64>,
    pub provider_account_id: Option<Uuid>,
    pub staff_count: i64,
}

#[derive(Clone, Serialize, sqlx::FromRow)]
pub struct SetNumber {
    pub id: Uuid,
    pub e164: String,
    pub active: bool,
    pub branch_id: Uuid,
    pub provider_account_id: Uuid,
}

/// The whole set-up. `None`: no such company.
///
/// # Errors
/// When Postgres is away.
pub async fn load(pool: &PgPool, id: Uuid) -> Result<Option<CompanySetup>, StoreError> {
    let mut tx = CompanyTx::begin(pool, Some(id), &[]).await?;
    let found = load_in(tx.connection(), id).await?;
    tx.commit().await?;
    Ok(found)
}

async fn load_in(connection: &mut PgConnection, id: Uuid) -> Result<Option<CompanySetup>, StoreError> {
    let company: Option<(String, String, Option<String>)> = sqlx::query_as("SELECT name, time_zone, transfer_number FROM companies WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed("read a company"))?;
    let Some((name, time_zone, transfer_number)) = company else { return Ok(None) };
    let branches = sqlx::query_as("SELECT id, name, time_zone, transfer_number FROM branches WHERE company_id = $1 ORDER BY created_at, id")
        .bind(id)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read the branches"))?;
    let services = sqlx::query_as(
        "SELECT id, name, duration_minutes, seats_per_slot, active, calcom_event_type_id, provider_account_id,
                (SELECT count(*) FROM service_staff p WHERE p.company_id = s.company_id AND p.service_id = s.id) AS staff_count
         FROM services s WHERE company_id = $1 ORDER BY created_at, id",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed("read the services"))?;
    let staff = sqlx::query_as("SELECT id, name, transfer_number, calcom_user_id FROM staff WHERE company_id = $1 ORDER BY created_at, id")
        .bind(id)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read the staff"))?;
    let phone_numbers =
        sqlx::query_as("SELECT id, e164, active, branch_id, provider_account_id FROM phone_numbers WHERE company_id = $1 ORDER BY created_at, id")
            .bind(id)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read the phone numbers"))?;
    let agents = sqlx::query_as("SELECT id, retell_agent_id, provider_account_id FROM agents WHERE company_id = $1 ORDER BY created_at, id")
        .bind(id)
        .fetch_all(connection)
        .await
        .map_err(failed("read the agents"))?;
    Ok(Some(CompanySetup { id, name, time_zone, transfer_number, branches, services, staff, phone_numbers, agents }))
}
