//! The broker dies under load: senders hear only 2xx, and what was acknowledged has its effect once. Fault B1, architecture section 5.
//!
//! By default short; `FRONTDESK_OUTAGE_SECONDS=60` makes it the run that issue 2 asks for (500 webhooks a second, broker away for ten seconds).

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Weekday;
use dev::calcom_stand_in::sign::sign_calcom;
use serde_json::json;
use shared::broker::depth::Gauge;
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use tests::web_bookings::WebBookings;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, eventually_within, fixtures, http};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Beyond this many unanswered requests the sender waits, and the printed rate shows it.
const UNANSWERED_MAX: usize = 3000;
/// Two loaded cores work a debug build's backlog off in about the time in which it was made.
const DRAINED_WITHIN: Duration = Duration::from_secs(180);

const OF_WEBHOOKS: &str = "SELECT count(*) FROM appointments WHERE booking_source = 'calcom_webhook'";

/// How the run is sized.
struct Run {
    seconds: u32,
    per_second: u32,
    /// The broker is killed after this, and started again this long after that.
    killed_after: Duration,
    away: Duration,
}

impl Run {
    fn sized() -> Self {
        match std::env::var("FRONTDESK_OUTAGE_SECONDS").map(|seconds| seconds.parse().expect("FRONTDESK_OUTAGE_SECONDS is a number of seconds")) {
            Ok(seconds) => Self { seconds, per_second: 500, killed_after: Duration::from_secs(u64::from(seconds / 3)), away: Duration::from_secs(10) },
            Err(_) => Self { seconds: 10, per_second: 300, killed_after: Duration::from_secs(3), away: Duration::from_secs(3) },
        }
    }

    const fn total(&self) -> usize {
        self.seconds as usize * self.per_second as usize
    }
}

/// What a sender saw.
struct Seen {
    status: u16,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_costs_no_webhook_and_doubles_none() {
    let run = Run::sized();
    let world = World::with(WorldOptions { alone: true, ..WorldOptions::default() }).await;
    let (seen, away) = tokio::join!(load(&world, &run), outage(&world, &run));
    let (seen, elapsed) = seen;
    let accepted = seen.iter().filter(|seen| seen.status / 100 == 2).count();
    let mut took: Vec<Duration> = seen.iter().map(|seen| seen.took).collect();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let spooled = metric(&world, "frontdesk_ingress_spooled_total").await;
    println!(
        "{accepted} of {} accepted at {:.0}/s, broker away for {away:.1?}, {spooled} through the spool; answers: median {:?}, p99 {:?}, slowest {:?}",
        seen.len(),
        f64::from(u32::try_from(seen.len()).unwrap()) / elapsed.as_secs_f64(),
        at(50),
        at(99),
        at(100)
    );
    let refused: Vec<u16> = seen.iter().map(|seen| seen.status).filter(|status| status / 100 != 2).take(10).collect();
    assert!(refused.is_empty(), "only 2xx: {refused:?}");
    assert!(spooled > 0, "the outage was felt");

    let began = Instant::now();
    let effects = i64::try_from(accepted).unwrap();
    eventually_within(DRAINED_WITHIN, "the spool is empty", || async { (metric(&world, "frontdesk_ingress_spool_records").await == 0).then_some(()) }).await;
    let spool_empty = began.elapsed();
    let gauge = Gauge::open(&world.amqp_url).await.unwrap();
    let bulk = topology::queue(Role::Booking, Lane::Bulk);
    // asked first, since counting rows all the time would slow down what is waited for
    eventually_within(DRAINED_WITHIN, "the backlog is worked off", || async { (gauge.depth(bulk.as_str()).await.unwrap() == 0).then_some(()) }).await;
    eventually("everything acknowledged has its effect", || async { (world.count(OF_WEBHOOKS).await >= effects).then_some(()) }).await;
    println!("after the load: the spool is empty after {spool_empty:.1?}, every effect is there after {:.1?}", began.elapsed());
    world.settle_all().await;
    assert_once(&world, effects).await;
    world.finish().await;
}

async fn assert_once(world: &World, effects: i64) {
    assert_eq!(world.count(OF_WEBHOOKS).await, effects, "effects = acknowledged");
    assert_eq!(world.count("SELECT count(DISTINCT uid) FROM calcom_bookings WHERE uid LIKE 'web0%'").await, effects);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE source = 'calcom_webhook'").await, effects, "none twice");
    assert_eq!(
        world.count("SELECT count(*) FROM inbox JOIN events USING (message_id) WHERE kind = 'calcom.booking_created' AND role = 'booking'").await,
        effects + 1
    );
    // the caller who rang during the outage: the wish was kept and carried out
    assert_eq!(world.calcom.live_bookings().len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status = 'booked'").await, 1);
}

/// Sends at the run's pace, whatever the answers take. Everything seen, and how long the sending took.
async fn load(world: &World, run: &Run) -> (Vec<Seen>, Duration) {
    let places = Arc::new(Semaphore::new(UNANSWERED_MAX));
    let bookings = Arc::new(WebBookings::default());
    let url: Arc<str> = world.calcom_url().into();
    let mut sending = JoinSet::new();
    let began = tokio::time::Instant::now();
    for n in 0..run.total() {
        // the pace of the load, not a wait for anything
        tokio::time::sleep_until(began + Duration::from_secs(1) * u32::try_from(n).unwrap() / run.per_second).await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (bookings, url) = (Arc::clone(&bookings), Arc::clone(&url));
        sending.spawn(async move {
            let body = bookings.body(n);
            let signature = sign_calcom(fixtures::CALCOM_SECRET, &body);
            let sent = Instant::now();
            let answer = http::try_post(&url, "x-cal-signature-256", &signature, body).await;
            drop(place);
            Seen { status: answer.map_or(0, |answer| answer.status), took: sent.elapsed() }
        });
    }
    let elapsed = began.elapsed();
    (sending.join_all().await, elapsed)
}

/// Kills the broker in the middle, lets somebody ring while it is away, and starts it again. How long it was away.
async fn outage(world: &World, run: &Run) -> Duration {
    // the course of the run, as its size says; no wait for anything either
    tokio::time::sleep(run.killed_after).await;
    world.servers.broker().kill().await.unwrap();
    let killed = tokio::time::Instant::now();
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let told = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!((told.status, &told.body["pending"]), (200, &json!(true)), "a caller hears a true sentence: {}", told.body);
    let (back, _) = tokio::join!(until_the_broker_is_back(world, killed), async {
        tokio::time::sleep_until(killed + run.away).await;
        world.servers.broker().start().await.unwrap();
    });
    assert!(back >= run.away, "somebody else started the broker again after {back:?}: this test must be alone");
    back
}

/// How long after `killed` the broker takes connections.
async fn until_the_broker_is_back(world: &World, killed: tokio::time::Instant) -> Duration {
    eventually_within(DRAINED_WITHIN, "the broker takes connections", || async { Gauge::open(&world.amqp_url).await.ok() }).await.close().await;
    killed.elapsed()
}

async fn metric(world: &World, name: &str) -> u64 {
    let text = http::client().get(format!("{}/metrics", world.ingress_urls[0])).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no metric {name}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}
