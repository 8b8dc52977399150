//! A TCP gateway before one server whose open connections can die without a word, and, for AMQP, go deaf: what a firewall that forgot its table, a failover or a
//! half-dead broker does. New connections pass.
//!
//! Not the campaign's proxy (`dev::chaos`), whose weather clears: here the old connections never come back.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What has happened so far, as counters: a connection feels what was counted up after it was opened.
#[derive(Default)]
struct Happened {
    silences: AtomicU64,
    deaf_channels: AtomicU64,
    deaf_connections: AtomicU64,
    /// AMQP frames and other chunks that were swallowed.
    swallowed: AtomicU64,
}

/// A running gateway; dropping it closes it.
pub struct Gateway {
    pub address: SocketAddr,
    happened: Arc<Happened>,
    stop: CancellationToken,
}

impl Gateway {
    /// Before the server of this URL; the URL that leads through the gateway.
    ///
    /// # Panics
    /// When the URL names no address or no port is free.
    pub async fn before(url: &str) -> (Self, String) {
        let parsed = reqwest::Url::parse(url).expect("a URL");
        let port = parsed.port().expect("a port in the URL");
        let host = parsed.host_str().expect("a host in the URL").to_owned();
        let target = tokio::net::lookup_host((host.as_str(), port)).await.expect("the host is known").next().expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let gateway = Self { address, happened: Arc::default(), stop: CancellationToken::new() };
        tokio::spawn(accept(listener, target, Arc::clone(&gateway.happened), gateway.stop.clone()));
        (gateway, url.replacen(&format!("{host}:{port}"), &address.to_string(), 1))
    }

    /// The connections of now carry nothing any more, in either direction, and are not closed either.
    pub fn silence(&self) {
        self.happened.silences.fetch_add(1, Ordering::SeqCst);
    }

    /// AMQP: the channels of now get no more deliveries; everything else passes.
    pub fn deafen_channels(&self) {
        self.happened.deaf_channels.fetch_add(1, Ordering::SeqCst);
    }

    /// AMQP: the connections of now get nothing but heartbeats.
    pub fn deafen_connections(&self) {
        self.happened.deaf_connections.fetch_add(1, Ordering::SeqCst);
    }

    /// How much was swallowed so far.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.happened.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, happened: Arc<Happened>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else { continue };
        let (happened, stop) = (Arc::clone(&happened), stop.clone());
        tokio::spawn(async move {
            let _ = stop.run_until_cancelled(carry(client, target, &happened)).await;
        });
    }
}

async fn carry(client: TcpStream, target: SocketAddr, happened: &Happened) -> io::Result<()> {
    let born = happened.silences.load(Ordering::SeqCst);
    let mut ears = Ears::new(happened);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = TcpStream::connect(target).await?.into_split();
    let up = pass(from_client, to_server, happened, born, |_, chunk| chunk.to_vec());
    let down = pass(from_server, to_client, happened, born, |happened, chunk| ears.filter(happened, chunk));
    // one side that closes closes the other
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    happened: &Happened,
    born: u64,
    mut filter: impl FnMut(&Happened, &[u8]) -> Vec<u8>,
) -> io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if happened.silences.load(Ordering::SeqCst) > born {
            // also a goodbye is not carried over
            happened.swallowed.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        if length == 0 {
            return Ok(());
        }
        to.write_all(&filter(happened, &chunk[..length])).await?;
    }
}

/// One AMQP connection's way from the broker to the client.
struct Ears {
    deaf_channels: u64,
    deaf_connections: u64,
    /// Known from the first bytes.
    plain: Option<bool>,
    buffer: Vec<u8>,
    seen: HashSet<u16>,
    deaf: HashSet<u16>,
    /// Channels whose present message is being swallowed: its header and body follow in frames of their own.
    swallowing: HashSet<u16>,
}

const METHOD: u8 = 1;
/// `basic.deliver` and `channel.open-ok`, as class and method.
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const CHANNEL_OPEN_OK: [u8; 4] = [0, 20, 0, 11];

impl Ears {
    fn new(happened: &Happened) -> Self {
        Self {
            deaf_channels: happened.deaf_channels.load(Ordering::SeqCst),
            deaf_connections: happened.deaf_connections.load(Ordering::SeqCst),
            plain: None,
            buffer: Vec::new(),
            seen: HashSet::new(),
            deaf: HashSet::new(),
            swallowing: HashSet::new(),
        }
    }

    fn filter(&mut self, happened: &Happened, chunk: &[u8]) -> Vec<u8> {
        let deafened = happened.deaf_channels.load(Ordering::SeqCst);
        if deafened > self.deaf_channels {
            self.deaf_channels = deafened;
            self.deaf.clone_from(&self.seen);
        }
        let deaf_at_all = happened.deaf_connections.load(Ordering::SeqCst) > self.deaf_connections;
        if self.is_no_amqp(chunk) {
            return chunk.to_vec();
        }
        self.buffer.extend_from_slice(chunk);
        let mut passed = Vec::new();
        // a frame: type, channel, size, payload, end mark
        while let Some(length) = frame_length(&self.buffer).filter(|length| self.buffer.len() >= *length) {
            let frame: Vec<u8> = self.buffer.drain(..length).collect();
            if self.hears(&frame, deaf_at_all) {
                passed.extend_from_slice(&frame);
            } else {
                happened.swallowed.fetch_add(1, Ordering::SeqCst);
            }
        }
        passed
    }

    /// Postgres' bytes are passed as they come: they do not begin with a method of channel 0, as every AMQP connection does.
    fn is_no_amqp(&mut self, chunk: &[u8]) -> bool {
        *self.plain.get_or_insert_with(|| !chunk.starts_with(&[METHOD, 0, 0]))
    }

    fn hears(&mut self, frame: &[u8], deaf_at_all: bool) -> bool {
        let channel = u16::from_be_bytes([frame[1], frame[2]]);
        if channel == 0 {
            return true;
        }
        if deaf_at_all {
            return false;
        }
        self.seen.insert(channel);
        if frame[0] == METHOD {
            self.swallowing.remove(&channel);
            if frame[7..].starts_with(&CHANNEL_OPEN_OK) {
                self.deaf.remove(&channel);
            }
            if frame[7..].starts_with(&DELIVER) && self.deaf.contains(&channel) {
                self.swallowing.insert(channel);
            }
        }
        !self.swallowing.contains(&channel)
    }
}

fn frame_length(buffer: &[u8]) -> Option<usize> {
    let size: [u8; 4] = buffer.get(3..7)?.try_into().ok()?;
    Some(usize::try_from(u32::from_be_bytes(size)).ok()? + 8)
}
