//! What a company's webhooks failed to tell, and whether it is silent: the last thing that we know of it at the provider did not come by webhook.
//!
//! The rule: a sweep found at least two facts that happened after the last webhook was heard. It is a proof, not a guess: a night, a holiday or a company
//! without business has no such facts. A webhook that is heard afterwards ends it. Written by the sweeps of both providers in the transaction that repairs
//! ([`missed`]), judged by the scheduler. Functions and call_inbound do not count as heard: their URLs are set apart from the webhook's
//! (reference/retell.md 2.1, 3, 4.1).

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::accounts::Provider;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// One lost webhook is a loss, and counted as one; two in a row with nothing heard since are silence.
pub const MISSED_MIN: i64 = 2;

/// Longer than this nobody waits for our own queues: then a sweep reads what may still be in them, and counts it as repaired. Beyond it a backlog is an outage, and
/// two truths about a booking are worse than a wrong figure.
pub const BACKLOG_SECONDS_MAX: f64 = 1_800.0;

/// A company to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub company_id: Uuid,
    pub provider: Provider,
    /// Whether it was silent at the last judgement.
    pub silent: bool,
}

/// What waits in our own queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting<'a> {
    Nothing,
    /// Messages for these roles.
    For(&'a [&'a str]),
    /// The broker did not say.
    Unknown,
}

/// Until when a provider was heard.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct Heard {
    /// What was received before was handled, or waits for longer than anybody waits for it.
    pub until: DateTime<Utc>,
    /// How long what we handle now had to wait; longer than [`BACKLOG_SECONDS_MAX`] if our queues stand.
    pub behind_seconds: f64,
}

/// What was found about one company and provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Hears,
    /// It was silent and was heard again.
    HearsAgain,
    /// Since when; `news` if it was not known before.
    Silent {
        since: DateTime<Utc>,
        news: bool,
    },
}

/// Notes what waits in our queues now, and tells until when everything that the provider sent was heard: until now, if nothing waits. Else until what is being handled now was
/// received: a queue is first in, first out, so the oldest of what each waiting role handled within the last minute was received before everything that still waits for it
/// (a role that handled nothing tells nothing). And if that is not known, until it was last known; [`BACKLOG_SECONDS_MAX`] ago at the latest. What happened later is left to its
/// webhook: a backlog is no loss. (What is retried in a delay tier, or lies in a spool whose broker just came back, is not seen here.)
///
/// # Errors
/// When Postgres is away.
pub async fn listen(tx: &mut CompanyTx, provider: Provider, waiting: Waiting<'_>) -> Result<Heard, StoreError> {
    let roles: &[&str] = if let Waiting::For(roles) = waiting { roles } else { &[] };
    sqlx::query_as(
        "WITH handled AS (
             SELECT CASE WHEN count(DISTINCT role) = cardinality($4) THEN min(at - make_interval(secs => (coalesce(queued_ms, 0) + coalesce(took_ms, 0)) / 1000.0)) END AS since
             FROM attempts WHERE at > frontdesk_now() - interval '60 seconds' AND role = ANY($4) AND lane = 'bulk' AND attempt = 1
         ), noted AS (
             INSERT INTO hearing AS h (provider, nothing_waited_at) VALUES ($1, frontdesk_now() - CASE WHEN $2 THEN interval '0' ELSE make_interval(secs => $3) END)
             ON CONFLICT (provider) DO UPDATE SET nothing_waited_at = CASE WHEN $2 THEN excluded.nothing_waited_at
                 ELSE greatest(h.nothing_waited_at, (SELECT since FROM handled)) END
             RETURNING nothing_waited_at
         )
         SELECT greatest(nothing_waited_at, frontdesk_now() - make_interval(secs => $3)) AS until,
                greatest(0, extract(epoch FROM frontdesk_now() - nothing_waited_at))::double precision AS behind_seconds FROM noted",
    )
    .bind(provider.name())
    .bind(waiting == Waiting::Nothing)
    .bind(BACKLOG_SECONDS_MAX)
    .bind(roles)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("note whether webhooks wait"))
}

