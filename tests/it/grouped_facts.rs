//! A backlog is taken over in groups, with one statement for many bookings; the rows are those of one message after the other.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::broker::depth::Gauge;
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually};

/// Three groups of sixteen: bookings of their own, and in each group one peculiar thing.
const BOOKINGS: usize = 48;

/// Rows without generated keys and without the times at which they were written (`marks` hold the identities of messages; the history shows what they say).
const DUMP: &str = "
    SELECT to_jsonb(line) FROM (
        SELECT jsonb_build_array('appointment', to_jsonb(a) - '{id,company_id,number,branch_id,customer_id,service_id,staff_id,created_at,updated_at}'::text[],
            to_jsonb(c) - '{id,number,company_id,email,created_at,updated_at}'::text[], s.name, v.name) AS line
        FROM appointments a JOIN customers c ON c.id = a.customer_id LEFT JOIN staff s ON s.id = a.staff_id LEFT JOIN services v ON v.id = a.service_id
        UNION ALL SELECT jsonb_build_array('booking', to_jsonb(k) - '{company_id,appointment_id,provider_account_id,first_seen_at,marks}'::text[]) FROM calcom_bookings k
        UNION ALL SELECT jsonb_build_array('modification', to_jsonb(m) - '{id,company_id,appointment_id,customer_id,message_id,created_at}'::text[], a.calcom_uid)
            FROM appointment_modifications m JOIN appointments a ON a.id = m.appointment_id
        UNION ALL SELECT jsonb_build_array('claim', split_part(resource, '/', 1), during, kind, seat, a.calcom_uid) FROM slot_claims l JOIN appointments a ON a.id = l.appointment_id
        UNION ALL SELECT jsonb_build_array('review', reason) FROM reviews
        UNION ALL SELECT jsonb_build_array('customers', count(*)) FROM customers
    ) AS lines ORDER BY line";

#[tokio::test]
async fn a_backlog_leaves_the_rows_of_one_message_after_the_other() {
    let options = || WorldOptions { roles: vec![], ..WorldOptions::default() };
    let mut one_by_one = World::with(options()).await;
    one_by_one.start_workers(&["booking"], &BTreeMap::new()).await;
    for (n, body) in bodies().into_iter().enumerate() {
        assert!(one_by_one.send_calcom(body).await.accepted());
        handled(&one_by_one, n + 1).await;
    }
    let mut grouped = World::with(options()).await;
    for body in bodies() {
        assert!(grouped.send_calcom(body).await.accepted());
    }
    let (queue, gauge) = (topology::queue(Role::Booking, Lane::Bulk), Gauge::open(&grouped.amqp_url).await.unwrap());
    eventually("the backlog is there", || async { (gauge.depth(queue.as_str()).await.unwrap() as usize == BOOKINGS).then_some(()) }).await;
    // one permit: while one group is at work the next one fills
    grouped.start_workers(&["booking"], &BTreeMap::from([("PERMITS_BULK".to_owned(), "1".to_owned())])).await;
    handled(&grouped, BOOKINGS).await;

    let transactions = grouped.count("SELECT count(DISTINCT claimed_at) FROM inbox").await;
    assert!(transactions < 24, "messages were grouped: {transactions} transactions for {BOOKINGS}");
    let (expected, found) = (one_by_one.rows(DUMP).await, grouped.rows(DUMP).await);
    assert_eq!(expected.iter().filter(|line| line[0] == "appointment").count(), BOOKINGS);
    assert!(expected.contains(&json!(["review", "overlap"])), "the overlap is seen");
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
    one_by_one.finish().await;
    grouped.finish().await;
}

async fn handled(world: &World, messages: usize) {
    let messages = i64::try_from(messages).unwrap();
    eventually("the messages are handled", || async {
        (world.count("SELECT count(*) FROM attempts WHERE role = 'booking' AND outcome = 'done'").await == messages).then_some(())
    })
    .await;
}

fn bodies() -> Vec<Vec<u8>> {
    let bookings = WebBookings::default();
    let mut events: Vec<Value> = (0..BOOKINGS).map(|n| serde_json::from_slice(&bookings.body(n)).unwrap()).collect();
    // the same person twice, by e-mail in another spelling
    let again = events[1]["payload"]["attendees"][0]["email"].as_str().unwrap().to_uppercase();
    events[3]["payload"]["attendees"][0]["email"] = again.into();
    // a person with a phone, one who is known by nothing, a request that awaits the host
    events[20]["payload"]["attendees"][0]["phoneNumber"] = "+49 151 12345600".into();
    events[21]["payload"]["attendees"][0]["email"] = Value::Null;
    events[22]["triggerEvent"] = "BOOKING_REQUESTED".into();
    events[22]["payload"]["status"] = "PENDING".into();
    // two at one time of one host: a human looks
    let starts = events[40]["payload"]["startTime"].clone();
    let ends = events[40]["payload"]["endTime"].clone();
    events[41]["payload"]["startTime"] = starts;
    events[41]["payload"]["endTime"] = ends;
    events.iter().map(|event| event.to_string().into_bytes()).collect()
}
