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

/// What does not change for so long is not slow, it stands: longer than the longest rest that Cal.com orders, an outage brake and a delay tier together.
const STANDS_AFTER: Duration = Duration::from_secs(90);

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

/// What was still there at a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Left {
    sentences: Vec<String>,
    /// Messages in queues or spools are among it.
    messages: bool,
}

/// Since when exactly the same is left. Slow and standing still are told apart by this, not by a shorter wait.
struct Standing {
    left: Left,
    since: Instant,
}

impl Standing {
    /// Whether it has been the same for long enough. A look that failed is a change: nothing is known of it.
    fn stands(&mut self, left: Option<&Left>, now: Instant) -> bool {
        match left {
            Some(left) if *left == self.left => now.duration_since(self.since) >= STANDS_AFTER,
            left => {
                *self = Self { left: left.cloned().unwrap_or_default(), since: now };
                false
            }
        }
    }
}

/// Waits until nothing is under way, what is left stands still, or `bound` has passed: the same with a protection and without.
pub async fn wait(arena: &Arena, fleet: &Fleet, progress: &Progress, bound: Duration) -> anyhow::Result<Quiet> {
    let began = Instant::now();
    let mut told = began;
    let mut gauge: Option<Gauge> = None;
    let mut calm = 0;
    let mut standing = Standing { left: Left::default(), since: began };
    loop {
        let left = look(arena, fleet, &mut gauge).await;
        calm = if matches!(&left, Ok(left) if left.sentences.is_empty()) { calm + 1 } else { 0 };
        let after = began.elapsed();
        if calm >= LOOKS {
            return Ok(Quiet { reached: true, after, left: Vec::new(), messages_left: false });
        }
        if standing.stands(left.as_ref().ok(), Instant::now()) || after >= bound {
            let left = left.context("what is left cannot be counted")?;
            return Ok(Quiet { reached: false, after, left: left.sentences, messages_left: left.messages });
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            progress.note(match &left {
                Ok(left) => format!("still there: {}", left.sentences.join(", ")),
                Err(error) => format!("what is left cannot be counted yet: {error:#}"),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is under way now, in words.
async fn look(arena: &Arena, fleet: &Fleet, gauge: &mut Option<Gauge>) -> anyhow::Result<Left> {
    let mut left = rows(&arena.database).await?;
    let mut messages = false;
    let open = match gauge.take() {
        Some(open) => open,
        None => Gauge::open(&arena.amqp_url).await?,
    };
    for queue in topology::queues().into_iter().filter(|queue| queue.name.as_str() != topology::PROBE) {
        let ready = open.depth(queue.name.as_str()).await?;
        if ready > 0 {
            left.push(format!("{ready} messages in {}", queue.name));
            messages = true;
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
            messages = true;
        }
    }
    Ok(Left { sentences: left, messages })
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

/// The broker's management looks at its queues every five seconds.
const COUNTED_WITHIN: Duration = Duration::from_secs(12);

/// Every queue of the vhost with its messages, those in work as well. At rest each count is nothing in the end; what is not after a while is told as it is.
pub async fn queues(arena: &Arena) -> anyhow::Result<Vec<(String, u64)>> {
    #[derive(serde::Deserialize)]
    struct Queue {
        name: String,
        #[serde(default)]
        messages: u64,
    }
    let url = format!("{}/api/queues/{}?columns=name,messages", arena.servers.management_url(), arena.name);
    let deadline = Instant::now() + COUNTED_WITHIN;
    loop {
        // the URL holds a password
        let answer = http_client()?.get(&url).send().await.map_err(reqwest::Error::without_url).context("the broker's queues cannot be listed")?;
        let queues: Vec<Queue> = answer.json().await.map_err(reqwest::Error::without_url).context("the list of the broker's queues cannot be read")?;
        let queues = queues.into_iter().filter(|queue| queue.name != topology::PROBE);
        let queues: Vec<(String, u64)> = queues.map(|queue| (queue.name, queue.messages)).collect();
        if queues.iter().all(|(_, messages)| *messages == 0) || Instant::now() >= deadline {
            return Ok(queues);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One plain number of a process' metrics.
pub async fn metric(url: &str, name: &str) -> anyhow::Result<f64> {
    let text = http_client()?.get(url).send().await?.text().await?;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).with_context(|| format!("{url} has no {name}"))?;
    Ok(line.split(' ').nth(1).unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_stands_and_what_grows_less_is_only_slow() {
        let left = |count: u64| Left { sentences: vec![format!("{count} open intents")], messages: false };
        let began = Instant::now();
        let mut standing = Standing { left: Left::default(), since: began };
        let mut at = |seconds: u64, left: Option<&Left>| standing.stands(left, began + Duration::from_secs(seconds));
        assert!(!at(0, Some(&left(9))) && !at(89, Some(&left(9))) && at(90, Some(&left(9))));
        assert!(!at(91, Some(&left(8))) && !at(180, Some(&left(8))), "one less: it goes on");
        assert!(!at(200, None) && !at(201, Some(&left(8))) && !at(290, Some(&left(8))) && at(291, Some(&left(8))));
    }
}
