//! Issue 4, rules of moving and cancelling by phone: each fee tier, notice rule and quota through the real workers; which appointment is meant; the two steps of a move;
//! and how an appointment ends that took place. The rules themselves, to the second: `shared/src/domain/policies`.

use chrono::{DateTime, Duration, Timelike, Utc, Weekday};
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use shared::texts::lint::faults;
use tests::world::{ahead, now};
use tests::{World, WorldOptions, company, eventually, schedule};
use uuid::Uuid;

const SALON: &str = "+493023125042";

/// Type, level and rules; the level is none (the company) or a column of `policies` with its row.
type Row = (&'static str, Option<(&'static str, Uuid)>, Value);

/// The only rules of the company from now on.
async fn rule(world: &World, rows: &[Row]) {
    sqlx::query("DELETE FROM policies WHERE company_id = $1").bind(world.company.company_id).execute(&world.db).await.unwrap();
    for (kind, level, rules) in rows {
        let at = |column: &str| level.filter(|(name, _)| *name == column).map(|(_, id)| id);
        sqlx::query(
            "INSERT INTO policies (id, company_id, policy_type, branch_id, service_id, staff_id, rules) VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6)",
        )
        .bind(world.company.company_id)
        .bind(kind)
        .bind(at("branch_id"))
        .bind(at("service_id"))
        .bind(at("staff_id"))
        .bind(rules)
        .execute(&world.db)
        .await
        .unwrap();
    }
}

/// A start in that many hours, to the minute, and as date and time in Berlin.
fn in_hours(hours: i64, minutes: i64) -> (DateTime<Utc>, String, String) {
    let at = (now() + Duration::hours(hours) + Duration::minutes(minutes)).with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap();
    let local = at.with_timezone(&chrono_tz::Europe::Berlin);
    (at, local.format("%Y-%m-%d").to_string(), local.format("%H:%M").to_string())
}

/// Books; the appointment's number.
async fn book(call: &mut Call, service: &str, (date, time): (&str, &str)) -> i64 {
    let wanted = json!({ "date": date, "time": time, "service_name": service, "customer_name": "Jürgen Groß" });
    let booked = call.function("book_appointment", wanted).await.body;
    assert_eq!(booked["booked"], true, "{booked}");
    booked["appointment_number"].as_i64().unwrap()
}

fn speakable(answer: &Value) -> String {
    let message = answer["message"].as_str().unwrap_or_else(|| panic!("{answer} says nothing"));
    assert_eq!(faults(message), [], "{message}");
    message.to_owned()
}

/// The last row of history of that kind: within the policy, and its fee.
async fn charged(world: &World, kind: &str) -> (bool, i64) {
    sqlx::query_as("SELECT within_policy, fee_minor FROM appointment_modifications WHERE kind = $1 ORDER BY created_at DESC, id DESC LIMIT 1")
        .bind(kind)
        .fetch_one(&world.db)
        .await
        .unwrap()
}

/// Done 7 of issue 4: each fee tier, said and written (domain reference 4.1). A cut costs 32 Euro.
#[tokio::test]
async fn a_cancellation_costs_what_the_rules_say_and_its_row_says_it() {
    let world = World::new().await;
    let tiers = json!({ "fee_tiers": [{ "min_hours": 72, "fee": 0 }, { "min_hours": 12, "fee": 7 }] });
    let table: [(Option<Value>, i64, i64, &str); 11] = [
        (None, 3, 0, ""),
        (Some(json!({})), 72, 0, ""),
        (Some(json!({})), 49, 0, ""),
        (Some(json!({})), 47, 1_000, "10 Euro"),
        (Some(json!({})), 25, 1_000, "10 Euro"),
        (Some(json!({})), 23, 1_500, "15 Euro"),
        (Some(json!({ "fee": "12.50" })), 100, 1_250, "12 Euro 50"),
        (Some(json!({ "fee_percentage": 50 })), 5, 1_600, "16 Euro"),
        (Some(tiers.clone()), 80, 0, ""),
        (Some(tiers.clone()), 60, 700, "7 Euro"),
        (Some(tiers), 6, 700, "7 Euro"),
    ];
    for (row, (rules, hours, fee, said)) in table.into_iter().enumerate() {
        match rules {
            Some(rules) => rule(&world, &[("cancellation", None, rules)]).await,
            None => rule(&world, &[]).await,
        }
        let mut call = world.retell.inbound(&format!("+49151123456{row:02}"), SALON);
        let (_, date, time) = in_hours(hours, 2);
        book(&mut call, "Herrenhaarschnitt", (&date, &time)).await;
        let answer = call.function("cancel_appointment", json!({})).await.body;
        assert_eq!((&answer["cancelled"], &answer["fee_minor"]), (&json!(true), &json!(fee)), "row {row}: {answer}");
        let message = speakable(&answer);
        assert_eq!(message.contains("berechnen"), fee > 0, "{message}");
        assert!(message.contains(said), "{message}");
        world.settle_all().await;
        assert_eq!(charged(&world, "cancelled").await, (true, fee), "row {row}");
    }
    assert_eq!(world.count("SELECT count(*) FROM policy_violations").await, 0);
    world.finish().await;
}

