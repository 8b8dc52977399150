//! Lost webhooks of Cal.com are found by one sweep (issue 3, Done 3; faults E4; incident 2).
//!
//! `FRONTDESK_FULL=1` lives lives of 600 deeds instead of 120: five hours instead of one, by Cal.com's clock.
//!
//! **What is counted.** A webhook is dropped when Cal.com sent it to nobody. Each one here tells one thing that the history of an appointment keeps (booked,
//! requested, moved, cancelled, confirmed, rejected), and Cal.com's lists show it afterwards; so the number of rows of history that the sweep adds is the number
//! of webhooks dropped. With one exception, which no reader of Cal.com can make up for: a host's confirmation of a booking that was moved or cancelled before the
//! sweep. Its row then says that it ended, and no longer whether it had been confirmed; such a webhook is not counted, and its row `confirmed` is left out of the
//! comparison (`wiped`). Not in these lives: second copies, pings, and absences that were taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dev::calcom_stand_in::{EchoOrder, Fate, Status, VisitorBooking, VisitorCancel, VisitorMove, WebhookFaults};
use serde_json::{Value, json};
use shared::store::credentials::{self, NewCredential};
use tests::web_life::{CONFIRMED, Living, PACE, WebLife};
use tests::wishes::{self, Wish};
use tests::world::{CALCOM_API_KEY, ahead};
use tests::{World, WorldOptions, dump, eventually, schedule};

fn deeds() -> usize {
    if std::env::var("FRONTDESK_FULL").is_ok_and(|full| full == "1") { 600 } else { 120 }
}

/// So long every webhook is lost.
const OUTAGE: Duration = Duration::from_secs(600);

/// What a life left behind.
struct Left {
    dump: BTreeMap<String, Vec<String>>,
    lost: u64,
    repaired: i64,
    counted: f64,
    again: i64,
    /// The labels of the uids whose confirmation was dropped, and that ended afterwards.
    wiped: BTreeSet<String>,
}

impl Left {
    /// The dump without the confirmations that nobody can know of.
    fn without(mut self, wiped: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
        let is_wiped = |row: &String| {
            let row: Value = serde_json::from_str(row).unwrap();
            row["kind"] == "confirmed" && wiped.contains(row["calcom_uid"].as_str().unwrap())
        };
        self.dump.get_mut("appointment_modifications").unwrap().retain(|row| !is_wiped(row));
        self.dump
    }
}

fn wiped(world: &World, labels: &BTreeMap<String, String>) -> BTreeSet<String> {
    let lost = world.calcom.deliveries().into_iter().filter(|delivery| delivery.fate == Fate::Lost && delivery.trigger == "BOOKING_CREATED");
    let bookings = lost.filter_map(|delivery| world.calcom.booking(&delivery.uid?));
    let ended = bookings.filter(|booking| booking.event_type_id == CONFIRMED && booking.status != Status::Accepted);
    ended.map(|booking| labels[&booking.uid].clone()).collect()
}

