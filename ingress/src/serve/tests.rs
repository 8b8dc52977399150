//! The loop over real sockets: slow heads, slow bodies, idle and greedy peers, and an orderly stop.

use axum::routing::post;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::body;
use crate::limits::BodyRoom;

const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    connections: IntGauge,
    running: JoinHandle<()>,
}

/// Deadlines of 200 ms, and a route that reads its body as the real ones do, within `body`.
async fn start(connections_max: usize, deadlines: Deadlines) -> Server {
    let room = BodyRoom::default();
    let handler = move |request: Request| {
        let room = room.clone();
        async move {
            let declared = body::declared(request.headers(), 1000)?;
            let held = body::read(&room, request.into_body(), declared, 1000, deadlines.body).await?;
            Ok::<_, crate::error::Refusal>(held.bytes.len().to_string())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let connections = IntGauge::new("connections", "test").unwrap();
    let router = Router::new().route("/", post(handler));
    let bounds = Bounds { connections_max, deadlines };
    let running = tokio::spawn(run(listener, router, bounds, connections.clone(), shutdown.clone(), PATIENCE));
    Server { address, shutdown, connections, running }
}

fn long() -> Deadlines {
    Deadlines { head: PATIENCE, body: PATIENCE, idle: PATIENCE, ..Deadlines::default() }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything the server sends until it closes; panics if it does not close.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset is a close too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("the server closes the connection");
    text
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_cut_at_the_head_deadline() {
    let server = start(10, Deadlines { head: SHORT, ..long() }).await;
    assert_eq!(rest(connect(&server).await).await, "");
}

#[tokio::test]
async fn a_head_that_drips_is_cut_at_its_deadline() {
    let server = start(10, Deadlines { head: SHORT, ..long() }).await;
    let (mut read, mut write) = connect(&server).await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"POST / HTTP/1.1\r\nhost: x\r\nx: ".iter().chain(std::iter::repeat(&b'a')) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut text = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, read.read_to_end(&mut text)).await.expect("the server closes the connection");
    dripping.abort();
}

#[tokio::test]
async fn the_head_deadline_holds_for_the_second_request_too_and_idling_between_is_longer() {
    let server = start(10, Deadlines { head: SHORT, ..long() }).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n2") {
        answer.push(stream.read_u8().await.unwrap());
    }
    // Longer than the head deadline, and the server has not closed: idle peers are not cut by it.
    assert!(tokio::time::timeout(2 * SHORT, stream.read_u8()).await.is_err());
    stream.write_all(b"POST / HT").await.unwrap();
    let text = rest(stream).await;
    assert_eq!(text.matches("HTTP/1.1").count(), 0, "{text}");
}

#[tokio::test]
async fn an_idle_connection_is_cut_at_the_idle_deadline() {
    let server = start(10, Deadlines { idle: SHORT, ..long() }).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    assert!(rest(stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_drips_hears_408_at_its_deadline() {
    let server = start(10, Deadlines { body: SHORT, ..long() }).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{").await.unwrap();
    assert!(rest(stream).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_body_over_the_limit_hears_413_whether_declared_or_chunked() {
    let server = start(10, long()).await;
    let mut declared = connect(&server).await;
    declared.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n").await.unwrap();
    assert!(rest(declared).await.starts_with("HTTP/1.1 413"));
    let mut chunked = connect(&server).await;
    chunked.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    chunked.write_all(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes()).await.unwrap();
    assert!(rest(chunked).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_sender_that_is_refused_while_sending_can_still_read_the_answer() {
    let server = start(10, long()).await;
    let (mut read, mut write) = connect(&server).await.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n").await.unwrap();
        write.write_all(&vec![b'x'; 4_000_000]).await
    });
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, read.read_to_string(&mut text)).await.expect("the server closes").expect("without a reset");
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    sending.await.unwrap().expect("the whole body could be sent");
}

#[tokio::test]
async fn contradicting_and_unknown_framings_are_refused() {
    let server = start(10, long()).await;
    for head in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2\r\ntransfer-encoding: xchunked",
        "transfer-encoding: xchunked",
        "content-length: -1",
        "content-length: 2, 3",
        "a b: c",
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{{}}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let text = rest(stream).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{head}: {text}");
    }
}

#[tokio::test]
async fn too_many_headers_and_too_large_a_head_hear_431() {
    let server = start(10, long()).await;
    let many: String = (0..65).map(|number| format!("x-{number}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(17 * 1024));
    for headers in [many, large] {
        let mut stream = connect(&server).await;
        stream.write_all(format!("POST / HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();
        assert!(rest(stream).await.starts_with("HTTP/1.1 431"));
    }
}

#[tokio::test]
async fn no_more_connections_than_the_cap_are_served_at_once() {
    let server = start(2, Deadlines { head: SHORT, ..long() }).await;
    let slow = (connect(&server).await, connect(&server).await);
    until(|| server.connections.get() == 2).await;
    let mut third = connect(&server).await;
    third.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    // Served as soon as the slow ones are cut.
    assert!(rest(third).await.starts_with("HTTP/1.1 200"));
    drop(slow);
}

#[tokio::test]
async fn a_stop_lets_the_request_at_work_finish_and_closes_idle_connections() {
    let server = start(10, long()).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    let mut at_work = connect(&server).await;
    at_work.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{").await.unwrap();
    until(|| server.connections.get() == 2).await;
    server.shutdown.cancel();
    rest(idle).await;
    at_work.write_all(b"}").await.unwrap();
    assert!(rest(at_work).await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(PATIENCE, server.running).await.unwrap().unwrap();
}
