//! `frontdesk agent export`: the files are what Retell's API takes (the stand-in holds them to the vendor's published types), carry no number and no date, and every tool of
//! theirs is one that our decoder understands.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::{Arc, LazyLock, Mutex};

use dev::retell_stand_in::definitions;
use regex::Regex;
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::functions::variables::VARIABLES;
use shared::functions::{FUNCTION_DEADLINE, Function, TABLE};
use shared::store::companies::NewCompany;
use shared::wire::arguments::Arguments;
use shared::wire::retell::FunctionCall;
use tests::http::client;
use tests::{World, WorldOptions, company, fixtures};

const PUBLIC_URL: &str = "https://telefon.example.de";

/// Done 8 of issue 4; incidents 65 and 66: a number and a date stood in the agent, and braces were read out.
#[tokio::test]
async fn an_exported_agent_is_taken_by_retell_and_holds_no_number_and_no_date() {
    let world = World::with(WorldOptions { roles: vec!["desk"], ..WorldOptions::default() }).await;
    // nobody to be put through to; then one branch only, then one person only
    let mut silent = company::other(1);
    silent.transfer_number = None;
    silent.branches.iter_mut().for_each(|branch| branch.transfer_number = None);
    silent.staff.iter_mut().for_each(|person| person.transfer_number = None);
    let mut one_branch = NewCompany { name: "Praxis mit Empfang".to_owned(), ..numbered(&silent, 2) };
    one_branch.branches[1].transfer_number = Some("+493055512345".to_owned());
    let mut one_person = NewCompany { name: "Praxis mit Durchwahl".to_owned(), ..numbered(&silent, 3) };
    one_person.staff[0].transfer_number = Some("+493055512346".to_owned());
    for new in [&silent, &one_branch, &one_person] {
        world.add_company(new).await;
    }
    let demo = company::demo();
    let cases = [
        (demo.name.as_str(), None, true),
        (demo.name.as_str(), Some("Neukölln"), true),
        (&silent.name, None, false),
        (&one_branch.name, None, true),
        (&one_branch.name, Some("Mitte"), false),
        (&one_branch.name, Some("Neukölln"), true),
        (&one_person.name, Some("Mitte"), true),
    ];
    for (name, branch, transfers) in cases {
        let exported = export(&world, name, branch, &["--voice", "retell-Cimo"]).await;
        carries_no_literals(&world, &exported);
        tools_are_those_of_the_registry(&world, &exported["llm"], transfers);
        variables_have_defaults(&exported["llm"], name, branch);
        retell_takes(&world, exported).await;
    }
    world.finish().await;
}

/// Retell reference 3: a variable that the prompt reads and call_inbound does not answer is spoken as braces, or stays blank for ever.
#[tokio::test]
async fn call_inbound_answers_with_the_variables_that_the_exported_prompt_reads() {
    let world = World::with(WorldOptions { roles: vec!["desk"], ..WorldOptions::default() }).await;
    for caller in ["+4915112345678", "anonymous"] {
        let answer = world.retell.inbound(caller, "+493023125042").ring().await;
        let variables = answer.body["call_inbound"]["dynamic_variables"].as_object().unwrap_or_else(|| panic!("{:?}", answer.body)).clone();
        let missing: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).filter(|name| !variables.contains_key(*name)).collect();
        assert!(missing.is_empty(), "call_inbound does not supply {missing:?} to {caller}");
        assert!(variables.values().all(Value::is_string), "{variables:?}");
        let known = if caller == "anonymous" { "" } else { caller };
        assert_eq!(variables["customer_phone_number"], known);
    }
    world.finish().await;
}

/// What is asked for wrongly is a sentence for the operator, and no file.
#[tokio::test]
async fn an_export_that_makes_no_sense_is_refused() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let demo = company::demo().name;
    for (line, code, said) in [
        (vec!["--company", "Gibt es nicht", "--public-url", PUBLIC_URL], 1, "There is no company"),
        (vec!["--company", &demo, "--branch", "Nirgends", "--public-url", PUBLIC_URL], 2, "there is: Mitte, Neukölln"),
        (vec!["--company", &demo, "--public-url", "http://telefon.example.de"], 2, "https"),
        (vec!["--company", &demo, "--public-url", PUBLIC_URL, "--language", "en"], 2, "invalid value"),
    ] {
        let (found, out, errors) = frontdesk(&world, &line).await;
        assert_eq!(found, code, "{line:?}: {out}{errors}");
        assert!(format!("{out}{errors}").contains(said), "{line:?}: {out}{errors}");
    }
    sqlx::query("UPDATE endpoints SET disabled_at = now()").execute(&world.db).await.unwrap();
    let (code, _, errors) = frontdesk(&world, &["--company", &demo, "--public-url", PUBLIC_URL]).await;
    assert!(code == 2 && errors.contains("frontdesk endpoint add"), "{errors}");
    world.finish().await;
}

