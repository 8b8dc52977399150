//! One run: the processes on a fresh copy of the database, the callers, and what was measured of them. Called by `live`.
use std::convert::Infallible;

use anyhow::{Context, ensure};
use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::clock::Clock;
use shared::store::companies::NewCompany;
use tokio::time::{Duration, Instant};

use super::own_time;
use super::report::{Measured, millis};
use super::stages;
use super::{HISTORY, Stage, amqp, booking};
use crate::bench::arena::Arena;
use crate::bench::callers::{Ended, Heard, Wish};
use crate::demo::processes;
use crate::servers::{Child, ChildSpec, free_port};

/// What must be queued when the callers begin, and what must be left when the last has been answered (the figures).
pub const QUEUED_MIN: u64 = 20_000;
pub const LEFT_MIN: u64 = 10_000;
/// calcom-sync drains for 35 s at most.
const STOP_BOUND: Duration = Duration::from_secs(40);
/// What an idle run leaves to be done (echoes) takes moments.
const QUIET_BOUND: Duration = Duration::from_secs(30);
const QUIET_POLL: Duration = Duration::from_millis(100);
/// Below this a backlog is filled up, by so many at a time, and looked at so often: a machine that is faster than the preloaded ones last must not run out of it.
const FILL_BELOW: u64 = 16_000;
const FILL_BY: u32 = 2_000;
const FILL_LOOK: Duration = Duration::from_millis(250);
const ROLES: [&str; 3] = ["booking", "desk", "calcom-sync"];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    Idle,
    Loaded,
}

/// The stand-in's process, for all runs, with the event types of all companies.
pub async fn start_calcom(arena: &Arena, further: &[NewCompany]) -> anyhow::Result<()> {
    let port = arena.stage.ports.calcom;
    let mut spec = ChildSpec::new("calcom-stand-in", arena.program("stand_ins"));
    spec.args = ["calcom", "--port", &port.to_string(), "--rate-per-minute", "1000000"].map(str::to_owned).into();
    spec.ready_url = Some(format!("http://127.0.0.1:{port}/admin/health"));
    arena.servers.start_child(&spec).await?;
    processes::set_up_calcom(&arena.stage).await?;
    for company in further {
        for service in &company.services {
            processes::post(&arena.stage, "event-types", &processes::event_type(service, &company.staff)).await?;
        }
    }
    Ok(())
}

/// Runs it from a fresh copy of the database.
pub async fn one(stage: &Stage<'_>, run: Run) -> anyhow::Result<Measured> {
    let arena = stage.arena;
    amqp::purge(&stage.channel, &stage.queue).await?;
    booking::copy_database(arena, &stage.seed, &arena.stage.name).await?;
    processes::post(&arena.stage, "reset", &json!({})).await?;
    if run == Run::Loaded {
        booking::preload(&stage.publisher, &stage.messages).await?;
    }
    let mut connection = booking::connect(&arena.stage.database_url).await?;
    // nobody pays for the pages that the one before has made dirty
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    let processes = start(stage).await?;
    let queued = amqp::depth(&stage.channel, &stage.queue).await?;
    let heard = match run {
        Run::Idle => speak(stage).await?,
        Run::Loaded => tokio::select! {
            heard = speak(stage) => heard?,
            // it ends only with an error
            ended = fill_up(stage) => match ended? {},
        },
    };
    let left = amqp::depth(&stage.channel, &stage.queue).await?;
    match run {
        Run::Loaded => ensure!(
            queued >= QUEUED_MIN && left >= LEFT_MIN,
            "{queued} messages were queued and {left} left: at least {QUEUED_MIN} and {LEFT_MIN} are needed, so give more with --messages"
        ),
        // the echoes of the callers' own bookings: they must not fall into the next run
        Run::Idle => quiet(stage).await?,
    }
    let measured = measure(stage, &mut connection, heard, (queued, left)).await?;
    for process in processes {
        ensure!(process.alive(), "{} ended by itself; its log is {}", process.name, process.log.display());
        process.stop(STOP_BOUND).await?;
    }
    sqlx::Connection::close(connection).await?;
    Ok(measured)
}

