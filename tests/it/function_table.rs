//! Done 1 of issue 4: the table functions × cases, enumerated from the registry. `NEXTEST_SUCCESS_OUTPUT=immediate cargo dev test function_table` prints it.
//!
//! `cells` says what each function answers (a function without its cells does not compile), `scene` what stood before; the cases that follow from the registry alone (a missing
//! argument, a wrong type, the German names, a version, a repetition, the order of call_started) are derived here. Each cell asserts fields, rows and sentence.

mod cells;
mod scene;

use regex::Regex;
use serde_json::{Map, Value, json};
use shared::envelope::Role;
use shared::functions::{Form, Function, Need, Parameter, Row, TABLE};
use shared::texts::{Key, lint};

use cells::{Cell, Entry};
use scene::{Before, Caller, FOREIGN, Scene};

/// Functions that nobody carries out yet: their cells are open, and the table says so. A function that no longer refuses must leave this list.
const OPEN: [Function; 0] = [];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Found,
    None,
    Anonymous,
    Missing,
    WrongType,
    German,
    Version,
    Repeated,
    BeforeStarted,
    Foreign,
}

const CASES: [(Case, &str); 10] = [
    (Case::Found, "found"),
    (Case::None, "none"),
    (Case::Anonymous, "anonymous"),
    (Case::Missing, "missing"),
    (Case::WrongType, "wrong type"),
    (Case::German, "German"),
    (Case::Version, "_v17"),
    (Case::Repeated, "repeated"),
    (Case::BeforeStarted, "unstarted"),
    (Case::Foreign, "foreign"),
];