async fn world() -> World {
    let mut world = World::with(WorldOptions { confirm_event_types: vec![CONFIRMED], ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    // nothing is there yet: the account's history begins here
    schedule::sweep(&world, "calcom_updates").await;
    world
}

async fn live(life: &WebLife, loss: Option<f64>, seed: u64) -> Left {
    let world = world().await;
    let mut living = Living::new(life, &world.calcom);
    let deeds_in = |time: Duration| usize::try_from(time.as_secs() / PACE.as_secs()).unwrap();
    // our clock is where Cal.com's will be in the end: nothing comes from the future
    let (third, whole) = (life.deeds.len() / 3, PACE * u32::try_from(life.deeds.len()).unwrap());
    schedule::let_time_pass(&world, i32::try_from(whole.as_secs() / 60).unwrap()).await;
    if let Some(probability) = loss {
        world.calcom.set_webhook_faults(WebhookFaults::lose(probability, seed));
    }
    living.until(third).await;
    world.calcom.set_echo_order(if loss.is_some() { EchoOrder::Lose } else { EchoOrder::Before });
    living.until(third + deeds_in(OUTAGE)).await;
    world.calcom.set_echo_order(EchoOrder::Before);
    living.until(life.deeds.len()).await;
    world.settle_all().await;
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    world.settle_all().await;
    let lost = world.calcom.webhooks_by_fate().get(&Fate::Lost).copied().unwrap_or(0);
    let left = dump::canonical(&world.db, living.labels()).await;
    let wiped = wiped(&world, living.labels());
    let (repaired, counted) = (schedule::repaired(&world).await, schedule::metric(&world, "frontdesk_reconcile_repaired_total").await);
    // a second one finds nothing
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    let again = schedule::repaired(&world).await;
    assert!(world.calcom.requests().iter().all(|request| request.method == "GET"), "a sweep changes nothing in Cal.com");
    world.finish().await;
    Left { dump: left, lost, repaired, counted, again, wiped }
}

/// Done 3: 30 % of all webhooks lost, and everything for ten minutes of Cal.com's clock.
#[tokio::test]
async fn after_one_sweep_the_state_is_that_of_a_life_without_loss_and_what_was_repaired_is_what_was_dropped() {
    let seed = std::env::var("FRONTDESK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(830);
    let life = WebLife::seeded(seed, deeds());
    let whole = live(&life, None, seed).await;
    assert_eq!((whole.lost, whole.repaired), (0, 0), "nothing was lost and nothing had to be added");
    let torn = live(&life, Some(0.3), seed).await;
    let (dropped, wiped) = (i64::try_from(torn.lost).unwrap(), torn.wiped.clone());
    let knowable = dropped - i64::try_from(wiped.len()).unwrap();
    let deeds = life.deeds.len();
    println!("seed {seed}: {deeds} deeds, {dropped} webhooks dropped, {} of them wiped out by what came next, {} facts repaired", wiped.len(), torn.repaired);
    let (repaired, counted, again) = (torn.repaired, torn.counted, torn.again);
    let difference = dump::difference(&whole.without(&wiped), &torn.without(&wiped));
    assert!(difference.is_empty(), "seed {seed}: {} rows differ:\n{}", difference.len(), difference.join("\n"));
    assert!(dropped > 30, "the loss was worth it: {dropped}");
    assert_eq!(repaired, knowable, "seed {seed}");
    #[expect(clippy::cast_precision_loss, reason = "a count of some hundreds")]
    let counted_right = (counted - knowable as f64).abs() < 0.1;
    assert!(counted_right, "the counter says {counted}");
    assert_eq!(again, 0, "a second sweep finds nothing more");
}

fn on(event_type_id: i64, hour: u32) -> VisitorBooking {
    VisitorBooking {
        event_type_id,
        start: ahead(7, chrono::Weekday::Wed, hour, 0).0,
        name: "Erika Musterfrau".to_owned(),
        email: "erika@example.org".to_owned(),
        phone: None,
        notes: String::new(),
    }
}

async fn sources(world: &World) -> Vec<Value> {
    world.rows("SELECT jsonb_build_array(kind, actor, source, message_id IS NOT NULL) FROM appointment_modifications ORDER BY occurred_at, kind").await
}

/// Decided: what somebody told counts more than what was found. A webhook that comes after the sweep adds no row and no repair; it says who did it and how.
#[tokio::test]
async fn a_webhook_that_comes_after_the_sweep_adds_nothing_and_improves_the_provenance() {
    let world = world().await;
    world.calcom.set_echo_order(EchoOrder::Hold);
    let booking = world.calcom.visitor_book(on(1320, 10)).await.unwrap();
    let cancelled = VisitorCancel { uid: booking.uid, reason: Some("krank".to_owned()), as_host: true };
    world.calcom.visitor_cancel(cancelled).await.unwrap();
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    assert_eq!(sources(&world).await, [json!(["booked", "customer", "reconciled", false]), json!(["cancelled", "staff", "reconciled", false])]);
    assert_eq!(world.appointments().await[0]["booking_source"], "reconciled");
    assert_eq!(schedule::repaired(&world).await, 2, "a lost creation and a lost cancellation");

    assert_eq!(world.calcom.release_echoes().await, 2);
    world.settle_all().await;
    eventually("both are told", || async {
        let told = [json!(["booked", "customer", "calcom_webhook", true]), json!(["cancelled", "staff", "calcom_webhook", true])];
        (sources(&world).await == told).then_some(())
    })
    .await;
    let appointment = world.appointments().await.remove(0);
    assert_eq!((&appointment["booking_source"], &appointment["cancellation_source"]), (&json!("calcom_webhook"), &json!("calcom_webhook")));
    assert_eq!((&appointment["status"], &appointment["cancellation_reason"]), (&json!("cancelled"), &json!("krank")));
    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    assert_eq!(schedule::repaired(&world).await, 0, "of the last run: it found them as told");
    world.finish().await;
}

/// What is about to come by itself is no loss: a change of the last minute, and a wish of ours that is under way.
#[tokio::test]
async fn a_sweep_leaves_the_last_minute_alone_and_counts_no_wish_of_our_own() {
    let world = world().await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    world.calcom.visitor_book(on(1320, 10)).await.unwrap();
    schedule::sweep(&world, "calcom_updates").await;
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 0, "its webhook may be on its way");

    // a wish whose request was carried out and whose answer is not here yet
    let wish = wishes::record(&world, world.company.company_id, Wish::Create, "live", 0, 1).await[0];
    let held = "UPDATE intents SET state = 'sent', sent_count = 1, sent_at = now(), lease_holder = gen_random_uuid(), lease_until = frontdesk_now() + interval '30 min' WHERE id = $1";
    let held = sqlx::query(held).bind(wish).execute(&world.db).await.unwrap();
    assert_eq!(held.rows_affected(), 1);
    let intent = world.rows("SELECT to_jsonb(i) FROM intents i").await.remove(0);
    let body = json!({
        "eventTypeId": intent["event_type_id"], "start": intent["starts_at"], "metadata": { "frontdesk_intent": intent["token"] },
        "attendee": { "name": "Max Mustermann", "email": "max@example.org", "timeZone": "Europe/Berlin" },
    });
    let request = tests::http::client().post(format!("{}/bookings", world.calcom.api_url())).bearer_auth(CALCOM_API_KEY);
    let answer = request.header("cal-api-version", "2024-08-13").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201);

    schedule::let_time_pass(&world, 5).await;
    schedule::sweep(&world, "calcom_updates").await;
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'confirmed' AND uid IS NOT NULL").await, 1);
    let rows = world.rows("SELECT jsonb_build_array(source, intent_id IS NOT NULL) FROM appointment_modifications ORDER BY source").await;
    assert_eq!(rows, [json!(["reconciled", false]), json!(["retell_phone", true])]);
    assert_eq!(schedule::repaired(&world).await, 1, "the visitor's booking only");
    world.finish().await;
}

/// Old rows have no `updatedAt`, and a cursor may be wrong: what starts in the near past and future is read every night.
#[tokio::test]
async fn the_nightly_window_finds_what_the_updates_passed_over() {
    let world = world().await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    let booking = world.calcom.visitor_book(on(1320, 10)).await.unwrap();
    let far = booking.start + chrono::Duration::days(420);
    let moved = world.calcom.visitor_book(on(1321, 14)).await.unwrap();
    world.calcom.visitor_reschedule(VisitorMove { uid: moved.uid, start: far, as_host: false }).await.unwrap();
    schedule::let_time_pass(&world, 60).await;
    sqlx::query("UPDATE sweeps SET cursor_at = frontdesk_now() WHERE kind = 'updates'").execute(&world.db).await.unwrap();
    schedule::sweep(&world, "calcom_updates").await;
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 0);
    schedule::sweep(&world, "calcom_window").await;
    let starts = world.rows("SELECT jsonb_build_array(status, starts_at::timestamptz) FROM appointments ORDER BY starts_at").await;
    let of = |status: &str, at: chrono::DateTime<chrono::Utc>| (status.to_owned(), at);
    let found: Vec<_> = starts.iter().map(|row| of(row[0].as_str().unwrap(), row[1].as_str().unwrap().parse().unwrap())).collect();
    assert_eq!(found, [of("booked", booking.start), of("pending", far)], "the moved one where it is now, far outside the window");
    assert_eq!(schedule::repaired(&world).await, 3);
    world.finish().await;
}

