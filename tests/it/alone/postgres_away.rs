//! Postgres falls silent: its processes are stopped, or the connections to it die without a word. Nothing is lost, no attempt is burnt, readiness says so, and the
//! workers are back within 30 s of its return without a restart. Fault D4 (sqlx #4349: a checked-out connection waits for ever).
//!
//! Stopped for eight seconds; `FRONTDESK_FULL=1` makes it the minute that issue 3 asks for.

use std::time::{Duration, Instant};

use dev::calcom_stand_in::sign::sign_calcom;
use dev::servers::Servers;
use secrecy::SecretString;
use shared::store::endpoints;
use tests::gateway::Gateway;
use tests::processes::{Process, free_port};
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually, eventually_within, fixtures, http, schedule};

/// What the issue allows.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Bookings a second while Postgres is away.
const PER_SECOND: u32 = 20;

const EFFECTS: &str = "SELECT count(*) FROM appointments WHERE booking_source = 'calcom_webhook'";
const MEASURED_AT: &str = "frontdesk_backlog_measured_timestamp_seconds";
const BURNT: &str = "SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome IN ('retry', 'parked')";

fn silent_for() -> Duration {
    Duration::from_secs(if std::env::var_os("FRONTDESK_FULL").is_some() { 60 } else { 8 })
}

/// Postgres goes on whatever becomes of the test.
struct Stopped<'a>(&'a Servers);

impl<'a> Stopped<'a> {
    fn now(servers: &'a Servers) -> Self {
        servers.postgres().pause().unwrap();
        Self(servers)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.postgres().resume().unwrap();
    }
}

/// Sends `count` bookings from `first` on at the test's pace; all must be taken.
async fn send(world: &World, first: usize, count: usize) {
    let (bookings, began) = (WebBookings::default(), tokio::time::Instant::now());
    for n in 0..count {
        // the pace of the load, not a wait for anything
        tokio::time::sleep_until(began + Duration::from_secs(1) * u32::try_from(n).unwrap() / PER_SECOND).await;
        let answer = world.send_calcom(bookings.body(first + n)).await;
        assert!(answer.accepted(), "ingress needs no Postgres: {}", answer.status);
    }
}