/// Done 7 of issue 4, incident 76: notice, quotas and levels; a denial says all its numbers, changes nothing, and is recorded.
#[tokio::test]
async fn what_the_rules_forbid_is_denied_with_all_numbers_and_changes_nothing() {
    let world = World::new().await;
    let service = world.company.services.iter().find(|(name, _)| name == "Beratung").unwrap().1;
    let rieke = world.company.staff[0].1;
    let mut call = world.retell.inbound("+4915112345678", SALON);
    let (_, date, time) = in_hours(23, 2);
    let number = book(&mut call, "Beratung", (&date, &time)).await;
    // (level of the row that forbids, further rows): the nearest level decides
    let day = || json!({ "hours_before": 24 });
    let free = || json!({ "hours_before": 0, "fee": 0 });
    let rows: [Vec<Row>; 3] = [
        vec![("cancellation", None, day())],
        vec![("cancellation", None, free()), ("cancellation", Some(("service_id", service)), day())],
        vec![("cancellation", Some(("service_id", service)), free()), ("cancellation", Some(("staff_id", rieke)), day())],
    ];
    for (turn, (rows, level)) in rows.iter().zip(["company", "service", "staff"]).enumerate() {
        rule(&world, rows).await;
        // another wish each time: the answer of a repeated one is stored for a few seconds
        let denied = call.function("cancel_appointment", json!({ "reason": format!("Grund {turn}") })).await.body;
        let expected = json!({
            "success": false, "status": "denied", "reason": "deadline_missed", "hours_notice": 23, "required_hours": 24, "fee_if_forced_minor": 1_500, "fee_if_forced": "15.00",
            "currency": "EUR", "quota_used": null, "quota_max": null, "appointment_number": number, "offer_callback": true, "message": denied["message"],
        });
        assert_eq!(denied, expected, "{level}");
        assert!(speakable(&denied).contains("24 Stunden"));
        let recorded = world
            .rows("SELECT jsonb_build_array(level, policy_type, reason, hours_notice, required_hours, fee_if_forced_minor) FROM policy_violations ORDER BY id")
            .await;
        assert_eq!(recorded[turn], json!([level, "cancellation", "deadline_missed", 23, 24, 1_500]));
    }
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'cancel'").await, 0);
    assert_eq!(world.calcom.live_bookings().len(), 1);

    // a row that cannot be meant decides nothing: a person does
    rule(&world, &[("cancellation", None, json!({ "hours_befor": 24 }))]).await;
    let unreadable = call.function("cancel_appointment", json!({ "reason": "anders" })).await.body;
    assert_eq!(unreadable["reason"], "callback_queued", "{unreadable}");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE reason = 'policy_unreadable'").await, 1);
    world.finish().await;
}

