//! The caller's own appointments that are still to come (function query_appointment). Nobody hears of anybody else's: whoever withholds the number is refused, and a name that is
//! told changes nothing.

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::functions::arguments::SERVICE;
use shared::store::customers::{self, Upcoming};
use shared::store::tx::CompanyTx;
use shared::texts::Sentence;

use super::asked::{Asked, refusal};
use super::known::{fields, in_words, zone_of};
use crate::runtime::handler::Failure;
use crate::wished_time::{Which, Wished, wished};

/// More are not kept in mind on the phone; the fields have all.
const SAID_MAX: usize = 4;

/// # Errors
/// Only what the store says.
pub async fn query(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let Some(customer_id) = asked.begun.customer_id else {
        let new = asked.number().is_some();
        return Ok(if new { none(Sentence::NoAppointments {}) } else { refusal("anonymous", Sentence::AnonymousQuestion {}) });
    };
    let when = wished(&asked.work.arguments, Which::Start, asked.now, asked.zone);
    if let Wished::Back(answer) = when {
        return Ok(*answer);
    }
    let all = customers::upcoming(tx, customer_id, asked.now).await?;
    if all.is_empty() {
        return Ok(none(Sentence::NoAppointments {}));
    }
    let service = asked.told(&SERVICE).map(|service| service.to_lowercase());
    let found: Vec<&Upcoming> = all.iter().filter(|upcoming| is_then(&when, upcoming) && is_of(service.as_deref(), upcoming)).collect();
    let said = match found[..] {
        [] => return Ok(none(Sentence::NoAppointment {})),
        [only] => {
            let at = format!("am {}", local_time::spoken(only.starts_at, zone_of(only)));
            Sentence::OneAppointment { when: &at, service: only.service.as_deref().unwrap_or("bei uns") }.german()
        }
        _ => {
            let said: Vec<String> = found.iter().take(SAID_MAX).map(|upcoming| in_words(upcoming)).collect();
            Sentence::SeveralAppointments { appointments: &said.join("; ") }.german()
        }
    };
    Ok(json!({ "success": true, "appointments": found.into_iter().map(fields).collect::<Vec<_>>(), "message": said }))
}

fn none(sentence: Sentence<'_>) -> Value {
    json!({ "success": false, "reason": "not_found", "appointments": [], "message": sentence.german() })
}

fn is_then(when: &Wished, upcoming: &Upcoming) -> bool {
    let zone: Tz = zone_of(upcoming);
    let local = upcoming.starts_at.with_timezone(&zone).naive_local();
    let within = |first: NaiveDate, last: Option<NaiveDate>| first <= local.date() && last.is_none_or(|last| local.date() <= last);
    match when {
        Wished::Moment(at) => *at == upcoming.starts_at,
        Wished::Date(date) => *date == local.date(),
        Wished::Time(time) => *time == local.time(),
        Wished::Search { days, times } => {
            let in_time = times.is_none_or(|times| times.from.is_none_or(|from| from <= local.time()) && times.to.is_none_or(|to| local.time() <= to));
            in_time && days.is_none_or(|days| within(days.first, days.last))
        }
        Wished::Unsaid | Wished::Back(_) => true,
    }
}

fn is_of(service: Option<&str>, upcoming: &Upcoming) -> bool {
    service.is_none_or(|wanted| upcoming.service.as_deref().is_some_and(|name| name.to_lowercase().contains(wanted)))
}
