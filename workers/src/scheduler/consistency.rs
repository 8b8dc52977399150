//! Job `consistency`: every check over the rows of every company, kept in `check_runs` and shown as metrics. It changes no row that it looks at; what mends stands
//! with each check, and with the alerts in the runbook.

use shared::domain::consistency::Severity;
use shared::store::companies;
use shared::store::consistency::{self, AskedBy, FIRST_ROWS, Report};
use uuid::Uuid;

use super::Running;
use crate::runtime::{Failure, failure_log};

pub(super) async fn check(running: Running) -> Result<String, Failure> {
    let run_id = Uuid::now_v7();
    let (mut examined, mut violated, mut unfinished, mut trouble) = (0_u64, 0_usize, 0_usize, None);
    for (company_id, _) in companies::list(&running.context.pool).await? {
        match of_company(&running, company_id, run_id).await {
            Ok(report) => {
                examined += 1;
                violated += report.checks.iter().filter(|checked| checked.found.as_ref().is_some_and(|found| found.violations > 0)).count();
                unfinished += report.checks.iter().filter(|checked| checked.found.is_none()).count();
            }
            // away for all of them
            Err(failure @ Failure::StoreAway { .. }) => return Err(failure),
            // the rows of one company must not hide those of the others
            Err(failure) => {
                tracing::error!(company.id = %company_id, class = failure.class(), cause = failure_log::chain(&failure), "a company's rows could not be checked");
                trouble = trouble.or(Some(failure));
            }
        }
    }
    show_newest(&running).await?;
    match trouble {
        Some(failure) => Err(failure),
        None => Ok(format!("{violated} checks found something, {unfinished} took too long (companies: {examined})")),
    }
}

async fn of_company(running: &Running, company_id: Uuid, run_id: Uuid) -> Result<Report, Failure> {
    // reading needs no leadership: the lease is held for the writing alone, which is short
    let report = consistency::examine(&running.context.pool, company_id, FIRST_ROWS).await?;
    for checked in &report.checks {
        match &checked.found {
            None => tracing::warn!(company.id = %company_id, check = checked.check.name, "a consistency check took too long"),
            Some(found) if found.violations > 0 && checked.check.severity == Severity::Critical => {
                tracing::warn!(company.id = %company_id, check = checked.check.name, rows = found.violations, "a consistency check found rows that are wrong");
            }
            Some(_) => {}
        }
    }
    let mut tx = running.begin(Some(company_id)).await?;
    consistency::record(&mut tx, &report, run_id, AskedBy::Schedule).await?;
    tx.commit().await?;
    Ok(report)
}

/// The newest run of every company, whoever made it.
pub(super) async fn show_newest(running: &Running) -> Result<(), Failure> {
    let context = &running.context;
    context.metrics.consistency.show(&consistency::figures(&context.pool).await?);
    Ok(())
}
