//! Setting a company up: one document with branches, services, staff, numbers and agents becomes rows in one transaction.
//!
//! Not the everyday reading of these rows by the roles. Called by `frontdesk company`, `frontdesk check`, `cargo dev` and tests, with the same struct:
//! `deploy/demo/company.json` is one of them. Things refer to each other by name inside the document, and to provider accounts by label.

mod policy;
mod read;
mod rules;
mod setup;

pub use policy::{NewPolicy, PolicyType};
pub use read::{CompanySetup, SetAgent, SetBranch, SetNumber, SetService, SetStaff, load};
pub use rules::{SetCalcomAccount, SetPolicy, SetRules, load_rules};
pub use setup::{NewAgent, NewBranch, NewCompany, NewPhoneNumber, NewService, NewStaff};

use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::store::accounts::{self, Provider};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// The ids of what was made, each beside the name it has in the document, in the document's order.
#[derive(Clone, Debug, Serialize)]
pub struct CreatedCompany {
    pub company_id: Uuid,
    pub retell_account_id: Option<Uuid>,
    pub calcom_account_id: Option<Uuid>,
    pub branches: Vec<(String, Uuid)>,
    pub services: Vec<(String, Uuid)>,
    pub staff: Vec<(String, Uuid)>,
    pub phone_numbers: Vec<(String, Uuid)>,
    pub agents: Vec<(String, Uuid)>,
}

/// Makes the company and everything in it, or nothing at all. The accounts are made if their labels are new.
///
/// # Errors
/// [`StoreError::UnsoundSetup`] with every problem of the document; a constraint (number or event type taken by another company); Postgres is away.
pub async fn create(pool: &PgPool, new: &NewCompany) -> Result<CreatedCompany, StoreError> {
    let problems = new.problems();
    if !problems.is_empty() {
        return Err(StoreError::UnsoundSetup(problems));
    }
    let company_id = Uuid::now_v7();
    let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
    let connection = tx.connection();
    insert_company(connection, company_id, new).await?;
    let retell_account_id = account(connection, Provider::Retell, new.retell_account.as_deref()).await?;
    let calcom_account_id = account(connection, Provider::Calcom, new.calcom_account.as_deref()).await?;
    let mut made = CreatedCompany {
        company_id,
        retell_account_id,
        calcom_account_id,
        branches: Vec::new(),
        services: Vec::new(),
        staff: Vec::new(),
        phone_numbers: Vec::new(),
        agents: Vec::new(),
    };
    for branch in &new.branches {
        let id = insert_branch(connection, company_id, branch, &new.time_zone).await?;
        made.branches.push((branch.name.clone(), id));
    }
    for person in &new.staff {
        let id = insert_staff(connection, company_id, person, id_of(&made.branches, person.branch.as_deref())).await?;
        made.staff.push((person.name.clone(), id));
    }
    for service in &new.services {
        let id = insert_service(connection, &made, service).await?;
        made.services.push((service.name.clone(), id));
    }
    for number in &new.phone_numbers {
        let id = insert_number(connection, &made, number).await?;
        made.phone_numbers.push((number.e164.clone(), id));
    }
    for agent in &new.agents {
        let id = insert_agent(connection, &made, agent).await?;
        made.agents.push((agent.retell_agent_id.clone(), id));
    }
    for policy in &new.policies {
        insert_policy(connection, &made, policy).await?;
    }
    tx.commit().await?;
    Ok(made)
}

/// Companies that are not disabled: id and name.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<(Uuid, String)>, StoreError> {
    sqlx::query_as("SELECT company_id, name FROM resolve_companies()").fetch_all(pool).await.map_err(failed("list the companies"))
}

fn id_of(made: &[(String, Uuid)], name: Option<&str>) -> Option<Uuid> {
    made.iter().find(|(known, _)| Some(known.as_str()) == name).map(|(_, id)| *id)
}

async fn account(connection: &mut PgConnection, provider: Provider, label: Option<&str>) -> Result<Option<Uuid>, StoreError> {
    match label {
        Some(label) => accounts::get_or_create(connection, provider, label).await.map(Some),
        None => Ok(None),
    }
}

async fn insert_company(connection: &mut PgConnection, id: Uuid, new: &NewCompany) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO companies (id, name, time_zone, features, legacy_id, transfer_number, transfer_hours) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(id)
        .bind(&new.name)
        .bind(&new.time_zone)
        .bind(sqlx::types::Json(&new.features))
        .bind(&new.legacy_id)
        .bind(&new.transfer_number)
        .bind(new.transfer_hours.as_ref().map(sqlx::types::Json))
        .execute(connection)
        .await
        .map_err(failed("add a company"))?;
    Ok(())
}

