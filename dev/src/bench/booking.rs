//! The rounds of `cargo dev bench booking`: `workers booking` on a backlog, a bare consumer on the same backlog, and pgbench without a broker.
//! All three leave the same rows; what they left is counted after every run. Called by `bench`; the backlog and the database with a history also by `live`.
//!
//! Every run begins from a copy of one database: a company with as many bookings behind it as the backlog has, analysed. (From empty tables Postgres keeps
//! plans that read whole tables, for everybody.) The clock is the inbox: from the first claim to the last, by the database's own time.
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lapin::Channel;
use shared::broker::{Destination, Publisher, PublisherConfig, topology};
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, MessageId, SCHEMA_VERSION};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::Command;
use tokio::time::{Duration, Instant};

use super::arena::{Arena, machine_load, output};
use super::bare_booking::CONCURRENT;
use super::figures::{Figures, ratio, table};
use super::{amqp, webhooks};
use crate::servers::{Child, ChildSpec, free_port};

const GOAL: f64 = 1.0;
const PEER_SQL: &str = include_str!("booking/bare_booking.sql");
const TURN_SQL: &str = include_str!("booking/turn.pgbench.sql");
/// A run that takes longer is stuck: 20,000 messages take ten seconds.
const RUN_BOUND: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(250);
const STOP_BOUND: Duration = Duration::from_secs(20);
/// Preloading is not measured; a few hundred in flight make it short.
const PRELOAD_IN_FLIGHT: usize = 256;
const ROWS_AT_ONCE: usize = 1000;
/// The first booking's time: far enough ahead for every backlog.
const FIRST_START: i64 = 1_830_297_600;

/// Every table that one of the contestants writes.
const TABLES: [&str; 9] =
    ["inbox", "events", "customers", "appointments", "appointment_modifications", "calcom_bookings", "slot_claims", "attempts", "reviews"];

/// For sessions that begin after it.
const EXPLAIN: [(&str, &str); 6] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.sample_rate", "0.02"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_triggers", "on"),
    ("auto_explain.log_nested_statements", "on"),
];

struct Backlog {
    messages: Vec<Envelope>,
    /// The database that every run's is copied from.
    seed: String,
    publisher: Publisher,
    channel: Channel,
    queue: String,
    explain: bool,
}

#[derive(Debug, Clone, Copy)]
enum Contestant {
    Workers,
    Bare,
    Pgbench,
}

/// Runs all rounds and gives the report.
pub async fn run(arena: &Arena, rounds: u32, messages: u32, explain: bool) -> anyhow::Result<String> {
    let pgbench = find_pgbench().context("there is no pgbench on this machine (Debian: postgresql-contrib or postgresql-15)")?;
    let (_connection, channel) = amqp::open(&arena.stage.amqp_url).await?;
    let backlog = Backlog { explain, ..prepare(arena, channel, messages).await? };
    let mut figures = [Figures::new("workers booking"), Figures::new("bare consumer"), Figures::new("pgbench, no broker")];
    let mut loads = vec![machine_load()?];
    for round in 0..rounds {
        let step = arena.progress.step(format!("round {} of {rounds}", round + 1));
        for turn in 0..3 {
            // each round begins with another contestant
            let (index, contestant) = match (turn + round) % 3 {
                0 => (0, Contestant::Workers),
                1 => (1, Contestant::Bare),
                _ => (2, Contestant::Pgbench),
            };
            let seconds = one(arena, &backlog, contestant, &pgbench).await.with_context(|| figures[index].name)?;
            figures[index].rates.push(f64::from(messages) / seconds);
        }
        loads.push(machine_load()?);
        let rates: Vec<String> = figures.iter().map(|figures| format!("{:.0}", figures.rates.last().copied().unwrap_or_default())).collect();
        step.done_with(format!("{} /s", rates.join(", ")));
    }
    let [workers, bare, pgbench] = &figures;
    let mut text = format!("\nCal.com bookings taken over: a backlog of {messages} for one company with as many behind it; medians of {rounds} rounds\n\n");
    text.push_str(&table("per second", &[workers, bare, pgbench]));
    text.push('\n');
    text.push_str(&ratio(workers, bare, Some(GOAL)));
    text.push_str(&ratio(workers, pgbench, None));
    text.push_str(&ratio(bare, pgbench, None));
    // writing to a string cannot fail
    let _ = writeln!(text, "  load of the machine before and after each round: {}", loads.join(" "));
    Ok(text)
}

/// Makes messages and history once: every run gets the same ones.
async fn prepare(arena: &Arena, channel: Channel, messages: u32) -> anyhow::Result<Backlog> {
    let step = arena.progress.step(format!("a backlog of {messages} and a history of as many"));
    let mut all = envelopes(arena, 0..2 * messages, Clock::system().now())?;
    let mut connection = connect(&arena.stage.database_url).await?;
    history(&mut connection, arena, &all, i32::try_from(messages)?).await?;
    connection.close().await?;
    let seed = keep_as_seed(arena).await?;
    let publisher = publisher(arena).await?;
    step.done();
    all.truncate(usize::try_from(messages)?);
    Ok(Backlog { messages: all, seed, publisher, channel, queue: queue(Kind::CalcomBookingCreated), explain: false })
}

