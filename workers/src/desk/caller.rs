//! About the caller: the context at the beginning of a call, who it is and what is known of them (functions initialize_call and identify_customer).

use chrono::Datelike;
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::policies::{Change, Rules};
use shared::store::customers::{self, Upcoming};
use shared::store::tx::CompanyTx;
use shared::store::{branches, preferences};

use super::asked::{Asked, day_in_words};
use super::known::{Customer, Known, fields};
use crate::runtime::handler::Failure;

/// Date, caller and company in one (incident 33: it comes before call_started has been stored).
///
/// # Errors
/// Only what the store says.
pub async fn initialize(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let known = asked.caller(tx).await?;
    let branch = match asked.branch(tx).await? {
        Ok(branch) => json!({ "company_name": branch.company_name, "branch_name": branch.name }),
        Err(_) => Value::Null,
    };
    let hours_before = |rules: Option<Rules>| rules.and_then(|rules| rules.hours_before);
    let cancellation = hours_before(branches::rules(tx, asked.work.owner.branch_id, Change::Cancellation).await?);
    let reschedule = hours_before(branches::rules(tx, asked.work.owner.branch_id, Change::Reschedule).await?);
    let local = asked.now.with_timezone(&asked.zone);
    let customer = known.customer();
    Ok(json!({
        "success": true,
        "current_date": local.format("%d.%m.%Y").to_string(), "current_time": local.format("%H:%M").to_string(),
        "weekday": local_time::weekday(local.weekday()), "today": day_in_words(local.date_naive()), "timezone": asked.zone.name(),
        "branch": branch,
        "policies": { "cancellation_hours_before": cancellation, "reschedule_hours_before": reschedule },
        "customer": {
            "status": known.status(), "name": customer.and_then(|customer| customer.profile.name.as_deref()), "vip_tier": known.tier().literal(),
            "next_appointment": customer.and_then(|customer| customer.upcoming.first()).map(fields),
        },
        "message": known.greeting(asked.now, asked.zone),
    }))
}

/// Who calls, by number only. A name or a number that is told identifies nobody.
///
/// # Errors
/// Only what the store says.
pub async fn identify(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let known = asked.caller(tx).await?;
    let greeting = known.greeting(asked.now, asked.zone);
    let mut answer = json!({
        "success": true, "found": known.customer().is_some(), "customer_found": known.customer().is_some(), "status": known.status(),
        "vip_status": known.tier().literal(), "greeting": greeting, "message": greeting,
    });
    if let (Known::Customer(customer), Some(customer_id)) = (&known, asked.begun.customer_id) {
        let preferences: Vec<Value> = preferences::surest(tx, customer_id)
            .await?
            .into_iter()
            .map(|row| json!({ "type": row.preference_type, "key": row.key, "value": row.value, "usage_count": row.usage_count, "confidence": hundredths(f64::from(row.confidence)) }))
            .collect();
        let over = customers::history(tx, customer_id, asked.now).await?;
        let Value::Object(about) = about(customer, asked, preferences, &over) else { return Ok(answer) };
        if let Some(answer) = answer.as_object_mut() {
            answer.extend(about);
        }
    }
    Ok(answer)
}

fn about(customer: &Customer, asked: &Asked<'_>, preferences: Vec<Value>, over: &[Upcoming]) -> Value {
    let profile = &customer.profile;
    let day = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&asked.zone).format("%d.%m.%Y").to_string();
    let name = profile.name.as_deref();
    let (first, last) = name.and_then(|name| name.rsplit_once(' ')).unzip();
    // counts of a life fit
    #[expect(clippy::cast_precision_loss)]
    let share = if profile.appointments > 0 { hundredths(profile.favourite_count as f64 / profile.appointments as f64) } else { 0.0 };
    json!({
        "customer_name": name, "name": name, "first_name": first, "last_name": last,
        "vip_score": customer.score, "vip_benefits": customer.tier.benefits(), "discount_percent": customer.tier.discount_percent(),
        "total_appointments": profile.appointments, "no_show_count": profile.no_shows, "member_since": day(profile.since),
        "last_visit": profile.last_visit.map(day), "last_appointment": profile.last_visit.map(day), "preferred_language": profile.language,
        "predicted_service": profile.favourite_service, "service_confidence": share, "preferred_staff": profile.favourite_staff,
        "next_appointment": customer.upcoming.first().map(fields), "appointment_history": over.iter().map(fields).collect::<Vec<_>>(),
        "preferences": preferences, "upcoming_appointments": customer.upcoming.iter().map(fields).collect::<Vec<_>>(),
    })
}

fn hundredths(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}
