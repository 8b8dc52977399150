//! What becomes of a wish when Cal.com's answers, its bookings and our intents do not agree: never "gebucht" for what is somebody else's, twice there or gone again; never
//! another time than the one asked for. And the states that the database lets an intent go through.
//!
//! Incidents 7, 10, 12 and 14; faults C1, C6 and C8. Not crashes (`crash_matrix`).

use chrono::{DateTime, Utc, Weekday};
use dev::calcom_stand_in::{EchoOrder, FaultKind, FaultOp, FaultRule, Op, Whose};
use dev::retell_stand_in::sign::sign_retell;
use serde_json::{Value, json};
use shared::domain::intent_state::IntentState;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tests::http::Answer;
use tests::world::{CALCOM_API_KEY, ahead, now};
use tests::{World, WorldOptions, eventually, fixtures, http};
use tokio::task::JoinHandle;
use uuid::Uuid;
use workers::runtime::checkpoint::{self, Checkpoint, Fault};

const OTHERS: [&str; 5] = ["booking", "reschedule", "cancellation", "desk", "calls"];
/// With one host, and with a host whom Cal.com chooses.
const BERATUNG: (&str, i64) = ("Beratung", 1321);
const HAARSCHNITT: (&str, i64) = ("Herrenhaarschnitt", 1320);

/// A world without calcom-sync, and a folder of faults.
struct Stage {
    world: World,
    faults: PathBuf,
    sync: Option<usize>,
}

impl Stage {
    async fn new() -> Self {
        let mut world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
        let faults = world.folder.join("faults");
        std::fs::create_dir_all(&faults).unwrap();
        let further = BTreeMap::from([(checkpoint::VARIABLE.to_owned(), faults.display().to_string())]);
        world.start_workers(&OTHERS, &further).await;
        Self { world, faults, sync: None }
    }

    async fn start_sync(&mut self) {
        let further = self.further();
        self.sync = Some(self.world.start_workers(&["calcom-sync"], &further).await);
    }

    fn further(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(checkpoint::VARIABLE.to_owned(), self.faults.display().to_string())])
    }

    fn arm(&self, fault: Fault, at: Checkpoint, subject: &str) {
        std::fs::write(self.faults.join(checkpoint::file_name(fault, at, subject)), "").unwrap();
    }

    /// A caller's wish to book; the caller may have to wait for the answer.
    fn book(&self, service: &str, start: (&str, &str), further: Value) -> JoinHandle<Answer> {
        let mut arguments = json!({ "date": start.0, "time": start.1, "service_name": service, "customer_name": "Jürgen Groß" });
        arguments.as_object_mut().unwrap().extend(further.as_object().cloned().unwrap_or_default());
        self.utter("book_appointment", arguments)
    }

    fn utter(&self, function: &str, arguments: Value) -> JoinHandle<Answer> {
        let body = self.world.retell.inbound("+4915112345678", "+493023125042").prepare_function(function, arguments).body;
        let signature = sign_retell(fixtures::RETELL_KEY, &body, now().timestamp_millis());
        let url = self.world.retell_url();
        tokio::spawn(async move { http::post(&url, "x-retell-signature", &signature, body).await })
    }

    /// Lets calcom-sync die after Cal.com has booked and before anything of it is recorded: the outcome is unknown to us.
    async fn die_after_the_call(&mut self) {
        self.die_after("create").await;
    }

    /// The same after that operation.
    async fn die_after(&mut self, operation: &str) {
        self.arm(Fault::Crash, Checkpoint::AfterCall, operation);
        let further = self.further();
        let dead = self.world.launch_workers(&["calcom-sync"], &further);
        assert_eq!(self.world.workers[dead].wait().await, None, "it ended by a signal");
        // the dead process' lease ends by the database's clock
        sqlx::query("UPDATE clock_shift SET shift = shift + interval '60 seconds'").execute(&self.world.db).await.unwrap();
    }

    /// A booking made with our API key and this token, and not by a worker of ours: what a repeat of ours would have made while reads lagged.
    async fn book_again(&self, event_type_id: i64, start: DateTime<Utc>, token: Uuid, email: &str) -> String {
        let body = json!({ "eventTypeId": event_type_id, "start": start.to_rfc3339(), "metadata": { "frontdesk_intent": token },
            "attendee": { "name": "Jürgen Groß", "email": email, "timeZone": "Europe/Berlin", "language": "de" } });
        let request = http::client().post(format!("{}/bookings", self.world.calcom.api_url())).header("cal-api-version", "2024-08-13");
        let answer = request.bearer_auth(CALCOM_API_KEY).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["data"]["uid"].as_str().unwrap().to_owned()
    }

    async fn token(&self) -> Uuid {
        sqlx::query_scalar("SELECT token FROM intents WHERE op = 'create' ORDER BY created_at DESC LIMIT 1").fetch_one(&self.world.db).await.unwrap()
    }

    async fn recorded(&self) {
        eventually("the wish is recorded", || async { (self.world.count("SELECT count(*) FROM intents").await == 1).then_some(()) }).await;
    }

    /// The stored answer of the one wish.
    async fn answer(&self) -> Value {
        sqlx::query_scalar("SELECT result FROM function_calls").fetch_one(&self.world.db).await.unwrap()
    }
}

