//! For whom a booking is: the name that was told, screened against the company's own names, and how it agrees with the customer's, which no call overwrites (incidents 47 to 50).
//!
//! Not identity: that is the number that calls. Called by `booking`.

use serde_json::{Value, json};
use shared::domain::person_names::{Candidate, PersonName, Rejection, Reserved, Source, Verdict, choose, compare};
use shared::store::calls::{self, NameTold};
use shared::store::tx::CompanyTx;
use shared::store::{customers, services};
use shared::texts::{Key, Sentence};
use uuid::Uuid;

use crate::answers;
use crate::phone_functions::Begun;
use crate::runtime::Failure;
use shared::wire::arguments::ArgumentError;

/// What is known of the name.
#[derive(Debug)]
pub(super) struct Told {
    name: Option<(PersonName, Source)>,
    verdict: Option<Verdict>,
    known: Option<String>,
}

impl Told {
    /// The name that was told, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(|(name, _)| name.as_str())
    }

    /// The customer's own name.
    pub(super) fn known(&self) -> Option<&str> {
        self.known.as_deref()
    }

    /// How both agree; `None` if nothing was told.
    pub(super) fn agreement(&self) -> Option<&'static str> {
        self.verdict.map(|verdict| verdict.agreement.literal())
    }

    /// Keeps it with the call.
    pub(super) async fn note(&self, tx: &mut CompanyTx, call_id: Uuid) -> Result<(), Failure> {
        let (Some((name, source)), Some(verdict)) = (&self.name, self.verdict) else { return Ok(()) };
        let told = NameTold { name: name.as_str(), source: source.literal(), agreement: verdict.agreement.literal(), likeness: verdict.likeness };
        Ok(calls::note_name(tx, call_id, told).await?)
    }
}

/// Takes what was told for a name; an error is the answer that asks for one. Of a customer whose name is known a text that is no name is only left out.
pub(super) async fn told(tx: &mut CompanyTx, text: Option<&str>, begun: &Begun) -> Result<Result<Told, Value>, Failure> {
    let known = match begun.customer_id {
        Some(customer_id) => customers::contact(tx, customer_id).await?.name,
        None => None,
    };
    let Some(text) = text else {
        let asked = begun.customer_id.is_none().then(|| answers::argument(&ArgumentError::Missing { argument: "customer_name" }));
        return Ok(asked.map_or(Ok(Told { name: None, verdict: None, known }), Err));
    };
    let own = services::own_names(tx).await?;
    let [staff, agents, companies, offered] =
        [&own.staff, &own.agents, &own.companies, &own.services].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    let reserved = Reserved { staff: &staff, agents: &agents, companies: &companies, services: &offered };
    let choice = choose(&[Candidate { source: Source::FunctionArgument, text }], &reserved, known.as_deref());
    if choice.name.is_none() && known.is_none() {
        let reason = choice.refused.first().map(|(_, reason)| *reason);
        return Ok(Err(not_a_name(reason)));
    }
    let verdict = choice.name.as_ref().map(|(name, _)| compare(name.as_str(), known.as_deref()));
    Ok(Ok(Told { name: choice.name, verdict, known }))
}

/// Incident 49: "Unbekannt", "Acht Uhr" and a colleague's name were booked.
fn not_a_name(reason: Option<Rejection>) -> Value {
    let name = if reason == Some(Rejection::Staff) { "staff_name_as_customer_name" } else { "customer_name_required" };
    debug_assert!(Key::AskFullName.slots().is_empty());
    json!({ "success": false, "booked": false, "reason": name, "name_rejected": reason.map(Rejection::name), "message": Sentence::AskFullName {}.german() })
}
