//! The callers of `cargo dev bench live`: each asks whether a time of its own is free and books it two seconds later, through the Retell stand-in, signed. The rate is fixed: a
//! request has its planned moment whatever became of the ones before, and its latency counts from that moment, so that a slow server cannot hide behind its own slowness.
//!
//! Called by the program `bench_peers`, which is built as the product is; not a judge: `live` reads what each heard.
use std::time::Duration as Span;

use anyhow::{Context, ensure};
use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::retell_stand_in::{Answer, Call, Config, FunctionRequest, RetellStandIn, Target};

/// Between what is free and the yes.
const THINKS: Span = Span::from_secs(2);
/// Nothing is measured before both kinds of requests have come that long.
const WARM_UP: Span = Span::from_secs(3);
/// From the start of the process to the first request.
const LEAD: Span = Span::from_millis(500);
/// A request is made ready that long before its moment.
const PREPARE: Span = Span::from_millis(20);
/// The stand-in's calendar: nine to six, half hours, no Sundays.
const OPENS_HOUR: u32 = 9;
const STARTS_A_DAY: usize = 18;
const START_MINUTES: i64 = 30;
/// The first wished day: beyond every notice.
const FIRST_DAY_AHEAD: u64 = 3;
/// Services in turn, with the event types that Cal.com is asked for: one person, and whoever is free of two.
const SERVICES: [(&str, i64); 2] = [("Beratung", 1321), ("Herrenhaarschnitt", 1320)];

/// The next company's event types are numbered so much higher.
pub const EVENT_TYPE_STEP: i64 = 10_000;

/// What to say, where and how often.
#[derive(Debug, Clone)]
pub struct Callers {
    pub target: Target,
    /// One for each company; callers ring them in turn.
    pub numbers: Vec<String>,
    /// Measured requests.
    pub calls: usize,
    /// Requests a second.
    pub rate: usize,
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    Check,
    Book,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Free, and booked.
    Done,
    /// Answered otherwise; why.
    Refused(String),
    /// The fallback sentence, or nothing.
    Missed,
}

/// One measured request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heard {
    pub retell_call_id: String,
    pub event_type_id: i64,
    pub wish: Wish,
    pub planned_at: DateTime<Utc>,
    pub latency_us: u64,
    pub ended: Ended,
}

/// When what is sent. Even ticks ask, odd ones book; between the first booking and the last question each tick has its request.
#[derive(Debug, Clone, Copy)]
struct Timetable {
    callers: usize,
    /// Ticks between a caller's question and its booking, always an odd number.
    apart: usize,
    /// The first measured tick.
    measured_from: usize,
}

impl Timetable {
    fn new(calls: usize, rate: usize) -> Self {
        let ticks = |span: Span| usize::try_from(span.as_secs()).unwrap_or_default() * rate;
        let apart = ticks(THINKS) | 1;
        let measured_from = (apart + ticks(WARM_UP)).next_multiple_of(2);
        Self { callers: (measured_from + calls).div_ceil(2), apart, measured_from }
    }

    /// The ticks of a caller.
    fn of(self, caller: usize) -> [usize; 2] {
        [2 * caller, 2 * caller + self.apart]
    }

    fn is_measured(self, tick: usize) -> bool {
        (self.measured_from..2 * self.callers).contains(&tick)
    }
}

/// Speaks with all of them; what was heard in the measured time.
pub async fn run(callers: Callers) -> anyhow::Result<Vec<Heard>> {
    ensure!(!callers.numbers.is_empty(), "nobody is called");
    let retell = RetellStandIn::start(Config { target: callers.target.clone(), ..Config::default() }).await.context("no free port for the Retell stand-in")?;
    let timetable = Timetable::new(callers.calls, callers.rate);
    let start = Start { at: Instant::now() + LEAD, wall: Clock::system().now() + LEAD, rate: callers.rate };
    let mut conversations = JoinSet::new();
    for n in 0..timetable.callers {
        let company = n % callers.numbers.len();
        let call = retell.inbound(&format!("+4915180{n:06}"), &callers.numbers[company]);
        let (service, event_type_id) = SERVICES[n / callers.numbers.len() % SERVICES.len()];
        let event_type_id = event_type_id + EVENT_TYPE_STEP * i64::try_from(company)?;
        conversations.spawn(speak(call, n, (service, event_type_id), timetable, start));
    }
    let mut heard: Vec<Heard> = conversations.join_all().await.into_iter().flatten().collect();
    heard.sort_by_key(|heard| heard.planned_at);
    Ok(heard)
}

