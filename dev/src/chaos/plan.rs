//! When which fault strikes: a pure function of the seed, the length and what is broken on purpose (or provoked for its control). Every kind strikes at least once.
//!
//! Lanes go on beside each other; within a lane one strike follows the other. What a strike hits (which connections, which message) is the machine's chance
//! and not replayable; kinds, targets, measures and times are. Called by `campaign`.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use shared::protection::Protection;

use super::faults::{Act, Between, Calcom, Cloud, Fault, Party, Retell};

/// Before it the processes have just begun; after it, what has not struck yet is made up for while the load still runs.
const BEGINS_AT: f64 = 0.04;
const ENDS_AT: f64 = 0.85;
/// Ten minutes hold some 280 of these, most of them kills, and 200 kills are asked for.
const PROCESS_EVERY: Duration = Duration::from_millis(1750);
/// A killed broker takes up to ten seconds to return, and then its queues want to be worked off.
const SERVER_EVERY: Duration = Duration::from_secs(24);
const LINK_EVERY: Duration = Duration::from_secs(9);
const CALCOM_EVERY: Duration = Duration::from_secs(5);
/// Of what a lane has room for beyond one of each kind, this much goes to kills (process lane), or to what a broken protection is sensitive to.
const FAVOURED: f64 = 0.85;

/// One fault at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Since the load began.
    pub at: Duration,
    pub fault: Fault,
    pub lasts: Duration,
    /// Its measure, 0 to 99.
    pub draw: u32,
    /// Which of several processes, by remainder.
    pub which: usize,
}

/// The lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub lanes: Vec<Vec<Strike>>,
}

/// The plan of a campaign. `schedulers`: whether there are any to strike.
pub fn plan(seed: u64, length: Duration, provoked: Option<Protection>, schedulers: bool) -> Plan {
    let parties: Vec<Party> = Party::PROCESSES.into_iter().filter(|party| schedulers || *party != Party::Scheduler).collect();
    let kills: Vec<Fault> = parties.iter().map(|party| Fault::Of(*party, Act::Kill)).collect();
    let processes: Vec<Fault> = parties.iter().flat_map(|party| [Act::Kill, Act::Pause, Act::Terminate].map(|act| Fault::Of(*party, act))).collect();
    let mut servers: Vec<Fault> = [Party::Broker, Party::Postgres].iter().flat_map(|party| [Act::Kill, Act::Pause].map(|act| Fault::Of(*party, act))).collect();
    servers.push(Fault::FullDisk);
    let calcom = |webhooks: bool| -> Vec<Fault> { Calcom::ALL.into_iter().filter(|fault| fault.is_about_webhooks() == webhooks).map(Fault::Calcom).collect() };
    let mut kinds = vec![(servers, SERVER_EVERY), (processes, PROCESS_EVERY), (calcom(false), CALCOM_EVERY), (calcom(true), CALCOM_EVERY)];
    kinds.push((Retell::ALL.map(Fault::Retell).to_vec(), CALCOM_EVERY));
    kinds.extend(Between::ALL.map(|between| (Cloud::ALL.map(|cloud| Fault::Link(between, cloud)).to_vec(), LINK_EVERY)));
    let sensitive = provoked.map(sensitive_to).unwrap_or_default();
    let lanes = kinds.into_iter().zip(0..).map(|((kinds, every), number)| {
        let mut favoured: Vec<Fault> = kinds.iter().copied().filter(|fault| sensitive.contains(fault)).collect();
        if favoured.is_empty() {
            favoured = kills.iter().copied().filter(|fault| kinds.contains(fault)).collect();
        }
        lane(&mut StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)), length, &kinds, &favoured, every)
    });
    Plan { lanes: lanes.collect() }
}

fn lane(rng: &mut StdRng, length: Duration, kinds: &[Fault], favoured: &[Fault], every: Duration) -> Vec<Strike> {
    let (begins, window) = (length.mul_f64(BEGINS_AT), length.mul_f64(ENDS_AT - BEGINS_AT));
    let room = usize::try_from(window.as_millis() / every.as_millis()).unwrap_or(usize::MAX);
    let count = room.max(kinds.len());
    let mut faults = kinds.to_vec();
    while faults.len() < count {
        let from = if !favoured.is_empty() && rng.random_bool(FAVOURED) { favoured } else { kinds };
        faults.extend(from.choose(rng));
    }
    faults.shuffle(rng);
    let step = window / u32::try_from(count).unwrap_or(u32::MAX);
    let strikes = faults.into_iter().zip(0..).map(|(fault, place)| Strike {
        at: begins + step * place + step.mul_f64(rng.random_range(0.0..0.4)),
        fault,
        lasts: lasts(fault, rng).min(step.max(Duration::from_millis(400))),
        draw: rng.random_range(0..100),
        which: rng.random_range(0..100),
    });
    strikes.collect()
}