/// Ingress, and a process per role, as they are deployed. Stopped in this order: nobody is asked any more, then nobody answers.
async fn start(stage: &Stage<'_>) -> anyhow::Result<Vec<Child>> {
    let arena = stage.arena;
    let mut ingress = arena.product("ingress");
    let port = arena.stage.ports.ingress;
    let spool = arena.servers.place().data_dir("ingress");
    std::fs::create_dir_all(&spool).with_context(|| format!("{} could not be made", spool.display()))?;
    let spool = spool.join(&arena.stage.name);
    arena.servers.place().fresh_dir(&spool, None)?;
    ingress.env.insert("LISTEN".into(), format!("127.0.0.1:{port}"));
    ingress.env.insert("SPOOL_DIR".into(), spool.display().to_string());
    ingress.ready_url = Some(format!("http://127.0.0.1:{port}/readyz"));
    let mut children = vec![arena.servers.start_child(&ingress).await?];
    for role in ROLES {
        let port = free_port()?;
        let mut spec = arena.product("workers");
        spec.name = format!("workers-{role}");
        spec.args = vec![role.to_owned()];
        spec.env.insert("METRICS_LISTEN".into(), format!("127.0.0.1:{port}"));
        if let Some(permits) = stage.options.permits_bulk {
            spec.env.insert("PERMITS_BULK".into(), permits.to_string());
        }
        spec.ready_url = Some(format!("http://127.0.0.1:{port}/readyz"));
        children.push(arena.servers.start_child(&spec).await?);
    }
    Ok(children)
}

async fn speak(stage: &Stage<'_>) -> anyhow::Result<Vec<Heard>> {
    let (calls, rate) = (stage.options.calls.to_string(), stage.options.rate.to_string());
    let target = stage.arena.stage.retell_target();
    let secret = [("RETELL_API_KEY", stage.arena.stage.retell_key.expose_secret())];
    let mut args = vec!["call", "--target-url", &target, "--calls", &calls, "--rate", &rate];
    args.extend(stage.numbers.iter().flat_map(|number| ["--number", number]));
    stage.arena.ask_with(&args, &secret).await
}

/// Publishes further webhooks where the preloaded ones do not last, as long as nobody stops it: as if they came in meanwhile, at ingress' own cost elsewhere.
async fn fill_up(stage: &Stage<'_>) -> anyhow::Result<Infallible> {
    // behind those of the backlog and of the history
    let mut next = stage.options.backlog + HISTORY;
    loop {
        tokio::time::sleep(FILL_LOOK).await;
        if amqp::depth(&stage.channel, &stage.queue).await? < FILL_BELOW {
            let further = booking::envelopes(stage.arena, next..next + FILL_BY, Clock::system().now())?;
            booking::preload(&stage.publisher, &further).await?;
            next += FILL_BY;
        }
    }
}

async fn quiet(stage: &Stage<'_>) -> anyhow::Result<()> {
    let deadline = Instant::now() + QUIET_BOUND;
    while amqp::depth(&stage.channel, &stage.queue).await? > 0 {
        ensure!(Instant::now() < deadline, "the echoes of an idle run were not worked off");
        tokio::time::sleep(QUIET_POLL).await;
    }
    Ok(())
}

async fn measure(stage: &Stage<'_>, connection: &mut sqlx::PgConnection, heard: Vec<Heard>, (queued, left): (u64, u64)) -> anyhow::Result<Measured> {
    let shares = own_time::shares(stage.arena, connection, &heard).await?;
    let of = |wish: Option<Wish>| heard.iter().filter(move |heard| wish.is_none_or(|wish| heard.wish == wish)).map(|heard| millis(heard.latency_us)).collect();
    let overhead = heard.iter().zip(&shares).map(|(heard, share)| millis(heard.latency_us.saturating_sub(*share))).collect();
    let mut wrong = Vec::new();
    for one in &heard {
        match &one.ended {
            Ended::Done => {}
            Ended::Missed => wrong.push(format!("{:?}: no answer in time", one.wish)),
            Ended::Refused(reason) => wrong.push(format!("{:?}: {reason}", one.wish)),
        }
    }
    Ok(Measured {
        all: of(None),
        checks: of(Some(Wish::Check)),
        bookings: of(Some(Wish::Book)),
        overhead,
        calcom: shares.into_iter().map(millis).collect(),
        stages: stages::read(connection).await?,
        wrong,
        queued,
        left,
    })
}
