//! Loads a history by COPY: made on one thread, loaded by two connections, each of them some companies', with a bounded number of batches in between.
//! The truth goes to a writer of its own and never into the database. Called by the command and by tests.
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::contents::{History, Part};
use super::copy::{Batch, Table};
use super::damage::Tally;
use super::plan::{Of, Plan};
use super::set_up;
use crate::progress::Progress;

/// Connections that load: as many as the machine that this is for has cores.
const LOADERS: usize = 2;
/// Batches that wait for a loader: one is sent while the next is made.
const WAITING_MAX: usize = 1;
/// How often a line tells how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(20);

/// What was loaded.
#[derive(Debug, Clone)]
pub struct Report {
    pub plan: Plan,
    pub tally: Tally,
    /// In the order of [`Table::ALL`].
    pub rows: [u64; Table::ALL.len()],
    /// Lines of the truth.
    pub lines: u64,
    /// From the first row to the last commit, without ANALYZE.
    pub took: Duration,
}

/// Loads the history of that plan and writes its truth. The session must see all companies: a superuser, or a role that passes row-level security.
///
/// # Errors
/// The database is away, not migrated, has this seed already, or its role is bound by row-level security; the truth cannot be written.
pub async fn load<Truth: Write + Send + 'static>(database_url: &str, plan: Plan, truth: Truth, progress: &Progress) -> anyhow::Result<Report> {
    let mut connection = connect(database_url).await?;
    prepare(&mut connection, &plan).await?;
    let began = Instant::now();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..LOADERS).map(|_| channel(WAITING_MAX)).unzip();
    let told = *progress;
    let made = tokio::task::spawn_blocking(move || make(plan, truth, &senders, &told));
    let mut loaders = tokio::task::JoinSet::new();
    for receiver in receivers {
        let url = database_url.to_owned();
        loaders.spawn(async move { receive(&url, receiver).await });
    }
    // a loader that fails ends its channel, and with it the making
    let mut failed = None;
    while let Some(loader) = loaders.join_next().await {
        if let Err(error) = loader.context("a loader panicked").and_then(|loaded| loaded) {
            failed.get_or_insert(error);
        }
    }
    let made = made.await.context("the making panicked")?;
    if let Some(error) = failed {
        return Err(error);
    }
    let history = made?;
    let took = began.elapsed();
    finish(&mut connection, &history).await?;
    Ok(Report { plan, tally: history.tally, rows: history.rows, lines: history.lines, took })
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect(url).await.context("connecting to load a history")?;
    // the load is repeated from its seed, not recovered
    sqlx::query("SET synchronous_commit = off").execute(&mut connection).await.context("setting up the session")?;
    Ok(connection)
}

async fn prepare(connection: &mut PgConnection, plan: &Plan) -> anyhow::Result<()> {
    let (powerful, migrated): (bool, bool) = sqlx::query_as(
        "SELECT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
            EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.appointment_modifications') AND attname = 'legacy_metadata')",
    )
    .fetch_one(&mut *connection)
    .await
    .context("looking at the database")?;
    if !powerful {
        bail!("the role of this URL is bound by row-level security, and COPY cannot load through it: take the superuser's");
    }
    if !migrated {
        bail!("the schema is older than this program: `frontdesk migrate` first");
    }
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM companies WHERE id = $1)")
        .bind(plan.key(Of::Company, 0, 0))
        .fetch_one(&mut *connection)
        .await
        .context("looking for the seed's companies")?;
    if there {
        bail!("the history of seed {} is in this database already: take another seed", plan.seed);
    }
    let mut tx = connection.begin().await.context("beginning the set-up")?;
    for (statement, rows) in set_up::set_up(plan) {
        copy(&mut tx, &statement, rows.text.as_bytes()).await?;
    }
    tx.commit().await.context("committing the set-up")
}

/// Makes all batches; ends early when a loader is gone, which then tells why.
fn make<Truth: Write>(plan: Plan, mut truth: Truth, senders: &[Sender<Batch>], progress: &Progress) -> anyhow::Result<History> {
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut history = History::new(plan);
    while let Some(Part { batch, truth: lines }) = history.next() {
        truth.write_all(lines.as_bytes()).context("writing the truth")?;
        let loader = &senders[batch.company % senders.len()];
        if loader.blocking_send(batch).is_err() {
            break;
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            let made = history.rows[Table::Appointments as usize];
            progress.note(format!("{made} of {} appointments after {:.0} s", plan.appointments, began.elapsed().as_secs_f64()));
        }
    }
    truth.flush().context("writing the truth")?;
    Ok(history)
}

async fn receive(url: &str, mut batches: Receiver<Batch>) -> anyhow::Result<()> {
    let mut connection = connect(url).await?;
    while let Some(batch) = batches.recv().await {
        let mut tx = connection.begin().await.context("beginning a batch")?;
        for table in Table::ALL {
            let rows = batch.table(table);
            if rows.count > 0 {
                copy(&mut tx, &table.statement(), rows.text.as_bytes()).await?;
            }
        }
        tx.commit().await.context("committing a batch")?;
    }
    Ok(())
}

async fn copy(connection: &mut PgConnection, statement: &str, text: &[u8]) -> anyhow::Result<()> {
    let table = || format!("loading {}", statement.split(' ').nth(1).unwrap_or_default());
    let mut copy = connection.copy_in_raw(statement).await.with_context(table)?;
    copy.send(text).await.with_context(table)?;
    copy.finish().await.with_context(table)?;
    Ok(())
}

/// The companies' next numbers come after those that were loaded, and the planner learns what is there.
async fn finish(connection: &mut PgConnection, history: &History) -> anyhow::Result<()> {
    let plan = history.plan();
    for company in 0..plan.companies {
        let appointments = i64::try_from(plan.appointments_of(company)).context("counting appointments")?;
        let customers = i64::try_from(super::calls::customers_of(plan, company)).context("counting customers")?;
        for (noun, last) in [("call", history.call_number(company)), ("appointment", appointments), ("customer", customers)] {
            if last > 0 {
                sqlx::query("SELECT setval(('numbers.' || $1 || '_' || replace($2::text, '-', ''))::regclass, $3)")
                    .bind(noun)
                    .bind(plan.key(Of::Company, company, 0))
                    .bind(last)
                    .execute(&mut *connection)
                    .await
                    .context("moving the short numbers on")?;
            }
        }
    }
    for table in Table::ALL {
        sqlx::query(AssertSqlSafe(format!("ANALYZE {}", table.columns().0))).execute(&mut *connection).await.context("counting for the planner")?;
    }
    Ok(())
}
