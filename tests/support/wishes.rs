//! Many wishes of calcom-sync at once, written as rows: for what is about the queue itself (budget, fairness, outage) and needs more of them than calls are made in a test.
//!
//! Not the way in which a wish comes to be (that is `phone_booking`). The appointments begin one after the other, far ahead, and none overlaps another.

use uuid::Uuid;

use crate::World;

/// One host, thirty minutes.
pub const EVENT_TYPE: i64 = 1321;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An appointment that Cal.com shall book.
    Create,
    /// A look at a booking that Cal.com does not know: one GET, answered 404, and done.
    Look,
}

/// Records `count` of them in the order of their appointments' starts; the first is the `first`-th half hour since 2028. Their ids in that order.
pub async fn record(world: &World, company_id: Uuid, wish: Wish, lane: &str, first: i64, count: i64) -> Vec<Uuid> {
    let statement = "
        WITH customer AS (
            INSERT INTO customers (id, company_id, name, phone) VALUES (gen_random_uuid(), $1, 'Max Mustermann', '+4915112345678')
            ON CONFLICT (company_id, phone) WHERE phone IS NOT NULL DO UPDATE SET updated_at = now() RETURNING id
        ), call AS (
            INSERT INTO calls (id, company_id, number, retell_call_id, branch_id)
            SELECT gen_random_uuid(), $1, next_number('call', $1), 'call_wishes', id FROM branches WHERE company_id = $1 ORDER BY created_at, id LIMIT 1
            ON CONFLICT (company_id, retell_call_id) DO UPDATE SET updated_at = now() RETURNING id
        ), made AS (
            INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, status, starts_at, ends_at, time_zone, created_by, booking_source, call_id)
            SELECT gen_random_uuid(), $1, next_number('appointment', $1), b.id, c.id, s.id, 'requested', '2028-01-03T00:00:00Z'::timestamptz + n * interval '30 min',
                   '2028-01-03T00:30:00Z'::timestamptz + n * interval '30 min', b.time_zone, 'customer', 'retell_phone', k.id
            FROM generate_series($4, $4 + $5 - 1) n, customer c, call k, (SELECT * FROM branches WHERE company_id = $1 ORDER BY created_at, id LIMIT 1) b,
                 (SELECT * FROM services WHERE company_id = $1 AND calcom_event_type_id % 10000 = $6 LIMIT 1) s
            RETURNING id, starts_at, ends_at
        ), wished AS (
            INSERT INTO intents (id, company_id, credential_id, appointment_id, op, lane, due_at, token, uid, event_type_id, starts_at, ends_at, actor, channel, call_id, created_at)
            SELECT gen_random_uuid(), $1, $2, m.id, $3, $7, frontdesk_now(), gen_random_uuid(), CASE WHEN $3 = 'look' THEN 'unknown' || substr(m.id::text, 1, 8) END,
                   s.calcom_event_type_id, m.starts_at, m.ends_at, 'customer', 'retell_phone', k.id, clock_timestamp()
            FROM (SELECT * FROM made ORDER BY starts_at) m, call k, (SELECT * FROM services WHERE company_id = $1 AND calcom_event_type_id % 10000 = $6 LIMIT 1) s
            RETURNING id, created_at
        )
        SELECT id FROM wished ORDER BY created_at, id";
    sqlx::query_scalar(statement)
        .bind(company_id)
        .bind(world.calcom_credential)
        .bind(if wish == Wish::Create { "create" } else { "look" })
        .bind(first)
        .bind(count)
        .bind(EVENT_TYPE)
        .bind(lane)
        .fetch_all(&world.db)
        .await
        .expect("the wishes are recorded")
}
