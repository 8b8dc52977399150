//! What desk answers beyond the table of all functions and cases (`function_table`): call_inbound with what is known, limits, who calls, repeated wishes, failed transfers.
//! Not here: free times (`availability`), changes of appointments (`change_rules`).

use chrono::Duration;
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use shared::domain::policies::LimitClass;
use shared::functions::Function;
use shared::functions::variables::VARIABLES;
use shared::texts::lint;
use tests::world::now;
use tests::{World, company, eventually};

const MITTE: &str = "+493023125042";
const ERIKA: &str = "+4915112345678";
const NOBODY: &str = "+4915112345699";

/// The demo company, open at any time for transfers, with a customer who was there twice and comes again; and another company with the same number as a customer.
async fn staged() -> World {
    let world = World::new().await;
    let other = world.add_company(&company::other(1)).await.company_id;
    let always = json!({ "mon": [["00:00", "24:00"]], "tue": [["00:00", "24:00"]], "wed": [["00:00", "24:00"]], "thu": [["00:00", "24:00"]],
        "fri": [["00:00", "24:00"]], "sat": [["00:00", "24:00"]], "sun": [["00:00", "24:00"]] });
    sqlx::query("UPDATE companies SET transfer_hours = $1").bind(always).execute(&world.db).await.unwrap();
    customer(&world, world.company.company_id, ERIKA, "Erika Musterfrau", "gold").await;
    customer(&world, other, ERIKA, "Otto Fremd", "none").await;
    for (index, (days, status, service)) in
        [(-60, "completed", "Beratung"), (-30, "completed", "Herrenhaarschnitt"), (8, "booked", "Beratung")].into_iter().enumerate()
    {
        appointment(&world, "Erika Musterfrau", index, days, status, service).await;
    }
    appointment(&world, "Otto Fremd", 9, 9, "booked", "Herrenhaarschnitt").await;
    world
}

async fn customer(world: &World, company_id: uuid::Uuid, phone: &str, name: &str, tier: &str) {
    sqlx::query("INSERT INTO customers (id, company_id, phone, name, vip_tier) VALUES (gen_random_uuid(), $1, $2, $3, $4)")
        .bind(company_id)
        .bind(phone)
        .bind(name)
        .bind(tier)
        .execute(&world.db)
        .await
        .unwrap();
}

async fn appointment(world: &World, customer: &str, index: usize, days: i64, status: &str, service: &str) {
    let starts_at = now() + Duration::days(days);
    sqlx::query(
        "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, status, starts_at, ends_at, time_zone, calcom_uid, created_by, booking_source)
         SELECT gen_random_uuid(), c.company_id, $2, (SELECT id FROM branches b WHERE b.company_id = c.company_id ORDER BY name LIMIT 1), c.id,
                (SELECT id FROM services s WHERE s.company_id = c.company_id AND s.name = $6), $3, $4, $5, 'Europe/Berlin', 'uid-' || $2, 'customer', 'calcom_webhook'
         FROM customers c WHERE c.name = $1",
    )
    .bind(customer)
    .bind(i64::try_from(index).unwrap() + 9_000)
    .bind(status)
    .bind(starts_at)
    .bind(starts_at + Duration::minutes(30))
    .bind(service)
    .execute(&world.db)
    .await
    .unwrap();
}

/// Calls a function as Retell does; the answer is HTTP 200 with a sentence that can be spoken, whatever else it is.
async fn ask(call: &mut Call, name: &str, arguments: Value) -> Value {
    let answer = call.function(name, arguments.clone()).await;
    assert_eq!(answer.status, 200, "{name} {arguments}");
    let said = answer.body["message"].as_str().unwrap_or_else(|| panic!("{name} {arguments} says nothing: {}", answer.body));
    assert_eq!(lint::faults(said), [], "{name} {arguments}: {said}");
    assert!(answer.body["success"].is_boolean(), "{name}: {}", answer.body);
    answer.body
}

fn says(answer: &Value, words: &str) -> bool {
    answer["message"].as_str().is_some_and(|message| message.contains(words))
}

