//! Done 9 of issue 2, second half: no role sees or writes another company's rows, for every table that the catalogue names, so that a new table cannot
//! slip by; who may touch what; and two tenants with the same people never mix. Not here: how a tenant is proven (`tenants` in workers).

use chrono::{Duration, Weekday};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tests::world::ahead;
use tests::{World, WorldOptions, company};
use uuid::Uuid;

/// One row of every table that `companies::create` does not fill; `$1` is the company. A table that is not here fails `seed`.
#[rustfmt::skip]
const SEEDS: [&str; 26] = [
    "INSERT INTO import_runs (id, company_id, kind) VALUES (gen_random_uuid(), $1, 'test')",
    "INSERT INTO users (id, company_id, email, display_name) VALUES (gen_random_uuid(), $1, 'rieke@praxis-muster.example', 'Rieke')",
    "INSERT INTO customers (id, company_id, phone) VALUES (gen_random_uuid(), $1, '+4915112345678')",
    "INSERT INTO customer_preferences (company_id, customer_id, preference_type, key, value) SELECT $1, id, 'time', 'morning', '1' FROM customers WHERE company_id = $1",
    "INSERT INTO calls (id, company_id, number, retell_call_id, branch_id) SELECT gen_random_uuid(), $1, 1, 'call_1', id FROM branches WHERE company_id = $1 LIMIT 1",
    "INSERT INTO appointment_series (id, company_id, customer_id, service_id, recurrence, occurrences)
     SELECT gen_random_uuid(), $1, c.id, s.id, 'weekly', 4 FROM customers c, services s WHERE c.company_id = $1 AND s.company_id = $1 LIMIT 1",
    "INSERT INTO group_bookings (id, company_id, primary_customer_id, participants) SELECT gen_random_uuid(), $1, id, 2 FROM customers WHERE company_id = $1",
    "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, status, starts_at, ends_at, time_zone, created_by, booking_source)
     SELECT gen_random_uuid(), $1, 1, b.id, c.id, 'requested', now(), now() + interval '1 hour', 'Europe/Berlin', 'customer', 'calcom_webhook'
     FROM branches b, customers c WHERE b.company_id = $1 AND c.company_id = $1 LIMIT 1",
    "INSERT INTO calcom_bookings (company_id, uid, appointment_id, provider_account_id, state, starts_at, ends_at)
     SELECT $1, 'uid-1', a.id, p.id, 'pending', a.starts_at, a.ends_at FROM appointments a, provider_accounts p WHERE a.company_id = $1 AND p.provider = 'calcom' LIMIT 1",
    "INSERT INTO slot_claims (id, company_id, resource, during, kind, holder) VALUES (gen_random_uuid(), $1, 'event_type/1', tstzrange(now(), now() + interval '1 hour'), 'external', $1)",
    "INSERT INTO intents (id, company_id, credential_id, appointment_id, op, state, lane, due_at, token, actor, channel)
     SELECT gen_random_uuid(), $1, c.id, a.id, 'create', 'recorded', 'live', now(), gen_random_uuid(), 'customer', 'retell_phone' FROM credentials c, appointments a WHERE a.company_id = $1 LIMIT 1",
    "INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, actor, source, occurred_at)
     SELECT gen_random_uuid(), $1, id, customer_id, 'booked', 'customer', 'calcom_webhook', now() FROM appointments WHERE company_id = $1",
    "INSERT INTO function_calls (id, company_id, call_id, function, dedup_key, wish_hash, message_id) SELECT gen_random_uuid(), $1, id, 'book_appointment', 'x', '\\x00', 'm' FROM calls WHERE company_id = $1",
    "INSERT INTO reply_waiters (id, company_id, function_call_id, reply_queue, correlation_id, expires_at)
     SELECT gen_random_uuid(), $1, id, 'q', gen_random_uuid(), now() FROM function_calls WHERE company_id = $1",
    "INSERT INTO policies (id, company_id, policy_type, rules) VALUES (gen_random_uuid(), $1, 'booking', '{}')",
    "INSERT INTO policy_violations (id, company_id, appointment_id, customer_id, policy_type, reason, hours_notice, fee_if_forced_minor)
     SELECT gen_random_uuid(), $1, id, customer_id, 'cancellation', 'deadline_missed', 1, 0 FROM appointments WHERE company_id = $1",
    "INSERT INTO callback_requests (id, company_id, reason, due_at) VALUES (gen_random_uuid(), $1, 'test', now())",
    "INSERT INTO reviews (id, company_id, subject, reason, dedup_key) VALUES (gen_random_uuid(), $1, 'appointment', 'test', 'x')",
    "INSERT INTO audit_log (id, company_id, actor, action, entity, entity_id) VALUES (gen_random_uuid(), $1, 'test', 'read', 'call', 'x')",
    "INSERT INTO availability_slots (company_id, service_id, day, starts, asked_at) SELECT $1, id, current_date, '{}', now() FROM services WHERE company_id = $1 LIMIT 1",
    "INSERT INTO api_calls (company_id, credential_id, provider, operation, lane, took_ms) SELECT $1, id, 'calcom', 'create', 'live', 1 FROM credentials LIMIT 1",
    "INSERT INTO backfill_runs (id, company_id, state) VALUES (gen_random_uuid(), $1, 'planned')",
    "INSERT INTO backfill_chunks (company_id, run_id, table_name, number, after_id, until_id, row_count) SELECT $1, id, 'calls', 1, id, id, 1 FROM backfill_runs WHERE company_id = $1",
    "INSERT INTO backfill_changes (company_id, run_id, table_name, row_id, filled) SELECT $1, id, 'appointments', id, '{}' FROM backfill_runs WHERE company_id = $1",
    "INSERT INTO check_runs (id, company_id, check_name, severity, violations, examined) VALUES (gen_random_uuid(), $1, 'test', 'info', 0, 1)",
    "INSERT INTO silences (company_id, provider) VALUES ($1, 'retell')",
];

