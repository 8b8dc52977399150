//! Done 4 of issue 4: 80 bad tool calls interleaved with 20 good ones. No wrong booking, twenty right ones, and every sentence passes the lint.
//!
//! Each of twenty callers wants one appointment. Their agent blunders three times before it books (`before`) and once afterwards (`after`); what each blunder must be answered stands beside
//! it. `good` are twenty ways to write the same wish. At the end rows and Cal.com are counted: twenty appointments, each with its time, service, name and call.

mod after;
mod before;
mod good;
mod said;

use chrono::{DateTime, Datelike, Duration, Utc, Weekday};
use dev::retell_stand_in::{Call, FunctionRequest};
use serde_json::{Value, json};
use shared::texts::lint;
use tests::world::{ahead, now};
use tests::{World, eventually};

use said::Said;

const OURS: &str = "+493023125042";

/// How a bad call is wrapped.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    /// As Retell sends it: `{name, args, call}`.
    Tool,
    /// Part of the body replaced: a JSON pointer and the JSON that stands there instead; the key goes if there is none.
    With(&'static str, Option<&'static str>),
    /// Nothing but the arguments, or what else is no tool call at all.
    Bytes(&'static [u8]),
    /// By somebody who withholds the number, about this caller's appointment.
    Withheld,
    /// By somebody else, about this caller's appointment.
    Stranger,
    /// The very request of the booking again: Retell's own retry.
    Retried,
    /// The wish of the booking in another tool call.
    Repeated,
}

/// One bad call and what must be answered.
pub struct Bad {
    pub sent: Sent,
    pub function: &'static str,
    /// JSON; `@date`, `@time` and the others of `Caller::fill` stand for this caller's own.
    pub arguments: &'static str,
    /// What is said to the agent (see `said`).
    pub says: Said,
}

/// Somebody with a wish.
struct Caller {
    call: Call,
    number: String,
    at: DateTime<Utc>,
    name: String,
    /// Of the booked appointment.
    appointment: i64,
    booking: Option<FunctionRequest>,
}

