//! A branch as callers ask about it: its hours, what it offers for which price, who works there, whereto and when a call is put through.
//!
//! Not its set-up (`companies`) and not what a booking needs (`services`). Called by `desk`.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::policies::{Change, Level, Rules, resolve};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A branch, with what its company says where the branch says nothing.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Branch {
    pub id: Uuid,
    pub name: String,
    pub company_name: String,
    pub time_zone: String,
    /// Weekday → list of [from, to] in local time.
    pub opening_hours: Value,
    /// Where a call is put through to, E.164: the branch's own number, else the company's.
    pub transfer_number: Option<String>,
    /// When: the branch's own hours, else the company's, else the opening hours.
    pub transfer_hours: Value,
}

/// The company's branches by name (at most 50: more are not told apart on the phone).
///
/// # Errors
/// When Postgres is away.
pub async fn all(tx: &mut CompanyTx) -> Result<Vec<Branch>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT b.id, b.name, c.name AS company_name, b.time_zone, b.opening_hours, coalesce(b.transfer_number, c.transfer_number) AS transfer_number,
                coalesce(b.transfer_hours, c.transfer_hours, b.opening_hours) AS transfer_hours
         FROM branches b JOIN companies c ON c.id = b.company_id WHERE b.company_id = $1 ORDER BY b.name, b.id LIMIT 50",
    )
    .bind(company_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read the branches"))
}

/// Something that is offered, as callers ask for it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Offered {
    pub name: String,
    pub synonyms: Vec<String>,
    pub duration_minutes: i32,
    /// In the smallest unit; `None`: not told.
    pub price_minor: Option<i64>,
    pub currency: Option<String>,
}

/// What the branch offers, by name (at most 200, as `services::of_branch`).
///
/// # Errors
/// When Postgres is away.
pub async fn offered(tx: &mut CompanyTx, branch_id: Uuid) -> Result<Vec<Offered>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT name, synonyms, duration_minutes, price_minor, currency FROM services
         WHERE company_id = $1 AND active AND (branch_id IS NULL OR branch_id = $2) ORDER BY name, id LIMIT 200",
    )
    .bind(company_id)
    .bind(branch_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list what a branch offers"))
}

/// Somebody who works there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Person {
    pub name: String,
    /// Their own extension, E.164.
    pub transfer_number: Option<String>,
}

/// Who works in the branch, by name (at most 200).
///
/// # Errors
/// When Postgres is away.
pub async fn people(tx: &mut CompanyTx, branch_id: Uuid) -> Result<Vec<Person>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT name, transfer_number FROM staff WHERE company_id = $1 AND active AND (branch_id IS NULL OR branch_id = $2) ORDER BY name, id LIMIT 200",
    )
    .bind(company_id)
    .bind(branch_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list who works in a branch"))
}

/// What holds in the branch for a change of any appointment there; staff and services may have rules of their own, which decide when it comes to it (`policies`). A row that
/// cannot be meant says nothing here.
///
/// # Errors
/// When Postgres is away.
pub async fn rules(tx: &mut CompanyTx, branch_id: Uuid, change: Change) -> Result<Option<Rules>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<(Option<Uuid>, Value)> = sqlx::query_as(
        "SELECT branch_id, rules FROM policies WHERE company_id = $1 AND policy_type = $2 AND (branch_id = $3 OR num_nonnulls(branch_id, service_id, staff_id) = 0) LIMIT 2",
    )
    .bind(company_id)
    .bind(change.policy_type())
    .bind(branch_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("read a branch's rules"))?;
    let level = |branch: &Option<Uuid>| if branch.is_some() { Level::Branch } else { Level::Company };
    let rules: Vec<(Level, Rules)> = rows.iter().filter_map(|(branch, rules)| Some((level(branch), Rules::from_json(rules).ok()?))).collect();
    Ok(resolve(&rules).map(|effective| effective.rules))
}
