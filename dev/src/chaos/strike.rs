//! Does what the plan says to processes, servers, links and the disk (`providers`: to Cal.com and Retell), counts what really struck, and heals everything afterwards.
//! A strike that hit nothing (no process there, no connection open) is not counted. Called by `campaign`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tokio::sync::Mutex as Turns;
use tokio::time::Instant;

use super::arena::Arena;
use super::faults::{Act, Between, Cloud, Fault, Party};
use super::fleet::{Fleet, Member};
use super::plan::Strike;
use super::providers;
use super::provocation::Provocation;
use super::proxy::Weather;
use crate::servers::Identity;

/// A server that does not come back within so many starts stays away, and the campaign cannot go on.
const STARTS_MAX: u32 = 4;
/// What is left of a killed server (its children, its shared memory) goes within this.
const GONE_BOUND: Duration = Duration::from_secs(10);
/// Strikes, and what they hit.
pub struct Striker {
    arena: Arc<Arena>,
    fleet: Arc<Fleet>,
    fired: Mutex<BTreeMap<&'static str, u64>>,
    kills: AtomicU64,
    provocation: Provocation,
    /// One strike at a time on a link: the full disk needs one, too.
    link_turns: [Turns<()>; 5],
}

impl Striker {
    pub fn new(arena: Arc<Arena>, fleet: Arc<Fleet>, provocation: Provocation) -> Self {
        providers::provoke(&arena.calcom, &provocation);
        Self { arena, fleet, fired: Mutex::default(), kills: AtomicU64::new(0), provocation, link_turns: Default::default() }
    }