/// The webhooks of the bookings with these numbers.
pub(super) fn envelopes(arena: &Arena, numbers: Range<u32>, received_at: DateTime<Utc>) -> anyhow::Result<Vec<Envelope>> {
    let first = DateTime::from_timestamp(FIRST_START, 0).context("the first start is no time")?;
    Ok(numbers.map(|number| envelope(arena, number, first, received_at)).collect())
}

/// Where a kind lies.
pub(super) fn queue(kind: Kind) -> String {
    topology::queue(kind.role(), kind.lane()).to_string()
}

/// Copies the database as it is now; nobody may be connected. Runs begin from the copy.
pub(super) async fn keep_as_seed(arena: &Arena) -> anyhow::Result<String> {
    let seed = format!("{}_seed", arena.stage.name);
    // made and recorded by the servers, so that it goes with them; then replaced by a copy
    arena.servers.create_database(&seed).await?;
    copy_database(arena, &arena.stage.name, &seed).await?;
    Ok(seed)
}

/// For preloading.
pub(super) async fn publisher(arena: &Arena) -> anyhow::Result<Publisher> {
    let publisher = Publisher::start(
        PublisherConfig {
            amqp_url: arena.stage.amqp_url.clone(),
            connection_name: "bench preload".into(),
            in_flight_max: PRELOAD_IN_FLIGHT,
            confirm_timeout: Duration::from_secs(10),
        },
        Clock::system(),
    );
    tokio::time::timeout(STOP_BOUND, publisher.watch_ready().wait_for(|ready| *ready)).await.context("the broker does not confirm")??;
    Ok(publisher)
}

/// Stores all messages for pgbench, and books those from `messages` on.
pub(super) async fn history(connection: &mut PgConnection, arena: &Arena, all: &[Envelope], messages: i32) -> anyhow::Result<()> {
    sqlx::raw_sql(PEER_SQL).execute(&mut *connection).await.context("the peers' function was not made")?;
    for (chunk, rows) in all.chunks(ROWS_AT_ONCE).enumerate() {
        sqlx::query("INSERT INTO bench.raw SELECT $1 + place, id, body FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS row (id, body, place)")
            .bind(i32::try_from(chunk * ROWS_AT_ONCE)?)
            .bind(rows.iter().map(|message| message.message_id.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|message| message.body.as_ref()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .context("pgbench's messages were not stored")?;
    }
    sqlx::query("SELECT bench.take_apart($1)")
        .bind(arena.stage.calcom_endpoint)
        .execute(&mut *connection)
        .await
        .context("pgbench's messages were not taken apart")?;
    // numbers begin with 1; the advisory locks of a transaction bound a step
    let last = i32::try_from(all.len())?;
    for begin in (messages + 1..=last).step_by(ROWS_AT_ONCE) {
        let end = (begin + i32::try_from(ROWS_AT_ONCE)?).min(last + 1);
        sqlx::query("SELECT bench.book_history($1, $2)").bind(begin).bind(end).execute(&mut *connection).await.context("the history was not booked")?;
        sqlx::raw_sql("ANALYZE").execute(&mut *connection).await?;
    }
    sqlx::query("DELETE FROM bench.input WHERE n > $1").bind(messages).execute(&mut *connection).await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *connection).await.context("the history was not analysed")?;
    Ok(())
}

pub(super) async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    // the error may name the address, and with it the password
    PgConnection::connect(url).await.ok().context("the bench's database does not answer")
}

/// Replaces `to` by a copy of `from`; nobody may be connected to either.
pub(super) async fn copy_database(arena: &Arena, from: &str, to: &str) -> anyhow::Result<()> {
    let mut admin = connect(arena.servers.database_admin_url()).await?;
    for statement in [format!("DROP DATABASE \"{to}\" WITH (FORCE)"), format!("CREATE DATABASE \"{to}\" TEMPLATE \"{from}\"")] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.with_context(|| format!("{from} was not copied"))?;
    }
    admin.close().await?;
    Ok(())
}

fn envelope(arena: &Arena, number: u32, first: DateTime<Utc>, received_at: DateTime<Utc>) -> Envelope {
    let body = webhooks::booking(number, first);
    let endpoint = arena.stage.calcom_endpoint;
    Envelope {
        message_id: MessageId::of_request(endpoint, &body),
        kind: Kind::CalcomBookingCreated,
        schema_version: SCHEMA_VERSION,
        endpoint: Some(endpoint),
        received_at,
        attempt: 1,
        deadline: None,
        reply_to: None,
        traceparent: None,
        caller_gone: false,
        body: body.into(),
    }
}

