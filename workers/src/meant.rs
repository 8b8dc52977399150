//! Which of the caller's appointments is meant: by number, by its day and time as the caller says them, by its service; several are listed, the earliest is never taken
//! (incident 72).
//!
//! Only appointments of the customer whose number calls come into question, so a number that a model made up finds nothing, and nobody else's. The name is advisory
//! (incident 50): it never bars, it only tells apart what was booked for several people. Called by the roles that move and cancel.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use shared::domain::local_time;
use shared::domain::person_names::{Agreement, compare};
use shared::functions::arguments as named;
use shared::store::StoreError;
use shared::store::appointments::{self, Appointment};
use shared::store::services::{self, Service};
use shared::store::tx::CompanyTx;
use shared::wire::arguments::ArgumentError;
use uuid::Uuid;

use crate::answers;
use crate::change_answers;
use crate::phone_functions::FunctionWork;
use crate::runtime::Failure;
use crate::wished_time::{self, Which, Wished};

/// No appointment is longer; one that has begun is still found, so that the caller hears why it cannot be changed.
const LENGTH_MAX: Duration = Duration::hours(24);

/// Which appointment the caller means.
#[derive(Debug)]
pub enum Meant {
    One(Box<Appointment>),
    /// Nothing fits, or too much: the answer says it.
    Answer(Value),
}

/// Finds it, and locks it until the transaction ends.
///
/// # Errors
/// Only what the store says.
pub async fn lock(tx: &mut CompanyTx, work: &FunctionWork, customer_id: Uuid, which: Which, now: DateTime<Utc>) -> Result<Meant, Failure> {
    let found = match find(tx, work, customer_id, which, now).await? {
        Meant::One(found) => found,
        answer @ Meant::Answer(_) => return Ok(answer),
    };
    match appointments::locked(tx, found.id).await? {
        Some(locked) if locked.revision == found.revision => Ok(Meant::One(Box::new(locked))),
        // it changed while this waited for its lock: find it as it is now
        Some(_) | None => Err(StoreError::Changed { table: "appointments" }.into()),
    }
}

/// Finds it.
///
/// # Errors
/// Only what the store says.
pub async fn find(tx: &mut CompanyTx, work: &FunctionWork, customer_id: Uuid, which: Which, now: DateTime<Utc>) -> Result<Meant, Failure> {
    let mut own = appointments::upcoming_of(tx, customer_id, now - LENGTH_MAX).await?;
    own.retain(|appointment| appointment.ends_at > now);
    let zone = local_time::zone(&work.owner.time_zone).unwrap_or(Tz::Europe__Berlin);
    let said = match wished_time::wished(&work.arguments, which, now, zone) {
        Wished::Back(question) => return Ok(Meant::Answer(*question)),
        said => said,
    };
    let service = work.arguments.service().ok().flatten();
    let is_told = work.arguments.told_json(&named::APPOINTMENT).is_some();
    if is_told && work.arguments.appointment_hint().is_none() && said == Wished::Unsaid && service.is_none() {
        // a number that is none, and nothing beside it: the only appointment is not taken for it
        return Ok(Meant::Answer(answers::argument(&ArgumentError::Invalid { argument: named::APPOINTMENT.name() })));
    }
    let mut offered = Vec::new();
    for service_id in own.iter().filter_map(|appointment| appointment.service_id) {
        if !offered.iter().any(|service: &Service| service.id == service_id) {
            offered.extend(services::by_id(tx, service_id).await?);
        }
    }
    let told = Told {
        number: work.arguments.appointment_hint(),
        said,
        service,
        name: work.arguments.customer_name().ok().flatten().map(|name| name.expose().clone()),
    };
    Ok(told.choose(own, &offered, now))
}

/// What was told of it.
struct Told {
    number: Option<i64>,
    said: Wished,
    service: Option<String>,
    name: Option<String>,
}

impl Told {
    fn choose(&self, own: Vec<Appointment>, offered: &[Service], now: DateTime<Utc>) -> Meant {
        let mut fitting: Vec<Appointment> = own.iter().filter(|appointment| self.number.is_none_or(|number| appointment.number == number)).cloned().collect();
        fitting.retain(|appointment| is_then(appointment, &self.said));
        if fitting.is_empty() {
            return Meant::Answer(change_answers::no_appointment());
        }
        if let Some(named) = &self.service {
            let service_of = |appointment: &Appointment| offered.iter().find(|service| Some(service.id) == appointment.service_id);
            let of_service: Vec<Appointment> =
                fitting.iter().filter(|appointment| service_of(appointment).is_some_and(|service| is_called(service, named))).cloned().collect();
            if of_service.is_empty() {
                // not one of those that there are: they are said, none of them is taken for it (incident 67)
                return Meant::Answer(change_answers::not_that_service(&fitting, offered));
            }
            fitting = of_service;
        }
        if fitting.iter().any(|appointment| appointment.starts_at > now) {
            fitting.retain(|appointment| appointment.starts_at > now);
        }
        if let Some(name) = self.name.as_deref().filter(|_| fitting.len() > 1) {
            let theirs =
                |appointment: &Appointment| matches!(compare(name, appointment.name_given.as_deref()).agreement, Agreement::Same | Agreement::SoundsAlike);
            if fitting.iter().any(theirs) {
                fitting.retain(theirs);
            }
        }
        if fitting.len() > 1 {
            return Meant::Answer(change_answers::several_appointments(&fitting, offered));
        }
        fitting.pop().map_or_else(|| Meant::Answer(change_answers::no_appointment()), |only| Meant::One(Box::new(only)))
    }
}

fn is_called(service: &Service, named: &str) -> bool {
    let wanted = named.trim().to_lowercase();
    service.name.to_lowercase() == wanted || service.id.to_string() == wanted || service.synonyms.iter().any(|synonym| synonym.to_lowercase() == wanted)
}

