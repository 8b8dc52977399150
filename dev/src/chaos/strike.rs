//! Does what the plan says to processes, servers, links and the disk (`providers`: to Cal.com and Retell), counts which strikes hit anything, and heals everything
//! afterwards. Every strike is counted as armed; as a hit only one that changed something that somebody could notice: a process ended, bytes were held back or lost,
//! a request to a paused process waited, a commit lost its answer, a 503 was said. Called by `campaign`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use rustix::process::Signal;
use shared::clock::Clock;
use tokio::sync::Mutex as Turns;
use tokio::time::Instant;

use super::arena::Arena;
use super::faults::{Act, Between, Cloud, Fault, Party};
use super::fleet::{Fleet, Member};
use super::paused::{Paused, pause, signal};
use super::plan::Strike;
use super::provocation::Provocation;
use super::proxy::Weather;
use super::record::{Excuse, Why};
use super::{providers, quiet};
use crate::servers::Identity;

/// A server that does not come back within so many starts stays away, and the campaign cannot go on.
const STARTS_MAX: u32 = 4;
/// What is left of a killed server (its children, its shared memory) goes within this.
const GONE_BOUND: Duration = Duration::from_secs(10);
/// How long a strike lasts that makes up for those that hit nothing.
const MADE_UP_FOR: Duration = Duration::from_millis(1500);
/// Two renewals of the scheduler's lease (one a second): a leader that has missed them has missed something.
const RENEWALS_MISSED: Duration = Duration::from_secs(2);
/// A look at a lease while Postgres may be paused.
const LOOK_BOUND: Duration = Duration::from_millis(500);
/// What ingress says when it can keep nothing.
const UNAVAILABLE: u16 = 503;
const POLL: Duration = Duration::from_millis(100);
/// The ingress whose spool lies on the small disk.
const BACKEND_OF_THE_DISK: usize = 0;

/// How the strikes of one kind went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    pub armed: u64,
    /// Of these, those that changed something.
    pub hit: u64,
    /// Requests, webhooks or connections that felt it, where they can be counted.
    pub felt: Option<u64>,
}

/// Strikes, and what they hit.
pub struct Striker {
    arena: Arc<Arena>,
    fleet: Arc<Fleet>,
    strikes: Mutex<BTreeMap<&'static str, Strikes>>,
    kills: AtomicU64,
    provocation: Provocation,
    /// What explains that ingress did not take something.
    excuses: Mutex<Vec<Excuse>>,
    clock: Clock,
    /// One strike at a time on a link: the full disk needs one, too.
    link_turns: [Turns<()>; 5],
}

impl Striker {
    pub fn new(arena: Arc<Arena>, fleet: Arc<Fleet>, provocation: Provocation) -> Self {
        providers::provoke(&arena.calcom, &provocation);
        Self {
            arena,
            fleet,
            strikes: Mutex::default(),
            kills: AtomicU64::new(0),
            provocation,
            excuses: Mutex::default(),
            clock: Clock::system(),
            link_turns: Default::default(),
        }
    }

