//! What a caller asks for, from the arguments and the company's own rows: which service, by whom, when; never a silent default (incidents 55, 62, 67).

use chrono::{DateTime, Datelike, Duration, NaiveTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use shared::domain::local_time;
use shared::domain::offers::{Bookable, Outside, SEARCH_DAYS};
use shared::domain::person_names::{Colleague as Meant, colleague};
use shared::domain::policies::minimum_notice_minutes;
use shared::domain::spoken_time::{Days, Times};
use shared::functions::arguments as named;
use shared::store::policies;
use shared::store::services::{self, Colleague, Service};
use shared::store::slot_claims::Resource;
use shared::store::tx::CompanyTx;

use super::answers as said;
use super::choose::Place;
use crate::answers;
use crate::phone_functions::FunctionWork;
use crate::runtime::Failure;
use crate::wished_time::{self, Wished};

/// A wish that can be looked up.
#[derive(Clone, Debug)]
pub struct Asked {
    pub service: Service,
    pub resource: Resource,
    pub wished: Wished,
    /// For whom, as told; not screened.
    pub name_told: Option<String>,
    pub bookable: Bookable,
    pub now: DateTime<Utc>,
    pub zone: Tz,
    search_days: i64,
}

/// The branch's zone.
#[must_use]
pub(super) fn zone(work: &FunctionWork) -> Tz {
    local_time::zone(&work.owner.time_zone).unwrap_or(Tz::Europe__Berlin)
}

/// Service, staff and time; an error is the answer that asks or refuses.
///
/// # Errors
/// Only what the store says.
pub(super) async fn understand(tx: &mut CompanyTx, work: &FunctionWork, wished: Wished, now: DateTime<Utc>) -> Result<Result<Asked, Value>, Failure> {
    let zone = zone(work);
    let offered = services::of_branch(tx, work.owner.branch_id).await?;
    let staff = services::colleagues(tx, work.owner.branch_id).await?;
    let service = match service(work, offered, &staff) {
        Ok(service) => service,
        Err(answer) => return Ok(Err(answer)),
    };
    let notice = minimum_notice_minutes(policies::booking_notice(tx, work.owner.branch_id).await?, Some(service.minimum_notice_minutes));
    let bookable = Bookable::new(now, notice);
    if let Wished::Back(answer) = wished {
        return Ok(Err(*answer));
    }
    if let Wished::Moment(at) = wished
        && let Err(outside) = bookable.check(at, now)
    {
        return Ok(Err(match outside {
            Outside::Past => answers::in_the_past(),
            Outside::TooSoon => said::too_soon(notice, bookable.earliest, zone),
            Outside::TooFar => said::too_far(),
        }));
    }
    let (Some(event_type_id), Some(_)) = (service.calcom_event_type_id, service.credential_id) else {
        // a sentence that promises nothing: whoever is in a transaction of the call promises the callback
        return Ok(Ok(asked(work, Resource::EventType { id: 0, seats: 1 }, service, wished, bookable, (now, zone))));
    };
    let resource = service.resource(event_type_id);
    Ok(Ok(asked(work, resource, service, wished, bookable, (now, zone))))
}

fn asked(work: &FunctionWork, resource: Resource, service: Service, wished: Wished, bookable: Bookable, (now, zone): (DateTime<Utc>, Tz)) -> Asked {
    let name_told = work.arguments.customer_name().ok().flatten().map(|name| name.expose().clone());
    let search_days = work.arguments.told(&named::SEARCH_DAYS).ok().flatten().and_then(|days| days.expose().parse::<i64>().ok());
    Asked {
        service,
        resource,
        wished,
        name_told,
        bookable,
        now,
        zone,
        search_days: search_days.filter(|days| (1..=SEARCH_DAYS).contains(days)).unwrap_or(SEARCH_DAYS),
    }
}

/// The service that is meant, done by the person that is meant.
fn service(work: &FunctionWork, offered: Vec<Service>, staff: &[Colleague]) -> Result<Service, Value> {
    let named = work.arguments.service().map_err(|error| answers::argument(&error))?;
    let wanted = work.arguments.staff().map_err(|error| answers::argument(&error))?;
    let person = match &wanted {
        Some(wanted) => person(wanted.as_str(), staff)?,
        None => None,
    };
    let Some(person) = person else {
        return choose_service(offered, named.as_deref()).map_err(|names| answers::unknown_service(&names));
    };
    if named.is_none() {
        let own: Vec<Service> = offered.iter().filter(|service| service.staff_ids.contains(&person.id)).cloned().collect();
        // what the person does alone is sure to be with that person
        let alone: Vec<Service> = own.iter().filter(|service| service.staff_ids.len() == 1).cloned().collect();
        let among = if alone.len() == 1 { alone } else { own };
        return choose_service(among, None).map_err(|names| answers::unknown_service(&names));
    }
    let service = choose_service(offered, named.as_deref()).map_err(|names| answers::unknown_service(&names))?;
    if !service.staff_ids.contains(&person.id) {
        return Err(said::staff_cannot(&person.name, &service.name));
    }
    if service.staff_ids.len() > 1 { Err(said::staff_is_chosen(&person.name, &service.name)) } else { Ok(service) }
}

/// Incident 55: that person, or a clear no.
fn person<'a>(spoken: &str, staff: &'a [Colleague]) -> Result<Option<&'a Colleague>, Value> {
    if let Some(exact) = staff.iter().find(|colleague| colleague.id.to_string() == spoken.trim()) {
        return Ok(Some(exact));
    }
    let names: Vec<&str> = staff.iter().map(|colleague| colleague.name.as_str()).collect();
    match colleague(spoken, &names) {
        Meant::Anyone => Ok(None),
        Meant::Exactly(place) => Ok(staff.get(place)),
        Meant::Probably(place) => Err(said::staff_ambiguous(&[names[place]])),
        Meant::Several(places) => Err(said::staff_ambiguous(&places.iter().map(|place| names[*place]).collect::<Vec<_>>())),
        Meant::Nobody => Err(said::staff_unknown()),
    }
}

