//! SIGTERM under load: every role and ingress stops with exit code 0 within its drain bound, burns no attempt, doubles nothing and loses nothing of what was
//! acknowledged. Fault F1.
//!
//! Each process once by default; `FRONTDESK_FULL=1` makes fifty stops of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Weekday;
use dev::calcom_stand_in::sign::sign_calcom;
use serde_json::json;
use shared::envelope::Role;
use tests::processes::{Process, free_port};
use tests::web_bookings::WebBookings;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, eventually_within, fixtures, http};
use workers::registry::ROLES;

/// Architecture section 6, Drain; the workers of the product hold the same figures in their configuration.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX_CALCOM_SYNC: Duration = Duration::from_secs(35);
const DRAIN_MAX_INGRESS: Duration = Duration::from_secs(8);
/// After the drain: confirms under way, goodbyes, the end of the process.
const GOODBYE_MAX: Duration = Duration::from_secs(6);
/// Web bookings a second; a debug build on two loaded cores must keep up.
const PER_SECOND: u32 = 100;
/// Two loaded cores work off a debug build's backlog in about the time in which it was made.
const WORKED_OFF_WITHIN: Duration = Duration::from_secs(120);

/// What the senders know.
#[derive(Default)]
struct Sent {
    done: AtomicBool,
    web: AtomicUsize,
    web_accepted: AtomicUsize,
    wishes: AtomicUsize,
}

fn stops() -> usize {
    if std::env::var_os("FRONTDESK_FULL").is_some() { 50 } else { ROLES.len() + 1 }
}

fn drain_max(role: Option<Role>) -> Duration {
    match role {
        None => DRAIN_MAX_INGRESS,
        Some(Role::CalcomSync) => DRAIN_MAX_CALCOM_SYNC,
        Some(_) => DRAIN_MAX,
    }
}

/// Web bookings to both ingresses in turn, as Cal.com sends them: once. Only a 2xx counts.
async fn web_load(urls: &[String], sent: &Sent) {
    let (bookings, began) = (WebBookings::default(), tokio::time::Instant::now());
    let mut sending = tokio::task::JoinSet::new();
    for n in 0.. {
        // the pace of the load, not a wait for anything
        tokio::time::sleep_until(began + Duration::from_secs(1) * n / PER_SECOND).await;
        if sent.done.load(Ordering::SeqCst) {
            break;
        }
        let n = usize::try_from(n).unwrap();
        let body = bookings.body(n);
        let (url, signature) = (urls[n % urls.len()].clone(), sign_calcom(fixtures::CALCOM_SECRET, &body));
        sent.web.fetch_add(1, Ordering::SeqCst);
        sending.spawn(async move { http::try_post(&url, "x-cal-signature-256", &signature, body).await.is_ok_and(|answer| answer.accepted()) });
        while let Some(Ok(accepted)) = sending.try_join_next() {
            sent.web_accepted.fetch_add(accepted.into(), Ordering::SeqCst);
        }
    }
    while let Some(Ok(accepted)) = sending.join_next().await {
        sent.web_accepted.fetch_add(accepted.into(), Ordering::SeqCst);
    }
}

/// Callers one after the other, each books a slot of its own at the ingress that is never stopped.
async fn phone_load(world: &World, sent: &Sent) {
    for n in 0.. {
        if sent.done.load(Ordering::SeqCst) {
            return;
        }
        let (day, hour) = (i64::from(n / 14), 9 + (n % 14) / 2);
        let (weekday, week) = ([Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri][usize::try_from(day % 5).unwrap()], day / 5);
        let (_, date, time) = ahead(7 + 7 * week, weekday, hour, 30 * (n % 2));
        let mut call = world.retell.inbound("+4915112345678", "+493023125042");
        call.start().await;
        let wish = json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" });
        let told = call.function("book_appointment", wish).await;
        assert_eq!(told.status, 200, "a caller always hears a sentence: {}", told.body);
        sent.wishes.fetch_add(1, Ordering::SeqCst);
        call.end().await;
    }
}

/// One process that is stopped and started again.
struct Member {
    role: Option<Role>,
    name: String,
    environment: BTreeMap<String, String>,
    ready_url: String,
    process: Option<Process>,
}

impl Member {
    async fn start(&mut self, world: &World) {
        let (program, arguments) = self.role.map_or(("ingress", vec![]), |role| ("workers", vec![role.name()]));
        let mut process = Process::start(&self.name, program, &arguments, &self.environment, &world.folder);
        process.ready(&self.ready_url).await;
        self.process = Some(process);
    }

