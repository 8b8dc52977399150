//! Where the crash matrix is played: one world, two worker processes, a folder of faults to come; lives of one appointment each, and what must be true after each
//! wish and in the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc, Weekday};
use dev::calcom_stand_in::{EchoOrder, Op};
use dev::retell_stand_in::Call;
use dev::retell_stand_in::sign::sign_retell;
use serde_json::{Value, json};
use tests::http::Answer;
use tests::world::{ahead, now};
use tests::{World, WorldOptions, eventually, fixtures, http};
use tokio::task::JoinHandle;
use workers::runtime::checkpoint::{self, Checkpoint, Fault};

/// Every role but calcom-sync, which is a process of its own.
const ROLES: [&str; 5] = ["booking", "reschedule", "cancellation", "desk", "calls"];

/// Whose step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The message of the caller's function.
    Wish,
    /// The webhook about what we did ourselves.
    Echo,
    /// The message that tells calcom-sync of the intent.
    Doorbell,
    /// The step of calcom-sync.
    Intent,
}

/// One wish of the life of an appointment.
struct Wish {
    function: &'static str,
    arguments: Value,
    /// The kind of its echo.
    echo: &'static str,
    /// The field of the answer that says it is done.
    done: &'static str,
    op: Op,
    intent: &'static str,
    /// Where the appointment is then; `None`: nowhere.
    start: Option<DateTime<Utc>>,
}

/// A caller who waits for an answer.
struct Asking {
    what: String,
    done: &'static str,
    answer: JoinHandle<Answer>,
}

pub struct Arena {
    checkpoint: Checkpoint,
    world: World,
    faults: PathBuf,
    roles: usize,
    sync: usize,
    asking: Vec<Asking>,
    lives: u32,
}

impl Arena {
    pub async fn new(checkpoint: Checkpoint) -> Self {
        let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
        let faults = world.folder.join("faults");
        std::fs::create_dir_all(&faults).unwrap();
        let roles = start(&mut world, &faults, &ROLES).await;
        let sync = start(&mut world, &faults, &["calcom-sync"]).await;
        Self { checkpoint, world, faults, roles, sync, asking: Vec::new(), lives: 0 }
    }

    /// Books, moves and cancels; each wish meets the fault once.
    pub async fn live(&mut self, fault: Fault, whose: Whose, echoes: EchoOrder) {
        self.world.calcom.set_echo_order(echoes);
        let mut call = self.world.retell.inbound(&format!("+4915112345{:03}", self.lives), "+493023125042");
        for (done, wish) in wishes(self.lives).into_iter().enumerate() {
            let what = format!("{} {:?} of {} at {}, echoes {echoes:?}", fault.name(), whose, wish.function, self.checkpoint.name());
            let armed = self.arm(fault, whose, &wish);
            self.utter(&mut call, &wish, &what);
            self.recover(fault, whose, &armed, &what).await;
            self.assert_done(&wish, done, &what).await;
        }
        self.lives += 1;
    }

    /// Lays the fault ready. A retry's checkpoint is only met by what failed before.
    fn arm(&self, fault: Fault, whose: Whose, wish: &Wish) -> Vec<PathBuf> {
        let subject = match whose {
            Whose::Wish => format!("retell.function.{}", wish.function),
            Whose::Echo => wish.echo.to_owned(),
            Whose::Doorbell => "intent.due".to_owned(),
            Whose::Intent => wish.intent.to_owned(),
        };
        let first = (self.checkpoint == Checkpoint::AfterDelayPublish).then(|| checkpoint::file_name(Fault::Error, Checkpoint::BeforeCommit, &subject));
        let names = first.into_iter().chain([checkpoint::file_name(fault, self.checkpoint, &subject)]);
        names.map(|name| self.faults.join(name)).inspect(|path| std::fs::write(path, "").unwrap()).collect()
    }

