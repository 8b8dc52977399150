//! Ingress when everything else is dead: broker and Postgres away, itself killed, its disk full (`full_disk`). Fault A12, architecture section 5, issue 3 "Done" 7.
//!
//! By default short (300 webhooks a second for eight seconds, three kills); `FRONTDESK_FULL=1` makes it the run that the issue asks for (500 a second for a
//! minute, ten kills).

mod full_disk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Weekday;
use dev::calcom_stand_in::sign::sign_calcom;
use dev::retell_stand_in::Target;
use serde_json::{Value, json};
use shared::functions::Function;
use tests::processes::{Process, free_port};
use tests::web_bookings::WebBookings;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, eventually_within, fixtures, http};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Beyond this many unanswered requests the sender would wait, and the load would no longer be what it says: six seconds of it at the full rate.
const UNANSWERED_MAX: usize = 3000;
/// Two loaded cores work a debug build's backlog off in about the time in which it was made.
const DRAINED_WITHIN: Duration = Duration::from_secs(240);
/// How the run is sized.
struct Run {
    per_second: u32,
    seconds: u32,
    kills: u32,
    /// Between two kills.
    lives: Duration,
}

impl Run {
    fn sized() -> Self {
        match std::env::var_os("FRONTDESK_FULL") {
            Some(_) => Self { per_second: 500, seconds: 60, kills: 10, lives: Duration::from_secs(2) },
            None => Self { per_second: 300, seconds: 8, kills: 3, lives: Duration::from_millis(1200) },
        }
    }

    const fn total(&self) -> usize {
        self.seconds as usize * self.per_second as usize
    }
}

/// An ingress process that can be killed and started again at the same address and on the same folder.
struct Ingress {
    process: Process,
    environment: BTreeMap<String, String>,
    logs: PathBuf,
    base: String,
}

