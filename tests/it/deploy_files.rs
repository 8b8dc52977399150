//! `deploy/` and `docker-compose.yml` are held to the programs that read them: no Docker engine is needed, and no variable of this process is touched.
#![allow(clippy::unwrap_used, reason = "test code throughout; clippy knows only the test functions themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::builder::Resettable;
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser};
use serde_json::Value;
use shared::secret::{ExposeSecret, Keyring, generate_master_key};
use tempfile::TempDir;

/// The image that all of our services run.
const IMAGE: &str = "frontdesk:local";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An env file: what is set, and what stands behind `#` to show a default or an alternative.
#[derive(Debug, Default)]
struct EnvFile {
    set: BTreeMap<String, String>,
    shown: BTreeMap<String, String>,
}

impl EnvFile {
    fn read(path: &str) -> Self {
        let mut file = Self::default();
        let mut explained = false;
        for line in read(path).lines() {
            let (kept, text) = match line.strip_prefix('#') {
                Some(text) if !text.starts_with(' ') => (false, text),
                Some(_) => {
                    explained = true;
                    continue;
                }
                None => (true, line),
            };
            if text.is_empty() {
                explained = false;
                continue;
            }
            let (name, value) = text.split_once('=').unwrap_or_else(|| panic!("{path}: not NAME=value: {line}"));
            assert!(explained, "{path}: nothing above {name} says what it is for");
            let before = if kept { &mut file.set } else { &mut file.shown }.insert(name.to_owned(), value.to_owned());
            assert_eq!(before, None, "{path}: {name} stands there twice");
        }
        file
    }

    fn names(&self) -> BTreeSet<String> {
        self.set.keys().chain(self.shown.keys()).cloned().collect()
    }
}

/// The variables that a program knows, with the argument of each.
fn variables(program: &Command) -> BTreeMap<String, Arg> {
    program.get_arguments().filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.clone()))).collect()
}

/// Parses a command line and a set of variables as the program would, but blind to the environment of this process.
fn parse<T: CommandFactory + FromArgMatches>(line: &[&str], environment: &BTreeMap<String, String>) -> T {
    let known = variables(&T::command());
    let mut arguments: Vec<String> = line.iter().map(ToString::to_string).collect();
    for (name, value) in environment {
        let long = known.get(name).and_then(Arg::get_long).unwrap_or_else(|| panic!("{line:?} does not know {name}"));
        arguments.push(format!("--{long}={value}"));
    }
    let blind = T::command().mut_args(|arg| arg.env(Resettable::Reset));
    T::from_arg_matches(&blind.try_get_matches_from(arguments).unwrap()).unwrap()
}

/// The variables with files of this machine in place of `/run/secrets/…`.
fn with_sample_secrets(environment: &BTreeMap<String, String>, folder: &TempDir) -> BTreeMap<String, String> {
    let mut with_samples = environment.clone();
    for (name, value) in &mut with_samples {
        let sample = match name.as_str() {
            "DATABASE_URL_FILE" => "postgres://user:password@postgres:5432/frontdesk".to_owned(),
            "AMQP_URL_FILE" => "amqp://user:password@rabbitmq:5672/frontdesk".to_owned(),
            "MASTER_KEYS_FILE" => generate_master_key("k1").expose_secret().to_owned(),
            _ => continue,
        };
        let path = folder.path().join(name);
        std::fs::write(&path, sample).unwrap();
        *value = path.to_str().unwrap().to_owned();
    }
    with_samples
}

fn role_names() -> BTreeSet<String> {
    workers::registry::ROLES.iter().map(ToString::to_string).collect()
}

/// Everything that must hold between one env file and its program.
fn assert_complete(path: &str, program: &Command, file: &EnvFile) {
    let known = variables(program);
    assert_eq!(file.names(), known.keys().cloned().collect(), "{path} against the variables of the program");
    for (name, value) in &file.shown {
        if let [default] = known[name].get_default_values() {
            assert_eq!(default.to_str(), Some(value.as_str()), "{path} shows another default of {name} than the program has");
        }
    }
}