/// A repeated tool call gets the stored answer and writes nothing again; the same wish in another call grows surer, and the promise of a call stays one.
#[tokio::test]
async fn repeated_wishes_write_once_and_a_call_has_one_promise() {
    let world = staged().await;
    let mut call = world.retell.inbound(ERIKA, MITTE);
    let preference = json!({ "preference_type": "staff", "preference_key": "favourite", "preference_value": "Rieke" });
    let request = call.prepare_function("save_customer_preference", preference.clone());
    let first = call.send_function(&request).await.body;
    assert_eq!(call.send_function(&request).await.body, first, "the same tool call");
    let second = ask(&mut world.retell.inbound(ERIKA, MITTE), "vorliebe_speichern", preference).await;
    assert_eq!((&first["usage_count"], &second["usage_count"]), (&json!(1), &json!(2)));
    assert!(second["confidence"].as_f64() > first["confidence"].as_f64());
    let changed = ask(&mut call, "save_preference", json!({ "preference_type": "staff", "preference_key": "favourite", "preference_value": "Anna" })).await;
    assert_eq!((&changed["usage_count"], &changed["confidence"]), (&json!(1), &json!(0.5)), "another value begins anew");

    let normal = ask(&mut call, "request_callback", json!({ "reason": "Rechnung" })).await;
    assert_eq!(normal["priority"], "high", "a gold customer");
    let urgent = ask(&mut call, "schedule_callback", json!({ "reason": "Es ist ein Notfall", "preferred_time_window": "ab 17 Uhr" })).await;
    assert_eq!((&urgent["priority"], &urgent["already_promised"]), (&json!("urgent"), &json!(true)));
    let rows = world
        .rows("SELECT jsonb_build_object('reason', reason, 'priority', priority, 'notes', notes, 'phone', phone, 'hours', round(extract(epoch FROM due_at - created_at) / 3600)) FROM callback_requests")
        .await;
    let notes = "Anliegen: Rechnung\nWann: ab 17 Uhr\nAnliegen: Es ist ein Notfall";
    assert_eq!(rows, [json!({ "reason": "customer_request", "priority": "urgent", "notes": notes, "phone": ERIKA, "hours": 2 })]);
    world.finish().await;
}

/// Retell reference 3: strings only; nobody waits longer than a second, and nobody is recognised who withholds the number.
#[tokio::test]
async fn a_ringing_phone_is_answered_with_what_is_known() {
    let world = staged().await;
    let table = [
        (ERIKA, "wieder zu hören, Erika Musterfrau", ERIKA, "Beratung"),
        (NOBODY, "Schön, dass Sie anrufen. Wie", NOBODY, ""),
        ("anonymous", "Darf ich fragen, wie Sie heißen?", "", ""),
        ("015112345678", "Erika Musterfrau", ERIKA, "Beratung"),
    ];
    for (from, greeting, number, next) in table {
        let answer = world.retell.inbound(from, MITTE).ring().await;
        assert_eq!(answer.status, 200);
        let variables = answer.body["call_inbound"]["dynamic_variables"].as_object().unwrap_or_else(|| panic!("{from}: {}", answer.body));
        let mut expected: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        expected.sort_unstable();
        assert_eq!(variables.keys().collect::<Vec<_>>(), expected, "{from}");
        assert!(variables.values().all(Value::is_string), "{variables:?}");
        assert!(variables["greeting"].as_str().unwrap().contains(greeting), "{from}: {}", variables["greeting"]);
        assert_eq!(variables["customer_phone_number"], number);
        assert!(
            variables["next_appointment"].as_str().unwrap().ends_with(next) && (next.is_empty() == variables["next_appointment"].as_str().unwrap().is_empty())
        );
        assert_eq!(answer.body["call_inbound"]["metadata"]["company_id"], json!(world.company.company_id));
    }
    world.finish().await;
}

