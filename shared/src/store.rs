//! The only room with SQL. Rows stop here: callers get domain values.
//!
//! Every transaction that touches a company's rows is a `tx::CompanyTx`; without one, row-level security shows nothing.

pub mod accounts;
pub mod appointments;
pub mod availability;
pub mod backfill;
pub mod backlogs;
pub mod branches;
pub mod budgets;
pub mod call_limits;
pub mod call_sweeps;
pub mod callbacks;
pub mod calls;
pub mod chains;
pub mod companies;
pub mod consistency;
pub mod credentials;
pub mod customers;
pub mod dead_letters;
pub mod endpoints;
pub mod function_calls;
pub mod inbox;
pub mod intents;
pub mod jobs;
pub mod known_bookings;
pub mod leases;
pub mod outbox;
pub mod policies;
pub mod preferences;
pub mod pulse;
pub mod records;
pub mod resolve;
pub mod reviews;
pub mod schema;
pub mod services;
pub mod silences;
pub mod slot_claims;
pub mod stuck_intents;
pub mod sweeps;
pub mod timeline;
pub mod troubled_calls;
pub mod tx;

use std::str::FromStr;
use std::time::Duration;

pub use pulse::Pulse;
use sqlx::Connection as _;
pub use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::protection::Protection;

/// A store operation that failed. The variant's text names the operation; the source tells why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database URL cannot be read")]
    Url(#[source] sqlx::Error),
    #[error("could not {operation}")]
    Sql {
        operation: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// It neither answers nor breaks the connection (faults D4). Whether the operation was done is unknown.
    #[error("the database was silent while asked to {operation}")]
    Silent { operation: &'static str },
    /// A row that the code cannot read: a newer schema, or damage.
    #[error("{table}.{column} holds a value that this version does not know")]
    BadRow { table: &'static str, column: &'static str },
    /// The row is not as it was when it was loaded: load and decide again.
    #[error("a row of {table} changed meanwhile")]
    Changed { table: &'static str },
    #[error("the schema has version {found}, this program needs {needed}: run `frontdesk migrate`")]
    SchemaTooOld { found: i64, needed: i64 },
    #[error("the schema has version {found}, but its migration {missing} was passed over: run `frontdesk migrate`")]
    SchemaIncomplete { found: i64, missing: i64 },
    #[error("the schema has version {found} and no longer supports programs of version {needed}: deploy a newer one")]
    SchemaTooNew { found: i64, needed: i64 },
    #[error("the database has no frontdesk schema: run `frontdesk migrate`")]
    SchemaMissing,
    #[error("migrating the schema failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("the database role {role} may pass row-level security: connect as one that may not")]
    RoleTooPowerful { role: String },
    /// A set-up document contradicts itself; nothing was written.
    #[error("the set-up is not sound: {}", .0.join("; "))]
    UnsoundSetup(Vec<String>),
    #[error("a secret could not be sealed or opened")]
    Secret(#[source] crate::secret::SecretError),
}

/// Attaches the operation's name to a database error.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Sql { operation, source }
}

impl StoreError {
    /// The database's constraint that refused the write, if that is what happened.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Sql { source: sqlx::Error::Database(error), .. } => error.constraint(),
            _ => None,
        }
    }

    fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Sql { source: sqlx::Error::Database(error), .. } => error.code().map(Into::into),
            _ => None,
        }
    }

    /// Worth repeating the transaction in this process at once: serialization failure or deadlock (architecture section 6).
    #[must_use]
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Changed { .. }) || matches!(self.sqlstate().as_deref(), Some("40001" | "40P01" | "55P03"))
    }

    /// The message holds a value that no column can take, such as a NUL character (faults A6): class 22, and no repeat can help.
    #[must_use]
    pub fn is_bad_value(&self) -> bool {
        self.sqlstate().is_some_and(|code| code.starts_with("22"))
    }

    /// The statement took longer than its limit (57014): Postgres is there and answers others, so nobody else waits for this one.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.sqlstate().as_deref() == Some("57014")
    }

    /// Postgres is away or shedding load: the message is fine, try later (faults D5).
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Sql { source, .. } => match source {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_) => true,
                sqlx::Error::Database(_) => {
                    let class = |code: &str| code.starts_with("57") || code.starts_with("53") || code.starts_with("08") || code == "25006";
                    !self.is_slow() && self.sqlstate().is_some_and(|code| class(&code))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// A short class for attempts and metrics; never the message, which may hold a value.
    #[must_use]
    pub fn class(&self) -> &'static str {
        if self.is_contention() {
            "store_contention"
        } else if self.is_unavailable() {
            "store_unavailable"
        } else if self.is_slow() {
            "store_slow"
        } else if self.constraint().is_some() {
            "store_constraint"
        } else {
            "store_error"
        }
    }
}

