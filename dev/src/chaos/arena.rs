//! What a campaign stands on: a database and a vhost of its own, the companies, both providers as stand-ins in this process, a proxy on each link, the gate,
//! and the product's processes. Made once, ended once. Called by `campaign`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use secrecy::ExposeSecret;
use shared::broker::{self, Scale};
use shared::secret::{Keyring, generate_master_key};
use shared::store::schema;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::auditor;
use super::disk::SmallDisk;
use super::fleet::MemberSpec;
use super::gate::Gate;
use super::links::{Links, at};
use super::provocation::Provocation;
use super::roster::{self, with};
use super::setup::{self, Tenancy};
use super::trial::Trial;
use crate::calcom_stand_in::{self, CalcomStandIn, Limits};
use crate::progress::Progress;
use crate::retell_stand_in::{self, RetellStandIn};
use crate::servers::{Place, Servers, Turn, free_port};

/// The superuser's own sessions: set-up, looks at quiescence, the audit.
const CONNECTIONS_MAX: u32 = 6;
const INGRESSES: usize = 2;

/// Everything.
pub struct Arena {
    pub servers: Servers,
    pub name: String,
    pub database: PgPool,
    pub database_url: String,
    pub amqp_url: String,
    pub calcom: CalcomStandIn,
    pub retell: RetellStandIn,
    pub gate: Gate,
    pub links: Links,
    pub tenancies: Vec<Tenancy>,
    pub members: Vec<MemberSpec>,
    pub schedulers: bool,
    /// Under the first spool; or why there is none.
    pub disk: Result<SmallDisk, String>,
    folder: PathBuf,
    _turn: Turn,
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub seed: u64,
    pub tiers_divisor: u32,
    pub trial: Trial,
}

impl Arena {
    /// Waits until nobody else uses the servers, then makes everything but the processes.
    pub async fn prepare(servers: Servers, progress: &Progress, wanted: Wanted) -> anyhow::Result<Self> {
        let turn = servers.use_alone().await?;
        clean_up(servers.place());
        let name = own_name();
        let step = progress.step(format!("database and vhost {name}, schema, topology"));
        let database_url = servers.create_database(&name).await?;
        let amqp_url = servers.create_vhost(&name).await?;
        schema::migrate(&database_url).await?;
        broker::apply(&amqp_url, Scale::divided_by(wanted.tiers_divisor)).await?;
        let database = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).connect(&database_url).await.ok().context("the database does not answer")?;
        let provocation = Provocation::of(wanted.trial);
        sqlx::raw_sql(provocation.sql).execute(&database).await.context("the protection cannot be taken out of the database")?;
        sqlx::raw_sql(auditor::WITNESS).execute(&database).await.context("the auditor's witness cannot be put into the database")?;
        step.done();

        let step = progress.step("stand-ins, proxies, companies");
        let limits = Limits::default();
        let calcom = CalcomStandIn::start(calcom_stand_in::Config { limits, seed: wanted.seed, ..Default::default() }).await?;
        let retell = RetellStandIn::start(retell_stand_in::Config::default()).await?;
        let ingress_ports = (0..INGRESSES).map(|_| free_port()).collect::<Result<Vec<u16>, _>>()?;
        let links = Links::start(&database_url, &amqp_url, &calcom.base_url, &ingress_ports).await?;
        let master_keys = generate_master_key("chaos");
        let keyring = Keyring::parse(master_keys.expose_secret())?;
        let tenancies = setup::companies(&database, &keyring, &links, &retell).await?;
        let gate = Gate::start(links.providers_ingress.iter().map(|proxy| proxy.address).collect(), setup::owners(&tenancies)).await?;
        setup::tell_calcom(&calcom, &gate, &tenancies)?;
        step.done_with(format!("{} companies, {} links", tenancies.len(), 5));