/// The named service by name, synonym or id; without a name the only one there is. Never a silent default (incident 67): otherwise the names.
pub(crate) fn choose_service(mut offered: Vec<Service>, named: Option<&str>) -> Result<Service, Vec<String>> {
    let position = match named {
        Some(named) => {
            let wanted = named.trim().to_lowercase();
            let is_it = |service: &Service| {
                service.name.to_lowercase() == wanted
                    || service.id.to_string() == wanted
                    || service.synonyms.iter().any(|synonym| synonym.to_lowercase() == wanted)
            };
            offered.iter().position(is_it)
        }
        None => (offered.len() == 1).then_some(0),
    };
    match position {
        Some(position) => Ok(offered.swap_remove(position)),
        None => Err(offered.into_iter().map(|service| service.name).collect()),
    }
}

impl Asked {
    /// The wish of a booking that was recorded, told again; `None` if nobody can book the service any more.
    pub(super) fn again(service: Service, at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> Option<Self> {
        let resource = service.resource(service.calcom_event_type_id?);
        let bookable = Bookable::new(now, service.minimum_notice_minutes);
        Some(Self { service, resource, wished: Wished::Moment(at), name_told: None, bookable, now, zone, search_days: SEARCH_DAYS })
    }

    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::minutes(i64::from(self.service.duration_minutes))
    }

