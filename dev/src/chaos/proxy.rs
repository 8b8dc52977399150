//! A TCP proxy whose weather can be changed: clear, slow, cut after some bytes, answers swallowed, refused, or silent. It stands between two of the
//! campaign's parties and knows no protocol. Called by `arena` (which links there are) and `strike` (what happens to them).
//!
//! Bytes are lost only together with their connection, as in TCP itself: a connection whose answers were swallowed is reset when the weather clears.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One read; a larger body is several.
const CHUNK_BYTES: usize = 16 * 1024;
/// A loopback peer that does not take a connection within this is stopped or gone.
const CONNECT_BOUND: Duration = Duration::from_secs(5);
/// Out of file descriptors: give the machine a moment instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What happens to the bytes on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Every chunk waits this long, in each direction.
    Latency(Duration),
    /// A connection is reset once it has carried so many bytes since this began.
    CutAfter(u64),
    /// Requests arrive and are carried out; nothing comes back.
    SwallowReplies,
    /// Connections are reset, new ones refused.
    Reset,
    /// Nothing arrives, nothing is refused.
    Blackhole,
}

/// A running proxy; dropping it ends it with all its connections.
pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// What the present weather did: bytes that it delayed, held back or swallowed, connections that it cut or refused.
    touched: Arc<AtomicU64>,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Link {
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    touched: Arc<AtomicU64>,
}

impl Link {
    fn feel(&self) {
        self.touched.fetch_add(1, Ordering::SeqCst);
    }
}

impl Proxy {
    /// Listens on a free loopback port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::Clear);
        let touched = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let link = Link { target, weather: seen, touched: Arc::clone(&touched) };
        tokio::spawn(accept(listener, link, stop.clone()));
        Ok(Self { address, weather, touched, stop })
    }

    /// From now on; connections that are open feel it, too.
    pub fn set(&self, weather: Weather) {
        self.touched.store(0, Ordering::SeqCst);
        self.weather.send_replace(weather);
    }

    /// How often the present weather did something that either side could notice: an idle link feels nothing.
    pub fn touched(&self) -> u64 {
        self.touched.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, link: Link, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, _)) => {
                let (link, stop) = (link.clone(), stop.clone());
                tokio::spawn(async move { stop.run_until_cancelled(carry(client, link)).await });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides had said all they wanted, or one vanished by itself.
    Closed,
    /// The weather ended it: both sides see a reset.
    Reset,
}

async fn carry(mut client: TcpStream, mut link: Link) {
    // a link that is dead before the first byte: hold the client as a network would, then go on
    while *link.weather.borrow_and_update() == Weather::Blackhole {
        link.feel();
        if link.weather.changed().await.is_err() {
            return;
        }
    }
    if *link.weather.borrow() == Weather::Reset {
        link.feel();
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_BOUND, TcpStream::connect(link.target)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    // small messages both ways: waiting to fill a packet would add 40 ms to each
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let requests = Pump { from: from_client, to: to_server, replies: false, link: link.clone(), carried: 0, swallowed: false };
        let replies = Pump { from: from_server, to: to_client, replies: true, link, carried: 0, swallowed: false };
        let (mut requests, mut replies) = (Box::pin(requests.run()), Box::pin(replies.run()));
        // the end of one direction is not the end of the other; a reset is
        tokio::select! {
            end = &mut requests => if end == End::Reset { end } else { replies.await },
            end = &mut replies => if end == End::Reset { end } else { requests.await },
        }
    };
    if end == End::Reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// One direction of one connection.
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    replies: bool,
    link: Link,
    /// Since the present weather began.
    carried: u64,
    /// Bytes of this direction are missing: the stream cannot go on.
    swallowed: bool,
}