/// Every table of a company, from the catalogue, with the column that names the company.
async fn tables(db: &PgPool) -> Vec<(String, &'static str)> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'company_id' AND (a.attnotnull OR c.relrowsecurity) ORDER BY 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert!(names.len() >= 29, "the catalogue names {} tables", names.len());
    names.into_iter().map(|name| (name, "company_id")).chain([("companies".to_owned(), "id")]).collect()
}

/// A world without processes, with a second company, and a row of both in every table.
async fn seeded() -> (World, Uuid, Uuid) {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let (ours, theirs) = (world.company.company_id, world.add_company(&company::other(1)).await.company_id);
    for company_id in [ours, theirs] {
        for statement in SEEDS {
            let done = sqlx::query(statement).bind(company_id).execute(&world.db).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            assert!(done.rows_affected() >= 1, "{statement} seeded nothing");
        }
        for (table, column) in tables(&world.db).await {
            let rows = count(&world.db, format!("SELECT count(*) FROM {table} WHERE {column} = '{company_id}'")).await;
            assert!(rows >= 1, "table {table} is new: seed it in tests/it/tenant_isolation.rs, so that its isolation is tested");
        }
    }
    (world, ours, theirs)
}

async fn count<'c>(db: impl sqlx::Executor<'c, Database = sqlx::Postgres>, statement: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(statement.clone())).fetch_one(db).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<u64, String> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

/// A statement in a savepoint: its error does not end the transaction.
async fn attempt(connection: &mut PgConnection, statement: &str) -> Result<u64, String> {
    run(connection, "SAVEPOINT attempt").await.unwrap();
    let result = run(connection, statement).await;
    run(connection, "ROLLBACK TO SAVEPOINT attempt").await.unwrap();
    result
}

/// A copy of a row of `company_id`, as an INSERT of literals (generated columns are left to Postgres).
async fn copy_of_a_row(db: &PgPool, table: &str, column: &str, company_id: Uuid) -> String {
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'",
    )
    .bind(table)
    .fetch_one(db)
    .await
    .unwrap();
    let row: String =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT quote_literal(to_jsonb(t)::text) FROM {table} t WHERE {column} = '{company_id}' LIMIT 1")))
            .fetch_one(db)
            .await
            .unwrap();
    format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, {row}::jsonb)")
}

