//! What a company offers, for the functions that name it: service → duration, event type, the people who do it, the credential that carries it.

use uuid::Uuid;

use crate::store::slot_claims::Resource;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// A service with what a booking of it needs.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Service {
    pub id: Uuid,
    pub branch_id: Option<Uuid>,
    pub name: String,
    pub synonyms: Vec<String>,
    pub duration_minutes: i32,
    pub calcom_event_type_id: Option<i64>,
    pub seats_per_slot: i32,
    pub minimum_notice_minutes: i32,
    pub is_default: bool,
    /// The live credential of the service's account; without one nothing can be booked.
    pub credential_id: Option<Uuid>,
    /// Who does it, in a stable order.
    pub staff_ids: Vec<Uuid>,
}

impl Service {
    /// What a promise of this service takes: the only person who does it, else one of as many seats as there are people (or places in a course).
    #[must_use]
    pub fn resource(&self, event_type_id: i64) -> Resource {
        match self.staff_ids.as_slice() {
            [only] if self.seats_per_slot == 1 => Resource::Staff(*only),
            staff => {
                let people = i32::try_from(staff.len()).unwrap_or(i32::MAX).max(1);
                let seats = people.saturating_mul(self.seats_per_slot);
                Resource::EventType { id: event_type_id, seats: i16::try_from(seats).unwrap_or(i16::MAX) }
            }
        }
    }
}

/// The active services of a branch (at most 200, more is not a phone menu).
///
/// # Errors
/// When Postgres is away.
pub async fn of_branch(tx: &mut CompanyTx, branch_id: Uuid) -> Result<Vec<Service>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT s.id, s.branch_id, s.name, s.synonyms, s.duration_minutes, s.calcom_event_type_id, s.seats_per_slot, s.minimum_notice_minutes, s.is_default,
                (SELECT c.id FROM credentials c WHERE c.provider_account_id = s.provider_account_id AND c.disabled_at IS NULL) AS credential_id,
                ARRAY(SELECT m.staff_id FROM service_staff m WHERE m.company_id = s.company_id AND m.service_id = s.id ORDER BY m.staff_id) AS staff_ids
         FROM services s WHERE s.company_id = $1 AND s.active AND (s.branch_id IS NULL OR s.branch_id = $2) ORDER BY s.name, s.id LIMIT 200",
    )
    .bind(company_id)
    .bind(branch_id)
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list a branch's services"))
}

/// One service by its key.
///
/// # Errors
/// When Postgres is away.
pub async fn by_id(tx: &mut CompanyTx, id: Uuid) -> Result<Option<Service>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT s.id, s.branch_id, s.name, s.synonyms, s.duration_minutes, s.calcom_event_type_id, s.seats_per_slot, s.minimum_notice_minutes, s.is_default,
                (SELECT c.id FROM credentials c WHERE c.provider_account_id = s.provider_account_id AND c.disabled_at IS NULL) AS credential_id,
                ARRAY(SELECT m.staff_id FROM service_staff m WHERE m.company_id = s.company_id AND m.service_id = s.id ORDER BY m.staff_id) AS staff_ids
         FROM services s WHERE s.company_id = $1 AND s.id = $2",
    )
    .bind(company_id)
    .bind(id)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("read a service"))
}

/// Somebody who works there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Colleague {
    pub id: Uuid,
    pub name: String,
}

/// Who works in a branch or in all of them, in a stable order (at most 200).
///
/// # Errors
/// When Postgres is away.
pub async fn colleagues(tx: &mut CompanyTx, branch_id: Uuid) -> Result<Vec<Colleague>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as("SELECT id, name FROM staff WHERE company_id = $1 AND active AND (branch_id IS NULL OR branch_id = $2) ORDER BY name, id LIMIT 200")
        .bind(company_id)
        .bind(branch_id)
        .fetch_all(tx.connection())
        .await
        .map_err(failed("list a branch's staff"))
}

/// Names of the company that no customer has (`domain::person_names::Reserved`).
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct OwnNames {
    pub staff: Vec<String>,
    pub agents: Vec<String>,
    pub companies: Vec<String>,
    pub services: Vec<String>,
}

/// The names of the company itself: people, voice agents, branches, services with their synonyms (at most 500 of each).
///
/// # Errors
/// When Postgres is away.
pub async fn own_names(tx: &mut CompanyTx) -> Result<OwnNames, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT ARRAY(SELECT name FROM staff WHERE company_id = $1 ORDER BY name LIMIT 500) AS staff,
                ARRAY(SELECT name FROM agents WHERE company_id = $1 AND name <> '' ORDER BY name LIMIT 500) AS agents,
                ARRAY(SELECT name FROM companies WHERE id = $1 UNION SELECT name FROM branches WHERE company_id = $1 LIMIT 500) AS companies,
                ARRAY(SELECT name FROM services WHERE company_id = $1 UNION SELECT unnest(synonyms) FROM services WHERE company_id = $1 LIMIT 500) AS services",
    )
    .bind(company_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("read a company's own names"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(staff: usize, seats: i32) -> Service {
        Service {
            id: Uuid::now_v7(),
            branch_id: None,
            name: "Beratung".to_owned(),
            synonyms: Vec::new(),
            duration_minutes: 30,
            calcom_event_type_id: Some(1),
            seats_per_slot: seats,
            minimum_notice_minutes: 15,
            is_default: false,
            credential_id: None,
            staff_ids: (0..staff).map(|_| Uuid::now_v7()).collect(),
        }
    }

    #[test]
    fn one_person_is_the_resource_and_several_are_seats() {
        assert!(matches!(service(1, 1).resource(1), Resource::Staff(_)));
        assert_eq!(service(2, 1).resource(1), Resource::EventType { id: 1, seats: 2 });
        assert_eq!(service(1, 8).resource(1), Resource::EventType { id: 1, seats: 8 });
    }
}