impl Pump<'_> {
    async fn run(mut self) -> End {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut felt = Weather::Clear;
        loop {
            let weather = *self.link.weather.borrow_and_update();
            if weather != felt {
                (felt, self.carried) = (weather, 0);
                if weather == Weather::Reset {
                    self.link.feel();
                }
                if weather == Weather::Reset || self.swallowed && weather != Weather::SwallowReplies {
                    return End::Reset;
                }
            }
            if weather == Weather::Blackhole {
                if !self.hold_back().await {
                    return End::Closed;
                }
                continue;
            }
            let read = tokio::select! {
                changed = self.link.weather.changed() => if changed.is_ok() { continue } else { return End::Closed },
                read = self.from.read(&mut chunk) => read,
            };
            match read {
                Ok(bytes) if bytes > 0 => {
                    if let Some(end) = self.pass(&chunk[..bytes], weather).await {
                        return end;
                    }
                }
                Ok(_) => {
                    let _ = self.to.shutdown().await;
                    return End::Closed;
                }
                Err(_) => return End::Reset,
            }
        }
    }

    /// Until the weather changes; `false`: it never will. Bytes that want to pass meanwhile feel it.
    async fn hold_back(&mut self) -> bool {
        let mut weather = self.link.weather.clone();
        tokio::select! {
            changed = weather.changed() => return changed.is_ok(),
            _ = self.from.readable() => self.link.feel(),
        }
        weather.changed().await.is_ok()
    }

    /// Hands a chunk on, or does with it what the weather does.
    async fn pass(&mut self, chunk: &[u8], weather: Weather) -> Option<End> {
        match weather {
            Weather::Latency(by) => {
                self.link.feel();
                tokio::time::sleep(by).await;
            }
            Weather::SwallowReplies if self.replies => {
                self.link.feel();
                self.swallowed = true;
                return None;
            }
            Weather::CutAfter(bytes) => {
                let left = usize::try_from(bytes.saturating_sub(self.carried)).unwrap_or(usize::MAX);
                if left < chunk.len() {
                    self.link.feel();
                    // half a message arrives, which is what a cut in the middle looks like
                    let _ = self.to.write_all(&chunk[..left]).await;
                    return Some(End::Reset);
                }
            }
            _ => {}
        }
        self.carried += chunk.len() as u64;
        self.to.write_all(chunk).await.err().map(|_| End::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every chunk with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut chunk = [0; 1024];
                    while let Ok(bytes @ 1..) = stream.read(&mut chunk).await {
                        if stream.write_all(&chunk[..bytes]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, text: &str) -> io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    const SOON: Duration = Duration::from_millis(150);
    const BOUND: Duration = Duration::from_secs(10);

    async fn pair() -> (Proxy, TcpStream) {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(ask(&mut stream, "clear").await.unwrap(), "clear");
        (proxy, stream)
    }

    #[tokio::test]
    async fn a_blackhole_holds_bytes_back_and_lets_them_go_when_it_ends() {
        let (proxy, mut stream) = pair().await;
        proxy.set(Weather::Blackhole);
        assert!(tokio::time::timeout(SOON, ask(&mut stream, "lost?")).await.is_err());
        assert!(proxy.touched() > 0);
        proxy.set(Weather::Clear);
        let mut answer = [0; 5];
        tokio::time::timeout(BOUND, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"lost?");
    }

    /// Counting it would make a campaign believe in faults that nobody met.
    #[tokio::test]
    async fn an_idle_link_feels_no_weather_but_a_reset() {
        let (proxy, mut stream) = pair().await;
        for weather in [Weather::Latency(Duration::from_millis(1)), Weather::CutAfter(1), Weather::SwallowReplies, Weather::Blackhole] {
            proxy.set(weather);
            tokio::task::yield_now().await;
            assert_eq!(proxy.touched(), 0, "{weather:?}");
            proxy.set(Weather::Clear);
            assert_eq!(ask(&mut stream, "still there").await.unwrap(), "still there");
        }
        proxy.set(Weather::Reset);
        assert!(tokio::time::timeout(BOUND, stream.read_u8()).await.unwrap().is_err());
        assert!(proxy.touched() > 0);
    }

    #[tokio::test]
    async fn a_reset_ends_open_connections_and_refuses_new_ones() {
        let (proxy, mut stream) = pair().await;
        proxy.set(Weather::Reset);
        assert!(tokio::time::timeout(BOUND, stream.read_u8()).await.unwrap().is_err());
        let mut second = TcpStream::connect(proxy.address).await.unwrap();
        assert!(tokio::time::timeout(BOUND, ask(&mut second, "x")).await.unwrap().is_err());
        proxy.set(Weather::Clear);
        let mut third = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(ask(&mut third, "again").await.unwrap(), "again");
    }

    #[tokio::test]
    async fn swallowed_answers_never_come_and_their_connection_ends_with_the_weather() {
        let (proxy, mut stream) = pair().await;
        proxy.set(Weather::SwallowReplies);
        assert!(tokio::time::timeout(SOON, ask(&mut stream, "carried out")).await.is_err());
        proxy.set(Weather::Clear);
        assert!(tokio::time::timeout(BOUND, stream.read_u8()).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_connection_is_cut_in_the_middle_of_a_message() {
        let (proxy, mut stream) = pair().await;
        proxy.set(Weather::CutAfter(6));
        let failed = tokio::time::timeout(BOUND, ask(&mut stream, "0123456789")).await.unwrap();
        assert!(failed.is_err());
    }

    #[tokio::test]
    async fn latency_delays_both_directions() {
        let (proxy, mut stream) = pair().await;
        proxy.set(Weather::Latency(Duration::from_millis(40)));
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&mut stream, "slow").await.unwrap(), "slow");
        assert!(began.elapsed() >= Duration::from_millis(80));
    }
}
