//! A look at a booking folds what Cal.com's API shows of it, which is less than what its events told. Not here: looks that coalesce (`alone/calcom_budget`).

use chrono::Weekday;
use dev::calcom_stand_in::{VisitorBooking, VisitorCancel, WebhookFaults};
use tests::world::ahead;
use tests::{World, eventually, fixtures};

/// Calcom reference 1.5: the host asks for another time. The API then shows a cancelled booking without a successor, which outranks the request: a look must not end what the
/// customer is still to answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_booking_whose_host_asked_for_another_time_does_not_cancel_it() {
    let world = World::with(tests::WorldOptions { roles: vec!["booking", "cancellation", "calcom-sync", "calls"], ..tests::WorldOptions::default() }).await;
    let booking = world
        .calcom
        .visitor_book(VisitorBooking {
            event_type_id: 1320,
            start: ahead(7, Weekday::Thu, 10, 0).0,
            name: "Erika Musterfrau".to_owned(),
            email: "erika@example.org".to_owned(),
            phone: None,
            notes: String::new(),
        })
        .await
        .unwrap();
    world.settle_all().await;
    world.calcom.set_webhook_faults(WebhookFaults::lose(1.0, 1));
    // an edition that keeps the host's own words, without the prefix
    world.calcom.visitor_cancel(VisitorCancel { uid: booking.uid.clone(), reason: Some("Rieke ist krank".to_owned()), as_host: true }).await.unwrap();
    let mut event = fixtures::json("calcom/06-booking-cancelled-request-reschedule.json");
    event["payload"]["uid"] = booking.uid.clone().into();
    event["payload"]["startTime"] = booking.start.to_rfc3339().into();
    event["payload"]["endTime"] = booking.end.to_rfc3339().into();
    assert!(world.send_calcom(event.to_string().into_bytes()).await.status < 300);
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'reschedule_requested'").await, 1);

    event["triggerEvent"] = "SOMETHING_NEW".into();
    assert!(world.send_calcom(event.to_string().into_bytes()).await.status < 300);
    eventually("Cal.com is asked", || async {
        (world.count("SELECT count(*) FROM intents WHERE op = 'look' AND state = 'confirmed'").await == 1).then_some(())
    })
    .await;
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'reschedule_requested'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE kind = 'cancelled'").await, 0);
    world.finish().await;
}
