//! What `cargo dev up` plays once servers are there: the demo company, every process, phone calls and a web visitor; then what became of it, from Postgres.
//!
//! Not a test of details (those are in `tests/`). Called by `up`. Files: `setup` makes data and processes · `plan` says when and who · `scripts` what is
//! said in the calls · `story` lets it happen through the stand-ins · `rows` reads it back · `table` shows it · `verdict` compares it with the stand-in's ledger · `environment` names the addresses.
mod environment;
mod plan;
pub(crate) mod processes;
mod rows;
mod scripts;
pub(crate) mod setup;
mod story;
mod table;
mod verdict;

use std::collections::BTreeMap;
use std::time::Instant;

use shared::clock::Clock;

use crate::progress::Progress;
use crate::servers::Servers;
use plan::Plan;

/// What happens after the play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Play, stop everything, exit.
    Once,
    /// Play, then stay until Ctrl-C.
    Stay,
    /// Play, leave everything running.
    Detach,
}

/// How `up` wants it played.
#[derive(Debug, Clone)]
pub struct Run {
    pub mode: Mode,
    /// Database and vhost: `frontdesk_dev`, with something behind it beside another `up` or on given servers.
    pub name: String,
}

/// What came out of it.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// False: what happened is not what should have happened; exit 1.
    pub verdict: bool,
    /// Variables for `target/dev/env`.
    pub env: BTreeMap<String, String>,
}

/// Plays. Children are started with [`Servers::start_child`]; `up` stops them.
pub async fn play(servers: &Servers, progress: &Progress, run: &Run) -> anyhow::Result<Played> {
    let began = Instant::now();
    let plan = Plan::after(Clock::system().now());
    let stage = setup::prepare(servers, progress, run).await?;
    processes::start(servers, progress, &stage).await?;
    let told = story::play(&stage, progress, &plan).await?;
    let seen = rows::read(&stage).await?;
    print!("{}", table::render(&seen, &told));
    let checks = verdict::judge(&plan, &seen, &told);
    let verdict = checks.iter().all(verdict::Check::holds);
    println!("\nIs it as it should be?");
    for check in &checks {
        println!("  {check}");
    }
    println!(
        "\n{} The story took {:.1} s after the build.",
        if verdict { "Everything is as it should be." } else { "NOT as it should be." },
        began.elapsed().as_secs_f64()
    );
    if run.mode != Mode::Once {
        print!("{}", environment::where_to_look(servers, &stage));
    } else if !verdict {
        println!("The logs of all processes: {}", servers.log_dir().display());
    }
    Ok(Played { verdict, env: environment::variables(servers, &stage) })
}
