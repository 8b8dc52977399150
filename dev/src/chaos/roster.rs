//! Which processes a campaign runs, with which variables. Called by `arena`, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use shared::protection;

use super::fleet::MemberSpec;
use super::provocation::Provocation;
use super::trial::Trial;
use crate::servers::{ChildSpec, free_port};

/// A request of ours that Cal.com hangs on ends after this.
const CALCOM_TIMEOUT_MS: u32 = 5000;
/// Ten processes share two cores and four hundred connections.
const PERMITS_LIVE: u32 = 6;
const PERMITS_BULK: u32 = 3;
/// The least that ingress accepts: two segments.
const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Each role runs in two processes.
const TWICE: [&str; 2] = ["0", "1"];
/// The stop bounds of the architecture (section 6, Drain).
const DRAIN: Duration = Duration::from_secs(10);
const DRAIN_CALCOM_SYNC: Duration = Duration::from_secs(35);
const DRAIN_INGRESS: Duration = Duration::from_secs(8);

/// The variables that all of them have.
pub fn common(master_keys: &SecretString, tiers_divisor: u32, trial: Trial) -> BTreeMap<String, String> {
    let mut common = BTreeMap::from([
        ("MASTER_KEYS".to_owned(), master_keys.expose_secret().to_owned()),
        ("LOG_FORMAT".to_owned(), "json".to_owned()),
        ("LOG_LEVEL".to_owned(), Provocation::of(trial).log_level.to_owned()),
        ("DELAY_TIERS_DIVISOR".to_owned(), tiers_divisor.to_string()),
    ]);
    if let Some(broken) = trial.broken().filter(|broken| !broken.is_in_database()) {
        common.insert(protection::VARIABLE.to_owned(), broken.name().to_owned());
    }
    common
}

/// One ingress per port and spool.
pub fn ingresses(programs: &Path, common: &BTreeMap<String, String>, database_url: &str, amqp_url: &str, ports: &[u16], spools: &[PathBuf]) -> Vec<MemberSpec> {
    let member = |(number, (port, spool)): (usize, (&u16, &PathBuf))| {
        let address = format!("127.0.0.1:{port}");
        let own = [
            ("DATABASE_URL", database_url.to_owned()),
            ("AMQP_URL", amqp_url.to_owned()),
            ("LISTEN", address.clone()),
            ("SPOOL_DIR", spool.display().to_string()),
            ("SPOOL_BYTES_MAX", SPOOL_BYTES_MAX.to_string()),
            // the small disk is the bound
            ("SPOOL_FREE_BYTES_MIN", "0".to_owned()),
        ];
        let child = ChildSpec { env: with(common, &own), ..ChildSpec::new(format!("ingress-{number}"), programs.join("ingress")) };
        let spool = Some((spool.clone(), SPOOL_BYTES_MAX));
        MemberSpec { child, program: "ingress", roles: Vec::new(), url: format!("http://{address}"), drain_bound: DRAIN_INGRESS, spool }
    };
    ports.iter().zip(spools).enumerate().map(member).collect()
}

/// Every role twice: those that change appointments together, calcom-sync by itself, calls with desk, and the rest (the scheduler) by themselves.
pub fn workers(programs: &Path, common: &BTreeMap<String, String>, known: &[&'static str]) -> anyhow::Result<Vec<MemberSpec>> {
    let groups: [(&str, &[&str]); 4] =
        [("changes", &["booking", "reschedule", "cancellation"]), ("sync", &["calcom-sync"]), ("calls", &["calls", "desk"]), ("scheduler", &["scheduler"])];
    let mut members = Vec::new();
    for (name, roles) in groups {
        let roles: Vec<&'static str> = known.iter().copied().filter(|role| roles.contains(role)).collect();
        if roles.is_empty() {
            continue;
        }
        for number in TWICE {
            let address = format!("127.0.0.1:{}", free_port()?);
            let own = [
                ("METRICS_LISTEN", address.clone()),
                ("CALCOM_TIMEOUT_MS", CALCOM_TIMEOUT_MS.to_string()),
                ("PERMITS_LIVE", PERMITS_LIVE.to_string()),
                ("PERMITS_BULK", PERMITS_BULK.to_string()),
            ];
            let mut child = ChildSpec::new(format!("{name}-{number}"), programs.join("workers"));
            child.args = roles.iter().map(|role| (*role).to_owned()).collect();
            child.env = with(common, &own);
            let drain_bound = if roles.contains(&"calcom-sync") { DRAIN_CALCOM_SYNC } else { DRAIN };
            members.push(MemberSpec { child, program: "workers", roles: roles.clone(), url: format!("http://{address}"), drain_bound, spool: None });
        }
    }
    Ok(members)
}

/// The roles that the program knows, as it tells itself.
pub async fn known_roles(program: &Path) -> anyhow::Result<Vec<&'static str>> {
    // the list stands in the refusal of a role that does not exist
    let said = tokio::process::Command::new(program).arg("which-roles-are-there").env_clear().output().await.context("workers cannot be run")?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    let line = text.lines().find(|line| line.contains("is not a role of this program:")).context("workers does not tell its roles")?;
    let roles = shared::envelope::Role::ALL.into_iter().map(shared::envelope::Role::name);
    Ok(roles.filter(|role| line.split([' ', ',']).any(|word| word == *role)).collect())
}

/// Variables that differ between processes, on top of those that all have.
pub fn with(common: &BTreeMap<String, String>, own: &[(&str, String)]) -> BTreeMap<String, String> {
    let mut all = common.clone();
    all.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all
}
