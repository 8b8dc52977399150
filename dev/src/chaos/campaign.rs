//! One campaign from the empty database to the verdict: arena, processes, load and faults beside each other, healing, quiet, sweeps, quiet, audit.
//! Called by the command and by the test of the short campaign.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shared::clock::Clock;
use shared::protection::Protection;
use tokio::time::Instant;

use super::arena::{Arena, Ground, Wanted};
use super::auditor;
use super::fleet::Fleet;
use super::load::Load;
use super::plan::plan;
use super::provocation::Provocation;
use super::quiet;
use super::record::{Audit, Limits, Quiet, Record};
use super::schedule::schedule;
use super::strike::{Striker, Strikes};
use super::trial::Trial;
use crate::calcom_stand_in;
use crate::progress::Progress;
use crate::servers::Servers;

/// A sweep leaves alone what changed in the last minute: its webhook may be on its way. Some seconds for the clocks.
const SETTLED: Duration = Duration::from_secs(70);
/// So much longer load and faults go on if a kind of fault has hit nothing yet; a short campaign does not owe every kind (`report::goals`).
const OVERTIME: Duration = Duration::from_secs(30);
const OVERTIME_SHARE: u32 = 3;
/// Below this not every kind of fault finds its time.
pub const LENGTH_MIN: Duration = Duration::from_secs(30);
/// Delay tiers are shortened, so that eight attempts fit into a minute; but an outage of a server must fit into them as well.
const TIERS_DIVISOR: u32 = 40;
const TIERS_DIVISOR_SHORT: u32 = 100;
/// What a long campaign is.
const LONG: Duration = Duration::from_secs(120);
/// Blocks of 60 s, outage brakes, eight attempts and the backlog of a debug build follow one another.
const QUIET_BOUND: Duration = Duration::from_secs(300);
/// After the sweeps, whether or not all was quiet before them.
const SECOND_QUIET_BOUND: Duration = Duration::from_secs(150);
/// Debug builds of sixteen processes; a leak of a campaign's length is seen, the size of a normal day is not.
const RESIDENT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// As the workers' policy says (faults I8).
const ATTEMPTS_MAX: i32 = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    pub seed: u64,
    pub length: Duration,
    /// 1 = some 200 requests a second.
    pub rate: f64,
    pub trial: Trial,
}

/// What came out.
pub struct Outcome {
    pub orders: Orders,
    pub record: Record,
    pub audit: Audit,
    /// Every kind of fault with how its strikes went.
    pub strikes: BTreeMap<&'static str, Strikes>,
    /// Mistakes of the campaign itself: it has proven nothing then.
    pub troubles: Vec<String>,
}

/// Runs it. What fails here could not be run; what the product did wrong stands in the audit.
///
/// # Errors
/// The servers, the processes or the campaign's own parts do not work.
pub async fn run(servers: Servers, progress: &Progress, orders: Orders) -> anyhow::Result<Outcome> {
    let is_short = orders.length < LONG && orders.trial.provoked() != Some(Protection::Search);
    let tiers_divisor = if is_short { TIERS_DIVISOR_SHORT } else { TIERS_DIVISOR };
    let wanted = Wanted { seed: orders.seed, tiers_divisor, trial: orders.trial };
    let arena = Arc::new(Arena::prepare(servers, progress, wanted).await?);
    let step = progress.step("processes");
    let fleet = Arc::new(Fleet::start(&arena.servers, arena.members.clone()).await?);
    step.done_with(format!("{}", fleet.members.len()));
    let fought = fight(&arena, &fleet, progress, orders).await;
    // whatever happened: nothing stays paused, mounted or running
    let (arena, fleet) = (sole(arena)?, sole(fleet)?);
    match fought {
        Ok(fought) => judge(arena, fleet, progress, orders, fought).await,
        Err(error) => {
            fleet.stop().await;
            clear(arena.split().2, progress).await;
            Err(error)
        }
    }
}

fn sole<T>(shared: Arc<T>) -> anyhow::Result<T> {
    Arc::into_inner(shared).context("a task of the campaign has not ended")
}

/// How far each call was, by its id.
type CallsSeen = BTreeMap<String, String>;

/// What the load and the faults left.
struct Fought {
    wishes: Vec<super::record::Wish>,
    troubles: Vec<String>,
    strikes: BTreeMap<&'static str, Strikes>,
    skipped: BTreeMap<&'static str, String>,
    excuses: Vec<super::record::Excuse>,
    kills: u64,
    began_at: chrono::DateTime<chrono::Utc>,
    load_ended_at: chrono::DateTime<chrono::Utc>,
    quiet: Quiet,
    calls_before_sweeps: Option<CallsSeen>,
}

