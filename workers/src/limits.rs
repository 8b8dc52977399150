//! Whether one more function of a call may be carried out; what the caller hears if not. Called by `phone_functions::begin` for every new function call.

use serde_json::{Value, json};
use shared::domain::policies::LimitClass;
use shared::functions::Function;
use shared::store::call_limits;
use shared::store::tx::CompanyTx;
use shared::texts::Sentence;
use uuid::Uuid;

use crate::runtime::handler::Failure;
use crate::runtime::metrics::Metrics;

/// The answer when a limit of the call or the company is reached: HTTP 200 and a sentence, as always. `function`: `None` for one that the registry does not know.
///
/// # Errors
/// Only what the store says.
pub async fn reached(
    tx: &mut CompanyTx,
    call_id: Uuid,
    function_call_id: Uuid,
    function: Option<Function>,
    metrics: &Metrics,
) -> Result<Option<Value>, Failure> {
    let class = function.map_or(LimitClass::Function, |function| function.row().limit_class);
    let Some(limit) = call_limits::reached(tx, call_id, function_call_id, class).await? else { return Ok(None) };
    metrics.limited(limit);
    tracing::warn!(company.id = %tx.company_id(), call.id = %call_id, limit = limit.name(), "a call uses more functions than it may");
    Ok(Some(json!({ "success": false, "reason": call_limits::REASON, "limit": limit.name(), "message": Sentence::TooMuchAtOnce {}.german() })))
}
