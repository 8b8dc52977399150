//! Event types that a sweep met and that are no service's: one dead letter each, for a human to map or to discard. Their bookings are passed over, never guessed;
//! once a service has the event type, everything is read again (`sweeps::want_for_new_services`).

use shared::envelope::{MessageId, Role};
use shared::store::dead_letters::{self, NewDeadLetter};
use shared::store::sweeps::Leased;
use shared::store::tx::CompanyTx;

use crate::runtime::{Context, Failure, reason};

pub(super) async fn park(context: &Context, sweep: &Leased, event_types: &[i64]) -> Result<(), Failure> {
    let mut tx = CompanyTx::begin(&context.pool, None, &[]).await?;
    for event_type in event_types {
        let letter = NewDeadLetter {
            message_id: Some(MessageId::of_own("sweep.unknown_event_type", format!("{}/{event_type}", sweep.account_id).as_bytes()).to_string()),
            kind: None,
            role: Some(Role::CalcomSync.name()),
            queue: "sweeps".to_owned(),
            endpoint: None,
            company_id: None,
            schema_version: None,
            attempt: 1,
            reason: reason::UNKNOWN_EVENT_TYPE.to_owned(),
            detail: format!("event type {event_type} has bookings in Cal.com and is mapped to no service of account {}", sweep.account_id),
            body: Vec::new(),
            received_at: Some(sweep.now),
        };
        dead_letters::insert(&mut tx, &letter).await?;
        context.metrics.parked(reason::UNKNOWN_EVENT_TYPE);
        tracing::warn!(account.id = %sweep.account_id, event_type.id = event_type, "a sweep met bookings of an event type that is no service's");
    }
    tx.commit().await?;
    Ok(())
}
