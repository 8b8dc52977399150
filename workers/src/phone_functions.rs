//! What every phone function has in common: whose call it is, the call's row, the stored answer of a repeated wish, the caller's identity.
//!
//! The call id comes from the signed envelope, never from an argument (incident 37); a function may come before call_started (incident 33).

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shared::domain::phone::E164;
use shared::envelope::{Envelope, Lane, MessageId};
use shared::functions::Function;
use shared::store::calls::{self, Call, CallStatus, CallUpdate};
use shared::store::function_calls::{self, Claim, Wish};
use shared::store::resolve::NumberOwner;
use shared::store::tx::{CompanyTx, uid_lock};
use shared::store::{callbacks, customers, slot_claims};
use shared::wire::arguments::Arguments;
use shared::wire::retell::{FunctionCall, RetellCall};
use sqlx::PgPool;
use uuid::Uuid;

use crate::answers;
use crate::limits;
use crate::runtime::handler::{Failure, Prepared, reason};
use crate::runtime::metrics::Metrics;
use crate::tenants::{self, CallEvidence};

/// A wish whose caller is gone is carried out this long, then somebody calls back (architecture section 6).
const CALLER_GONE_MAX: Duration = Duration::minutes(10);

/// A function call, read and with its tenant proven.
#[derive(Clone, Debug)]
pub struct FunctionWork {
    pub owner: NumberOwner,
    pub call: CallUpdate,
    /// The canonical name; of a function that the registry does not know, the name as the agent wrote it.
    pub name: String,
    pub arguments: Arguments,
    pub caller: Option<E164>,
    dedup_key: String,
    wish_hash: Vec<u8>,
}

/// A new wish inside its transaction.
#[derive(Debug)]
pub struct Begun {
    pub function_call_id: Uuid,
    pub call: Call,
    /// The customer that the calling number belongs to, if there is one.
    pub customer_id: Option<Uuid>,
}

/// Reads a function body and proves its tenant.
///
/// # Errors
/// Parks what cannot be read and what belongs to nobody.
pub async fn prepare(pool: &PgPool, envelope: &Envelope) -> Result<Prepared<FunctionWork>, Failure> {
    let endpoint = tenants::endpoint(envelope)?;
    let body = envelope.body.clone();
    let (evidence_number, evidence_agent, evidence_company, mut work) = {
        let function = FunctionCall::parse(&body).map_err(|error| Failure::park(reason::POISON, error.to_string()))?;
        let call = &function.call;
        let number = call.our_number().map(|number| number.expose().clone());
        let company = call.metadata_text("company_id").and_then(|text| text.parse::<Uuid>().ok());
        tracing::debug!(message.id = %envelope.message_id, caller = ?call.caller_number(), "a function call is read");
        let caller = call.caller_number().and_then(|number| E164::parse(number.expose()));
        (number, call.agent_id.clone(), company, read(&function, caller, &envelope.message_id)?)
    };
    let evidence = CallEvidence { our_number: evidence_number.as_deref(), agent_id: evidence_agent.as_deref(), company_id: evidence_company };
    let owner = tenants::of_call(pool, endpoint, &evidence).await?;
    work.call.branch_id = owner.branch_id;
    work.call.phone_number_id = Some(owner.phone_number_id);
    let locks = vec![uid_lock(owner.company_id, &work.call.retell_call_id)];
    let company_id = Some(owner.company_id);
    work.owner = owner;
    Ok(Prepared { company_id, locks, work })
}

fn read(function: &FunctionCall<'_>, caller: Option<E164>, message_id: &MessageId) -> Result<FunctionWork, Failure> {
    let call = call_update(&function.call, Some(CallStatus::Ongoing))
        .ok_or_else(|| Failure::park(reason::UNREADABLE, "the function's call has no id: switch the tool's \"args only\" payload off"))?;
    let wish: Map<String, Value> = function
        .arguments
        .as_map()
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "call_id" | "execution_message"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // by whichever alias or version the agent calls it, it is one function and the same wish (incident 79)
    let name = function.function().map_or_else(|| function.name.clone(), |known| known.name().to_owned());
    // serde_json keeps keys sorted: the same wish has the same text
    let wish_hash = Sha256::digest(format!("{name}/{}", Value::Object(wish))).to_vec();
    Ok(FunctionWork {
        owner: NumberOwner { company_id: Uuid::nil(), branch_id: Uuid::nil(), phone_number_id: Uuid::nil(), time_zone: String::new() },
        call,
        name,
        dedup_key: match function.tool_call_id() {
            Some(tool_call_id) => hex::encode(Sha256::digest(tool_call_id)),
            // the same bytes are the same request; anything else is judged by the wish, and only while its answer is still true
            None => format!("message/{message_id}"),
        },
        arguments: function.arguments.clone(),
        caller,
        wish_hash,
    })
}

