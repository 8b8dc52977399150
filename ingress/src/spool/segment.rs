//! The files of the spool: segments of records, and beside each a list of what has been drained.
//!
//! Not when to write or publish (that is `writer` and `drain`). The `Disk` trait is the seam at which tests break the disk.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::SpoolError;
use super::record::{self, Scan};

/// A new segment begins behind this: small enough to read whole at a start, large enough that few are open.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// A segment file is at most one record longer than `SEGMENT_BYTES`; anything far beyond is not ours and is not read into memory.
const SEGMENT_FILE_BYTES_MAX: u64 = 2 * SEGMENT_BYTES;
/// Spoiled segments that are kept for a human, outside the quota: 256 MiB at most.
const DAMAGED_FILES_MAX: usize = 16;

/// An open segment that is written.
pub trait Log: Send {
    /// # Errors
    /// As the file system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended is on the disk.
    ///
    /// # Errors
    /// As the file system says; after that nothing is known about what is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Where segments are made and how much room is left.
pub trait Disk: Send + Sync {
    /// Makes a segment that does not exist yet, durably.
    ///
    /// # Errors
    /// As the file system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>>;
    /// Bytes that this process may still use.
    ///
    /// # Errors
    /// As the file system says.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The machine's file system.
#[derive(Debug)]
pub struct LocalDisk;

impl Log for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            // The name must survive a crash too, not only the content.
            File::open(folder)?.sync_all()?;
        }
        Ok(Box::new(file))
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// Path of a segment.
#[must_use]
pub fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:016x}.log"))
}

fn done_path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:016x}.done"))
}

/// A segment as the drain reads it.
#[derive(Debug)]
pub struct Segment {
    pub bytes: u64,
    /// Records not drained yet.
    pub pending: usize,
    /// Holds records that could not be published (damaged, or of a form that this binary does not know): kept for a human instead of removed.
    pub spoiled: bool,
    file: File,
    done: Option<File>,
    folder: PathBuf,
    id: u64,
}

impl Segment {
    /// Opens a segment for reading.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(folder: &Path, id: u64) -> io::Result<Self> {
        let file = File::open(path(folder, id))?;
        Ok(Self { bytes: file.metadata()?.len(), pending: 0, spoiled: false, file, done: None, folder: folder.to_owned(), id })
    }

    /// A handle that reads while the index is not locked.
    ///
    /// # Errors
    /// No file handle is left.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Remembers drained records. Not synced: a crash publishes them again, and the inbox makes that harmless.
    pub fn mark_done(&mut self, offsets: &[u32]) {
        self.pending = self.pending.saturating_sub(offsets.len());
        let entries: Vec<u8> = offsets.iter().flat_map(|offset| [offset.to_le_bytes(), (!offset).to_le_bytes()]).flatten().collect();
        if self.done.is_none() {
            self.done = OpenOptions::new().append(true).create(true).open(done_path(&self.folder, self.id)).ok();
        }
        let written = self.done.as_mut().map(|file| file.write_all(&entries));
        if !matches!(written, Some(Ok(()))) {
            tracing::warn!(segment = self.id, "the spool cannot note drained records; after a restart they are published again");
        }
    }

    /// Removes the segment's files, or sets a spoiled one aside under another name.
    pub fn delete(self) {
        let segment = path(&self.folder, self.id);
        let kept = self.spoiled && set_aside(&self.folder, &segment);
        // The list goes last: without it a crash in between would publish the whole segment again.
        for path in [(!kept).then_some(segment), Some(done_path(&self.folder, self.id))].into_iter().flatten() {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(segment = self.id, error = %error, "a drained spool segment cannot be removed");
            }
        }
    }
}

/// True if the file lies there as `.damaged` from now on. Only so many are kept; a disk that damages more shows itself in the first ones.
fn set_aside(folder: &Path, segment: &Path) -> bool {
    let is_damaged = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "damaged");
    let kept = fs::read_dir(folder).map_or(0, |entries| entries.flatten().filter(is_damaged).count());
    kept < DAMAGED_FILES_MAX && fs::rename(segment, segment.with_extension("damaged")).is_ok()
}

/// Reads one record's bytes.
///
/// # Errors
/// As the file system says.
pub fn read_record(file: &File, offset: u32, length: u32) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; length as usize];
    file.read_exact_at(&mut frame, offset.into())?;
    Ok(frame)
}

/// One segment found at a start.
#[derive(Debug)]
pub struct Recovered {
    pub id: u64,
    pub segment: Segment,
    /// Whole records that were not drained before.
    pub records: Vec<(u32, u32)>,
    pub damaged: u32,
}

/// Reads every segment in the folder, oldest first. The torn tail of the newest is cut off; nothing else is changed.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn recover(folder: &Path) -> Result<Vec<Recovered>, SpoolError> {
    let failed = |source| SpoolError::Recover { source };
    let mut ids: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        ids.extend(id_of(&entry.map_err(failed)?.file_name()));
    }
    ids.sort_unstable();
    let newest = ids.last().copied();
    ids.into_iter().map(|id| recover_one(folder, id, Some(id) == newest).map_err(failed)).collect()
}

fn id_of(name: &OsStr) -> Option<u64> {
    name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|hex| u64::from_str_radix(hex, 16).ok())
}

/// Whether a folder holds any segment; one that cannot be read holds none.
#[must_use]
pub fn any_in(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| id_of(&entry.file_name()).is_some()))
}

fn recover_one(folder: &Path, id: u64, newest: bool) -> io::Result<Recovered> {
    let path = path(folder, id);
    if fs::metadata(&path)?.len() > SEGMENT_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("segment {id:016x} is larger than any that ingress writes")));
    }
    let data = fs::read(&path)?;
    let Scan { mut records, damaged, end, torn } = record::scan(&data);
    if newest && torn > 0 {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(end as u64)?;
        file.sync_all()?;
        tracing::warn!(segment = id, bytes = torn, "the spool cut off the torn end of its last write, which was never acknowledged");
    }
    if damaged > 0 {
        tracing::error!(segment = id, records = damaged, "spool records are damaged; their segment is set aside when the others are published");
    }
    let done = read_done(&done_path(folder, id));
    records.retain(|(offset, _)| !done.contains(offset));
    let mut segment = Segment::open(folder, id)?;
    segment.pending = records.len();
    segment.spoiled = damaged > 0;
    Ok(Recovered { id, segment, records, damaged })
}

/// Offsets whose entry is sound; a torn or missing list only means that records are published again.
fn read_done(path: &Path) -> HashSet<u32> {
    let data = fs::read(path).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    data.chunks_exact(8).map(|entry| (word(&entry[..4]), word(&entry[4..]))).filter(|(offset, check)| *offset == !*check).map(|(offset, _)| offset).collect()
}
