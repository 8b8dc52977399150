//! One row per Retell call, upserted by any event in any order: absent values never overwrite, the status only moves forward (incidents 32, 33, 34, 86).

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// Where a call stands. Only moves to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallStatus {
    Registered,
    Ongoing,
    Ended,
    Analyzed,
}

impl CallStatus {
    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
            Self::Analyzed => "analyzed",
        }
    }
}

/// What an event or a function says about a call. `None` = it says nothing.
#[derive(Clone, Debug, Default)]
pub struct CallUpdate {
    pub retell_call_id: String,
    pub status: Option<CallStatus>,
    pub branch_id: Uuid,
    pub phone_number_id: Option<Uuid>,
    pub customer_id: Option<Uuid>,
    pub agent_id: Option<String>,
    pub agent_version: Option<i32>,
    pub direction: Option<String>,
    pub caller_raw: Option<String>,
    pub caller: Option<String>,
    pub our_number: Option<String>,
    pub connected: Option<bool>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub disconnection_reason: Option<String>,
    pub transfer_state: Option<String>,
    pub transfer_destination: Option<String>,
    pub transcript: Option<String>,
    pub recording_url: Option<String>,
    pub summary: Option<String>,
    pub sentiment: Option<String>,
    pub in_voicemail: Option<bool>,
    pub retell_successful: Option<bool>,
    pub analysis: Option<Value>,
    pub cost_cents: Option<f64>,
    pub metadata: Option<Value>,
}

/// What later steps need of a call's row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Call {
    pub id: Uuid,
    pub number: i64,
    pub branch_id: Uuid,
    pub customer_id: Option<Uuid>,
    pub status: String,
}

const UPSERT: &str = "
    INSERT INTO calls AS c (id, company_id, number, retell_call_id, status, branch_id, phone_number_id, customer_id, retell_agent_id, retell_agent_version, direction,
        caller_raw, caller, our_number, connected, started_at, ended_at, duration_ms, disconnection_reason, transfer_state, transfer_destination, transcript,
        recording_url, summary, sentiment, in_voicemail, retell_successful, analysis, cost_cents, metadata)
    SELECT $1, $2,
        -- a number is taken only for a new call: the row of a known one is never inserted
        CASE WHEN EXISTS (SELECT 1 FROM calls k WHERE k.company_id = $2 AND k.retell_call_id = $3) THEN 0 ELSE next_number('call', $2) END, $3, coalesce($4, 'registered'), $5, $6, $7, $8, $9, coalesce($10, 'inbound'), $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21, $22, $23, $24, $25, $26, coalesce($27, '{}'::jsonb), $28, coalesce($29, '{}'::jsonb)
    ON CONFLICT (company_id, retell_call_id) DO UPDATE SET
        status = CASE WHEN array_position(ARRAY['registered', 'ongoing', 'ended', 'analyzed'], excluded.status)
                         > array_position(ARRAY['registered', 'ongoing', 'ended', 'analyzed'], c.status) THEN excluded.status ELSE c.status END,
        phone_number_id = coalesce(c.phone_number_id, excluded.phone_number_id),
        customer_id = coalesce(c.customer_id, excluded.customer_id),
        retell_agent_id = coalesce(c.retell_agent_id, excluded.retell_agent_id),
        retell_agent_version = coalesce(c.retell_agent_version, excluded.retell_agent_version),
        caller_raw = coalesce(c.caller_raw, excluded.caller_raw),
        caller = coalesce(c.caller, excluded.caller),
        our_number = coalesce(c.our_number, excluded.our_number),
        connected = coalesce(excluded.connected, c.connected),
        started_at = coalesce(c.started_at, excluded.started_at),
        ended_at = coalesce(c.ended_at, excluded.ended_at),
        duration_ms = greatest(c.duration_ms, excluded.duration_ms),
        disconnection_reason = coalesce(c.disconnection_reason, excluded.disconnection_reason),
        transfer_state = CASE WHEN coalesce(array_position(ARRAY['started', 'cancelled', 'bridged', 'ended'], excluded.transfer_state), 0)
                                 > coalesce(array_position(ARRAY['started', 'cancelled', 'bridged', 'ended'], c.transfer_state), 0) THEN excluded.transfer_state ELSE c.transfer_state END,
        transfer_destination = coalesce(c.transfer_destination, excluded.transfer_destination),
        transcript = CASE WHEN length(excluded.transcript) > coalesce(length(c.transcript), 0) THEN excluded.transcript ELSE c.transcript END,
        recording_url = coalesce(excluded.recording_url, c.recording_url),
        summary = coalesce(excluded.summary, c.summary),
        sentiment = coalesce(excluded.sentiment, c.sentiment),
        in_voicemail = coalesce(excluded.in_voicemail, c.in_voicemail),
        retell_successful = coalesce(excluded.retell_successful, c.retell_successful),
        analysis = c.analysis || excluded.analysis,
        cost_cents = greatest(c.cost_cents, excluded.cost_cents),
        metadata = c.metadata || excluded.metadata,
        updated_at = now()
    RETURNING id, number, branch_id, customer_id, status";

/// Makes or completes the call's row.
///
/// # Errors
/// When Postgres is away or refuses the row.
pub async fn upsert(tx: &mut CompanyTx, call: &CallUpdate) -> Result<Call, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(UPSERT)
        .bind(Uuid::now_v7())
        .bind(company_id)
        .bind(&call.retell_call_id)
        .bind(call.status.map(CallStatus::literal))
        .bind(call.branch_id)
        .bind(call.phone_number_id)
        .bind(call.customer_id)
        .bind(&call.agent_id)
        .bind(call.agent_version)
        .bind(&call.direction)
        .bind(&call.caller_raw)
        .bind(&call.caller)
        .bind(&call.our_number)
        .bind(call.connected)
        .bind(call.started_at)
        .bind(call.ended_at)
        .bind(call.duration_ms.map(|duration| duration.max(0)))
        .bind(&call.disconnection_reason)
        .bind(&call.transfer_state)
        .bind(&call.transfer_destination)
        .bind(&call.transcript)
        .bind(&call.recording_url)
        .bind(&call.summary)
        .bind(&call.sentiment)
        .bind(call.in_voicemail)
        .bind(call.retell_successful)
        .bind(&call.analysis)
        .bind(call.cost_cents)
        .bind(&call.metadata)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("record a call"))
}

/// Links the call to its customer, if it has none yet.
///
/// # Errors
/// When Postgres is away.
pub async fn link_customer(tx: &mut CompanyTx, call_id: Uuid, customer_id: Uuid) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("UPDATE calls SET customer_id = $3 WHERE company_id = $1 AND id = $2 AND customer_id IS NULL")
        .bind(company_id)
        .bind(call_id)
        .bind(customer_id)
        .execute(tx.connection())
        .await
        .map_err(failed("link a call to its customer"))?;
    Ok(())
}
