//! Which endpoints exist and which secrets are live: a snapshot in memory, refreshed from Postgres, kept sealed on the disk.
//!
//! Not verification (that is `verify`). A request reads the snapshot without a lock. While Postgres is away the last snapshot stays in force, and after a
//! cold start without Postgres the sealed copy on the disk is opened; no plaintext secret is ever written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use shared::clock::Clock;
use shared::secret::{Keyring, SecretError};
use shared::store::StoreError;
use shared::store::endpoints::{EndpointChanges, EndpointProvider, EndpointReader, EndpointRow};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::limits::FailureBudget;
use crate::verify::SigningKey;

/// A new or rotated secret is honoured within 2 s even if the notification is lost (architecture section 5).
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A Postgres that answers later than this counts as away for this round.
const LOAD_DEADLINE: Duration = Duration::from_secs(3);
const FILE: &str = "endpoints.json";

/// One endpoint, ready to verify with.
#[derive(Debug)]
pub struct Endpoint {
    pub provider: EndpointProvider,
    pub keys: Vec<SigningKey>,
    /// Until when each secret counts that the key ring does not open (`None`: without end).
    unopened: Vec<Option<DateTime<Utc>>>,
    /// Shared by successive snapshots of the same endpoint.
    pub failures: Arc<FailureBudget>,
}

impl Endpoint {
    /// A live secret does not open: a signature that none of `keys` gives may be right all the same.
    #[must_use]
    pub fn misses_a_key(&self, now: DateTime<Utc>) -> bool {
        self.unopened.iter().any(|not_after| not_after.is_none_or(|end| now < end))
    }

    /// There are live secrets, and none of them opens: nothing can be proven, so nothing can be disproven either.
    #[must_use]
    pub fn is_locked(&self, now: DateTime<Utc>) -> bool {
        self.misses_a_key(now) && !self.keys.iter().any(|key| key.is_live(now))
    }
}

type Snapshot = HashMap<Uuid, Endpoint>;

/// Every endpoint known now.
#[derive(Debug)]
pub struct Endpoints {
    snapshot: ArcSwapOption<Snapshot>,
    keyring: Keyring,
    file: PathBuf,
    failures_per_second: u32,
    clock: Clock,
    /// Unix seconds of the last successful load from Postgres; 0 before.
    loaded_at: AtomicI64,
}

/// What a look-up says.
#[derive(Debug)]
pub enum Lookup<Found> {
    Known(Found),
    Unknown,
    /// Neither Postgres nor the disk has told us any endpoint yet.
    NotLoaded,
}

impl Endpoints {
    /// Starts with what the disk holds, if anything.
    #[must_use]
    pub fn from_disk(folder: &Path, keyring: Keyring, failures_per_second: u32, clock: Clock) -> Self {
        let file = folder.join(FILE);
        let endpoints = Self { snapshot: ArcSwapOption::empty(), keyring, file, failures_per_second, clock, loaded_at: AtomicI64::new(0) };
        match fs::read(&endpoints.file).map(|text| serde_json::from_slice::<Vec<EndpointRow>>(&text)) {
            Ok(Ok(rows)) => {
                tracing::info!(endpoints = rows.len(), "endpoints are known from the disk, until Postgres tells newer ones");
                endpoints.adopt(&rows);
            }
            Ok(Err(error)) => tracing::warn!(line = error.line(), column = error.column(), "the disk's copy of the endpoints is unreadable and is ignored"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(error = %error, "the disk's copy of the endpoints cannot be read")
            }
        }
        endpoints
    }

    /// Puts rows into force. A secret that is empty verifies nothing. One that does not open makes its endpoint doubt instead of refuse; the log says so
    /// in one line, however many they are: the usual cause is one wrong MASTER_KEYS.
    pub fn adopt(&self, rows: &[EndpointRow]) {
        let before = self.snapshot.load();
        let mut failed: Option<(Uuid, Uuid, SecretError)> = None;
        let mut count = 0_usize;
        let snapshot = rows.iter().map(|row| {
            let failures = before.as_ref().and_then(|before| before.get(&row.id)).map(|endpoint| Arc::clone(&endpoint.failures));
            let (mut keys, mut unopened) = (Vec::new(), Vec::new());
            for secret in &row.secrets {
                match self.keyring.open(&secret.aad(), &secret.sealed()) {
                    Ok(text) => keys.extend(SigningKey::new(text.expose_secret().as_bytes(), secret.not_after)),
                    Err(error) => {
                        unopened.push(secret.not_after);
                        failed.get_or_insert((row.id, secret.id, error));
                    }
                }
            }
            count += unopened.len();
            let failures = failures.unwrap_or_else(|| Arc::new(FailureBudget::new(self.failures_per_second)));
            (row.id, Endpoint { provider: row.provider, keys, unopened, failures })
        });
        self.snapshot.store(Some(Arc::new(snapshot.collect())));
        if let Some((endpoint, secret, error)) = failed {
            tracing::error!(
                secrets = count, endpoint.id = %endpoint, secret.id = %secret, error = %error,
                "endpoint secrets do not open with MASTER_KEYS, the first of them is named: requests that they may have signed hear 503"
            );
        }
    }

