//! Whether a company's rows are consistent: every check of [`checks`] run over them, the three scores, and what is kept of a run.
//!
//! Each statement is a transaction of its own under the company's row-level security, bounded in time and memory: a check that does not end is told as such, and
//! the others go on. Nothing is changed here; what mends is named in each check. Called by the scheduler's job and by `frontdesk check consistency`.

mod checks;
mod runs;
mod scores;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::domain::consistency::{Column, Score, Severity};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};
pub use checks::{Check, Subject, all, by_name};
pub use runs::{AskedBy, Figure, KEPT_DAYS, figures, record};

/// Of the rows that a check found, these are named; their number is counted whole.
pub const FIRST_ROWS: i32 = 5;
/// No more can be asked for: an answer is read by people.
pub const FIRST_ROWS_MAX: i32 = 100;

/// A minute is sixty times what the slowest needs for 100,000 appointments. The memory is for one sort or hash; more of it is swapped to disk by Postgres itself.
const BOUNDS: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL work_mem = '32MB'";

/// What one check found in one company.
#[derive(Clone, Debug)]
pub struct Checked {
    pub check: &'static Check,
    /// Rows of its subject.
    pub examined: i64,
    /// `None`: not ended in time.
    pub found: Option<Found>,
}

/// Rows that are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    pub violations: i64,
    /// The first of them, by the short numbers that people know where there is one.
    pub first: Vec<String>,
}

impl Checked {
    /// It ended, and no row is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.violations == 0)
    }
}

/// How full one audit column is.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    pub column: Column,
    pub cells: Score,
    /// Filled with the literal `unknown`.
    pub unknown: i64,
}

/// Everything about one company.
#[derive(Clone, Debug)]
pub struct Report {
    pub company_id: Uuid,
    pub checks: Vec<Checked>,
    /// Empty if it was not counted in time.
    pub columns: Vec<Filled>,
    /// The three scores, in the order of [`SCORES`]; `None`: not counted in time.
    pub scores: [Option<Score>; 3],
}

/// Names of the scores (`domain::consistency` has their formulas).
pub const SCORES: [&str; 3] = ["population", "consistency", "audit_completeness"];

/// Runs every check over the company's rows and counts its scores.
///
/// # Errors
/// When Postgres is away. A statement that takes too long is no error.
pub async fn examine(pool: &PgPool, company_id: Uuid, first_rows: i32) -> Result<Report, StoreError> {
    let sizes = in_time(scores::sizes(&mut begin(pool, company_id).await?).await)?.unwrap_or_default();
    let mut found = Vec::with_capacity(all().count());
    for check in all() {
        let examined = match check.subject {
            Subject::Appointments => sizes.appointments,
            Subject::Modifications => sizes.modifications,
            Subject::Calls => sizes.calls,
            Subject::Schema => i64::try_from(checks::guards().len()).unwrap_or(i64::MAX),
        };
        let rows = in_time(list(&mut begin(pool, company_id).await?, check, first_rows.clamp(1, FIRST_ROWS_MAX)).await)?;
        found.push(Checked { check, examined, found: rows });
    }
    let columns = in_time(scores::columns(&mut begin(pool, company_id).await?).await)?;
    let population = columns.as_ref().map(|columns| columns.iter().fold(Score::default(), |sum, filled| sum + filled.cells));
    let audit = in_time(scores::audit_completeness(&mut begin(pool, company_id).await?).await)?;
    let consistency = consistency(pool, company_id, sizes, &found).await?;
    Ok(Report { company_id, checks: found, columns: columns.unwrap_or_default(), scores: [population, consistency, audit] })
}

/// Rows without violation of all rows. Only what was found is asked again: a company in order costs nothing.
async fn consistency(pool: &PgPool, company_id: Uuid, sizes: scores::Sizes, found: &[Checked]) -> Result<Option<Score>, StoreError> {
    let mut wrong = 0;
    for subject in [Subject::Appointments, Subject::Modifications, Subject::Calls] {
        let of_subject = || found.iter().filter(|checked| checked.check.subject == subject && checked.check.severity > Severity::Info);
        if of_subject().any(|checked| checked.found.is_none()) {
            return Ok(None);
        }
        let violated: Vec<_> = of_subject().filter(|checked| !checked.is_clean()).map(|checked| checked.check).collect();
        let Some(rows) = in_time(scores::wrong_rows(&mut begin(pool, company_id).await?, &violated).await)? else { return Ok(None) };
        wrong += rows;
    }
    let all = sizes.appointments + sizes.modifications + sizes.calls;
    Ok(Some(Score::new(all - wrong, all)))
}

async fn begin(pool: &PgPool, company_id: Uuid) -> Result<CompanyTx, StoreError> {
    let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
    sqlx::raw_sql(BOUNDS).execute(tx.connection()).await.map_err(failed("bound a check"))?;
    Ok(tx)
}

/// `None` if Postgres ended the statement because it took too long.
fn in_time<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.sqlstate().as_deref() == Some("57014") => Ok(None),
        Err(error) => Err(error),
    }
}

async fn list(tx: &mut CompanyTx, check: &Check, first_rows: i32) -> Result<Found, StoreError> {
    let company_id = tx.company_id();
    // by number: of two numbers as text the shorter one is the smaller
    let statement = format!(
        "WITH wrong AS MATERIALIZED ({}) SELECT (SELECT count(*) FROM wrong), ARRAY(SELECT label FROM wrong ORDER BY length(label), label LIMIT $2)",
        check.sql()
    );
    let (violations, first) = sqlx::query_as(AssertSqlSafe(statement))
        .bind(company_id)
        .bind(first_rows)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("run a consistency check"))?;
    Ok(Found { violations, first })
}