#[test]
fn the_env_file_of_ingress_starts_ingress_and_names_every_variable() {
    let path = "deploy/env/ingress.env";
    let file = EnvFile::read(path);
    assert_complete(path, &ingress::config::Args::command(), &file);
    let folder = TempDir::new().unwrap();
    let args: ingress::config::Args = parse(&["ingress"], &with_sample_secrets(&file.set, &folder));
    args.check().unwrap();
}

#[test]
fn the_env_file_of_every_role_starts_it_and_names_every_variable() {
    for role in role_names() {
        let path = format!("deploy/env/{role}.env");
        let file = EnvFile::read(&path);
        assert_complete(&path, &workers::Args::command(), &file);
        let folder = TempDir::new().unwrap();
        let args: workers::Args = parse(&["workers", &role], &with_sample_secrets(&file.set, &folder));
        let config = args.check().unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(config.roles.iter().map(ToString::to_string).collect::<Vec<_>>(), [role]);
    }
}

#[test]
fn every_env_file_belongs_to_a_process() {
    let files: BTreeSet<String> =
        std::fs::read_dir(root().join("deploy/env")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected = role_names().into_iter().chain(["ingress".to_owned()]).map(|name| format!("{name}.env")).collect();
    assert_eq!(files, expected);
}

struct Compose(Value);

impl Compose {
    fn read() -> Self {
        Self(serde_saphyr::from_str(&read("docker-compose.yml")).unwrap())
    }

    fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service))
    }

    fn ours(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.services().filter(|(_, service)| service["image"] == IMAGE)
    }

    fn secrets(&self) -> BTreeMap<&str, &str> {
        self.0["secrets"].as_object().unwrap().iter().map(|(name, secret)| (name.as_str(), secret["file"].as_str().unwrap())).collect()
    }
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// The command lines that a service runs: entrypoint and command, or the parts of a shell line joined by `&&`.
fn command_lines(service: &Value) -> Vec<Vec<&str>> {
    let line = [words(&service["entrypoint"]), words(&service["command"])].concat();
    match line.as_slice() {
        ["sh", "-c", script] => script.split(" && ").map(|part| part.split(' ').collect()).collect(),
        _ => vec![line],
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let mut environment = service["env_file"].as_str().map(|path| EnvFile::read(path).set).unwrap_or_default();
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        environment.insert(name.clone(), value.as_str().unwrap().to_owned());
    }
    environment
}