/// The regexes find what they are for, so that finding nothing means something.
#[test]
fn a_number_and_a_date_are_found_wherever_they_hide() {
    for text in [
        "+493012345678",
        "0151 2345 678",
        "am 16.05.2024",
        "am 3.4.",
        "2024-05-16",
        "am 5. März",
        "am 5 Mai",
        "im Jahr 2024",
        "um 9:30",
        "um 14 Uhr",
        "Tel. 030/123456",
    ] {
        assert!(literal(text).is_some(), "{text}");
    }
    for text in ["TT.MM.JJJJ", "höchstens 14", "{{current_date}}", "am fünfzehnten Ersten", "um halb zehn"] {
        assert_eq!(literal(text), None, "{text}");
    }
}

/// The same company with numbers and event types of another.
fn numbered(company: &NewCompany, n: u32) -> NewCompany {
    let other = company::other(n);
    NewCompany { phone_numbers: other.phone_numbers, services: other.services, ..company.clone() }
}

/// The command's folder holds the same as its answer.
async fn export(world: &World, company: &str, branch: Option<&str>, further: &[&str]) -> Value {
    let mut line = vec!["--company", company, "--public-url", PUBLIC_URL];
    line.extend(branch.into_iter().flat_map(|name| ["--branch", name]));
    line.extend(further);
    let (code, out, errors) = frontdesk(world, &line).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{line:?}: {out}");
    let printed: Value = serde_json::from_str(&out).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("agent");
    line.extend(["--out", inner.to_str().unwrap()]);
    assert_eq!(frontdesk(world, &line).await.0, 0);
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(inner.join(format!("{name}.json"))).unwrap()).unwrap() };
    let written: Map<String, Value> = ["llm", "agent", "phone_number"].map(|name| (name.to_owned(), read(name))).into_iter().collect();
    assert_eq!(printed, Value::Object(written));
    printed
}

fn endpoint_url(world: &World) -> String {
    format!("{PUBLIC_URL}/v1/retell/{}", world.retell_endpoint)
}

/// Every key and every text, but for the endpoint's address, which has its own check.
fn carries_no_literals(world: &World, exported: &Value) {
    let mut texts = Vec::new();
    texts_of(exported, &mut texts);
    assert!(texts.len() > 300, "{} texts", texts.len());
    for text in texts {
        let text = text.replace(&endpoint_url(world), "");
        assert_eq!(literal(&text), None, "{text}");
    }
    for setting in ["webhook_url", "inbound_webhook_url"] {
        let found = exported["agent"].get(setting).or_else(|| exported["phone_number"].get(setting));
        assert_eq!(found, Some(&json!(endpoint_url(world))), "{setting}");
    }
}

fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(fields) => {
            for (name, field) in fields {
                texts.push(name.clone());
                texts_of(field, texts);
            }
        }
        _ => {}
    }
}

/// The first number or date that somebody wrote down.
fn literal(text: &str) -> Option<String> {
    static LITERALS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let patterns = [
            // six digits and more, however they are parted
            r"\+?\d(?:[ ()/-]{0,2}\d){5,}",
            r"\b\d{1,2}\.\s?\d{1,2}\.",
            r"\b\d{4}-\d{2}",
            r"(?i)\b\d{1,2}\.?\s*(januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember)",
            r"\b(19|20)\d{2}\b",
            r"\b\d{1,2}:\d{2}\b",
            r"(?i)\b\d{1,2}\s*uhr\b",
        ];
        patterns.iter().map(|pattern| Regex::new(pattern).unwrap()).collect()
    });
    LITERALS.iter().find_map(|regex| regex.find(text)).map(|found| found.as_str().to_owned())
}

/// Each function once, at our endpoint, long enough, with arguments that our decoder takes.
fn tools_are_those_of_the_registry(world: &World, engine: &Value, transfers: bool) {
    let tools = engine["general_tools"].as_array().unwrap();
    let of_type = |kind: &str| tools.iter().filter(|tool| tool["type"] == kind).collect::<Vec<_>>();
    let custom = of_type("custom");
    let mut names: Vec<&str> = custom.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let mut expected: Vec<&str> = TABLE.iter().map(|row| row.names[0]).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "every function of the registry once");
    assert_eq!((of_type("transfer_call").len(), of_type("end_call").len()), (usize::from(transfers), 1));
    assert_eq!(tools.len(), custom.len() + 1 + usize::from(transfers));
    assert!(of_type("transfer_call").iter().all(|tool| tool["transfer_destination"]["number"] == "{{transfer_number}}"));
    for tool in custom {
        let name = tool["name"].as_str().unwrap();
        assert_eq!((&tool["url"], &tool["method"], &tool["args_at_root"]), (&json!(endpoint_url(world)), &json!("POST"), &json!(false)), "{name}");
        let timeout = tool["timeout_ms"].as_u64().unwrap();
        assert!(timeout >= 10_000 && u128::from(timeout) > FUNCTION_DEADLINE.as_millis(), "{name}");
        let row = Function::by_canonical_name(name).unwrap().row();
        assert_eq!(tool["speak_during_execution"], row.waiting.is_some(), "{name}");
        round_trip(name, &tool["parameters"]);
    }
}

