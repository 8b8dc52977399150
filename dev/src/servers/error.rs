//! What can go wrong while servers are found, started, used or stopped. Never carries a password or a statement.
use std::path::PathBuf;
use std::time::Duration;

/// One variant per failed operation.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// A file operation; `action` reads like "write".
    #[error("could not {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("could not run {program}")]
    Run {
        program: String,
        #[source]
        source: std::io::Error,
    },
    /// A program ran and said no.
    #[error("{program} failed: {detail}")]
    Failed { program: String, detail: String },
    /// A server or child process ended before it answered.
    #[error("{name} ended before it was ready; its log is {}", log.display())]
    EndedEarly { name: String, log: PathBuf },
    /// A server or child process did not answer in time.
    #[error("{name} did not answer within {} s; its log is {}", waited.as_secs(), log.display())]
    NotReady { name: String, waited: Duration, log: PathBuf },
    /// A process outlived TERM and KILL.
    #[error("{name} (process {pid}) is still there after KILL")]
    WillNotEnd { name: String, pid: u32 },
    /// A signal could not be sent to a process of ours.
    #[error("could not signal process {pid}")]
    Signal {
        pid: u32,
        #[source]
        source: std::io::Error,
    },
    /// `operation` reads like "create database frontdesk_dev".
    #[error("Postgres did not {operation}")]
    Postgres {
        operation: String,
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The management API could not be asked.
    #[error("RabbitMQ's management API could not {operation}")]
    Management {
        operation: String,
        #[source]
        source: reqwest::Error,
    },
    /// The management API refused.
    #[error("RabbitMQ's management API refused to {operation}: HTTP {status}")]
    Refused { operation: String, status: u16 },
    /// The state file is not ours or of another version.
    #[error("{} cannot be read; stop the processes it names and delete it", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// Another `cargo dev` holds the lock longer than its bound.
    #[error("another cargo dev has held {} for more than {} s", path.display(), waited.as_secs())]
    Busy { path: PathBuf, waited: Duration },
    /// `what` was not made by us, so we leave it alone.
    #[error("{0} was not made by cargo dev and is left alone")]
    NotOurs(String),
    /// A name outside `[a-z][a-z0-9_]*`, or too long.
    #[error("{0:?} is no name for a database or vhost: use a-z, 0-9 and _, at most 63 characters")]
    Name(String),
    /// A URL of the environment that cannot be read; its text may hold a password and is not shown.
    #[error("{0} is not a usable URL")]
    Url(&'static str),
    /// No way to get servers: one clear sentence.
    #[error("{0}")]
    NoServers(String),
    /// Only private servers can be killed, paused or started.
    #[error("{0} is not a private server of this checkout")]
    NotPrivate(&'static str),
}

/// Result of this room.
pub type Result<T> = std::result::Result<T, ServersError>;

impl ServersError {
    /// For `map_err` of file operations.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
