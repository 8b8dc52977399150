//! The one thread that writes: takes what has gathered, writes it, one fdatasync for all, then answers each.
//!
//! Group commit needs no timer: while one fdatasync runs, the next group gathers. A thread of its own, because fdatasync blocks.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use shared::broker::QueueName;
use tokio::sync::{mpsc, oneshot};

use super::index::{Place, RECORDS_MAX};
use super::segment::{self, Disk, Log, SEGMENT_BYTES, Segment};
use super::{Command, Shared, SpoolConfig, SpoolError};

/// Records per fdatasync: at 0.2 ms each (limits.md) far above any rate of requests, and a bound for what one error refuses.
const GROUP_RECORDS_MAX: usize = 64;
/// Bytes per fdatasync: bounds how long one group can hold up the next.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

struct Append {
    queue: QueueName,
    frame: Vec<u8>,
    done: oneshot::Sender<Result<(), SpoolError>>,
}

struct Open {
    id: u64,
    log: Box<dyn Log>,
    bytes: u64,
}

struct Writer {
    shared: Weak<Shared>,
    disk: Arc<dyn Disk>,
    open: Option<Open>,
    next_id: u64,
}

/// Starts the thread; it ends when the last handle of the spool is gone.
pub fn start(shared: Weak<Shared>, disk: Arc<dyn Disk>, mut inbox: mpsc::Receiver<Command>, next_id: u64) -> io::Result<()> {
    let mut writer = Writer { shared, disk, open: None, next_id };
    std::thread::Builder::new().name("spool-writer".to_owned()).spawn(move || {
        while let Some(first) = inbox.blocking_recv() {
            let Some(shared) = writer.shared.upgrade() else {
                break;
            };
            if matches!(first, Command::Look) {
                writer.look(&shared);
                continue;
            }
            let group = gather(first, &mut inbox);
            writer.commit(&shared, group);
        }
    })?;
    Ok(())
}

/// What the file system has left for the spool; a disk that does not say has none.
pub fn disk_room(disk: &dyn Disk, config: &SpoolConfig) -> u64 {
    disk.free_bytes(&config.folder).unwrap_or(0).saturating_sub(config.free_bytes_min)
}

fn gather(first: Command, inbox: &mut mpsc::Receiver<Command>) -> Vec<Append> {
    let mut group = Vec::with_capacity(GROUP_RECORDS_MAX);
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(command) = next {
        if let Command::Append { queue, frame, done } = command {
            bytes += frame.len();
            group.push(Append { queue, frame, done });
        }
        let full = group.len() >= GROUP_RECORDS_MAX || bytes >= GROUP_BYTES_MAX;
        next = if full { None } else { inbox.try_recv().ok() };
    }
    group
}

impl Writer {
    /// An empty group is a probe.
    fn commit(&mut self, shared: &Shared, group: Vec<Append>) {
        self.end_full_segment(shared);
        let group = self.refuse_what_does_not_fit(shared, group);
        match self.write(shared, &group) {
            Ok(records) => {
                shared.index.add(records);
                if shared.faulty.swap(false, Ordering::Relaxed) {
                    tracing::info!("the spool's disk takes records again");
                }
                shared.appended.notify_one();
                answer(group, || Ok(()));
            }
            Err(error) => {
                self.give_up_segment(shared);
                if !shared.faulty.swap(true, Ordering::Relaxed) {
                    tracing::error!(error = %error, "the spool's disk did not take a record; senders hear 503 while the broker is away too");
                }
                answer(group, || Err(SpoolError::Disk));
            }
        }
    }

    fn look(&self, shared: &Shared) -> u64 {
        let room = disk_room(self.disk.as_ref(), &shared.config);
        shared.disk_room.store(room, Ordering::Relaxed);
        room
    }

    fn refuse_what_does_not_fit(&self, shared: &Shared, group: Vec<Append>) -> Vec<Append> {
        let held = shared.index.held();
        let (mut bytes, mut records) = (held.bytes, held.records);
        let mut room = self.look(shared);
        let mut fitting = Vec::with_capacity(group.len());
        for append in group {
            let length = append.frame.len() as u64;
            let reason = if bytes + length > shared.config.bytes_max {
                Some("its quota is used up")
            } else if records >= RECORDS_MAX {
                Some("it holds as many records as it may")
            } else if length > room {
                Some("the file system has too little free space")
            } else {
                None
            };
            match reason {
                Some(reason) => answer(vec![append], || Err(SpoolError::Full { reason })),
                None => {
                    (bytes, records, room) = (bytes + length, records + 1, room - length);
                    fitting.push(append);
                }
            }
        }
        fitting
    }

    fn write(&mut self, shared: &Shared, group: &[Append]) -> io::Result<Vec<(QueueName, Place)>> {
        let open = self.open_segment(shared)?;
        let mut records = Vec::with_capacity(group.len());
        for append in group {
            let too_far = |_| io::Error::from(io::ErrorKind::FileTooLarge);
            let place =
                Place { segment: open.id, offset: u32::try_from(open.bytes).map_err(too_far)?, length: u32::try_from(append.frame.len()).map_err(too_far)? };
            open.log.append(&append.frame)?;
            open.bytes += u64::from(place.length);
            records.push((append.queue.clone(), place));
        }
        open.log.sync()?;
        Ok(records)
    }

    /// Before room is counted: a full segment that is drained already makes room by going.
    fn end_full_segment(&mut self, shared: &Shared) {
        if self.open.as_ref().is_some_and(|open| open.bytes >= SEGMENT_BYTES) {
            self.open = None;
            shared.index.end_segment();
        }
    }

    fn open_segment(&mut self, shared: &Shared) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let id = self.next_id;
                // A number is used once, even if making its file failed half way.
                self.next_id += 1;
                let log = self.disk.create(&segment::path(&shared.config.folder, id))?;
                shared.index.begin_segment(id, Segment::open(&shared.config.folder, id)?);
                Open { id, log, bytes: 0 }
            }
        };
        Ok(self.open.insert(open))
    }

    /// After an error nothing is known about what is on the disk, and a second fsync would claim success: this segment is written no more.
    fn give_up_segment(&mut self, shared: &Shared) {
        if let Some(open) = self.open.take() {
            let on_disk = std::fs::metadata(segment::path(&shared.config.folder, open.id)).map_or(open.bytes, |found| found.len());
            shared.index.end_with_waste(open.id, on_disk);
        }
    }
}

fn answer(group: Vec<Append>, result: impl Fn() -> Result<(), SpoolError>) {
    for append in group {
        // Nobody listens: the request went away, and the record, if written, is drained all the same.
        let _ = append.done.send(result());
    }
}