/// Architecture section 8, 3: the first booking stays, the second is cancelled by us and shown to a human.
#[tokio::test]
async fn a_second_booking_that_its_webhook_tells_of_is_cancelled_and_the_first_one_stays() {
    let mut stage = Stage::new().await;
    let (nine, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.world.calcom.set_echo_order(EchoOrder::Lose);
    stage.start_sync().await;
    let told = stage.book(HAARSCHNITT.0, (&date, &time), json!({})).await.unwrap().json();
    assert_eq!(told["booked"], true, "{told}");
    let first = stage.world.calcom.live_bookings()[0].uid.clone();

    stage.world.calcom.set_echo_order(EchoOrder::After);
    let second = stage.book_again(HAARSCHNITT.1, nine, stage.token().await, "juergen@example.org").await;
    assert_one_of_two(&stage, &first, &second).await;
    stage.world.finish().await;
}

/// The same, found by the search for an unknown outcome.
#[tokio::test]
async fn of_two_bookings_that_a_search_finds_one_is_kept_and_one_is_cancelled() {
    let mut stage = Stage::new().await;
    let (nine, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.world.calcom.set_echo_order(EchoOrder::Lose);
    let asking = stage.book(HAARSCHNITT.0, (&date, &time), json!({}));
    stage.recorded().await;
    stage.die_after_the_call().await;
    stage.book_again(HAARSCHNITT.1, nine, stage.token().await, "juergen@example.org").await;
    assert_eq!(stage.world.calcom.live_bookings().len(), 2);

    stage.start_sync().await;
    eventually("one of them is cancelled", || async { (stage.world.calcom.live_bookings().len() == 1).then_some(()) }).await;
    let kept = stage.world.calcom.live_bookings()[0].uid.clone();
    let other = stage.world.calcom.bookings().into_iter().find(|booking| booking.uid != kept).unwrap().uid;
    assert_one_of_two(&stage, &kept, &other).await;
    let told = asking.await.unwrap().json();
    assert!(told["booked"] == true || told["pending"] == true, "{told}");
    stage.world.settle_all().await;
    stage.world.finish().await;
}

async fn assert_one_of_two(stage: &Stage, kept: &str, other: &str) {
    let world = &stage.world;
    eventually("the second is cancelled", || async { world.calcom.booking(other).filter(|booking| !booking.status.is_live()) }).await;
    world.settle_all().await;
    let live: Vec<String> = world.calcom.live_bookings().into_iter().map(|booking| booking.uid).collect();
    assert_eq!(live, [kept], "the first stays");
    assert_eq!(world.calcom.ledger().iter().filter(|entry| entry.op == Op::Cancel).count(), 1);
    let rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as("SELECT status, calcom_uid, cancelled_by FROM appointments ORDER BY number").fetch_all(&world.db).await.unwrap();
    assert_eq!(
        rows,
        [("booked".to_owned(), kept.to_owned(), None), ("cancelled".to_owned(), other.to_owned(), Some("system".to_owned()))],
        "each booking in Cal.com is an appointment here"
    );
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE op = 'create' AND state = 'confirmed'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM intents i JOIN appointments a ON a.id = i.appointment_id WHERE i.op = 'cancel' AND i.state = 'confirmed' AND a.status = 'cancelled'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE reason = 'second_booking'").await, 1, "a human sees it");
    assert_eq!(stage.answer().await["booked"], true);
}

/// A booking with a copied token at another time is somebody's booking: neither ours nor a double of ours.
#[tokio::test]
async fn a_booking_with_our_token_at_another_time_is_a_booking_of_its_own() {
    let mut stage = Stage::new().await;
    let (_, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.start_sync().await;
    let told = stage.book(BERATUNG.0, (&date, &time), json!({})).await.unwrap().json();
    assert_eq!(told["booked"], true, "{told}");
    stage.book_again(BERATUNG.1, ahead(3, Weekday::Thu, 11, 0).0, stage.token().await, "anna@example.org").await;
    let world = &stage.world;
    eventually("it is taken over", || async { (world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await == 2).then_some(()) }).await;
    world.settle_all().await;
    assert_eq!(world.calcom.live_bookings().len(), 2);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE booking_source = 'calcom_webhook'").await, 1);
    stage.world.finish().await;
}

/// The host cancelled before we knew of the booking: the outcome is found, and nothing is left of it.
#[tokio::test]
async fn a_wish_whose_booking_was_cancelled_meanwhile_is_not_called_booked() {
    undone(false).await;
}

/// The same when the cancellation's webhook came first and was taken for a stranger's: the search joins the two.
#[tokio::test]
async fn a_wish_joined_to_a_cancelled_booking_is_not_called_booked() {
    undone(true).await;
}

async fn undone(taken_over_first: bool) {
    let mut stage = Stage::new().await;
    let (_, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.world.calcom.set_echo_order(EchoOrder::Lose);
    let asking = stage.book(BERATUNG.0, (&date, &time), json!({}));
    stage.recorded().await;
    stage.die_after_the_call().await;
    if taken_over_first {
        // whoever waits for our answer about it has waited long enough
        sqlx::query("UPDATE clock_shift SET shift = shift + interval '1 hour'").execute(&stage.world.db).await.unwrap();
        stage.world.calcom.set_echo_order(EchoOrder::After);
    }
    let uid = stage.world.calcom.live_bookings()[0].uid.clone();
    stage.world.calcom.visitor_cancel(serde_json::from_value(json!({ "uid": uid, "reason": "krank", "as_host": true })).unwrap()).await.unwrap();
    if taken_over_first {
        eventually("it is taken over", || async { (stage.world.count("SELECT count(*) FROM appointments").await == 2).then_some(()) }).await;
    }
    stage.start_sync().await;
    stage.world.settle_all().await;
    let told = asking.await.unwrap().json();
    assert_ne!(told["booked"], true, "{told}");
    stage.world.settle_all().await;

    let world = &stage.world;
    let answer = stage.answer().await;
    assert_eq!((&answer["success"], answer.get("booked")), (&json!(false), None), "{answer}");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open'").await, 1, "somebody calls back");
    let rows: Vec<(String, Option<String>, Option<String>)> =
        sqlx::query_as("SELECT status, calcom_uid, cancelled_by FROM appointments").fetch_all(&world.db).await.unwrap();
    let by = if taken_over_first { "staff" } else { "unknown" };
    assert_eq!(rows, [("cancelled".to_owned(), Some(uid), Some(by.to_owned()))]);
    let history: Vec<(String, bool)> =
        sqlx::query_as("SELECT kind, call_id IS NOT NULL FROM appointment_modifications ORDER BY kind").fetch_all(&world.db).await.unwrap();
    assert_eq!(history, [("booked".to_owned(), true), ("cancelled".to_owned(), false)], "the caller booked, somebody else cancelled");
    assert_eq!(world.count("SELECT count(*) FROM intents WHERE state = 'confirmed' AND uid IS NOT NULL").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM slot_claims").await, 0);
    stage.world.finish().await;
}

/// Our move came through, we did not hear it, and somebody moved the booking on meanwhile: the caller is not told of a time at which nothing is any more (incident 12). Whether
/// the search finds it or the webhooks, of which the later one is first, tell it.
#[tokio::test]
async fn a_move_that_somebody_moved_on_since_is_not_called_done() {
    moved_on(false).await;
}

#[tokio::test]
async fn a_move_that_somebody_moved_on_since_is_not_called_done_by_its_late_echo() {
    moved_on(true).await;
}

async fn moved_on(by_webhook: bool) {
    let mut stage = Stage::new().await;
    let (_, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.start_sync().await;
    let told = stage.book(BERATUNG.0, (&date, &time), json!({})).await.unwrap().json();
    assert_eq!(told["booked"], true, "{told}");
    stage.world.settle_all().await;
    let sync = stage.sync.take().unwrap();
    stage.world.workers.remove(sync).terminate().await;

    stage.world.calcom.set_echo_order(if by_webhook { EchoOrder::Hold } else { EchoOrder::Lose });
    let asking = stage.utter("reschedule_appointment", json!({ "new_date": date, "new_time": "11:00", "bestaetigung": true }));
    eventually("the wish is recorded", || async { (stage.world.count("SELECT count(*) FROM intents WHERE op = 'reschedule'").await == 1).then_some(()) }).await;
    stage.die_after("reschedule").await;
    let ours = stage.world.calcom.live_bookings()[0].clone();
    let fourteen = ahead(3, Weekday::Thu, 14, 0).0;
    if by_webhook {
        stage.world.calcom.set_echo_order(EchoOrder::After);
    }
    let theirs = json!({ "uid": ours.uid, "start": fourteen, "as_host": true });
    stage.world.calcom.visitor_reschedule(serde_json::from_value(theirs).unwrap()).await.unwrap();
    if by_webhook {
        eventually("the move on is heard of", || async {
            (stage.world.count("SELECT count(*) FROM appointments WHERE rescheduled_count > 0").await == 1).then_some(())
        })
        .await;
        assert_eq!(stage.world.calcom.release_echoes().await, 1, "our own move's");
        eventually("our own move is heard of", || async {
            (stage.world.count("SELECT count(*) FROM intents WHERE state <> 'confirmed'").await == 0).then_some(())
        })
        .await;
    }
    stage.start_sync().await;
    stage.world.settle_all().await;
    let told = asking.await.unwrap().json();
    assert_ne!(told["rescheduled"], true, "{told}");

    let world = &stage.world;
    let answer: Value = sqlx::query_scalar("SELECT result FROM function_calls WHERE function = 'reschedule_appointment'").fetch_one(&world.db).await.unwrap();
    assert_eq!((&answer["success"], answer.get("rescheduled")), (&json!(false), None), "{answer}");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open' AND reason = 'wish_undone'").await, 1, "somebody calls back");
    let rows: Vec<(String, DateTime<Utc>, i32)> =
        sqlx::query_as("SELECT status, starts_at, rescheduled_count FROM appointments").fetch_all(&world.db).await.unwrap();
    assert_eq!(rows, [("booked".to_owned(), fourteen, 2)], "where it is now");
    let history: Vec<(String, bool)> =
        sqlx::query_as("SELECT kind, intent_id IS NOT NULL FROM appointment_modifications ORDER BY new_starts_at").fetch_all(&world.db).await.unwrap();
    assert_eq!(history, [("booked".to_owned(), true), ("rescheduled".to_owned(), true), ("rescheduled".to_owned(), false)], "ours, and then somebody's");
    assert_eq!(world.calcom.ledger().len(), 3, "nothing was moved again");
    stage.world.finish().await;
}

/// Incident 7, 2025-10-06: Cal.com answered a create with an old booking of somebody else, and the caller heard "gebucht".
#[tokio::test]
async fn an_old_booking_as_the_answer_of_a_create_is_never_called_booked() {
    let mut stage = Stage::new().await;
    let old = json!({ "event_type_id": BERATUNG.1, "start": ahead(3, Weekday::Wed, 9, 0).0, "name": "Anna Alt", "email": "anna.alt@example.org" });
    stage.world.calcom.visitor_book(serde_json::from_value(old).unwrap()).await.unwrap();
    stage.start_sync().await;
    let (nine, date, time) = ahead(3, Weekday::Thu, 9, 0);
    let replay = FaultKind::ReplayOld { whose: Whose::SameSlot };
    stage.world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, replay)]);
    stage.book(BERATUNG.0, (&date, &time), json!({})).await.unwrap();
    let world = &stage.world;
    world.settle_all().await;
    // the time was free all along: looked for, not found, sent again, and this time really booked
    let live: Vec<DateTime<Utc>> =
        world.calcom.live_bookings().into_iter().filter(|booking| booking.event_type_id == BERATUNG.1).map(|booking| booking.start).collect();
    assert!(live.contains(&nine) && live.len() == 2, "{live:?}");
    assert_eq!(stage.answer().await["booked"], true);
    let shared: i64 = world.count("SELECT count(*) FROM appointments a JOIN appointments b ON a.calcom_uid = b.calcom_uid AND a.id < b.id").await;
    assert_eq!(shared, 0, "no uid belongs to two");
    stage.world.finish().await;
}

/// Three such answers in a row, and nobody has the time: the wish has failed, a human sees it, somebody calls back.
#[tokio::test]
async fn answers_that_nothing_explains_end_in_a_callback() {
    let mut stage = Stage::new().await;
    let old = json!({ "event_type_id": BERATUNG.1, "start": ahead(3, Weekday::Wed, 9, 0).0, "name": "Anna Alt", "email": "anna.alt@example.org" });
    stage.world.calcom.visitor_book(serde_json::from_value(old).unwrap()).await.unwrap();
    stage.start_sync().await;
    let (_, date, time) = ahead(3, Weekday::Thu, 9, 0);
    let kind = FaultKind::ReplayOld { whose: Whose::SameSlot };
    stage.world.calcom.add_faults(vec![FaultRule { op: FaultOp::Create, kind, times: None, probability: None }]);
    let told = stage.book(BERATUNG.0, (&date, &time), json!({})).await.unwrap().json();
    assert_ne!(told["booked"], true, "{told}");
    let world = &stage.world;
    world.settle_all().await;
    assert_eq!(stage.answer().await["reason"], "callback_queued");
    assert_eq!(world.calcom.ledger().len(), 1, "only the visitor's booking");
    let rows: Vec<String> = sqlx::query_scalar("SELECT status FROM appointments WHERE booking_source = 'retell_phone'").fetch_all(&world.db).await.unwrap();
    assert_eq!(rows, ["failed"]);
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE reason = 'slot_conflict'").await, 1);
    stage.world.finish().await;
}

/// As Cal.com's round robin does it: the same attendee at the same start gets the booking that is there, whoever made it.
#[tokio::test]
async fn a_create_answered_with_a_booking_at_the_wished_time_that_is_not_ours_finds_the_time_taken() {
    let mut stage = Stage::new().await;
    let (nine, date, time) = ahead(3, Weekday::Thu, 9, 0);
    let made = json!({ "event_type_id": HAARSCHNITT.1, "start": nine, "name": "Jürgen Groß", "email": "juergen@example.org" });
    stage.world.calcom.set_echo_order(EchoOrder::Lose);
    stage.world.calcom.visitor_book(serde_json::from_value(made).unwrap()).await.unwrap();
    stage.start_sync().await;
    let told = stage.book(HAARSCHNITT.0, (&date, &time), json!({ "customer_email": "juergen@example.org" })).await.unwrap().json();
    assert_eq!((&told["success"], &told["reason"]), (&json!(false), &json!("slot_taken")), "{told}");
    stage.world.settle_all().await;
    assert_eq!(stage.world.calcom.ledger().len(), 1, "nothing was made");
    assert_eq!(stage.world.appointments().await[0]["status"], "failed");
    stage.world.finish().await;
}

/// Incident 12: a confirmed slot was moved to the next free one. Here the caller, who is gone, was promised a time that Cal.com then refuses: a human is told, the caller
/// is called back, and no other time is booked.
#[tokio::test]
async fn a_conflict_about_a_promised_time_is_a_review_and_a_callback_and_never_another_time() {
    let mut stage = Stage::new().await;
    let (nine, date, time) = ahead(3, Weekday::Thu, 9, 0);
    stage.world.calcom.set_echo_order(EchoOrder::Lose);
    let taken = json!({ "event_type_id": BERATUNG.1, "start": nine, "name": "Anna Alt", "email": "anna.alt@example.org" });
    stage.world.calcom.visitor_book(serde_json::from_value(taken).unwrap()).await.unwrap();
    // the caller hears "ich trage das gerade ein" and hangs up
    stage.arm(Fault::Error, Checkpoint::BeforeCommit, "retell.function.book_appointment");
    let asking = stage.book(BERATUNG.0, (&date, &time), json!({}));
    stage.recorded().await;
    stage.start_sync().await;
    stage.world.settle_all().await;
    assert_eq!(asking.await.unwrap().json()["pending"], true);
    stage.world.settle_all().await;
    let world = &stage.world;
    assert_eq!(world.calcom.ledger().len(), 1, "only the visitor's booking");
    assert_eq!(world.appointments().await[0]["status"], "failed");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests WHERE state = 'open' AND reason = 'wish_failed'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM reviews WHERE reason = 'slot_conflict'").await, 1);
    stage.world.finish().await;
}

/// The table in the code and the trigger in the database are one: all ways, possible and impossible.
#[tokio::test]
async fn the_database_refuses_exactly_the_ways_that_an_intent_cannot_go() {
    let mut stage = Stage::new().await;
    let (_, date, time) = ahead(3, Weekday::Thu, 9, 0);
    let asking = stage.book(BERATUNG.0, (&date, &time), json!({}));
    stage.recorded().await;
    for from in IntentState::ALL {
        for next in IntentState::ALL.into_iter().filter(|next| *next != from) {
            for (look, was_sent) in [(false, false), (false, true), (true, false), (true, true)] {
                let possible = from.may_become(next, look, was_sent);
                assert_eq!(goes(&stage, from, next, look, was_sent).await, possible, "{from:?} to {next:?}, look {look}, sent {was_sent}");
            }
        }
    }
    stage.start_sync().await;
    assert_eq!(asking.await.unwrap().status, 200);
    stage.world.settle_all().await;
    stage.world.finish().await;
}

/// Whether the database lets the one intent go that way; nothing of it stays.
async fn goes(stage: &Stage, from: IntentState, next: IntentState, look: bool, was_sent: bool) -> bool {
    const SET: &str = "UPDATE intents SET state = $1, settled_at = CASE WHEN $1 IN ('confirmed', 'failed') THEN now() END, error_class = 'test', uid = 'uid'";
    let mut tx = stage.world.db.begin().await.unwrap();
    // no trigger for this statement: how it comes to stand there is no matter
    sqlx::query("SET LOCAL session_replication_role = replica").execute(&mut *tx).await.unwrap();
    sqlx::query("UPDATE intents SET op = CASE WHEN $1 THEN 'look' ELSE 'create' END, sent_count = $2")
        .bind(look)
        .bind(i32::from(was_sent))
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query(SET).bind(from.literal()).execute(&mut *tx).await.unwrap();
    sqlx::query("SET LOCAL session_replication_role = origin").execute(&mut *tx).await.unwrap();
    let went = sqlx::query(SET).bind(next.literal()).execute(&mut *tx).await;
    tx.rollback().await.unwrap();
    match went {
        Ok(done) => done.rows_affected() == 1,
        Err(error) => {
            let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
            assert_eq!(constraint.as_deref(), Some("intents_transition"), "{error}");
            false
        }
    }
}
