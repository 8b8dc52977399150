//! Reads a request's body under three bounds: the route's size, ten seconds in all, and the process-wide room for bodies.
//!
//! Room is taken before bytes are read, in growing steps: who declares 8 MiB and sends nothing holds 64 KiB of room, not 8 MiB. Raw bytes only, no
//! parsing. Called by `webhooks`.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::SemaphorePermit;

use crate::error::Refusal;
use crate::limits::BodyRoom;

/// The first step: 4,096 connections (the default cap) of one step each are exactly the whole room. Also the connection's read buffer (`serve`).
const STEP_BYTES: usize = 64 * 1024;

/// A body, and the room it occupies until it is dropped.
pub struct Held<'a> {
    pub bytes: Bytes,
    _room: SemaphorePermit<'a>,
}

/// The length that the sender declares.
///
/// # Errors
/// `TooLarge` over `bytes_max`: known before a byte is read.
pub fn declared(headers: &HeaderMap, bytes_max: usize) -> Result<Option<usize>, Refusal> {
    // hyper has refused lengths that are malformed or contradict each other.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(length)) if length <= bytes_max => Ok(Some(length)),
        Some(_) => Err(Refusal::TooLarge),
    }
}

/// Reads the body whole.
///
/// # Errors
/// `TooLarge`, `TooSlow`, `Incomplete`, or `NotReady` if no room became free in time.
pub async fn read(room: &BodyRoom, mut body: Body, declared: Option<usize>, bytes_max: usize, within: Duration) -> Result<Held<'_>, Refusal> {
    let mut waits_for_room = false;
    let expected = declared.unwrap_or(bytes_max);
    let collect = async {
        let mut reserved = expected.clamp(1, STEP_BYTES);
        let mut held = reserve(room, reserved, &mut waits_for_room).await?;
        let mut parts = Parts::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Incomplete)?.into_data() else {
                continue;
            };
            parts.push(data, expected);
            if parts.len() > bytes_max {
                return Err(Refusal::TooLarge);
            }
            let needed = expected.min(parts.len() + STEP_BYTES);
            if parts.len() < expected && needed > reserved {
                // Doubling: a large body asks a few times, not once per frame.
                let target = expected.min(needed.max(2 * reserved));
                held.merge(reserve(room, target - reserved, &mut waits_for_room).await?);
                reserved = target;
            }
        }
        Ok(Held { bytes: parts.finish(), _room: held })
    };
    match tokio::time::timeout(within, collect).await {
        Ok(result) => result,
        Err(_) if waits_for_room => Err(Refusal::NotReady),
        Err(_) => Err(Refusal::TooSlow),
    }
}

/// Reads a body away without keeping it, so that the sender of a request that is refused anyway can read the answer.
pub async fn discard(mut body: Body, bytes_max: usize, within: Duration) {
    let read = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > bytes_max {
                break;
            }
        }
    };
    // Too slow or too long: the connection is closed instead.
    let _ = tokio::time::timeout(within, read).await;
}

async fn reserve<'a>(room: &'a BodyRoom, bytes: usize, waits: &mut bool) -> Result<SemaphorePermit<'a>, Refusal> {
    *waits = true;
    let taken = room.take(u32::try_from(bytes).unwrap_or(u32::MAX)).await.ok_or(Refusal::NotReady);
    *waits = false;
    taken
}

/// One frame is handed on as it is; more are joined.
#[derive(Default)]
struct Parts {
    first: Bytes,
    joined: BytesMut,
}

impl Parts {
    fn push(&mut self, data: Bytes, expected: usize) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(expected.min(self.first.len() + data.len() + STEP_BYTES));
            self.joined.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.joined.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}