/// Domain reference 4.2 and incident 44: exact inside the tenant; the end of a number only without its country, and only if one customer alone has it.
#[tokio::test]
async fn a_caller_is_recognised_by_the_number_alone_and_never_by_half_of_a_whole_one() {
    let world = staged().await;
    customer(&world, world.company.company_id, "+4369912345678", "Paula Weidner", "none").await;
    for (from, status) in [
        (ERIKA, "existing_customer"),
        ("015112345678", "existing_customer"),
        // a whole number of another country says nothing by its end
        ("+4117712345678", "new_customer"),
        // two customers end so
        ("99912345678", "anonymous"),
        ("12345678@sip.example", "anonymous"),
    ] {
        let answer = ask(&mut world.retell.inbound(from, MITTE), "identify_customer", json!({ "phone_number": ERIKA })).await;
        let plausible = answer["status"] == status || (status == "anonymous" && answer["status"] == "new_customer");
        assert!(plausible, "{from}: {answer}");
        assert_eq!(answer["found"], status == "existing_customer", "{from}: {answer}");
    }
    let rows = "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, status, starts_at, ends_at, time_zone, calcom_uid, created_by, booking_source)
        SELECT gen_random_uuid(), a.company_id, 100 + n, a.branch_id, c.id, a.service_id, CASE WHEN n <= 12 THEN 'completed' ELSE 'no_show' END, a.starts_at - n * interval '15 days',
            a.ends_at - n * interval '15 days', a.time_zone, 'p-' || n, a.created_by, a.booking_source
        FROM generate_series(1, 14) n, appointments a, customers c WHERE a.number = 9001 AND c.name = 'Paula Weidner'";
    sqlx::query(rows).execute(&world.db).await.unwrap();
    let paula = ask(&mut world.retell.inbound("+4369912345678", MITTE), "check_customer", json!({})).await;
    // 14 appointments +10, seven months +5, 2 of 14 missed -10, 384 euros 0 (domain reference 4.3)
    assert_eq!(
        (&paula["total_appointments"], &paula["no_show_count"], &paula["vip_score"], &paula["vip_status"]),
        (&json!(14), &json!(2), &json!(5), &json!("none"))
    );
    assert_eq!((&paula["predicted_service"], &paula["service_confidence"]), (&json!("Herrenhaarschnitt"), &json!(1.0)));
    world.finish().await;
}

