//! SIGTERM in the middle of work: every role and ingress has something in hand when it is asked to stop, finishes it, ends with exit code 0 within its drain bound,
//! burns no attempt, doubles nothing and loses nothing of what was acknowledged. What it cannot finish in time: `beyond`. Fault F1.
//!
//! Each process once by default; `FRONTDESK_FULL=1` makes fifty stops of it, and holds each to the seconds of its bound. Else the limit is an orchestrator's patience.

mod beyond;
mod in_hand;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::envelope::Role;
use tests::processes::{Process, free_port};
use tests::{World, WorldOptions, eventually, eventually_within, http, schedule};
use workers::registry::ROLES;

use self::in_hand::InHand;
use self::load::Sent;

/// Architecture section 6, Drain. Figures of the test's own: the product's configuration is what they judge.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX_CALCOM_SYNC: Duration = Duration::from_secs(35);
const DRAIN_MAX_INGRESS: Duration = Duration::from_secs(8);
/// After the drain: confirms under way, goodbyes, the end of the process.
const GOODBYE_MAX: Duration = Duration::from_secs(6);
/// By so much an orchestrator's grace period is longer than the bound; then it kills.
const GRACE: Duration = Duration::from_secs(10);
/// Two loaded cores work off a debug build's backlog in about the time in which it was made.
const WORKED_OFF_WITHIN: Duration = Duration::from_secs(120);
/// What every process says at the end, and whether everything in hand was finished within the bound.
const WORKER_STOPPED: &str = "worker has stopped";
const INGRESS_STOPS: &str = "ingress stops";
const INGRESS_STOPPED: &str = "ingress has stopped";

fn full() -> bool {
    std::env::var_os("FRONTDESK_FULL").is_some()
}

fn stops() -> usize {
    if full() { 50 } else { ROLES.len() + 1 }
}

const fn drain_max(role: Option<Role>) -> Duration {
    match role {
        None => DRAIN_MAX_INGRESS,
        Some(Role::CalcomSync) => DRAIN_MAX_CALCOM_SYNC,
        Some(_) => DRAIN_MAX,
    }
}

/// One process that is stopped and started again.
struct Member {
    role: Option<Role>,
    name: String,
    environment: BTreeMap<String, String>,
    address: String,
    process: Option<Process>,
    stops: usize,
}

impl Member {
    fn new(world: &World, role: Option<Role>) -> Self {
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
        Self { role, name, environment, address, process: None, stops: 0 }
    }

    async fn start(&mut self, world: &World) {
        let (program, arguments) = self.role.map_or(("ingress", vec![]), |role| ("workers", vec![role.name()]));
        let mut process = Process::start(&self.name, program, &arguments, &self.environment, &world.folder);
        process.ready(&format!("http://{}/readyz", self.address)).await;
        self.process = Some(process);
    }

    /// SIGTERM while something is in hand that goes on only when the process is draining; how long its end took.
    async fn stop(&mut self, world: &World, sent: &Sent) -> Duration {
        self.stops += 1;
        let in_hand = InHand::of(world, self.role, &self.address, sent).await;
        let mut process = self.process.take().unwrap();
        let asked = Instant::now();
        process.ask_to_stop();
        eventually(&format!("{} drains", self.name), || async { self.drains(&process).await.then_some(()) }).await;
        assert!(process.alive(), "{} still has something in hand", self.name);
        in_hand.let_go(sent).await;
        let logged = self.end(process, asked).await;
        assert_eq!(self.drained(&logged), self.stops, "{} finished what it had in hand:\n{logged}", self.name);
        asked.elapsed()
    }

    /// Waits for the end of a process that was asked to stop at `asked`: in time and with exit code 0; what it logged.
    async fn end(&self, mut process: Process, asked: Instant) -> String {
        let bound = drain_max(self.role);
        let code = process.wait_within((bound + GRACE).saturating_sub(asked.elapsed())).await;
        let (took, logged) = (asked.elapsed(), process.logged());
        assert_eq!(code, Some(0), "{}:\n{logged}", self.name);
        assert!(!full() || took <= bound + GOODBYE_MAX, "{} took {took:?}:\n{logged}", self.name);
        logged
    }

    async fn drains(&self, process: &Process) -> bool {
        match self.role {
            None => process.logged().matches(INGRESS_STOPS).count() == self.stops,
            Some(_) => match http::client().get(format!("http://{}/readyz", self.address)).send().await {
                Ok(answer) => answer.text().await.is_ok_and(|text| text.contains("draining")),
                Err(_) => false,
            },
        }
    }

