//! A write that `desk` carries out itself is asked anew when a model repeats it in another tool call, and has its effect once: one preference, one callback, one hold.
//! Not here: Retell's own retry of one tool call (`desk_reads`, `duplicates`), writes that go to Cal.com (`function_table`).

use chrono::Weekday;
use serde_json::{Value, json};
use tests::World;
use tests::world::ahead;

const OURS: &str = "+493023125042";
const TIMES: usize = 5;

/// What there is, without the moments at which it was written.
async fn rows(world: &World) -> Vec<Value> {
    world
        .rows(
            "SELECT jsonb_build_array('preference', preference_type, key, value, usage_count, confidence) FROM customer_preferences
             UNION ALL SELECT jsonb_build_array('callback', reason, priority, notes, phone) FROM callback_requests
             UNION ALL SELECT jsonb_build_array('hold', resource, starts_at, asked) FROM slot_claims WHERE expires_at IS NOT NULL ORDER BY 1",
        )
        .await
}

/// Incident 28, for writes without an appointment: the second one is answered as truly as the first, and there is nothing twice.
#[tokio::test]
async fn a_repeated_write_of_the_desk_has_one_effect() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 10, 0);
    for (function, arguments, effect) in [
        ("save_customer_preference", json!({ "preference_type": "staff", "preference_key": "favourite", "preference_value": "Rieke" }), "preference"),
        ("request_callback", json!({ "reason": "Rechnung", "preferred_time_window": "ab 17 Uhr" }), "callback"),
        ("reserve_slot", json!({ "date": date, "time": "10:00", "service_name": "Beratung" }), "hold"),
    ] {
        let mut call = world.retell.inbound("+4915112345678", OURS);
        let first = call.function(function, arguments.clone()).await.body;
        assert_eq!(first["success"], true, "{first}");
        let once = rows(&world).await;
        assert_eq!(once.iter().filter(|row| row[0] == effect).count(), 1, "{once:?}");
        for _ in 0..TIMES {
            let again = call.function(function, arguments.clone()).await.body;
            assert_eq!(again["success"], true, "{again}");
        }
        // all at once, as parallel tool calls of one turn
        let requests: Vec<_> = (0..TIMES).map(|_| call.prepare_function(function, arguments.clone())).collect();
        let answers = futures_util::future::join_all(requests.into_iter().map(|request| world.send_retell(request.body))).await;
        assert!(answers.iter().all(|answer| answer.json()["success"] == true), "{answers:?}");
        assert_eq!(rows(&world).await, once, "{function} repeated {} times", 2 * TIMES);
    }
    // in another call it is another wish: surer, and a promise of its own
    let mut later = world.retell.inbound("+4915112345678", OURS);
    let surer = later
        .function("save_customer_preference", json!({ "preference_type": "staff", "preference_key": "favourite", "preference_value": "Rieke" }))
        .await
        .body;
    assert_eq!(surer["usage_count"], 2, "{surer}");
    later.function("request_callback", json!({ "reason": "Rechnung" })).await;
    assert_eq!(world.count("SELECT count(*) FROM callback_requests").await, 2);
    world.settle_all().await;
    world.finish().await;
}