async fn metric(world: &World, name: &str) -> i64 {
    let text = http::client().get(format!("{}/metrics", world.worker_urls[0])).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no metric {name}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn readiness(world: &World) -> String {
    http::client().get(format!("{}/readyz", world.worker_urls[0])).send().await.unwrap().text().await.unwrap()
}

async fn assert_whole(world: &mut World, sent: usize) {
    world.settle_all().await;
    let sent = i64::try_from(sent).unwrap();
    assert_eq!(world.count(EFFECTS).await, sent, "effects = acknowledged, none twice");
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE source = 'calcom_webhook'").await, sent);
    assert_eq!(world.count(BURNT).await, 0, "no attempt is burnt");
    assert!(world.workers[0].alive(), "the same process: nothing was started again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_back_within_thirty_seconds_of_a_stopped_postgres_and_lose_nothing() {
    let mut world = World::with(WorldOptions { alone: true, ..WorldOptions::default() }).await;
    send(&world, 0, 40).await;
    let stopped = Stopped::now(&world.servers);
    let (began, away) = (Instant::now(), silent_for());
    let count = usize::try_from(away.as_secs()).unwrap() * usize::try_from(PER_SECOND).unwrap();
    send(&world, 40, count).await;
    eventually("readiness says that the database is missing", || async { readiness(&world).await.contains("database").then_some(()) }).await;
    eventually("the silence is declared", || async { (metric(&world, "frontdesk_database_silences_total").await == 1).then_some(()) }).await;
    drop(stopped);
    let (silent, back) = (began.elapsed(), Instant::now());
    let sent = 40 + count;
    eventually_within(BACK_WITHIN, "the workers are ready again", || async { readiness(&world).await.starts_with("ready").then_some(()) }).await;
    let ready = back.elapsed();
    // of the same thirty seconds
    let left = BACK_WITHIN.saturating_sub(ready);
    eventually_within(left, "every effect is there", || async { (world.count(EFFECTS).await == i64::try_from(sent).unwrap()).then_some(()) }).await;
    println!(
        "Postgres silent for {silent:.1?} under {PER_SECOND} events/s: ready {ready:.1?} after its return, all {sent} effects after {:.1?}",
        back.elapsed()
    );
    assert_whole(&mut world, sent).await;
    world.finish().await;
}

/// What no keepalive would notice in time and no server-side limit can end: the connections of the pool are there, and dead for ever. Beside the lanes that is a
/// matter of every loop that looks again and again: one that waits for ever leads no scheduler, starts no sweep, measures no backlog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_without_a_word_are_replaced_without_a_restart() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    let (gateway, url) = Gateway::before(&world.database_url).await;
    let through = [("DATABASE_URL".to_owned(), url)].into();
    world.start_workers(&["all"], &through).await;
    send(&world, 0, 20).await;
    eventually("the pool is in use", || async { (world.count(EFFECTS).await > 0).then_some(()) }).await;
    eventually("the scheduler leads", || async { (metric(&world, "frontdesk_scheduler_leads").await == 1).then_some(()) }).await;
    gateway.silence();
    let (began, sent) = (Instant::now(), 60);
    send(&world, 20, sent - 20).await;
    eventually_within(BACK_WITHIN, "every effect is there", || async { (world.count(EFFECTS).await == i64::try_from(sent).unwrap()).then_some(()) }).await;
    println!("every connection to Postgres dead: all {sent} effects {:.1?} later, {} chunks swallowed", began.elapsed(), gateway.swallowed());
    assert!(gateway.swallowed() > 0, "the dead connections were used");
    assert!(metric(&world, "frontdesk_database_silences_total").await >= 1);
    assert!(schedule::run(&world, "partitions").await.ends_with("made"), "the scheduler runs jobs again");
    schedule::sweep(&world, "calcom_updates").await;
    let measured = schedule::metric(&world, MEASURED_AT).await;
    eventually("the backlogs are measured again", || async { (schedule::metric(&world, MEASURED_AT).await > measured).then_some(()) }).await;
    assert_whole(&mut world, sent).await;
    world.finish().await;
}

/// Ingress keeps what it knows while Postgres is silent; and it must hear of a new endpoint afterwards, over connections of which none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_whose_connections_died_hears_of_a_new_endpoint() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let (gateway, url) = Gateway::before(&world.database_url).await;
    let address = format!("127.0.0.1:{}", free_port());
    let mut environment = world.environment();
    environment.insert("DATABASE_URL".to_owned(), url);
    environment.insert("LISTEN".to_owned(), address.clone());
    environment.insert("SPOOL_DIR".to_owned(), world.folder.join("spool").display().to_string());
    let mut ingress = Process::start("ingress-through", "ingress", &[], &environment, &world.folder);
    ingress.ready(&format!("http://{address}/readyz")).await;
    gateway.silence();
    let (secret, account) = (SecretString::from(fixtures::CALCOM_SECRET), world.company.calcom_account_id.unwrap());
    let endpoint = endpoints::add(&world.db, &world.keyring, account, "second", &secret).await.unwrap();
    let (body, began) = (WebBookings::default().body(0), Instant::now());
    let (url, signature) = (format!("http://{address}/v1/calcom/{endpoint}"), sign_calcom(fixtures::CALCOM_SECRET, &body));
    eventually_within(BACK_WITHIN, "it knows the new endpoint", || async {
        http::post(&url, "x-cal-signature-256", &signature, body.clone()).await.accepted().then_some(())
    })
    .await;
    println!("ingress heard of an endpoint {:.1?} after its connections to Postgres died, {} chunks swallowed", began.elapsed(), gateway.swallowed());
    assert!(gateway.swallowed() > 0, "the dead connections were used");
    world.ingresses.push(ingress);
    world.finish().await;
}