/// Names of the secrets that are mounted.
fn mounted(service: &Value) -> BTreeSet<&str> {
    let list = service["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|secret| secret.as_str().unwrap_or_else(|| secret["source"].as_str().unwrap())).collect()
}

fn seconds(text: &Value) -> u64 {
    text.as_str().and_then(|text| text.strip_suffix('s')).unwrap_or_else(|| panic!("{text} is not in seconds")).parse().unwrap()
}

#[test]
fn the_compose_file_follows_the_compose_specification() {
    let schema: Value = serde_json::from_str(&read("tests/schemas/compose-spec.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let compose = Compose::read();
    let errors: Vec<String> = validator.iter_errors(&compose.0).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // and the schema is one that refuses
    assert!(!validator.is_valid(&serde_json::json!({"services": {"a": {"comand": ["x"]}}})));
}

#[test]
fn every_compose_command_is_one_that_its_program_accepts() {
    let stand_ins = read("dev/src/bin/stand_ins.rs");
    for (name, service) in Compose::read().ours() {
        for line in command_lines(service) {
            let known: BTreeSet<String> = match line.as_slice() {
                ["ingress"] => variables(&ingress::config::Args::command()).into_keys().collect(),
                ["workers", roles @ ..] => {
                    assert_eq!(roles, [name], "a role's service is called like the role");
                    variables(&workers::Args::command()).into_keys().collect()
                }
                ["frontdesk", ..] => {
                    cli::CommandLine::try_parse_from(&line).unwrap_or_else(|error| panic!("{name}: {error}"));
                    cli::VARIABLES.map(str::to_owned).into()
                }
                ["stand_ins", which, ..] => {
                    assert!(stand_ins.contains(&format!("/// {}", if *which == "calcom" { "Cal.com: " } else { "Retell: " })), "{name}: {which}");
                    let declared = stand_ins.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
                    declared.map(str::to_owned).collect()
                }
                other => panic!("{name} runs {other:?}, which is none of our programs"),
            };
            let unknown: Vec<_> = environment(service).into_keys().filter(|variable| !known.contains(variable)).collect();
            assert!(unknown.is_empty(), "{name} sets {unknown:?}, which {line:?} does not know");
        }
    }
}

#[test]
fn every_role_has_a_service_that_may_stop_in_peace() {
    let compose = Compose::read();
    let services: BTreeMap<_, _> = compose.ours().collect();
    for role in role_names() {
        let service = services.get(role.as_str()).unwrap_or_else(|| panic!("no service runs {role}"));
        assert_eq!(service["env_file"], format!("deploy/env/{role}.env"));
        let folder = TempDir::new().unwrap();
        let args: workers::Args = parse(&["workers", &role], &with_sample_secrets(&environment(service), &folder));
        let drain = args.check().unwrap().drain_max();
        assert!(seconds(&service["stop_grace_period"]) >= drain.as_secs() + 10, "{role} is killed before it has drained");
    }
    assert!(seconds(&services["ingress"]["stop_grace_period"]) >= 18);
}

#[test]
fn our_containers_are_unprivileged_watched_and_restarted() {
    for (name, service) in Compose::read().ours() {
        assert_eq!(service["user"], "10001:10001", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert!(service["restart"].is_string(), "{name}");
        assert!(service["healthcheck"].is_object(), "{name}");
        if let Some(line) = words(&service["healthcheck"]["test"]).strip_prefix(&["CMD"]) {
            cli::CommandLine::try_parse_from(line).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn every_secret_is_mounted_where_it_is_read_and_made_by_the_script() {
    let compose = Compose::read();
    let secrets = compose.secrets();
    let mut used = BTreeSet::new();
    for (name, service) in compose.services() {
        let mounted = mounted(service);
        for value in environment(service).values() {
            if let Some(secret) = value.strip_prefix("/run/secrets/") {
                assert!(mounted.contains(secret), "{name} reads {secret}, which is not mounted");
            }
        }
        used.extend(mounted);
    }
    assert_eq!(used, secrets.keys().copied().collect(), "declared secrets against mounted ones");

    let folder = TempDir::new().unwrap();
    let target = folder.path().join("secrets");
    let made = Process::new("bash").arg(root().join("deploy/make_secrets.sh")).arg(&target).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |file: &str| {
        let name = file.strip_prefix("deploy/secrets/").unwrap();
        std::fs::read_to_string(target.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (name, file) in &secrets {
        let text = read(file);
        let sound = match name.split('_').next() {
            Some("database") => text.starts_with("postgres://") && text.ends_with("@postgres:5432/frontdesk\n"),
            Some("amqp") => text.starts_with("amqp://") && text.ends_with("@rabbitmq:5672/frontdesk\n"),
            Some("master") => Keyring::parse(text.trim()).is_ok(),
            Some("rabbitmq") => {
                serde_json::from_str::<Value>(&text).is_ok_and(|all| all["users"].as_array().unwrap().iter().all(|user| user["password_hash"] != ""))
            }
            _ => !text.trim().is_empty(),
        };
        assert!(sound, "{name} as made by the script");
    }
    assert!(!Process::new("bash").arg(root().join("deploy/make_secrets.sh")).arg(&target).output().unwrap().status.success(), "secrets are never overwritten");
}

#[test]
fn the_image_holds_every_program_that_compose_runs_and_builds_with_our_toolchain() {
    let dockerfile = read("deploy/Dockerfile");
    for (name, service) in Compose::read().ours() {
        for line in command_lines(service) {
            let copied = format!("COPY --from=build /src/target/release/{program} /usr/local/bin/{program}", program = line[0]);
            assert!(dockerfile.contains(&copied), "{name}: {copied}");
            assert!(dockerfile.contains(&format!("--bin {}", line[0])), "{name}");
        }
    }
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "the Dockerfile builds with {version}");
    assert!(dockerfile.contains("\nUSER 10001:10001\n") && dockerfile.contains("\nHEALTHCHECK "));
}
