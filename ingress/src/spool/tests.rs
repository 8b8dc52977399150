//! The spool at its breaking points: cut files, flipped bits, a full or broken disk, a second process.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use chrono::DateTime;
use futures_util::future::BoxFuture;
use shared::broker::topology;
use shared::envelope::{Kind, Lane, MessageId, ReplyTo, Role, SCHEMA_VERSION};
use uuid::Uuid;

use super::segment::{LocalDisk, Log};
use super::*;
use crate::outlet::{Outlet, Refused};

fn envelope(body: &str) -> Envelope {
    Envelope {
        message_id: MessageId::of_request(Uuid::nil(), body.as_bytes()),
        kind: Kind::CalcomBookingCreated,
        schema_version: SCHEMA_VERSION,
        endpoint: Some(Uuid::from_u128(7)),
        received_at: DateTime::from_timestamp_micros(1_760_716_800_123_456).unwrap(),
        attempt: 1,
        deadline: DateTime::from_timestamp_micros(1_760_716_806_123_456),
        reply_to: Some(ReplyTo { queue: "frontdesk.reply.x".to_owned(), correlation_id: Uuid::from_u128(9) }),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        caller_gone: true,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn booking() -> QueueName {
    topology::queue(Role::Booking, Lane::Bulk)
}

fn calls() -> QueueName {
    topology::queue(Role::Calls, Lane::Bulk)
}

fn config(folder: &Path) -> SpoolConfig {
    SpoolConfig { folder: folder.to_owned(), bytes_max: 64 * 1024 * 1024, free_bytes_min: 0 }
}

fn open(folder: &Path) -> Spool {
    Spool::open(config(folder), Arc::new(LocalDisk)).unwrap()
}

/// The writer thread may hold the last reference for a moment, and with it the lock.
async fn reopen(folder: &Path) -> Spool {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Spool::open(config(folder), Arc::new(LocalDisk)) {
            Err(SpoolError::InUse { .. }) if tokio::time::Instant::now() < deadline => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// Takes everything, or refuses one queue; remembers what it took.
#[derive(Default)]
struct Sink {
    taken: Mutex<Vec<(String, Bytes)>>,
    refusing: Mutex<Option<QueueName>>,
}

impl Outlet for Sink {
    fn publish<'a>(&'a self, queue: &'a QueueName, envelope: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            if self.refusing.lock().unwrap().as_ref() == Some(queue) {
                return Err(Refused(None));
            }
            self.taken.lock().unwrap().push((queue.to_string(), envelope.body.clone()));
            Ok(())
        })
    }

    fn is_ready(&self) -> bool {
        true
    }
}

