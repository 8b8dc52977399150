//! Moves the crash net into the table: what a role queue gave up on (`frontdesk.dead`) and what no queue wanted (`frontdesk.unrouted`).
//!
//! Not a handler: it reads no body and decides nothing. One consumer of each, in the process of the `calls` role.

use shared::broker::{Deliveries, Delivery, QueueName};
use shared::envelope::{Lane, Role};

use super::context::Context;
use super::finish::{unread_letter, until_parked};
use super::handler::reason;

/// One at a time is written; the rest is there to hide the broker's latency.
pub(super) const PREFETCH: u16 = 16;

/// Runs until the deliveries end.
pub(super) async fn run(context: Context, mut deliveries: Deliveries) {
    while let Some(delivery) = deliveries.recv().await {
        move_one(&context, delivery).await;
    }
}

async fn move_one(context: &Context, delivery: Delivery) {
    let reason = reason_of(&delivery);
    let role = role_of(&delivery.routing_key);
    let letter = unread_letter(&delivery.raw, &delivery.routing_key, role.map(Role::name), reason, String::new());
    tracing::warn!(message.id = letter.message_id, kind = letter.kind, queue = %delivery.routing_key, reason, "a message fell into the crash net");
    if until_parked(context, &letter, &[]).await {
        delivery.ack().await;
    } else {
        delivery.requeue().await;
    }
}

/// An authentic request that nobody can read is sent to the parking queue by name (ingress); otherwise the queue says why it is here.
fn reason_of(delivery: &Delivery) -> &'static str {
    if delivery.queue == QueueName::dead() {
        reason::DELIVERY_LIMIT
    } else if delivery.routing_key == QueueName::unrouted().as_str() {
        reason::UNREADABLE
    } else {
        reason::UNROUTED
    }
}

/// Whose queue was meant.
fn role_of(queue: &str) -> Option<Role> {
    let owns = |role: &Role| [Lane::Live, Lane::Bulk].into_iter().any(|lane| shared::broker::topology::queue(*role, lane).as_str() == queue);
    Role::ALL.into_iter().find(owns)
}

/// The two queues.
pub(super) fn queues() -> [QueueName; 2] {
    [QueueName::dead(), QueueName::unrouted()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routing_key_names_the_role_whose_queue_was_meant() {
        assert_eq!(role_of("frontdesk.booking"), Some(Role::Booking));
        assert_eq!(role_of("frontdesk.booking.live"), Some(Role::Booking));
        assert_eq!(role_of("frontdesk.nowhere"), None);
    }
}
