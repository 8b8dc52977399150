//! One test's world: database, vhost, the demo company, stand-ins, ingress and workers as real processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Datelike, Duration, NaiveTime, TimeZone, Utc, Weekday};
use dev::calcom_stand_in::{self, ApiKey, CalcomStandIn, EventType, Host, Limits, Webhook};
use dev::retell_stand_in::sign::sign_retell;
use dev::retell_stand_in::{self, RetellStandIn, Target};
use dev::servers::{Servers, Turn};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::broker::depth::Gauge;
use shared::broker::topology;
use shared::clock::Clock;
use shared::secret::{Keyring, generate_master_key};
use shared::store::companies::{self, CreatedCompany, NewCompany};
use shared::store::credentials;
use shared::store::endpoints;
use sqlx::PgPool;
use uuid::Uuid;

use crate::http::{self, Answer};
use crate::processes::{Process, free_port};
use crate::{company, eventually, fixtures, servers};

/// What a world starts with.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Roles of the workers process; empty = none.
    pub roles: Vec<&'static str>,
    pub ingresses: usize,
    /// Requests a minute that the Cal.com credential allows itself; the stand-in allows the same and a little more.
    pub calcom_rate_per_minute: i32,
    /// The stand-in's own limiter, if it shall be another.
    pub calcom_limits: Option<Limits>,
    /// Event types whose bookings the host must confirm.
    pub confirm_event_types: Vec<i64>,
    /// Further variables of the worker processes.
    pub worker_environment: BTreeMap<String, String>,
    /// This test kills or pauses a server: it runs alone (and belongs into a module named `alone`).
    pub alone: bool,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            // all but the scheduler: its jobs come by the clock of the wall, and a test would depend on the minute in which it runs. Tests of it name it
            roles: vec!["booking", "reschedule", "cancellation", "calcom-sync", "desk", "calls"],
            ingresses: 1,
            calcom_rate_per_minute: 6000,
            calcom_limits: None,
            confirm_event_types: Vec::new(),
            worker_environment: BTreeMap::new(),
            alone: false,
        }
    }
}

/// See the module. It ends with [`World::finish`]; one that is only dropped fails its test, since nobody looked at what it left.
pub struct World {
    pub name: String,
    /// As superuser: sees every row.
    pub db: PgPool,
    pub database_url: String,
    pub amqp_url: String,
    pub master_keys: String,
    pub keyring: Keyring,
    pub company: CreatedCompany,
    pub retell_endpoint: Uuid,
    pub calcom_endpoint: Uuid,
    pub calcom_credential: Uuid,
    /// The key with which the scheduler asks the Retell stand-in; it is the one that signs, as at Retell.
    pub retell_credential: Uuid,
    pub calcom: CalcomStandIn,
    pub retell: RetellStandIn,
    pub ingresses: Vec<Process>,
    pub ingress_urls: Vec<String>,
    pub workers: Vec<Process>,
    /// Where each of `workers` serves its metrics and health.
    pub worker_urls: Vec<String>,
    pub folder: PathBuf,
    pub options: WorldOptions,
    expected_dead_letters: bool,
    finished: bool,
    /// The right to use the servers: together with other tests, or alone when this one kills them.
    pub servers: Servers,
    _turn: Turn,
}

/// The Cal.com API key of every world.
pub const CALCOM_API_KEY: &str = "cal_live_0123456789abcdef";
/// Removing both stores takes well under a second; a test that fails anyway does not wait long for a server that is gone.
const REMOVAL_MAX: std::time::Duration = std::time::Duration::from_secs(10);
static COUNTER: AtomicU32 = AtomicU32::new(0);

