//! A world in order with a record of it, as a campaign would hand it over: two companies, callers and visitors who book, move and cancel.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc, Weekday};
use dev::calcom_stand_in::{ApiKey, CalcomStandIn, Config, EchoOrder, FaultKind, FaultOp, FaultRule};
use dev::chaos::auditor::{Invariant, WITNESS, calls_now};
use dev::chaos::record::{
    Acknowledged, Company, EventTypeRecord, Excuse, Limits, ProcessRecord, Quiet, Record, Refusal, Source, Spool, Way, Why, Wish, WishKind,
};
use dev::retell_stand_in::{self, Call, RetellStandIn};
use serde_json::{Value, json};
use shared::envelope::MessageId;
use sqlx::AssertSqlSafe;
use tests::processes::Process;
use tests::world::{CALCOM_API_KEY, ahead, now};
use tests::{World, company};
use uuid::Uuid;

use super::Trial;
use super::damages::{NAMES, UNFAIR};

const OUR_NUMBER: &str = "+493023125042";
/// Of one host each; the second company's.
const CONSULTATION: i64 = 1321;
const FOREIGN_CONSULTATION: i64 = 11_321;
const ROUND_ROBIN: i64 = 1320;

pub struct Scene {
    world: World,
    pub record: Record,
}

impl Scene {
    pub async fn set() -> Self {
        let mut world = World::new().await;
        sqlx::raw_sql(WITNESS).execute(&world.db).await.unwrap();
        let other = world.add_company(&company::other(1)).await.company_id;
        let hosts = json!({ "id": 4713, "name": "Tim Fremd", "email": "tim@fremd.example" });
        world.calcom.add_host(serde_json::from_value(hosts).unwrap());
        let foreign = json!({ "id": FOREIGN_CONSULTATION, "slug": "fremd", "title": "Beratung", "length": 30, "hosts": [4713] });
        world.calcom.add_event_type(serde_json::from_value(foreign).unwrap());
        let began_at = now();
        let wishes = story(&world).await;
        world.settle_all().await;
        let credential: Uuid = sqlx::query_scalar(
            "INSERT INTO credentials SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'disabled_at', now()))).* FROM credentials c RETURNING id",
        )
        .fetch_one(&world.db)
        .await
        .unwrap();
        let companies = vec![
            of(&world, world.company.company_id, world.calcom_credential, "test", &[(CONSULTATION, 1), (ROUND_ROBIN, 2)], &["Amselwald", "+4915110"]),
            of(&world, other, credential, "other", &[(FOREIGN_CONSULTATION, 1)], &["Buchfinkau", "+4915111"]),
        ];
        let record = record(&mut world, companies, wishes, began_at).await;
        Self { world, record }
    }

    /// What the story changed.
    pub fn effects(&self) -> u64 {
        // #1: booked, moved · #2: booked, cancelled · #3: booked, moved, cancelled · the other company's: booked
        8
    }

    pub fn stop_processes(&mut self) {
        self.world.workers.clear();
        self.world.ingresses.clear();
    }