/// A connection that is given back must answer within this, or it is closed. sqlx' own check has no limit (sqlx #4349: the place in the pool would be gone).
const GIVEN_BACK_MAX: Duration = Duration::from_secs(3);

/// Opens a pool whose sessions act as `role` (a role that row-level security binds) with bounded statement, lock and idle times.
/// Nothing is connected yet: the pool connects on first use, so a process starts while Postgres is away.
///
/// # Errors
/// When the URL cannot be read.
pub fn connect(url: &str, role: Option<&str>, connections_max: u32, name: &str) -> Result<PgPool, StoreError> {
    connect_watched(url, role, connections_max, name, &Pulse::new())
}

/// As [`connect`]; the pool gives up connections that have met a silence of the server.
///
/// # Errors
/// When the URL cannot be read.
pub fn connect_watched(url: &str, role: Option<&str>, connections_max: u32, name: &str, pulse: &Pulse) -> Result<PgPool, StoreError> {
    let options = session_options(url, role, name)?;
    let (taken, given_back) = (pulse.clone(), pulse.clone());
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        // the ping before each use is a round trip; a broken connection shows at BEGIN and is retried as unavailable
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(5))
        .before_acquire(move |_, found| {
            let trusted = taken.trusts(found.age);
            Box::pin(std::future::ready(Ok(trusted)))
        })
        .after_release(move |connection, _| {
            let pulse = given_back.clone();
            Box::pin(async move {
                let answer = tokio::time::timeout(GIVEN_BACK_MAX, connection.ping());
                tokio::select! {
                    answer = answer => answer.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())).map(|()| true),
                    // an error: closed without a goodbye, at once
                    () = pulse.silence() => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                }
            })
        })
        .connect_lazy_with(options))
}

/// How every session is opened.
fn session_options(url: &str, role: Option<&str>, name: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(StoreError::Url)?.application_name(name).options([
        ("statement_timeout", "15s"),
        ("lock_timeout", "10s"),
        // Between two statements of a transaction lie milliseconds, and at most a batch of confirms (the relay). A client that vanished keeps its locks as long as this,
        // and those who begin again wait for them.
        ("idle_in_transaction_session_timeout", "10s"),
        // sqlx sets nothing on its own end; the server's end notices a network that swallows everything, in the middle of a statement, too
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "2"),
        ("tcp_user_timeout", "15s"),
        // plans of the short statements here never profit from parallel workers or JIT
        ("jit", "off"),
    ]);
    Ok(match role.filter(|_| !Protection::Rls.is_off()) {
        Some(role) => options.options([("role", role)]),
        None => options,
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;
    use std::fmt;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::StoreError;

    #[derive(Debug)]
    struct Told(&'static str);

    impl fmt::Display for Told {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Told {}

    impl DatabaseError for Told {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
    }

    /// Faults D5; a statement of its own that took too long (57014) was told as a Postgres that is away, and stopped the sweeps of everybody.
    #[test]
    fn what_postgres_says_is_told_apart_by_its_code() {
        for (codes, class) in [
            (&["40001", "40P01", "55P03"][..], "store_contention"),
            (&["57P01", "57P03", "53300", "53100", "08006", "25006"], "store_unavailable"),
            (&["57014"], "store_slow"),
            (&["23505", "22021", "42P01"], "store_error"),
        ] {
            for code in codes {
                let error = StoreError::Sql { operation: "test", source: sqlx::Error::Database(Box::new(Told(code))) };
                assert_eq!(error.class(), class, "{code}");
            }
        }
    }
}