/// One run from a fresh copy: seconds from the first claim to the last.
async fn one(arena: &Arena, backlog: &Backlog, contestant: Contestant, pgbench: &PathBuf) -> anyhow::Result<f64> {
    amqp::purge(&backlog.channel, &backlog.queue).await?;
    copy_database(arena, &backlog.seed, &arena.stage.name).await?;
    let mut connection = connect(&arena.stage.database_url).await?;
    if backlog.explain {
        let settings = EXPLAIN.map(|(name, value)| format!("ALTER DATABASE \"{}\" SET {name} = '{value}'", arena.stage.name));
        sqlx::raw_sql(AssertSqlSafe(settings.join("; "))).execute(&mut connection).await.context("statements cannot be explained")?;
    }
    let messages = backlog.messages.len();
    if !matches!(contestant, Contestant::Pgbench) {
        preload(&backlog.publisher, &backlog.messages).await?;
    }
    // nobody pays for the pages that the one before has made dirty
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    let began: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut connection).await?;
    let child = match contestant {
        Contestant::Workers => Some(arena.servers.start_child(&workers(arena)?).await?),
        Contestant::Bare => {
            let endpoint = arena.stage.calcom_endpoint.to_string();
            let spec = arena.peer("bare-booking", &["booking", "--queue", &backlog.queue, "--endpoint", &endpoint]);
            Some(arena.servers.start_child(&spec).await?)
        }
        Contestant::Pgbench => {
            run_pgbench(arena, pgbench, messages).await?;
            None
        }
    };
    all_claimed(&mut connection, 2 * messages, child.as_ref()).await?;
    if let Some(child) = child {
        child.stop(STOP_BOUND).await?;
        let left = amqp::depth(&backlog.channel, &backlog.queue).await?;
        ensure!(left == 0, "{left} messages were not acked");
    }
    same_rows(&mut connection, 2 * messages).await?;
    let seconds = sqlx::query_scalar("SELECT extract(epoch FROM max(claimed_at) - min(claimed_at))::float8 FROM inbox WHERE claimed_at > $1")
        .bind(began)
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(seconds)
}

fn workers(arena: &Arena) -> anyhow::Result<ChildSpec> {
    let mut spec = arena.product("workers");
    spec.args = vec!["booking".into()];
    spec.env.insert("METRICS_LISTEN".into(), format!("127.0.0.1:{}", free_port()?));
    Ok(spec)
}

/// Puts them into their queue.
pub(super) async fn preload(publisher: &Publisher, messages: &[Envelope]) -> anyhow::Result<()> {
    let destination = Destination::Event(topology::queue(Kind::CalcomBookingCreated.role(), Kind::CalcomBookingCreated.lane()));
    let publishes = messages.iter().map(|message| publisher.publish(&destination, message));
    stream::iter(publishes).buffer_unordered(PRELOAD_IN_FLIGHT).try_collect::<()>().await.context("the backlog was not published")
}

async fn run_pgbench(arena: &Arena, pgbench: &PathBuf, messages: usize) -> anyhow::Result<()> {
    let script = arena.servers.log_dir().join("bench-turn.sql");
    std::fs::write(&script, TURN_SQL).with_context(|| format!("{} could not be written", script.display()))?;
    let clients = CONCURRENT.to_string();
    let each = (messages / usize::from(CONCURRENT)).to_string();
    let mut command = Command::new(pgbench);
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client", &clients, "--transactions", &each, "--file"])
        .arg(&script)
        .env("PGOPTIONS", "-c role=frontdesk_worker -c jit=off")
        // by environment: an address in the arguments would show its password to every user
        .envs(connection_variables(&arena.stage.database_url)?);
    let said = output(command).await?;
    ensure!(!said.contains("failed transactions: ") || said.contains("failed transactions: 0 "), "pgbench had failed transactions");
    Ok(())
}

/// libpq's variables for a URL.
fn connection_variables(url: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let url = reqwest::Url::parse(url).ok().context("the database URL cannot be read")?;
    Ok(vec![
        ("PGHOST", url.host_str().unwrap_or("127.0.0.1").to_owned()),
        ("PGPORT", url.port().unwrap_or(5432).to_string()),
        ("PGUSER", url.username().to_owned()),
        ("PGPASSWORD", url.password().unwrap_or_default().to_owned()),
        ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
    ])
}

/// Beside the server's programs, or in PATH.
fn find_pgbench() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = versions.collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default());
    folders.into_iter().map(|folder| folder.join("pgbench")).find(|program| program.is_file())
}

async fn all_claimed(connection: &mut PgConnection, messages: usize, child: Option<&Child>) -> anyhow::Result<()> {
    let deadline = Instant::now() + RUN_BOUND;
    loop {
        let claimed: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(&mut *connection).await?;
        if usize::try_from(claimed)? >= messages {
            return Ok(());
        }
        if let Some(child) = child {
            ensure!(child.alive(), "the process ended by itself; its log is {}", child.log.display());
        }
        ensure!(Instant::now() < deadline, "{claimed} of {messages} messages were processed within {} s", RUN_BOUND.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// Nobody wins by doing less: one row per message in every table, history included, and nothing for a human to look at.
async fn same_rows(connection: &mut PgConnection, messages: usize) -> anyhow::Result<()> {
    for table in TABLES {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(&mut *connection).await?;
        let expected = if table == "reviews" { 0 } else { messages };
        ensure!(usize::try_from(rows)? == expected, "{table} holds {rows} rows instead of {expected}");
    }
    Ok(())
}