    /// Does damage, all of it or none.
    pub async fn execute(&self, trial: &mut Trial, statements: &[&'static str]) {
        let mut tx = self.world.db.begin().await.unwrap();
        // no trigger and no foreign key stands up for its table
        sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *tx).await.unwrap();
        for statement in statements {
            let statement = NAMES.iter().fold((*statement).to_owned(), |statement, (name, meaning)| statement.replace(name, meaning));
            if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *tx).await {
                return trial.wrong.push(format!("{statement}: {error}"));
            }
        }
        tx.commit().await.unwrap();
    }

    /// Bookings that we do not know of, with and without our token.
    pub async fn damage_calcom(&self, trial: &mut Trial) {
        let calcom = &self.record.calcom;
        calcom.set_echo_order(EchoOrder::Lose);
        let start = ahead(20, Weekday::Tue, 9, 0).0;
        visit(calcom, CONSULTATION, start, "Erika").await;
        trial.names(&self.record, Invariant::NoOrphan, "orphan: the booking").await;
        // a round robin has room for a double
        let wanted = json!({ "start": start + chrono::Duration::hours(1), "eventTypeId": ROUND_ROBIN, "metadata": { "frontdesk_intent": "a-wish" },
            "attendee": { "name": "Zoë", "email": "zoe@example.org", "timeZone": "Europe/Berlin" } });
        for email in ["zoe@example.org", "zoe2@example.org"] {
            let mut wanted = wanted.clone();
            wanted["attendee"]["email"] = email.into();
            assert_eq!(self.ask(calcom, "/bookings", Some(wanted)).await, 201);
        }
        trial.names(&self.record, Invariant::NoDoubleEffect, "the wish a-wish has 2 live bookings").await;
        trial.also(Invariant::NoOrphan, "which no wish of ours has");
    }

    /// What the campaign saw of processes, spools, logs and requests.
    pub async fn damage_the_record(&mut self, trial: &mut Trial) {
        self.record.spools[0].bytes_max = self.record.spools[0].quota_bytes + 1;
        trial.names(&self.record, Invariant::Bounded, "its quota is").await;
        self.record.processes[0].resident_bytes_max = self.record.limits.resident_bytes_max + 1;
        trial.names(&self.record, Invariant::Bounded, "MiB of memory").await;
        self.record.limits.calcom_per_window = 1;
        trial.names(&self.record, Invariant::Bounded, "1 are allowed").await;
        self.record.queues[0].1 = 2;
        trial.names(&self.record, Invariant::Liveness, "2 messages, waiting or in work, in the queue").await;
        let left = vec!["3 messages in frontdesk.booking".to_owned()];
        self.record.quiet = Quiet { reached: false, after: Duration::from_secs(9), left, messages_left: true };
        trial.names(&self.record, Invariant::Liveness, "not at rest after 9 s: 3 messages").await;
        let uid = self.record.calcom.ledger()[0].uid.clone();
        let mut log = File::options().append(true).open(&self.record.processes[0].log).unwrap();
        writeln!(log, "{{\"caller\":\"+491511047110815\",\"path\":\"/v2/bookings/{uid}\"}}").unwrap();
        trial.names(&self.record, Invariant::Privacy, "the log of ingress-0 holds a canary in").await;
        trial.also(Invariant::Privacy, "a booking's uid in");
        let wrongly = Refusal { status: 401, ..self.record.refused[0].clone() };
        self.record.refused.push(wrongly);
        trial.names(&self.record, Invariant::NoLoss, "1 valid events were answered 401, and no fault explains it").await;
        // the disk of the other ingress was full; the kill was a minute later
        self.record.excuses[1].backend = Some(1);
        trial.names(&self.record, Invariant::NoLoss, "2 valid events were answered 503").await;
        self.record.excuses[0].from += chrono::Duration::minutes(1);
        trial.names(&self.record, Invariant::NoLoss, "1 valid events were not answered, and no fault explains it").await;
        for number in 1_i64..5 {
            // taken, for a time that nobody else wanted, and nothing came of it
            let mut wish = self.record.wishes[0].clone();
            (wish.appointment, wish.starts_at) = (100 + number.unsigned_abs(), wish.starts_at + chrono::Duration::days(number));
            wish.way = Way::Phone { retell_call_id: format!("call-{number}"), message_id: format!("unfulfilled-{number}") };
            self.record.wishes.push(wish);
        }
        trial.names(&self.record, Invariant::NoLoss, "wishes failed, ").await;
        for status in self.record.calls_before_sweeps.iter_mut().flat_map(|calls| calls.values_mut()) {
            "registered".clone_into(status);
        }
        trial.names(&self.record, Invariant::NoLoss, "before the last sweeps, although an event of stage 2").await;
        self.record.acknowledged.push(Acknowledged {
            message_id: "never-handled".to_owned(),
            what: "call_ended".to_owned(),
            ..self.record.acknowledged[0].clone()
        });
        trial.names(&self.record, Invariant::NoLoss, "is lost: never-handled").await;
    }

    /// What callers heard: the last one was refused.
    pub async fn damage_the_answers(&mut self, trial: &mut Trial) {
        self.hears(json!({ "success": false, "pending": true, "message": "Ich trage das gerade ein." }));
        trial.names(&self.record, Invariant::NoLoss, "and nobody calls back the caller").await;
        self.hears(json!({ "success": false, "reason": "callback_queued" }));
        trial.names(&self.record, Invariant::NoLoss, "and nobody calls back, as was promised").await;
        self.hears(json!({ "success": true, "message": "Gebucht auf Buchfinkau." }));
        trial.names(&self.record, Invariant::NoLoss, "and the caller was told that it is done").await;
        trial.also(Invariant::NoOrphan, "was told to be booked");
        trial.also(Invariant::Tenancy, "was told something of another company's customers");
    }

    fn hears(&mut self, told: Value) {
        self.record.wishes.last_mut().unwrap().told = Some(told);
    }

    /// What lies in a spool at rest.
    pub async fn damage_the_spool(&self, trial: &mut Trial) {
        let folder = &self.record.spools[0].folder;
        std::fs::write(folder.join("0000000000000007.done"), "for Jürgen Amselwald").unwrap();
        std::fs::write(folder.join("0000000000000008.damaged"), "").unwrap();
        (0xa..0xd).for_each(|id: u32| std::fs::write(folder.join(format!("{id:016x}.log")), "").unwrap());
        trial.names(&self.record, Invariant::Privacy, "spool-0/0000000000000007.done holds a canary").await;
        trial.also(Invariant::Privacy, "is damaged");
        trial.also(Invariant::Privacy, "segments with callers' words are left");
    }

    /// The second company is told to wait and asks on.
    pub async fn throttle_one_company(&self, trial: &mut Trial) {
        let calcom = &self.record.calcom;
        calcom.add_api_key(ApiKey { key: "other".to_owned(), name: "other".to_owned(), user_id: None, rate_per_window: None });
        calcom.add_faults(vec![FaultRule { op: FaultOp::List, kind: FaultKind::Throttle429 { reset_seconds: 60 }, times: Some(5), probability: None }]);
        for _ in 0..5 {
            assert_eq!(self.ask_as("other", calcom, "/bookings", None).await, 429);
        }
        let announced_at = calcom.requests().iter().rev().nth(4).unwrap().at;
        sqlx::query("INSERT INTO auditor_blocks (at, credential_id, until, disobeyed) VALUES ($1, $2, now(), false)")
            .bind(announced_at)
            .bind(self.record.companies[1].credential_id)
            .execute(&self.world.db)
            .await
            .unwrap();
        let heard = announced_at + chrono::Duration::seconds(3);
        // a second later the 429 is known everywhere
        calcom.set_clock_offset_ms((heard - now()).num_milliseconds());
        for _ in 0..6 {
            assert_eq!(self.ask_as("other", calcom, "/bookings", None).await, 200);
        }
        trial.names(&self.record, Invariant::Bounded, "had to rest and made 6 requests meanwhile").await;
        // four more, of which nobody here knows
        calcom.add_faults(vec![FaultRule { op: FaultOp::List, kind: FaultKind::Throttle429 { reset_seconds: 1 }, times: Some(4), probability: None }]);
        for minutes in 2..6 {
            calcom.set_clock_offset_ms(minutes * 60_000);
            assert_eq!(self.ask_as("other", calcom, "/bookings", None).await, 429);
        }
        calcom.set_clock_offset_ms(0);
        trial.names(&self.record, Invariant::Bounded, "was told at").await;
        self.execute(trial, UNFAIR).await;
        trial.names(&self.record, Invariant::Fairness, "callers of the others waited and nothing was sent").await;
    }

    async fn ask(&self, calcom: &CalcomStandIn, path: &str, body: Option<Value>) -> u16 {
        self.ask_as(CALCOM_API_KEY, calcom, path, body).await
    }

    async fn ask_as(&self, key: &str, calcom: &CalcomStandIn, path: &str, body: Option<Value>) -> u16 {
        let (http, url) = (tests::http::client(), format!("{}{path}", calcom.api_url()));
        let request = match body {
            Some(body) => http.post(url).json(&body),
            None => http.get(url),
        };
        request.bearer_auth(key).header("cal-api-version", "2024-08-13").send().await.unwrap().status().as_u16()
    }

    pub async fn leave(mut self) {
        // its dead letter and its leaks are the test's own
        self.world.expect_dead_letters();
        self.record.database.close().await;
        self.world.finish().await;
    }
}