/// Incidents 37, 39, 41, 47, 49, 52, 53, 55, 56, 57, 60, 62, 63, 65, 66, 67, 72, 78, 79, 80 and 84, in the words of those calls.
#[tokio::test]
async fn eighty_bad_tool_calls_book_nothing_and_twenty_good_ones_what_was_meant() {
    let (before, after, good) = (before::CALLS, after::CALLS, good::CALLS);
    assert_eq!((before.len(), after.len(), good.len()), (60, 20, 20));
    let mut world = World::new().await;
    // bodies that are no function call wait for a human
    world.expect_dead_letters();
    let (mut wrong, mut callers) = (Vec::new(), Vec::new());
    for (turn, good) in good.iter().enumerate() {
        let mut caller = Caller::new(&world, turn, good.name_given);
        if turn.is_multiple_of(2) {
            caller.call.start().await;
        }
        for bad in &before[turn * 3..turn * 3 + 3] {
            play(&world, &mut caller, bad, turn, &mut wrong).await;
        }
        match good::book(&world, &mut caller, good).await {
            Ok(()) => {}
            Err(what) => wrong.push(format!("good call {turn}: {what}")),
        }
        play(&world, &mut caller, &after[turn], turn + 1, &mut wrong).await;
        caller.call.end().await;
        callers.push(caller);
    }
    // no tool call at all: nothing can be said, it waits for a human
    for nothing in [&b""[..], b"[]", b"\xff"] {
        assert_eq!(world.send_retell(nothing.to_vec()).await.status, 204);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    world.settle_all().await;
    are_the_twenty(&world, &callers).await;
    println!("{} bad calls, each answered as it must be; {} appointments, each as it was meant", before.len() + after.len(), callers.len());
    world.finish().await;
}

/// Sends it, and looks at answer, sentence and what there is afterwards: `live` appointments, no other.
async fn play(world: &World, caller: &mut Caller, bad: &Bad, live: usize, wrong: &mut Vec<String>) {
    let (status, answer) = send(world, caller, bad).await;
    let mut found = Vec::new();
    if status != 200 {
        found.push(format!("HTTP {status}"));
    }
    match answer["message"].as_str() {
        Some(message) if lint::faults(message).is_empty() => {}
        Some(message) => found.push(format!("{:?}", (message, lint::faults(message)))),
        None => found.push("no sentence".to_owned()),
    }
    if !bad.says.is(&answer, caller.appointment) {
        found.push(format!("not {:?}", bad.says));
    }
    let there = (world.calcom.live_bookings().len(), world.count("SELECT count(*) FROM appointments").await);
    if there != (live, i64::try_from(live).unwrap()) {
        found.push(format!("{there:?} appointments, not {live}"));
    }
    if !found.is_empty() {
        wrong.push(format!("{:?} {} {}: {}; {answer}", bad.sent, bad.function, bad.arguments, found.join(", ")));
    }
}

async fn send(world: &World, caller: &mut Caller, bad: &Bad) -> (u16, Value) {
    let arguments = if bad.arguments.is_empty() { Value::Null } else { caller.fill(bad.arguments) };
    let answer = match bad.sent {
        Sent::Tool => caller.call.function(bad.function, arguments).await,
        Sent::Withheld => world.retell.inbound("anonymous", OURS).function(bad.function, arguments).await,
        Sent::Stranger => world.retell.inbound(&caller.number.replace("+49151", "+49161"), OURS).function(bad.function, arguments).await,
        Sent::Retried => caller.call.send_function(&caller.booking.clone().unwrap()).await,
        Sent::Repeated => {
            let booked: Value = serde_json::from_slice(&caller.booking.as_ref().unwrap().body).unwrap();
            caller.call.function(booked["name"].as_str().unwrap(), booked["args"].clone()).await
        }
        Sent::With(place, value) => {
            let request = caller.call.prepare_function(bad.function, arguments);
            let mut body: Value = serde_json::from_slice(&request.body).unwrap();
            replace(&mut body, place, value.map(|value| caller.fill(value)));
            let answer = world.send_retell(serde_json::to_vec(&body).unwrap()).await;
            return (answer.status, answer.json());
        }
        Sent::Bytes(bytes) => {
            let answer = world.send_retell(bytes.to_vec()).await;
            return (answer.status, answer.json());
        }
    };
    (answer.status, answer.body)
}

fn replace(body: &mut Value, place: &str, value: Option<Value>) {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
}

impl Caller {
    /// Two callers share a day: ten o'clock and two o'clock, both free.
    fn new(world: &World, turn: usize, name: &str) -> Self {
        let weekday = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri][turn / 2 % 5];
        let week = i64::try_from(turn / 10).unwrap();
        let (at, ..) = ahead(3 + 7 * week, weekday, if turn.is_multiple_of(2) { 10 } else { 14 }, 0);
        let number = format!("+49151{:08}", 33_000_000 + turn);
        Self { call: world.retell.inbound(&number, OURS), number, at, name: name.to_owned(), appointment: 0, booking: None }
    }

    /// The arguments of a call, with what is this caller's own filled in.
    fn fill(&self, text: &str) -> Value {
        let local = self.at.with_timezone(&chrono_tz::Europe::Berlin);
        let (spoken_hour, half) = if local.format("%H").to_string() == "10" { ("zehn", "10") } else { ("vierzehn", "14") };
        let day = |at: DateTime<Utc>| at.with_timezone(&chrono_tz::Europe::Berlin).date_naive();
        let fills = [
            ("@instant", local.to_rfc3339()),
            ("@german_date", local.format("%d.%m.%Y").to_string()),
            ("@date", local.format("%Y-%m-%d").to_string()),
            ("@time", local.format("%H:%M").to_string()),
            ("@spoken_date", format!("{}. {}", local.day(), shared::domain::local_time::month(local.month()))),
            ("@spoken_hour", spoken_hour.to_owned()),
            ("@hour", half.to_owned()),
            ("@next_day", day(self.at + Duration::days(1)).to_string()),
            ("@weeks_ago", {
                let past = day(now() - Duration::days(20));
                format!("{}. {}", past.day(), shared::domain::local_time::month(past.month()))
            }),
            ("@skipped_day", skipped_day().to_string()),
            ("@name", self.name.clone()),
            ("@number", self.appointment.to_string()),
            ("@long", "lang ".repeat(4_000)),
            ("@endless", "x".repeat(70_000)),
        ];
        let mut text = text.to_owned();
        for (name, value) in fills {
            text = text.replace(name, &value);
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// The next last Sunday of March: two o'clock to three does not exist on it.
fn skipped_day() -> chrono::NaiveDate {
    let mut day = now().date_naive().succ_opt().unwrap();
    while !(day.month() == 3 && day.weekday() == Weekday::Sun && day.day() > 24) {
        day = day.succ_opt().unwrap();
    }
    day
}

/// Exactly these: each at its time, for its service, on its name, in its call, and the same in Cal.com.
async fn are_the_twenty(world: &World, callers: &[Caller]) {
    let rows = world
        .rows(
            "SELECT jsonb_build_object('at', a.starts_at, 'service', s.name, 'name', a.name_given, 'call', c.retell_call_id, 'status', a.status, 'number', a.number)
             FROM appointments a JOIN services s ON s.id = a.service_id LEFT JOIN calls c ON c.id = a.call_id ORDER BY a.starts_at",
        )
        .await;
    let seen: Vec<Value> = rows
        .into_iter()
        .map(|mut row| {
            row["at"] = json!(row["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
            row
        })
        .collect();
    let meant = |caller: &Caller| json!({ "at": caller.at, "service": "Beratung", "name": caller.name, "call": caller.call.id(), "status": "booked", "number": caller.appointment });
    let mut meant: Vec<Value> = callers.iter().map(meant).collect();
    meant.sort_by_key(|row| row["at"].to_string());
    assert_eq!(seen, meant);
    let mut live: Vec<DateTime<Utc>> = world.calcom.live_bookings().iter().map(|booking| booking.start).collect();
    live.sort();
    let mut wished: Vec<DateTime<Utc>> = callers.iter().map(|caller| caller.at).collect();
    wished.sort();
    assert_eq!(live, wished);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE kind <> 'booked'").await, 0, "nothing was moved or cancelled");
    eventually("whoever hung up holds nothing", || async {
        (world.count("SELECT count(*) FROM slot_claims WHERE expires_at IS NOT NULL").await == 0).then_some(())
    })
    .await;
}
