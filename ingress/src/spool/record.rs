//! How one message lies in a segment: a frame that can be found again, around a compact form of queue and envelope.
//!
//! Frame: magic · length · checksum of these two · checksum of the content · content. The header has its own checksum and a magic to search for, so that a
//! flipped bit anywhere costs exactly one record. Not files (that is `segment`). Pure.

use bytes::Bytes;
use chrono::DateTime;
use shared::broker::QueueName;
use shared::envelope::{Envelope, Kind, MessageId};
use uuid::Uuid;

const MAGIC: [u8; 4] = *b"fdR1";
/// Magic, length, header checksum, content checksum.
pub const HEADER_BYTES: usize = 16;
/// Larger than any body (8 MiB) with its properties: a longer length is damage.
const CONTENT_BYTES_MAX: usize = 9 * 1024 * 1024;
const VERSION: u8 = 1;

const CALLER_GONE: u8 = 1;
const HAS_ENDPOINT: u8 = 2;
const HAS_DEADLINE: u8 = 4;
const HAS_TRACE: u8 = 8;

/// The frame of one message. `reply_to` is left out: after a stay in the spool nobody waits for an answer.
#[must_use]
pub fn encode(queue: &QueueName, envelope: &Envelope) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + 320 + envelope.body.len());
    frame.resize(HEADER_BYTES, 0);
    let flag = |present: bool, bit: u8| if present { bit } else { 0 };
    frame.push(VERSION);
    frame.push(
        flag(envelope.caller_gone, CALLER_GONE)
            | flag(envelope.endpoint.is_some(), HAS_ENDPOINT)
            | flag(envelope.deadline.is_some(), HAS_DEADLINE)
            | flag(envelope.traceparent.is_some(), HAS_TRACE),
    );
    push_text(&mut frame, queue.as_str());
    push_text(&mut frame, &envelope.kind.name());
    push_text(&mut frame, envelope.message_id.as_str());
    frame.extend_from_slice(&envelope.schema_version.to_le_bytes());
    frame.extend_from_slice(&envelope.attempt.to_le_bytes());
    frame.extend_from_slice(&envelope.received_at.timestamp_micros().to_le_bytes());
    if let Some(endpoint) = envelope.endpoint {
        frame.extend_from_slice(endpoint.as_bytes());
    }
    if let Some(deadline) = envelope.deadline {
        frame.extend_from_slice(&deadline.timestamp_micros().to_le_bytes());
    }
    if let Some(trace) = &envelope.traceparent {
        push_text(&mut frame, trace);
    }
    frame.extend_from_slice(&envelope.body);
    seal(&mut frame);
    frame
}

/// Texts here are our own names and ids, far below 255 bytes; a longer one is cut, which its parser then refuses.
fn push_text(frame: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    frame.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    frame.extend_from_slice(bytes);
}

fn seal(frame: &mut [u8]) {
    let (header, content) = frame.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    let header_sum = crc32fast::hash(&header[..8]);
    header[8..12].copy_from_slice(&header_sum.to_le_bytes());
    header[12..16].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
}

/// What a frame at some place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole record of that many bytes, header included.
    Whole(usize),
    /// A sound header, but the content is damaged; that many bytes belong to it.
    Damaged(usize),
    /// A sound header whose content ends after the data does.
    Cut,
    /// No sound header here.
    Nothing,
}

/// Looks at the start of `data`.
#[must_use]
pub fn look(data: &[u8]) -> Found {
    let Some(header) = data.first_chunk::<HEADER_BYTES>() else {
        return Found::Nothing;
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = word(4) as usize;
    if header[..4] != MAGIC || crc32fast::hash(&header[..8]) != word(8) || length > CONTENT_BYTES_MAX {
        return Found::Nothing;
    }
    match data.get(HEADER_BYTES..HEADER_BYTES + length) {
        None => Found::Cut,
        Some(content) if crc32fast::hash(content) == word(12) => Found::Whole(HEADER_BYTES + length),
        Some(_) => Found::Damaged(HEADER_BYTES + length),
    }
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Offset and length of each whole record.
    pub records: Vec<(u32, u32)>,
    /// Records lost to damage.
    pub damaged: u32,
    /// Behind the last whole record.
    pub end: usize,
    /// Bytes behind `end` that are the torn rest of a write: never acknowledged, because its fdatasync did not return.
    pub torn: usize,
}

/// Walks a segment. Damage in the middle is skipped up to the next sound record; what follows the last one is torn.
#[must_use]
pub fn scan(data: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    // Bytes without a sound header: one lost record if another follows, else the torn end.
    let mut headless = false;
    while at < data.len() {
        match look(&data[at..]) {
            Found::Whole(length) => {
                scan.damaged += u32::from(headless);
                headless = false;
                scan.records.push((u32::try_from(at).unwrap_or(u32::MAX), u32::try_from(length).unwrap_or(u32::MAX)));
                at += length;
                scan.end = at;
            }
            Found::Damaged(length) => {
                // Complete by length: it may have been acknowledged, so it counts even as the last one.
                scan.damaged += 1;
                at += length;
            }
            Found::Cut | Found::Nothing => {
                headless = true;
                at = next_magic(data, at + 1);
            }
        }
    }
    scan.torn = data.len() - scan.end;
    scan
}

fn next_magic(data: &[u8], from: usize) -> usize {
    let found = data.get(from..).and_then(|rest| rest.windows(MAGIC.len()).position(|window| window == MAGIC));
    found.map_or(data.len(), |offset| from + offset)
}

/// The queue's name and the message of a whole frame; `None` if the frame is damaged or of a form that this binary does not know.
#[must_use]
pub fn decode(frame: &Bytes) -> Option<(QueueName, Envelope)> {
    if look(frame) != Found::Whole(frame.len()) {
        return None;
    }
    let mut rest = Reader(frame.slice(HEADER_BYTES..));
    if rest.byte()? != VERSION {
        return None;
    }
    let flags = rest.byte()?;
    let has = |bit: u8| flags & bit != 0;
    // A queue that this binary no longer knows: a human decides.
    let queue = QueueName::parse(&rest.text()?).unwrap_or_else(QueueName::unrouted);
    let envelope = Envelope {
        kind: Kind::parse(&rest.text()?)?,
        message_id: MessageId::parse(&rest.text()?)?,
        schema_version: u16::from_le_bytes(rest.array()?),
        attempt: u32::from_le_bytes(rest.array()?),
        received_at: DateTime::from_timestamp_micros(i64::from_le_bytes(rest.array()?))?,
        endpoint: if has(HAS_ENDPOINT) { Some(Uuid::from_bytes(rest.array()?)) } else { None },
        deadline: if has(HAS_DEADLINE) { Some(DateTime::from_timestamp_micros(i64::from_le_bytes(rest.array()?))?) } else { None },
        reply_to: None,
        traceparent: if has(HAS_TRACE) { Some(rest.text()?) } else { None },
        caller_gone: has(CALLER_GONE),
        body: rest.0,
    };
    Some((queue, envelope))
}

struct Reader(Bytes);

impl Reader {
    fn take(&mut self, count: usize) -> Option<Bytes> {
        (self.0.len() >= count).then(|| self.0.split_to(count))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.byte()?;
        String::from_utf8(self.take(length.into())?.to_vec()).ok()
    }
}
