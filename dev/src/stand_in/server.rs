//! A small HTTP/1 server on loopback for the stand-ins. Unlike `axum::serve` it can break a connection without an
//! answer, it finishes a request whose client has gone (as the providers' servers do), and it can tell a handler when
//! its answer has left. It is not the product's edge: no deadlines, no caps but the one on bodies.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Requests of the product stay far below; a larger one is a bug that should be seen.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A response that carries this breaks its connection instead of being sent.
#[derive(Clone)]
pub struct DropConnection;

/// Put into a response's extensions: fires once hyper has encoded the whole answer.
#[derive(Clone)]
pub struct OnAnswered(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl OnAnswered {
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }
}

/// Runs until dropped.
pub struct LoopbackServer {
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl LoopbackServer {
    /// Port 0 takes a free one.
    pub async fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, router, stop.clone()));
        Ok(Self { address, stop })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, router.clone(), stop.clone()));
            }
            // Out of file descriptors or a peer that vanished: give the machine a moment instead of spinning.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are small; waiting to fill a packet would only add 40 ms to each.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(router.clone(), request, stop.clone()));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        // An error here is a client that left or a connection that a fault dropped on purpose.
        _ = serving => {}
    }
}

async fn answer(router: Router, request: hyper::Request<Incoming>, stop: CancellationToken) -> io::Result<Response> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(axum::http::StatusCode::PAYLOAD_TOO_LARGE.into_response());
    };
    let request = axum::http::Request::from_parts(parts, Body::from(body.to_bytes()));
    // In its own task: when the client hangs up, the provider's server still finishes what it began.
    let work = tokio::spawn(stop.run_until_cancelled_owned(router.oneshot(request)));
    let Ok(Some(Ok(mut response))) = work.await else {
        return Err(io::Error::other("the stand-in stopped while it answered"));
    };
    if response.extensions().get::<DropConnection>().is_some() {
        return Err(io::Error::other("connection dropped on purpose"));
    }
    if let Some(OnAnswered(sender)) = response.extensions_mut().remove::<OnAnswered>() {
        let guard = FireOnDrop(sender.lock().ok().and_then(|mut sender| sender.take()));
        response = response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _owned = &guard;
                frame
            }))
        });
    }
    Ok(response)
}

/// Owned by the response body, so that it goes when hyper has taken the last byte (or the client has gone).
struct FireOnDrop(Option<oneshot::Sender<()>>);

impl Drop for FireOnDrop {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}