/// Incident 76: quotas are counted live, over thirty days and not one more, by customer, and a wish under way counts.
#[tokio::test]
async fn quotas_count_the_last_thirty_days_and_each_appointments_moves() {
    let world = World::new().await;
    rule(
        &world,
        &[
            ("cancellation", None, json!({ "max_cancellations_per_month": 1, "fee": 0 })),
            ("reschedule", None, json!({ "max_reschedules_per_appointment": 2, "fee": 5 })),
        ],
    )
    .await;
    let (_, date, _) = ahead(5, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", SALON);
    let mut numbers = Vec::new();
    for time in ["09:00", "10:00", "11:00"] {
        numbers.push(book(&mut call, "Beratung", (&date, time)).await);
    }
    let cancelled = call.function("cancel_appointment", json!({ "appointment_id": numbers[0] })).await.body;
    assert_eq!(cancelled["cancelled"], true, "{cancelled}");
    let denied = call.function("cancel_appointment", json!({ "appointment_id": numbers[1] })).await.body;
    assert_eq!((&denied["reason"], &denied["quota_used"], &denied["quota_max"]), (&json!("quota_exceeded"), &json!(1), &json!(1)), "{denied}");
    speakable(&denied);
    // somebody else has a quota of their own
    let mut other = world.retell.inbound("+4915112345699", SALON);
    book(&mut other, "Beratung", (&date, "12:00")).await;
    assert_eq!(other.function("cancel_appointment", json!({})).await.body["cancelled"], true);
    // thirty-one days later
    sqlx::query("UPDATE appointment_modifications SET occurred_at = occurred_at - interval '31 days' WHERE kind = 'cancelled'")
        .execute(&world.db)
        .await
        .unwrap();
    let again = call.function("cancel_appointment", json!({ "appointment_id": numbers[1], "reason": "krank" })).await.body;
    assert_eq!(again["cancelled"], true, "{again}");

    for (turn, time) in ["13:00", "14:00", "15:00"].into_iter().enumerate() {
        let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": time, "bestaetigung": true })).await.body;
        if turn < 2 {
            assert_eq!((&moved["rescheduled"], &moved["fee_minor"]), (&json!(true), &json!(500)), "{moved}");
            assert!(speakable(&moved).contains("5 Euro"));
            world.settle_all().await;
            assert_eq!(charged(&world, "rescheduled").await, (true, 500));
        } else {
            assert_eq!((&moved["reason"], &moved["quota_used"], &moved["quota_max"]), (&json!("max_reschedules_reached"), &json!(2), &json!(2)), "{moved}");
            speakable(&moved);
        }
    }
    rule(&world, &[("reschedule", None, json!({ "max_reschedules_per_month": 2 }))]).await;
    let month = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "16:00", "bestaetigung": true })).await.body;
    assert_eq!((&month["reason"], &month["quota_used"]), (&json!("quota_exceeded"), &json!(2)), "{month}");
    world.finish().await;
}

/// Incidents 73 and 80: until the caller has said yes nothing moves; the time that was read back is held, and got.
#[tokio::test]
async fn a_move_is_looked_up_held_read_back_and_made_on_a_yes() {
    let world = World::new().await;
    rule(&world, &[("reschedule", None, json!({ "fee": 10 }))]).await;
    let (nine, date, _) = ahead(5, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", SALON);
    book(&mut call, "Beratung", (&date, "09:00")).await;

    let unsaid = call.function("reschedule_appointment", json!({ "old_date": date })).await.body;
    assert_eq!((&unsaid["status"], &unsaid["success"]), (&json!("needs_new_time"), &json!(false)), "{unsaid}");
    speakable(&unsaid);
    let vague = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "nachmittags", "bestaetigung": true })).await.body;
    assert_eq!((&vague["success"], &vague["reason"]), (&json!(false), &json!("time_required")), "{vague}");
    for consent in [json!(null), json!(false)] {
        let ready = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "14 Uhr", "bestaetigung": consent })).await.body;
        assert_eq!((&ready["status"], &ready["rescheduled"], &ready["fee_minor"]), (&json!("ready_for_confirmation"), &json!(false), &json!(1_000)), "{ready}");
        assert!(speakable(&ready).contains("10 Euro"), "what it costs is said before it is done");
    }
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'reschedule'").await, 0);
    assert_eq!(world.calcom.live_bookings()[0].start, nine);
    // somebody else wants it meanwhile, and hears what else there is
    let mut other = world.retell.inbound("+4915112345699", SALON);
    let taken = other
        .function("book_appointment", json!({ "date": date, "time": "14:00", "service_name": "Beratung", "customer_name": "Erika Musterfrau" }))
        .await
        .body;
    assert_eq!((&taken["success"], &taken["booked"]), (&json!(false), &json!(false)), "{taken}");
    speakable(&taken);

    let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "14:00", "bestaetigung": true })).await.body;
    assert_eq!((&moved["rescheduled"], &moved["fee"]), (&json!(true), &json!("10.00")), "{moved}");
    assert_eq!((&moved["old_time"], &moved["new_time"]), (&json!(format!("{date} 09:00")), &json!(format!("{date} 14:00"))));
    speakable(&moved);
    // back onto a time that somebody has by now: alternatives, and the appointment stays where it is
    let nine_again = other
        .function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Erika Musterfrau" }))
        .await
        .body;
    assert_eq!(nine_again["booked"], true, "{nine_again}");
    for consent in [json!(null), json!(true)] {
        let back = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "09:00", "bestaetigung": consent })).await.body;
        assert_eq!((&back["success"], &back["status"]), (&json!(false), &json!("unavailable")), "{back}");
        assert_eq!(back["alternatives"].as_array().map(Vec::len), Some(2), "{back}");
        speakable(&back);
    }
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'reschedule'").await, 1);
    world.settle_all().await;
    assert_eq!(charged(&world, "rescheduled").await, (true, 1_000));
    world.finish().await;
}