/// Incidents 33, 37, 39, 40, 41, 44, 52, 53, 65, 78, 79 and 84, each for every function.
#[tokio::test]
async fn every_function_answers_in_every_case() {
    let scene = Scene::new().await;
    let (mut lines, mut impossible, mut wrong, mut played, mut open) = (Vec::new(), Vec::new(), Vec::new(), 0, 0);
    for row in &TABLE {
        let mut line = format!("{:<28}", row.names[0]);
        for (case, name) in CASES {
            let mark = match cell_of(row, case) {
                Entry::Not(why) => {
                    impossible.push(format!("– {} × {name}: {why}", row.names[0]));
                    "–"
                }
                Entry::Is(_) if OPEN.contains(&row.function) => {
                    open += 1;
                    "open"
                }
                Entry::Is(cell) => match play(&scene, row, case, &cell).await {
                    Ok(()) => {
                        played += 1;
                        "ok"
                    }
                    Err(what) => {
                        wrong.push(format!("{} × {name}: {what}", row.names[0]));
                        "WRONG"
                    }
                },
            };
            line.push_str(&format!("{mark:<12}"));
        }
        lines.push(line);
    }
    let header: String = CASES.iter().map(|(_, name)| format!("{name:<12}")).collect();
    println!("{:<28}{header}\n{}", "function", lines.join("\n"));
    println!(
        "{} functions × {} cases: {played} hold, {} wrong, {open} open, {} cannot be:\n{}",
        TABLE.len(),
        CASES.len(),
        wrong.len(),
        impossible.len(),
        impossible.join("\n")
    );
    for row in &TABLE {
        let refused = scene.world.retell.inbound("+4915117999999", scene::OUR_NUMBER).function(row.names[0], json!({})).await.body;
        let is_open = refused["message"] == Key::CannotDoThis.german() && refused["reason"] == "not_available";
        assert_eq!(is_open, OPEN.contains(&row.function), "{}: OPEN is out of date: {refused}", row.names[0]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played > 180 || open > 0, "{played} cells");
    scene.world.settle_all().await;
    scene.world.finish().await;
}

/// Issue 4: a repeated read is asked anew, also one that found nothing a moment ago.
#[tokio::test]
async fn a_question_that_found_nothing_is_asked_anew() {
    let scene = Scene::new().await;
    let Caller { mut call, slot, .. } = scene.caller(Before::Customer, false).await;
    let nothing = call.function("query_appointment", json!({})).await.body;
    assert_eq!((&nothing["success"], &nothing["reason"]), (&json!(false), &json!("not_found")));
    let booked = call.function("book_appointment", json!({ "date": slot[0], "time": slot[1], "service_name": "Beratung" })).await.body;
    assert_eq!(booked["booked"], true, "{booked}");
    let found = call.function("query_appointment", json!({})).await.body;
    assert_eq!((&found["success"], found["appointments"].as_array().map(Vec::len)), (&json!(true), Some(1)), "{found}");
    scene.world.settle_all().await;
    scene.world.finish().await;
}

/// The cell of a function and a case, by the registry or by `cells`.
fn cell_of(row: &Row, case: Case) -> Entry {
    let entries = cells::of(row.function);
    match case {
        Case::Found | Case::German | Case::Version | Case::Repeated | Case::BeforeStarted => Entry::Is(Box::new(entries.found)),
        Case::None => entries.none,
        Case::Anonymous => entries.anonymous,
        Case::Foreign => entries.foreign,
        Case::Missing => match row.parameters.iter().find(|parameter| parameter.need == Need::Required) {
            None => Entry::Not("it needs no argument"),
            Some(parameter) => Entry::Is(Box::new(asking(entries.found, parameter, None))),
        },
        Case::WrongType => match row.parameters.iter().find_map(|parameter| Some((parameter, wrong_value(parameter.argument.form)?))) {
            None => Entry::Not("every value will do"),
            Some((parameter, value)) => {
                let mut cell = asking(entries.found, parameter, Some(value));
                // a role of its own reads day and time as one: it does not say which of them it could not read
                if row.role != Role::Desk && parameter.argument.form == Form::Spoken {
                    cell.says = Key::NotUnderstood;
                }
                Entry::Is(Box::new(cell))
            }
        },
    }
}

/// The found cell with one argument spoilt: it is asked for, and nothing happens.
fn asking(found: Cell, parameter: &Parameter, value: Option<Value>) -> Cell {
    let mut arguments = found.arguments;
    let told = arguments.as_object_mut().unwrap();
    told.retain(|name, _| !parameter.argument.names.contains(&name.as_str()));
    if let Some(value) = value {
        told.insert(parameter.argument.name().to_owned(), value);
    }
    Cell { arguments, says: parameter.argument.question, fields: json!({ "success": false }), appointments: 0, callbacks: 0, ..found }
}

fn wrong_value(form: Form) -> Option<Value> {
    match form {
        Form::Text | Form::LongText | Form::Spoken => Some(json!({ "a": 1 })),
        Form::Whole { .. } => Some(json!("viele")),
        Form::Confirmation | Form::Any => None,
    }
}

async fn play(scene: &Scene, row: &Row, case: Case, cell: &Cell) -> Result<(), String> {
    let mut caller = scene.caller(cell.before, case == Case::Anonymous).await;
    let mut arguments = fill(&cell.arguments, &caller);
    let name = match case {
        Case::German => {
            arguments = in_german(row, arguments);
            row.german_names[0].to_owned()
        }
        Case::Version => format!("{}_v17", row.names[0]),
        _ => row.names[0].to_owned(),
    };
    if case == Case::Foreign {
        arguments.as_object_mut().unwrap().extend(scene.foreign_ids(&caller.number).await.as_object().unwrap().clone());
    }
    let foreign_before = scene.foreign_rows().await;
    if case != Case::BeforeStarted {
        caller.call.start().await;
    }
    let answer = caller.call.function(&name, arguments.clone()).await;
    judge(scene, row, cell, &caller, answer.status, &answer.body, cell.says).await?;
    match case {
        Case::Repeated => repeated(scene, row, cell, &mut caller, &arguments, &answer.body).await?,
        Case::BeforeStarted => {
            caller.call.start().await;
            scene.is_started(&caller.call.id()).await;
            expect("calls after call_started", &json!(scene.rows(&caller.call.id()).await[0]), &json!(1))?;
        }
        Case::Foreign if answer.body.to_string().contains(FOREIGN) => return Err(format!("it tells of the other tenant: {}", answer.body)),
        _ => {}
    }
    if scene.foreign_rows().await != foreign_before {
        return Err("rows of the other tenant changed".to_owned());
    }
    caller.call.end().await;
    Ok(())
}

/// Fields, sentence, rows.
async fn judge(scene: &Scene, row: &Row, cell: &Cell, caller: &Caller, status: u16, answer: &Value, says: Key) -> Result<(), String> {
    expect("the status", &json!(status), &json!(200))?;
    if let Some(difference) = difference("", &fill(&cell.fields, caller), answer) {
        return Err(format!("{difference}; the answer is {answer}"));
    }
    let message = answer["message"].as_str().ok_or_else(|| format!("no message: {answer}"))?;
    let faults = lint::faults(message);
    if !faults.is_empty() {
        return Err(format!("{faults:?}: {message}"));
    }
    if !row.sentences().any(|key| key == says) {
        return Err(format!("the registry does not say that it may say {says:?}"));
    }
    if !is_said(says, message) {
        return Err(format!("not {says:?}, but: {message}"));
    }
    let [calls, appointments, callbacks] = scene.rows(&caller.call.id()).await;
    expect("calls, live appointments, callbacks", &json!([calls, appointments, callbacks]), &json!([1, cell.appointments, cell.callbacks]))
}

/// The same wish once more, by another tool call: a write that a role of its own carries out has the same answer, a question is asked anew; nothing happens twice.
async fn repeated(scene: &Scene, row: &Row, cell: &Cell, caller: &mut Caller, arguments: &Value, first: &Value) -> Result<(), String> {
    let again = caller.call.function(row.names[0], arguments.clone()).await.body;
    if row.role == Role::Desk {
        let says = match row.function {
            Function::RequestCallback => Key::CallbackAlreadyPromised,
            Function::ReleaseSlot => Key::NothingHeld,
            _ => cell.says,
        };
        if !is_said(says, again["message"].as_str().unwrap_or_default()) {
            return Err(format!("asked again: not {says:?}, but {again}"));
        }
    } else {
        expect("the repeated answer", &again, first)?;
    }
    expect("rows after the repetition", &json!(scene.rows(&caller.call.id()).await), &json!([1, cell.appointments, cell.callbacks]))?;
    if row.function == Function::BookAppointment {
        let cancelled = caller.call.function("cancel_appointment", json!({ "date": caller.slot[0], "time": caller.slot[1] })).await.body;
        expect("the cancellation between", &cancelled["cancelled"], &json!(true)).map_err(|error| format!("{error}: {cancelled}"))?;
        let anew = caller.call.function(row.names[0], arguments.clone()).await.body;
        if anew["booked"] != true || anew["appointment_number"] == first["appointment_number"] {
            return Err(format!("after a cancellation the wish is a new booking, not {anew}"));
        }
    }
    Ok(())
}

/// Every argument by its last name: those are German, and no agent of ours uses them.
fn in_german(row: &Row, arguments: Value) -> Value {
    let renamed = |(name, value): (String, Value)| {
        let parameter = row.parameters.iter().find(|parameter| parameter.argument.names.contains(&name.as_str()));
        (parameter.map_or(name, |parameter| (*parameter.argument.names.last().unwrap()).to_owned()), value)
    };
    let Value::Object(arguments) = arguments else { return arguments };
    Value::Object(arguments.into_iter().map(renamed).collect::<Map<_, _>>())
}

fn fill(value: &Value, caller: &Caller) -> Value {
    let mut text = value.to_string();
    let slot: chrono::NaiveDate = caller.slot[0].parse().unwrap();
    let sunday = slot.week(chrono::Weekday::Mon).last_day();
    let fills = [
        ("{date}", caller.slot[0].clone()),
        ("{time}", caller.slot[1].clone()),
        ("{later}", caller.slot[2].clone()),
        ("{last}", (slot - chrono::Duration::days(scene::LAST_VISIT_DAYS.into())).to_string()),
        ("{sunday}", sunday.to_string()),
        ("{number}", caller.appointment_number.unwrap_or_default().to_string()),
    ];
    for (name, value) in fills {
        text = text.replace(name, &value);
    }
    serde_json::from_str(&text).unwrap()
}

/// Where `found` is not what `expected` names.
fn difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match expected {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| difference(&format!("{path}/{name}"), value, &found[name.as_str()])),
        Value::Array(rows) if found.as_array().is_some_and(|found| found.len() == rows.len()) => rows
            .iter()
            .zip(found.as_array().into_iter().flatten())
            .enumerate()
            .find_map(|(index, (row, found))| difference(&format!("{path}/{index}"), row, found)),
        _ if expected == found => None,
        _ => Some(format!("{path} is {found}, not {expected}")),
    }
}

fn expect(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found}, not {expected}")) }
}

/// Whether a message is that sentence, whatever fills it; a greeting of the day may stand before.
fn is_said(key: Key, message: &str) -> bool {
    let mut pattern = regex::escape(key.german());
    for slot in key.slots() {
        pattern = pattern.replace(&regex::escape(&format!("{{{slot}}}")), ".+");
    }
    Regex::new(&format!("^(?:Guten [A-Za-z]+! )?{pattern}$")).unwrap().is_match(message)
}