/// Incident 13: a wish that waits behind nothing, one whose key was replaced, one that a jumping clock put off.
#[tokio::test]
async fn stuck_wishes_are_brought_on_and_counted() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    schedule::start(&mut world).await;
    let ids = wishes::record(&world, world.company.company_id, Wish::Create, "bulk", 0, 4).await;
    for (id, change) in ids.iter().zip([
        "state = 'waiting', created_at = now() - interval '1 hour'",
        "due_at = now() + interval '2 days'",
        "lease_holder = gen_random_uuid(), lease_until = now() + interval '2 days'",
        "due_at = now() - interval '1 hour'",
    ]) {
        sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE intents SET {change} WHERE id = '{id}'"))).execute(&world.db).await.unwrap();
    }
    assert_eq!(schedule::run(&world, "stuck_intents").await, "3 mended, 1 overdue");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'recorded' AND due_at <= frontdesk_now() AND lease_until IS NULL").await, 4);
    assert!((schedule::metric(&world, r#"frontdesk_reconcile_repaired_total{kind="stuck_intent"}"#).await - 3.0).abs() < 0.1);

    // the key is replaced by another one
    sqlx::query("UPDATE credentials SET disabled_at = now() WHERE provider = 'calcom'").execute(&world.db).await.unwrap();
    let account: uuid::Uuid = sqlx::query_scalar("SELECT provider_account_id FROM credentials WHERE provider = 'calcom'").fetch_one(&world.db).await.unwrap();
    let new = NewCredential { account_id: account, label: "new", base_url: &world.calcom.api_url(), api_key: &CALCOM_API_KEY.into(), rate_per_minute: None };
    let new = credentials::add(&world.db, &world.keyring, &new).await.unwrap();
    assert_eq!(schedule::run(&world, "stuck_intents").await, "4 mended, 0 overdue");
    let moved: i64 = sqlx::query_scalar("SELECT count(*) FROM intents WHERE credential_id = $1").bind(new).fetch_one(&world.db).await.unwrap();
    assert_eq!(moved, 4);
    assert_eq!(schedule::run(&world, "stuck_intents").await, "0 mended, 0 overdue");
    world.finish().await;
}
