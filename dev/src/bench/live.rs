//! The rounds of `cargo dev bench live`: callers ask and book at a fixed rate through ingress, broker, `desk`, `booking`, `calcom-sync`, Postgres and the Cal.com stand-in, in turn with
//! nothing else to do and beside a backlog of webhooks for the same company (issue 4, Done 6). Called by `bench`.
//!
//! Every run begins from a copy of one database with a history in it, and with fresh processes. Files: `callers` speaks · `running` starts and measures one run · `own_time` finds Cal.com's
//! share of a caller's wait · `stages` reads from our records where the rest went · `report` (pure) judges.
mod own_time;
mod report;
mod running;
mod stages;

use anyhow::Context;
use shared::broker::Publisher;
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind};
use shared::store;
use shared::store::companies::{self, NewCompany};
use sqlx::AssertSqlSafe;

use super::arena::{Arena, machine_load};
use super::{Judged, amqp, booking, callers};
use report::Pair;
use running::Run;

/// Bookings behind the company before the first call.
const HISTORY: u32 = 20_000;
/// Companies of one account whose callers ring in turn: at fifty a second each has three hundred a minute, half of what it may. The backlog is the first one's.
const COMPANIES: usize = 10;
/// More than any pace of the bench needs: it measures our speed and no budget.
const GENEROUS: &str = "UPDATE credentials SET rate_per_minute = 100000, burst = 1000, tokens = 1000, in_flight_max = 64;
    UPDATE companies SET functions_per_minute = 1000000, holds_max = 10000";
/// The role that sets companies up, as in `frontdesk`.
const OPERATOR: &str = "frontdesk_operator";

/// What the command line says.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub pairs: u32,
    /// Measured requests of each run.
    pub calls: usize,
    /// Requests a second.
    pub rate: usize,
    /// Bulk messages queued before the callers begin.
    pub backlog: u32,
    /// `PERMITS_BULK` of the worker that has the backlog; `None`: its default.
    pub permits_bulk: Option<u32>,
}

/// What all runs share.
struct Stage<'a> {
    arena: &'a Arena,
    options: Options,
    /// The database that every run's is copied from.
    seed: String,
    messages: Vec<Envelope>,
    publisher: Publisher,
    channel: lapin::Channel,
    queue: String,
    /// The companies' numbers.
    numbers: Vec<String>,
}

/// Runs all pairs and gives the report.
pub async fn run(arena: &Arena, options: Options) -> anyhow::Result<Judged> {
    let (_connection, channel) = amqp::open(&arena.stage.amqp_url).await?;
    let further = (1..COMPANIES).map(|n| company(&arena.stage.company, n)).collect::<anyhow::Result<Vec<_>>>()?;
    let stage = prepare(arena, channel, options, &further).await?;
    running::start_calcom(arena, &further).await?;
    let mut pairs = Vec::new();
    let mut loads = vec![machine_load()?];
    for number in 1..=options.pairs {
        let step = arena
            .progress
            .step(format!("pair {number} of {}: {} calls at {} a second, idle and beside {}", options.pairs, options.calls, options.rate, options.backlog));
        let idle = running::one(&stage, Run::Idle).await.context("idle")?;
        let loaded = running::one(&stage, Run::Loaded).await.context("beside a backlog")?;
        loads.push(machine_load()?);
        let pair = Pair { idle, loaded };
        step.done_with(pair.to_string());
        pairs.push(pair);
    }
    Ok(report::judge(options, &pairs, &loads))
}

/// The n-th company of the same account: other numbers, other event types, the same people.
fn company(first: &NewCompany, n: usize) -> anyhow::Result<NewCompany> {
    let mut company = first.clone();
    company.name = format!("Friseur Nummer {n}");
    company.legacy_id = None;
    for (index, number) in company.phone_numbers.iter_mut().enumerate() {
        number.e164 = format!("+4930{:08}", 40_000_000 + n * 10 + index);
    }
    for service in &mut company.services {
        let step = callers::EVENT_TYPE_STEP * i64::try_from(n)?;
        service.calcom_event_type_id = service.calcom_event_type_id.map(|id| id + step);
    }
    Ok(company)
}

async fn prepare<'a>(arena: &'a Arena, channel: lapin::Channel, options: Options, further: &[NewCompany]) -> anyhow::Result<Stage<'a>> {
    let step = arena.progress.step(format!("{} webhooks for the backlogs, and a history of {HISTORY}", options.backlog));
    let now = Clock::system().now();
    let mut messages = booking::envelopes(arena, 0..options.backlog + HISTORY, now)?;
    let history = messages.split_off(usize::try_from(options.backlog)?);
    let pool = store::connect(&arena.stage.database_url, Some(OPERATOR), 1, "cargo dev bench")?;
    for company in further {
        companies::create(&pool, company).await?;
    }
    pool.close().await;
    let mut connection = booking::connect(&arena.stage.database_url).await?;
    sqlx::raw_sql(AssertSqlSafe(GENEROUS)).execute(&mut connection).await.context("the account was not made generous")?;
    booking::history(&mut connection, arena, &history, 0).await?;
    sqlx::Connection::close(connection).await?;
    let seed = booking::keep_as_seed(arena).await?;
    let publisher = booking::publisher(arena).await?;
    step.done();
    let numbers = std::iter::once(&arena.stage.company).chain(further).filter_map(|company| Some(company.phone_numbers.first()?.e164.clone())).collect();
    Ok(Stage { arena, options, seed, messages, publisher, channel, queue: booking::queue(Kind::CalcomBookingCreated), numbers })
}
