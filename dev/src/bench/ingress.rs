//! The rounds of `cargo dev bench ingress`: the real process, a bare server, and the broker's own confirmed publish rate, one after the other.
//! Called by `bench`.
use std::fmt::Write as _;

use anyhow::{Context, ensure};
use lapin::Channel;
use shared::broker::topology;
use shared::envelope::Kind;
use tokio::time::{Duration, Instant};

use super::arena::{Arena, machine_load};
use super::figures::{Figures, ratio, table};
use super::load::Outcome;
use super::{amqp, bare_ingress, bare_publish};
use crate::servers::{ChildSpec, free_ports, http_client};

/// Bodies of one run; the next run's numbers begin after them.
const SERIES: u64 = 10_000_000;
/// A quorum queue counts what it has confirmed within moments.
const COUNT_BOUND: Duration = Duration::from_secs(10);
const COUNT_POLL: Duration = Duration::from_millis(100);
const GOAL: f64 = 0.9;
const SPOOLED: &str = "frontdesk_ingress_spooled_total";

/// Runs all rounds and gives the report.
pub async fn run(arena: &Arena, rounds: u32, seconds: u64) -> anyhow::Result<String> {
    let [product_port, bare_port, _] = free_ports::<3>()?;
    start(arena, product_port, bare_port).await?;
    let (_connection, channel) = amqp::open(&arena.stage.amqp_url).await?;
    let bulk = topology::queue(Kind::CalcomBookingCreated.role(), Kind::CalcomBookingCreated.lane());
    let product_path = format!("/v1/calcom/{}", arena.stage.calcom_endpoint);
    let seconds = seconds.to_string();
    let (mut product, mut bare, mut broker) = (Figures::new("ingress"), Figures::new("bare server"), Figures::new("broker alone"));
    let mut loads = vec![machine_load()?];
    let mut series = 0;
    for round in 0..rounds {
        let step = arena.progress.step(format!("round {} of {rounds}", round + 1));
        for turn in 0..3 {
            series += SERIES;
            let first = series.to_string();
            // each round begins with another contestant
            let (figures, queue, outcome) = match (turn + round) % 3 {
                0 => (&mut product, bulk.as_str(), load(arena, product_port, &product_path, &seconds, &first).await.context("ingress")?),
                1 => (&mut bare, bare_ingress::QUEUE, load(arena, bare_port, "/webhook", &seconds, &first).await.context("the bare server")?),
                _ => {
                    let outcome = arena.ask(&["publish", "--seconds", &seconds, "--series", &first]).await.context("the broker alone")?;
                    (&mut broker, bare_publish::QUEUE, outcome)
                }
            };
            note(figures, &outcome);
            all_arrived(&channel, queue, outcome.counted).await?;
            amqp::purge(&channel, queue).await?;
        }
        loads.push(machine_load()?);
        step.done_with(format!("{:.0}, {:.0}, {:.0} /s", last(&product), last(&bare), last(&broker)));
    }
    ensure!(spooled(product_port).await? == 0, "ingress spooled: its rate is not that of confirmed messages");
    let mut text = format!("\nVerified and confirmed requests, 2 KB bodies, 64 connections; medians of {rounds} rounds of {seconds} s\n\n");
    text.push_str(&table("per second", &[&product, &bare, &broker]));
    text.push('\n');
    text.push_str(&ratio(&product, &bare, Some(GOAL)));
    text.push_str(&ratio(&product, &broker, None));
    text.push_str(&ratio(&bare, &broker, None));
    // writing to a string cannot fail
    let _ = writeln!(text, "  load of the machine before and after each round: {}", loads.join(" "));
    Ok(text)
}

async fn start(arena: &Arena, product_port: u16, bare_port: u16) -> anyhow::Result<()> {
    let spool = arena.servers.place().data_dir("ingress");
    std::fs::create_dir_all(&spool).with_context(|| format!("{} could not be made", spool.display()))?;
    let spool = spool.join(&arena.stage.name);
    arena.servers.place().fresh_dir(&spool, None)?;
    let mut product = ready_at(arena.product("ingress"), product_port);
    product.env.insert("LISTEN".into(), format!("127.0.0.1:{product_port}"));
    product.env.insert("SPOOL_DIR".into(), spool.display().to_string());
    let bare = ready_at(arena.peer("bare-ingress", &["ingress", "--port", &bare_port.to_string()]), bare_port);
    arena.servers.start_child(&product).await?;
    arena.servers.start_child(&bare).await?;
    Ok(())
}

fn ready_at(spec: ChildSpec, port: u16) -> ChildSpec {
    ChildSpec { ready_url: Some(format!("http://127.0.0.1:{port}/readyz")), ..spec }
}

async fn load(arena: &Arena, port: u16, path: &str, seconds: &str, series: &str) -> anyhow::Result<Outcome> {
    let target = format!("127.0.0.1:{port}");
    arena.ask(&["load", "--target", &target, "--path", path, "--seconds", seconds, "--series", series]).await
}

fn note(figures: &mut Figures, outcome: &Outcome) {
    figures.rates.push(outcome.per_second);
    figures.latencies.push((outcome.p50_ms, outcome.p99_ms));
}

fn last(figures: &Figures) -> f64 {
    figures.rates.last().copied().unwrap_or_default()
}

/// What was answered with 2xx lies in the queue: a rate of anything else would be worth nothing.
async fn all_arrived(channel: &Channel, queue: &str, counted: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + COUNT_BOUND;
    loop {
        let found = amqp::depth(channel, queue).await?;
        if found >= counted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{queue} holds {found} messages of {counted} confirmed ones");
        tokio::time::sleep(COUNT_POLL).await;
    }
}

async fn spooled(port: u16) -> anyhow::Result<u64> {
    let text = http_client()?.get(format!("http://127.0.0.1:{port}/metrics")).send().await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(SPOOLED)).context("ingress shows no spool counter")?;
    line.trim().parse().context("the spool counter is no number")
}
