//! Every form in which a day and a time are told, and what of it may book: incidents 56 to 63, by the arguments as models write them.

use chrono_tz::Europe::Berlin;
use shared::texts::lint::faults;

use super::*;

/// Tuesday.
const NOW: &str = "2026-11-24T10:00:00Z";

fn told(arguments: Value) -> Wished {
    let Value::Object(map) = arguments else { panic!("an object") };
    wished(&Arguments::new(map), Which::Start, NOW.parse().unwrap(), Berlin)
}

fn at(text: &str) -> Wished {
    Wished::Moment(local_time::instant(text[..10].parse().unwrap(), NaiveTime::parse_from_str(&text[11..], "%H:%M").unwrap(), Berlin).unwrap())
}

fn reason(wished: Wished) -> String {
    match wished.moment(Which::Start) {
        Ok(at) => panic!("{at} is a moment"),
        Err(answer) => {
            let message = answer["message"].as_str().unwrap();
            assert_eq!(faults(message), [], "{message}");
            assert_eq!(answer["success"], false);
            answer["reason"].as_str().unwrap().to_owned()
        }
    }
}

/// Incidents 57 to 59 and 65: what machines write and what people say, in one argument or in two.
#[test]
fn a_day_and_a_time_are_one_moment_however_they_are_told() {
    let thursday = at("2026-11-26 10:00");
    for arguments in [
        json!({"date": "2026-11-26", "time": "10:00"}),
        json!({"datum": "26.11.2026", "uhrzeit": "10 Uhr"}),
        json!({"datum": "26.11.2026", "uhrzeit": "zehn Uhr vormittags"}),
        json!({"date": "2026-11-26", "time": "10"}),
        json!({"date": "Donnerstag", "time": "10:00"}),
        json!({"date": "übermorgen", "time": "zehn Uhr"}),
        json!({"date": "Donnerstag, den 26. November", "time": "10:00 Uhr"}),
        json!({"datetime": "2026-11-26T10:00:00"}),
        json!({"datetime": "2026-11-26T09:00:00Z"}),
        json!({"zeitpunkt": "übermorgen um 10 Uhr"}),
        json!({"date": "2026-11-26T10:00", "time": "10:00"}),
        json!({"date": "übermorgen um 10 Uhr", "time": "10:00"}),
        json!({"date": "übermorgen um 10 Uhr"}),
        json!({"date": "{{date}}", "datum": "26.11.2026", "time": "10:00"}),
    ] {
        assert_eq!(told(arguments.clone()), thursday, "{arguments}");
    }
    assert_eq!(told(json!({"date": "2026-11-26", "time": "halb zehn vormittags"})), at("2026-11-26 09:30"));
    assert_eq!(told(json!({"date": "morgen", "time": "14:30"})), at("2026-11-25 14:30"));
}

/// What figures without a leading zero show is a clock's face, by the same rule as what is said (R1 of `domain::spoken_time`): nobody comes at a quarter past three at night.
#[test]
fn a_time_in_figures_is_read_as_if_it_were_said() {
    let afternoon = at("2026-11-26 15:15");
    for arguments in [
        json!({"date": "2026-11-26", "time": "3:15"}),
        json!({"datum": "26.11.2026", "uhrzeit": "3:15 Uhr"}),
        json!({"date": "übermorgen", "time": "3:15"}),
        json!({"datetime": "2026-11-26 3:15"}),
        json!({"datetime": "2026-11-26T15:15:00", "time": "3:15"}),
        json!({"date": "übermorgen um 15:15", "time": "3:15"}),
    ] {
        assert_eq!(told(arguments.clone()), afternoon, "{arguments}");
    }
    assert_eq!(told(json!({"date": "2026-11-26", "time": "03:15"})), at("2026-11-26 03:15"), "a leading zero is a clock of 24 hours");
    for (time, read) in [("9:30", "09:30"), ("7:15", "07:15"), ("12:30", "12:30"), ("3:15 nachts", "03:15")] {
        assert_eq!(told(json!({"date": "2026-11-26", "time": time})), at(&format!("2026-11-26 {read}")), "{time}");
    }
}

