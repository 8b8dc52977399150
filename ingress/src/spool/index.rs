//! Which records wait, in memory: per queue in the order of arrival, so that a queue that is blocked does not hold up another.
//!
//! The truth is on the disk (`segment`); this is rebuilt from it at a start. Locked for moments, never while waiting.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::broker::QueueName;

use super::Held;
use super::record;
use super::segment::{self, Recovered, Segment};

/// Records in the index. Each costs 16 bytes of memory; the byte quota is normally reached far earlier.
pub const RECORDS_MAX: u64 = 4_000_000;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub segment: u64,
    pub offset: u32,
    pub length: u32,
}

pub struct Index(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    queues: BTreeMap<QueueName, VecDeque<Place>>,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is being written: it is not deleted, even when empty.
    open: Option<u64>,
    held: Held,
}

impl Index {
    pub fn new(recovered: Vec<Recovered>) -> Self {
        let mut inner = Inner::default();
        for Recovered { id, mut segment, records, damaged } in recovered {
            inner.held.damaged += u64::from(damaged);
            let Ok(file) = segment.reader() else { continue };
            let mut unreadable = Vec::new();
            for (offset, length) in records {
                match queue_of(&file, offset, length) {
                    Some(queue) => inner.queues.entry(queue).or_default().push_back(Place { segment: id, offset, length }),
                    None => unreadable.push(offset),
                }
            }
            inner.held.damaged += unreadable.len() as u64;
            segment.spoiled |= !unreadable.is_empty();
            segment.pending -= unreadable.len();
            inner.held.records += segment.pending as u64;
            inner.held.bytes += segment.bytes;
            inner.segments.insert(id, segment);
        }
        inner.delete_empty();
        Self(Mutex::new(inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn held(&self) -> Held {
        self.lock().held
    }

    /// A new segment is being written from now on.
    pub fn begin_segment(&self, id: u64, segment: Segment) {
        let mut inner = self.lock();
        inner.segments.insert(id, segment);
        inner.open = Some(id);
        inner.delete_empty();
    }

    /// The open segment is given up or full.
    pub fn end_segment(&self) {
        let mut inner = self.lock();
        inner.open = None;
        inner.delete_empty();
    }

    /// Records that are on the disk now.
    pub fn add(&self, records: Vec<(QueueName, Place)>) {
        let mut inner = self.lock();
        inner.held.records += records.len() as u64;
        for (queue, place) in records {
            if let Some(segment) = inner.segments.get_mut(&place.segment) {
                segment.pending += 1;
                segment.bytes += u64::from(place.length);
            }
            inner.held.bytes += u64::from(place.length);
            inner.queues.entry(queue).or_default().push_back(place);
        }
    }

    /// The open segment is given up. What a failed write left in its file counts against the quota until the file goes.
    pub fn end_with_waste(&self, id: u64, bytes_on_disk: u64) {
        let mut inner = self.lock();
        if let Some(segment) = inner.segments.get_mut(&id) {
            let waste = bytes_on_disk.saturating_sub(segment.bytes);
            segment.bytes += waste;
            inner.held.bytes += waste;
        }
        inner.open = None;
        inner.delete_empty();
    }

    /// Queues that have records waiting.
    pub fn queues(&self) -> Vec<QueueName> {
        self.lock().queues.keys().cloned().collect()
    }

    /// The oldest records of a queue, with a handle to read each; at least one, and no more than fit the bounds.
    pub fn head(&self, queue: &QueueName, records_max: usize, bytes_max: u64) -> Vec<(Place, io::Result<File>)> {
        let inner = self.lock();
        let mut bytes = 0;
        let waiting = inner.queues.get(queue).into_iter().flatten();
        let taken = waiting.take(records_max).take_while(|place| {
            let first = bytes == 0;
            bytes += u64::from(place.length);
            first || bytes <= bytes_max
        });
        taken
            .map(|place| {
                let missing = || io::Error::new(io::ErrorKind::NotFound, "the segment is gone");
                (*place, inner.segments.get(&place.segment).ok_or_else(missing).and_then(Segment::reader))
            })
            .collect()
    }

    /// Takes drained records off the head of a queue. `looked_at` is what `head` gave; only `done` of them go, `damaged` of these unread.
    pub fn remove(&self, queue: &QueueName, looked_at: &[Place], done: &[Place], damaged: &[Place]) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.queues.get_mut(queue) {
            waiting.drain(..looked_at.len().min(waiting.len()));
            looked_at.iter().rev().filter(|place| !done.contains(place)).for_each(|place| waiting.push_front(*place));
            if waiting.is_empty() {
                inner.queues.remove(queue);
            }
        }
        inner.held.records = inner.held.records.saturating_sub(done.len() as u64);
        inner.held.damaged += damaged.len() as u64;
        for place in damaged {
            if let Some(segment) = inner.segments.get_mut(&place.segment) {
                segment.spoiled = true;
            }
        }
        let mut by_segment: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        done.iter().for_each(|place| by_segment.entry(place.segment).or_default().push(place.offset));
        for (segment, offsets) in by_segment {
            if let Some(segment) = inner.segments.get_mut(&segment) {
                segment.mark_done(&offsets);
            }
        }
        inner.delete_empty();
    }
}

impl Inner {
    fn delete_empty(&mut self) {
        let open = self.open;
        let empty = self.segments.extract_if(.., |id, segment| segment.pending == 0 && Some(*id) != open);
        let freed: u64 = empty
            .map(|(_, segment)| {
                let bytes = segment.bytes;
                segment.delete();
                bytes
            })
            .sum();
        self.held.bytes = self.held.bytes.saturating_sub(freed);
    }
}

fn queue_of(file: &File, offset: u32, length: u32) -> Option<QueueName> {
    let frame = segment::read_record(file, offset, length).ok()?;
    record::decode(&frame.into()).map(|(queue, _)| queue)
}