        let folder = servers.place().data_dir("chaos").join(&name);
        let programs = programs_of_its_own(&servers, &folder)?;
        let spools: Vec<PathBuf> = (0..INGRESSES).map(|number| folder.join(format!("spool-{number}"))).collect();
        for spool in &spools {
            std::fs::create_dir_all(spool).with_context(|| format!("{} cannot be made", spool.display()))?;
        }
        let disk = SmallDisk::mount(&spools[0], &disk_records(servers.place())).map_err(|reason| format!("{reason:#}"));
        let common = roster::common(&master_keys, wanted.tiers_divisor, wanted.trial);
        let roles = roster::known_roles(&programs.join("workers")).await?;
        let mut members = roster::ingresses(&programs, &common, &database_url, &at(&amqp_url, links.ingress_broker.address)?, &ingress_ports, &spools);
        let worker = with(
            &common,
            &[
                ("DATABASE_URL", at(&database_url, links.workers_postgres.address)?),
                ("AMQP_URL", at(&amqp_url, links.workers_broker.address)?),
                ("CALCOM_BASE_URL", format!("http://{}/v2", links.sync_calcom.address)),
                ("RETELL_BASE_URL", retell.base_url.clone()),
            ],
        );
        members.extend(roster::workers(&programs, &worker, &roles)?);
        let schedulers = roles.contains(&"scheduler");
        Ok(Self { servers, name, database, database_url, amqp_url, calcom, retell, gate, links, tenancies, members, schedulers, disk, folder, _turn: turn })
    }

    /// The stand-ins with their ledgers, which outlive it, and the ground to be cleared.
    pub fn split(self) -> (CalcomStandIn, RetellStandIn, Ground) {
        let Self { servers, name, database, calcom, retell, links, disk, folder, _turn, .. } = self;
        (calcom, retell, Ground { servers, name, database, disk, folder, _links: links, _turn })
    }
}

/// What is left to be removed when the processes have ended.
pub struct Ground {
    servers: Servers,
    name: String,
    database: PgPool,
    disk: Result<SmallDisk, String>,
    folder: PathBuf,
    /// Processes that stop in order still use them.
    _links: Links,
    _turn: Turn,
}

impl Ground {
    /// Removes what the campaign made. The processes must have ended.
    pub async fn clear(self) -> anyhow::Result<()> {
        drop(self.disk);
        self.database.close().await;
        // a folder that cannot be removed is the next campaign's to remove
        let _ = std::fs::remove_dir_all(&self.folder);
        self.servers.delete_vhost(&self.name).await?;
        self.servers.drop_database(&self.name).await?;
        Ok(())
    }
}

/// Copies of the programs: a build in another terminal must not change what a campaign of ten minutes tries.
fn programs_of_its_own(servers: &Servers, folder: &Path) -> anyhow::Result<PathBuf> {
    let own = folder.join("programs");
    std::fs::create_dir_all(&own).with_context(|| format!("{} cannot be made", own.display()))?;
    for name in ["ingress", "workers"] {
        let program = servers.program(name);
        std::fs::copy(&program, own.join(name)).with_context(|| format!("{} cannot be copied: is it built?", program.display()))?;
    }
    Ok(own)
}

/// Ends what a killed campaign left: mounts and folders of its spools. Nobody else runs one: the turn is ours.
fn clean_up(place: &Place) {
    super::disk::unmount_leftovers(&disk_records(place));
    // not there: nothing to remove
    let _ = std::fs::remove_dir_all(place.data_dir("chaos"));
}

/// Of the database, the vhost and the folder.
fn own_name() -> String {
    format!("chaos_{}_test", std::process::id())
}

/// After an interruption, when the processes have ended.
pub fn remove_own_folder(place: &Place) {
    // none was made yet, or it is the next campaign's to remove
    let _ = std::fs::remove_dir_all(place.data_dir("chaos").join(own_name()));
}

/// Where it is written down what is mounted; beside the campaigns' folders, which are removed.
pub fn disk_records(place: &Place) -> PathBuf {
    place.data_dir("chaos-mounts")
}