impl World {
    /// A world with all roles and one ingress.
    pub async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    /// A world as wanted.
    ///
    /// # Panics
    /// When a server is missing or something does not start: a test never skips.
    pub async fn with(options: WorldOptions) -> Self {
        let name = format!("fd_{}_{}_test", std::process::id(), COUNTER.fetch_add(1, Ordering::SeqCst));
        let private = Servers::attach().expect("the servers of `cargo dev test` are up");
        let turn = if options.alone { private.use_alone().await } else { private.use_together().await }.expect("a turn on the servers");
        servers::create_database(&name).await;
        let amqp_url = servers::create_vhost(&name).await;
        let database_url = servers::database_url(&name);
        let db = PgPool::connect(&database_url).await.expect("the test's database answers");
        let master_keys = generate_master_key("test").expose_secret().to_owned();
        let keyring = Keyring::parse(&master_keys).expect("a generated key ring");
        let company = companies::create(&db, &company::demo()).await.expect("the demo company is made");
        let calcom = stand_in(&options).await;
        let account = |id: Option<Uuid>| id.expect("the demo company has both accounts");
        let retell_secret = SecretString::from(fixtures::RETELL_KEY);
        let calcom_secret = SecretString::from(fixtures::CALCOM_SECRET);
        let retell_endpoint = endpoints::add(&db, &keyring, account(company.retell_account_id), "test", &retell_secret).await.expect("an endpoint");
        let calcom_endpoint = endpoints::add(&db, &keyring, account(company.calcom_account_id), "test", &calcom_secret).await.expect("an endpoint");
        let calcom_credential = credential(&db, &keyring, account(company.calcom_account_id), &calcom, &options).await;
        let folder = crate::processes::binaries().join("world").join(&name);
        let retell = RetellStandIn::start(retell_stand_in::Config::default()).await.expect("the Retell stand-in starts");
        let retell_credential = retell_credential(&db, &keyring, account(company.retell_account_id), &retell.base_url).await;
        let mut world = Self {
            name,
            db,
            database_url,
            amqp_url,
            master_keys,
            keyring,
            company,
            retell_endpoint,
            calcom_endpoint,
            calcom_credential,
            retell_credential,
            calcom,
            retell,
            ingresses: Vec::new(),
            ingress_urls: Vec::new(),
            workers: Vec::new(),
            worker_urls: Vec::new(),
            folder,
            options: options.clone(),
            expected_dead_letters: false,
            finished: false,
            servers: private,
            _turn: turn,
        };
        for _ in 0..options.ingresses {
            world.start_ingress().await;
        }
        world.aim_stand_ins();
        if !options.roles.is_empty() {
            world.start_workers(&options.roles, &options.worker_environment).await;
        }
        world
    }

    fn aim_stand_ins(&self) {
        let Some(url) = self.ingress_urls.first() else { return };
        self.retell.aim(Target { url: format!("{url}/v1/retell/{}", self.retell_endpoint), api_key: fixtures::RETELL_KEY.to_owned() });
        self.calcom.add_webhook(webhook(&format!("{url}/v1/calcom/{}", self.calcom_endpoint)));
    }

