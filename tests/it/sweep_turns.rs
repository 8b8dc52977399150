//! Whose turn a sweep of Cal.com is: one of a credential at a time, failing ones behind the others, those that may ask nothing not at all, a run that became too long goes on; and the question to Cal.com that an
//! appointment has open when it is joined with another is not lost (faults E1, E4).

use std::collections::BTreeSet;

use chrono::Weekday;
use dev::calcom_stand_in::{EchoOrder, FaultKind, FaultOp, FaultRule, VisitorBooking};
use serde_json::json;
use shared::store::credentials;
use shared::store::reviews::{self, Finding};
use shared::store::sweeps::{self, SweepKind};
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tests::wishes::{self, Wish};
use tests::world::{CALCOM_API_KEY, ahead};
use tests::{World, WorldOptions, eventually, schedule};
use uuid::Uuid;

async fn bare() -> (World, PgPool) {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let pool = shared::store::connect(&world.database_url, Some("frontdesk_worker"), 12, "sweep_turns").unwrap();
    (world, pool)
}

async fn want_all(world: &World) {
    let wanted = "INSERT INTO sweeps (credential_id, kind, wanted_at, cursor_at)
        SELECT id, kind, now() - age * interval '1 minute', now() FROM credentials, (VALUES ('adoption', 3), ('updates', 2), ('window', 1)) k (kind, age) WHERE provider = 'calcom'";
    sqlx::query(wanted).execute(&world.db).await.unwrap();
}

#[tokio::test]
async fn a_failing_sweep_goes_behind_its_siblings_and_rests_longer_each_time() {
    let (world, pool) = bare().await;
    want_all(&world).await;
    let holder = Uuid::now_v7();
    let turn = async || sweeps::lease(&pool, holder, 90).await.unwrap();
    let first = turn().await.unwrap();
    assert_eq!(first.kind, SweepKind::Adoption, "who waits longest");
    assert_eq!(turn().await, None, "one of a credential at a time");
    sweeps::give_back(&pool, &first, 30, Some("calcom")).await.unwrap();
    let mut others = BTreeSet::new();
    for _ in 0..2 {
        let other = turn().await.expect("the siblings do not wait for it");
        others.insert(other.kind.literal());
        sweeps::give_back(&pool, &other, 0, None).await.unwrap();
    }
    assert_eq!(others, BTreeSet::from(["updates", "window"]));
    assert_eq!(turn().await.map(|sweep| sweep.kind), Some(SweepKind::Updates), "in turns: the failing one still rests");
    sqlx::query("UPDATE sweeps SET wanted_at = NULL, lease_until = NULL WHERE kind <> 'adoption'").execute(&world.db).await.unwrap();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        assert_eq!(turn().await, None, "it rests");
        sqlx::query("UPDATE clock_shift SET shift = shift + interval '301 seconds'").execute(&world.db).await.unwrap();
        let again = turn().await.expect("its rest is over");
        sweeps::give_back(&pool, &again, 30, Some("calcom")).await.unwrap();
        pauses.push(world.count("SELECT round(extract(epoch FROM not_before - leased_at) / 30)::bigint FROM sweeps WHERE kind = 'adoption'").await);
    }
    assert_eq!(pauses, [2, 4, 8, 10, 10], "times thirty seconds, five minutes at most");
    pool.close().await;
    world.finish().await;
}

#[tokio::test]
async fn of_several_processes_one_has_a_sweep_of_a_credential() {
    let (world, pool) = bare().await;
    want_all(&world).await;
    for round in 0..20 {
        let leases = (0..12).map(|_| sweeps::lease(&pool, Uuid::now_v7(), 90));
        let leased: Vec<_> = futures_util::future::join_all(leases).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(leased.len(), 1, "round {round}");
        sweeps::give_back(&pool, &leased[0], 0, None).await.unwrap();
    }
    pool.close().await;
    world.finish().await;
}