    /// Looks an endpoint up and hands it to `use_it`, without a lock and without a copy.
    pub fn with<T>(&self, id: Uuid, provider: EndpointProvider, use_it: impl FnOnce(&Endpoint) -> T) -> Lookup<T> {
        let snapshot = self.snapshot.load();
        match snapshot.as_ref().map(|snapshot| snapshot.get(&id)) {
            None => Lookup::NotLoaded,
            Some(Some(endpoint)) if endpoint.provider == provider => Lookup::Known(use_it(endpoint)),
            Some(_) => Lookup::Unknown,
        }
    }

    /// True once any snapshot is in force.
    #[must_use]
    pub fn are_loaded(&self) -> bool {
        self.snapshot.load().is_some()
    }

    /// Endpoints of which no live secret opens.
    #[must_use]
    pub fn locked(&self) -> usize {
        let now = self.clock.now();
        self.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.values().filter(|endpoint| endpoint.is_locked(now)).count())
    }

    /// Endpoints in the snapshot.
    #[must_use]
    pub fn count(&self) -> usize {
        self.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.len())
    }

    /// Seconds since the last load from Postgres; -1 before the first.
    #[must_use]
    pub fn age_seconds(&self) -> i64 {
        match self.loaded_at.load(Ordering::Relaxed) {
            0 => -1,
            at => (self.clock.now().timestamp() - at).max(0),
        }
    }

    /// Writes the sealed rows for the next cold start.
    ///
    /// # Errors
    /// As the file system says.
    pub fn keep(&self, rows: &[EndpointRow]) -> std::io::Result<()> {
        let text = serde_json::to_vec(rows)?;
        let fresh = self.file.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.file)
    }
}

/// Keeps the endpoints fresh as long as the process lives: at each notification, and at each poll.
pub async fn refresh(endpoints: Arc<Endpoints>, reader: EndpointReader, shutdown: CancellationToken) {
    let mut known: Option<Vec<EndpointRow>> = None;
    let mut changes = None;
    let mut away = false;
    while !shutdown.is_cancelled() {
        match load(&reader).await {
            Ok(rows) => {
                endpoints.loaded_at.store(endpoints.clock.now().timestamp(), Ordering::Relaxed);
                if std::mem::take(&mut away) || known.is_none() {
                    tracing::info!(endpoints = rows.len(), "endpoints are read from Postgres");
                }
                if known.as_ref() != Some(&rows) {
                    endpoints.adopt(&rows);
                    keep_on_disk(&endpoints, &rows).await;
                    known = Some(rows);
                }
                if changes.is_none() {
                    // as bounded as a load: a silent Postgres must not end the polling
                    changes = tokio::time::timeout(LOAD_DEADLINE, reader.listen()).await.ok().and_then(Result::ok);
                }
            }
            Err(cause) if !std::mem::replace(&mut away, true) => {
                tracing::warn!(error = %cause, "endpoints cannot be read from Postgres; the secrets known so far stay in force");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
            // A broken listener is made anew after the next load that succeeds.
            still_heard = next_change(&mut changes) => if !still_heard { changes = None },
        }
    }
}

/// Why a load failed, as one line for the log.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("Postgres did not answer within {} s", LOAD_DEADLINE.as_secs())]
    Slow,
    #[error("{}", chain(.0))]
    Store(StoreError),
}

fn chain(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{cause}")
}

async fn load(reader: &EndpointReader) -> Result<Vec<EndpointRow>, LoadError> {
    let loaded = tokio::time::timeout(LOAD_DEADLINE, reader.load_all()).await;
    loaded.map_err(|_| LoadError::Slow)?.map_err(LoadError::Store)
}

async fn keep_on_disk(endpoints: &Arc<Endpoints>, rows: &[EndpointRow]) {
    let (endpoints, rows) = (Arc::clone(endpoints), rows.to_vec());
    let written = tokio::task::spawn_blocking(move || endpoints.keep(&rows)).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("the disk's copy of the endpoints could not be written; a cold start without Postgres would use an older one");
    }
}

async fn next_change(changes: &mut Option<EndpointChanges>) -> bool {
    match changes {
        Some(changes) => changes.next().await.is_ok(),
        None => std::future::pending().await,
    }
}
