//! A disk that can be full: a small tmpfs of its own under one spool, filled with a file and freed again. Needs Linux and root; elsewhere it says so.
//! It is unmounted when dropped and when the campaign is interrupted; what a killed run left mounted, the next one unmounts: where each lies is written down before
//! it is mounted, and nothing but a mount of ours at such a place is touched. Called by `arena`, `strike` and the command.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::servers::is_root;

/// What `mount` is told as the device, and what tells our mounts from others.
const SOURCE: &str = "frontdesk-chaos";
/// What is mounted now, with the places as the kernel escapes them.
const MOUNTS: &str = "/proc/self/mounts";
/// The file that fills it.
pub const BALLAST_NAME: &str = "ballast-of-a-full-disk";
/// Small enough to be filled in a blink, large enough for the spool's open segments of a short outage.
const SIZE: &str = "24m";
const BLOCK_BYTES: usize = 64 * 1024;
/// More than the disk has: the loop ends with "no space left".
const BLOCKS_MAX: usize = 4096;

/// A mounted disk.
#[derive(Debug)]
pub struct SmallDisk {
    pub folder: PathBuf,
    records: PathBuf,
}

impl SmallDisk {
    /// Mounts one over `folder`, which is made, and writes that down in the folder `records`. `Err` says why this machine cannot.
    pub fn mount(folder: &Path, records: &Path) -> anyhow::Result<Self> {
        if !cfg!(target_os = "linux") || !is_root() {
            bail!("needs Linux and root");
        }
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        std::fs::create_dir_all(records).with_context(|| format!("{} cannot be made", records.display()))?;
        let record = own_record(records);
        std::fs::write(&record, folder.as_os_str().as_encoded_bytes()).with_context(|| format!("{} cannot be written", record.display()))?;
        // from here on its drop clears up, whatever becomes of the mount
        let disk = Self { folder: folder.to_owned(), records: records.to_owned() };
        let option = format!("size={SIZE},mode=0755");
        let said = Command::new("mount").args(["-t", "tmpfs", "-o", &option, SOURCE]).arg(folder).stdin(Stdio::null()).output();
        let said = said.context("mount cannot be run")?;
        if !said.status.success() {
            bail!("mount refused: {}", String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(disk)
    }

    /// Leaves not a byte free; the bytes that it took.
    pub fn fill(&self) -> std::io::Result<u64> {
        let mut file = File::create(self.folder.join(BALLAST_NAME))?;
        let block = vec![0xa5; BLOCK_BYTES];
        let mut bytes = 0;
        for _ in 0..BLOCKS_MAX {
            match file.write(&block) {
                Ok(0) => break,
                Ok(written) => bytes += written as u64,
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Makes room again.
    pub fn free(&self) {
        // not there: nothing to free
        let _ = std::fs::remove_file(self.folder.join(BALLAST_NAME));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount_own(&self.records);
    }
}

/// Unmounts what this process has mounted. For an interruption too: a task that still runs may keep a disk from being dropped.
pub fn unmount_own(records: &Path) {
    unmount_recorded(&own_record(records));
}

/// Unmounts what campaigns left that were killed. Only for whoever has the servers' turn: nobody else's campaign runs then.
pub fn unmount_leftovers(records: &Path) {
    for record in std::fs::read_dir(records).into_iter().flatten().flatten() {
        unmount_recorded(&record.path());
    }
    // made again by the next mount
    let _ = std::fs::remove_dir(records);
}

/// One process has one disk at a time.
fn own_record(records: &Path) -> PathBuf {
    records.join(std::process::id().to_string())
}

fn unmount_recorded(record: &Path) {
    let Ok(folder) = std::fs::read_to_string(record) else { return };
    let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
    if is_ours(&mounts, &folder) {
        // lazily, because a process may still stand in it
        let _ = Command::new("umount").arg("-l").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    let _ = std::fs::remove_file(record);
}

/// Whether the kernel has a mount of ours at that place.
fn is_ours(mounts: &str, folder: &str) -> bool {
    let escaped = folder.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    mounts.lines().any(|line| line.split(' ').take(3).eq([SOURCE, escaped.as_str(), "tmpfs"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_full_and_free_again_and_leaves_no_mount_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (place, records) = (folder.path().join("a spool"), folder.path().join("records"));
        let disk = match SmallDisk::mount(&place, &records) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("not tried on this machine: {reason:#}");
                return;
            }
        };
        assert!(disk.fill().unwrap() > 1024 * 1024);
        assert!(std::fs::write(place.join("record"), [0; 4096]).is_err());
        disk.free();
        std::fs::write(place.join("record"), [0; 4096]).unwrap();
        drop(disk);
        assert!(!place.join("record").exists());
        assert!(std::fs::read_dir(&records).unwrap().next().is_none());
    }

    #[test]
    fn what_a_killed_campaign_left_mounted_is_unmounted_by_the_next_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let (place, records) = (folder.path().join("spool"), folder.path().join("records"));
        // as after SIGKILL: nothing was dropped
        match SmallDisk::mount(&place, &records) {
            Ok(disk) => std::mem::forget(disk),
            Err(reason) => {
                eprintln!("not tried on this machine: {reason:#}");
                return;
            }
        }
        std::fs::write(place.join("record"), "x").unwrap();
        std::fs::write(records.join("1"), "/proc").unwrap();
        unmount_leftovers(&records);
        assert!(!place.join("record").exists() && Path::new("/proc/self").exists() && !records.exists());
    }

    #[test]
    fn a_mount_is_ours_by_source_place_and_kind_together() {
        let mounts = "proc /proc proc rw 0 0\nfrontdesk-chaos /var/tmp/a\\040b/spool-0 tmpfs rw,size=24m 0 0\n";
        assert!(is_ours(mounts, "/var/tmp/a b/spool-0"));
        assert!(!is_ours(mounts, "/var/tmp/a b") && !is_ours(mounts, "/proc"));
        assert!(!is_ours(&mounts.replace("frontdesk-chaos", "tmpfs"), "/var/tmp/a b/spool-0"));
    }
}
