//! When is everything over? Queues, outbox, intents, spools and the stand-in's late webhooks are empty, several looks in a row. A deadline ends the waiting:
//! what is left then is the auditor's affair (I9), not a hang. Called by `campaign`.

use std::time::Duration;

use anyhow::Context;
use shared::broker::depth::Gauge;
use shared::broker::topology;
use sqlx::PgPool;
use tokio::time::Instant;

use super::arena::Arena;
use super::fleet::Fleet;
use super::record::Quiet;
use crate::progress::Progress;
use crate::servers::http_client;

/// So many looks with nothing in between: a delivery in work is in no queue's ready count.
const LOOKS: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Who waits wants to know for what.
const TOLD_EVERY: Duration = Duration::from_secs(20);

/// Everything that is counted in the database, each with its name.
const ROWS: [(&str, &str); 5] = [
    ("outbox rows", "SELECT count(*) FROM outbox"),
    ("open intents", "SELECT count(*) FROM intents WHERE state IN ('waiting', 'recorded', 'sent', 'unknown')"),
    ("waiting requests", "SELECT count(*) FROM reply_waiters"),
    ("jobs that were asked for", "SELECT count(*) FROM jobs WHERE run_asked_at IS NOT NULL"),
    ("wanted sweeps", "SELECT count(*) FROM sweeps WHERE wanted_at IS NOT NULL OR run_started_at IS NOT NULL"),
];

/// As `frontdesk` does for one: the scheduler runs it next, whatever its time is.
pub async fn ask_for_every_job(database: &PgPool) -> anyhow::Result<()> {
    sqlx::query("UPDATE jobs SET run_asked_at = frontdesk_now()").execute(database).await.context("the jobs cannot be asked for")?;
    Ok(())
}

/// Waits until nothing is under way or `bound` has passed.
pub async fn wait(arena: &Arena, fleet: &Fleet, progress: &Progress, bound: Duration) -> anyhow::Result<Quiet> {
    let began = Instant::now();
    let mut told = began;
    let mut gauge: Option<Gauge> = None;
    let mut calm = 0;
    loop {
        let left = look(arena, fleet, &mut gauge).await;
        calm = if matches!(&left, Ok(left) if left.is_empty()) { calm + 1 } else { 0 };
        let after = began.elapsed();
        if calm >= LOOKS {
            return Ok(Quiet { reached: true, after, left: Vec::new() });
        }
        if after >= bound {
            let left = left.context("what is left cannot be counted")?;
            return Ok(Quiet { reached: false, after, left });
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            progress.note(match &left {
                Ok(left) => format!("still there: {}", left.join(", ")),
                Err(error) => format!("what is left cannot be counted yet: {error:#}"),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is under way now, in words.
async fn look(arena: &Arena, fleet: &Fleet, gauge: &mut Option<Gauge>) -> anyhow::Result<Vec<String>> {
    let mut left = rows(&arena.database).await?;
    let open = match gauge.take() {
        Some(open) => open,
        None => Gauge::open(&arena.amqp_url).await?,
    };
    for queue in topology::queues().into_iter().filter(|queue| queue.name.as_str() != topology::PROBE) {
        let ready = open.depth(queue.name.as_str()).await?;
        if ready > 0 {
            left.push(format!("{ready} messages in {}", queue.name));
        }
    }
    // kept only while it works
    *gauge = Some(open);
    let late = arena.calcom.webhooks_under_way() + arena.retell.webhooks_under_way();
    if late > 0 {
        left.push(format!("{late} late webhooks"));
    }
    for member in fleet.members.iter().filter(|member| member.spec.spool.is_some()) {
        let records = metric(&format!("{}/metrics", member.spec.url), "frontdesk_ingress_spool_records").await?;
        if records > 0.0 {
            left.push(format!("{records} records in the spool of {}", member.spec.child.name));
        }
    }
    Ok(left)
}

async fn rows(database: &PgPool) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for (name, statement) in ROWS {
        let count: i64 = sqlx::query_scalar(statement).fetch_one(database).await.with_context(|| format!("{name} cannot be counted"))?;
        if count > 0 {
            left.push(format!("{count} {name}"));
        }
    }
    Ok(left)
}

/// One plain number of a process' metrics.
pub async fn metric(url: &str, name: &str) -> anyhow::Result<f64> {
    let text = http_client()?.get(url).send().await?.text().await?;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).with_context(|| format!("{url} has no {name}"))?;
    Ok(line.split(' ').nth(1).unwrap_or_default().parse()?)
}
