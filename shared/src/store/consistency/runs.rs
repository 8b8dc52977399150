//! What is kept of the runs: a row per company and check, column and score, in `check_runs`; a score is stored as what it lacks of what it counts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Report, SCORES, Subject};
use crate::domain::consistency::{Score, Severity};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Older runs go with the next one: a quarter, to see a trend. Some fifty rows a day and company.
pub const KEPT_DAYS: i32 = 92;
/// Of one run: what one daily run leaves behind is far less, and a pile goes in a few days.
const REMOVED_MAX: i64 = 5_000;

/// Who wanted the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    Schedule,
    Operator,
}

impl AskedBy {
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Operator => "operator",
        }
    }
}

/// A row to be.
struct Row {
    kind: &'static str,
    name: &'static str,
    severity: Severity,
    violations: Option<i64>,
    examined: i64,
    details: Value,
}

/// Keeps a report of the transaction's company. Old runs are removed by the schedule's.
///
/// # Errors
/// When Postgres is away.
pub async fn record(tx: &mut CompanyTx, report: &Report, run_id: Uuid, asked_by: AskedBy) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let rows = rows(report);
    sqlx::query(
        "INSERT INTO check_runs (id, company_id, run_id, asked_by, ran_at, kind, check_name, severity, violations, examined, details)
         SELECT gen_random_uuid(), $1, $2, $3, frontdesk_now(), r.* FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::jsonb[]) r",
    )
    .bind(company_id)
    .bind(run_id)
    .bind(asked_by.literal())
    .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.name).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.severity.literal()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.violations).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.examined).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.details.clone()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await
    .map_err(failed("keep a run of the checks"))?;
    if asked_by == AskedBy::Schedule {
        sqlx::query(
            "DELETE FROM check_runs WHERE company_id = $1 AND id IN
                 (SELECT id FROM check_runs WHERE company_id = $1 AND ran_at < frontdesk_now() - make_interval(days => $2) ORDER BY ran_at LIMIT $3)",
        )
        .bind(company_id)
        .bind(KEPT_DAYS)
        .bind(REMOVED_MAX)
        .execute(tx.connection())
        .await
        .map_err(failed("remove old runs of the checks"))?;
    }
    Ok(())
}

fn rows(report: &Report) -> Vec<Row> {
    let lacking = |score: Score| Some(score.of - score.good);
    let checks = report.checks.iter().map(|checked| Row {
        kind: if checked.check.subject == Subject::Schema { "schema" } else { "check" },
        name: checked.check.name,
        severity: checked.check.severity,
        violations: checked.found.as_ref().map(|found| found.violations),
        examined: checked.examined,
        details: checked.found.as_ref().filter(|found| found.violations > 0).map_or_else(|| json!({}), |found| json!({ "first": found.first })),
    });
    let columns = report.columns.iter().map(|filled| Row {
        kind: "column",
        name: filled.column.name,
        severity: Severity::Info,
        violations: lacking(filled.cells),
        examined: filled.cells.of,
        details: json!({ "unknown": filled.unknown }),
    });
    let scores = SCORES.into_iter().zip(report.scores).map(|(name, score)| Row {
        kind: "score",
        name,
        severity: Severity::Info,
        violations: score.and_then(lacking),
        examined: score.map_or(0, |score| score.of),
        details: json!({}),
    });
    checks.chain(columns).chain(scores).collect()
}

/// Of the newest run of every company, added up.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Figure {
    /// `check`, `schema`, `column` or `score`.
    pub kind: String,
    #[sqlx(rename = "check_name")]
    pub name: String,
    /// Rows that are wrong; of columns and scores, what is lacking.
    pub violations: i64,
    pub examined: i64,
    /// Companies in which it did not end in time.
    pub unfinished: i64,
    /// Of the company that was examined longest ago.
    pub ran_at: DateTime<Utc>,
}

impl Figure {
    /// As a score: what is not lacking.
    #[must_use]
    pub fn score(&self) -> Score {
        Score::new(self.examined - self.violations, self.examined)
    }
}

/// See [`Figure`]; empty before the first run.
///
/// # Errors
/// When Postgres is away.
pub async fn figures(pool: &PgPool) -> Result<Vec<Figure>, StoreError> {
    sqlx::query_as("SELECT * FROM resolve_check_figures()").fetch_all(pool).await.map_err(failed("add up the newest checks"))
}

#[cfg(test)]
mod tests {
    use super::super::{Checked, Filled, Found, all};
    use super::*;
    use crate::domain::consistency::COLUMNS;

    fn report(found: Option<Found>) -> Report {
        Report {
            company_id: Uuid::nil(),
            checks: all().map(|check| Checked { check, examined: 7, found: found.clone() }).collect(),
            columns: COLUMNS.map(|column| Filled { column, cells: Score::new(3, 4), unknown: 1 }).to_vec(),
            scores: [Some(Score::new(39, 52)), None, Some(Score::new(0, 0))],
        }
    }

    #[test]
    fn a_run_keeps_a_row_of_every_check_column_and_score() {
        let rows = rows(&report(Some(Found { violations: 2, first: vec!["#1".to_owned()] })));
        assert_eq!(rows.len(), all().count() + COLUMNS.len() + SCORES.len());
        assert!(rows.iter().filter(|row| row.kind == "check").all(|row| row.violations == Some(2) && row.details["first"][0] == "#1"));
        assert!(rows.iter().filter(|row| row.kind == "column").all(|row| row.violations == Some(1) && row.examined == 4));
    }

    #[test]
    fn what_did_not_end_in_time_is_not_stored_as_nothing_found() {
        let rows = rows(&report(None));
        assert!(rows.iter().filter(|row| matches!(row.kind, "check" | "schema")).all(|row| row.violations.is_none()));
        let scores: Vec<_> = rows.iter().filter(|row| row.kind == "score").map(|row| row.violations).collect();
        assert_eq!(scores, [Some(13), None, Some(0)]);
    }

    #[test]
    fn a_figure_is_a_score_again() {
        let figure = Figure { kind: "score".into(), name: "population".into(), violations: 13, examined: 52, unfinished: 0, ran_at: DateTime::default() };
        assert_eq!(figure.score(), Score::new(39, 52));
    }
}
