//! What a company allows: the rows of `policies`, and the live counts that they are applied to.
//!
//! Not what the rules mean (`domain::policies`). Everything about one change is read in one statement, in the transaction that decides (incident 76: stale statistics
//! decided). Called by the roles that cancel and move, and by whoever checks or books.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::policies::{Change, ChangeFacts, Denial, Effective, Level, Rules, RulesError, resolve};
use crate::store::appointments::Appointment;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What a decision about one change of one appointment is made of.
#[derive(Clone, Debug)]
pub struct Grounds {
    /// `None`: no policy.
    pub effective: Option<Effective>,
    pub facts: ChangeFacts,
    /// ISO code of what fees are counted in.
    pub currency: String,
}

/// Says nothing of its currency.
const CURRENCY: &str = "EUR";

#[derive(Deserialize)]
struct Row {
    policies: Vec<Policy>,
    price_minor: Option<i64>,
    currency: Option<String>,
    in_the_last_30_days: i64,
    of_appointment: i64,
}

#[derive(Deserialize)]
struct Policy {
    branch_id: Option<Uuid>,
    service_id: Option<Uuid>,
    staff_id: Option<Uuid>,
    rules: Value,
}

impl Policy {
    const fn level(&self) -> Level {
        match (self.staff_id, self.service_id, self.branch_id) {
            (Some(_), ..) => Level::Staff,
            (None, Some(_), _) => Level::Service,
            (None, None, Some(_)) => Level::Branch,
            (None, None, None) => Level::Company,
        }
    }
}

// the customer's own changes only: what the host moved or cancelled is not held against anybody. A wish under way counts already; a second wish to cancel the same appointment is no
// second cancellation
const GROUNDS: &str = "
    SELECT jsonb_build_object(
        'policies', (SELECT coalesce(jsonb_agg(to_jsonb(p)), '[]') FROM (SELECT branch_id, service_id, staff_id, rules FROM policies
                     WHERE company_id = $1 AND policy_type = $2 AND (staff_id = $3 OR service_id = $4 OR branch_id = $5 OR num_nonnulls(staff_id, service_id, branch_id) = 0)
                     LIMIT 4) p),
        'price_minor', (SELECT price_minor FROM services WHERE company_id = $1 AND id = $4),
        'currency', (SELECT currency FROM services WHERE company_id = $1 AND id = $4),
        'in_the_last_30_days', (SELECT count(*) FROM appointment_modifications WHERE company_id = $1 AND customer_id = $6 AND kind = $7 AND actor = 'customer'
                                AND occurred_at > $8 - interval '30 days')
            + (SELECT count(*) FROM appointments a JOIN intents i ON i.company_id = a.company_id AND i.appointment_id = a.id
               WHERE a.company_id = $1 AND a.customer_id = $6 AND i.op = $9 AND i.actor = 'customer' AND i.state IN ('waiting', 'recorded', 'sent', 'unknown')
                 AND (i.op <> 'cancel' OR a.id <> $10)),
        'of_appointment', (SELECT count(*) FROM appointment_modifications WHERE company_id = $1 AND appointment_id = $10 AND kind = 'rescheduled' AND actor = 'customer')
            + (SELECT count(*) FROM intents WHERE company_id = $1 AND appointment_id = $10 AND op = 'reschedule' AND actor = 'customer'
               AND state IN ('waiting', 'recorded', 'sent', 'unknown')))";