/// What a call object says of its row; `None` without a call id.
#[must_use]
pub fn call_update(call: &RetellCall<'_>, status: Option<CallStatus>) -> Option<CallUpdate> {
    let caller_raw = call.caller_number().map(|number| number.expose().clone());
    Some(CallUpdate {
        retell_call_id: call.call_id.clone()?,
        status,
        agent_id: call.agent_id.clone(),
        agent_version: call.agent_version.and_then(|version| i32::try_from(version).ok()),
        direction: call
            .direction
            .clone()
            .filter(|direction| matches!(direction.as_str(), "inbound" | "outbound"))
            .or_else(|| call.call_type.as_deref().filter(|kind| *kind == "web_call").map(|_| "web".to_owned())),
        caller: caller_raw.as_deref().and_then(E164::parse).map(|number| number.as_str().to_owned()),
        caller_raw,
        our_number: call.our_number().map(|number| number.expose().clone()),
        started_at: call.started_at,
        metadata: call.metadata.as_object().filter(|metadata| !metadata.is_empty()).map(|metadata| Value::Object(metadata.clone())),
        ..CallUpdate::default()
    })
}

/// Records the call and the wish. `None`: the wish is known; its stored answer was sent, or the request waits for its result.
///
/// # Errors
/// Only what the store says.
pub async fn begin(tx: &mut CompanyTx, envelope: &Envelope, work: &FunctionWork, metrics: &Metrics) -> Result<Option<Begun>, Failure> {
    let customer_id = customers::by_caller(tx, work.caller.as_ref(), work.call.caller_raw.as_deref()).await?;
    let call = calls::upsert(tx, &CallUpdate { customer_id, ..work.call.clone() }).await?;
    // the caller is still there: what was offered stays held
    slot_claims::renew_holds(tx, call.id).await?;
    let wish = Wish {
        call_id: call.id,
        function: &work.name,
        dedup_key: &work.dedup_key,
        wish_hash: &work.wish_hash,
        message_id: envelope.message_id.as_str(),
        caller_gone: envelope.caller_gone,
        write: Function::by_canonical_name(&work.name).is_some_and(|function| function.row().write),
    };
    match function_calls::claim(tx, &wish).await? {
        Claim::New(function_call_id) => {
            let begun = Begun { function_call_id, call, customer_id };
            if let Some(refused) = limits::reached(tx, begun.call.id, function_call_id, Function::by_canonical_name(&work.name), metrics).await? {
                answer(tx, envelope, &begun, &refused).await?;
                return Ok(None);
            }
            Ok(Some(begun))
        }
        Claim::Answered(result) => {
            if let Some(to) = &envelope.reply_to {
                tx.reply(to.clone(), result.to_string().into_bytes());
            }
            Ok(None)
        }
        Claim::Running(function_call_id) => {
            // it may have become final since `claim` looked
            if let Some(to) = &envelope.reply_to
                && let Some(result) = function_calls::wait_for(tx, function_call_id, to).await?
            {
                tx.reply(to.clone(), result.to_string().into_bytes());
            }
            Ok(None)
        }
    }
}

/// Answers a wish at once.
///
/// # Errors
/// Only what the store says.
pub async fn answer(tx: &mut CompanyTx, envelope: &Envelope, begun: &Begun, answer: &Value) -> Result<(), Failure> {
    let success = answer["success"].as_bool().unwrap_or(false);
    let Some(finished) = function_calls::finish(tx, begun.function_call_id, success, answer, None).await? else { return Ok(()) };
    if let Some(to) = &envelope.reply_to {
        tx.reply(to.clone(), answer.to_string().into_bytes());
    }
    if finished.told.as_deref() == Some("missed") {
        crate::calls::told_too_late(tx, Some(begun.call.id), None, success).await?;
    }
    Ok(())
}

/// The lane of an intent: live while the caller waits for it.
#[must_use]
pub const fn lane(envelope: &Envelope) -> Lane {
    if envelope.caller_gone { Lane::Bulk } else { Lane::Live }
}

/// Lets this request wait for the result of a wish that calcom-sync carries out.
///
/// # Errors
/// Only what the store says.
pub async fn wait(tx: &mut CompanyTx, envelope: &Envelope, begun: &Begun) -> Result<(), Failure> {
    if let Some(to) = &envelope.reply_to {
        function_calls::wait_for(tx, begun.function_call_id, to).await?;
    }
    Ok(())
}

/// A caller who is gone does not want a late surprise: after ten minutes, or past the wished time, somebody calls back instead. `true`: that was promised.
///
/// # Errors
/// Only what the store says.
pub async fn too_late(tx: &mut CompanyTx, envelope: &Envelope, begun: &Begun, now: DateTime<Utc>, wished: DateTime<Utc>) -> Result<bool, Failure> {
    let late = envelope.caller_gone && (now - envelope.received_at > CALLER_GONE_MAX || wished <= now);
    if late {
        callbacks::promise(tx, Some(begun.call.id), None, "wish_too_late", callbacks::Priority::High).await?;
        answer(tx, envelope, begun, &answers::could_not()).await?;
    }
    Ok(late)
}
