//! One row per Retell call, made and completed by anything that is told of it, in any order. What the row says is decided by `domain::call`.
//!
//! Whoever folds holds the advisory lock of the call's id (`tx::uid_lock`), so that no two read the row at once. Called by calls, every function and the
//! reconciling of calls.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

pub use crate::domain::call::{Analysis, CallState, CallStatus, CallUpdate, Folded, Lifecycle, Mark, Transfer};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What later steps need of a call's row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Call {
    pub id: Uuid,
    pub number: i64,
    pub branch_id: Uuid,
    pub customer_id: Option<Uuid>,
    pub status: String,
}

impl Call {
    /// Nobody is on the line any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "ended" | "analyzed")
    }
}

/// A call that was folded.
#[derive(Clone, Debug)]
pub struct FoldedCall {
    pub call: Call,
    pub folded: Folded,
    /// How far a transfer came, and why the call ended, as folded so far.
    pub transfer: Option<Transfer>,
    pub disconnection_reason: Option<String>,
}

/// The row, with what identifies it.
#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    call: Call,
    heard: Vec<String>,
    repaired: Vec<String>,
    phone_number_id: Option<Uuid>,
    retell_agent_id: Option<String>,
    retell_agent_version: Option<i32>,
    direction: String,
    caller_raw: Option<String>,
    caller: Option<String>,
    our_number: Option<String>,
    connected: Option<bool>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    disconnection_reason: Option<String>,
    transfer_state: Option<String>,
    transfer_destination: Option<String>,
    transcript: Option<String>,
    recording_url: Option<String>,
    summary: Option<String>,
    sentiment: Option<String>,
    in_voicemail: Option<bool>,
    retell_successful: Option<bool>,
    analysis: Value,
    cost_cents: Option<f64>,
    metadata: Value,
    marks: Json<BTreeMap<String, Mark>>,
}

const SELECT: &str = "SELECT id, number, branch_id, customer_id, status, heard, repaired, phone_number_id, retell_agent_id, retell_agent_version, direction, caller_raw, caller,
    our_number, connected, started_at, ended_at, duration_ms, disconnection_reason, transfer_state, transfer_destination, transcript, recording_url, summary, sentiment,
    in_voicemail, retell_successful, analysis, cost_cents, metadata, marks
    FROM calls WHERE company_id = $1 AND retell_call_id = $2 FOR UPDATE";