#[derive(Debug, Clone, Copy)]
struct Start {
    at: Instant,
    wall: DateTime<Utc>,
    rate: usize,
}

impl Start {
    fn offset(self, tick: usize) -> Span {
        Span::from_micros(tick as u64 * 1_000_000 / self.rate as u64)
    }
}

async fn speak(mut call: Call, n: usize, (service, event_type_id): (&str, i64), timetable: Timetable, start: Start) -> Vec<Heard> {
    let (date, time) = time_of(n, start.wall.date_naive());
    let arguments = json!({ "date": date, "time": time, "service_name": service, "customer_name": "Jürgen Groß" });
    let mut heard = Vec::with_capacity(2);
    for (wish, tick) in [Wish::Check, Wish::Book].into_iter().zip(timetable.of(n)) {
        let planned = start.at + start.offset(tick);
        tokio::time::sleep_until(planned - PREPARE).await;
        let request = prepare(&mut call, wish, &arguments);
        tokio::time::sleep_until(planned).await;
        let answer = call.send_function(&request).await;
        let latency_us = u64::try_from(planned.elapsed().as_micros()).unwrap_or(u64::MAX);
        if timetable.is_measured(tick) {
            let planned_at = start.wall + start.offset(tick);
            heard.push(Heard { retell_call_id: call.id(), event_type_id, wish, planned_at, latency_us, ended: ended(wish, &answer) });
        }
    }
    heard
}

fn prepare(call: &mut Call, wish: Wish, arguments: &Value) -> FunctionRequest {
    let function = if wish == Wish::Check { "check_availability" } else { "book_appointment" };
    call.prepare_function(function, arguments.clone())
}

fn ended(wish: Wish, answer: &Answer) -> Ended {
    let done = match wish {
        Wish::Check => &answer.body["available"],
        Wish::Book => &answer.body["booked"],
    };
    if answer.status != 200 || answer.body["pending"] == true {
        Ended::Missed
    } else if *done == true {
        Ended::Done
    } else {
        Ended::Refused(answer.body["reason"].as_str().unwrap_or("without a reason").to_owned())
    }
}

/// The n-th time of the calendar, as it is told: every caller has one of its own.
fn time_of(n: usize, today: NaiveDate) -> (String, String) {
    let open = (today + Days::new(FIRST_DAY_AHEAD)).iter_days().filter(|day| day.weekday() != Weekday::Sun);
    // days never end before the callers do
    let day = open.into_iter().nth(n / STARTS_A_DAY).unwrap_or(today);
    let half_hours = i64::try_from(n % STARTS_A_DAY).unwrap_or_default();
    let opens = NaiveTime::from_hms_opt(OPENS_HOUR, 0, 0).unwrap_or_default();
    let time = opens + Duration::minutes(START_MINUTES * half_hours);
    (day.format("%Y-%m-%d").to_string(), time.format("%H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_measured_tick_has_its_one_request() {
        for (calls, rate) in [(2000, 50), (400, 7), (10, 100)] {
            let timetable = Timetable::new(calls, rate);
            let ticks: Vec<usize> = (0..timetable.callers).flat_map(|caller| timetable.of(caller)).filter(|tick| timetable.is_measured(*tick)).collect();
            let different: BTreeSet<usize> = ticks.iter().copied().collect();
            assert_eq!(ticks.len(), different.len(), "{rate} a second");
            assert!(ticks.len() >= calls && ticks.len() <= calls + 1, "{} of {calls}", ticks.len());
            assert_eq!(different.last().unwrap() - different.first().unwrap() + 1, ticks.len(), "without a gap");
        }
    }

    #[test]
    fn no_two_callers_wish_for_the_same_time() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let times: BTreeSet<(String, String)> = (0..1500).map(|n| time_of(n, today)).collect();
        assert_eq!(times.len(), 1500);
        assert_eq!(times.first().unwrap(), &("2026-11-23".to_owned(), "09:00".to_owned()));
        assert!(times.iter().all(|(_, time)| time.as_str() >= "09:00" && time.as_str() <= "17:30"));
    }
}