/// What decides on that change of the appointment at `now`; the caller holds the customer's lock ([`lock_customer`]), so that two wishes at once do not both find room in a quota.
///
/// # Errors
/// Inside: a row of rules that cannot be meant, which is for the operator. Outside: when Postgres is away.
pub async fn grounds(tx: &mut CompanyTx, appointment: &Appointment, change: Change, now: DateTime<Utc>) -> Result<Result<Grounds, RulesError>, StoreError> {
    let company_id = tx.company_id();
    let (kind, op) = match change {
        Change::Cancellation => ("cancelled", "cancel"),
        Change::Reschedule => ("rescheduled", "reschedule"),
    };
    let row: Value = sqlx::query_scalar(GROUNDS)
        .bind(company_id)
        .bind(change.policy_type())
        .bind(appointment.staff_id)
        .bind(appointment.service_id)
        .bind(appointment.branch_id)
        .bind(appointment.customer_id)
        .bind(kind)
        .bind(now)
        .bind(op)
        .bind(appointment.id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("read the rules of a change"))?;
    let row: Row = serde_json::from_value(row).map_err(|_| StoreError::BadRow { table: "policies", column: "row" })?;
    let rules: Result<Vec<(Level, Rules)>, RulesError> = row.policies.iter().map(|policy| Ok((policy.level(), Rules::from_json(&policy.rules)?))).collect();
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(rules.map(|rules| Grounds {
        effective: resolve(&rules),
        facts: ChangeFacts {
            change,
            now,
            starts_at: appointment.starts_at,
            price_minor: row.price_minor,
            in_the_last_30_days: count(row.in_the_last_30_days),
            reschedules_of_appointment: count(row.of_appointment),
        },
        currency: row.currency.unwrap_or_else(|| CURRENCY.to_owned()),
    }))
}

/// Lets one customer's changes be decided one after the other. Taken before the appointment's lock; new bookings of the customer do not wait for it.
///
/// # Errors
/// When Postgres is away.
pub async fn lock_customer(tx: &mut CompanyTx, customer_id: Uuid) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    sqlx::query("SELECT FROM customers WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE")
        .bind(company_id)
        .bind(customer_id)
        .execute(tx.connection())
        .await
        .map_err(failed("lock a customer"))?;
    Ok(())
}

/// Records what was denied, with all its numbers (domain reference 4.1).
///
/// # Errors
/// When Postgres is away.
pub async fn record_violation(
    tx: &mut CompanyTx,
    appointment: &Appointment,
    call_id: Option<Uuid>,
    grounds: &Grounds,
    denial: &Denial,
) -> Result<(), StoreError> {
    let company_id = tx.company_id();
    let number = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
    sqlx::query(
        "INSERT INTO policy_violations (id, company_id, appointment_id, customer_id, call_id, policy_type, level, reason, hours_notice, required_hours, fee_if_forced_minor,
            quota_used, quota_max) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(Uuid::now_v7())
    .bind(company_id)
    .bind(appointment.id)
    .bind(appointment.customer_id)
    .bind(call_id)
    .bind(grounds.facts.change.policy_type())
    .bind(grounds.effective.as_ref().map(|effective| effective.level.literal()))
    .bind(denial.reason.literal())
    .bind(denial.hours_notice)
    .bind(number(denial.required_hours))
    .bind(denial.fee_if_forced_minor)
    .bind(number(denial.quota_used))
    .bind(number(denial.quota_max))
    .execute(tx.connection())
    .await
    .map_err(failed("record a policy violation"))?;
    Ok(())
}

/// How many minutes ahead the branch wants to be booked, if it says so; for [`crate::domain::policies::minimum_notice_minutes`], the same in check, hold and book (incident 69).
/// Rules that cannot be meant say nothing: the service's own notice holds.
///
/// # Errors
/// When Postgres is away.
pub async fn booking_notice(tx: &mut CompanyTx, branch_id: Uuid) -> Result<Option<u32>, StoreError> {
    let company_id = tx.company_id();
    let rules: Option<Value> = sqlx::query_scalar("SELECT rules FROM policies WHERE company_id = $1 AND branch_id = $2 AND policy_type = 'booking'")
        .bind(company_id)
        .bind(branch_id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("read a branch's notice"))?;
    match rules.as_ref().map(Rules::from_json).transpose() {
        Ok(rules) => Ok(rules.and_then(|rules| rules.booking_notice_minutes)),
        Err(error) => {
            tracing::error!(company.id = %company_id, branch.id = %branch_id, %error, "the branch's booking policy cannot be read: the services' own notice holds");
            Ok(None)
        }
    }
}