/// Two callers and two visitors, and a third caller who wants a time that is taken. What is wished by phone.
async fn story(world: &World) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let hour = |hour: i64| nine + chrono::Duration::hours(hour - 9);
    for (appointment, caller, booked_at, then) in
        [(1, "+491511000001", 9, Then::Move(10)), (2, "+491511000002", 12, Then::Cancel), (3, "+491511000003", 10, Then::Nothing)]
    {
        let mut call = world.retell.inbound(caller, OUR_NUMBER);
        call.ring().await;
        call.start().await;
        let wanted = json!({ "date": date, "time": format!("{booked_at:02}:00"), "service_name": "Beratung", "customer_name": "Jürgen Amselwald" });
        let booked = (WishKind::Book, appointment, hour(booked_at));
        wishes.push(wish(world, &mut call, booked, ("book_appointment", wanted)).await);
        match then {
            Then::Move(to) => {
                let wanted = json!({ "new_date": date, "new_time": format!("{to}:00"), "bestaetigung": true });
                wishes.push(wish(world, &mut call, (WishKind::Move, appointment, hour(to)), ("reschedule_appointment", wanted)).await);
            }
            Then::Cancel => wishes.push(wish(world, &mut call, (WishKind::Cancel, appointment, hour(booked_at)), ("cancel_appointment", json!({}))).await),
            Then::Nothing => {}
        }
        call.end().await;
    }
    let uid = visit(&world.calcom, CONSULTATION, hour(14), "Zoë Amselwald").await;
    let moved = world.calcom.visitor_reschedule(serde_json::from_value(json!({ "uid": uid, "start": hour(15) })).unwrap()).await.unwrap();
    world.calcom.visitor_cancel(serde_json::from_value(json!({ "uid": moved.uid })).unwrap()).await.unwrap();
    visit(&world.calcom, FOREIGN_CONSULTATION, hour(9), "Jürgen Buchfinkau").await;
    wishes
}