/// Four sweeps of accounts whose keys were blocked waited in the four places of a process, and everybody else's behind them.
#[tokio::test]
async fn a_sweep_whose_key_may_ask_nothing_has_no_turn() {
    let (world, pool) = bare().await;
    want_all(&world).await;
    for barred in
        ["blocked_until = frontdesk_now() + interval '1 minute'", "failures_in_a_row = outage_after, probe_at = frontdesk_now() + interval '1 minute'"]
    {
        set_key(&world, barred).await;
        assert_eq!(sweeps::lease(&pool, Uuid::now_v7(), 90).await.unwrap(), None, "{barred}");
        schedule::let_time_pass(&world, 2).await;
        let turn = sweeps::lease(&pool, Uuid::now_v7(), 90).await.unwrap().expect("it may ask again, be it as the probe");
        sweeps::give_back(&pool, &turn, 0, None).await.unwrap();
        set_key(&world, "blocked_until = NULL, failures_in_a_row = 0, probe_at = NULL").await;
    }
    pool.close().await;
    world.finish().await;
}

async fn set_key(world: &World, columns: &str) {
    let statement = format!("UPDATE credentials SET {columns} WHERE provider = 'calcom'");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&world.db).await.unwrap();
}

/// A sweep under way that waits for a token of a bucket that fills once in minutes: with what it opened its key for.
async fn one_that_waits(world: &mut World) {
    set_key(world, "tokens = 0, refilled_at = frontdesk_now(), rate_per_minute = 1").await;
    schedule::start(world).await;
    schedule::run(world, "calcom_updates").await;
    eventually("a sweep waits for a token", || async {
        // kept once more than at its beginning: its key is open
        (world.count("SELECT count(*) FROM sweeps WHERE lease_until > leased_at + interval '90 seconds'").await == 1).then_some(())
    })
    .await;
}

/// It waited for ever, in one of the process' four places.
#[tokio::test]
async fn a_sweep_whose_key_is_put_out_of_use_meanwhile_gives_its_place_back() {
    let mut world = World::with(WorldOptions { roles: vec!["calcom-sync"], ..WorldOptions::default() }).await;
    one_that_waits(&mut world).await;
    set_key(&world, "disabled_at = frontdesk_now()").await;
    let given_back = "SELECT count(*) FROM sweeps WHERE wanted_at IS NOT NULL AND lease_holder IS NULL AND failures = 0 AND last_error IS NULL";
    eventually("it has given its place back", || async { (world.count(given_back).await == 1).then_some(()) }).await;
    assert_eq!(world.calcom.requests().len(), 0, "it asked nothing");
    set_key(&world, "disabled_at = NULL, rate_per_minute = 6000").await;
    eventually("it goes on", || async { (world.count("SELECT count(*) FROM sweeps WHERE wanted_at IS NOT NULL").await == 0).then_some(()) }).await;
    world.finish().await;
}

/// A sweep has its key for many pages. That one was refused, and the fresh one rested for a minute.
#[tokio::test]
async fn a_refusal_of_the_key_before_does_not_block_the_fresh_one() {
    let mut world = World::with(WorldOptions { roles: vec!["calcom-sync"], ..WorldOptions::default() }).await;
    let turn_key =
        async |world: &World, key: &str| credentials::rotate(&world.db, &world.keyring, world.calcom_credential, &key.to_owned().into()).await.unwrap();
    assert!(turn_key(&world, "cal_live_taken_back").await);
    one_that_waits(&mut world).await;
    assert!(turn_key(&world, CALCOM_API_KEY).await);
    let blocked = "CREATE TABLE blocks (at timestamptz);
        CREATE FUNCTION note_block() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO blocks VALUES (now()); RETURN NEW; END $$;
        CREATE TRIGGER note_block BEFORE UPDATE ON credentials FOR EACH ROW WHEN (NEW.blocked_until > frontdesk_now()) EXECUTE FUNCTION note_block()";
    sqlx::raw_sql(blocked).execute(&world.db).await.unwrap();
    set_key(&world, "rate_per_minute = 6000").await;
    eventually("the sweep has ended", || async { (world.count("SELECT count(*) FROM sweeps WHERE wanted_at IS NOT NULL").await == 0).then_some(()) }).await;
    assert_eq!(world.count("SELECT count(*) FROM api_calls WHERE error_class = 'credential_rejected'").await, 1, "the key before was refused");
    assert_eq!(world.count("SELECT count(*) FROM blocks").await, 0);
    world.finish().await;
}