/// Arguments as the schema says, in a body as Retell sends it, are what the function takes; and without a required one they are not.
fn round_trip(name: &str, parameters: &Value) {
    let sample = |(argument, property): (&String, &Value)| {
        let value = match property["type"].as_str().unwrap() {
            "string" => json!("nächsten Dienstag"),
            "integer" => property["minimum"].clone(),
            "boolean" => json!(true),
            other => panic!("{name}.{argument}: no sample of {other}"),
        };
        (argument.clone(), value)
    };
    let arguments: Map<String, Value> = parameters["properties"].as_object().unwrap().iter().map(sample).collect();
    let body = json!({ "name": name, "args": arguments, "call": { "call_id": "call_1" } }).to_string();
    let read = FunctionCall::parse(body.as_bytes()).unwrap();
    let function = read.function().unwrap();
    assert_eq!((function.name(), read.arguments.as_map()), (name, &arguments));
    assert_eq!(read.arguments.check(function, false), Ok(()), "{name}");
    for required in parameters["required"].as_array().unwrap() {
        let required = required.as_str().unwrap();
        let mut without = arguments.clone();
        assert!(without.remove(required).is_some(), "{name}: {required} is no property");
        let refused = Arguments::new(without).check(function, false).unwrap_err();
        assert_eq!(refused.argument(), required, "{name}");
    }
}

fn variables_have_defaults(engine: &Value, company: &str, branch: Option<&str>) {
    let defaults = engine["default_dynamic_variables"].as_object().unwrap();
    let read = engine["general_prompt"].as_str().unwrap().to_owned() + engine["begin_message"].as_str().unwrap() + &engine["general_tools"].to_string();
    for variable in read.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
        assert!(defaults.contains_key(variable), "{{{{{variable}}}}} has no default: it would be read out");
    }
    assert_eq!((&defaults["company_name"], &defaults["branch_name"]), (&json!(company), &json!(branch.unwrap_or_default())));
    assert_eq!(defaults["customer_phone_number"], "");
}

/// As a person with the account's key would: response engine, agent, number; and then the update of each.
async fn retell_takes(world: &World, mut exported: Value) {
    let send = |method: Method, path: String, body: Value| async move {
        let request = client().request(method, format!("{}{path}", world.retell.base_url)).bearer_auth(fixtures::RETELL_KEY).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, engine) = send(Method::POST, "/create-retell-llm".to_owned(), exported["llm"].clone()).await;
    assert_eq!(status, 201, "{engine}");
    let engine_id = engine["llm_id"].as_str().unwrap().to_owned();
    let (status, refused) = send(Method::POST, "/create-agent".to_owned(), exported["agent"].clone()).await;
    assert!(status == 400 && refused["message"].as_str().unwrap().contains("response_engine"), "{refused}");
    exported["agent"]["response_engine"] = json!({ "type": "retell-llm", "llm_id": engine_id });
    let (status, agent) = send(Method::POST, "/create-agent".to_owned(), exported["agent"].clone()).await;
    assert_eq!(status, 201, "{agent}");
    let agent_id = agent["agent_id"].as_str().unwrap();
    let updates: BTreeMap<String, &Value> = BTreeMap::from([
        (format!("/update-retell-llm/{engine_id}"), &exported["llm"]),
        (format!("/update-agent/{agent_id}"), &exported["agent"]),
        ("/update-phone-number/+493023125042".to_owned(), &exported["phone_number"]),
    ]);
    for (path, body) in updates {
        let (status, answer) = send(Method::PATCH, path.clone(), body.clone()).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    let kept = world.retell.definitions();
    assert_eq!(kept.agents[agent_id]["webhook_url"], endpoint_url(world));
    assert_eq!(kept.response_engines[&engine_id]["general_tools"], exported["llm"]["general_tools"]);
    assert_eq!(definitions::faults("agent", &exported["agent"]), Vec::<String>::new());
}

/// `frontdesk agent export` with these options: exit code, stdout, stderr.
async fn frontdesk(world: &World, options: &[&str]) -> (u8, String, String) {
    let environment = cli::Environment::of([("DATABASE_URL", &world.database_url)]);
    let (out, mut errors) = (Screen::default(), Vec::new());
    let session = cli::Session::new(environment, Box::new(Cursor::new("")), Box::new(out.clone()));
    let line = ["frontdesk", "agent", "export"].into_iter().chain(options.iter().copied()).map(Into::into);
    let code = cli::run(line.collect::<Vec<_>>(), session, &mut errors).await;
    let out = out.0.lock().unwrap().clone();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