    /// SIGTERM; how long the end took.
    async fn stop(&mut self) -> Duration {
        let (began, bound) = (Instant::now(), drain_max(self.role) + GOODBYE_MAX);
        let process = self.process.take().unwrap();
        let log = process.log.clone();
        let code = tokio::time::timeout(bound, process.terminate_within(bound)).await;
        let code = code.unwrap_or_else(|_| panic!("{} does not end within {bound:?}", self.name));
        assert_eq!(code, Some(0), "{}:\n{}", self.name, std::fs::read_to_string(log).unwrap_or_default());
        began.elapsed()
    }
}

fn member(world: &World, role: Option<Role>) -> Member {
    let address = format!("127.0.0.1:{}", free_port());
    let mut environment = world.environment();
    let name = role.map_or("ingress-stopped", Role::name).to_owned();
    match role {
        Some(_) => environment.insert("METRICS_LISTEN".to_owned(), address.clone()),
        None => {
            environment.insert("SPOOL_DIR".to_owned(), world.folder.join("spool-stopped").display().to_string());
            environment.insert("LISTEN".to_owned(), address.clone())
        }
    };
    Member { role, name, environment, ready_url: format!("http://{address}/readyz"), process: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_stops_under_load_with_nothing_lost_doubled_or_burnt() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    let mut members: Vec<Member> = ROLES.into_iter().map(Some).chain([None]).map(|role| member(&world, role)).collect();
    for one in &mut members {
        one.start(&world).await;
    }
    let stopped_ingress = members.last().unwrap().ready_url.replace("/readyz", &format!("/v1/calcom/{}", world.calcom_endpoint));
    let urls = [world.calcom_url(), stopped_ingress];
    let sent = Sent::default();
    let stops = stops();
    let stopping = async {
        let mut slowest = vec![Duration::ZERO; members.len()];
        for n in 0..stops {
            let (which, web) = (n % members.len(), sent.web.load(Ordering::SeqCst));
            // each stop meets its share of load
            eventually("the load goes on", || async { (sent.web.load(Ordering::SeqCst) >= web + 10).then_some(()) }).await;
            slowest[which] = slowest[which].max(members[which].stop().await);
            members[which].start(&world).await;
        }
        sent.done.store(true, Ordering::SeqCst);
        slowest
    };
    let (slowest, (), ()) = tokio::join!(stopping, web_load(&urls, &sent), phone_load(&world, &sent));
    let (web, accepted, wishes) = (sent.web.into_inner(), sent.web_accepted.into_inner(), sent.wishes.into_inner());
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).zip(&slowest).collect();
    println!("{stops} stops under load, slowest by process: {names:?}");
    println!("web bookings: {accepted} of {web} acknowledged; wishes by phone: {wishes}");
    assert_whole(&world, accepted, wishes).await;
    drop(members);
    world.expect_dead_letters();
    assert_eq!(world.count("SELECT count(*) FROM dead_letters").await, 0);
    world.finish().await;
}

async fn assert_whole(world: &World, accepted: usize, wishes: usize) {
    let (accepted, wishes) = (i64::try_from(accepted).unwrap(), i64::try_from(wishes).unwrap());
    const WEB: &str = "SELECT count(*) FROM appointments WHERE booking_source = 'calcom_webhook'";
    const DECIDED: &str = "SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status <> 'requested'";
    // more than acknowledged may have arrived: a sender whose connection was cut does not know
    eventually_within(WORKED_OFF_WITHIN, "every acknowledged web booking has its effect", || async { (world.count(WEB).await >= accepted).then_some(()) })
        .await;
    eventually_within(WORKED_OFF_WITHIN, "every wish is decided", || async { (world.count(DECIDED).await >= wishes).then_some(()) }).await;
    world.settle_all().await;
    let web = world.count(WEB).await;
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE source = 'calcom_webhook'").await, web, "none twice");
    assert_eq!(world.count(DECIDED).await, wishes);
    assert_eq!(
        world.count("SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status = 'booked'").await,
        wishes,
        "each slot was free"
    );
    assert_eq!(world.calcom.live_bookings().len(), usize::try_from(wishes).unwrap(), "one live booking each");
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE attempt > 1").await, 0, "the attempt header is unchanged: none is burnt");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 'done' GROUP BY role, message_id HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "no message had its effects twice");
}