async fn fight(arena: &Arc<Arena>, fleet: &Arc<Fleet>, progress: &Progress, orders: Orders) -> anyhow::Result<Fought> {
    let provocation = Provocation::of(orders.trial);
    let striker = Striker::new(Arc::clone(arena), Arc::clone(fleet), provocation);
    let load = Arc::new(Load::new(Arc::clone(arena), orders.seed));
    let plan = plan(orders.seed, orders.length, orders.trial.provoked(), arena.schedulers);
    let overtime = OVERTIME.min(orders.length / OVERTIME_SHARE);
    let clock = Clock::system();
    let (began, began_at) = (Instant::now(), clock.now());
    let step = progress.step(format!("load and faults for {} s (seed {})", orders.length.as_secs(), orders.seed));
    let faults = async {
        let lanes = plan.lanes.iter().map(|lane| striker.run(lane, began));
        let struck = match futures_util::future::try_join_all(lanes).await {
            Ok(_) => striker.make_up_for_the_rest(began + orders.length + overtime).await,
            Err(error) => Err(error),
        };
        if struck.is_ok() {
            tokio::time::sleep_until(began + orders.length).await;
        }
        load.end();
        // at once: the last senders wait for the product
        striker.heal().await.and(struck)
    };
    let schedule = schedule(orders.seed, orders.length + overtime, orders.rate, &provocation);
    let (struck, ()) = tokio::join!(faults, load.run(schedule, began));
    let load_ended_at = clock.now();
    struck?;
    step.done_with(format!("{} acknowledged, {} kills", arena.gate.acknowledged(), striker.kills()));
    let (quiet, calls_before_sweeps) = come_to_rest(arena, fleet, progress, tokio::time::Instant::now() + SETTLED).await?;
    let (wishes, mut troubles) = load.take();
    if orders.trial.broken() == Some(Protection::Tag) {
        // without the tag we take visitors' bookings for ours, and move and cancel them: that Cal.com then refuses the visitor is the finding, no mistake of the campaign
        troubles.retain(|trouble| !trouble.contains(super::load::REFUSED));
    }
    Ok(Fought {
        wishes,
        troubles,
        strikes: striker.tally(),
        skipped: striker.skipped(),
        excuses: striker.excuses(),
        kills: striker.kills(),
        began_at,
        load_ended_at,
        quiet,
        calls_before_sweeps,
    })
}

/// Quiet, then every job of the scheduler once (what webhooks lost, sweeps find), then quiet again: the same whatever is switched off, and the sweeps also after a first
/// wait in vain, so that no backlog looks like a missing protection. `settled`: when the last change is old enough for a sweep.
async fn come_to_rest(arena: &Arena, fleet: &Fleet, progress: &Progress, settled: tokio::time::Instant) -> anyhow::Result<(Quiet, Option<CallsSeen>)> {
    fleet.ready().await?;
    let step = progress.step("quiet");
    let first = quiet::wait(arena, fleet, progress, QUIET_BOUND).await?;
    if !arena.schedulers {
        step.done_with(first.left.join(", "));
        return Ok((first, None));
    }
    step.done_with(first.left.join(", "));
    // from here on sweeps complete what is missing
    let calls = auditor::calls_now(&arena.database).await?;
    let step = progress.step("old enough for a sweep");
    tokio::time::sleep_until(settled).await;
    step.done();
    let step = progress.step("every job of the scheduler, and quiet again");
    quiet::ask_for_every_job(&arena.database).await?;
    let second = quiet::wait(arena, fleet, progress, SECOND_QUIET_BOUND).await?;
    step.done_with(second.left.join(", "));
    Ok((Quiet { after: first.after + second.after, ..second }, Some(calls)))
}

async fn judge(arena: Arena, fleet: Fleet, progress: &Progress, orders: Orders, mut fought: Fought) -> anyhow::Result<Outcome> {
    let step = progress.step("audit");
    let seen = arena.gate.seen();
    let queues = quiet::queues(&arena).await.unwrap_or_else(|error| {
        fought.troubles.push(format!("{error:#}"));
        Vec::new()
    });
    let spools = fleet.spools();
    let companies = arena.tenancies.iter().map(|tenancy| tenancy.company.clone()).collect();
    let (database, database_url, amqp_url) = (arena.database.clone(), arena.database_url.clone(), arena.amqp_url.clone());
    let (calcom, retell, ground) = arena.split();
    let mut record = Record {
        seed: orders.seed,
        companies,
        acknowledged: seen.acknowledged,
        sent: seen.sent,
        refused: seen.refused,
        excuses: fought.excuses,
        wishes: fought.wishes,
        calcom,
        retell,
        faults: fought.strikes.iter().map(|(name, strikes)| (*name, strikes.hit)).collect(),
        skipped: fought.skipped,
        kills: fought.kills,
        processes: fleet.records(),
        spools,
        database,
        database_url,
        amqp_url,
        queues,
        began_at: fought.began_at,
        load_ended_at: fought.load_ended_at,
        quiet: fought.quiet,
        calls_before_sweeps: fought.calls_before_sweeps,
        broken: orders.trial.broken(),
        limits: limits(),
    };
    // the processes still run: their metrics are evidence
    let audit = auditor::audit(&record).await;
    step.done_with(format!("{} violations", audit.rows.iter().map(|row| row.violations.len()).sum::<usize>()));
    let step = progress.step("stop");
    record.processes = fleet.stop().await;
    put_logs_aside(&mut record.processes, orders.trial);
    clear(ground, progress).await;
    step.done();
    Ok(Outcome { orders, record, audit, strikes: fought.strikes, troubles: fought.troubles })
}

/// The next campaign of this command has processes of the same names, which would write on in the same files, and its auditor would read what these wrote.
fn put_logs_aside(processes: &mut [super::record::ProcessRecord], trial: Trial) {
    let which = match trial {
        Trial::Ordinary => "judged.log".to_owned(),
        Trial::Broken(protection) => format!("without-{protection}.log"),
        Trial::Control(protection) => format!("control-of-{protection}.log"),
    };
    for process in processes {
        let aside = process.log.with_extension(&which);
        if std::fs::rename(&process.log, &aside).is_ok() {
            process.log = aside;
        }
    }
}

/// What stays goes with the private servers, or with the next campaign.
async fn clear(ground: Ground, progress: &Progress) {
    if let Err(error) = ground.clear().await {
        progress.note(format!("not everything could be removed: {error:#}"));
    }
}

fn limits() -> Limits {
    let calcom = calcom_stand_in::Limits::default();
    Limits {
        calcom_per_window: calcom.per_window,
        calcom_window: Duration::from_secs(calcom.window_seconds.unsigned_abs()),
        attempts_max: ATTEMPTS_MAX,
        resident_bytes_max: RESIDENT_BYTES_MAX,
    }
}