    /// Sends the function's request and goes on: the caller may have to wait until the deadline.
    fn utter(&mut self, call: &mut Call, wish: &Wish, what: &str) {
        let body = call.prepare_function(wish.function, wish.arguments.clone()).body;
        let signature = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis());
        let url = self.world.retell_url();
        let answer = tokio::spawn(async move { http::post(&url, "x-retell-signature", &signature, body).await });
        self.asking.push(Asking { what: what.to_owned(), done: wish.done, answer });
    }

    /// Waits until the fault has happened, and starts what died of it anew.
    async fn recover(&mut self, fault: Fault, whose: Whose, armed: &[PathBuf], what: &str) {
        eventually(&format!("the fault happens: {what}"), || async { armed.iter().all(|path| !path.exists()).then_some(()) }).await;
        let of_calcom_sync = matches!(whose, Whose::Doorbell | Whose::Intent);
        if fault == Fault::Crash {
            let dead = if of_calcom_sync { self.sync } else { self.roles };
            assert_eq!(self.world.workers[dead].wait().await, None, "it ended by a signal: {what}");
        }
        if of_calcom_sync && fault != Fault::Duplicate {
            // a lease that nobody works on ends by the database's clock
            sqlx::query("UPDATE clock_shift SET shift = shift + interval '60 seconds'").execute(&self.world.db).await.unwrap();
        }
        match (fault, of_calcom_sync) {
            (Fault::Crash, true) => self.sync = start(&mut self.world, &self.faults, &["calcom-sync"]).await,
            (Fault::Crash, false) => self.roles = start(&mut self.world, &self.faults, &ROLES).await,
            _ => {}
        }
    }

    /// After each wish of each cell the same: what was wanted is so in Cal.com and in our rows, done once.
    async fn assert_done(&self, wish: &Wish, done: usize, what: &str) {
        let number = i64::from(self.lives) * 3 + i64::try_from(done).unwrap() + 1;
        let db = &self.world.db;
        eventually(&format!("its intent is confirmed: {what}"), || async {
            let (open, confirmed): (i64, i64) =
                sqlx::query_as("SELECT count(*) FILTER (WHERE state NOT IN ('confirmed', 'failed')), count(*) FILTER (WHERE state = 'confirmed') FROM intents")
                    .fetch_one(db)
                    .await
                    .unwrap();
            (open == 0 && confirmed == number).then_some(())
        })
        .await;
        let live = self.world.calcom.live_bookings();
        let starts: Vec<DateTime<Utc>> = live.iter().map(|booking| booking.start).collect();
        assert_eq!(starts, wish.start.into_iter().collect::<Vec<_>>(), "the live bookings in Cal.com: {what}");
        let made = self.world.calcom.ledger().iter().filter(|entry| entry.op == wish.op).count();
        assert_eq!(made, self.lives as usize + 1, "done exactly once in Cal.com: {what}");
        let (status, uid, starts_at): (String, Option<String>, DateTime<Utc>) =
            sqlx::query_as("SELECT status, calcom_uid, starts_at FROM appointments ORDER BY number DESC LIMIT 1").fetch_one(db).await.unwrap();
        match live.first() {
            Some(booking) => assert_eq!((status.as_str(), uid.as_deref(), starts_at), ("booked", Some(booking.uid.as_str()), booking.start), "{what}"),
            None => assert_eq!(status, "cancelled", "{what}"),
        }
        let changes: (i64, i64) = sqlx::query_as("SELECT count(*), count(call_id) FROM appointment_modifications").fetch_one(db).await.unwrap();
        assert_eq!(changes, (number, number), "one modification each, with its call: {what}");
        let answers: i64 = sqlx::query_scalar("SELECT count(*) FROM function_calls WHERE state = 'final' AND success").fetch_one(db).await.unwrap();
        assert_eq!(answers, number, "the answer is stored: {what}");
        // restored by what came late, a refused or doubled step would show up here
        assert_eq!(self.world.count("SELECT count(*) FROM appointments").await, i64::from(self.lives) + 1, "one appointment a life: {what}");
        assert_eq!(self.world.count("SELECT count(*) FROM intents").await, number, "no intent beside them: {what}");
    }

    /// Nothing is left over: every caller heard something true, every queue is empty, and no human has to look at anything.
    pub async fn finish(self) {
        for Asking { what, done, answer } in self.asking {
            let answer = answer.await.unwrap();
            let told = answer.json();
            assert!(answer.status == 200 && (told[done] == true || told["pending"] == true), "the caller hears something true: {what}: {told}");
        }
        let world = self.world;
        world.settle_all().await;
        assert_eq!(world.count("SELECT count(*) FROM reviews").await, 0, "nothing is left for a human");
        assert_eq!(world.count("SELECT count(*) FROM slot_claims").await, 0, "no time is claimed");
        let silent = "SELECT count(*) FROM function_calls f WHERE told = 'missed' AND NOT EXISTS (SELECT FROM callback_requests c WHERE c.call_id = f.call_id)";
        // what the caller did not hear is owed: a callback, never silence
        eventually("a callback for each missed answer", || async { (world.count(silent).await == 0).then_some(()) }).await;
        world.finish().await;
    }
}

/// The wishes of the n-th life: every other one with a host whom Cal.com chooses, where a repeat could book a second host (fault C1).
fn wishes(life: u32) -> [Wish; 3] {
    let days = 3 + 7 * i64::from(life);
    let (nine, date, _) = ahead(days, Weekday::Thu, 9, 0);
    let (ten, ..) = ahead(days, Weekday::Thu, 10, 0);
    let service = if life.is_multiple_of(2) { "Beratung" } else { "Herrenhaarschnitt" };
    [
        Wish {
            function: "book_appointment",
            arguments: json!({ "date": date, "time": "09:00", "service_name": service, "customer_name": "Jürgen Groß" }),
            echo: "calcom.booking_created",
            done: "booked",
            op: Op::Create,
            intent: "create",
            start: Some(nine),
        },
        Wish {
            function: "reschedule_appointment",
            arguments: json!({ "new_date": date, "new_time": "10:00", "bestaetigung": true }),
            echo: "calcom.booking_rescheduled",
            done: "rescheduled",
            op: Op::Reschedule,
            intent: "reschedule",
            start: Some(ten),
        },
        Wish {
            function: "cancel_appointment",
            arguments: json!({}),
            echo: "calcom.booking_cancelled",
            done: "cancelled",
            op: Op::Cancel,
            intent: "cancel",
            start: None,
        },
    ]
}

async fn start(world: &mut World, faults: &Path, roles: &[&str]) -> usize {
    let further = BTreeMap::from([(checkpoint::VARIABLE.to_owned(), faults.display().to_string())]);
    world.start_workers(roles, &further).await
}

/// Where checkpoints are reached: everything but the list itself.
pub fn code_of_the_workers() -> String {
    let mut code = String::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../workers/src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("runtime/checkpoint.rs") {
                code.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    code
}
