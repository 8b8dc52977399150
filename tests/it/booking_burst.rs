//! Twenty callers at once, as on a Monday at opening time (issue 4, Done 6): each hears the worker's own answer within ingress's function deadline, and what each hears is so.
//!
//! Nothing here is timed: the deadline is the product's, and whoever is past it hears the function's fallback sentence, which nobody may. How fast many calls are answered, and
//! beside a backlog: `cargo dev bench live`. The account is generous (`World`): on Cal.com's own 120 a minute the budget decides how many of twenty can be booked at once.

use std::collections::BTreeSet;

use chrono::Weekday;
use dev::retell_stand_in::{Answer, Call};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::functions::Function;
use shared::texts::lint::faults;
use tests::World;
use tests::world::ahead;

const OURS: &str = "+493023125042";
const CALLERS: usize = 20;
/// The stand-in opens at nine and works in half hours.
const OPENS_HOUR: usize = 9;

fn call(world: &World, n: usize) -> Call {
    world.retell.inbound(&format!("+49151888{n:05}"), OURS)
}

/// The n-th half hour of two days, as callers say it: ten a day, none later than half past one.
fn wish(n: usize) -> Value {
    let (hour, minute) = (OPENS_HOUR + n % 10 / 2, n % 2 * 30);
    let day = if n < 10 { Weekday::Thu } else { Weekday::Fri };
    let (_, date, time) = ahead(10, day, u32::try_from(hour).unwrap(), u32::try_from(minute).unwrap());
    json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" })
}

/// Everybody asks at the same moment; what each hears is a sentence of the worker's, and not what ingress says when none came in time.
async fn all_at_once(calls: &mut [Call], function: &str, wish: impl Fn(usize) -> Value) -> Vec<Value> {
    let asked = calls.iter_mut().enumerate().map(|(n, call)| call.function(function, wish(n)));
    let answers = join_all(asked).await;
    println!("{function}: {CALLERS} at once, the slowest answer after {:?}", answers.iter().map(|answer| answer.latency).max().unwrap_or_default());
    answers.into_iter().map(|answer| heard(function, answer)).collect()
}

fn heard(function: &str, answer: Answer) -> Value {
    let row = Function::by_canonical_name(function).unwrap_or_else(|| panic!("{function} is in the registry")).row();
    assert_eq!(answer.status, 200, "{function}: {}", answer.body);
    let message = answer.body["message"].as_str().unwrap_or_else(|| panic!("{function} says nothing: {}", answer.body));
    assert_ne!(message, row.fallback_sentence, "{function}: nobody answered within the deadline");
    assert_ne!(answer.body["pending"], true, "{function}: {}", answer.body);
    assert_eq!(faults(message), [], "{function}: {message}");
    answer.body
}

async fn end(world: &World, calls: &mut [Call]) {
    for call in calls {
        call.end().await;
    }
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM slot_claims WHERE expires_at IS NOT NULL").await, 0, "nobody who hung up holds a time");
    assert_eq!(world.count("SELECT count(*) FROM callback_requests").await, 0, "nobody had to be called back");
}

/// Done 6. Each has a time of its own: all are offered it by one look into Cal.com's calendar, and all get it.
#[tokio::test]
async fn twenty_callers_at_opening_time_are_all_booked_and_none_hears_the_fallback() {
    let world = World::new().await;
    let mut calls: Vec<Call> = (0..CALLERS).map(|n| call(&world, n)).collect();
    for answer in all_at_once(&mut calls, "check_availability", wish).await {
        assert_eq!(answer["available"], true, "{answer}");
    }
    let looks = world.calcom.requests().iter().filter(|request| request.path.contains("/slots")).count();
    assert_eq!(looks, 1, "twenty questions about the same weeks are one request");
    for answer in all_at_once(&mut calls, "book_appointment", wish).await {
        assert_eq!((&answer["success"], &answer["booked"]), (&json!(true), &json!(true)), "{answer}");
    }
    end(&world, &mut calls).await;
    let times: BTreeSet<_> = world.calcom.live_bookings().iter().map(|booking| booking.start).collect();
    assert_eq!((times.len(), world.calcom.live_bookings().len()), (CALLERS, CALLERS));
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 20);
    world.finish().await;
}

/// Done 6 and 5, incident 30: four callers for each time, without having been offered it. One of the four gets it; the others hear that it is taken, none that it is booked.
#[tokio::test]
async fn of_twenty_callers_who_want_five_times_five_are_booked_and_fifteen_hear_that_it_is_taken() {
    let world = World::new().await;
    let mut calls: Vec<Call> = (0..CALLERS).map(|n| call(&world, n)).collect();
    let answers = all_at_once(&mut calls, "book_appointment", |n| wish(n % 5)).await;
    let mut booked = BTreeSet::new();
    for (n, answer) in answers.iter().enumerate() {
        if answer["booked"] == true {
            assert!(booked.insert(n % 5), "the same time was booked twice: {answer}");
            continue;
        }
        assert_eq!((&answer["success"], &answer["reason"]), (&json!(false), &json!("slot_taken")), "{answer}");
        let wished = wish(n % 5);
        let offered = answer["alternatives"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(offered.iter().all(|other| (&other["date"], &other["time"]) != (&wished["date"], &wished["time"])), "what is taken is offered: {answer}");
    }
    assert_eq!(booked.len(), 5, "{answers:?}");
    end(&world, &mut calls).await;
    assert_eq!(world.calcom.live_bookings().len(), 5);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 5);
    world.finish().await;
}
