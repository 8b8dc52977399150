//! The honest minimum beside ingress: axum, HMAC over the raw body, one publish with confirm into a quorum queue, 204. Its own process.
//! No spool, no deadlines, no endpoints, no routing by content. Called by the program `bench_peers`.
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use hmac::{Hmac, KeyInit, Mac};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use sha2::Sha256;
use tokio::net::TcpListener;

use super::amqp;

/// The queue that it publishes to.
pub const QUEUE: &str = "bench.bare_ingress";

struct Peer {
    keyed: Hmac<Sha256>,
    channel: Channel,
    queue: ShortString,
}

/// Serves until the process ends.
pub async fn run(port: u16, secret: &str, amqp_url: &str) -> anyhow::Result<()> {
    let (_connection, channel) = amqp::open_for_publishing(amqp_url, QUEUE).await?;
    let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret is no key")?;
    let peer = Arc::new(Peer { keyed, channel, queue: QUEUE.into() });
    let router = Router::new().route("/webhook", post(take)).route("/readyz", get(|| async { StatusCode::OK })).with_state(peer);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        // a slow answer is the only harm
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn take(State(peer): State<Arc<Peer>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_signed(&peer.keyed, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let sent = peer.channel.basic_publish(ShortString::default(), peer.queue.clone(), BasicPublishOptions::default(), &body, amqp::persistent()).await;
    let Ok(confirm) = sent else { return StatusCode::SERVICE_UNAVAILABLE };
    match confirm.await {
        Ok(Confirmation::Ack(_)) => StatusCode::NO_CONTENT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn is_signed(keyed: &Hmac<Sha256>, headers: &HeaderMap, body: &[u8]) -> bool {
    let mut digest = [0; 32];
    let claimed = headers.get("x-cal-signature-256").is_some_and(|value| hex::decode_to_slice(value.as_bytes(), &mut digest).is_ok());
    let mut mac = keyed.clone();
    mac.update(body);
    claimed && mac.verify_slice(&digest).is_ok()
}