/// Issue 4, Done 7: exact, also with twenty calls at once; a refused one hears a sentence and costs nothing; incident 84 beside it: an unknown function is answered and counted.
#[tokio::test]
async fn limits_per_call_and_company_are_exact_and_still_answer() {
    let world = staged().await;
    let limits = "UPDATE companies SET functions_per_call_minute = 3, vip_functions_per_call_minute = 2, functions_per_minute = 12 WHERE id = $1";
    sqlx::query(limits).bind(world.company.company_id).execute(&world.db).await.unwrap();
    let mut call = world.retell.inbound(ERIKA, MITTE);
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(ask(&mut call, "zeitinfo", json!({})).await["success"].as_bool().unwrap());
    }
    assert_eq!(heard, [true, true, true, false, false]);
    assert_eq!(Function::ApplyVipBenefits.row().limit_class, LimitClass::Vip);
    let benefits = [
        ask(&mut call, "apply_vip_benefits", json!({})).await,
        ask(&mut call, "apply_vip_benefits", json!({})).await,
        ask(&mut call, "apply_vip_benefits", json!({})).await,
    ];
    assert_eq!(benefits.each_ref().map(|answer| answer["success"] == true), [true, true, false], "a class of its own");
    assert_eq!((&benefits[2]["reason"], &benefits[2]["limit"]), (&json!("too_many_functions"), &json!("call")));

    // five were answered; of twenty at once the company has seven left
    let calls: Vec<Call> = (0..20).map(|n| world.retell.inbound(&format!("+49151123457{n:02}"), MITTE)).collect();
    let answers = futures_util::future::join_all(calls.into_iter().map(|mut call| async move { ask(&mut call, "current_time_berlin", json!({})).await })).await;
    assert_eq!(answers.iter().filter(|answer| answer["success"] == true).count(), 7);
    assert!(answers.iter().filter(|answer| answer["success"] == false).all(|answer| answer["limit"] == "company"));

    sqlx::query("UPDATE clock_shift SET shift = '61 s'").execute(&world.db).await.unwrap();
    assert_eq!(ask(&mut call, "zeitinfo", json!({})).await["success"], true, "a minute later");
    let unknown = ask(&mut call, "bestelle_pizza_v3", json!({ "groesse": "gross" })).await;
    assert_eq!((&unknown["success"], &unknown["reason"]), (&json!(false), &json!("not_available")));
    // what the alerts UnknownFunctions and FunctionLimitsReached look at; a transaction that was repeated counts its refusal again
    eventually("the unknown function and the refusals are counted", || async {
        let text = reqwest::get(format!("{}/metrics", world.worker_urls[0])).await.ok()?.text().await.ok()?;
        let unknown = text.lines().any(|line| line.contains(r#"kind="retell.function.unknown",lane="live",outcome="done""#) && line.ends_with(" 1"));
        let refused = |limit: &str| {
            let series = format!("frontdesk_function_limits_reached_total{{limit=\"{limit}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(series.as_str())?.parse::<u32>().ok()).unwrap_or_default()
        };
        (unknown && refused("call") >= 3 && refused("company") >= 13).then_some(())
    })
    .await;
    world.finish().await;
}

/// Issue 4, Callbacks; retell reference 5: out of hours, without a number for that person, failed in Retell: one promise, and none if it worked.
#[tokio::test]
async fn a_transfer_that_does_not_work_is_exactly_one_callback() {
    let world = staged().await;
    let number = "+493023125099";
    let mut failed = world.retell.inbound(ERIKA, MITTE);
    failed.start().await;
    assert_eq!(ask(&mut failed, "transfer_call", json!({})).await["transfer_number"], number);
    for event in ["transfer_started", "transfer_cancelled", "transfer_started", "transfer_cancelled"] {
        assert!(failed.transfer(event, number).await.is_success());
    }
    failed.end().await;
    let mut worked = world.retell.inbound("+4915112345602", MITTE);
    worked.start().await;
    worked.transfer("transfer_started", number).await;
    worked.transfer("transfer_bridged", number).await;
    worked.end_because("call_transfer").await;
    let mut wished = world.retell.inbound("+4915112345603", MITTE);
    wished.start().await;
    wished.end_because("user_requested_callback").await;

    sqlx::query("UPDATE companies SET transfer_hours = '{}'").execute(&world.db).await.unwrap();
    let mut closed = world.retell.inbound("+4915112345604", MITTE);
    for _ in 0..2 {
        let answer = ask(&mut closed, "weiterleiten", json!({ "reason": "Frage zur Rechnung" })).await;
        assert_eq!((&answer["action"], &answer["reason"], &answer["callback"]), (&json!("continue"), &json!("outside_business_hours"), &json!(true)));
    }
    let mut withheld = world.retell.inbound("anonymous", MITTE);
    let answer = ask(&mut withheld, "transfer_call", json!({})).await;
    assert!(says(&answer, "Unter welcher Nummer"), "{answer}");
    assert_eq!(ask(&mut withheld, "request_callback", json!({ "phone_number": "0151 12345605" })).await["already_promised"], true);
    world.settle_all().await;
    let expected = [
        json!([ERIKA, "transfer_failed", "high"]),
        json!(["+4915112345603", "customer_request", "normal"]),
        json!(["+4915112345604", "transfer_not_possible", "normal"]),
        json!(["+4915112345605", "transfer_not_possible", "normal"]),
    ];
    let rows = || async {
        world
            .rows("SELECT jsonb_build_array(phone, reason, priority) FROM callback_requests WHERE state = 'open' ORDER BY phone = '+4915112345678' DESC, phone")
            .await
    };
    eventually("every event has been taken in", || async { (rows().await.len() == expected.len()).then_some(()) }).await;
    assert_eq!(rows().await, expected);
    world.finish().await;
}
