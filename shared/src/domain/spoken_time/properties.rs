//! What must hold for every text and every time: what we say we understand, nothing that is over is a value, no text makes us panic.
//!
//! `PROPTEST_CASES=10000 cargo test -p shared spoken_time::properties` looks further; a failure prints the smallest text. A found one becomes a row of the table.

use chrono::{Days as Count, Duration, Months, NaiveDate, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Europe::Berlin;
use proptest::prelude::*;

use super::tests::{now, rows};
use super::*;
use crate::domain::local_time;

/// Any millisecond from 2025 to 2036.
fn any_now() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..12 * 366 * 24 * 60, 0_i64..60_000)
        .prop_map(|(minutes, milliseconds)| now("2025-01-01 00:00Z") + Duration::minutes(minutes) + Duration::milliseconds(milliseconds))
}

fn any_time() -> impl Strategy<Value = NaiveTime> {
    (0_u32..24 * 60).prop_map(|minutes| NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0).unwrap())
}

/// One end, or both in their order.
fn any_times() -> impl Strategy<Value = Times> {
    (any_time(), any_time(), 0..3).prop_map(|(one, other, ends)| match ends {
        0 => Times { from: Some(one), to: None },
        1 => Times { from: None, to: Some(one) },
        // Equal ends without days are a time, not a range.
        _ if one == other => Times { from: Some(one), to: None },
        _ => Times { from: Some(one.min(other)), to: Some(one.max(other)) },
    })
}

fn today(now: DateTime<Utc>) -> NaiveDate {
    now.with_timezone(&Berlin).date_naive()
}

fn spoken_and_heard(meaning: &Meaning, now: DateTime<Utc>) -> (String, Meaning) {
    let spoken = speak::value(meaning, today(now)).expect("only values are spoken here");
    let heard = understand(&spoken, now, Berlin);
    (spoken, heard)
}

/// Rows of the table, words of the table in any order, and rows with a word lost or doubled.
fn any_words() -> impl Strategy<Value = String> {
    let rows: Vec<Vec<&str>> = rows().iter().map(|row| row.phrase.split_whitespace().collect()).collect();
    let mut words: Vec<&str> = rows.iter().flatten().copied().collect();
    words.sort_unstable();
    words.dedup();
    let soup = prop::collection::vec(prop::sample::select(words.clone()), 1..7);
    let two_rows = (prop::sample::select(rows.clone()), prop::sample::select(rows.clone())).prop_map(|(one, other)| [one, other].concat());
    let damaged =
        (prop::sample::select(rows), any::<prop::sample::Index>(), prop::option::of(prop::sample::select(words))).prop_map(|(mut row, place, word)| {
            let place = place.index(row.len());
            match word {
                Some(word) => row[place] = word,
                None => drop(row.remove(place)),
            }
            row
        });
    prop_oneof![soup, two_rows, damaged].prop_map(|words| words.join(" "))
}