impl Sink {
    fn bodies(&self) -> Vec<Bytes> {
        self.taken.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

async fn drain_all(spool: &Spool, sink: &Sink) {
    let mut blocked = HashMap::new();
    while drain::drain_round(spool, sink, &mut blocked).await {}
}

fn only_segment(folder: &Path) -> PathBuf {
    let logs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().unwrap()
}

#[tokio::test]
async fn a_record_survives_a_restart_with_all_its_properties_but_the_reply_address() {
    let folder = tempfile::tempdir().unwrap();
    let original = envelope("{\"a\":\"ä\"}");
    open(folder.path()).append(&booking(), &original).await.unwrap();
    let (_, kept) = record::decode(&fs::read(only_segment(folder.path())).unwrap().into()).unwrap();
    let expected = format!("{:?}", Envelope { reply_to: None, ..original });
    assert_eq!(format!("{kept:?}"), expected);
    assert_eq!(reopen(folder.path()).await.held().records, 1);
}

#[tokio::test]
async fn a_file_cut_at_any_byte_loses_the_cut_record_only() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let mut ends = vec![0];
    for body in ["one", "two", "three"] {
        spool.append(&booking(), &envelope(body)).await.unwrap();
        ends.push(usize::try_from(spool.held().bytes).unwrap());
    }
    let data = fs::read(only_segment(folder.path())).unwrap();
    assert_eq!(data.len(), ends[3]);
    for cut in 0..=data.len() {
        let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
        let other = tempfile::tempdir().unwrap();
        fs::write(segment::path(other.path(), 1), &data[..cut]).unwrap();
        let found = segment::recover(other.path()).unwrap();
        assert_eq!((found[0].records.len(), found[0].damaged), (whole, 0), "cut at {cut}");
        assert_eq!(fs::metadata(segment::path(other.path(), 1)).unwrap().len(), ends[whole] as u64, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_loses_that_record_only_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let mut ends = vec![0];
    for body in ["one", "two", "three"] {
        spool.append(&booking(), &envelope(body)).await.unwrap();
        ends.push(usize::try_from(spool.held().bytes).unwrap());
    }
    let data = fs::read(only_segment(folder.path())).unwrap();
    for bit in 0..ends[2] * 8 {
        let mut altered = data.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let found = record::scan(&altered);
        let lost = ends.iter().rposition(|end| *end <= bit / 8).unwrap();
        let expected: Vec<_> = (0..3).filter(|record| *record != lost).map(|record| u32::try_from(ends[record]).unwrap()).collect();
        assert_eq!(found.records.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected, "bit {bit}");
        assert_eq!((found.damaged, found.torn), (1, 0), "bit {bit}");
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    assert!(matches!(Spool::open(config(folder.path()), Arc::new(LocalDisk)), Err(SpoolError::InUse { .. })));
}

#[tokio::test]
async fn each_queue_is_drained_in_order_and_a_blocked_one_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    for number in 0..200 {
        spool.append(&booking(), &envelope(&format!("b{number}"))).await.unwrap();
        spool.append(&calls(), &envelope(&format!("c{number}"))).await.unwrap();
    }
    let sink = Sink::default();
    *sink.refusing.lock().unwrap() = Some(booking());
    drain_all(&spool, &sink).await;
    assert_eq!(sink.bodies(), (0..200).map(|number| format!("c{number}")).collect::<Vec<_>>());
    assert_eq!(spool.held().records, 200);
    *sink.refusing.lock().unwrap() = None;
    sink.taken.lock().unwrap().clear();
    drain_all(&spool, &sink).await;
    assert_eq!(sink.bodies(), (0..200).map(|number| format!("b{number}")).collect::<Vec<_>>());
    assert_eq!(spool.held().records, 0);
}

#[tokio::test]
async fn what_was_drained_is_not_published_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    spool.append(&booking(), &envelope("drained")).await.unwrap();
    drain_all(&spool, &Sink::default()).await;
    spool.append(&booking(), &envelope("waiting")).await.unwrap();
    drop(spool);
    let spool = reopen(folder.path()).await;
    let sink = Sink::default();
    drain_all(&spool, &sink).await;
    assert_eq!(sink.bodies(), ["waiting"]);
    assert_eq!(spool.held(), Held::default());
    assert!(fs::read_dir(folder.path()).unwrap().all(|entry| entry.unwrap().file_name() == "lock"));
}

#[tokio::test]
async fn a_used_up_quota_refuses_and_draining_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let full = SpoolConfig { bytes_max: 20 * 1024 * 1024, ..config(folder.path()) };
    let spool = Spool::open(full, Arc::new(LocalDisk)).unwrap();
    let large = envelope(&"x".repeat(8 * 1024 * 1024));
    assert!(spool.has_room());
    spool.append(&booking(), &large).await.unwrap();
    spool.append(&booking(), &large).await.unwrap();
    assert!(!spool.has_room());
    assert!(matches!(spool.append(&booking(), &large).await, Err(SpoolError::Full { .. })));
    drain_all(&spool, &Sink::default()).await;
    spool.append(&booking(), &envelope("next segment")).await.unwrap();
    assert!(spool.has_room(), "{:?}", spool.held());
}

#[tokio::test]
async fn a_segment_with_a_damaged_record_is_set_aside_when_the_others_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let mut ends = vec![0];
    for body in ["one", "two", "three"] {
        spool.append(&booking(), &envelope(body)).await.unwrap();
        ends.push(usize::try_from(spool.held().bytes).unwrap());
    }
    drop(spool);
    let mut data = fs::read(only_segment(folder.path())).unwrap();
    data[ends[2] - 1] ^= 1;
    fs::write(only_segment(folder.path()), data).unwrap();
    let spool = reopen(folder.path()).await;
    let sink = Sink::default();
    drain_all(&spool, &sink).await;
    assert_eq!(sink.bodies(), ["one", "three"]);
    assert_eq!((spool.held().records, spool.held().damaged), (0, 1));
    assert!(segment::path(folder.path(), 1).with_extension("damaged").exists() && !segment::any_in(folder.path()));
    drop(spool);
    // named again as it was, a program that can read it publishes it: here the same one, so nothing but what is sound
    fs::rename(segment::path(folder.path(), 1).with_extension("damaged"), segment::path(folder.path(), 1)).unwrap();
    assert_eq!(reopen(folder.path()).await.held().records, 2);
}

