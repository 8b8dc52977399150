//! The phone rings: what the agent knows before its first word (retell reference 3). Variables are strings only, or Retell voids the whole answer; the metadata comes
//! back in every later signed body and proves the company. The list of variables is `functions::variables`.

use chrono::{DateTime, Datelike, Duration, Utc};
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::phone::E164;
use shared::store::resolve::NumberOwner;
use shared::store::tx::CompanyTx;
use shared::store::{branches, customers};
use shared::telemetry::Masked;
use shared::wire::retell::CallInbound;

use super::asked::{day_in_words, zone_of};
use super::known::Known;
use crate::runtime::handler::Failure;

/// A ringing phone, with its tenant proven.
#[derive(Debug)]
pub struct Ringing {
    pub owner: NumberOwner,
    caller: Option<E164>,
    raw: Option<Masked<String>>,
}

impl Ringing {
    #[must_use]
    pub fn new(owner: NumberOwner, inbound: &CallInbound) -> Self {
        let raw = inbound.from_number.clone();
        let caller = raw.as_ref().and_then(|number| E164::parse(number.expose()).or_else(|| E164::normalise(number.expose(), "DE")));
        Self { owner, caller, raw }
    }
}

/// # Errors
/// Only what the store says.
pub async fn answer(tx: &mut CompanyTx, ringing: &Ringing, now: DateTime<Utc>) -> Result<Value, Failure> {
    let owner = &ringing.owner;
    let customer_id = customers::by_caller(tx, ringing.caller.as_ref(), ringing.raw.as_ref().map(|raw| raw.expose().as_str())).await?;
    let known = Known::of(tx, customer_id, ringing.caller.is_some(), now).await?;
    let branch = branches::all(tx).await?.into_iter().find(|branch| branch.id == owner.branch_id);
    let (company_name, branch_name) = branch.map(|branch| (branch.company_name, branch.name)).unwrap_or_default();
    let zone = zone_of(owner);
    let local = now.with_timezone(&zone);
    let today = local.date_naive();
    Ok(json!({ "call_inbound": {
        "dynamic_variables": {
            "company_name": company_name,
            "branch_name": branch_name,
            "timezone": owner.time_zone,
            "greeting": known.greeting(now, zone),
            "customer_phone_number": ringing.caller.as_ref().map_or("", E164::as_str),
            "customer_name": known.customer().and_then(|customer| customer.profile.name.as_deref()).unwrap_or_default(),
            "next_appointment": known.next_appointment(),
            "current_date": today.format("%d.%m.%Y").to_string(),
            "current_time": local.format("%H:%M").to_string(),
            "current_weekday": local_time::weekday(today.weekday()),
            "heute": day_in_words(today),
            "morgen": day_in_words(today + Duration::days(1)),
            "uebermorgen": day_in_words(today + Duration::days(2)),
        },
        "metadata": { "company_id": owner.company_id, "branch_id": owner.branch_id },
    } }))
}
