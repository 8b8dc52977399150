//! The load generator: keep-alive connections over plain TCP, each sending the next webhook when the one before was answered. Kept lean, because it
//! shares the machine with the server that it measures: signatures are made before the clock runs, a request is one buffer with two holes.
//! Called by the program `bench_peers`; the time window also by `bare_publish`.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::webhooks::Template;

/// Runs before the clock does.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// Signatures made beforehand: more than any server here reaches on two cores (limits: 26 k/s).
const RATE_MAX: usize = 60_000;
/// No answer of ours is longer.
const ANSWER_BYTES_MAX: usize = 4096;
/// One minute: a longer wait is an error anyway.
const LATENCY_US_MAX: u64 = 60_000_000;
const SIGNATURE_LEN: usize = 64;

/// What came out of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Within the window.
    pub counted: u64,
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run of seconds are far below 2^52")]
    pub fn of(seen: &Histogram<u64>, window: Window) -> Self {
        let millis = |quantile: f64| seen.value_at_quantile(quantile) as f64 / 1000.0;
        let seconds = (window.ends - window.begins).as_secs_f64();
        Self { per_second: seen.len() as f64 / seconds, p50_ms: millis(0.5), p99_ms: millis(0.99), counted: seen.len() }
    }
}

/// An empty histogram of microseconds.
pub fn latencies() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?)
}

/// What ends within it counts.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub begins: Instant,
    pub ends: Instant,
}

impl Window {
    pub fn after(warm_up: Duration, length: Duration) -> Self {
        let begins = Instant::now() + warm_up;
        Self { begins, ends: begins + length }
    }

    /// Notes what began then and ends now.
    pub fn record(&self, seen: &mut Histogram<u64>, began: Instant) -> anyhow::Result<()> {
        let now = Instant::now();
        if now >= self.begins && now < self.ends {
            let took = u64::try_from((now - began).as_micros()).unwrap_or(LATENCY_US_MAX);
            seen.record(took.clamp(1, LATENCY_US_MAX))?;
        }
        Ok(())
    }
}

/// What to send where.
#[derive(Debug, Clone)]
pub struct Load {
    pub target: SocketAddr,
    pub path: String,
    pub secret: String,
    pub connections: usize,
    pub seconds: u64,
    /// The number of the first webhook: no two runs send the same body.
    pub series: u64,
}

/// Sends for a second unmeasured, then for the given time. Anything but 204 ends it.
pub async fn run(load: Load) -> anyhow::Result<Outcome> {
    let requests = Arc::new(Requests::prepare(&load)?);
    let mut streams = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.target).await.context("the server does not listen")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let window = Window::after(WARM_UP, Duration::from_secs(load.seconds));
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(send(stream, Arc::clone(&requests), window));
    }
    let mut all = latencies()?;
    for one in tasks.join_all().await {
        all.add(one?)?;
    }
    Ok(Outcome::of(&all, window))
}

/// Everything that was made before the clock ran.
struct Requests {
    template: Template,
    head: Vec<u8>,
    signature_at: usize,
    signatures: Vec<[u8; SIGNATURE_LEN]>,
    series: u64,
    next: AtomicUsize,
}

impl Requests {
    fn prepare(load: &Load) -> anyhow::Result<Self> {
        let template = Template::of_two_kilobytes();
        let keyed = Hmac::<Sha256>::new_from_slice(load.secret.as_bytes()).context("the secret is no key")?;
        let count = usize::try_from(load.seconds + WARM_UP.as_secs())?.saturating_mul(RATE_MAX);
        let mut body = template.bytes().to_vec();
        let mut signatures = Vec::with_capacity(count);
        for number in (load.series..).take(count) {
            template.fill(&mut body, number);
            let mut mac = keyed.clone();
            mac.update(&body);
            let mut signature = [0; SIGNATURE_LEN];
            hex::encode_to_slice(mac.finalize().into_bytes(), &mut signature)?;
            signatures.push(signature);
        }
        let slot = "0".repeat(SIGNATURE_LEN);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nuser-agent: bench\r\ncontent-length: {}\r\nx-cal-signature-256: {slot}\r\n\r\n",
            load.path,
            load.target,
            template.bytes().len()
        );
        let signature_at = head.len() - "\r\n\r\n".len() - SIGNATURE_LEN;
        Ok(Self { template, head: head.into_bytes(), signature_at, signatures, series: load.series, next: AtomicUsize::new(0) })
    }

    /// Puts the next webhook into the buffer.
    fn next(&self, buffer: &mut [u8]) -> anyhow::Result<()> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let signature = self.signatures.get(index).context("the server is faster than the load generator has signatures")?;
        buffer[self.signature_at..self.signature_at + SIGNATURE_LEN].copy_from_slice(signature);
        self.template.fill(&mut buffer[self.head.len()..], self.series + index as u64);
        Ok(())
    }
}

async fn send(mut stream: TcpStream, requests: Arc<Requests>, window: Window) -> anyhow::Result<Histogram<u64>> {
    let mut seen = latencies()?;
    let mut buffer = [requests.head.as_slice(), requests.template.bytes()].concat();
    let mut answer = [0; ANSWER_BYTES_MAX];
    while Instant::now() < window.ends {
        requests.next(&mut buffer)?;
        let began = Instant::now();
        stream.write_all(&buffer).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        ensure!(status == 204, "the server answered {status}");
        window.record(&mut seen, began)?;
    }
    Ok(seen)
}

/// The status of an answer; its body is not read, since one that has a body ends the run.
async fn read_answer(stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut answer[filled..]).await?;
        if read == 0 {
            bail!("the server closed the connection or answers too much");
        }
        filled += read;
        if answer[..filled].windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    status.context("the server's answer is no HTTP")
}