#[tokio::test]
async fn every_table_of_a_company_has_its_key_its_index_and_its_policy() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    for (table, column) in tables(&world.db).await {
        let facts: Value = sqlx::query_scalar(
            "SELECT jsonb_build_object(
                'foreign key', $2 = 'id' OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid = 'companies'::regclass
                               AND k.conkey = ARRAY[a.attnum] AND k.convalidated),
                'index', EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND (i.indpred IS NULL)),
                'enabled', c.relrowsecurity,
                'forced', c.relforcerowsecurity,
                'one policy for all', (SELECT count(*) = 1 AND bool_and(p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'
                                 AND pg_get_expr(p.polqual, c.oid) = format('(%s = current_company())', $2)
                                 AND pg_get_expr(p.polwithcheck, c.oid) = format('(%s = current_company())', $2)) FROM pg_policy p WHERE p.polrelid = c.oid))
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 WHERE c.oid = $1::regclass",
        )
        .bind(&table)
        .bind(column)
        .fetch_one(&world.db)
        .await
        .unwrap();
        assert_eq!(facts, json!({ "foreign key": true, "index": true, "enabled": true, "forced": true, "one policy for all": true }), "{table}");
    }
    // a partition has no policy of its own, so nobody may reach it past its parent
    let reachable = count(
        &world.db,
        "SELECT count(*) FROM pg_class c, pg_roles r WHERE c.relispartition AND c.relkind = 'r' AND r.rolname LIKE 'frontdesk\\_%' AND NOT r.rolsuper
         AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
            .to_owned(),
    )
    .await;
    assert_eq!(reachable, 0, "partitions are reached through their parents only");
    world.finish().await;
}

/// With its own grants, and once more with every grant there is: then the policy alone must hold.
#[tokio::test]
async fn a_worker_without_a_company_or_of_another_sees_and_writes_nothing() {
    let (world, ours, theirs) = seeded().await;
    let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
    for every_grant in [false, true] {
        for company_id in [None, Some(theirs)] {
            run(&mut connection, "BEGIN").await.unwrap();
            if every_grant {
                run(&mut connection, "GRANT ALL ON ALL TABLES IN SCHEMA public TO frontdesk_worker").await.unwrap();
            }
            let setting = company_id.map_or_else(String::new, |id| id.to_string());
            run(&mut connection, &format!("SET LOCAL ROLE frontdesk_worker; SELECT set_config('app.company_id', '{setting}', true)")).await.unwrap();
            for (table, column) in tables(&world.db).await {
                let who = format!("{table}, company {company_id:?}, every grant: {every_grant}");
                let seen = count(&mut connection, format!("SELECT count(*) FROM {table} WHERE {column} = '{ours}'")).await;
                assert_eq!(seen, 0, "{who}");
                let others = count(&mut connection, format!("SELECT count(*) FROM {table}")).await;
                assert_eq!(others > 0, company_id.is_some(), "{who}: its own rows and no others");
                let insert = copy_of_a_row(&world.db, &table, column, ours).await;
                let refused = attempt(&mut connection, &insert).await.expect_err(&who);
                let by_policy = refused.contains("violates row-level security policy");
                assert!(by_policy || (!every_grant && refused.contains("permission denied for table")), "{who}: {refused}");
                if every_grant {
                    for statement in
                        [format!("DELETE FROM {table} WHERE {column} = '{ours}'"), format!("UPDATE {table} SET {column} = {column} WHERE {column} = '{ours}'")]
                    {
                        assert_eq!(attempt(&mut connection, &statement).await, Ok(0), "{who}");
                    }
                    if company_id.is_some() {
                        let away = attempt(&mut connection, &format!("UPDATE {table} SET {column} = '{ours}'")).await.expect_err(&who);
                        assert!(away.contains("violates row-level security policy"), "{who}: {away}");
                    }
                }
            }
            run(&mut connection, "ROLLBACK").await.unwrap();
        }
    }
    connection.close().await.unwrap();
    world.finish().await;
}

