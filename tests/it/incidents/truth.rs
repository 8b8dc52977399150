//! What is said of a call against what its rows say: a mail that failed, a flag, a claim, an agent that froze.

use chrono::Weekday;
use dev::calcom_stand_in::{FaultKind, FaultOp, FaultRule};
use serde_json::{Value, json};
use tests::world::ahead;
use tests::{World, eventually, http};

const OURS: &str = "+493023125042";

fn beratung(date: &str, time: &str) -> Value {
    json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })
}

/// Incident 75: the cancellation had worked, only the mail about it failed, and the caller heard that it had failed. Cal.com sends the mails: it says 500 after it has cancelled.
#[tokio::test]
async fn a_change_that_worked_is_told_as_done_though_what_came_after_it_failed() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", OURS);
    assert_eq!(call.function("book_appointment", beratung(&date, "09:00")).await.body["booked"], true);
    for (operation, function, arguments, done) in [
        (FaultOp::Reschedule, "reschedule_appointment", json!({ "new_date": date, "new_time": "11:00", "bestaetigung": true }), "rescheduled"),
        (FaultOp::Cancel, "cancel_appointment", json!({}), "cancelled"),
    ] {
        world.calcom.add_faults(vec![FaultRule::once(operation, FaultKind::ErrorAfter { status: 500 })]);
        let answer = call.function(function, arguments).await.body;
        // by the answer, or where the machine is slower than a caller waits: by what is carried out all the same
        assert!(answer[done] == true || answer["pending"] == true, "{answer}");
        eventually("it is recorded as done", || async { (world.modifications().await.last().is_some_and(|row| row["kind"] == done)).then_some(()) }).await;
    }
    world.settle_all().await;
    assert_eq!((world.appointments().await[0]["status"].clone(), world.calcom.live_bookings().len()), (json!("cancelled"), 0));
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE reason = 'wish_failed'").await, 0, "nobody is told that it failed");
    world.finish().await;
}

/// Incidents 81 and 82: the agent said "gebucht" without a booking, and Retell said that a call with one had failed. Rows decide: the claim goes to a human, the flag changes nothing.
#[tokio::test]
async fn a_booking_that_was_only_claimed_goes_to_a_human_and_retells_flag_decides_nothing() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut booked = world.retell.inbound("+4915112345601", OURS);
    assert_eq!(booked.function("book_appointment", beratung(&date, "09:00")).await.body["booked"], true);
    let mut claimed = world.retell.inbound("+4915112345602", OURS);
    let mut asked = world.retell.inbound("+4915112345603", OURS);
    for (call, successful, said) in [(&mut booked, false, json!(true)), (&mut claimed, true, json!("ja")), (&mut asked, true, json!(false))] {
        call.begin();
        call.end().await;
        call.conclude("Ein Anruf.", json!({ "appointment_made": said }));
        let mut body: Value = serde_json::from_slice(&call.event_body("call_analyzed")).unwrap();
        body["call"]["call_analysis"]["call_successful"] = json!(successful);
        let body = serde_json::to_vec(&body).unwrap();
        for _ in 0..2 {
            assert!(world.send_retell(body.clone()).await.accepted());
        }
    }
    eventually("every analysis is taken in", || async { (world.count("SELECT count(*) FROM calls WHERE status = 'analyzed'").await == 3).then_some(()) }).await;
    world.settle_all().await;
    let flags = world.rows("SELECT to_jsonb(retell_successful) FROM calls ORDER BY caller").await;
    assert_eq!(flags, [json!(false), json!(true), json!(true)], "kept as Retell's word");
    let reviews = world.rows("SELECT jsonb_build_array(r.subject, r.reason, c.retell_call_id, r.state) FROM reviews r JOIN calls c ON c.id = r.call_id").await;
    assert_eq!(reviews, [json!(["call", "booking_claimed", claimed.id(), "open"])], "once, and only of the one that nobody made");
    let appointments: Vec<Value> = world.appointments().await.iter().map(|row| row["status"].clone()).collect();
    assert_eq!((appointments, world.calcom.live_bookings().len()), (vec![json!("booked")], 1), "what Retell calls a failure is booked");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests").await, 0);
    world.finish().await;
}

/// Incident 83: a version of the agent froze after its greeting, and nobody noticed for days.
#[tokio::test]
async fn a_call_whose_agent_froze_is_counted() {
    let world = World::new().await;
    let mut speaks = world.retell.inbound("+4915112345601", OURS);
    speaks.start().await;
    speaks.function("list_services", json!({})).await;
    let mut silent = world.retell.inbound("+4915112345602", OURS);
    silent.start().await;
    let mut once = world.retell.inbound("+4915112345603", OURS);
    once.start().await;
    once.function("initialize_call", json!({})).await;
    once.close("user_hangup");
    let mut body: Value = serde_json::from_slice(&once.event_body("call_ended")).unwrap();
    body["call"]["llm_token_usage"]["num_requests"] = json!(1);
    assert!(world.send_retell(serde_json::to_vec(&body).unwrap()).await.accepted());
    speaks.end().await;
    silent.end().await;
    let mut never = world.retell.inbound("+4915112345604", OURS);
    never.not_connected("dial_no_answer").await;
    eventually("the ends are counted", || async {
        let text = http::client().get(format!("{}/metrics", world.worker_urls[0])).send().await.ok()?.text().await.ok()?;
        let count = |agent: &str| {
            let series = format!("frontdesk_calls_ended_total{{agent=\"{agent}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).and_then(|value| value.parse::<u64>().ok())
        };
        (count("frozen") == Some(2) && count("spoke") == Some(1)).then_some(())
    })
    .await;
    world.settle_all().await;
    world.finish().await;
}