    /// The environment that every process of this world needs.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("DATABASE_URL", self.database_url.clone()),
            ("AMQP_URL", self.amqp_url.clone()),
            ("MASTER_KEYS", self.master_keys.clone()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
            ("DELAY_TIERS_DIVISOR", servers::TIERS_DIVISOR.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Starts another ingress process; its URL.
    pub async fn start_ingress(&mut self) -> String {
        let index = self.ingresses.len();
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = self.environment();
        environment.insert("LISTEN".to_owned(), address.clone());
        environment.insert("SPOOL_DIR".to_owned(), self.folder.join(format!("spool-{index}")).display().to_string());
        let mut process = Process::start(&format!("ingress-{index}"), "ingress", &[], &environment, &self.folder);
        let url = format!("http://{address}");
        process.ready(&format!("{url}/readyz")).await;
        self.ingresses.push(process);
        self.ingress_urls.push(url.clone());
        url
    }

    /// Starts a workers process with these roles and waits until it is ready; its index in `workers`.
    pub async fn start_workers(&mut self, roles: &[&str], further: &BTreeMap<String, String>) -> usize {
        let index = self.launch_workers(roles, further);
        let ready = format!("{}/readyz", self.worker_urls.last().expect("the one just launched"));
        self.workers[index].ready(&ready).await;
        index
    }

    /// As [`World::start_workers`] without the wait: for a process that dies on the first work it finds, maybe before anybody has seen it ready.
    pub fn launch_workers(&mut self, roles: &[&str], further: &BTreeMap<String, String>) -> usize {
        let index = self.workers.len();
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = self.environment();
        environment.insert("METRICS_LISTEN".to_owned(), address.clone());
        environment.extend(further.clone());
        let process = Process::start(&format!("workers-{index}"), "workers", roles, &environment, &self.folder);
        self.workers.push(process);
        self.worker_urls.push(format!("http://{address}"));
        index
    }

    /// The Retell URL of the first ingress.
    #[must_use]
    pub fn retell_url(&self) -> String {
        format!("{}/v1/retell/{}", self.ingress_urls[0], self.retell_endpoint)
    }

    /// The Cal.com URL of the first ingress.
    #[must_use]
    pub fn calcom_url(&self) -> String {
        format!("{}/v1/calcom/{}", self.ingress_urls[0], self.calcom_endpoint)
    }

    /// Sends bytes as Retell would, signed now.
    pub async fn send_retell(&self, body: Vec<u8>) -> Answer {
        let signature = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis());
        http::post(&self.retell_url(), "x-retell-signature", &signature, body).await
    }

    /// Sends bytes as Cal.com would.
    pub async fn send_calcom(&self, body: Vec<u8>) -> Answer {
        let signature = calcom_stand_in::sign::sign_calcom(fixtures::CALCOM_SECRET, &body);
        http::post(&self.calcom_url(), "x-cal-signature-256", &signature, body).await
    }

    /// Adds a company within the same accounts.
    pub async fn add_company(&self, new: &NewCompany) -> CreatedCompany {
        companies::create(&self.db, new).await.expect("the company is made")
    }

    /// A count, by a statement of the test's own.
    pub async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.db).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Rows as JSON objects, by a statement that selects `to_jsonb(…)`.
    pub async fn rows(&self, statement: &'static str) -> Vec<Value> {
        sqlx::query_scalar(statement).fetch_all(&self.db).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The thirteen audit columns and what belongs to them, of every appointment in the order of their starts.
    pub async fn appointments(&self) -> Vec<Value> {
        self.rows("SELECT to_jsonb(a) FROM appointments a ORDER BY starts_at, number").await
    }

    /// Modifications in the order in which they happened.
    pub async fn modifications(&self) -> Vec<Value> {
        self.rows("SELECT to_jsonb(m) FROM appointment_modifications m ORDER BY occurred_at, created_at, id").await
    }

    /// Waits until nothing is under way: no queued message, no outbox row, no open intent.
    pub async fn settle_all(&self) {
        let mut quiet = 0;
        loop {
            let busy = self
                .count("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM intents WHERE state IN ('waiting', 'recorded', 'sent', 'unknown'))")
                .await;
            let queued = self.queued().await;
            quiet = if busy == 0 && queued == 0 { quiet + 1 } else { 0 };
            if quiet >= 3 {
                return;
            }
            // the bound is eventually()'s: two looks with nothing in between are not enough, since a delivery in work is in no queue's ready count
            eventually("the world settles", || async {
                let busy = self
                    .count("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM intents WHERE state IN ('waiting', 'recorded', 'sent', 'unknown'))")
                    .await;
                (busy == 0 && self.queued().await == 0).then_some(())
            })
            .await;
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }

    /// Messages ready in all queues, by passive declaration (the management API lags).
    pub async fn queued(&self) -> u64 {
        let gauge = Gauge::open(&self.amqp_url).await.expect("the broker answers");
        let mut ready = 0;
        for queue in topology::queues().into_iter().filter(|queue| queue.name.as_str() != topology::PROBE) {
            ready += u64::from(gauge.depth(queue.name.as_str()).await.expect("the broker tells its depths"));
        }
        ready
    }

    /// This test parks messages on purpose: leftovers are no failure.
    pub fn expect_dead_letters(&mut self) {
        self.expected_dead_letters = true;
    }

    /// Ends the world: no unexpected dead letter, no panic and no personal data in a log.
    ///
    /// # Panics
    /// When something is left over.
    pub async fn finish(mut self) {
        if !self.expected_dead_letters {
            let letters = self.rows("SELECT jsonb_build_object('kind', kind, 'reason', reason, 'detail', detail) FROM dead_letters WHERE state = 'open'").await;
            assert!(letters.is_empty(), "unexpected dead letters: {letters:?}");
        }
        for process in self.ingresses.iter().chain(&self.workers) {
            let logged = process.logged();
            assert!(!logged.contains("panicked at"), "{} panicked:\n{logged}", process.name);
            for canary in canaries() {
                assert!(!logged.contains(canary), "{} logged {canary:?}, which is personal data", process.name);
            }
        }
        self.ingresses.clear();
        self.workers.clear();
        self.db.close().await;
        servers::delete_vhost(&self.name).await;
        servers::drop_database(&self.name).await;
        let _ = std::fs::remove_dir_all(&self.folder);
        self.finished = true;
    }
}

/// Processes, database and vhost go whatever happened; the folder with the logs stays for whoever reads the failure.
impl Drop for World {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.ingresses.clear();
        self.workers.clear();
        remove_stores(self.name.clone());
        if !std::thread::panicking() {
            panic!("the world {} was dropped without finish(): nobody looked for dead letters, panics and personal data in the logs", self.name);
        }
    }
}

/// Removes vhost and database as well as it can. A drop cannot wait for a future, and the test's own runtime stands still meanwhile: hence a thread with
/// another runtime and another HTTP client. What it leaves (a server that the test killed) goes with the private servers.
fn remove_stores(name: String) {
    let remover = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| {
            runtime.block_on(async {
                let removal = async {
                    servers::drop_database(&name).await;
                    servers::delete_vhost_with(&reqwest::Client::new(), &name).await;
                };
                let _ = tokio::time::timeout(REMOVAL_MAX, removal).await;
            });
        })
    });
    if !matches!(remover.join(), Ok(Ok(()))) {
        eprintln!("the database or the vhost of a dropped world could not be removed");
    }
}