/// What a role may do with which table, column privileges included: `table: SELECT INSERT`.
async fn privileges(db: &PgPool, role: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT c.relname || ': ' || string_agg(p.name, ' ' ORDER BY p.place)
         FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) WITH ORDINALITY p (name, place)
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
           AND (has_table_privilege($1, c.oid, p.name) OR (p.name IN ('SELECT', 'INSERT', 'UPDATE') AND has_any_column_privilege($1, c.oid, p.name)))
         GROUP BY c.relname ORDER BY c.relname",
    )
    .bind(role)
    .fetch_all(db)
    .await
    .unwrap()
}

/// The groups of the program; a server's own superuser may be called similarly.
async fn roles(db: &PgPool) -> Vec<String> {
    let roles: Vec<String> =
        sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'frontdesk\\_%' AND NOT rolsuper ORDER BY 1").fetch_all(db).await.unwrap();
    assert!(roles.len() >= 6, "{roles:?}");
    roles
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_no_more() {
    let (world, ours, _) = seeded().await;
    let db = &world.db;
    assert_eq!(privileges(db, "frontdesk_ingress").await, ["endpoint_secrets: SELECT", "endpoints: SELECT", "schema_versions: SELECT"]);
    for role in roles(db).await {
        let (deletes, updates): (bool, Vec<String>) = sqlx::query_as(
            "SELECT has_table_privilege($1, 'appointment_modifications', 'DELETE, TRUNCATE'),
                    array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = 'appointment_modifications'::regclass AND a.attnum > 0
                          AND has_column_privilege($1, a.attrelid, a.attnum, 'UPDATE'))",
        )
        .bind(&role)
        .fetch_one(db)
        .await
        .unwrap();
        // the owner of the functions that keep history in step with the chain: nobody is it, and nobody becomes it
        let chronicler = role == "frontdesk_chronicler";
        assert!(!deletes || chronicler, "{role} may delete history");
        let expected: &[&str] = if role.starts_with("frontdesk_backfill") { &["call_id"] } else { &[] };
        assert!(updates == expected || chronicler, "{role}: {updates:?}");
        let members: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_auth_members WHERE roleid = $1::regrole").bind(&role).fetch_one(db).await.unwrap();
        assert!(!chronicler || members == 0, "{role} has members");
        let (bypasses, may_login): (bool, bool) =
            sqlx::query_as("SELECT rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = $1").bind(&role).fetch_one(db).await.unwrap();
        assert!(!bypasses || (role == "frontdesk_resolver" && !may_login), "{role} passes row-level security");
        assert!(!chronicler || !may_login, "{role} may log in");
    }
    // and what the catalogue says is what happens
    let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
    for (role, statement, allowed) in [
        ("frontdesk_backfill", "UPDATE appointment_modifications SET call_id = (SELECT id FROM calls)", Ok(1)),
        ("frontdesk_backfill", "UPDATE appointment_modifications SET reason = 'x'", Err(())),
        ("frontdesk_worker", "UPDATE appointment_modifications SET call_id = (SELECT id FROM calls)", Err(())),
        ("frontdesk_operator", "UPDATE appointment_modifications SET call_id = NULL", Err(())),
        ("frontdesk_worker", "DELETE FROM appointment_modifications", Err(())),
        ("frontdesk_backfill", "DELETE FROM appointment_modifications", Err(())),
        ("frontdesk_ingress", "SELECT * FROM customers", Err(())),
        ("frontdesk_operator", "SELECT merge_appointments(id, id, id) FROM companies", Err(())),
        ("frontdesk_portal", "SELECT project_modifications(id, id, '[]') FROM companies", Err(())),
        ("frontdesk_ingress", "INSERT INTO outbox SELECT * FROM outbox", Err(())),
        ("frontdesk_ingress", "SELECT * FROM resolve_companies()", Err(())),
    ] {
        run(&mut connection, "BEGIN").await.unwrap();
        run(&mut connection, &format!("SET LOCAL ROLE {role}; SELECT set_config('app.company_id', '{ours}', true)")).await.unwrap();
        let result = run(&mut connection, statement).await;
        run(&mut connection, "ROLLBACK").await.unwrap();
        match allowed {
            Ok(rows) => assert_eq!(result, Ok(rows), "{role}: {statement}"),
            Err(()) => assert!(result.as_ref().is_err_and(|error| error.contains("permission denied")), "{role}: {statement}: {result:?}"),
        }
    }
    connection.close().await.unwrap();
    world.finish().await;
}