/// Only what the broker confirmed leaves an orphan; a second run takes up what the first could not.
#[tokio::test]
async fn an_orphan_is_emptied_as_far_as_the_broker_confirms_and_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    for number in 0..100 {
        spool.append(&booking(), &envelope(&format!("b{number}"))).await.unwrap();
        spool.append(&calls(), &envelope(&format!("c{number}"))).await.unwrap();
    }
    assert!(matches!(orphan::open(folder.path()), Err(SpoolError::InUse { .. })), "its ingress is alive");
    drop(spool);
    drop(reopen(folder.path()).await);
    let orphan_of = || async {
        loop {
            match orphan::open(folder.path()) {
                Err(SpoolError::InUse { .. }) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    let sink = Sink::default();
    *sink.refusing.lock().unwrap() = Some(booking());
    let spool = orphan_of().await;
    let emptied = orphan::empty(&spool, &sink, Duration::from_millis(300)).await;
    assert_eq!((emptied.confirmed.clone(), emptied.held.records), ([(calls(), 100)].into(), 100));
    drop(spool);
    *sink.refusing.lock().unwrap() = None;
    let spool = orphan_of().await;
    let emptied = orphan::empty(&spool, &sink, Duration::from_secs(10)).await;
    assert_eq!((emptied.confirmed, emptied.held), ([(booking(), 100)].into(), Held::default()));
    drop(spool);
    let spool = orphan_of().await;
    assert_eq!(orphan::empty(&spool, &sink, Duration::from_secs(10)).await, orphan::Emptied::default());
    assert_eq!(sink.bodies().len(), 200, "none twice");
}

#[test]
fn a_folder_without_a_spool_is_no_orphan() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(orphan::open(folder.path()), Err(SpoolError::NoSpool { .. })));
    assert!(matches!(orphan::open(&folder.path().join("mistyped")), Err(SpoolError::NoSpool { .. })));
    assert!(!folder.path().join("mistyped").exists());
}

/// A disk with a switch.
struct Breakable {
    broken: Arc<AtomicBool>,
    free: AtomicU64,
}

struct BreakableLog(Box<dyn Log>, Arc<AtomicBool>);

impl Log for BreakableLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) { Err(io::Error::other("EIO")) } else { self.0.sync() }
    }
}

impl Disk for Breakable {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(BreakableLog(LocalDisk.create(path)?, Arc::clone(&self.broken))))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_and_a_new_segment_begins() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let disk = Arc::new(Breakable { broken: Arc::clone(&broken), free: AtomicU64::new(u64::MAX) });
    let spool = Spool::open(config(folder.path()), disk).unwrap();
    spool.append(&booking(), &envelope("before")).await.unwrap();
    broken.store(true, Ordering::SeqCst);
    assert!(matches!(spool.append(&booking(), &envelope("lost")).await, Err(SpoolError::Disk)));
    assert!(!spool.has_room());
    broken.store(false, Ordering::SeqCst);
    spool.append(&booking(), &envelope("after")).await.unwrap();
    assert!(spool.has_room());
    assert_eq!(only_segment(folder.path()), segment::path(folder.path(), 2));
    let sink = Sink::default();
    drain_all(&spool, &sink).await;
    assert_eq!(sink.bodies(), ["before", "after"]);
}

#[tokio::test]
async fn a_file_system_without_free_space_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Breakable { broken: Arc::default(), free: AtomicU64::new(1000) });
    let spool = Spool::open(SpoolConfig { free_bytes_min: 900, ..config(folder.path()) }, disk).unwrap();
    assert!(!spool.has_room(), "and says so before the first message");
    assert!(matches!(spool.append(&booking(), &envelope("x")).await, Err(SpoolError::Full { .. })));
}

#[tokio::test]
async fn many_appends_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let appends = (0..500).map(|number| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.append(&booking(), &envelope(&number.to_string())).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    drop(spool);
    assert_eq!(reopen(folder.path()).await.held().records, 500);
}