    fn strikes(&self) -> MutexGuard<'_, BTreeMap<&'static str, Strikes>> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, fault: Fault, hit: bool) {
        let mut strikes = self.strikes();
        let entry = strikes.entry(fault.name()).or_default();
        entry.armed += 1;
        entry.hit += u64::from(hit);
    }

    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Every kind with how its strikes went; the providers count what felt them.
    pub fn tally(&self) -> BTreeMap<&'static str, Strikes> {
        let strikes = self.strikes().clone();
        let of = |fault: Fault| {
            let felt = match fault {
                Fault::Calcom(fault) => Some(providers::calcom_times(&self.arena.calcom, fault)),
                Fault::Retell(fault) => Some(providers::retell_times(&self.arena.retell, fault)),
                _ => None,
            };
            Strikes { felt, ..strikes.get(fault.name()).copied().unwrap_or_default() }
        };
        Fault::all().into_iter().map(|fault| (fault.name(), of(fault))).collect()
    }

    /// Faults that explain why ingress did not take something, so far.
    pub fn excuses(&self) -> Vec<Excuse> {
        let downs = [(Party::Ingress, Why::Down), (Party::CalcomSync, Why::Unheard)].into_iter().flat_map(|(party, why)| {
            self.members(party).into_iter().enumerate().flat_map(move |(number, member)| {
                let backend = (party == Party::Ingress).then_some(number);
                member.downs().into_iter().map(move |(from, until)| Excuse { why, backend, from, until })
            })
        });
        downs.chain(self.excuses.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned()).collect()
    }

    /// Notes from when to when a strike went on.
    async fn excusing<T>(&self, reasons: &[Why], backend: Option<usize>, strike: impl Future<Output = T>) -> T {
        let from = self.clock.now();
        let struck = strike.await;
        let until = self.clock.now();
        let excuses = reasons.iter().map(|why| Excuse { why: *why, backend, from, until });
        self.excuses.lock().unwrap_or_else(PoisonError::into_inner).extend(excuses);
        struck
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

    /// Kinds that have hit nothing yet strike now, one after the other, until they have or `until` has come.
    pub async fn make_up_for_the_rest(&self, until: Instant) -> anyhow::Result<()> {
        let skipped = self.skipped();
        for round in 0_u32.. {
            let tally = self.tally();
            let missing: Vec<Fault> = Fault::all()
                .into_iter()
                .filter(|fault| tally.get(fault.name()).is_some_and(|strikes| strikes.hit == 0) && !skipped.contains_key(fault.name()))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            for fault in missing {
                if Instant::now() >= until {
                    return Ok(());
                }
                self.strike(&Strike { at: Duration::ZERO, fault, lasts: MADE_UP_FOR, draw: 30, which: usize::try_from(round).unwrap_or_default() }).await?;
            }
        }
        Ok(())
    }

    async fn strike(&self, strike: &Strike) -> anyhow::Result<()> {
        let hit = match strike.fault {
            Fault::Of(party @ (Party::Broker | Party::Postgres), act) => {
                let reasons: &[Why] = if party == Party::Postgres { &[Why::Jam, Why::Unheard] } else { &[Why::Jam] };
                self.excusing(reasons, None, self.server(party, act, strike)).await?
            }
            Fault::Of(party, act) => self.process(party, act, strike).await,
            Fault::Link(between, cloud) => {
                let _turn = self.link_turns[between as usize].lock().await;
                let reasons: &[Why] = match between {
                    Between::ProvidersAndIngress => &[Why::Link],
                    Between::SyncAndCalcom => &[Why::Unheard],
                    Between::WorkersAndPostgres => &[Why::Jam, Why::Unheard],
                    Between::IngressAndBroker | Between::WorkersAndBroker => &[Why::Jam],
                };
                self.excusing(reasons, None, self.weather(between, cloud.weather(strike.draw), strike.lasts)).await
            }
            Fault::FullDisk => self.full_disk(strike).await?,
            Fault::Calcom(fault) => providers::calcom(&self.arena.calcom, fault, strike, &self.provocation).await,
            Fault::Retell(fault) => providers::retell(&self.arena.retell, fault, strike).await,
        };
        self.count(strike.fault, hit);
        Ok(())
    }

    async fn process(&self, party: Party, act: Act, strike: &Strike) -> bool {
        if (party, act) == (Party::Scheduler, Act::Pause) {
            return self.pause_scheduler(strike.lasts).await;
        }
        let members = self.members(party);
        let index = strike.which % members.len().max(1);
        let Some(member) = members.get(index) else { return false };
        let other = members[(strike.which + 1) % members.len()];
        match act {
            Act::Kill => {
                // the one that was meant may just be starting again
                let killed = member.kill() || other.kill();
                self.kills.fetch_add(u64::from(killed), Ordering::SeqCst);
                killed
            }
            Act::Pause => {
                let Some(identity) = member.identity() else { return false };
                let reasons: &[Why] = match party {
                    Party::Ingress => &[Why::Paused],
                    Party::CalcomSync => &[Why::Unheard],
                    _ => &[],
                };
                self.excusing(reasons, Some(index), pause(vec![identity], strike.lasts)).await
            }
            Act::Terminate => member.terminate().await,
        }
    }

    fn members(&self, party: Party) -> Vec<&Arc<Member>> {
        self.fleet.members.iter().filter(|member| member.spec.child.name.starts_with(party.prefix())).collect()
    }

    /// The one that leads. Nothing is sent to a scheduler, so what it misses are the renewals of its lease.
    async fn pause_scheduler(&self, lasts: Duration) -> bool {
        let mut leader = None;
        for member in self.members(Party::Scheduler) {
            let url = format!("{}/metrics", member.spec.url);
            let leads = quiet::metric(&url, "frontdesk_scheduler_leads");
            if matches!(tokio::time::timeout(LOOK_BOUND, leads).await, Ok(Ok(leads)) if leads > 0.0) {
                leader = member.identity();
            }
        }
        let Some(identity) = leader else { return false };
        let paused = Paused::all(vec![identity]);
        // one that was under way when it was paused may still arrive
        tokio::time::sleep(POLL).await;
        let before = self.lease().await;
        tokio::time::sleep(lasts.max(RENEWALS_MISSED)).await;
        let after = self.lease().await;
        drop(paused);
        // nobody renewed it; or another one took it over
        before.is_some() && (before == after || after.is_some_and(|(epoch, _)| Some(epoch) > before.map(|(epoch, _)| epoch)))
    }

    /// Who leads until when; nothing when Postgres does not answer at once.
    async fn lease(&self) -> Option<(i64, DateTime<Utc>)> {
        let asked = sqlx::query_as("SELECT epoch, expires_at FROM leases WHERE name = 'scheduler'").fetch_optional(&self.arena.database);
        tokio::time::timeout(LOOK_BOUND, asked).await.ok()?.ok()?
    }

    /// The weather of a link for a while, and a little longer if nobody wanted to pass; whether anybody felt it.
    async fn weather(&self, between: Between, weather: Weather, lasts: Duration) -> bool {
        let proxies = self.arena.links.between(between);
        proxies.iter().for_each(|proxy| proxy.set(weather));
        tokio::time::sleep(lasts).await;
        let touched = providers::until(|| proxies.iter().any(|proxy| proxy.touched() > 0)).await;
        proxies.iter().for_each(|proxy| proxy.set(Weather::Clear));
        touched
    }

    async fn server(&self, party: Party, act: Act, strike: &Strike) -> anyhow::Result<bool> {
        let server = if party == Party::Broker { self.arena.servers.broker() } else { self.arena.servers.postgres() };
        let Some(whole) = Identity::of(server.pid()?) else {
            self.start_server(party).await?;
            return Ok(false);
        };
        // a whole server, as a machine that loses its power or hangs: Postgres' sessions are processes of their own
        let mut all = whole.children();
        all.push(whole);
        if act == Act::Pause {
            return Ok(pause(all, strike.lasts).await);
        }
        all.iter().rev().for_each(|identity| signal(identity, Signal::KILL));
        for identity in &all {
            identity.wait_gone(GONE_BOUND).await;
        }
        self.kills.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(strike.lasts).await;
        self.start_server(party).await?;
        Ok(true)
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

    /// The broker is silent and the spool's disk full: then the ingress of that spool must say 503, and at no other time may an ingress that is up.
    async fn full_disk(&self, strike: &Strike) -> anyhow::Result<bool> {
        let Ok(disk) = &self.arena.disk else { return Ok(false) };
        let _turn = self.link_turns[Between::IngressAndBroker as usize].lock().await;
        self.excusing(&[Why::FullDisk], Some(BACKEND_OF_THE_DISK), async {
            let said = || self.arena.gate.refusals(BACKEND_OF_THE_DISK, UNAVAILABLE);
            let before = said();
            disk.fill().context("the small disk cannot be filled")?;
            let silence = Cloud::Blackhole.weather(strike.draw);
            self.arena.links.between(Between::IngressAndBroker).iter().for_each(|proxy| proxy.set(silence));
            tokio::time::sleep(strike.lasts).await;
            let felt = providers::until(|| said() > before).await;
            self.arena.links.between(Between::IngressAndBroker).iter().for_each(|proxy| proxy.set(Weather::Clear));
            disk.free();
            Ok(felt)
        })
        .await
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
            if let Some(whole) = Identity::of(pid) {
                whole.children().iter().chain([&whole]).for_each(|identity| signal(identity, Signal::CONT));
            }
            self.start_server(party).await?;
        }
        Ok(())
    }
}