/// A call lasts an hour at most, unless its agent says otherwise (two hours are Retell's maximum); five minutes for its events to come (reference/retell.md 7.1, 8).
macro_rules! maximum {
    () => {
        "frontdesk_now() + interval '65 minutes'"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO calls (id, company_id, retell_call_id, branch_id, number, status, heard, phone_number_id, customer_id, retell_agent_id, retell_agent_version, direction,
        caller_raw, caller, our_number, connected, started_at, ended_at, duration_ms, disconnection_reason, transfer_state, transfer_destination, transcript,
        recording_url, summary, sentiment, in_voicemail, retell_successful, analysis, cost_cents, metadata, marks, repaired, look_due_at)
    VALUES ($1, $2, $3, $4, next_number('call', $2), $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
        $30, $31, $33, CASE WHEN $32 THEN frontdesk_now() WHEN $5 IN ('registered', 'ongoing') THEN ",
    maximum!(),
    " END)
    ON CONFLICT ON CONSTRAINT calls_retell_call DO NOTHING
    RETURNING id, number, branch_id, customer_id, status"
);

/// The look at the maximum is off once the call has ended; a dispute sets one.
const UPDATE: &str = "UPDATE calls SET look_due_at = CASE WHEN $32 THEN frontdesk_now() WHEN status IN ('registered', 'ongoing') AND $5 NOT IN ('registered', 'ongoing') THEN NULL
        ELSE look_due_at END,
    status = $5, heard = $6, phone_number_id = $7, customer_id = $8, retell_agent_id = $9, retell_agent_version = $10, direction = $11, caller_raw = $12, caller = $13,
    our_number = $14, connected = $15, started_at = $16, ended_at = $17, duration_ms = $18, disconnection_reason = $19, transfer_state = $20, transfer_destination = $21,
    transcript = $22, recording_url = $23, summary = $24, sentiment = $25, in_voicemail = $26, retell_successful = $27, analysis = $28, cost_cents = $29, metadata = $30,
    marks = $31, repaired = $33, updated_at = now()
    WHERE id = $1 AND company_id = $2 AND retell_call_id = $3 AND branch_id = $4
    RETURNING id, number, branch_id, customer_id, status";

/// Makes or completes the call's row; it is written only if something changed.
///
/// # Errors
/// When Postgres is away or refuses the row; [`StoreError::Changed`] if somebody made the row meanwhile.
pub async fn fold(tx: &mut CompanyTx, told: &CallUpdate) -> Result<FoldedCall, StoreError> {
    let company_id = tx.company_id();
    let row: Option<Row> =
        sqlx::query_as(SELECT).bind(company_id).bind(&told.retell_call_id).fetch_optional(tx.connection()).await.map_err(failed("read a call"))?;
    let (known, before) = row.map(Row::split).transpose()?.unzip();
    let mut state = before.clone().unwrap_or_default();
    let folded = state.fold(told);
    if let Some(call) = known.clone()
        && before.as_ref() == Some(&state)
        && !folded.disputed
    {
        return Ok(FoldedCall { call, folded, transfer: state.transfer, disconnection_reason: state.disconnection_reason });
    }
    let call = write(tx, known.as_ref(), told, &state, folded.disputed).await?.ok_or(StoreError::Changed { table: "calls" })?;
    Ok(FoldedCall { call, folded, transfer: state.transfer, disconnection_reason: state.disconnection_reason })
}

/// As [`fold`], for those who need the row only.
///
/// # Errors
/// As [`fold`].
pub async fn upsert(tx: &mut CompanyTx, told: &CallUpdate) -> Result<Call, StoreError> {
    fold(tx, told).await.map(|folded| folded.call)
}

async fn write(tx: &mut CompanyTx, known: Option<&Call>, told: &CallUpdate, state: &CallState, disputed: bool) -> Result<Option<Call>, StoreError> {
    let company_id = tx.company_id();
    let none = Analysis::default();
    let analysis = state.analysis.as_ref().unwrap_or(&none);
    let object = |value: &Value| if value.is_object() { value.clone() } else { Value::Object(serde_json::Map::new()) };
    sqlx::query_as(if known.is_some() { UPDATE } else { INSERT })
        .bind(known.map_or_else(Uuid::now_v7, |call| call.id))
        .bind(company_id)
        .bind(&told.retell_call_id)
        .bind(known.map_or(told.branch_id, |call| call.branch_id))
        .bind(state.status.literal())
        .bind(state.heard.iter().map(|event| event.name()).collect::<Vec<_>>())
        .bind(state.phone_number_id)
        .bind(state.customer_id)
        .bind(&state.agent_id)
        .bind(state.agent_version)
        .bind(state.direction.as_deref().unwrap_or("inbound"))
        .bind(&state.caller_raw)
        .bind(&state.caller)
        .bind(&state.our_number)
        .bind(state.connected)
        .bind(state.started_at)
        .bind(state.ended_at)
        .bind(state.duration_ms.map(|duration| duration.max(0)))
        .bind(&state.disconnection_reason)
        .bind(state.transfer.map(Transfer::literal))
        .bind(&state.transfer_destination)
        .bind(&state.transcript)
        .bind(&state.recording_url)
        .bind(&analysis.summary)
        .bind(&analysis.sentiment)
        .bind(analysis.in_voicemail)
        .bind(analysis.successful)
        .bind(object(&analysis.custom))
        .bind(state.cost_cents)
        .bind(object(state.metadata.as_ref().unwrap_or(&Value::Null)))
        .bind(Json(&state.marks))
        .bind(disputed)
        .bind(state.repaired.iter().map(|event| event.name()).collect::<Vec<_>>())
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("record a call"))
}

impl Row {
    fn split(self) -> Result<(Call, CallState), StoreError> {
        let unknown = |column| StoreError::BadRow { table: "calls", column };
        let status = CallStatus::parse(&self.call.status).ok_or_else(|| unknown("status"))?;
        let events = |names: &[String], column| names.iter().map(|name| Lifecycle::parse(name)).collect::<Option<BTreeSet<_>>>().ok_or_else(|| unknown(column));
        let transfer = self.transfer_state.as_deref().map(|literal| Transfer::parse(literal).ok_or_else(|| unknown("transfer_state"))).transpose()?;
        let something = |value: Value| value.as_object().is_some_and(|object| !object.is_empty()).then_some(value);
        let analysis = Analysis {
            summary: self.summary,
            sentiment: self.sentiment,
            in_voicemail: self.in_voicemail,
            successful: self.retell_successful,
            custom: self.analysis,
        };
        let empty = Analysis { custom: Value::Object(serde_json::Map::new()), ..Analysis::default() };
        let state = CallState {
            status,
            heard: events(&self.heard, "heard")?,
            repaired: events(&self.repaired, "repaired")?,
            phone_number_id: self.phone_number_id,
            customer_id: self.call.customer_id,
            agent_id: self.retell_agent_id,
            agent_version: self.retell_agent_version,
            direction: Some(self.direction),
            caller_raw: self.caller_raw,
            caller: self.caller,
            our_number: self.our_number,
            connected: self.connected,
            started_at: self.started_at,
            ended_at: self.ended_at,
            duration_ms: self.duration_ms,
            disconnection_reason: self.disconnection_reason,
            transfer,
            transfer_destination: self.transfer_destination,
            transcript: self.transcript,
            recording_url: self.recording_url,
            analysis: (analysis != empty).then_some(analysis),
            cost_cents: self.cost_cents,
            metadata: something(self.metadata),
            marks: self.marks.0,
        };
        Ok((self.call, state))
    }
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

/// A call by its key.
///
/// # Errors
/// When Postgres is away.
pub async fn by_id(tx: &mut CompanyTx, id: Uuid) -> Result<Option<Call>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as("SELECT id, number, branch_id, customer_id, status FROM calls WHERE company_id = $1 AND id = $2")
        .bind(company_id)
        .bind(id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("read a call by its key"))
}

/// What was done in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Deeds {
    /// Its agent used a function.
    pub functions: bool,
    /// An appointment was made or changed in it, or a wish is still under way; one that Cal.com refused is none.
    pub appointments: bool,
}

