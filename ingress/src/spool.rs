//! The spool: messages on this machine's disk while the broker is away. A 2xx may stand on it, because `append` returns only after fdatasync.
//!
//! Not a queue for workers and not a log: what lies here is published as soon as the broker takes it. Called by `intake`; emptied by `drain`, and by
//! `orphan` when its process is gone for good.
//!
//! One folder per process, locked. Records carry checksums, so a torn end or a flipped bit costs no neighbour. An error of the disk is never an
//! acknowledgement: the segment is given up, a new one begins, the sender gets a 503.

pub mod drain;
mod index;
pub mod orphan;
pub mod record;
pub mod segment;
mod writer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use shared::broker::QueueName;
use shared::envelope::Envelope;
use shared::protection::Protection;
use tokio::sync::{Notify, mpsc, oneshot};

use index::Index;
use segment::Disk;

/// Appends that wait for the writer. More requests than that are never in flight at once (`serve` bounds connections); beyond, they wait here.
const WAITING_APPENDS_MAX: usize = 1024;
/// A disk that hangs longer than this has not taken the record: the sender must hear 503 before it gives up after 10 s (retell.md 2.3).
const APPEND_DEADLINE: Duration = Duration::from_secs(5);
/// Less room than one body of full size plus its properties is no room.
const ROOM_BYTES_MIN: u64 = 9 * 1024 * 1024;

/// What can go wrong with the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("could not make or open the spool folder {folder}")]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("the spool folder {folder} is in use by another process")]
    InUse { folder: PathBuf },
    #[error("{folder} holds no spool")]
    NoSpool { folder: PathBuf },
    #[error("could not read the spool's segments")]
    Recover { source: std::io::Error },
    #[error("could not start the spool's writer thread")]
    Thread { source: std::io::Error },
    #[error("the spool is full: {reason}")]
    Full { reason: &'static str },
    #[error("the disk did not take the record")]
    Disk,
    #[error("the disk did not take the record within {} s", APPEND_DEADLINE.as_secs())]
    Slow,
    #[error("the spool is closed")]
    Closed,
}

/// How much the spool may hold.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    pub folder: PathBuf,
    /// All segments together.
    pub bytes_max: u64,
    /// Left free on the file system for everybody else.
    pub free_bytes_min: u64,
}

/// A handle; clones share one folder and one writer.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

/// What the handle, the writer thread and the drain share.
struct Shared {
    config: SpoolConfig,
    index: Index,
    commands: mpsc::Sender<Command>,
    /// Something was appended.
    appended: Notify,
    /// The last write failed; cleared by the next that succeeds.
    faulty: AtomicBool,
    /// What the file system had above `free_bytes_min` when the writer last looked: at the start, at each group, and once a second.
    disk_room: AtomicU64,
    /// Held as long as the folder is ours.
    _lock: File,
}

enum Command {
    Append {
        queue: QueueName,
        frame: Vec<u8>,
        done: oneshot::Sender<Result<(), SpoolError>>,
    },
    /// Tries whether the disk works again after an error, without a record.
    Probe,
    /// Looks how much room the file system has.
    Look,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Spool").field("folder", &self.0.config.folder).field("held", &self.held()).finish()
    }
}

/// What the spool holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub records: u64,
    /// On disk, drained records of open segments included.
    pub bytes: u64,
    /// Records not published because they are damaged or of an unknown form, found since the start; their segments stay as `.damaged` files.
    pub damaged: u64,
}

impl Spool {
    /// Locks the folder, recovers what lies in it, and starts the writer. Blocking: reads every segment.
    ///
    /// # Errors
    /// The folder cannot be made, is in use by another process, or its segments cannot be read.
    pub fn open(config: SpoolConfig, disk: Arc<dyn Disk>) -> Result<Self, SpoolError> {
        let lock = lock(&config.folder)?;
        let recovered = segment::recover(&config.folder)?;
        let next_segment = recovered.last().map_or(1, |newest| newest.id + 1);
        let (commands, inbox) = mpsc::channel(WAITING_APPENDS_MAX);
        let shared = Arc::new(Shared {
            index: Index::new(recovered),
            disk_room: AtomicU64::new(writer::disk_room(disk.as_ref(), &config)),
            config,
            commands,
            appended: Notify::new(),
            faulty: AtomicBool::new(false),
            _lock: lock,
        });
        writer::start(Arc::downgrade(&shared), disk, inbox, next_segment).map_err(|source| SpoolError::Thread { source })?;
        let held = shared.index.held();
        if held.records > 0 {
            tracing::info!(records = held.records, bytes = held.bytes, "the spool holds messages from before the start");
        }
        Ok(Self(shared))
    }

    /// Writes the message for that queue and returns when it is on the disk.
    ///
    /// # Errors
    /// `Full`, `Disk`, `Slow` or `Closed`: the message is not known to be safe, and the sender must hear so.
    pub async fn append(&self, queue: &QueueName, envelope: &Envelope) -> Result<(), SpoolError> {
        if Protection::Spool.is_off() {
            return Ok(());
        }
        let frame = record::encode(queue, envelope);
        let (done, written) = oneshot::channel();
        let write = async {
            let command = Command::Append { queue: queue.clone(), frame, done };
            self.0.commands.send(command).await.map_err(|_| SpoolError::Closed)?;
            written.await.map_err(|_| SpoolError::Closed)?
        };
        tokio::time::timeout(APPEND_DEADLINE, write).await.map_err(|_| SpoolError::Slow)?
    }

    /// True while another message of full size would be taken, as far as is known.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room_bytes() >= ROOM_BYTES_MIN && !self.0.faulty.load(Ordering::Relaxed)
    }

    /// What it may still take before senders hear 503: by its quota, and by the file system as it was when last looked at.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        let quota = self.0.config.bytes_max.saturating_sub(self.0.index.held().bytes);
        quota.min(self.0.disk_room.load(Ordering::Relaxed))
    }

    /// What it holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        self.0.index.held()
    }
}

fn lock(folder: &Path) -> Result<File, SpoolError> {
    let failed = |source| SpoolError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests;