enum Then {
    Move(i64),
    Cancel,
    Nothing,
}

/// On a busy machine a caller may hear the sentence of the deadline: what counts is what becomes of the wish.
async fn wish(world: &World, call: &mut Call, (kind, appointment, starts_at): (WishKind, u64, DateTime<Utc>), (function, wanted): (&str, Value)) -> Wish {
    let request = call.prepare_function(function, wanted);
    let answer = call.send_function(&request).await;
    world.settle_all().await;
    let message_id = MessageId::of_request(world.retell_endpoint, &request.body).as_str().to_owned();
    let way = Way::Phone { retell_call_id: call.id(), message_id };
    Wish {
        company: 0,
        kind,
        way,
        appointment,
        follows: None,
        event_type_id: CONSULTATION,
        starts_at,
        acknowledged: true,
        told: Some(answer.body),
        uttered_at: now(),
    }
}

async fn visit(calcom: &CalcomStandIn, event_type_id: i64, start: DateTime<chrono::Utc>, name: &str) -> String {
    let email = format!("{}@example.org", name.split(' ').next_back().unwrap().to_lowercase());
    let wish = json!({ "event_type_id": event_type_id, "start": start, "name": name, "email": email });
    calcom.visitor_book(serde_json::from_value(wish).unwrap()).await.unwrap().uid
}