    /// What `choose` needs of it.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { resource: self.resource.clone(), length: self.length(), bookable: self.bookable, zone: self.zone }
    }

    /// The first and last start that is wished, and the times of day.
    pub(super) fn window(&self) -> (DateTime<Utc>, DateTime<Utc>, Option<Times>) {
        let today = self.now.with_timezone(&self.zone).date_naive();
        let all = Days { first: today, last: Some(today + Duration::days(self.search_days)) };
        let (days, times) = match &self.wished {
            Wished::Moment(at) => return (*at, *at + Duration::days(self.search_days), None),
            Wished::Date(date) => (Days { first: *date, last: Some(*date) }, None),
            Wished::Time(time) => (all, Some(Times { from: Some(*time), to: Some(*time) })),
            Wished::Search { days, times } => (days.unwrap_or(all), *times),
            Wished::Unsaid | Wished::Back(_) => (all, None),
        };
        let (from, to) = wished_time::bounds(days, None, self.search_days, self.zone).unwrap_or((self.now, self.now + Duration::days(self.search_days)));
        (from.max(self.bookable.earliest), to.min(self.bookable.latest), times)
    }

    /// Whether a start's time of day is wished.
    pub(super) fn fits(&self, start: DateTime<Utc>, times: Option<Times>) -> bool {
        let time: NaiveTime = start.with_timezone(&self.zone).time();
        times.is_none_or(|times| times.from.is_none_or(|from| time >= from) && times.to.is_none_or(|to| time <= to))
    }

    /// What is read of Cal.com: whole weeks, so that neighbouring wishes of a call are one request.
    pub(super) fn weeks(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let (from, to, _) = self.window();
        let last = to.max(from + Duration::days(SEARCH_DAYS)).min(from + Duration::days(3 * SEARCH_DAYS)).date_naive();
        let monday = from.date_naive() - Duration::days(i64::from(from.weekday().num_days_from_monday()));
        let sunday = last + Duration::days(6 - i64::from(last.weekday().num_days_from_monday()));
        let day = |date: chrono::NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        (day(monday).max(self.bookable.earliest), day(sunday) + Duration::days(1) - Duration::seconds(1))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn service(name: &str, staff: usize, seats: i32) -> Service {
        Service {
            id: Uuid::now_v7(),
            branch_id: None,
            name: name.to_owned(),
            synonyms: vec!["Schnitt".to_owned()],
            duration_minutes: 30,
            calcom_event_type_id: Some(1320),
            seats_per_slot: seats,
            minimum_notice_minutes: 15,
            is_default: false,
            credential_id: None,
            staff_ids: (0..staff).map(|_| Uuid::now_v7()).collect(),
        }
    }

    /// Incident 67: an explicit wish was replaced by the default service.
    #[test]
    fn a_named_service_wins_and_an_unknown_one_is_never_a_default() {
        let offered = || vec![service("Beratung", 1, 1), service("Herrenhaarschnitt", 1, 1)];
        assert_eq!(choose_service(offered(), Some("herrenhaarschnitt")).unwrap().name, "Herrenhaarschnitt");
        assert_eq!(choose_service(offered(), Some("Dauerwelle")).unwrap_err(), ["Beratung", "Herrenhaarschnitt"]);
        assert!(choose_service(offered(), None).is_err(), "two to choose from: ask");
        assert_eq!(choose_service(vec![service("Beratung", 1, 1)], None).unwrap().name, "Beratung");
    }

    /// Incident 55: a wish for somebody was carried out by somebody else.
    #[test]
    fn a_named_person_is_that_person_or_a_clear_no() {
        let staff: Vec<Colleague> = ["Rieke Sommerfeld", "Anna Beispiel"].map(|name| Colleague { id: Uuid::now_v7(), name: name.to_owned() }).into();
        assert_eq!(person("Frau Sommerfeld", &staff).unwrap().unwrap().name, "Rieke Sommerfeld");
        assert!(person("egal", &staff).unwrap().is_none());
        assert_eq!(person("Theo", &staff).unwrap_err()["reason"], "staff_unknown");
        assert_eq!(person("Ricke", &staff).unwrap_err()["reason"], "staff_ambiguous");
        let id = staff[1].id.to_string();
        assert_eq!(person(&id, &staff).unwrap().unwrap().name, "Anna Beispiel", "a model that was told the id says it");
    }
}
