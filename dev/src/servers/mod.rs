//! Servers for this checkout: given ones, private ones, Docker's, or freshly installed ones (architecture section 12).
//! Not a supervisor: nothing restarts by itself. Called by `cargo dev`'s commands, the story, and by tests, which
//! attach to what `cargo dev test` provides.
//!
//! Private servers keep nothing: their data begins empty at every start and goes at every stop; logs stay.
mod access;
mod broker;
mod children;
mod choose;
mod docker;
mod error;
mod identity;
mod launch;
pub mod packages;
mod place;
mod ports;
mod postgres;
mod programs;
mod provide;
mod server;
mod state;
mod stop;

use std::path::{Path, PathBuf};

pub use access::{Access, AmqpAdmin, http_client};
pub use children::{Child, ChildSpec};
pub use choose::Choice;
pub use error::{Result, ServersError};
pub use identity::Identity;
pub use place::{Place, is_root};
pub use ports::{free_port, free_ports};
pub use provide::Options;
pub use server::Server;
pub use state::{Launch, Turn};
pub use stop::{Report, down};

use crate::progress::Progress;
use state::{Holder, Kind, Made, StateFile};

/// Where the path of the state file stands for processes started by `cargo dev test`.
pub const STATE_VARIABLE: &str = "FRONTDESK_DEV_STATE";

/// Servers in use. Dropping it stops nothing: call [`Servers::stop`]; after a kill the next run cleans up.
#[derive(Debug, Clone)]
pub struct Servers {
    place: Place,
    state: StateFile,
    access: Access,
    choice: Choice,
    holder: Identity,
    reused: bool,
    progress: Progress,
}

/// What starting a server needs to know.
struct Setting {
    place: Place,
    state: StateFile,
    holder: Identity,
    progress: Progress,
}

impl Setting {
    /// An empty log file of this name.
    fn fresh_log(&self, name: &str) -> Result<PathBuf> {
        let path = self.place.log_dir().join(format!("{name}.log"));
        std::fs::File::create(&path).map_err(ServersError::file("create", &path))?;
        Ok(path)
    }
}

impl Servers {
    /// Servers that are ready, by the order of choice. `purpose` is "up" or "test".
    pub async fn provide(progress: &Progress, purpose: &str, options: Options) -> Result<Self> {
        provide::provide(progress, purpose, options).await
    }

    /// The servers that a surrounding `cargo dev test` (or a running `cargo dev up`) provides, or the given ones.
    /// Never starts any: a test whose server is missing fails.
    pub fn attach() -> Result<Self> {
        provide::attach()
    }

    /// URL of the maintenance database `postgres`, as superuser.
    pub fn database_admin_url(&self) -> &str {
        &self.access.database_admin_url
    }

    /// Broker address and administrator.
    pub fn amqp_admin(&self) -> &AmqpAdmin {
        &self.access.amqp_admin
    }

    /// Base of the management API, user and password in it.
    pub fn management_url(&self) -> &str {
        &self.access.management_url
    }

    /// AMQP URL of a vhost (`amqp_url("%2f")` is the default one).
    pub fn amqp_url(&self, vhost: &str) -> String {
        self.access.amqp_url(vhost)
    }

    /// Where the servers come from.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// True when another `cargo dev` had started them.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Path of `state.json`, for [`STATE_VARIABLE`].
    pub fn state_path(&self) -> &Path {
        self.state.path()
    }

    /// Folder of the logs.
    pub fn log_dir(&self) -> PathBuf {
        self.place.log_dir()
    }

    /// The checkout's folders.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A program of this workspace as cargo built it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.place.bin_dir().join(name)
    }

    /// Creates an empty database and returns its URL as superuser.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let url = self.access.create_database(name).await?;
        // Recorded only now: a database that was there before is somebody else's and must never be dropped. A kill
        // right here leaves an empty database on servers that are not ours; that is the smaller harm.
        self.record(name, true)?;
        Ok(url)
    }

    /// Drops a database made by [`Servers::create_database`].
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        self.refuse_foreign(name, true)?;
        self.access.drop_database(name).await?;
        self.forget(name, true)
    }

    /// Creates a vhost and returns its AMQP URL as administrator. One that is there already is refused.
    pub async fn create_vhost(&self, name: &str) -> Result<String> {
        let url = self.access.create_vhost(name).await?;
        self.record(name, false)?;
        Ok(url)
    }

    /// Deletes a vhost made by [`Servers::create_vhost`].
    pub async fn delete_vhost(&self, name: &str) -> Result<()> {
        self.refuse_foreign(name, false)?;
        self.access.delete_vhost(name).await?;
        self.forget(name, false)
    }

    /// Shares the servers with other tests, for as long as the result lives. Waits while a test uses them
    /// alone. Every test that talks to the servers takes this or [`Servers::use_alone`].
    pub async fn use_together(&self) -> Result<Turn> {
        self.state.use_servers(false).await
    }

    /// Waits until no other test uses the servers and keeps them away: before killing or pausing one. Such tests stand
    /// in a module named `alone`, which nextest then also runs by itself (`.config/nextest.toml`).
    pub async fn use_alone(&self) -> Result<Turn> {
        self.state.use_servers(true).await
    }

    /// The private broker's process.
    pub fn broker(&self) -> Server<'_> {
        Server::new(self, Kind::Broker)
    }

    /// The private Postgres' process.
    pub fn postgres(&self) -> Server<'_> {
        Server::new(self, Kind::Postgres)
    }

    /// How many other living or detached runs have this purpose.
    pub fn others(&self, purpose: &str) -> Result<usize> {
        let state = self.state.load()?.unwrap_or_default();
        let other = |holder: &&Holder| holder.purpose == purpose && holder.identity != self.holder && holder.holds();
        Ok(state.holders.iter().filter(other).count())
    }

    /// Leaves children and servers running after this process; `cargo dev down` ends them.
    pub fn detach(&self) -> Result<()> {
        self.state.change(|state| {
            for holder in &mut state.holders {
                holder.detached |= holder.identity == self.holder;
            }
        })
    }

    /// Ends this run's children and, when nobody else needs them, the servers that were started.
    pub async fn stop(&self) -> Result<Report> {
        stop::release(&self.place, &self.state, &self.holder, &self.progress).await
    }

    fn record(&self, name: &str, database: bool) -> Result<()> {
        let name = access::checked_name(name)?.to_owned();
        let holder = self.holder.clone();
        self.state.change(|state| {
            let made = Made { name, database, holder };
            if !state.made.contains(&made) {
                state.made.push(made);
            }
        })
    }

    fn refuse_foreign(&self, name: &str, database: bool) -> Result<()> {
        let state = self.state.load()?.unwrap_or_default();
        let known = state.made.iter().any(|made| made.name == name && made.database == database);
        if known { Ok(()) } else { Err(ServersError::NotOurs(name.to_owned())) }
    }

    fn forget(&self, name: &str, database: bool) -> Result<()> {
        self.state.change(|state| state.made.retain(|made| made.name != name || made.database != database))
    }
}

/// Ends what this process started even when [`Servers::provide`] did not come to its end (Ctrl-C).
pub async fn release_own(progress: &Progress) -> Result<Report> {
    let place = Place::of_checkout()?;
    let state = StateFile::at(&place.root);
    stop::release(&place, &state, &Identity::own()?, progress).await
}

/// Stops the processes of an earlier `up --detach` but leaves the servers. True when there was one.
pub async fn replace_detached(servers: &Servers) -> Result<bool> {
    stop::replace_detached(&servers.place, &servers.state, &servers.progress).await
}

/// 48 random hexadecimal digits.
fn random_secret() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}