fn is_then(appointment: &Appointment, said: &Wished) -> bool {
    let zone: Tz = appointment.time_zone.parse().unwrap_or(Tz::Europe__Berlin);
    let local = appointment.starts_at.with_timezone(&zone).naive_local();
    match said {
        Wished::Unsaid | Wished::Back(_) => true,
        Wished::Moment(at) => appointment.starts_at == *at,
        Wished::Date(date) => local.date() == *date,
        Wished::Time(time) => local.time() == *time,
        Wished::Search { days, times } => {
            days.is_none_or(|days| local.date() >= days.first && days.last.is_none_or(|last| local.date() <= last))
                && times.is_none_or(|times| times.from.is_none_or(|from| local.time() >= from) && times.to.is_none_or(|to| local.time() <= to))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveTime};
    use serde_json::json;
    use shared::domain::spoken_time::Days;

    use super::*;

    const CUT: Uuid = Uuid::from_u128(1);
    const TALK: Uuid = Uuid::from_u128(2);

    fn now() -> DateTime<Utc> {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    fn appointment(number: i64, starts_at: &str, service_id: Uuid, name: &str) -> Appointment {
        let starts_at: DateTime<Utc> = starts_at.parse().unwrap();
        let given = json!({
            "id": Uuid::from_u128(100 + u128::try_from(number).unwrap()), "company_id": Uuid::nil(), "number": number, "branch_id": Uuid::nil(), "customer_id": Uuid::nil(),
            "service_id": service_id, "staff_id": null, "call_id": null, "status": "booked", "starts_at": starts_at, "ends_at": starts_at + Duration::minutes(30),
            "time_zone": "Europe/Berlin", "name_given": name, "notes": null, "calcom_uid": "u", "revision": 1, "rescheduled_count": 0,
        });
        serde_json::from_value(given).unwrap()
    }

    fn service(id: Uuid, name: &str, synonym: &str) -> Service {
        Service {
            id,
            branch_id: None,
            name: name.to_owned(),
            synonyms: vec![synonym.to_owned()],
            duration_minutes: 30,
            calcom_event_type_id: None,
            seats_per_slot: 1,
            minimum_notice_minutes: 0,
            is_default: false,
            credential_id: None,
            staff_ids: Vec::new(),
        }
    }

    fn told() -> Told {
        Told { number: None, said: Wished::Unsaid, service: None, name: None }
    }

    /// `Ok`: the number of the one that is meant. `Err`: the answer's reason.
    fn chosen(told: &Told) -> Result<i64, String> {
        let own = vec![
            // 10:00, 14:30 and 10:00 in Berlin
            appointment(7, "2026-11-26T09:00:00Z", CUT, "Theo Brandner"),
            appointment(8, "2026-11-26T13:30:00Z", TALK, "Paula Weidner"),
            appointment(9, "2026-12-03T09:00:00Z", CUT, "Theo Brandner"),
        ];
        match told.choose(own, &[service(CUT, "Herrenhaarschnitt", "Haarschnitt"), service(TALK, "Beratung", "Gespräch")], now()) {
            Meant::One(appointment) => Ok(appointment.number),
            Meant::Answer(answer) => Err(answer["reason"].as_str().unwrap().to_owned()),
        }
    }

    /// Incidents 50, 67 and 72.
    #[test]
    fn what_is_told_narrows_and_never_guesses() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let ten = NaiveTime::from_hms_opt(10, 0, 0).unwrap();
        let several = || Err("multiple_found".to_owned());
        let none = || Err("not_found".to_owned());
        let table = [
            (told(), several()),
            (Told { number: Some(8), ..told() }, Ok(8)),
            (Told { number: Some(1), ..told() }, none()),
            (Told { number: Some(8), said: Wished::Time(ten), ..told() }, none()),
            (Told { said: Wished::Date(day("2026-12-03")), ..told() }, Ok(9)),
            (Told { said: Wished::Date(day("2026-11-26")), ..told() }, several()),
            (Told { said: Wished::Time(ten), ..told() }, several()),
            (Told { said: Wished::Moment("2026-11-26T09:00:00Z".parse().unwrap()), ..told() }, Ok(7)),
            (Told { said: Wished::Search { days: Some(Days { first: day("2026-12-01"), last: None }), times: None }, ..told() }, Ok(9)),
            (Told { service: Some("beratung".into()), ..told() }, Ok(8)),
            (Told { service: Some("Haarschnitt".into()), ..told() }, several()),
            (Told { service: Some("Dauerwelle".into()), ..told() }, none()),
            (Told { service: Some("Dauerwelle".into()), number: Some(8), ..told() }, none()),
            (Told { name: Some("Paula Weitner".into()), ..told() }, Ok(8)),
            (Told { name: Some("Ganz Anderer".into()), ..told() }, several()),
            (Told { name: Some("Ganz Anderer".into()), number: Some(8), ..told() }, Ok(8)),
        ];
        for (index, (told, expected)) in table.into_iter().enumerate() {
            assert_eq!(chosen(&told), expected, "row {index}");
        }
    }

    #[test]
    fn what_has_begun_is_found_only_when_nothing_else_fits() {
        let begun = || appointment(5, "2026-11-20T08:45:00Z", CUT, "Theo Brandner");
        let one = |own: Vec<Appointment>| match told().choose(own, &[], now()) {
            Meant::One(appointment) => appointment.number,
            Meant::Answer(answer) => panic!("{answer}"),
        };
        assert_eq!(one(vec![begun()]), 5);
        assert_eq!(one(vec![begun(), appointment(7, "2026-11-26T09:00:00Z", CUT, "Theo Brandner")]), 7);
    }
}
