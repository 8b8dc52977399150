//! The callers of `ten_thousand_intents`: what each wished for, what each heard, and whether it is so.
//!
//! What became of a time is asked of Cal.com alone. Our rows tell only how a wish ended whose end nobody said in time, and whether somebody is called back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Duration as Days, NaiveTime, TimeZone as _, Utc};
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use tests::World;
use tests::world::now;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Callers on the line at a time.
const AT_A_TIME: usize = 48;
/// From six to ten in the evening: no hour that the clocks skip or repeat.
const SLOTS_A_DAY: usize = 32;
/// Of ten callers one moves, and one cancels what was just booked: twelve wishes.
const TEN: usize = 10;
const WISHES_OF_TEN: usize = 12;

/// What a caller wishes for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub enum Deed {
    Book,
    Move,
    Cancel,
}

impl Deed {
    /// The operation of its intent.
    const fn op(self) -> &'static str {
        match self {
            Self::Book => "create",
            Self::Move => "reschedule",
            Self::Cancel => "cancel",
        }
    }
}

/// What a caller heard.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub enum Heard {
    Done,
    /// That it is being done.
    Pending,
    Refused,
}

/// One call, and what was said in it.
pub struct Caller {
    retell_call_id: String,
    event_type_id: i64,
    booked_for: DateTime<Utc>,
    moved_to: Option<DateTime<Utc>>,
    heard: Vec<(Deed, Heard)>,
}

/// Where an appointment is at Cal.com, by what callers heard.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    At(DateTime<Utc>),
}

/// At least so many wishes. Each caller wants a time of its own, every other one an event type whose host Cal.com chooses. Most ring again and again; who changes something
/// has one appointment only, so that it is clear which is meant.
pub async fn call(world: &World, wishes: usize) -> Vec<Caller> {
    let callers = (wishes * TEN).div_ceil(WISHES_OF_TEN);
    let lines = Arc::new(Semaphore::new(AT_A_TIME));
    let mut calls = JoinSet::new();
    for n in 0..callers {
        let line = Arc::clone(&lines).acquire_owned().await.unwrap();
        let change = match n % TEN {
            3 => Some(Deed::Move),
            7 => Some(Deed::Cancel),
            _ => None,
        };
        let number = if change.is_some() { format!("+4915121{n:06}") } else { format!("+4915120{:06}", n % (callers / TEN)) };
        let call = world.retell.inbound(&number, "+493023125042");
        calls.spawn(async move {
            let caller = speak(call, n, callers + n / TEN, change).await;
            drop(line);
            caller
        });
    }
    calls.join_all().await
}

/// The n-th half hour, and its date and time as callers say them.
fn slot(n: usize) -> (DateTime<Utc>, String, String) {
    let half_hours = i64::try_from(n % SLOTS_A_DAY).unwrap();
    let time = NaiveTime::from_hms_opt(6, 0, 0).unwrap() + Days::minutes(30 * half_hours);
    let local = (now() + Days::days(3 + i64::try_from(n / SLOTS_A_DAY).unwrap())).date_naive().and_time(time);
    let zoned = chrono_tz::Europe::Berlin.from_local_datetime(&local).single().unwrap();
    (zoned.to_utc(), zoned.format("%Y-%m-%d").to_string(), zoned.format("%H:%M").to_string())
}

async fn speak(mut call: Call, n: usize, later: usize, change: Option<Deed>) -> Caller {
    let (service, event_type_id) = if n.is_multiple_of(2) { ("Beratung", 1321) } else { ("Herrenhaarschnitt", 1320) };
    let ((booked_for, date, time), (moved_to, new_date, new_time)) = (slot(n), slot(later));
    let wish = json!({ "date": date, "time": time, "service_name": service, "customer_name": "Jürgen Groß" });
    let mut heard = vec![(Deed::Book, hear(&mut call, "book_appointment", wish).await)];
    match change.filter(|_| heard[0].1 != Heard::Refused) {
        Some(Deed::Move) => {
            let wish = json!({ "new_date": new_date, "new_time": new_time, "confirm": true });
            heard.push((Deed::Move, hear(&mut call, "reschedule_appointment", wish).await));
        }
        Some(Deed::Cancel) => heard.push((Deed::Cancel, hear(&mut call, "cancel_appointment", json!({})).await)),
        Some(Deed::Book) | None => {}
    }
    Caller { retell_call_id: call.id(), event_type_id, booked_for, moved_to: (change == Some(Deed::Move)).then_some(moved_to), heard }
}