/// Eight times the default (256, or `PROPTEST_CASES`): a case takes microseconds.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { failure_persistence: None, cases: default.cases * 8, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_moment_that_is_spoken_is_heard_as_the_same_moment(now in any_now(), days in 0_u64..366, time in any_time()) {
        let date = today(now) + Count::new(days);
        prop_assume!(date <= today(now) + Months::new(12));
        let Ok(at) = local_time::instant(date, time, Berlin) else { return Ok(()) };
        prop_assume!(at >= now);
        let meaning = Meaning::Moment { local: date.and_time(time), at };
        let (spoken, heard) = spoken_and_heard(&meaning, now);
        prop_assert_eq!(heard, meaning, "{}", spoken);
    }

    #[test]
    fn a_day_or_a_part_of_it_that_is_spoken_is_heard_as_the_same(now in any_now(), days in 1_u64..366, part in prop::sample::select(PARTS.to_vec())) {
        let date = today(now) + Count::new(days);
        prop_assume!(date <= today(now) + Months::new(12));
        for meaning in [Meaning::Date(date), Meaning::Part { date: Some(date), part }, Meaning::Part { date: None, part }] {
            let (spoken, heard) = spoken_and_heard(&meaning, now);
            prop_assert_eq!(heard, meaning, "{}", spoken);
        }
    }

    #[test]
    fn a_range_that_is_spoken_is_heard_as_the_same(
        now in any_now(),
        first in 1_u64..180,
        length in prop::option::of(0_u64..180),
        times in any_times(),
        has: (bool, bool),
    ) {
        let first = today(now) + Count::new(first);
        let last = length.map(|length| first + Count::new(length));
        // At least one of both.
        let days = (has.0 || !has.1).then_some(Days { first, last });
        let times = has.1.then_some(times);
        let meaning = Meaning::Range { days, times };
        let (spoken, heard) = spoken_and_heard(&meaning, now);
        prop_assert_eq!(heard, meaning, "{}", spoken);
    }

    /// Incidents 56, 60, 62.
    #[test]
    fn no_words_make_a_value_that_is_over_or_beyond_the_horizon(now in any_now(), text in any_words()) {
        let today = today(now);
        let in_reach = |date: NaiveDate| date >= today && date <= today + Months::new(12);
        match understand(&text, now, Berlin) {
            Meaning::Date(date) | Meaning::Part { date: Some(date), .. } => prop_assert!(in_reach(date), "{}: {}", text, date),
            Meaning::Moment { local, at } => {
                prop_assert!(in_reach(local.date()) && at > now - Duration::minutes(1), "{}: {}", text, local);
                prop_assert_eq!(at.with_timezone(&Berlin).naive_local(), local);
                prop_assert_eq!((local.second(), local.nanosecond(), at.second()), (0, 0, 0));
            }
            Meaning::Range { days, times } => {
                prop_assert!(days.is_some() || times.is_some(), "{}", text);
                prop_assert!(days.is_none_or(|days| in_reach(days.first) && days.last.is_none_or(|last| days.first <= last)), "{}: {:?}", text, days);
                prop_assert!(times.is_none_or(|times| times.from.is_some() || times.to.is_some()), "{}", text);
                let ordered = |times: Times| times.from.zip(times.to).is_none_or(|(from, to)| from <= to);
                prop_assert!(times.is_none_or(ordered), "{}: {:?}", text, times);
            }
            Meaning::Ask(question) => {
                prop_assert!(question.readings.len() <= READINGS_MAX);
                prop_assert!(question.readings.iter().all(|reading| reading.date.is_some() || reading.time.is_some()), "{}", text);
                let sentence = crate::texts::times::question(&question, today);
                prop_assert_eq!(crate::texts::lint::faults(&sentence), [], "{}: {}", text, sentence);
            }
            Meaning::Time(_) | Meaning::Part { date: None, .. } | Meaning::Refuse(_) => {}
        }
    }

    /// Whatever is taken for a value can be read back to the caller without changing.
    #[test]
    fn every_value_that_is_understood_can_be_spoken_and_is_heard_again(now in any_now(), text in any_words()) {
        let meaning = understand(&text, now, Berlin);
        if matches!(meaning, Meaning::Ask(_) | Meaning::Refuse(_)) {
            return Ok(());
        }
        if let Meaning::Moment { local, at } = meaning
            && local_time::instant(local.date(), local.time(), Berlin) != Ok(at)
        {
            // "In einer Stunde" at the second half past two: no words of a clock say which one.
            return Ok(());
        }
        let (spoken, heard) = spoken_and_heard(&meaning, now);
        prop_assert_eq!(heard, meaning, "{} -> {}", text, spoken);
    }

    #[test]
    fn no_text_makes_us_panic(now in any_now(), text in "\\PC{0,80}", figures in "[0-9.:\\-/ h]{0,24}( Uhr)?") {
        let _ = understand(&text, now, Berlin);
        let _ = understand(&figures, now, Berlin);
    }

    #[test]
    fn days_are_counted_on_the_wall_not_in_hours(now in any_now(), days in 1_i64..300) {
        prop_assume!(days != 8);
        let date = today(now) + Duration::days(days);
        prop_assert_eq!(understand(&format!("in {days} Tagen"), now, Berlin), Meaning::Date(date));
        let minutes = days;
        let Meaning::Moment { local, at } = understand(&format!("in {minutes} Minuten"), now, Berlin) else { panic!("a moment") };
        // Appointments start on minutes.
        prop_assert_eq!(at, (now + Duration::minutes(minutes)).with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap());
        prop_assert_eq!(local, at.with_timezone(&Berlin).naive_local());
    }
}

const PARTS: [Part; 5] = [Part::Early, Part::Forenoon, Part::Noon, Part::Afternoon, Part::Evening];

/// Incident 63, faults E6: rule R9, for each minute of both days of each year.
#[test]
fn each_minute_of_the_days_of_the_clock_change_is_right() {
    for (year, spring, autumn) in [(2025, 30, 26), (2026, 29, 25), (2027, 28, 31)] {
        for (month, day) in [(3, spring), (10, autumn)] {
            let date = NaiveDate::from_ymd_opt(year, month, day).unwrap();
            let now = Berlin.from_local_datetime(&(date - Count::new(3)).and_hms_opt(10, 0, 0).unwrap()).unwrap().with_timezone(&Utc);
            let (mut refused, mut doubled) = (0, 0);
            for minutes in 0..24 * 60 {
                let time = NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0).unwrap();
                let spoken = format!("{} um {}", speak::date(date, speak::Case::Nominative, today(now)), speak::time(time));
                match understand(&spoken, now, Berlin) {
                    Meaning::Refuse(Refusal::SkippedHour) => refused += 1,
                    Meaning::Moment { local, at } => {
                        assert_eq!(local, date.and_time(time), "{spoken}");
                        let offset = at.with_timezone(&Berlin).offset().fix().local_minus_utc() / 3600;
                        // In spring from three o'clock on, in autumn until three o'clock: the first of the doubled hour.
                        assert_eq!(offset == 2, (time.hour() >= 3) == (month == 3), "{spoken}");
                        doubled += usize::from(Berlin.from_local_datetime(&local).latest().unwrap() != at);
                    }
                    other => panic!("{spoken}: {other:?}"),
                }
            }
            assert_eq!((refused, doubled), if month == 3 { (60, 0) } else { (0, 60) }, "{date}");
        }
    }
}

#[test]
fn each_minute_of_a_day_that_is_spoken_is_heard_as_the_same_time() {
    let now = now("2025-10-18 10:00");
    for minutes in 0..24 * 60 {
        let time = NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0).unwrap();
        let spoken = speak::time(time);
        assert_eq!(understand(&spoken, now, Berlin), Meaning::Time(time), "{spoken}");
        assert_eq!(understand(&format!("um {spoken}"), now, Berlin), Meaning::Time(time), "{spoken}");
    }
}
