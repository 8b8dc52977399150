//! The wish to be called back (function request_callback), and the same promise made by other functions of desk: one open promise per call, with its deadline in words.

use chrono::{DateTime, Duration, Timelike, Utc};
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::phone::E164;
use shared::domain::policies::Urgency;
use shared::functions::Argument;
use shared::functions::arguments::{CUSTOMER_NAME, CUSTOMER_PHONE, PREFERRED_WINDOW, PRIORITY, SERVICE, STAFF};
use shared::store::callbacks::{self, Promised, Request};
use shared::store::tx::CompanyTx;
use shared::texts::Sentence;
use shared::wire::arguments::ArgumentError;

use super::asked::{Asked, refusal};
use crate::answers;
use crate::runtime::handler::Failure;

/// National numbers are dialled as this country's.
const COUNTRY: &str = "DE";

/// # Errors
/// Only what the store says.
pub async fn request(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let phone = match asked.told(&CUSTOMER_PHONE).map(|told| E164::normalise(&told, COUNTRY)) {
        Some(None) => return Ok(answers::argument(&ArgumentError::Invalid { argument: CUSTOMER_PHONE.name() })),
        Some(told) => told,
        None => asked.number(),
    };
    let Some(phone) = phone else { return Ok(refusal("phone_required", Sentence::CallbackNeedsPhone {})) };
    let promised = promise(tx, asked, "customer_request", Some(phone)).await?;
    let until = in_words(promised.due_at, asked);
    let sentence = if promised.is_new { Sentence::CallbackPromisedUntil { until: &until } } else { Sentence::CallbackAlreadyPromised {} };
    let mut answer = fields(&promised, asked);
    answer["success"] = true.into();
    answer["message"] = sentence.german().into();
    Ok(answer)
}

/// Promises it with everything that was told, or completes the promise of this call.
///
/// # Errors
/// Only what the store says.
pub async fn promise(tx: &mut CompanyTx, asked: &Asked<'_>, reason: &str, phone: Option<E164>) -> Result<Promised, Failure> {
    let tier = asked.caller(tx).await?.tier();
    let told_reason = asked.work.arguments.reason().map(|reason| reason.expose().clone());
    let told_priority = asked.told(&PRIORITY).unwrap_or_default().to_lowercase();
    let by_words = Urgency::of(&format!("{} {told_priority}", told_reason.as_deref().unwrap_or_default()), tier);
    let by_name = Urgency::ALL.into_iter().find(|urgency| urgency.literal() == told_priority).unwrap_or_default();
    let line = |label: &str, value: Option<String>| value.map(|value| format!("{label}: {value}"));
    let told = |argument: &Argument| asked.told(argument);
    let notes: Vec<String> = [
        line("Name", told(&CUSTOMER_NAME)),
        line("Wann", told(&PREFERRED_WINDOW)),
        line("Anliegen", told_reason),
        line("Leistung", told(&SERVICE)),
        line("Mitarbeiter", told(&STAFF)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let notes = notes.join("\n");
    let request = Request {
        call_id: asked.begun.call.id,
        phone: phone.as_ref().map(E164::as_str),
        reason,
        priority: by_words.max(by_name),
        notes: Some(notes.as_str()).filter(|notes| !notes.is_empty()),
    };
    Ok(callbacks::request(tx, &request).await?)
}

/// What the agent reads of a promise.
#[must_use]
pub fn fields(promised: &Promised, asked: &Asked<'_>) -> Value {
    json!({
        "callback": true, "priority": promised.priority, "already_promised": !promised.is_new,
        "promised_until": promised.due_at.with_timezone(&asked.zone).format("%Y-%m-%d %H:%M").to_string(), "formatted_time": in_words(promised.due_at, asked),
    })
}

/// "heute um 18 Uhr 30": the quarter of an hour before the deadline, so that the word is kept.
fn in_words(due_at: DateTime<Utc>, asked: &Asked<'_>) -> String {
    let rounded = due_at - Duration::minutes(i64::from(due_at.minute() % 15));
    let local = rounded.with_timezone(&asked.zone);
    match (local.date_naive() - asked.today()).num_days() {
        0 => format!("heute um {}", local_time::spoken_time(local.time())),
        1 => format!("morgen um {}", local_time::spoken_time(local.time())),
        _ => local_time::spoken(rounded, asked.zone),
    }
}
