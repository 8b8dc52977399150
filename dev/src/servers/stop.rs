//! Ends what `cargo dev` started: exactly the recorded processes, by number and start time, and waits for their exit.
//! Called at the end of `up` and `test`, by `down`, and at every start for what a killed run left.
use std::time::Duration;

use rustix::process::Signal;

use super::choose::Choice;
use super::docker;
use super::error::Result;
use super::identity::{Ended, Identity};
use super::packages;
use super::place::{Place, is_root, remove_dir};
use super::state::{Kind, Made, Process, State, StateFile};
use crate::progress::Progress;

/// Children drain at most 35 s (calcom-sync) plus 10 s of grace.
const CHILD_BOUND: Duration = Duration::from_secs(45);
/// A clean stop of the broker takes 7 to 8 s on an idle machine.
const BROKER_BOUND: Duration = Duration::from_secs(30);
const POSTGRES_BOUND: Duration = Duration::from_secs(20);
const EPMD_BOUND: Duration = Duration::from_secs(5);
/// A stopping `up` or `test` ends its children and perhaps the servers.
const HOLDER_BOUND: Duration = Duration::from_secs(120);

/// What was ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// "broker (4711)", with "killed" where TERM did not suffice.
    pub ended: Vec<String>,
    /// Servers stay up for another run.
    pub servers_stay: bool,
}

/// `cargo dev down`: what a detached or killed run of this checkout left. A run that is still at work keeps itself and the servers, unless `all` is said.
pub async fn down(progress: &Progress, all: bool) -> Result<Report> {
    let place = Place::of_checkout()?;
    let state = StateFile::at(&place.root);
    if is_root() {
        packages::restore_leftovers()?;
    }
    let Some(known) = state.load()? else {
        return Ok(Report::default());
    };
    let mut report = Report::default();
    let own = Identity::own()?;
    let at_work: Vec<String> = known
        .holders
        .iter()
        .filter(|holder| !holder.detached && holder.identity != own && holder.identity.alive())
        .map(|holder| format!("cargo dev {} ({})", holder.purpose, holder.identity.pid))
        .collect();
    if !all && !at_work.is_empty() {
        if replace_detached(&place, &state, progress).await? {
            report.ended.push("the detached run".into());
            // its addresses lead nowhere now
            let _ = std::fs::remove_file(place.env_file());
        }
        progress.note(format!("at work and left alone, with the servers: {}; `cargo dev down --all` ends that, too", at_work.join(", ")));
        report.servers_stay = true;
        return Ok(report);
    }
    for holder in known.holders.iter().filter(|holder| holder.identity != own) {
        let name = format!("cargo dev {}", holder.purpose);
        if holder.identity.alive() {
            let step = progress.step(format!("stop {name}"));
            end_one(&mut report, &name, &holder.identity, Signal::TERM, HOLDER_BOUND).await?;
            step.done();
        }
    }
    let _turn = state.take_turn(|| progress.note("another cargo dev starts or stops servers here; waiting for it")).await?;
    report.ended.extend(end_everything(&place, &state, progress).await?.ended);
    Ok(report)
}

/// One run gives back what it holds.
pub(super) async fn release(place: &Place, state: &StateFile, holder: &Identity, progress: &Progress) -> Result<Report> {
    let mut report = Report::default();
    if state.load()?.is_none() {
        return Ok(report);
    }
    let _turn = state.take_turn(|| progress.note("another cargo dev starts or stops servers here; waiting for it")).await?;
    let known = state.load()?.unwrap_or_default();
    // Also those of tests that have ended without stopping them.
    let mut children = known.orphans();
    let own = known.processes.iter().rev();
    children.extend(own.filter(|process| process.holder == *holder).cloned());
    end_children(state, children, progress, &mut report).await?;
    state.change(|state| state.holders.retain(|known| known.holds() && known.identity != *holder))?;
    remove_made(state, progress).await?;
    if state.load()?.unwrap_or_default().held() {
        report.servers_stay = true;
        progress.note("servers stay up: another cargo dev uses them");
    } else {
        report.ended.extend(end_everything(place, state, progress).await?.ended);
    }
    Ok(report)
}

/// Before a start: ends what a killed run left; everything when nobody alive needs the servers.
pub(super) async fn after_the_dead(place: &Place, state: &StateFile, progress: &Progress) -> Result<()> {
    let Some(known) = state.load()? else {
        return Ok(());
    };
    let mut report = Report::default();
    if known.held() {
        end_children(state, known.orphans(), progress, &mut report).await?;
        remove_made(state, progress).await?;
    } else {
        progress.note("an earlier run was killed: cleaning up after it");
        report = end_everything(place, state, progress).await?;
    }
    if !report.ended.is_empty() {
        progress.note(format!("ended {}", report.ended.join(", ")));
    }
    Ok(())
}

