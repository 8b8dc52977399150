//! I7: nothing of one company's customers stands in another company's rows, every booking and call is where its event type and its number say, and the workers' sessions
//! are bound by row-level security: by what they say of themselves, and by a look through the same role.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::Context;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::super::record::{Company, Record, Way};
use super::evidence::Evidence;
use super::findings::{Findings, Judged};

/// A gauge that is 1 when the sessions of a process are not bound. An alarm in production too.
const BYPASS_GAUGE: &str = "frontdesk_database_role_bypasses_rls";
const WORKER_ROLE: &str = "frontdesk_worker";
/// Raw events are large: so many of them are searched, chosen by the hash in their id. Escaped, so that no byte hinders the look; canaries are ASCII.
const EVENTS_SEARCHED: i64 = 4000;

pub async fn judge(record: &Record, evidence: &Evidence) -> Judged {
    let mut findings = Findings::default();
    let tables = tables(&record.database).await.context("listing the tables of companies")?;
    canaries(record, evidence, &tables, &mut findings).await?;
    owners(record, evidence, &mut findings).await?;
    sessions(evidence, &mut findings);
    answers(record, evidence, &mut findings);
    probe(record, evidence, &tables, &mut findings).await.context("looking through the workers' role")?;
    Ok(findings)
}

/// From the catalogue, so that a new table cannot slip by.
async fn tables(database: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'company_id' AND a.attnotnull ORDER BY 1",
    )
    .fetch_all(database)
    .await
}

async fn canaries(record: &Record, evidence: &Evidence, tables: &[String], findings: &mut Findings) -> anyhow::Result<()> {
    let events = format!(
        "(SELECT company_id, encode(body, 'escape') AS text FROM events WHERE encoding = 'identity' AND company_id IS NOT NULL ORDER BY message_id LIMIT {EVENTS_SEARCHED})"
    );
    let places = tables.iter().map(|table| (table.as_str(), format!("(SELECT company_id, t::text AS text FROM {table} t)"))).chain([("events", events)]);
    for (table, rows) in places {
        for company in &record.companies {
            let foreign = evidence.needles.of_others(company.id);
            let statement = format!(
                "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM unnest($2::text[]) AS foreign_text WHERE position(foreign_text IN r.text) > 0))
                 FROM {rows} r WHERE r.company_id = $1"
            );
            let (searched, leaked): (i64, i64) = sqlx::query_as(AssertSqlSafe(statement))
                .bind(company.id)
                .bind(&foreign)
                .fetch_one(&record.database)
                .await
                .with_context(|| format!("searching {table}"))?;
            findings.looked_at(usize::try_from(searched).unwrap_or_default());
            if leaked > 0 {
                findings.violated(format!("{leaked} rows of {} in {table} hold something of another company's customers", company.name));
            }
        }
    }
    Ok(())
}

/// Bookings by their event type, calls by who was rung.
async fn owners(record: &Record, evidence: &Evidence, findings: &mut Findings) -> anyhow::Result<()> {
    for row in &evidence.rows.uids {
        let owner = evidence.lives.stay(&row.uid).and_then(|stay| evidence.company_of(stay.event_type_id));
        findings.expect(owner.is_none_or(|owner| owner == row.company_id), || {
            format!("the booking {} of {} stands among the rows of {}", row.uid, owner.map_or("nobody", |id| evidence.name(id)), evidence.name(row.company_id))
        });
    }
    let calls: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT retell_call_id, company_id FROM calls").fetch_all(&record.database).await.context("reading calls")?;
    let rung: HashMap<&str, Uuid> = record
        .wishes
        .iter()
        .filter_map(|wish| match &wish.way {
            Way::Phone { retell_call_id, .. } => Some((retell_call_id.as_str(), record.companies.get(wish.company)?.id)),
            Way::Web { .. } => None,
        })
        .collect();
    for (call, company_id) in calls {
        let owner = rung.get(call.as_str());
        findings.expect(owner.is_none_or(|owner| *owner == company_id), || format!("the call {call} rang another company than {}", evidence.name(company_id)));
    }
    Ok(())
}

/// What the auditor's trigger saw of the sessions that wrote, and what the processes say of theirs.
fn sessions(evidence: &Evidence, findings: &mut Findings) {
    findings.expect(!evidence.sessions.is_empty(), || "the witness on the inbox saw no session at all".to_owned());
    for row in &evidence.sessions {
        findings.expect(row.bound, || format!("{} transactions of {} as {} were not bound by row-level security", row.times, row.login_name, row.role_name));
    }
    for process in evidence.metrics.iter().filter(|process| process.program == "workers") {
        let Some(text) = &process.text else { continue };
        let values: Vec<&str> = text.lines().filter(|line| line.starts_with(BYPASS_GAUGE)).filter_map(|line| line.rsplit(' ').next()).collect();
        findings.expect(!values.is_empty() && values.iter().all(|value| value.parse() == Ok(0.0)), || match values.as_slice() {
            [] => format!("{} does not say whether row-level security binds its sessions", process.name),
            _ => format!("the sessions of {} are not bound by row-level security", process.name),
        });
    }
}

/// What callers were told, and what was pushed into their calls: of their own company alone.
fn answers(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let company_of: HashMap<String, &Company> = record
        .wishes
        .iter()
        .filter_map(|wish| match &wish.way {
            Way::Phone { retell_call_id, .. } => Some((retell_call_id.clone(), record.companies.get(wish.company)?)),
            Way::Web { .. } => None,
        })
        .collect();
    let foreign: HashMap<Uuid, Vec<String>> = record.companies.iter().map(|company| (company.id, evidence.needles.of_others(company.id))).collect();
    let mut look = |call: &str, what: &str, body: &Value| {
        let Some(company) = company_of.get(call) else { return };
        let text = body.to_string();
        let leaked = foreign.get(&company.id).is_some_and(|foreign| foreign.iter().any(|canary| text.contains(canary.as_str())));
        findings.expect(!leaked, || format!("{what} in a call of {} was told something of another company's customers", company.name));
    };
    for answer in record.retell.ledger() {
        look(&answer.call_id, &answer.kind, &answer.body);
    }
    for update in record.retell.live_updates() {
        look(&update.call_id, "who listened", &update.body);
    }
    for wish in &record.wishes {
        if let (Way::Phone { retell_call_id, .. }, Some(told)) = (&wish.way, &wish.told) {
            look(retell_call_id, "who wished", told);
        }
    }
}

/// Through the workers' role: without a company nothing is seen, with one only its rows.
async fn probe(record: &Record, evidence: &Evidence, tables: &[String], findings: &mut Findings) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&record.database_url)?.application_name("frontdesk auditor");
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut tx = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(format!("SET LOCAL ROLE {WORKER_ROLE}"))).execute(&mut *tx).await?;
    let companies = [None].into_iter().chain(record.companies.iter().map(|company| Some(company.id)));
    for company in companies {
        sqlx::query("SELECT set_config('app.company_id', $1, true)").bind(company.map(|id| id.to_string()).unwrap_or_default()).execute(&mut *tx).await?;
        for table in tables {
            let statement = format!("SELECT count(*) FROM {table} WHERE company_id IS DISTINCT FROM $1");
            let foreign: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).bind(company).fetch_one(&mut *tx).await.with_context(|| table.clone())?;
            findings.expect(foreign == 0, || {
                format!("{WORKER_ROLE} as {} sees {foreign} foreign rows of {table}", company.map_or("nobody", |id| evidence.name(id)))
            });
        }
    }
    tx.rollback().await?;
    connection.close().await?;
    Ok(())
}
