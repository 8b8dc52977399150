//! Whose row it is: in the keys of every table, in what is remembered, and in what nobody who is logged in writes. Who sees what is `tenant_isolation`'s.

use chrono::Weekday;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::world::ahead;
use tests::{World, WorldOptions, company, eventually};

const OURS: &str = "+493023125042";
const THEIRS: &str = "+493040000010";

/// Incidents 43 and 77: half of the customers had no company, and an appointment could be given anybody's customer. Read from the catalogue, so that a new table cannot slip by.
#[tokio::test]
async fn every_row_has_a_company_and_refers_to_rows_of_that_company_only() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    // plumbing may hold what is nobody's yet: it has grants instead of a policy. What a sweep asks of an account is no company's, and only a function may write it
    let nullable = world
        .rows(
            "SELECT to_jsonb(c.relname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT a.attnotnull",
        )
        .await;
    assert_eq!(nullable, [json!("api_calls")], "tables whose rows may be nobody's");
    let loose = world
        .rows(
            "SELECT to_jsonb(format('%s (%s)', k.conrelid::regclass, k.conname)) FROM pg_constraint k
             JOIN pg_attribute mine ON mine.attrelid = k.conrelid AND mine.attname = 'company_id'
             JOIN pg_attribute theirs ON theirs.attrelid = k.confrelid AND theirs.attname = 'company_id' AND theirs.attnotnull
             JOIN pg_class t ON t.oid = k.confrelid AND t.relrowsecurity
             WHERE k.contype = 'f' AND NOT (mine.attnum = ANY (k.conkey) AND theirs.attnum = ANY (k.confkey))",
        )
        .await;
    assert_eq!(loose, [] as [Value; 0], "references that may lead to another company");
    assert!(world.count("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND cardinality(conkey) = 2").await > 20, "the catalogue was read");

    let theirs = world.add_company(&company::other(1)).await.company_id;
    for company_id in [world.company.company_id, theirs] {
        let person = "INSERT INTO customers (id, company_id, phone) VALUES (gen_random_uuid(), $1, '+4915112345678')";
        sqlx::query(person).bind(company_id).execute(&world.db).await.unwrap();
    }
    let made = "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, status, starts_at, ends_at, time_zone, created_by, booking_source)
        SELECT gen_random_uuid(), $1, 1, b.id, c.id, 'requested', now(), now() + interval '1 hour', 'Europe/Berlin', 'customer', 'calcom_webhook'
        FROM branches b, customers c WHERE b.company_id = $1 AND c.company_id = $2 LIMIT 1";
    let foreign = sqlx::query(made).bind(world.company.company_id).bind(theirs).execute(&world.db).await.unwrap_err();
    assert!(foreign.as_database_error().is_some_and(|error| error.is_foreign_key_violation()), "{foreign}");
    sqlx::query(made).bind(world.company.company_id).bind(world.company.company_id).execute(&world.db).await.unwrap();
    for column in ["customer_id", "branch_id"] {
        let (table, id) = if column == "customer_id" { ("customers", theirs) } else { ("branches", theirs) };
        let statement = format!("UPDATE appointments SET {column} = (SELECT id FROM {table} WHERE company_id = '{id}' LIMIT 1)");
        let refused = sqlx::query(AssertSqlSafe(statement)).execute(&world.db).await.unwrap_err();
        assert!(refused.as_database_error().is_some_and(|error| error.is_foreign_key_violation()), "{column}: {refused}");
    }
    world.finish().await;
}

/// Incident 45: what was remembered for one company was said to another's callers. Here one company's memory says that nothing is free.
#[tokio::test]
async fn what_is_remembered_for_one_company_is_no_other_companys_answer() {
    let world = World::new().await;
    world.add_company(&company::other(1)).await;
    let event_type =
        json!({ "id": 11_321, "slug": "beratung-1", "title": "Beratung", "length": 30, "hosts": [4711], "seats": null, "requires_confirmation": false });
    world.calcom.add_event_type(serde_json::from_value(event_type).unwrap());
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let wish = |time: &str| json!({ "date": date, "time": time, "service_name": "Beratung" });
    let ours = world.retell.inbound("+4915112345678", OURS).function("check_availability", wish("09:00")).await.body;
    assert_eq!(ours["available"], true, "{ours}");
    let poisoned = sqlx::query("UPDATE availability_slots SET starts = '{}'").execute(&world.db).await.unwrap();
    assert!(poisoned.rows_affected() > 0, "it is remembered");
    let remembered = world.retell.inbound("+4915112345679", OURS).function("check_availability", wish("10:00")).await.body;
    assert_eq!(remembered["available"], false, "that memory is what our callers hear: {remembered}");
    let theirs = world.retell.inbound("+4915112345678", THEIRS).function("check_availability", wish("10:00")).await.body;
    assert_eq!(theirs["available"], true, "and theirs do not: {theirs}");
    // by its key: whatever is remembered is some company's, in every table
    let keys = world
        .rows(
            "SELECT to_jsonb(format('%s (%s)', i.indrelid::regclass, i.indexrelid::regclass)) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid AND t.relrowsecurity
             JOIN pg_attribute c ON c.attrelid = t.oid AND c.attname = 'company_id' JOIN pg_attribute f ON f.attrelid = t.oid AND f.attnum = i.indkey[0]
             WHERE i.indisunique AND c.attnum <> i.indkey[0] AND f.atttypid <> 'uuid'::regtype ORDER BY 1",
        )
        .await;
    // by a number that was called the company is found
    assert_eq!(keys, [json!("phone_numbers (phone_numbers_unique)")], "unique keys that do not begin with the company");
    world.settle_all().await;
    world.finish().await;
}

/// Incident 46: a guard took the company from who was logged in, and webhooks were lost: nobody is. Both companies' calls come through the same processes in turn.
#[tokio::test]
async fn a_webhook_belongs_to_the_company_of_its_number_though_nobody_is_logged_in() {
    const CALLS: usize = 6;
    let world = World::new().await;
    let theirs = world.add_company(&company::other(1)).await.company_id;
    let calls: Vec<_> = (0..2 * CALLS).map(|n| world.retell.inbound(&format!("+49151123456{n:02}"), if n % 2 == 0 { OURS } else { THEIRS })).collect();
    futures_util::future::join_all(calls.into_iter().map(|mut call| async move {
        assert!(call.start().await.is_success());
        assert!(call.end().await.is_success());
    }))
    .await;
    let each = i64::try_from(CALLS).unwrap();
    let expected = [(world.company.company_id, OURS), (theirs, THEIRS)].map(|(company_id, number)| json!([company_id, number, each]));
    let found = || async {
        let rows =
            "SELECT jsonb_build_array(company_id, our_number, count(*)) FROM calls WHERE status = 'ended' GROUP BY company_id, our_number ORDER BY our_number";
        world.rows(rows).await
    };
    eventually("every call is recorded", || async { (found().await == expected).then_some(()) }).await;
    world.settle_all().await;
    assert_eq!(found().await, expected);
    world.finish().await;
}