/// What the rows say of a call, whatever its agent says (incidents 81, 82).
///
/// # Errors
/// When Postgres is away.
pub async fn deeds(tx: &mut CompanyTx, call_id: Uuid) -> Result<Deeds, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM function_calls WHERE company_id = $1 AND call_id = $2) AS functions,
                EXISTS (SELECT 1 FROM appointments WHERE company_id = $1 AND call_id = $2 AND status <> 'failed')
                OR EXISTS (SELECT 1 FROM function_calls WHERE company_id = $1 AND call_id = $2 AND state = 'running')
                OR EXISTS (SELECT 1 FROM appointment_modifications WHERE company_id = $1 AND call_id = $2) AS appointments",
    )
    .bind(company_id)
    .bind(call_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("look at what was done in a call"))
}

/// The id of a call's row, if anything was told of the call yet.
///
/// # Errors
/// When Postgres is away.
pub async fn id_of(tx: &mut CompanyTx, retell_call_id: &str) -> Result<Option<Uuid>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar("SELECT id FROM calls WHERE company_id = $1 AND retell_call_id = $2")
        .bind(company_id)
        .bind(retell_call_id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("find a call"))
}

/// The name that was told in the call, and how it agrees with the customer's own.
#[derive(Clone, Copy, Debug)]
pub struct NameTold<'a> {
    pub name: &'a str,
    /// `domain::person_names::Source::literal`.
    pub source: &'a str,
    /// `domain::person_names::Agreement::literal`.
    pub agreement: &'a str,
    pub likeness: f64,
}

/// Keeps the name beside the customer's, which no call overwrites (incident 48).
///
/// # Errors
/// When Postgres is away.
pub async fn note_name(tx: &mut CompanyTx, call_id: Uuid, told: NameTold<'_>) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("UPDATE calls SET name_given = $3, name_source = $4, name_agreement = $5, name_likeness = $6 WHERE company_id = $1 AND id = $2")
        .bind(company_id)
        .bind(call_id)
        .bind(told.name)
        .bind(told.source)
        .bind(told.agreement)
        .bind(told.likeness)
        .execute(tx.connection())
        .await
        .map_err(failed("note the name that was told in a call"))?;
    Ok(())
}