/// Ends an earlier detached run's children and lets go of its hold.
pub(super) async fn replace_detached(place: &Place, state: &StateFile, progress: &Progress) -> Result<bool> {
    let _turn = state.take_turn(|| {}).await?;
    let detached = state.change(|state| {
        let before = state.holders.len();
        // Detached, its own process ended: without the hold its children are orphans.
        state.holders.retain(|holder| !holder.detached);
        before != state.holders.len()
    })?;
    after_the_dead(place, state, progress).await?;
    Ok(detached)
}

/// Children first, then the servers, then data and state. Logs stay.
pub(super) async fn end_everything(place: &Place, state: &StateFile, progress: &Progress) -> Result<Report> {
    let mut report = Report::default();
    let known = state.load()?.unwrap_or_default();
    let children = known.processes.iter().rev().cloned().collect();
    end_children(state, children, progress, &mut report).await?;
    state.change(|state| state.holders.clear())?;
    report.ended.extend(remove_made(state, progress).await?.ended);
    report.ended.extend(end_servers(state, progress).await?.ended);
    if known.choice == Some(Choice::Docker) {
        docker::stop(&place.checkout)?;
        report.ended.push("docker compose services postgres and rabbitmq".into());
    }
    for folder in [place.data_dir("postgres"), place.data_dir("broker"), place.data_dir("ingress"), place.socket_dir()] {
        remove_dir(&folder)?;
    }
    match std::fs::remove_file(place.env_file()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(super::ServersError::file("remove", place.env_file())(error));
        }
        _ => {}
    }
    state.remove()?;
    Ok(report)
}

/// The private servers, side by side; epmd after the node that is registered with it.
pub(super) async fn end_servers(state: &StateFile, progress: &Progress) -> Result<Report> {
    let known = state.load()?.unwrap_or_default();
    if !known.processes.iter().any(|process| process.kind != Kind::Child) {
        return Ok(Report::default());
    }
    let step = progress.step("stop the private servers");
    // INT is Postgres' fast shutdown: sessions are ended, nothing is awaited.
    let postgres = end_kind(&known, Kind::Postgres, Signal::INT, POSTGRES_BOUND);
    let broker = async {
        let mut report = end_kind(&known, Kind::Broker, Signal::TERM, BROKER_BOUND).await?;
        let epmd = end_kind(&known, Kind::Epmd, Signal::TERM, EPMD_BOUND).await?;
        report.ended.extend(epmd.ended);
        Ok(report)
    };
    let (mut report, other): (Report, Report) = tokio::try_join!(postgres, broker)?;
    report.ended.extend(other.ended);
    state.change(|state| state.processes.retain(|process| process.kind == Kind::Child))?;
    step.done();
    Ok(report)
}

async fn end_kind(known: &State, kind: Kind, first: Signal, bound: Duration) -> Result<Report> {
    let mut report = Report::default();
    for process in known.processes.iter().filter(|process| process.kind == kind) {
        end_one(&mut report, &process.name, &process.identity, first, bound).await?;
    }
    Ok(report)
}

async fn end_children(state: &StateFile, children: Vec<Process>, progress: &Progress, report: &mut Report) -> Result<()> {
    for child in children.into_iter().filter(|process| process.kind == Kind::Child) {
        let step = child.identity.alive().then(|| progress.step(format!("stop {}", child.name)));
        end_one(report, &child.name, &child.identity, Signal::TERM, CHILD_BOUND).await?;
        state.change(|state| state.processes.retain(|process| process.identity != child.identity))?;
        if let Some(step) = step {
            step.done();
        }
    }
    Ok(())
}

async fn end_one(report: &mut Report, name: &str, identity: &Identity, first: Signal, bound: Duration) -> Result<()> {
    match identity.end(name, first, bound).await? {
        Ended::WasGone => {}
        Ended::Asked => report.ended.push(format!("{name} ({})", identity.pid)),
        Ended::Killed => report.ended.push(format!("{name} ({}, killed)", identity.pid)),
    }
    Ok(())
}

/// Databases and vhosts whose makers are gone. On private servers they go with the data.
async fn remove_made(state: &StateFile, progress: &Progress) -> Result<Report> {
    let mut report = Report::default();
    let known = state.load()?.unwrap_or_default();
    let (Some(choice), Some(access)) = (known.choice, known.access.as_ref()) else {
        return Ok(report);
    };
    let needed = |made: &Made| {
        let detached = known.holders.iter().any(|holder| holder.detached && holder.identity == made.holder);
        detached || (made.holder.alive() && made.holder != Identity::own().unwrap_or_else(|_| made.holder.clone()))
    };
    let left: Vec<Made> = known.made.iter().filter(|made| !needed(made)).cloned().collect();
    if choice == Choice::Private && !known.held() {
        return Ok(report);
    }
    for made in &left {
        let removed = if made.database { access.drop_database(&made.name).await } else { access.delete_vhost(&made.name).await };
        let what = if made.database { "database" } else { "vhost" };
        match removed {
            Ok(()) => report.ended.push(format!("{what} {}", made.name)),
            Err(error) => progress.note(format!("{what} {} stays: {error}", made.name)),
        }
    }
    state.change(|state| state.made.retain(|made| !left.contains(made)))?;
    Ok(report)
}
