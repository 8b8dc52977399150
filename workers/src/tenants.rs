//! Whose message is this? Proven from signed content within the endpoint's account, or parked; never guessed (incidents 42, 44, architecture section 5).

use shared::domain::phone::E164;
use shared::envelope::Envelope;
use shared::store::resolve::{self, BookingOwner, EventTypeOwner, NumberOwner};
use sqlx::PgPool;
use uuid::Uuid;

use crate::runtime::handler::{Failure, reason};

/// What a signed call says of its tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallEvidence<'a> {
    pub our_number: Option<&'a str>,
    pub agent_id: Option<&'a str>,
    /// Our own mark, returned in call_inbound's metadata and echoed in every later signed body.
    pub company_id: Option<Uuid>,
}

/// The endpoint that signed the message; our own messages have none.
///
/// # Errors
/// Parks a provider's message without one.
pub fn endpoint(envelope: &Envelope) -> Result<Uuid, Failure> {
    envelope.endpoint.ok_or_else(|| Failure::park(reason::UNKNOWN_ENDPOINT, "the message names no endpoint"))
}

/// The company and branch of a call: its own number decides, agent and metadata must not disagree.
///
/// # Errors
/// Parks an unknown number and a disagreement; waits while Postgres is away.
pub async fn of_call(pool: &PgPool, endpoint: Uuid, evidence: &CallEvidence<'_>) -> Result<NumberOwner, Failure> {
    let number = evidence.our_number.and_then(E164::parse).ok_or_else(|| Failure::park(reason::UNKNOWN_NUMBER, "the call names no number of ours in E.164"))?;
    let owner = resolve::phone_number(pool, endpoint, number.as_str())
        .await?
        .ok_or_else(|| Failure::park(reason::UNKNOWN_NUMBER, "the number is not mapped to a branch within the endpoint's account"))?;
    if evidence.company_id.is_some_and(|company_id| company_id != owner.company_id) {
        return Err(Failure::park(reason::TENANT_DISAGREES, "the call's metadata names another company than its number"));
    }
    if let Some(agent_id) = evidence.agent_id {
        let companies = resolve::agent(pool, endpoint, agent_id).await?;
        if !companies.is_empty() && !companies.contains(&owner.company_id) {
            return Err(Failure::park(reason::TENANT_DISAGREES, "the call's agent belongs to another company than its number"));
        }
    }
    Ok(owner)
}

/// The company and service of a Cal.com event type.
///
/// # Errors
/// Parks an event type that no service has; waits while Postgres is away.
pub async fn of_event_type(pool: &PgPool, endpoint: Uuid, event_type_id: i64) -> Result<EventTypeOwner, Failure> {
    resolve::event_type(pool, endpoint, event_type_id).await?.ok_or_else(|| {
        Failure::park(reason::UNKNOWN_EVENT_TYPE, format!("event type {event_type_id} is not mapped to a service within the endpoint's account"))
    })
}

/// The company of a booking that we know.
///
/// # Errors
/// Waits while Postgres is away.
pub async fn of_booking(pool: &PgPool, endpoint: Uuid, uid: &str) -> Result<Option<BookingOwner>, Failure> {
    Ok(resolve::booking(pool, endpoint, uid).await?)
}