async fn insert_branch(connection: &mut PgConnection, company_id: Uuid, branch: &NewBranch, time_zone: &str) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO branches (id, company_id, name, time_zone, opening_hours, transfer_number, transfer_hours) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(id)
        .bind(company_id)
        .bind(&branch.name)
        .bind(branch.time_zone.as_deref().unwrap_or(time_zone))
        .bind(sqlx::types::Json(&branch.opening_hours))
        .bind(&branch.transfer_number)
        .bind(branch.transfer_hours.as_ref().map(sqlx::types::Json))
        .execute(connection)
        .await
        .map_err(failed("add a branch"))?;
    Ok(id)
}

async fn insert_staff(connection: &mut PgConnection, company_id: Uuid, person: &NewStaff, branch_id: Option<Uuid>) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO staff (id, company_id, branch_id, name, email, calcom_user_id, transfer_number) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(id)
        .bind(company_id)
        .bind(branch_id)
        .bind(&person.name)
        .bind(&person.email)
        .bind(person.calcom_user_id)
        .bind(&person.transfer_number)
        .execute(connection)
        .await
        .map_err(failed("add a member of staff"))?;
    Ok(id)
}

async fn insert_service(connection: &mut PgConnection, made: &CreatedCompany, service: &NewService) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    // an event type means something only within its account
    let account_id = service.calcom_event_type_id.and(made.calcom_account_id);
    sqlx::query(
        "INSERT INTO services (id, company_id, branch_id, name, synonyms, duration_minutes, price_minor, currency, provider_account_id,
                               calcom_event_type_id, seats_per_slot, minimum_notice_minutes, is_default)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(id)
    .bind(made.company_id)
    .bind(id_of(&made.branches, service.branch.as_deref()))
    .bind(&service.name)
    .bind(&service.synonyms)
    .bind(service.duration_minutes)
    .bind(service.price_minor)
    .bind(&service.currency)
    .bind(account_id)
    .bind(service.calcom_event_type_id)
    .bind(service.seats_per_slot)
    .bind(service.minimum_notice_minutes)
    .bind(service.is_default)
    .execute(&mut *connection)
    .await
    .map_err(failed("add a service"))?;
    let staff: Vec<Uuid> = service.staff.iter().filter_map(|name| id_of(&made.staff, Some(name))).collect();
    sqlx::query("INSERT INTO service_staff (company_id, service_id, staff_id) SELECT $1, $2, unnest($3::uuid[])")
        .bind(made.company_id)
        .bind(id)
        .bind(&staff)
        .execute(connection)
        .await
        .map_err(failed("say who performs a service"))?;
    Ok(id)
}

async fn insert_number(connection: &mut PgConnection, made: &CreatedCompany, number: &NewPhoneNumber) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO phone_numbers (id, company_id, branch_id, provider_account_id, e164, label) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id)
        .bind(made.company_id)
        .bind(id_of(&made.branches, Some(&number.branch)))
        .bind(made.retell_account_id)
        .bind(&number.e164)
        .bind(&number.label)
        .execute(connection)
        .await
        .map_err(failed("add a phone number"))?;
    Ok(id)
}

async fn insert_agent(connection: &mut PgConnection, made: &CreatedCompany, agent: &NewAgent) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO agents (id, company_id, provider_account_id, retell_agent_id, version, variant, name) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(id)
        .bind(made.company_id)
        .bind(made.retell_account_id)
        .bind(&agent.retell_agent_id)
        .bind(agent.version)
        .bind(&agent.variant)
        .bind(&agent.name)
        .execute(connection)
        .await
        .map_err(failed("add an agent"))?;
    Ok(id)
}

async fn insert_policy(connection: &mut PgConnection, made: &CreatedCompany, policy: &NewPolicy) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO policies (id, company_id, branch_id, service_id, staff_id, policy_type, rules) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(Uuid::now_v7())
        .bind(made.company_id)
        .bind(id_of(&made.branches, policy.branch.as_deref()))
        .bind(id_of(&made.services, policy.service.as_deref()))
        .bind(id_of(&made.staff, policy.staff.as_deref()))
        .bind(policy.policy_type.literal())
        .bind(&policy.rules)
        .execute(connection)
        .await
        .map_err(failed("add a policy"))?;
    Ok(())
}