    fn fired(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.fired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, fault: Fault) {
        *self.fired().entry(fault.name()).or_default() += 1;
    }

    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Every kind with how often it struck; the providers count their own.
    pub fn tally(&self) -> BTreeMap<&'static str, u64> {
        let own = self.fired().clone();
        let times = |fault: Fault| match fault {
            Fault::Calcom(fault) => providers::calcom_times(&self.arena.calcom, fault),
            Fault::Retell(fault) => providers::retell_times(&self.arena.retell, fault),
            other => own.get(other.name()).copied().unwrap_or(0),
        };
        Fault::all().into_iter().map(|fault| (fault.name(), times(fault))).collect()
    }

    /// Kinds that cannot strike here, with the reason.
    pub fn skipped(&self) -> BTreeMap<&'static str, String> {
        let mut skipped = BTreeMap::new();
        if let Err(reason) = &self.arena.disk {
            skipped.insert(Fault::FullDisk.name(), reason.clone());
        }
        for act in [Act::Kill, Act::Pause, Act::Terminate] {
            if !self.arena.schedulers {
                skipped.insert(Fault::Of(Party::Scheduler, act).name(), "there is no scheduler".to_owned());
            }
        }
        skipped
    }

    /// One lane of the plan, from `began` on.
    pub async fn run(&self, lane: &[Strike], began: Instant) -> anyhow::Result<()> {
        for strike in lane {
            tokio::time::sleep_until(began + strike.at).await;
            self.strike(strike).await.with_context(|| format!("the fault {:?} could not be made or healed", strike.fault.name()))?;
        }
        Ok(())
    }

    /// Kinds that have not struck yet strike now, one after the other, until they have or `until` has come.
    pub async fn make_up_for_the_rest(&self, until: Instant) -> anyhow::Result<()> {
        let skipped = self.skipped();
        for round in 0_u32.. {
            let tally = self.tally();
            let missing: Vec<Fault> =
                Fault::all().into_iter().filter(|fault| tally.get(fault.name()) == Some(&0) && !skipped.contains_key(fault.name())).collect();
            if missing.is_empty() {
                return Ok(());
            }
            for fault in missing {
                if Instant::now() >= until {
                    return Ok(());
                }
                let lasts = Duration::from_millis(1500);
                self.strike(&Strike { at: Duration::ZERO, fault, lasts, draw: 30, which: usize::try_from(round).unwrap_or_default() }).await?;
            }
        }
        Ok(())
    }

    async fn strike(&self, strike: &Strike) -> anyhow::Result<()> {
        match strike.fault {
            Fault::Of(party @ (Party::Broker | Party::Postgres), act) => self.server(party, act, strike).await,
            Fault::Of(party, act) => {
                self.process(party, act, strike).await;
                Ok(())
            }
            Fault::Link(between, cloud) => {
                let _turn = self.link_turns[between as usize].lock().await;
                if self.weather(between, cloud.weather(strike.draw), strike.lasts).await {
                    self.count(strike.fault);
                }
                Ok(())
            }
            Fault::FullDisk => self.full_disk(strike).await,
            Fault::Calcom(fault) => {
                providers::calcom(&self.arena.calcom, fault, strike, &self.provocation).await;
                Ok(())
            }
            Fault::Retell(fault) => {
                providers::retell(&self.arena.retell, fault, strike).await;
                Ok(())
            }
        }
    }

    async fn process(&self, party: Party, act: Act, strike: &Strike) {
        let members: Vec<&Arc<Member>> = self.fleet.members.iter().filter(|member| member.spec.child.name.starts_with(party.prefix())).collect();
        let Some(member) = members.get(strike.which % members.len().max(1)) else { return };
        let other = members[(strike.which + 1) % members.len()];
        let struck = match act {
            // the one that was meant may just be starting again
            Act::Kill => member.kill() || other.kill(),
            Act::Pause => {
                let struck = member.pause();
                tokio::time::sleep(strike.lasts).await;
                member.resume();
                struck
            }
            Act::Terminate => member.terminate().await,
        };
        if struck {
            self.count(strike.fault);
            self.kills.fetch_add(u64::from(act == Act::Kill), Ordering::SeqCst);
        }
    }

    /// The weather of a link for a while; whether any connection felt it.
    async fn weather(&self, between: Between, weather: Weather, lasts: Duration) -> bool {
        let proxies = self.arena.links.between(between);
        proxies.iter().for_each(|proxy| proxy.set(weather));
        tokio::time::sleep(lasts).await;
        let touched = proxies.iter().any(|proxy| proxy.touched() > 0);
        proxies.iter().for_each(|proxy| proxy.set(Weather::Clear));
        touched
    }

    async fn server(&self, party: Party, act: Act, strike: &Strike) -> anyhow::Result<()> {
        let server = if party == Party::Broker { self.arena.servers.broker() } else { self.arena.servers.postgres() };
        let Some(whole) = Identity::of(server.pid()?) else {
            return self.start_server(party).await;
        };
        // a whole server, as a machine that loses its power or hangs: Postgres' sessions are processes of their own
        let mut all = children_of(whole.pid);
        all.push(whole);
        if act == Act::Pause {
            let paused = Paused::all(all);
            self.count(strike.fault);
            tokio::time::sleep(strike.lasts).await;
            drop(paused);
            return Ok(());
        }
        all.iter().rev().for_each(|identity| signal(identity, Signal::KILL));
        for identity in &all {
            identity.wait_gone(GONE_BOUND).await;
        }
        self.count(strike.fault);
        self.kills.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(strike.lasts).await;
        self.start_server(party).await
    }

    async fn start_server(&self, party: Party) -> anyhow::Result<()> {
        let server = if party == Party::Broker { self.arena.servers.broker() } else { self.arena.servers.postgres() };
        for attempt in 1.. {
            match server.start().await {
                Ok(()) => return Ok(()),
                Err(error) if attempt == STARTS_MAX => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        Ok(())
    }

    /// The broker is silent and the spool's disk full: the one time at which ingress may say 503.
    async fn full_disk(&self, strike: &Strike) -> anyhow::Result<()> {
        let Ok(disk) = &self.arena.disk else { return Ok(()) };
        let _turn = self.link_turns[Between::IngressAndBroker as usize].lock().await;
        let bytes = disk.fill().context("the small disk cannot be filled")?;
        let felt = self.weather(Between::IngressAndBroker, Cloud::Blackhole.weather(strike.draw), strike.lasts).await;
        disk.free();
        if bytes > 0 && felt {
            self.count(strike.fault);
        }
        Ok(())
    }

    /// Ends every fault that may still go on, whatever became of its strike.
    pub async fn heal(&self) -> anyhow::Result<()> {
        for between in Between::ALL {
            self.arena.links.between(between).iter().for_each(|proxy| proxy.set(Weather::Clear));
        }
        providers::heal(&self.arena.calcom, &self.arena.retell);
        if let Ok(disk) = &self.arena.disk {
            disk.free();
        }
        for member in &self.fleet.members {
            member.resume();
        }
        for party in [Party::Broker, Party::Postgres] {
            let server = if party == Party::Broker { self.arena.servers.broker() } else { self.arena.servers.postgres() };
            let pid = server.pid()?;
            children_of(pid).iter().chain(&Identity::of(pid)).for_each(|identity| signal(identity, Signal::CONT));
            self.start_server(party).await?;
        }
        Ok(())
    }
}

/// Processes that stand still until this is dropped: also when the campaign is interrupted meanwhile.
struct Paused(Vec<Identity>);

impl Paused {
    fn all(processes: Vec<Identity>) -> Self {
        processes.iter().for_each(|identity| signal(identity, Signal::STOP));
        Self(processes)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.iter().for_each(|identity| signal(identity, Signal::CONT));
    }
}

/// One that is gone needs no signal.
fn signal(identity: &Identity, which: Signal) {
    let _ = identity.signal(which);
}

/// Processes whose parent this is.
fn children_of(parent: u32) -> Vec<Identity> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| parent_of(*pid) == Some(parent)).filter_map(Identity::of).collect()
}

/// Field 4 of `/proc/<pid>/stat`; the name before it may hold anything, so reading starts after the last parenthesis.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}
