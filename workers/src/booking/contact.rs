//! The number that a phone-only account demands of everybody who books (`domain::person_names::ContactRule::PhoneRequired`): a caller who shows none is asked for one.
//!
//! What is told goes to Cal.com with this one booking and identifies nobody: whose customer a caller is, only the calling number says (incidents 44, 52). Called by `booking`.

use serde_json::Value;
use shared::domain::person_names::ContactRule;
use shared::domain::phone::E164;
use shared::functions::arguments::CUSTOMER_PHONE;
use shared::store::customers;
use shared::store::tx::CompanyTx;
use shared::wire::arguments::ArgumentError;
use uuid::Uuid;

use crate::answers;
use crate::phone_functions::{Begun, FunctionWork};
use crate::runtime::Failure;

/// National numbers are dialled as this country's.
const COUNTRY: &str = "DE";

/// The number that must go along; `None`: the account needs none, or the calling number is it. The inner error is the answer that asks for one.
pub(super) async fn phone(tx: &mut CompanyTx, work: &FunctionWork, begun: &Begun, credential_id: Uuid) -> Result<Result<Option<E164>, Value>, Failure> {
    let shows_number = work.caller.is_some() || begun.customer_id.is_some();
    if shows_number || customers::contact_rule(tx, credential_id).await? != ContactRule::PhoneRequired {
        return Ok(Ok(None));
    }
    let argument = CUSTOMER_PHONE.name();
    let told = work.arguments.told(&CUSTOMER_PHONE).ok().flatten();
    let number = match &told {
        Some(told) => E164::normalise(told.expose(), COUNTRY).ok_or(ArgumentError::Invalid { argument }),
        // a number of the trunk without its country
        None => work.call.caller_raw.as_deref().and_then(|raw| E164::normalise(raw, COUNTRY)).ok_or(ArgumentError::Missing { argument }),
    };
    Ok(number.map(Some).map_err(|error| answers::argument(&error)))
}