/// The record of a request that Cal.com throttled cannot be written: the others hear of it all the same.
#[tokio::test]
async fn a_throttled_key_rests_even_if_the_request_cannot_be_recorded() {
    let mut world = World::with(WorldOptions { roles: vec!["calcom-sync"], ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    let refuse =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON api_calls FOR EACH ROW WHEN (NEW.status = 429) EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refuse).execute(&world.db).await.unwrap();
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::List, FaultKind::Throttle429 { reset_seconds: 60 })]);
    schedule::run(&world, "calcom_updates").await;
    eventually("the sweep has stopped", || async { (world.count("SELECT count(*) FROM sweeps WHERE last_error = 'store'").await == 1).then_some(()) }).await;
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE blocked_until > frontdesk_now() + interval '50 seconds'").await, 1);
    world.finish().await;
}

/// A page of many requests outlived its lease, and two processes read it at once, again and again. Here each request takes a minute of the database's clock.
#[tokio::test]
async fn a_page_of_many_requests_keeps_its_lease_before_each() {
    let mut world = World::with(WorldOptions::default()).await;
    schedule::start(&mut world).await;
    schedule::sweep(&world, "calcom_updates").await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    for (event_type, hour) in [(1320, 10), (1321, 12)] {
        let visitor = json!({ "event_type_id": event_type, "start": ahead(3, Weekday::Thu, hour, 0).0, "name": "Anna Alt", "email": "anna.alt@example.org" });
        let visitor: VisitorBooking = serde_json::from_value(visitor).unwrap();
        // changed since it was made: then the sweep asks what its event type demands
        world.calcom.set_clock_offset_ms(-60_000);
        let made = world.calcom.visitor_book(visitor).await.unwrap();
        world.calcom.set_clock_offset_ms(0);
        let theirs = json!({ "uid": made.uid, "start": ahead(3, Weekday::Thu, hour + 1, 0).0, "as_host": true });
        world.calcom.visitor_reschedule(serde_json::from_value(theirs).unwrap()).await.unwrap();
    }
    schedule::let_time_pass(&world, 5).await;
    let slow = "CREATE TABLE leases_left (operation text, seconds bigint);
        CREATE FUNCTION take_a_minute() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO leases_left SELECT NEW.operation, extract(epoch FROM lease_until - frontdesk_now()) FROM sweeps WHERE kind = 'updates';
            UPDATE clock_shift SET shift = shift + interval '60 seconds';
            RETURN NEW;
        END $$;
        CREATE TRIGGER take_a_minute BEFORE INSERT ON api_calls FOR EACH ROW EXECUTE FUNCTION take_a_minute()";
    sqlx::raw_sql(slow).execute(&world.db).await.unwrap();
    schedule::sweep(&world, "calcom_updates").await;
    let requests = world.rows("SELECT jsonb_build_array(operation, seconds) FROM leases_left").await;
    assert!(requests.len() >= 3, "one list, and each event type: {requests:?}");
    assert_eq!(world.count("SELECT count(*) FROM leases_left WHERE coalesce(seconds, 0) < 45").await, 0, "each has time for its request");
    world.finish().await;
}

