//! What the branch offers, for which price and how long, and when it is open (functions list_services, get_service_info and get_opening_hours).

use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::money;
use shared::domain::opening_hours::{OpeningHours, spoken_spans};
use shared::functions::arguments::SERVICE;
use shared::store::branches::{self, Offered};
use shared::store::tx::CompanyTx;
use shared::texts::{Key, Sentence, choices};

use super::asked::{Asked, refusal};
use crate::answers;
use crate::runtime::handler::Failure;
use crate::wished_time::{Which, Wished, wished};

/// A longer plan is not listened to (and would be cut): then a day is asked for.
const HOURS_CHARS_MAX: usize = 170;

/// # Errors
/// Only what the store says.
pub async fn list_services(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let branch = match asked.branch(tx).await? {
        Ok(branch) => branch,
        Err(question) => return Ok(question),
    };
    let offered = branches::offered(tx, branch.id).await?;
    if offered.is_empty() {
        return Ok(refusal("no_services", Sentence::ServiceUnknown {}));
    }
    let names: Vec<&str> = offered.iter().map(|service| service.name.as_str()).collect();
    let message = Sentence::ServiceChoice { services: &choices(&names) }.german();
    Ok(json!({ "success": true, "services": offered.iter().map(fields).collect::<Vec<_>>(), "message": message }))
}

/// A service by name or synonym; another name is answered with the list (incident 67).
///
/// # Errors
/// Only what the store says.
pub async fn service_info(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let branch = match asked.branch(tx).await? {
        Ok(branch) => branch,
        Err(question) => return Ok(question),
    };
    let offered = branches::offered(tx, branch.id).await?;
    let wanted = asked.told(&SERVICE).unwrap_or_default().to_lowercase();
    let is_it = |service: &&Offered| service.name.to_lowercase() == wanted || service.synonyms.iter().any(|synonym| synonym.to_lowercase() == wanted);
    let Some(service) = offered.iter().find(is_it) else {
        let names: Vec<String> = offered.into_iter().map(|service| service.name).collect();
        return Ok(answers::unknown_service(&names));
    };
    let minutes = service.duration_minutes.to_string();
    let message = match price_in_words(service) {
        Some(price) => Sentence::ServiceInfoWithPrice { service: &service.name, minutes: &minutes, price: &price }.german(),
        None => Sentence::ServiceInfo { service: &service.name, minutes: &minutes }.german(),
    };
    Ok(json!({ "success": true, "service": fields(service), "message": message }))
}

fn fields(service: &Offered) -> Value {
    json!({ "name": service.name, "duration_minutes": service.duration_minutes, "price_minor": service.price_minor, "currency": service.currency, "price": price_in_words(service) })
}

fn price_in_words(service: &Offered) -> Option<String> {
    service.price_minor.map(|price| if price == 0 { "nichts".to_owned() } else { money::spoken(price, service.currency.as_deref().unwrap_or("EUR")) })
}

/// The week's plan, or the hours of the day that was named.
///
/// # Errors
/// Only what the store says.
pub async fn opening_hours(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let branch = match asked.branch(tx).await? {
        Ok(branch) => branch,
        Err(question) => return Ok(question),
    };
    let plan = branch.opening_hours.as_object().and_then(|plan| OpeningHours::parse(plan).ok()).filter(|plan| !plan.is_empty());
    let Some(plan) = plan else { return Ok(refusal("not_set_up", Sentence::OpeningHoursUnknown {})) };
    let zone = local_time::zone(&branch.time_zone).unwrap_or(asked.zone);
    let date = match wished(&asked.work.arguments, Which::Start, asked.now, zone) {
        Wished::Moment(at) => Some(at.with_timezone(&zone).date_naive()),
        Wished::Date(date) => Some(date),
        Wished::Search { days: Some(days), .. } if days.last == Some(days.first) => Some(days.first),
        Wished::Back(answer) => return Ok(*answer),
        _ => None,
    };
    let is_open_now = plan.is_open(asked.now.with_timezone(&zone).naive_local());
    let mut answer = json!({ "success": true, "branch": branch.name, "opening_hours": branch.opening_hours, "is_open_now": is_open_now });
    let said = if let Some(date) = date {
        let spans = plan.on(date);
        let day = shared::domain::spoken_time::speak::date(date, shared::domain::spoken_time::speak::Case::Accusative, asked.today());
        answer["date"] = json!(date);
        answer["open"] = json!(!spans.is_empty());
        if spans.is_empty() {
            Sentence::ClosedThen {}.german()
        } else {
            Sentence::OpeningHours { hours: &format!("am {day} {}", spoken_spans(spans)) }.german()
        }
    } else {
        let hours = plan.spoken();
        if hours.chars().count() > HOURS_CHARS_MAX { Key::AskDate.german().to_owned() } else { Sentence::OpeningHours { hours: &hours }.german() }
    };
    answer["message"] = said.into();
    Ok(answer)
}
