//! A full disk under the spool: only 503 with Retry-After, whatever the senders do and although the process is killed meanwhile. Fault B10.
//!
//! The small file system needs Linux and root (a tmpfs is mounted and unmounted); elsewhere the spool's quota stands for it, and the test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tests::processes::free_port;
use tests::web_bookings::WebBookings;
use tests::{World, WorldOptions, eventually_within};

use super::{DRAINED_WITHIN, Ingress, Seen, every_effect_once, send};

/// A few MiB, as "Done" 7 says.
const SMALL_BYTES: &str = "4m";
/// The smallest quota that ingress takes; bodies of nearly a MiB use it up.
const QUOTA_BYTES: u64 = 64 * 1024 * 1024;

/// A file system of a few MiB, unmounted whatever happens.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nothing can be mounted: not Linux, or not root.
    fn mount(folder: PathBuf) -> Option<Self> {
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            return None;
        }
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SMALL_BYTES}"), "tmpfs"]).arg(&folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that a failed test left behind may still have a file open
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fault B10: a full disk is 503 + Retry-After and nothing else; what was acknowledged before survives a kill in the middle of the senders' load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_answers_503_and_what_was_acknowledged_survives_a_kill() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let disk = SmallDisk::mount(world.folder.join("small"));
    let (spool, pad_bytes) = match &disk {
        Some(disk) => (disk.0.join("spool"), 0),
        None => {
            println!("small file system: skipped because it needs Linux, root and the right to mount; the quota is tested instead");
            (world.folder.join("spool"), 1_000_000)
        }
    };
    let limits = [("SPOOL_BYTES_MAX", QUOTA_BYTES.to_string()), ("SPOOL_FREE_BYTES_MIN", "0".to_owned())];
    let warm = Ingress::start(&world, &spool, &limits).await;
    warm.knows_its_endpoints(&world).await;
    warm.stop().await;
    let nowhere = free_port();
    let away =
        [("AMQP_URL", format!("amqp://nobody:nothing@127.0.0.1:{nowhere}/x")), ("DATABASE_URL", format!("postgres://nobody:nothing@127.0.0.1:{nowhere}/x"))];
    let mut ingress = Ingress::start(&world, &spool, &[limits.as_slice(), &away].concat()).await;
    let filling = Filling::new(&ingress.calcom_url(&world), pad_bytes);
    let killing = async {
        filling.is_full().await;
        assert_eq!(ingress.ready().await, 503, "it says that it cannot accept");
        println!("the disk is full after {} acknowledged; the spool holds {} bytes", filling.acknowledged().len(), size_of(&spool));
        // the senders go on: the kill meets requests at work
        ingress.killed_and_started_again().await;
        filling.goes_on();
        filling.is_full().await;
        filling.done.store(true, Ordering::SeqCst);
    };
    tokio::join!(filling.senders(), killing);
    let (acknowledged, seen) = (filling.acknowledged(), filling.seen.into_inner().unwrap());
    let count = |status: u16| seen.iter().filter(|seen| seen.status == status).count();
    println!("{} sent, {} acknowledged, {} times 503, {} without an answer around the kill", seen.len(), acknowledged.len(), count(503), count(0));
    let others: Vec<_> =
        seen.iter().filter(|seen| seen.status != 0 && !seen.acknowledged() && (seen.status != 503 || !seen.retry_after)).map(|seen| seen.status).collect();
    assert!(others.is_empty(), "only 2xx, and 503 with Retry-After: {others:?}");
    assert!(acknowledged.len() > 20 && count(503) >= 2 * REFUSALS && count(0) > 0, "it was filled, it was full before and after, and the kill was felt");
    ingress.stop().await;
    let ingress = Ingress::start(&world, &spool, &limits).await;
    eventually_within(DRAINED_WITHIN, "the spool is empty", || async { (ingress.metric("frontdesk_ingress_spool_records").await == 0).then_some(()) }).await;
    world.start_workers(&["all"], &BTreeMap::new()).await;
    let sent = seen.iter().map(|seen| WebBookings::uid(seen.n)).collect();
    every_effect_once(&world, &acknowledged, &sent).await;
    world.ingresses.push(ingress.process);
    world.finish().await;
}

/// Refusals in a row after which the disk counts as full.
const REFUSALS: usize = 40;
/// Enough for any of the sizes above.
const UNTIL_FULL_MAX: usize = 50_000;
/// A debug build on two loaded cores.
const FULL_WITHIN: Duration = Duration::from_secs(120);

/// Senders at work.
const SENDERS: usize = 8;
/// A sender that heard nothing tries again after this: its pace, not a wait for anything.
const UNHEARD_PAUSE: Duration = Duration::from_millis(5);

/// Senders who go on whatever they hear.
struct Filling {
    url: String,
    pad_bytes: usize,
    next: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    /// What was seen before this does not tell whether the disk is full now.
    since: AtomicUsize,
    done: AtomicBool,
}

impl Filling {
    fn new(url: &str, pad_bytes: usize) -> Self {
        Self { url: url.to_owned(), pad_bytes, next: AtomicUsize::new(0), seen: Mutex::default(), since: AtomicUsize::new(0), done: AtomicBool::new(false) }
    }

    async fn senders(&self) {
        futures_util::future::join_all((0..SENDERS).map(|_| self.sender())).await;
    }

    async fn sender(&self) {
        while !self.done.load(Ordering::SeqCst) {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            assert!(n < UNTIL_FULL_MAX, "{UNTIL_FULL_MAX} webhooks did not fill the spool");
            let seen = send(&self.url, n, padded(n, self.pad_bytes)).await;
            if seen.status == 0 {
                tokio::time::sleep(UNHEARD_PAUSE).await;
            }
            self.seen.lock().unwrap().push(seen);
        }
    }

    /// From here on it counts anew whether the disk is full.
    fn goes_on(&self) {
        self.since.store(self.seen.lock().unwrap().len(), Ordering::SeqCst);
    }

    /// Nothing was taken any more for a while.
    async fn is_full(&self) {
        eventually_within(FULL_WITHIN, "nothing is taken any more", || async {
            let seen = self.seen.lock().unwrap();
            let late = &seen[self.since.load(Ordering::SeqCst)..];
            (late.len() >= REFUSALS && late.iter().rev().take(REFUSALS).all(|seen| seen.status == 503)).then_some(())
        })
        .await;
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.acknowledged()).map(|seen| WebBookings::uid(seen.n)).collect()
    }
}

/// The n-th booking with a last member of that many bytes.
fn padded(n: usize, pad_bytes: usize) -> Vec<u8> {
    let mut body = WebBookings::default().body(n);
    if pad_bytes > 0 {
        body.pop();
        body.extend_from_slice(format!(r#","pad":"{}"}}"#, "x".repeat(pad_bytes)).as_bytes());
    }
    body
}

fn size_of(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}
