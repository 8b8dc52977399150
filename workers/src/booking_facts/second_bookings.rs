//! Bookings that carry the token of a wish which has its booking already: a double of ours is recorded as what it is, cancelled by us and shown to a human, and never
//! becomes part of the first booking (architecture section 8, 3; faults C1).
//!
//! How it comes about: a create whose outcome was unknown was looked for, not seen (reads lag), and sent again. Called by the fold of facts.

use serde_json::json;
use shared::domain::booking_chain::{Chain, Happening};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::envelope::Lane;
use shared::store::appointments::{self, Appointment, NewAppointment};
use shared::store::chains::{self, Loaded};
use shared::store::intents::{self, Intent, IntentState, NewIntent, Op};
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use super::own_changes::{is_what_was_asked, ring};
use super::{Heard, rank, review};
use crate::runtime::handler::Failure;

/// Why we cancel it, in Cal.com's mail and in our rows.
const REASON: &str = "Doppelt eingetragen, der erste Termin bleibt bestehen";

/// A booking that nobody knows, with the token of a wish that is fulfilled by another one.
pub(super) enum Bearer<'a> {
    /// What was asked for, a second time.
    Double(&'a Intent),
    /// Something else with a copied token: a booking like any other.
    Stranger,
}

impl<'a> Bearer<'a> {
    /// `None`: the fact belongs to what was loaded.
    pub(super) fn of(loaded: &'a Loaded, heard: &Heard) -> Option<Self> {
        let fact = &heard.fact;
        let token = heard.token?;
        // a moved booking keeps the token of the one before it (calcom reference 2.3)
        if fact.predecessor.is_some() || loaded.chain.booking(&fact.uid).is_some() {
            return None;
        }
        let wish = loaded.intents.iter().find(|intent| intent.op == Op::Create && intent.token == token && intent.state == IntentState::Confirmed)?;
        if wish.uid.as_deref().is_none_or(|uid| uid == fact.uid) {
            return None;
        }
        Some(if is_what_was_asked(wish, fact) { Self::Double(wish) } else { Self::Stranger })
    }
}

/// Records the double as an appointment of its own, and if it lives the wish to cancel it.
pub(super) async fn take_over(tx: &mut CompanyTx, heard: &Heard, loaded: &Loaded, wish: &Intent) -> Result<Appointment, Failure> {
    let fact = &heard.fact;
    let first = loaded.appointment.as_ref().ok_or_else(|| Failure::retry("booking_not_known_yet"))?;
    let provenance = Provenance {
        actor: Actor::System,
        channel: Channel::Reconciled,
        call_id: None,
        user_id: None,
        intent_id: Some(wish.id),
        message_id: heard.external.message_id.clone(),
        occurred_at: fact.told_at,
    };
    let mut chain = Chain::default();
    let folded = chain.fold_by(rank(), fact, &provenance);
    let new = NewAppointment {
        id: Uuid::now_v7(),
        branch_id: first.branch_id,
        customer_id: first.customer_id,
        service_id: first.service_id,
        staff_id: loaded.staff_id,
        starts_at: fact.starts_at,
        ends_at: fact.ends_at,
        time_zone: first.time_zone.clone(),
        name_given: first.name_given.clone(),
        notes: None,
    };
    let account = chains::provider_account(tx, wish.credential_id).await?;
    let double = appointments::adopt(tx, new, &chain, &folded, account, &provenance).await?;
    review(tx, "second_booking", first, &fact.uid).await?;
    tracing::warn!(appointment.number = first.number, double.number = double.number, company.id = %first.company_id, "a wish was booked twice in Cal.com; the second booking is cancelled");
    if matches!(fact.happening, Happening::Accepted | Happening::Requested) {
        cancel(tx, heard, wish, &double).await?;
    }
    Ok(double)
}

/// Work of its own: an intent of the double's appointment, which nothing else waits for.
async fn cancel(tx: &mut CompanyTx, heard: &Heard, wish: &Intent, double: &Appointment) -> Result<(), Failure> {
    let intent = NewIntent {
        appointment_id: double.id,
        op: Op::Cancel,
        lane: Lane::Bulk,
        credential_id: wish.credential_id,
        token: Uuid::now_v7(),
        uid: Some(&heard.fact.uid),
        event_type_id: None,
        starts_at: Some(double.starts_at),
        ends_at: Some(double.ends_at),
        actor: Actor::System.literal(),
        channel: Channel::Reconciled.booking_source(),
        call_id: None,
        user_id: None,
        reason: Some(REASON),
        function_call_id: None,
        request: &json!({}),
        traceparent: heard.traceparent.as_deref(),
    };
    let id = intents::record(tx, &intent).await?;
    ring(tx, id, heard.received_at, heard.traceparent.as_deref());
    Ok(())
}