impl Ingress {
    async fn start(world: &World, spool: &Path, changed: &[(&str, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = world.environment();
        environment.insert("LISTEN".to_owned(), address.clone());
        environment.insert("SPOOL_DIR".to_owned(), spool.display().to_string());
        environment.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let base = format!("http://{address}");
        let process = Process::start("ingress-alone", "ingress", &[], &environment, &world.folder);
        let mut ingress = Self { process, environment, logs: world.folder.clone(), base };
        ingress.listens().await;
        ingress
    }

    async fn listens(&mut self) {
        let url = format!("{}/healthz", self.base);
        self.process.ready(&url).await;
    }

    /// SIGKILL, and a new process in its place with the same environment.
    async fn killed_and_started_again(&mut self) {
        self.process.kill();
        self.process = Process::start("ingress-alone", "ingress", &[], &self.environment, &self.logs);
        self.listens().await;
    }

    async fn stop(self) {
        assert_eq!(self.process.terminate().await, Some(0));
    }

    fn calcom_url(&self, world: &World) -> String {
        format!("{}/v1/calcom/{}", self.base, world.calcom_endpoint)
    }

    /// Until it has read its endpoints from Postgres, and so keeps them sealed on its disk; a body that nobody signed costs nothing.
    async fn knows_its_endpoints(&self, world: &World) {
        let url = self.calcom_url(world);
        eventually("ingress knows its endpoints", || async {
            (http::post(&url, "x-cal-signature-256", &sign_calcom("whsec_wrong", b"x"), vec![b'x']).await.status == 401).then_some(())
        })
        .await;
    }

    async fn ready(&self) -> u16 {
        http::client().get(format!("{}/readyz", self.base)).send().await.unwrap().status().as_u16()
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = http::client().get(format!("{}/metrics", self.base)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no metric {name}"));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// What a sender saw; status 0 = no answer.
struct Seen {
    n: usize,
    status: u16,
    took: Duration,
    retry_after: bool,
}

impl Seen {
    const fn acknowledged(&self) -> bool {
        self.status / 100 == 2
    }
}

/// Fault A12: everything else is dead. A cold start accepts, callers hear a true sentence, kills lose nothing, and all of it has its effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_broker_and_postgres_dead_everything_is_accepted_and_kills_lose_nothing() {
    let run = Run::sized();
    let mut world = World::with(WorldOptions { alone: true, roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let spool = world.folder.join("spool");
    let warm = Ingress::start(&world, &spool, &[]).await;
    warm.knows_its_endpoints(&world).await;
    warm.stop().await;
    world.servers.broker().kill().await.unwrap();
    world.servers.postgres().kill().await.unwrap();

    let mut ingress = Ingress::start(&world, &spool, &[]).await;
    assert_eq!(ingress.ready().await, 200, "a cold start knows its secrets from the disk and can accept durably");
    hears_a_true_sentence(&world, &ingress).await;
    let seen = all_accepted(&world, &ingress, &run).await;
    let killed_meanwhile = under_kills(&world, &mut ingress, &run).await;
    let refused: BTreeSet<u16> = killed_meanwhile.iter().map(|seen| seen.status).filter(|status| *status != 0 && status / 100 != 2).collect();
    assert!(refused.is_empty(), "who gets an answer gets 2xx: {refused:?}");

    let began = Instant::now();
    restart_servers(&world).await;
    eventually_within(DRAINED_WITHIN, "the spool is empty", || async { (ingress.metric("frontdesk_ingress_spool_records").await == 0).then_some(()) }).await;
    let spool_empty = began.elapsed();
    world.start_workers(&["all"], &BTreeMap::new()).await;
    let acknowledged: BTreeSet<String> = seen.iter().chain(&killed_meanwhile).filter(|seen| seen.acknowledged()).map(|seen| WebBookings::uid(seen.n)).collect();
    let sent: BTreeSet<String> = seen.iter().chain(&killed_meanwhile).map(|seen| WebBookings::uid(seen.n)).collect();
    every_effect_once(&world, &acknowledged, &sent).await;
    println!("after both are back: the spool is empty after {spool_empty:.1?}, {} effects are there after {:.1?}", acknowledged.len(), began.elapsed());
    // the caller's wish was kept and carried out
    eventually("the caller's appointment is booked", || async {
        (world.count("SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status = 'booked'").await == 1).then_some(())
    })
    .await;
    world.settle_all().await;
    assert_eq!(world.calcom.live_bookings().len(), 1);
    assert_eq!(ingress.metric("frontdesk_ingress_spool_damaged").await, 0);
    world.ingresses.push(ingress.process);
    world.finish().await;
}

/// A function is answered with its own sentence and kept; call_inbound fails open.
async fn hears_a_true_sentence(world: &World, ingress: &Ingress) {
    world.retell.aim(Target { url: format!("{}/v1/retell/{}", ingress.base, world.retell_endpoint), api_key: fixtures::RETELL_KEY.to_owned() });
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let rung = call.ring().await;
    assert_eq!((rung.status, &rung.body), (200, &json!({ "call_inbound": {} })), "the phone rings all the same");
    let asked = Instant::now();
    let told = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    let sentence = Function::BookAppointment.row().fallback_sentence;
    assert_eq!((told.status, &told.body["pending"], &told.body["message"]), (200, &json!(true), &json!(sentence)));
    println!("a caller hears the fallback after {:.1?}: {sentence:?}", asked.elapsed());
}

/// The load, to which only 2xx is an answer; prints what the issue wants to see.
async fn all_accepted(world: &World, ingress: &Ingress, run: &Run) -> Vec<Seen> {
    let began = Instant::now();
    let Loaded { seen, held_back } = load(&ingress.calcom_url(world), 0..run.total(), run.per_second).await;
    let elapsed = began.elapsed();
    assert_eq!((seen.len(), held_back), (run.total(), 0), "all of it was sent at its pace: no sender waited for a place");
    let mut took: Vec<Duration> = seen.iter().map(|seen| seen.took).collect();
    took.sort();
    let at = |permille: usize| took[(took.len() - 1) * permille / 1000];
    // the gauges follow once a second
    eventually("the gauges show the spool", || async { (ingress.metric("frontdesk_ingress_spool_records").await > seen.len() as u64).then_some(()) }).await;
    let (records, bytes) = (ingress.metric("frontdesk_ingress_spool_records").await, ingress.metric("frontdesk_ingress_spool_bytes").await);
    println!(
        "broker and Postgres dead: {} sent at {}/s for {} s (in {elapsed:.1?}), {} accepted; answers: median {:.1?}, p99 {:.1?}, p99.9 {:.1?}, slowest {:.1?}; spool {records} records, {:.1} MiB, {} bytes per record",
        seen.len(),
        run.per_second,
        run.seconds,
        seen.iter().filter(|seen| seen.acknowledged()).count(),
        at(500),
        at(990),
        at(999),
        at(1000),
        f64::from(u32::try_from(bytes / 1024).unwrap()) / 1024.0,
        bytes / records
    );
    let refused: Vec<u16> = seen.iter().map(|seen| seen.status).filter(|status| status / 100 != 2).take(10).collect();
    assert!(refused.is_empty(), "only 2xx: {refused:?}");
    seen
}

/// The same load while the process is killed and started again, several times.
async fn under_kills(world: &World, ingress: &mut Ingress, run: &Run) -> Vec<Seen> {
    let url = ingress.calcom_url(world);
    let seconds = run.lives.mul_f64(f64::from(run.kills) + 0.5).as_secs_f64();
    let further = (f64::from(run.per_second) * seconds) as usize;
    let kills = async {
        let mut away = Vec::new();
        for _ in 0..run.kills {
            // the course of the run, as its size says; no wait for anything
            tokio::time::sleep(run.lives).await;
            let killed = Instant::now();
            ingress.killed_and_started_again().await;
            away.push(killed.elapsed());
        }
        away
    };
    let (Loaded { seen, .. }, away) = tokio::join!(load(&url, run.total()..run.total() + further, run.per_second), kills);
    let acknowledged = seen.iter().filter(|seen| seen.acknowledged()).count();
    println!("{} kills under load: {acknowledged} of {} acknowledged, the others heard nothing; listening again after {away:.1?}", run.kills, seen.len());
    assert!(acknowledged > 0 && acknowledged < seen.len(), "the kills were felt, and between them it worked");
    seen
}

async fn restart_servers(world: &World) {
    world.servers.broker().start().await.unwrap();
    // the first try may come before the last backend of the killed server has let go of its memory
    eventually("Postgres is back", || async { world.servers.postgres().start().await.ok() }).await;
}

/// Everything acknowledged has its effect, nothing else but what was sent, and none twice.
async fn every_effect_once(world: &World, acknowledged: &BTreeSet<String>, sent: &BTreeSet<String>) {
    let enough = i64::try_from(acknowledged.len()).unwrap();
    eventually_within(DRAINED_WITHIN, "everything acknowledged has its effect", || async {
        (world.count("SELECT count(*) FROM calcom_bookings WHERE uid LIKE 'web0%'").await >= enough).then_some(())
    })
    .await;
    world.settle_all().await;
    let there: BTreeSet<String> = uids(world.rows("SELECT to_jsonb(uid) FROM calcom_bookings WHERE uid LIKE 'web0%'").await).collect();
    let lost: Vec<_> = acknowledged.difference(&there).take(5).collect();
    assert!(lost.is_empty(), "acknowledged and without effect: {lost:?}");
    let invented: Vec<_> = there.difference(sent).take(5).collect();
    assert!(invented.is_empty(), "effects that nobody sent: {invented:?}");
    let effects = i64::try_from(there.len()).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE source = 'calcom_webhook'").await, effects, "none twice");
    assert_eq!(
        world.count("SELECT count(*) FROM inbox JOIN events USING (message_id) WHERE kind = 'calcom.booking_created' AND role = 'booking'").await,
        world.count("SELECT count(DISTINCT message_id) FROM events WHERE kind = 'calcom.booking_created'").await,
        "every event is in the inbox"
    );
}

fn uids(rows: Vec<Value>) -> impl Iterator<Item = String> {
    rows.into_iter().filter_map(|uid| Some(uid.as_str()?.to_owned()))
}

/// What became of a load.
struct Loaded {
    seen: Vec<Seen>,
    /// Requests that were sent later than their turn because too many were unanswered.
    held_back: usize,
}

/// Sends these webhooks at a pace, whatever the answers take; everything seen.
async fn load(url: &str, numbers: std::ops::Range<usize>, per_second: u32) -> Loaded {
    let mut held_back = 0;
    let places = Arc::new(Semaphore::new(UNANSWERED_MAX));
    let (bookings, url): (_, Arc<str>) = (Arc::new(WebBookings::default()), url.into());
    let mut sending = JoinSet::new();
    let began = tokio::time::Instant::now();
    for (index, n) in numbers.enumerate() {
        // the pace of the load, not a wait for anything
        tokio::time::sleep_until(began + Duration::from_secs(1) * u32::try_from(index).unwrap() / per_second).await;
        held_back += usize::from(places.available_permits() == 0);
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (bookings, url) = (Arc::clone(&bookings), Arc::clone(&url));
        sending.spawn(async move {
            let seen = send(&url, n, bookings.body(n)).await;
            drop(place);
            seen
        });
    }
    Loaded { seen: sending.join_all().await, held_back }
}

async fn send(url: &str, n: usize, body: Vec<u8>) -> Seen {
    let signature = sign_calcom(fixtures::CALCOM_SECRET, &body);
    let sent = Instant::now();
    let answer = http::try_post(url, "x-cal-signature-256", &signature, body).await.ok();
    let retry_after = answer.as_ref().is_some_and(|answer| answer.headers.contains_key("retry-after"));
    Seen { n, status: answer.map_or(0, |answer| answer.status), took: sent.elapsed(), retry_after }
}
