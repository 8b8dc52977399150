//! What is particular about each call after the first: what its caller heard, and which rows must stand for it. Pure. Called by `judge`.
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};

use super::{Check, state, text};
use crate::demo::plan::{self, Plan, ZONE};
use crate::demo::rows::{Appointment, Seen};
use crate::demo::story::{Ring, Told};
use crate::demo::table::local;
use crate::retell_stand_in::StepAnswer;

/// Places in `Told::calls`; a call's number is one more.
const RETURNING: usize = 1;
const ANONYMOUS: usize = 2;
const FIRST_RIVAL: usize = 3;
const SECOND_RIVAL: usize = 4;
const TRANSFERRED: usize = 5;

/// Greeted by name and as a gold customer; the appointment and the call keep the other name, the customer keeps the own one (incident 48).
pub fn returning(plan: &Plan, seen: &Seen, told: &Told) -> [Check; 4] {
    let call = told.calls.get(RETURNING);
    let greeting = call.and_then(|call| call.sentences().next()).map_or("nothing", |(_, sentence)| sentence);
    let by_name = if greeting.contains(plan::CALLER_NAME) { plan::CALLER_NAME } else { greeting };
    let tier = answer_field(call, "apply_vip_benefits", "vip_tier");
    let for_whom = |row: &Appointment| format!("customer {}, for {}", text(row.customer.as_ref()), text(row.name_given.as_ref()));
    let told_name = seen.calls.get(RETURNING).map(|call| format!("{}, of customer {}", text(call.name_given.as_ref()), text(call.customer.as_ref())));
    [
        Check::new("the returning caller is greeted as", format!("{}, gold", plan::CALLER_NAME), format!("{by_name}, {tier}")),
        Check::new("appointment #3", format!("booked, {}, from call #2", local(plan.for_son)), found(seen, 2, state)),
        Check::new("appointment #3 is for somebody else", format!("customer {}, for {}", plan::CALLER_NAME, plan::SON_NAME), found(seen, 2, for_whom)),
        Check::new("the name told in call #2", format!("{}, of customer {}", plan::SON_NAME, plan::CALLER_NAME), told_name.unwrap_or_default()),
    ]
}

/// May book, may not cancel: the appointment stands, somebody calls back (incident 53).
pub fn anonymous(plan: &Plan, seen: &Seen, told: &Told) -> [Check; 2] {
    let call = told.calls.get(ANONYMOUS);
    let heard = format!("{}, {}", answer_field(call, "book_appointment", "status"), answer_field(call, "cancel_appointment", "reason"));
    [
        Check::new("appointment #4", format!("booked, {}, from call #3", local(plan.anonymous)), found(seen, 3, state)),
        Check::new("who withholds the number heard", "booked, callback_queued", heard),
    ]
}

/// One of two has the time; the other heard what else there is, and has that (incident 30).
pub fn race(plan: &Plan, seen: &Seen, told: &Told) -> [Check; 4] {
    let mut who: Vec<String> = seen.appointments.iter().filter(|row| row.starts_at == plan.contested).map(|row| format!("#{}", row.number)).collect();
    who.sort();
    let heard = |place: usize| {
        let answers = told.calls.get(place).into_iter().flat_map(|call| call.answers("book_appointment"));
        let heard: Vec<String> = answers.map(|answer| if answer.body["booked"] == true { "booked".to_owned() } else { field(answer, "reason") }).collect();
        heard.join(", ")
    };
    [
        Check::new(format!("who has {}", local(plan.contested)), "#5", who.join(", ")),
        Check::new("the first of two heard", "booked", heard(FIRST_RIVAL)),
        Check::new("the second of two heard", "slot_taken, booked", heard(SECOND_RIVAL)),
        Check::new("appointment #6", format!("booked, {}, from call #5", offered(told)), found(seen, 5, state)),
    ]
}

/// Exactly one callback for the failed transfer, one for the wish of the anonymous caller, and no other; no name told became a customer's.
pub fn transfer(seen: &Seen, told: &Told) -> [Check; 3] {
    let callbacks: Vec<String> =
        seen.callbacks.iter().map(|row| format!("call #{} {}, {}, {}", text(row.call_number.as_ref()), row.reason, row.priority, row.state)).collect();
    let mut customers = [plan::CALLER_NAME, plan::VISITOR_NAME, plan::ANONYMOUS_NAME, plan::RIVALS[0].1, plan::RIVALS[1].1];
    customers.sort_unstable();
    let mut names = seen.customers.clone();
    names.sort();
    [
        Check::new("the transferred caller heard", "transfer", answer_field(told.calls.get(TRANSFERRED), "transfer_call", "action")),
        Check::new("callbacks", "call #3 anonymous_change, high, open; call #6 transfer_failed, high, open", callbacks.join("; ")),
        Check::new("customers", customers.join(", "), names.join(", ")),
    ]
}

/// The first time that the second of two was offered instead.
pub fn offered(told: &Told) -> String {
    let lost = told.calls.get(SECOND_RIVAL).and_then(|call| call.answers("book_appointment").next());
    lost.and_then(first_offer).map_or_else(|| "nothing was offered".to_owned(), local)
}

fn first_offer(answer: &StepAnswer) -> Option<DateTime<Utc>> {
    let offer = answer.body.pointer("/alternatives/0")?;
    let civil = format!("{} {}", offer.get("date")?.as_str()?, offer.get("time")?.as_str()?);
    let civil = NaiveDateTime::parse_from_str(&civil, "%Y-%m-%d %H:%M").ok()?;
    ZONE.from_local_datetime(&civil).single().map(|at| at.with_timezone(&Utc))
}

fn found(seen: &Seen, place: usize, of: impl Fn(&Appointment) -> String) -> String {
    seen.appointments.get(place).map_or_else(|| "no such appointment".to_owned(), of)
}

fn answer_field(call: Option<&Ring>, step: &str, name: &str) -> String {
    call.and_then(|call| call.answers(step).next()).map_or_else(|| "no answer".to_owned(), |answer| field(answer, name))
}

/// A text field of an answer.
pub fn field(answer: &StepAnswer, name: &str) -> String {
    answer.body.get(name).and_then(serde_json::Value::as_str).unwrap_or("nothing").to_owned()
}