fn of(world: &World, id: Uuid, credential_id: Uuid, key: &str, event_types: &[(i64, i64)], canaries: &[&str]) -> Company {
    let event_type = |(id, hosts): &(i64, i64)| EventTypeRecord {
        id: *id,
        service_name: String::new(),
        service_id: Uuid::nil(),
        hosts: (0..*hosts).map(|host| id * 10 + host).collect(),
        minutes: 30,
    };
    Company {
        id,
        name: format!("the company of {}", canaries[0]),
        retell_account_id: world.company.retell_account_id.unwrap(),
        calcom_account_id: world.company.calcom_account_id.unwrap(),
        credential_id,
        api_key_name: key.to_owned(),
        retell_endpoint: world.retell_endpoint,
        calcom_endpoint: world.calcom_endpoint,
        event_types: event_types.iter().map(event_type).collect(),
        canaries: canaries.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn process(process: &Process, program: &'static str, url: &str) -> ProcessRecord {
    ProcessRecord {
        name: process.name.clone(),
        program,
        roles: Vec::new(),
        log: process.log.clone(),
        metrics_url: format!("{url}/metrics"),
        starts: 1,
        resident_bytes_max: 1,
        odd_ends: Vec::new(),
    }
}

/// The stand-ins move into the record; the world gets others that nobody asks.
async fn record(world: &mut World, companies: Vec<Company>, wishes: Vec<Wish>, began_at: DateTime<chrono::Utc>) -> Record {
    let ids: Vec<String> = sqlx::query_scalar("SELECT message_id FROM events ORDER BY 1").fetch_all(&world.db).await.unwrap();
    let acknowledged = |message_id| Acknowledged {
        message_id,
        source: Source::Calcom,
        endpoint: world.calcom_endpoint,
        company: Some(0),
        what: "an event".to_owned(),
        live: false,
        at: began_at,
        status: 200,
    };
    let acknowledged: Vec<Acknowledged> = ids.into_iter().map(acknowledged).collect();
    let ingresses = world.ingresses.iter().zip(&world.ingress_urls).map(|(ingress, url)| process(ingress, "ingress", url));
    let workers = world.workers.iter().zip(&world.worker_urls).map(|(workers, url)| process(workers, "workers", url));
    let processes = ingresses.chain(workers).collect();
    Record {
        seed: 1,
        companies,
        sent: acknowledged.len() as u64,
        refused: [(1, 0), (0, 503), (0, 503)].map(|(backend, status)| Refusal { backend: Some(backend), status, from: began_at, until: began_at }).into(),
        excuses: [(1, Why::Down), (0, Why::FullDisk)].map(|(backend, why)| Excuse { why, backend: Some(backend), from: began_at, until: began_at }).into(),
        calls_before_sweeps: Some(calls_now(&world.db).await.unwrap()),
        acknowledged,
        wishes,
        calcom: std::mem::replace(&mut world.calcom, CalcomStandIn::start(Config::default()).await.unwrap()),
        retell: std::mem::replace(&mut world.retell, RetellStandIn::start(retell_stand_in::Config::default()).await.unwrap()),
        faults: Default::default(),
        skipped: Default::default(),
        kills: 0,
        processes,
        spools: vec![Spool { folder: world.folder.join("spool-0"), quota_bytes: 1 << 20, bytes_max: 0 }],
        database: world.db.clone(),
        database_url: world.database_url.clone(),
        amqp_url: world.amqp_url.clone(),
        queues: vec![("frontdesk.booking".to_owned(), 0)],
        began_at,
        load_ended_at: now(),
        quiet: Quiet { reached: true, after: Duration::from_secs(1), left: Vec::new(), messages_left: false },
        broken: None,
        limits: Limits { calcom_per_window: 6006, calcom_window: Duration::from_secs(60), attempts_max: 8, resident_bytes_max: 1 << 30 },
    }
}
