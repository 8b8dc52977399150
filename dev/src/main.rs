//! `cargo dev`: the commands that set everything up and run it (`up`, `test`, `bench`), and the one that ends it (`down`).
//! Parses the command line and turns results into exit codes; everything else stands in the library.
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dev::CANNOT_RUN;
use dev::bench::Bench;
use dev::chaos::Chaos;
use dev::down::Down;
use dev::history::History;
use dev::install::Install;
use dev::test_command::Test;
use dev::up::Up;

#[derive(Debug, Parser)]
#[command(
    name = "cargo dev",
    bin_name = "cargo dev",
    about = "frontdesk on this machine: private servers, stand-ins, the story, the tests, the benches, the campaign",
    after_help = "Examples:\n  \
        cargo dev up             servers, all roles and the story; Ctrl-C ends it\n  \
        cargo dev up --once      the same, then stop; exit 0 when all is as it should be\n  \
        cargo dev up --detach    leave it running; `. target/dev/env` for its addresses\n  \
        cargo dev test booking   tests with \"booking\" in their names\n  \
        cargo dev bench booking  the workers' rate beside a bare consumer's\n  \
        cargo dev bench ingress  ingress' rate beside a bare server's and the broker's own\n  \
        cargo dev chaos          ten minutes of kills, cuts and full disks; is every promise kept?\n  \
        cargo dev history --appointments 20000  history of a former system, broken, into what `up --detach` left running\n  \
        cargo dev down           end what is running\n\n\
        Exit codes: 0 as it should be, 1 not as it should be, 2 could not run.\n\
        Servers: DATABASE_URL + AMQP_URL (+ RABBITMQ_MANAGEMENT_URL) if set; else programs found here, started\n\
        privately; else a Docker engine; else Debian packages."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Servers, every role, and the story of a phone call
    Up(Up),
    /// End everything that `up` and `test` of this checkout left running
    Down(Down),
    /// Servers and every test, or those named
    Test(Test),
    /// How fast, beside bare peers in the same run
    Bench(Bench),
    /// Every fault that one machine can produce, and an auditor of what was promised
    Chaos(Chaos),
    /// A broken history from a seed, loaded by COPY, and the truth beside it
    History(History),
    /// Install server packages without starting services; shown to users for sudo
    #[command(hide = true)]
    InstallPackages(Install),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Line::parse().command {
        Command::Up(up) => up.run().await,
        Command::Down(down) => down.run().await,
        Command::Test(test) => test.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::Chaos(chaos) => chaos.run().await,
        Command::History(history) => history.run().await,
        Command::InstallPackages(install) => install.run(),
    };
    done.unwrap_or_else(|error| {
        // Nothing to do about a closed standard error but to keep the exit code.
        let _ = writeln!(std::io::stderr(), "cargo dev: {error:#}");
        ExitCode::from(CANNOT_RUN)
    })
}