#[tokio::test]
async fn a_run_that_became_too_long_is_told_of_and_goes_on() {
    let mut world = World::with(WorldOptions { roles: vec!["calcom-sync"], ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    schedule::sweep(&world, "calcom_updates").await;
    let endless = "INSERT INTO sweeps (credential_id, kind, wanted_at, run_started_at, run_from, run_until, page_from, pages)
        SELECT id, 'updates', now(), now(), now() - interval '3 days', now(), now() - interval '1 day', 10000 FROM credentials WHERE provider = 'calcom'
        ON CONFLICT (credential_id, kind) DO UPDATE SET (wanted_at, run_started_at, run_from, run_until, page_from, pages, cursor_at)
            = (excluded.wanted_at, excluded.run_started_at, excluded.run_from, excluded.run_until, excluded.page_from, excluded.pages, now() - interval '3 days')";
    sqlx::query(endless).execute(&world.db).await.unwrap();
    let ended = "SELECT count(*) FROM sweeps WHERE kind = 'updates' AND last_error = 'too_many_pages' AND pages = 0 AND run_started_at IS NULL
        AND cursor_at BETWEEN now() - interval '25 hours' AND now() - interval '23 hours'";
    eventually("it is told of, and what was read stays read", || async { (world.count(ended).await == 1).then_some(()) }).await;
    schedule::let_time_pass(&world, 61).await;
    let done = "SELECT count(*) FROM sweeps WHERE kind = 'updates' AND wanted_at IS NULL AND last_error IS NULL AND cursor_at > now()";
    eventually("it went on", || async { (world.count(done).await == 1).then_some(()) }).await;
    assert_eq!(
        world.count("SELECT count(*) FROM api_calls WHERE operation = 'list_bookings' AND company_id IS NULL AND error_class IS NULL").await,
        i64::try_from(world.calcom.requests().iter().filter(|request| request.method == "GET" && request.query.contains("take=")).count()).unwrap(),
        "a sweep's requests are recorded"
    );
    world.finish().await;
}

/// A condition that comes back after a human resolved its review opens it again; what was dismissed stays so, and an open one is no news.
#[tokio::test]
async fn a_resolved_review_opens_again_when_its_condition_is_back() {
    let (world, pool) = bare().await;
    let finding = Finding {
        subject: "credential",
        reason: "credential_rejected",
        appointment_id: None,
        call_id: None,
        intent_id: None,
        details: json!({}),
        dedup_key: "credential_rejected/test".to_owned(),
    };
    let open = async || {
        let mut tx = CompanyTx::begin(&pool, Some(world.company.company_id), &[]).await.unwrap();
        let news = reviews::open_anew(&mut tx, &finding).await.unwrap();
        tx.commit().await.unwrap();
        news
    };
    let rejected = "SELECT waiting FROM measure_backlogs() WHERE name = 'rejected_credentials'";
    assert!(open().await);
    assert!(!open().await);
    sqlx::query("UPDATE reviews SET state = 'resolved', resolved_at = now(), created_at = now() - interval '3 days'").execute(&world.db).await.unwrap();
    assert_eq!(world.count(rejected).await, 0);
    assert!(open().await);
    assert_eq!(world.count(rejected).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE resolved_at IS NULL AND created_at > now() - interval '1 hour'").await, 1);
    sqlx::query("UPDATE reviews SET state = 'dismissed'").execute(&world.db).await.unwrap();
    assert!(!open().await);
    pool.close().await;
    world.finish().await;
}

/// What the winner's look finds out may be older than the loser's news, or about another uid: then it is made once more.
#[tokio::test]
async fn a_look_that_an_appointment_has_open_is_not_lost_when_it_is_joined() {
    let (world, _) = bare().await;
    let company_id = world.company.company_id;
    for (n, (winner, loser, expected)) in [
        ("lease_holder = NULL", "uid = 'same'", json!([null, true])),
        ("lease_holder = gen_random_uuid(), lease_until = now() + interval '1 minute'", "uid = 'same'", json!(["same", true])),
        ("lease_holder = NULL", "uid = 'other'", json!(["other", true])),
        ("lease_holder = NULL", "uid = 'same', again_uid = 'newer'", json!(["newer", true])),
    ]
    .into_iter()
    .enumerate()
    {
        let ids = wishes::record(&world, company_id, Wish::Look, "bulk", i64::try_from(n).unwrap() * 10, 2).await;
        let mut tx = world.db.begin().await.unwrap();
        sqlx::query("SELECT set_config('app.company_id', $1::text, true)").bind(company_id.to_string()).execute(&mut *tx).await.unwrap();
        for (id, change) in [(ids[0], format!("uid = 'same', due_at = now() + interval '1 hour', {winner}")), (ids[1], loser.to_owned())] {
            sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE intents SET {change} WHERE id = '{id}'"))).execute(&mut *tx).await.unwrap();
        }
        let merged: bool =
            sqlx::query_scalar("SELECT merge_appointments($1, l.appointment_id, w.appointment_id) FROM intents l, intents w WHERE l.id = $2 AND w.id = $3")
                .bind(company_id)
                .bind(ids[1])
                .bind(ids[0])
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        assert!(merged);
        let look: serde_json::Value =
            sqlx::query_scalar("SELECT jsonb_build_array(again_uid, due_at <= now()) FROM intents WHERE id = $1 AND state = 'recorded'")
                .bind(ids[0])
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        assert_eq!(look, expected, "winner {winner}, loser {loser}");
        tx.rollback().await.unwrap();
    }
    world.finish().await;
}
