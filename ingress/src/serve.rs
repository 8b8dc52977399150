//! The HTTP/1 loop: accepts connections, gives each its deadlines and bounds, and stops in order.
//!
//! hyper alone has no idle limit apart from the head's and axum::serve sets no limit at all, so the loop is ours. Not routes (that is `lib`). Called by `lib`.

mod guard;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::state::Deadlines;
use guard::{Guard, Phase};

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Request line and headers together.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// hyper's read buffer per connection; with 4,096 connections at most 256 MiB.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// After a failed accept (no file handle left, mostly): accepting again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the loop is bounded.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub deadlines: Deadlines,
}

/// Serves until `shutdown`, then lets requests at work finish for at most `drain`.
pub async fn run(listener: TcpListener, router: Router, bounds: Bounds, connections: IntGauge, shutdown: CancellationToken, drain: Duration) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(bounds.connections_max));
    loop {
        // At the cap, new connections wait in the kernel's queue; deadlines make room.
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = connection(stream, router.clone(), bounds.deadlines, graceful.watcher());
                let count = connections.clone();
                count.inc();
                tokio::spawn(async move {
                    served.await;
                    count.dec();
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "requests were still at work at the end of the drain time; their senders retry");
    }
}

async fn connection(stream: TcpStream, router: Router, deadlines: Deadlines, watcher: hyper_util::server::graceful::Watcher) {
    // Answers are small and awaited: never held back for a fuller packet. Without it they are only slower.
    let _ = stream.set_nodelay(true);
    let phase = Arc::new(Phase::default());
    let guarded = TokioIo::new(Guard::new(stream, Arc::clone(&phase), deadlines));
    let service = service_fn(move |request: Request<Incoming>| {
        phase.request_begins();
        let answer = router.clone().call(request.map(axum::body::Body::new));
        let phase = Arc::clone(&phase);
        async move {
            let response = answer.await;
            phase.request_ends();
            response.map_err(|never: Infallible| never)
        }
    });
    let served = http1::Builder::new()
        // The guard holds the deadlines of head and idle; hyper's own would be one for both.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(guarded, service);
    if let Err(error) = watcher.watch(served).await {
        // A peer that goes away, is too slow, or speaks no HTTP: its business, and never more than a kind of error.
        tracing::debug!(timeout = error.is_timeout(), parse = error.is_parse(), "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
