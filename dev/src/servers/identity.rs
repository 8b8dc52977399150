//! Who a process is: its number *and* its start time, so that a recycled number is never signalled.
//! Linux only (`/proc`, pidfd). Called by the state file and by everything that ends a process.
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::error::{Result, ServersError};

/// After KILL the kernel needs this long at most, unless the process hangs in a device.
const KILL_BOUND: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A process of this boot. Start ticks count from boot, hence the boot id: `/var/tmp` survives a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    pub start_ticks: u64,
    pub boot: String,
}

impl Identity {
    /// The process with this number as it is now; `None` when it is gone or a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_ticks) = parse_stat(&stat)?;
        (!matches!(state, 'Z' | 'X')).then(|| Self { pid, start_ticks, boot: boot_id() })
    }

    /// This process.
    pub fn own() -> Result<Self> {
        let pid = std::process::id();
        Self::of(pid).ok_or_else(|| ServersError::NoServers("this system has no /proc; cargo dev needs Linux for private servers".into()))
    }

    /// The processes that it started and that still run; none when it is gone.
    pub fn children(&self) -> Vec<Self> {
        let listed = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        listed.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Self::of).collect()
    }

    /// True while exactly this process runs.
    pub fn alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal to exactly this process; false when it is gone. The pidfd is opened before the start time is
    /// compared, so the number cannot be recycled between the check and the signal.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        let failed = |source: io::Error| ServersError::Signal { pid: self.pid, source };
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(false);
        };
        let held = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(held) => held,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(errno) => return Err(failed(errno.into())),
        };
        if !self.alive() {
            return Ok(false);
        }
        match pidfd_send_signal(held, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Waits until the process is gone; false when the bound passes first.
    pub async fn wait_gone(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        while self.alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Asks with `first`, then kills after `bound`, and waits for the exit. CONT goes along, because a paused
    /// process would not see anything but KILL.
    pub async fn end(&self, name: &str, first: Signal, bound: Duration) -> Result<Ended> {
        if !self.signal(first)? {
            return Ok(Ended::WasGone);
        }
        self.signal(Signal::CONT)?;
        if self.wait_gone(bound).await {
            return Ok(Ended::Asked);
        }
        self.signal(Signal::KILL)?;
        if self.wait_gone(KILL_BOUND).await {
            return Ok(Ended::Killed);
        }
        Err(ServersError::WillNotEnd { name: name.to_owned(), pid: self.pid })
    }
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    WasGone,
    Asked,
    Killed,
}

/// State letter and start time (field 22) of `/proc/<pid>/stat`. The name in parentheses may hold anything,
/// parentheses and spaces included, so reading starts after the last one.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_behind_a_hostile_process_name() {
        let stat = "4711 (we) ird (x) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        assert_eq!(parse_stat(stat), Some(('S', 987_654)));
        assert_eq!(parse_stat("4711 (short) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_and_a_recycled_number_is_not_it() {
        let own = Identity::own().expect("Linux");
        assert!(own.alive());
        let earlier_owner = Identity { start_ticks: own.start_ticks - 1, ..own.clone() };
        assert!(!earlier_owner.alive());
        // Nothing happens to us: the signal is not sent.
        assert!(!earlier_owner.signal(Signal::KILL).expect("checked before sending"));
    }

    #[test]
    fn a_zombie_counts_as_gone() {
        let mut child = std::process::Command::new("true").spawn().expect("true is there");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Identity::of(child.id()).is_some() {
            assert!(Instant::now() < deadline, "the child has not ended");
            std::thread::yield_now();
        }
        child.wait().expect("reaped");
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_first_signal_is_killed_after_the_bound() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; read -r never"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh is there");
        let identity = Identity::of(child.id()).expect("running");
        let mut ready = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut ready).expect("said ready");
        let ended = identity.end("sh", Signal::TERM, Duration::from_millis(100)).await;
        assert_eq!(ended.expect("ended"), Ended::Killed);
        child.wait().expect("reaped");
    }
}
