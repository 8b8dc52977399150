//! `frontdesk`, the operator's command: set-up, secrets, dead letters, checks.
//!
//! Not a process of the data path: nothing else needs it to run. One file per command; the SQL is in `shared::store`. A library, so that tests run
//! commands without a process and without touching this process's environment.
//!
//! Exit codes: 0 done, 1 a negative answer (not found, a check that found something, a request that was refused), 2 it could not run.

mod account;
mod agent;
mod appointment;
mod backfill;
mod backlog;
mod call;
mod check;
mod company;
mod credential;
mod dead;
mod endpoint;
mod environment;
mod error;
mod job;
mod key;
mod migrate;
mod probe;
mod secret_input;
mod send;
mod session;
mod spool;
mod sweep;
mod table;
mod timeline;
mod topology;

use std::ffi::OsString;
use std::io::Write;

use clap::{Parser, Subcommand};

pub use environment::{Environment, VARIABLES};
pub use error::CliError;
pub use session::{Outcome, Session};

/// Operate frontdesk: schema, topology, companies, endpoints, keys, dead letters, checks.
#[derive(Debug, Parser)]
#[command(
    name = "frontdesk",
    version,
    after_help = "Reads DATABASE_URL, AMQP_URL and MASTER_KEYS, or the files named by DATABASE_URL_FILE, AMQP_URL_FILE, MASTER_KEYS_FILE.\n\
                  Secrets are never taken as arguments.\n\n\
                  Exit codes: 0 done · 1 negative answer (not found, check failed, request refused) · 2 could not run\n\n\
                  Example: frontdesk migrate && frontdesk topology apply && frontdesk check"
)]
pub struct CommandLine {
    /// Answer as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Topology(topology::Topology),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Company(company::Company),
    #[command(subcommand)]
    Account(account::Account),
    #[command(subcommand)]
    Agent(agent::Agent),
    #[command(subcommand)]
    Endpoint(endpoint::Endpoint),
    #[command(subcommand)]
    Credential(credential::Credential),
    Send(send::Send),
    #[command(subcommand)]
    Dead(dead::Dead),
    #[command(subcommand)]
    Sweep(sweep::Sweep),
    #[command(subcommand)]
    Job(job::Job),
    Check(check::Check),
    #[command(subcommand)]
    Backfill(backfill::Backfill),
    Backlog(backlog::ShowBacklog),
    Probe(probe::Probe),
    #[command(subcommand)]
    Spool(spool::Spool),
    Timeline(timeline::ShowTimeline),
    #[command(subcommand)]
    Call(call::Call),
    #[command(subcommand)]
    Appointment(appointment::Appointment),
}

/// Runs one command line and returns the exit code; what went wrong goes to `errors` as one line.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, mut session: Session, errors: &mut (dyn Write + Send)) -> u8 {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(refusal) if refusal.use_stderr() => {
            // stderr that cannot be written leaves the exit code to speak
            let _ = write!(errors, "{refusal}");
            return 2;
        }
        Err(help) => return if session.print(&help.to_string()).is_ok() { 0 } else { 2 },
    };
    session.json = line.json;
    match dispatch(line.command, &mut session).await {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Negative) => 1,
        Err(error) => {
            let _ = writeln!(errors, "frontdesk: {}", error.told());
            2
        }
    }
}

async fn dispatch(command: Command, session: &mut Session) -> Result<Outcome, CliError> {
    match command {
        Command::Migrate(command) => command.run(session).await,
        Command::Topology(command) => command.run(session).await,
        Command::Key(command) => command.run(session),
        Command::Company(command) => command.run(session).await,
        Command::Account(command) => command.run(session).await,
        Command::Agent(command) => command.run(session).await,
        Command::Endpoint(command) => command.run(session).await,
        Command::Credential(command) => command.run(session).await,
        Command::Send(command) => command.run(session).await,
        Command::Dead(command) => command.run(session).await,
        Command::Sweep(command) => command.run(session).await,
        Command::Job(command) => command.run(session).await,
        Command::Check(command) => command.run(session).await,
        Command::Backfill(command) => command.run(session).await,
        Command::Backlog(command) => command.run(session).await,
        Command::Probe(command) => command.run(session).await,
        Command::Spool(command) => command.run(session).await,
        Command::Timeline(command) => command.run(session).await,
        Command::Call(command) => command.run(session).await,
        Command::Appointment(command) => command.run(session).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn commands(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        found.push((path.to_owned(), command.clone()));
        for sub in command.get_subcommands() {
            commands(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_help_and_every_leaf_an_example_of_itself() {
        CommandLine::command().debug_assert();
        let mut found = Vec::new();
        commands(&CommandLine::command(), "frontdesk", &mut found);
        assert!(found.len() > 20, "{} commands", found.len());
        for (path, command) in found {
            assert!(command.get_about().is_some(), "{path} says what it does");
            if command.get_subcommands().next().is_none() {
                let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&path), "{path} shows an example of itself: {example}");
            }
        }
    }

    #[test]
    fn no_option_takes_a_secret() {
        let mut found = Vec::new();
        commands(&CommandLine::command(), "frontdesk", &mut found);
        for (path, command) in found {
            for option in command.get_arguments() {
                let name = option.get_id().as_str();
                let takes_value = option.get_action().takes_values();
                let suspicious = ["secret", "key", "password", "token"].iter().any(|word| name.contains(word));
                let only_names_a_place = name.ends_with("_file") || name.ends_with("_env") || name == "key_id";
                assert!(!(suspicious && takes_value) || only_names_a_place, "{path} --{name} takes a secret as an argument");
            }
        }
    }
}
