//! The campaign (`cargo dev chaos`) in short: every kind of fault against the real processes, and every promise kept; and an auditor who notices when one is not.
//!
//! Half a minute of load each: every kind of fault is tried, but not each hits somebody in so short a time. The campaign of ten minutes that issue 3 asks for, in which each
//! must, is `cargo dev chaos --minutes 10`, on three seeds; every protection switched off in turn, each with its control, is `cargo dev chaos --break all`.

use std::time::Duration;

use dev::chaos::auditor;
use dev::chaos::campaign::Orders;
use dev::chaos::report::Verdict;
use dev::chaos::trial::Trial;
use dev::servers::Servers;
use shared::protection::Protection;

/// What half the machine is left of: other tests do not run beside these, but a CI machine is slow.
const RATE: f64 = 0.7;
const SHORT: Duration = Duration::from_secs(30);

async fn campaign(orders: Orders) -> (String, Verdict) {
    let servers = Servers::attach().expect("the servers of `cargo dev test` are up");
    let (report, verdict) = dev::chaos::short(servers, orders).await.expect("the campaign runs");
    println!("{report}");
    (report, verdict)
}

/// Faults B1, B2, B10, C1, C3, C4, D1, D4, E1 to E4 and F1 at once, as chance has it; invariants I1 to I11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_minute_of_every_fault_breaks_no_promise() {
    let (report, verdict) = campaign(Orders { seed: 1, length: SHORT, rate: RATE, trial: Trial::Ordinary }).await;
    assert_eq!(verdict, Verdict::Green, "{report}");
}

/// Without this, a green campaign would prove nothing. The other protections: `cargo dev chaos --break all`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protection_that_is_switched_off_is_found_out() {
    let broken = Protection::Inbox;
    let (report, verdict) = campaign(Orders { seed: 1, length: SHORT, rate: RATE, trial: Trial::Broken(broken) }).await;
    assert!(verdict.names(auditor::expected(broken).id()), "{report}");
}
