//! A disk that can be full: a small tmpfs of its own under one spool, filled with a file and freed again. Needs Linux and root; elsewhere it says so.
//! It is unmounted when dropped, and what a killed run left mounted is unmounted by the next. Called by `arena` and `strike`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::servers::is_root;

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
}

impl SmallDisk {
    /// Mounts one over `folder`, which is made. `Err` says why this machine cannot.
    pub fn mount(folder: &Path) -> anyhow::Result<Self> {
        if !cfg!(target_os = "linux") || !is_root() {
            bail!("needs Linux and root");
        }
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        unmount(folder);
        let option = format!("size={SIZE},mode=0755");
        let said = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "frontdesk-chaos"]).arg(folder).stdin(Stdio::null()).output();
        let said = said.context("mount cannot be run")?;
        if !said.status.success() {
            bail!("mount refused: {}", String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(Self { folder: folder.to_owned() })
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
        unmount(&self.folder);
    }
}

/// Lazily, because a process may still stand in it; silently, because mostly there is nothing.
pub fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg("-l").arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_full_and_free_again_and_leaves_no_mount_behind() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("spool");
        let disk = match SmallDisk::mount(&place) {
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
    }
}
