//! A TCP stream with deadlines that depend on what the connection is doing: head, request at work, or idle.
//!
//! Knows no HTTP: the service tells when a request begins and ends. Slow heads, idle peers, peers that do not read, all end here; slow bodies end in `body`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::state::Deadlines;

/// From the first byte of a head to its last, and from the connection's start.
const HEAD: u8 = 0;
/// Between head and answer: the handler's deadlines hold.
const WORK: u8 = 1;
/// Between two requests.
const IDLE: u8 = 2;

/// Bytes of a refused body that are read away after our end is closed, so that its sender can read the answer instead of a reset.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the connection is doing.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

impl Phase {
    pub fn request_begins(&self) {
        self.0.store(WORK, Ordering::Relaxed);
    }

    pub fn request_ends(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The guarded stream.
pub struct Guard {
    stream: TcpStream,
    phase: Arc<Phase>,
    deadlines: Deadlines,
    /// The phase that `read_until` was made for.
    seen: u8,
    read_until: Instant,
    read_timer: Timer,
    write_until: Option<Instant>,
    write_timer: Timer,
    lingering: Option<Linger>,
}

struct Linger {
    until: Instant,
    bytes: usize,
}

impl Guard {
    pub fn new(stream: TcpStream, phase: Arc<Phase>, deadlines: Deadlines) -> Self {
        let read_until = Instant::now() + deadlines.head;
        Self {
            stream,
            phase,
            deadlines,
            seen: HEAD,
            read_until,
            read_timer: Timer::default(),
            write_until: None,
            write_timer: Timer::default(),
            lingering: None,
        }
    }

    /// Called when nothing can be read now.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.phase.now();
        if phase == WORK {
            self.seen = phase;
            return Poll::Pending;
        }
        if phase != self.seen {
            self.seen = phase;
            self.read_until = Instant::now() + if phase == IDLE { self.deadlines.idle } else { self.deadlines.head };
        }
        ready!(self.read_timer.poll(cx, self.read_until));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_stuck<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_until = None;
            return written;
        }
        let until = *self.write_until.get_or_insert_with(|| Instant::now() + self.deadlines.write);
        ready!(self.write_timer.poll(cx, until));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                let phase = self.phase.now();
                if phase == IDLE && buffer.filled().len() > before {
                    // Not a race: the service changes the phase on this same task, never while the stream is polled.
                    self.phase.0.store(HEAD, Ordering::Relaxed);
                    self.seen = HEAD;
                    self.read_until = Instant::now() + self.deadlines.head;
                } else {
                    self.seen = phase;
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_too_slow(cx),
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.poll_stuck(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.poll_stuck(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stuck(cx, flushed)
    }

    /// Closes our end, then reads away what the peer still sends: a socket closed over unread bytes answers with a reset, which can destroy the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = Some(Linger { until: Instant::now() + self.deadlines.linger, bytes: 0 });
        }
        let mut scratch = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        loop {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            let Some(linger) = self.lingering.as_mut() else {
                return Poll::Ready(Ok(()));
            };
            let until = linger.until;
            match read {
                Poll::Ready(Ok(())) if count > 0 && linger.bytes < LINGER_BYTES_MAX => linger.bytes += count,
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.read_timer.poll(cx, until).map(Ok),
            }
        }
    }
}

/// A timer that is armed only when it is needed, and moved only when it must ring earlier: most requests never touch the runtime's timer wheel.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if until < sleep.deadline() {
            sleep.as_mut().reset(until);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}
