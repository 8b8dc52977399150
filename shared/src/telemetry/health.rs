//! `/metrics`, `/healthz`, `/readyz` of every process.
//!
//! Live means: this process answers; it depends on no other system. Ready means: it can do its work now; what that takes, the process says by a closure.
//! Ingress mounts [`router`] into its own listener; workers and the scheduler call [`serve`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};
use tokio_util::sync::CancellationToken;

use super::{TelemetryError, metrics};
use crate::clock::Clock;

/// Tells what is missing for this process to be ready, by fixed names such as `broker`; empty means ready.
/// Called on each request, so it reads state that is already there and waits for nothing.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> Vec<&'static str> + Send + Sync>);

impl Readiness {
    pub fn new(missing: impl Fn() -> Vec<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(missing))
    }

    /// What is missing now.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        (self.0)()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Readiness(missing {:?})", self.missing())
    }
}

#[derive(Clone)]
struct Observed {
    registry: Registry,
    readiness: Readiness,
}

/// Readiness as a metric, asked at each look: Prometheus reads no `/readyz`.
struct ReadyGauge {
    readiness: Readiness,
    shown: IntGauge,
}

impl Collector for ReadyGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.shown.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shown.set(i64::from(self.readiness.missing().is_empty()));
        self.shown.collect()
    }
}

/// Adds to the registry what alerts need to know about any process: since when it runs, and whether it is ready.
fn register_process(registry: &Registry, readiness: &Readiness) -> Result<(), prometheus::Error> {
    metrics::gauge(registry, "frontdesk_process_start_time_seconds", "When this process began, unix time")?.set(Clock::system().now().timestamp());
    let shown = IntGauge::new("frontdesk_ready", "1 while this process can do its work")?;
    registry.register(Box::new(ReadyGauge { readiness: readiness.clone(), shown }))
}

/// The three routes, to be merged into any router.
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    // refused only when a second listener of the same process shows the same registry: both metrics are in it already
    let _ = register_process(&registry, &readiness);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Observed { registry, readiness })
}

/// Serves the three routes on their own address until `shutdown`; returns the bound address (port 0 is allowed).
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(address: SocketAddr, registry: Registry, readiness: Readiness, shutdown: CancellationToken) -> Result<SocketAddr, TelemetryError> {
    let failed = |source| TelemetryError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let server = axum::serve(listener, router(registry, readiness));
    tokio::spawn(async move {
        // Not a graceful shutdown: an idle keep-alive scrape connection must not hold the process.
        tokio::select! {
            result = async { server.await } => if let Err(error) = result {
                tracing::error!(error = %error, "the metrics and health listener ended");
            },
            () = shutdown.cancelled() => {}
        }
    });
    Ok(bound)
}

async fn readyz(State(observed): State<Observed>) -> Response {
    let missing = observed.readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response()
    }
}

async fn show_metrics(State(observed): State<Observed>) -> Response {
    match metrics::render(&observed.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "the metrics registry cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    #[tokio::test]
    async fn a_process_is_live_before_it_is_ready() {
        let broker_up = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&broker_up);
        let readiness = Readiness::new(move || if seen.load(Ordering::SeqCst) { vec![] } else { vec!["broker"] });
        let registry = Registry::new();
        metrics::counter(&registry, "frontdesk_probe_total", "test").unwrap();
        let shutdown = CancellationToken::new();
        let address = serve("127.0.0.1:0".parse().unwrap(), registry, readiness, shutdown.clone()).await.unwrap();

        assert_eq!(fetch(address, "/healthz").await.0, 200);
        let (status, body) = fetch(address, "/readyz").await;
        assert!(status == 503 && body.ends_with("not ready: broker\n"), "{body}");
        assert!(fetch(address, "/metrics").await.1.contains("frontdesk_ready 0"));
        broker_up.store(true, Ordering::SeqCst);
        assert_eq!(fetch(address, "/readyz").await.0, 200);
        let shown = fetch(address, "/metrics").await.1;
        assert!(["frontdesk_probe_total 0", "frontdesk_ready 1", "frontdesk_process_start_time_seconds 1"].iter().all(|line| shown.contains(line)), "{shown}");
        assert_eq!(fetch(address, "/nothing").await.0, 404);
        shutdown.cancel();
    }
}