/// Incidents 50, 67 and 72: the appointment is the one that was said, in whatever way; several are listed, and a name bars nobody who calls from their own number.
#[tokio::test]
async fn the_appointment_meant_is_found_as_people_say_it_and_never_guessed() {
    let world = World::new().await;
    let (at, date, _) = ahead(5, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", SALON);
    let mut numbers = Vec::new();
    for (service, time) in [("Beratung", "09:00"), ("Beratung", "14:30"), ("Herrenhaarschnitt", "16:00")] {
        numbers.push(book(&mut call, service, (&date, time)).await);
    }
    let several = call.function("cancel_appointment", json!({ "customer_name": "Jürgen Kroß" })).await.body;
    assert_eq!((&several["reason"], several["appointments"].as_array().map(Vec::len)), (&json!("multiple_found"), Some(3)), "{several}");
    speakable(&several);
    let day = at.with_timezone(&chrono_tz::Europe::Berlin).format("%d.%m.%Y").to_string();
    let two = call.function("cancel_appointment", json!({ "datum": day, "service_name": "Beratung" })).await.body;
    assert_eq!(two["appointments"].as_array().map(Vec::len), Some(2), "{two}");
    let unknown = call.function("cancel_appointment", json!({ "service_name": "Dauerwelle" })).await.body;
    assert_eq!((&unknown["reason"], unknown["appointments"].as_array().map(Vec::len)), (&json!("not_found"), Some(3)), "{unknown}");
    speakable(&unknown);
    let nobodys = call.function("cancel_appointment", json!({ "appointment_id": 4_711 })).await.body;
    assert_eq!(nobodys["reason"], "not_found", "{nobodys}");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'cancel'").await, 0, "nothing was guessed");

    let spoken = call.function("cancel_appointment", json!({ "date": date, "time": "halb drei nachmittags", "customer_name": "Jürgen Kroß" })).await.body;
    assert_eq!((&spoken["cancelled"], &spoken["appointment_number"]), (&json!(true), &json!(numbers[1])), "{spoken}");
    let by_service = call.function("cancel_appointment", json!({ "service_name": "Haarschnitt" })).await.body;
    assert_eq!((&by_service["cancelled"], &by_service["appointment_number"]), (&json!(true), &json!(numbers[2])), "{by_service}");
    let only = call.function("cancel_appointment", json!({})).await.body;
    assert_eq!(only["appointment_number"], json!(numbers[0]), "{only}");
    let none = call.function("cancel_appointment", json!({ "reason": "noch einmal" })).await.body;
    assert_eq!(none["reason"], "not_found", "{none}");
    world.finish().await;
}

/// Incident 53: who withholds the number changes nothing and hears a promise, which is one row however often it is asked for.
#[tokio::test]
async fn an_anonymous_wish_to_change_is_one_callback() {
    let world = World::new().await;
    let mut call = world.retell.inbound("anonymous", SALON);
    for (name, arguments) in
        [("cancel_appointment", json!({ "customer_name": "Jürgen Groß" })), ("reschedule_appointment", json!({ "new_date": "morgen", "new_time": "10:00" }))]
    {
        let answer = call.function(name, arguments).await.body;
        assert_eq!((&answer["success"], &answer["reason"]), (&json!(false), &json!("callback_queued")), "{answer}");
        speakable(&answer);
    }
    let rows = world.rows("SELECT jsonb_build_array(reason, priority, state) FROM callback_requests").await;
    assert_eq!(rows, [json!(["anonymous_change", "high", "open"])]);
    world.finish().await;
}

/// Incident 44: the same person is a customer of two companies; neither the rules nor the appointments nor the quotas of one are the other's.
#[tokio::test]
async fn rules_and_appointments_of_another_company_are_not_ours() {
    let world = World::new().await;
    let theirs = world.add_company(&company::other(1)).await;
    rule(&world, &[("cancellation", None, json!({ "hours_before": 8_784 }))]).await;
    world
        .calcom
        .add_event_type(serde_json::from_value(json!({ "id": 11_321, "slug": "beratung-1", "title": "Beratung", "length": 30, "hosts": [4712] })).unwrap());
    let (_, date, _) = ahead(5, Weekday::Thu, 9, 0);
    let mut ours = world.retell.inbound("+4915112345678", SALON);
    let mut other = world.retell.inbound("+4915112345678", &theirs.phone_numbers[0].0);
    let our_number = book(&mut ours, "Beratung", (&date, "09:00")).await;
    book(&mut ours, "Beratung", (&date, "10:00")).await;
    let their_number = book(&mut other, "Beratung", (&date, "11:00")).await;
    assert_eq!((our_number, their_number), (1, 1), "short numbers are each company's own");
    assert_eq!(ours.function("cancel_appointment", json!({ "appointment_id": 1 })).await.body["reason"], "deadline_missed");
    assert_eq!(other.function("cancel_appointment", json!({ "appointment_id": 2 })).await.body["reason"], "not_found");
    let cancelled = other.function("cancel_appointment", json!({ "appointment_id": 1 })).await.body;
    assert_eq!((&cancelled["cancelled"], &cancelled["fee_minor"]), (&json!(true), &json!(0)), "{cancelled}");
    world.settle_all().await;
    let standing = world.rows("SELECT to_jsonb(company_id) FROM appointments WHERE status = 'booked'").await;
    assert_eq!(standing, vec![json!(world.company.company_id); 2]);
    world.finish().await;
}

/// What stands and is over has taken place; what Cal.com says of it again changes nothing, and what was cancelled or lies ahead is not touched.
#[tokio::test]
async fn an_appointment_that_is_over_is_completed_once() {
    let mut world = World::with(WorldOptions::default()).await;
    schedule::start(&mut world).await;
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let (_, later, _) = ahead(17, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", SALON);
    book(&mut call, "Beratung", (&date, "09:00")).await;
    let gone = book(&mut call, "Beratung", (&date, "10:00")).await;
    book(&mut call, "Beratung", (&later, "09:00")).await;
    assert_eq!(call.function("cancel_appointment", json!({ "appointment_id": gone })).await.body["cancelled"], true);
    world.settle_all().await;
    assert_eq!(schedule::run(&world, "complete_appointments").await, "0 completed");
    sqlx::query("UPDATE clock_shift SET shift = '11 days'").execute(&world.db).await.unwrap();
    assert_eq!(schedule::run(&world, "complete_appointments").await, "1 completed");
    let states = || async { world.rows("SELECT to_jsonb(status) FROM appointments ORDER BY starts_at").await };
    assert_eq!(states().await, ["completed", "cancelled", "booked"]);
    assert_eq!(schedule::run(&world, "complete_appointments").await, "0 completed");
    assert_eq!(world.count("SELECT count(*) FROM slot_claims WHERE appointment_id IN (SELECT id FROM appointments WHERE status = 'completed')").await, 0);

    // nobody came: Cal.com's word comes after the end
    world.calcom.set_clock_offset_ms(Duration::days(11).num_milliseconds());
    let uid = world.rows("SELECT to_jsonb(calcom_uid) FROM appointments WHERE status = 'completed'").await[0].as_str().unwrap().to_owned();
    let email = world.calcom.booking(&uid).unwrap().attendees[0].email.clone();
    let marked = reqwest::Client::new()
        .post(format!("{}/bookings/{uid}/mark-absent", world.calcom.api_url()))
        .header("Authorization", format!("Bearer {}", tests::world::CALCOM_API_KEY))
        .header("cal-api-version", "2024-08-13")
        .json(&json!({ "attendees": [{ "email": email, "absent": true }] }))
        .send()
        .await
        .unwrap();
    assert!(marked.status().is_success(), "{}", marked.text().await.unwrap());
    eventually("the absence is recorded", || async { (states().await[0] == "no_show").then_some(()) }).await;
    assert_eq!(schedule::run(&world, "complete_appointments").await, "0 completed");
    world.finish().await;
}