/// How long a fault goes on; for a kill, how long until it is started again (processes of ours have their own pause).
fn lasts(fault: Fault, rng: &mut StdRng) -> Duration {
    let (least, most) = match fault {
        Fault::Of(Party::Broker | Party::Postgres, Act::Kill) | Fault::Link(_, Cloud::Reset) => (200, 1500),
        Fault::Of(Party::Broker | Party::Postgres, _) => (1000, 6000),
        Fault::Of(..) => (500, 4000),
        Fault::Link(_, Cloud::Cut | Cloud::Swallow) => (500, 2500),
        Fault::Link(..) => (700, 4000),
        Fault::FullDisk => (2000, 4000),
        Fault::Calcom(_) | Fault::Retell(_) => (1000, 5000),
    };
    Duration::from_millis(rng.random_range(least..most))
}

/// The faults that a switched-off protection was good for: they are made frequent.
fn sensitive_to(protection: Protection) -> Vec<Fault> {
    let links = |between: Between| Cloud::ALL.map(|cloud| Fault::Link(between, cloud)).to_vec();
    let of_calcom = |faults: &[Calcom]| faults.iter().map(|fault| Fault::Calcom(*fault)).collect::<Vec<_>>();
    match protection {
        Protection::Confirm | Protection::Spool => {
            [vec![Fault::Of(Party::Broker, Act::Kill), Fault::Of(Party::Broker, Act::Pause), Fault::FullDisk], links(Between::IngressAndBroker)].concat()
        }
        Protection::Inbox => [vec![Fault::Of(Party::Changes, Act::Kill), Fault::Of(Party::Calls, Act::Kill)], links(Between::WorkersAndBroker)].concat(),
        Protection::Search => [
            vec![Fault::Of(Party::CalcomSync, Act::Kill), Fault::Link(Between::SyncAndCalcom, Cloud::Swallow)],
            of_calcom(&[Calcom::DropAfterCommit, Calcom::ErrorAfterCommit, Calcom::HangAfter, Calcom::WebhooksLost]),
        ]
        .concat(),
        Protection::Tag => of_calcom(&[Calcom::OldBookingAsAnswer, Calcom::DropAfterCommit, Calcom::WebhooksLost]),
        Protection::Rank => of_calcom(&[Calcom::WebhooksReordered, Calcom::WebhooksLate, Calcom::WebhooksDoubled]),
        Protection::Relay => [vec![Fault::Of(Party::Changes, Act::Kill)], links(Between::WorkersAndBroker)].concat(),
        // these show without any fault, or by one person's claims alone
        Protection::Rls | Protection::Call | Protection::Attempts | Protection::Mask | Protection::Overlap => Vec::new(),
        Protection::Fairness => of_calcom(&[Calcom::Throttle]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn kinds(plan: &Plan) -> BTreeSet<Fault> {
        plan.lanes.iter().flatten().map(|strike| strike.fault).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        let length = Duration::from_secs(600);
        assert_eq!(plan(7, length, None, true), plan(7, length, None, true));
        assert_ne!(plan(7, length, None, true), plan(8, length, None, true));
    }

    #[test]
    fn every_kind_strikes_in_half_a_minute_already_and_within_its_window() {
        for seed in 0..50 {
            let length = Duration::from_secs(30);
            let plan = plan(seed, length, None, true);
            assert_eq!(kinds(&plan), Fault::all().into_iter().collect());
            for lane in &plan.lanes {
                assert!(lane.windows(2).all(|pair| pair[0].at <= pair[1].at));
                assert!(lane.iter().all(|strike| strike.at < length && strike.at >= length.mul_f64(BEGINS_AT)));
            }
        }
    }

    #[test]
    fn ten_minutes_hold_more_than_two_hundred_kills_and_few_of_the_servers() {
        for seed in 0..20 {
            let plan = plan(seed, Duration::from_secs(600), None, true);
            let count = |wanted: &dyn Fn(Fault) -> bool| plan.lanes.iter().flatten().filter(|strike| wanted(strike.fault)).count();
            assert!(count(&|fault| matches!(fault, Fault::Of(_, Act::Kill))) >= 205);
            assert!(count(&|fault| matches!(fault, Fault::Of(Party::Broker | Party::Postgres, _))) <= 25);
        }
    }

    #[test]
    fn a_break_makes_what_it_is_sensitive_to_frequent() {
        let after_commit = [Calcom::DropAfterCommit, Calcom::ErrorAfterCommit, Calcom::HangAfter].map(Fault::Calcom);
        let count = |broken| {
            let plan = plan(3, Duration::from_secs(300), broken, true);
            plan.lanes.iter().flatten().filter(|strike| after_commit.contains(&strike.fault)).count()
        };
        assert!(2 * count(Some(Protection::Search)) > 3 * count(None));
    }
}