    /// Stops by this log after which nothing was left undone.
    fn drained(&self, logged: &str) -> usize {
        let lines = logged.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let says = |line: &Value, text: &str| line.to_string().contains(text);
        match self.role {
            None => {
                assert!(!logged.contains("still at work at the end of the drain time"), "{logged}");
                lines.filter(|line| says(line, INGRESS_STOPPED)).count()
            }
            Some(_) => lines.filter(|line| says(line, WORKER_STOPPED) && says(line, "\"drained\":true")).count(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_stops_in_the_middle_of_work_with_nothing_lost_doubled_or_burnt() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    schedule::pause(&world).await;
    // no company has so many callers in a minute
    sqlx::raw_sql("UPDATE companies SET functions_per_minute = 1000000").execute(&world.db).await.unwrap();
    let mut members: Vec<Member> = ROLES.into_iter().map(Some).chain([None]).map(|role| Member::new(&world, role)).collect();
    for one in &mut members {
        one.start(&world).await;
    }
    let stopped_ingress = format!("http://{}/v1/calcom/{}", members.last().unwrap().address, world.calcom_endpoint);
    let urls = [world.calcom_url(), stopped_ingress];
    let (sent, stops) = (Sent::default(), stops());
    let stopping = async {
        let mut slowest = vec![Duration::ZERO; members.len()];
        for n in 0..stops {
            let which = n % members.len();
            slowest[which] = slowest[which].max(members[which].stop(&world, &sent).await);
            members[which].start(&world).await;
        }
        sent.done.store(true, Ordering::SeqCst);
        slowest
    };
    let (slowest, ..) = tokio::join!(stopping, load::web(&urls, &sent), load::phone(&world, &sent), load::rings(&world, &sent));
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).zip(&slowest).collect();
    println!("{stops} stops in the middle of work, slowest by process: {names:?}");
    assert_whole(&world, &sent).await;
    drop(members);
    world.expect_dead_letters();
    assert_eq!(world.count("SELECT count(*) FROM dead_letters").await, 0);
    world.finish().await;
}

async fn assert_whole(world: &World, sent: &Sent) {
    let (acknowledged, made) = (sent.acknowledged(), sent.web.load(Ordering::SeqCst));
    let [cancelled, wishes, calls] = [&sent.cancelled, &sent.wishes, &sent.calls].map(|count| i64::try_from(count.load(Ordering::SeqCst)).unwrap());
    println!(
        "web: {made} bookings, {} of them and of their moves acknowledged, {cancelled} cancellations; wishes by phone: {wishes}; calls: {calls}",
        acknowledged.len()
    );
    // more than acknowledged may have arrived: a sender whose connection was cut does not know
    eventually_within(WORKED_OFF_WITHIN, "everything acknowledged has its effect", || async { uids(world).await.is_superset(&acknowledged).then_some(()) })
        .await;
    const CANCELLED: &str = "SELECT count(*) FROM appointment_modifications WHERE source = 'calcom_webhook' AND kind = 'cancelled'";
    eventually_within(WORKED_OFF_WITHIN, "every cancellation has its effect", || async { (world.count(CANCELLED).await >= cancelled).then_some(()) }).await;
    const DECIDED: &str = "SELECT count(*) FROM appointments WHERE booking_source = 'retell_phone' AND status <> 'requested'";
    eventually_within(WORKED_OFF_WITHIN, "every wish is decided", || async { (world.count(DECIDED).await >= wishes).then_some(()) }).await;
    const ENDED: &str = "SELECT count(*) FROM calls WHERE status = 'ended'";
    eventually_within(WORKED_OFF_WITHIN, "every call has ended", || async { (world.count(ENDED).await == calls).then_some(()) }).await;
    world.settle_all().await;
    assert_eq!(world.count(DECIDED).await, wishes, "none twice");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM appointment_modifications GROUP BY appointment_id, kind HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "nothing happened twice to an appointment");
    assert_eq!(held_by_calcom(world), held_by_us(world).await, "Cal.com holds what we hold, and nothing else");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state <> 'confirmed'").await, 0, "each slot was free");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE sent_count > 1").await, 0, "no request to Cal.com was cut off by a stop");
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE attempt > 1").await, 0, "the attempt header is unchanged: none is burnt");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 'done' GROUP BY role, message_id HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "no message had its effects twice");
    // the job that a stop cut off is still wanted: the next leader runs it
    schedule::ended(world, in_hand::JOB).await;
}

async fn uids(world: &World) -> BTreeSet<String> {
    let rows = world.rows("SELECT to_jsonb(uid) FROM calcom_bookings WHERE uid LIKE 'web0%' OR uid LIKE 'mov0%'").await;
    rows.into_iter().filter_map(|uid| Some(uid.as_str()?.to_owned())).collect()
}

/// Of our wishes: the visitors' bookings are made by webhooks alone.
fn held_by_calcom(world: &World) -> BTreeSet<i64> {
    world.calcom.live_bookings().iter().map(|booking| booking.start.timestamp()).collect()
}

async fn held_by_us(world: &World) -> BTreeSet<i64> {
    let rows = world
        .rows("SELECT to_jsonb(extract(epoch FROM starts_at)::bigint) FROM appointments WHERE booking_source = 'retell_phone' AND status = 'booked'")
        .await;
    rows.iter().filter_map(Value::as_i64).collect()
}
