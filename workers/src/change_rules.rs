//! Whether a caller may move or cancel now, and what it costs: the company's rules, asked the same way by both roles. What is denied is recorded and said with all its
//! numbers; what is allowed carries its fee from here to its row.
//!
//! Not the rules themselves (`domain::policies`, rows of `policies`). Called by the roles `cancellation` and `reschedule`, under the customer's and the appointment's lock.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::domain::policies::{Change, Decision, decide};
use shared::store::appointments::Appointment;
use shared::store::tx::CompanyTx;
use shared::store::{callbacks, policies};

use crate::answers;
use crate::change_answers::{self, Charge};
use crate::phone_functions::Begun;
use crate::runtime::Failure;

/// The charge of the change, or the answer that it is not allowed.
///
/// # Errors
/// Only what the store says.
pub async fn charge(
    tx: &mut CompanyTx,
    begun: &Begun,
    appointment: &Appointment,
    change: Change,
    now: DateTime<Utc>,
) -> Result<Result<Charge, Value>, Failure> {
    let grounds = match policies::grounds(tx, appointment, change, now).await? {
        Ok(grounds) => grounds,
        Err(error) => {
            // nobody can say what it allows: a person decides, and calls
            tracing::error!(company.id = %appointment.company_id, appointment.id = %appointment.id, %error, "a {} policy cannot be read", change.policy_type());
            callbacks::promise(tx, Some(begun.call.id), Some(appointment.id), "policy_unreadable", callbacks::Priority::High).await?;
            return Ok(Err(answers::could_not()));
        }
    };
    match decide(grounds.effective.as_ref().map(|effective| &effective.rules), &grounds.facts) {
        Decision::Allowed(allowed) => Ok(Ok(Charge { fee_minor: allowed.fee_minor, currency: grounds.currency })),
        Decision::Denied(denial) => {
            policies::record_violation(tx, appointment, Some(begun.call.id), &grounds, &denial).await?;
            Ok(Err(change_answers::denied(appointment, &denial, &grounds.currency)))
        }
    }
}