/// Notes facts that a sweep had to add, by when each happened at the provider. Not for a first adoption: nobody could have told those.
///
/// # Errors
/// When Postgres is away.
pub async fn missed(tx: &mut CompanyTx, provider: Provider, happened_at: &[DateTime<Utc>]) -> Result<(), StoreError> {
    if happened_at.is_empty() {
        return Ok(());
    }
    let company_id = tx.company_id();
    sqlx::query(
        "INSERT INTO silences AS s (company_id, provider, missed_at, missed_total)
         VALUES ($1, $2, array(SELECT at FROM unnest($3::timestamptz[]) at ORDER BY at DESC LIMIT 16), cardinality($3))
         ON CONFLICT (company_id, provider) DO UPDATE SET
             missed_at = array(SELECT at FROM unnest(s.missed_at || $3) at ORDER BY at DESC LIMIT 16), missed_total = s.missed_total + cardinality($3)",
    )
    .bind(company_id)
    .bind(provider.name())
    .bind(happened_at)
    .execute(tx.connection())
    .await
    .map_err(failed("note what webhooks did not tell"))?;
    Ok(())
}

/// Whom to judge: something was missed, or it is silent.
///
/// # Errors
/// When Postgres is away.
pub async fn in_doubt(pool: &PgPool) -> Result<Vec<Doubt>, StoreError> {
    let rows: Vec<(Uuid, String, bool)> = sqlx::query_as("SELECT company_id, provider, silent FROM silences_to_judge()")
        .fetch_all(pool)
        .await
        .map_err(failed("list companies that may be silent"))?;
    rows.into_iter().map(|(company_id, provider, silent)| Ok(Doubt { company_id, provider: Provider::of_column("silences", &provider)?, silent })).collect()
}

/// Judges the transaction's company and notes the verdict. What was missed before the last webhook is forgotten.
///
/// # Errors
/// When Postgres is away.
pub async fn judge(tx: &mut CompanyTx, provider: Provider) -> Result<Verdict, StoreError> {
    type Judged = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);
    let company_id = tx.company_id();
    let row: Option<Judged> = sqlx::query_as(
        "WITH heard AS (
             SELECT coalesce(max(received_at), '-infinity') AS at FROM events
             WHERE company_id = $1 AND received_at >= (SELECT min(at) FROM silences, unnest(missed_at) at WHERE company_id = $1 AND provider = $2)
               AND (CASE $2 WHEN 'retell' THEN kind LIKE 'retell.call\\_%' AND kind <> 'retell.call_inbound' OR kind LIKE 'retell.transfer\\_%' ELSE kind LIKE 'calcom.%' END)
         ), judged AS (
             SELECT s.company_id, s.provider, s.silent_since AS before, array(SELECT m FROM unnest(s.missed_at) m WHERE m > heard.at ORDER BY m DESC) AS missed_at
             FROM silences s, heard WHERE s.company_id = $1 AND s.provider = $2 FOR UPDATE OF s
         )
         UPDATE silences s SET missed_at = judged.missed_at,
             silent_since = CASE WHEN cardinality(judged.missed_at) >= $3 THEN coalesce(s.silent_since, judged.missed_at[cardinality(judged.missed_at)]) END
         FROM judged WHERE s.company_id = judged.company_id AND s.provider = judged.provider
         RETURNING judged.before, s.silent_since",
    )
    .bind(company_id)
    .bind(provider.name())
    .bind(MISSED_MIN)
    .fetch_optional(tx.connection())
    .await
    .map_err(failed("judge whether a company is silent"))?;
    Ok(match row {
        Some((before, Some(since))) => Verdict::Silent { since, news: before.is_none() },
        Some((Some(_), None)) => Verdict::HearsAgain,
        Some((None, None)) | None => Verdict::Hears,
    })
}