/// Names, numbers, addresses and spoken words of the fixtures: none of them may stand in a log, a metric, a header or an error. See `canaries`.
#[must_use]
pub fn canaries() -> &'static [String] {
    crate::canaries::all()
}

/// The machine's time: tests sign with it, since ingress judges freshness by it.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Clock::system().now()
}

/// A weekday ahead at a local time in Berlin, at least `days` days from now: as the instant, and as the function arguments `date` and `time`.
///
/// # Panics
/// When the clocks skip that time.
#[must_use]
pub fn ahead(days: i64, weekday: Weekday, hour: u32, minute: u32) -> (DateTime<Utc>, String, String) {
    let mut date = (now() + Duration::days(days)).date_naive();
    while date.weekday() != weekday {
        date += Duration::days(1);
    }
    let local = date.and_time(NaiveTime::from_hms_opt(hour, minute, 0).expect("a time of day"));
    let at = chrono_tz::Europe::Berlin.from_local_datetime(&local).single().expect("a time that exists once").with_timezone(&Utc);
    (at, date.format("%Y-%m-%d").to_string(), format!("{hour:02}:{minute:02}"))
}

async fn stand_in(options: &WorldOptions) -> CalcomStandIn {
    let allowed = u32::try_from(options.calcom_rate_per_minute).expect("a positive rate").saturating_add(6);
    let limits = options.calcom_limits.unwrap_or(Limits { per_window: allowed, ..Limits::default() });
    let calcom = CalcomStandIn::start(calcom_stand_in::Config { limits, ..Default::default() }).await.expect("the Cal.com stand-in starts");
    for (id, name, email, username) in
        [(4711, "Rieke Sommerfeld", "rieke@praxis-muster.example", "praxis-muster"), (4712, "Anna Beispiel", "anna@praxis-muster.example", "anna")]
    {
        calcom.add_host(Host { id, name: name.into(), email: email.into(), username: username.into(), time_zone: chrono_tz::Europe::Berlin });
    }
    for (id, slug, title, length, hosts, seats) in [
        (1320, "herrenhaarschnitt", "Herrenhaarschnitt", 30, vec![4711, 4712], None),
        (1321, "beratung", "Beratung", 30, vec![4711], None),
        (1444, "yoga-kurs", "Yoga-Kurs", 60, vec![4712], Some(8)),
    ] {
        calcom.add_event_type(event_type(id, slug, title, length, hosts, seats, options));
    }
    calcom.add_api_key(ApiKey { key: CALCOM_API_KEY.into(), name: "test".into(), user_id: None, rate_per_window: None });
    calcom
}