/// Incident 44: a customer was found by phone or e-mail across companies. Here both tenants share the accounts, the caller, the e-mail and all names.
#[tokio::test]
async fn two_tenants_with_the_same_people_never_mix() {
    let world = World::new().await;
    let theirs = world.add_company(&company::other(1)).await.company_id;
    let ours = world.company.company_id;
    let event_type =
        json!({ "id": 11_321, "slug": "beratung-1", "title": "Beratung", "length": 30, "hosts": [4712], "seats": null, "requires_confirmation": false });
    world.calcom.add_event_type(serde_json::from_value(event_type).unwrap());
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);

    let mut first = world.retell.inbound("+4915112345678", "+493023125042");
    let booked = first.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!(booked.body["booked"], true, "{:?}", booked.body);
    // the same caller at the other company: unknown there, and without anything to cancel
    let mut second = world.retell.inbound("+4915112345678", "+493040000010");
    let ring = second.ring().await;
    assert_eq!(ring.body["call_inbound"]["metadata"]["company_id"], json!(theirs), "{:?}", ring.body);
    assert!(!ring.body.to_string().contains("Groß"), "the other company does not know the name");
    let cancelled = second.function("cancel_appointment", json!({ "date": date, "time": "09:00" })).await;
    assert_ne!(cancelled.body["cancelled"], true, "{:?}", cancelled.body);
    assert_eq!(world.calcom.live_bookings().len(), 1);
    let booked =
        second.function("book_appointment", json!({ "date": date, "time": "11:00", "service_name": "Beratung", "customer_name": "Petra Anders" })).await;
    assert_eq!(booked.body["booked"], true, "{:?}", booked.body);
    for (event_type_id, hours) in [(1321, 4), (11_321, 5)] {
        let wish = json!({ "event_type_id": event_type_id, "start": nine + Duration::hours(hours), "name": "Erika Musterfrau", "email": "erika@example.org" });
        world.calcom.visitor_book(serde_json::from_value(wish).unwrap()).await.unwrap();
    }
    world.settle_all().await;

    for (company_id, caller) in [(ours, "Jürgen Groß"), (theirs, "Petra Anders")] {
        let people: Vec<Value> =
            sqlx::query_scalar("SELECT jsonb_build_array(name, phone, email) FROM customers WHERE company_id = $1 ORDER BY name DESC, phone NULLS LAST")
                .bind(company_id)
                .fetch_all(&world.db)
                .await
                .unwrap();
        assert_eq!(people.len(), 2, "{people:?}");
        assert!(people.iter().any(|person| person[0] == caller && person[1] == "+4915112345678"), "{people:?}");
        assert!(people.iter().any(|person| *person == json!(["Erika Musterfrau", null, "erika@example.org"])), "{people:?}");
        assert_eq!(count(&world.db, format!("SELECT count(*) FROM appointments WHERE company_id = '{company_id}'")).await, 2);
        assert_eq!(count(&world.db, format!("SELECT count(*) FROM calls WHERE company_id = '{company_id}'")).await, 1);
        assert_eq!(count(&world.db, format!("SELECT count(*) FROM appointment_modifications WHERE company_id = '{company_id}'")).await, 2);
    }
    // the composite keys say it too; this is the same in the words of the incident
    let mixed = "SELECT count(*) FROM appointments a JOIN customers c ON c.id = a.customer_id JOIN services s ON s.id = a.service_id JOIN branches b ON b.id = a.branch_id
                 LEFT JOIN calls k ON k.id = a.call_id LEFT JOIN staff p ON p.id = a.staff_id
                 WHERE ARRAY[c.company_id, s.company_id, b.company_id, coalesce(k.company_id, a.company_id), coalesce(p.company_id, a.company_id)] <> array_fill(a.company_id, ARRAY[5])";
    assert_eq!(world.count(mixed).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE call_id IS NOT NULL").await, 2);
    world.finish().await;
}