async fn hear(call: &mut Call, function: &str, wish: Value) -> Heard {
    let told = call.function(function, wish).await;
    assert_eq!(told.status, 200, "a caller always hears a sentence: {}", told.body);
    match (&told.body["success"], &told.body["pending"]) {
        (Value::Bool(true), _) => Heard::Done,
        (_, Value::Bool(true)) => Heard::Pending,
        _ => Heard::Refused,
    }
}

/// How often what was heard.
pub fn counts(callers: &[Caller]) -> BTreeMap<(Deed, Heard), usize> {
    let mut counts = BTreeMap::new();
    for heard in callers.iter().flat_map(|caller| &caller.heard) {
        *counts.entry(*heard).or_default() += 1;
    }
    counts
}

/// Every caller's word against Cal.com's.
pub async fn assert_they_heard_the_truth(world: &World, callers: &[Caller]) {
    let ends = ends(world).await;
    let called_back = called_back(world).await;
    let mut live: HashMap<(i64, DateTime<Utc>), usize> = HashMap::new();
    for booking in world.calcom.live_bookings() {
        *live.entry((booking.event_type_id, booking.start)).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for caller in callers {
        let mut place = Place::Nowhere;
        for (deed, heard) in &caller.heard {
            let end = ends.get(&(caller.retell_call_id.clone(), deed.op().to_owned())).map(String::as_str);
            let is_done = match (heard, end) {
                (Heard::Done, _) => true,
                (Heard::Pending, Some("confirmed")) => true,
                (Heard::Pending | Heard::Refused, Some("failed") | None) => {
                    if !called_back.contains(&caller.retell_call_id) {
                        wrong.push(format!("{deed:?} at {}: {heard:?}, it is {end:?}, and nobody calls back", caller.booked_for));
                    }
                    false
                }
                (Heard::Pending | Heard::Refused, end) => {
                    wrong.push(format!("{deed:?} at {}: {heard:?}, and it is {end:?}", caller.booked_for));
                    continue;
                }
            };
            place = match (deed, is_done) {
                (_, false) => place,
                (Deed::Book, true) => Place::At(caller.booked_for),
                (Deed::Move, true) => caller.moved_to.map_or(place, Place::At),
                (Deed::Cancel, true) => Place::Nowhere,
            };
        }
        for at in [caller.booked_for].into_iter().chain(caller.moved_to) {
            let expected = usize::from(matches!(place, Place::At(place) if place == at));
            let found = live.remove(&(caller.event_type_id, at)).unwrap_or(0);
            if found != expected {
                wrong.push(format!("{at}: {found} live bookings in Cal.com, {expected} by what the caller heard: {:?}", caller.heard));
            }
        }
    }
    assert!(wrong.is_empty(), "{} callers heard what is not so:\n{}", wrong.len(), wrong.join("\n"));
    assert!(live.is_empty(), "bookings that nobody asked for: {live:?}");
}

/// By call and operation, how the intent ended.
async fn ends(world: &World) -> HashMap<(String, String), String> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT c.retell_call_id, i.op, i.state FROM intents i JOIN calls c ON c.id = i.call_id WHERE i.op <> 'look'")
            .fetch_all(&world.db)
            .await
            .unwrap();
    rows.into_iter().map(|(call, op, state)| ((call, op), state)).collect()
}

async fn called_back(world: &World) -> BTreeSet<String> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT c.retell_call_id FROM callback_requests r JOIN calls c ON c.id = r.call_id").fetch_all(&world.db).await.unwrap();
    rows.into_iter().collect()
}