fn event_type(id: i64, slug: &str, title: &str, length: i64, hosts: Vec<i64>, seats: Option<i64>, options: &WorldOptions) -> EventType {
    let several = hosts.len() > 1;
    let value = serde_json::json!({
        "id": id, "slug": slug, "title": title, "length": length, "hosts": hosts, "seats": seats,
        "requires_confirmation": options.confirm_event_types.contains(&id),
        "scheduling_type": if several { Some("ROUND_ROBIN") } else { None },
    });
    serde_json::from_value(value).expect("the stand-in reads its own shape")
}

fn webhook(url: &str) -> Webhook {
    serde_json::from_value(serde_json::json!({ "subscriber_url": url, "secret": fixtures::CALCOM_SECRET })).expect("the stand-in reads its own shape")
}

async fn credential(db: &PgPool, keyring: &Keyring, account_id: Uuid, calcom: &CalcomStandIn, options: &WorldOptions) -> Uuid {
    let api_key = SecretString::from(CALCOM_API_KEY);
    let base_url = calcom.api_url();
    let new =
        credentials::NewCredential { account_id, label: "test", base_url: &base_url, api_key: &api_key, rate_per_minute: Some(options.calcom_rate_per_minute) };
    let id = credentials::add(db, keyring, &new).await.expect("a credential");
    if options.calcom_rate_per_minute > 120 {
        // a generous account: its burst grows with its rate; and its outages are a hundredth as long, as the tiers are
        sqlx::query("UPDATE credentials SET burst = 60, tokens = 60, in_flight_max = 16, probe_pause_ms = 50, probe_pause_ms_max = 600 WHERE id = $1")
            .bind(id)
            .execute(db)
            .await
            .expect("the budget is set");
    }
    id
}

async fn retell_credential(db: &PgPool, keyring: &Keyring, account_id: Uuid, base_url: &str) -> Uuid {
    let api_key = SecretString::from(fixtures::RETELL_KEY);
    let new = credentials::NewCredential { account_id, label: "test", base_url, api_key: &api_key, rate_per_minute: Some(6_000) };
    let id = credentials::add(db, keyring, &new).await.expect("a credential");
    // a generous account: its burst grows with its rate
    sqlx::query("UPDATE credentials SET burst = 60, tokens = 60 WHERE id = $1").bind(id).execute(db).await.expect("the budget is set");
    id
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use reqwest::Method;

    use super::*;

    #[tokio::test]
    async fn a_world_dropped_without_finish_fails_its_test_and_leaves_nothing_running() {
        let world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
        let (name, ingress) = (world.name.clone(), world.ingress_urls[0].clone());
        let vhost = format!("/api/vhosts/{name}");
        assert_eq!(servers::manage(Method::GET, &vhost, None).await.status(), 200);
        let folder = world.folder.clone();

        let said = catch_unwind(AssertUnwindSafe(|| drop(world))).expect_err("the drop fails the test");
        assert!(said.downcast_ref::<String>().is_some_and(|said| said.contains("without finish()")));

        assert!(http::try_post(&ingress, "x", "x", Vec::new()).await.is_err(), "its ingress is gone");
        assert_eq!(servers::manage(Method::GET, &vhost, None).await.status(), 404, "its vhost is gone");
        assert!(PgPool::connect(&servers::database_url(&name)).await.is_err(), "its database is gone");
        assert!(folder.join("ingress-0.log").exists(), "its logs stay for the reader");
        std::fs::remove_dir_all(folder).expect("the logs are removed");
    }
}