/// Incident 62: "diese Woche" and "vormittags" were booked as tomorrow 14:00.
#[test]
fn what_is_vague_is_searched_or_asked_and_never_booked() {
    for (arguments, expected) in [
        (json!({}), "date_required"),
        (json!({"date": "2026-11-26"}), "time_required"),
        (json!({"date": "morgen"}), "time_required"),
        (json!({"time": "10:00"}), "date_required"),
        (json!({"date": "morgen", "time": "vormittags"}), "time_required"),
        (json!({"date": "2026-11-26", "time": "nachmittags"}), "time_required"),
        (json!({"date": "nächste Woche", "time": "10:00"}), "time_required"),
        (json!({"date": "Montag oder Dienstag", "time": "10:00"}), "ambiguous_time"),
        (json!({"date": "irgendwann", "time": "10:00"}), "time_required"),
        (json!({"date": "Quatsch", "time": "10:00"}), "not_understood"),
        (json!({"date": "2026-11-26T10:00", "time": "11:00"}), "ambiguous_time"),
    ] {
        assert_eq!(reason(told(arguments.clone())), expected, "{arguments}");
    }
    let days = Some(Days { first: "2026-11-25".parse().unwrap(), last: "2026-11-25".parse().ok() });
    assert_eq!(told(json!({"date": "morgen", "time": "vormittags"})), Wished::Search { days, times: Some(spoken_time::Part::Forenoon.times()) });
    assert_eq!(told(json!({"date": "26.11.2026"})), Wished::Date("2026-11-26".parse().unwrap()));
    assert_eq!(told(json!({"time": "10:00"})), Wished::Time(NaiveTime::from_hms_opt(10, 0, 0).unwrap()));
}

/// Incidents 56 and 60: dates of 2023 and 2024, and a year that surprises.
#[test]
fn the_past_and_the_far_future_are_asked_back() {
    for (arguments, expected) in [
        (json!({"date": "04.10.2023", "time": "16:00"}), "past_date"),
        (json!({"date": "2023-06-13", "time": "16:00"}), "past_date"),
        (json!({"date": "2026-11-24", "time": "09:00"}), "past_date"),
        (json!({"date": "2026-11-23"}), "past_date"),
        (json!({"date": "gestern", "time": "10:00"}), "past_date"),
        (json!({"date": "2027-11-26", "time": "10:00"}), "too_far"),
        (json!({"date": "2028-01-01"}), "too_far"),
        (json!({"date": "20. November", "time": "10:00"}), "far_date"),
    ] {
        let found = reason(told(arguments.clone()));
        assert!(found == expected || (expected == "far_date" && found == "past_date"), "{arguments}: {found}");
    }
    let map = Map::from_iter([("old_date".to_owned(), json!("2026-11-20")), ("old_time".to_owned(), json!("10:00"))]);
    assert_eq!(wished(&Arguments::new(map), Which::Old, NOW.parse().unwrap(), Berlin), at("2026-11-20 10:00"), "an appointment that there is may lie anywhere");
}

/// Incident 63.
#[test]
fn the_hour_that_the_clocks_skip_is_refused_in_every_form() {
    for arguments in [json!({"date": "2027-03-28", "time": "02:30"}), json!({"date": "28.03.2027", "time": "2 Uhr 30 nachts"})] {
        assert_eq!(reason(told(arguments.clone())), "no_such_time", "{arguments}");
    }
}

#[test]
fn the_new_time_of_a_move_is_asked_as_such() {
    let Err(answer) = Wished::Date("2026-11-26".parse().unwrap()).moment(Which::New) else { panic!("a date is no moment") };
    assert_eq!(answer["message"], Key::AskNewDateAndTime.german());
}

/// Incidents 56, 60, 62 and 66: the days and times that `bad_tool_calls` sends through the whole system, here all at once.
#[test]
fn what_a_model_makes_up_is_asked_back() {
    let wrong: Vec<String> = [
        (json!({"date": "17. Juni 2024", "time": "10:00"}), "past_date"),
        (json!({"datetime": "2024-05-17T10:00:00Z"}), "past_date"),
        (json!({"date": "31. Februar", "time": "10:00"}), "invalid_date"),
        (json!({"date": "31.02.2027", "time": "10:00"}), "invalid_date"),
        (json!({"date": "2027-02-30", "time": "10:00"}), "invalid_date"),
        (json!({"date": "16.05.2024", "time": "10:00"}), "date_required"),
        (json!({"date": "{{new_datum}}", "time": "10:00"}), "date_required"),
        (json!({"date": "diese Woche", "time": "vormittags"}), "time_required"),
        (json!({"date": "4. November", "time": "10:00"}), "far_date"),
        (json!({"date": "2099-01-05", "time": "10:00"}), "too_far"),
        (json!({"date": ["2026-11-26"], "time": "10:00"}), "argument"),
        (json!({"date": "2026-11-26", "time": {"hour": 10}}), "argument"),
        (json!({"date": 20_261_126, "time": "10:00"}), "not_understood"),
        (json!({"date": "2026-11-26", "time": null}), "time_required"),
        (json!({"date": "2026-11-26", "time": "25:00"}), "no_such_time"),
        (json!({"date": "2026-11-26", "time": "zwischen 9 und 11"}), "time_required"),
    ]
    .into_iter()
    .filter_map(|(arguments, expected)| {
        let found = reason(told(arguments.clone()));
        (found != expected).then(|| format!("{arguments}: {found}, not {expected}"))
    })
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
