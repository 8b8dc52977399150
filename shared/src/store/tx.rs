//! A transaction that belongs to one company (or to none), and what must happen after its commit.
//!
//! Handlers write through it, collect messages and replies in it, and never commit it: the runtime does (architecture section 6).

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};
use tokio::time::timeout;
use uuid::Uuid;

use crate::envelope::ReplyTo;
use crate::store::outbox::OutboxMessage;
use crate::store::{StoreError, failed, outbox};

/// A rollback waits for the statement that it interrupts; longer than this is not worth the place in the pool.
const ROLLBACK_MAX: Duration = Duration::from_secs(3);

/// An answer for a request that waits in some ingress process.
#[derive(Clone, Debug)]
pub struct Reply {
    pub to: ReplyTo,
    pub body: Vec<u8>,
}

/// One transaction. Its company is set for row-level security and its advisory locks are held until it ends.
///
/// Not sqlx' own transaction: that one, dropped half-way through its BEGIN (a caller's deadline drops us while we wait for a lock), forgets to roll back, and the
/// next user of the connection stands inside it, under our company (tried on PostgreSQL 15; faults G2).
#[derive(Debug)]
pub struct CompanyTx {
    /// Taken only by `commit` and `drop`.
    connection: Option<PoolConnection<Postgres>>,
    company_id: Option<Uuid>,
    outbox: Vec<OutboxMessage>,
    replies: Vec<Reply>,
}

/// What a committed transaction leaves to be done: publish and delete the outbox rows, send the replies.
#[derive(Debug, Default)]
pub struct AfterCommit {
    pub outbox: Vec<OutboxMessage>,
    pub replies: Vec<Reply>,
}

/// The advisory lock of one Cal.com uid: every transaction that applies a fact about it holds this first (architecture section 6, Locks).
#[must_use]
pub fn uid_lock(company_id: Uuid, uid: &str) -> i64 {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::new().chain_update(company_id.as_bytes()).chain_update(uid.as_bytes()).finalize().into();
    i64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

impl CompanyTx {
    /// Begins, sets the company and takes the advisory locks in ascending order, all in one round trip.
    ///
    /// # Errors
    /// When Postgres is away or a lock is not granted in time.
    pub async fn begin(pool: &PgPool, company_id: Option<Uuid>, locks: &[i64]) -> Result<Self, StoreError> {
        let mut locks = locks.to_vec();
        locks.sort_unstable();
        locks.dedup();
        // integers and a UUID printed by us: nothing in this text comes from outside
        let mut statement = String::from("BEGIN; SELECT set_config('app.company_id', '");
        if let Some(company_id) = company_id {
            statement.push_str(&company_id.to_string());
        }
        statement.push_str("', true)");
        for lock in locks {
            statement.push_str(&format!("; SELECT pg_advisory_xact_lock({lock})"));
        }
        let connection = pool.acquire().await.map_err(failed("begin a transaction"))?;
        // from here on a drop rolls back, however far BEGIN came
        let mut begun = Self { connection: Some(connection), company_id, outbox: Vec::new(), replies: Vec::new() };
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(begun.connection()).await.map_err(failed("begin a transaction"))?;
        Ok(begun)
    }

    /// The company whose rows this transaction sees.
    ///
    /// # Panics
    /// When the transaction was begun without one: a handler that writes tenant rows prepares its company first.
    #[must_use]
    pub fn company_id(&self) -> Uuid {
        self.company_id.expect("a handler of tenant rows begins its transaction with a company")
    }

    /// The connection, for the statements of this room.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a transaction has its connection until it ends")
    }

    /// Adds a message that is published after the commit, and relayed by another worker if this process dies in between.
    pub fn publish(&mut self, message: OutboxMessage) {
        self.outbox.push(message);
    }

    /// Adds an answer that is sent after the commit, best effort: the truth is the stored answer.
    pub fn reply(&mut self, to: ReplyTo, body: Vec<u8>) {
        self.replies.push(Reply { to, body });
    }

    /// Writes the collected messages and commits.
    ///
    /// # Errors
    /// When a statement or the commit fails; then nothing of it has happened.
    pub async fn commit(mut self) -> Result<AfterCommit, StoreError> {
        let messages = std::mem::take(&mut self.outbox);
        if !messages.is_empty() {
            outbox::insert(self.connection(), &messages).await?;
        }
        sqlx::raw_sql("COMMIT").execute(self.connection()).await.map_err(failed("commit"))?;
        // back to the pool: nothing is open any more
        drop(self.connection.take());
        Ok(AfterCommit { outbox: messages, replies: std::mem::take(&mut self.replies) })
    }

    /// The database's clock, which leases, holds and budgets compare with.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn now(&mut self) -> Result<DateTime<Utc>, StoreError> {
        sqlx::query_scalar("SELECT frontdesk_now()").fetch_one(self.connection()).await.map_err(failed("read the database's clock"))
    }
}

/// Without a commit, all of it is rolled back. A connection that does not say so in time is cut: the server then rolls back by itself, and the place in the pool is
/// free at once (sqlx #4349).
impl Drop for CompanyTx {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // the process ends
            drop(connection.detach());
            return;
        };
        drop(runtime.spawn(async move {
            let rolled_back = timeout(ROLLBACK_MAX, sqlx::raw_sql("ROLLBACK").execute(&mut *connection)).await;
            if !matches!(rolled_back, Ok(Ok(_))) {
                drop(connection.detach());
            }
        }));
    }
}
