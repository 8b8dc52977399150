//! Reads beside bookings: event types, me, and free slots (3.6). Slots are simple on purpose: 9 to 18 o'clock local time
//! of the owner, Monday to Saturday, minus what is booked.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply, not_here};
use super::errors::ApiError;
use super::model::{Booking, EventType};
use super::order::instant;
use super::output::{me_output, success};
use super::state::State;

const OPENS_HOUR: u32 = 9;
const CLOSES_HOUR: u32 = 18;
/// A longer question would be a bug of the client; Cal.com itself gets slow beyond a month or two.
const DAYS_MAX: i64 = 62;

pub fn event_types(call: &Call<'_>) -> ApiResult {
    let state = call.inner.state();
    let current = call.version == Some("2024-06-14");
    let shape = |event: &EventType| match current {
        true => state.event_type_output(event),
        false => {
            json!({"id": event.id, "title": event.title, "slug": event.slug, "length": event.length})
        }
    };
    match (call.method, call.segments) {
        ("GET", ["me"]) => {
            let user = call.key.as_ref().and_then(|key| key.user_id);
            let host = user.map_or_else(|| state.hosts.values().next(), |id| state.hosts.get(&id));
            let host = host.ok_or_else(|| ApiError::named(404, "User not found"))?;
            Ok(Reply::ok(success(me_output(host))))
        }
        ("GET", ["event-types"]) => {
            let slug = call.query("eventSlug");
            let user = call.key.as_ref().and_then(|key| key.user_id);
            let mine = |event: &&EventType| user.is_none() || event.owner() == user;
            let events = state.event_types.values().filter(|event| slug.is_none_or(|slug| event.slug == slug));
            let data: Vec<Value> = events.filter(mine).map(shape).collect();
            match current {
                true => Ok(Reply::ok(success(json!(data)))),
                false => Ok(Reply::ok(success(json!({"eventTypeGroups": [{"eventTypes": data}]})))),
            }
        }
        ("GET", ["event-types", id]) => {
            let event = id.parse().ok().and_then(|id: i64| state.event_types.get(&id));
            let event = event.ok_or_else(|| ApiError::no_event_type(id))?;
            match current {
                true => Ok(Reply::ok(success(shape(event)))),
                false => Ok(Reply::ok(success(json!({"eventType": shape(event)})))),
            }
        }
        _ => Err(not_here(call)),
    }
}

pub fn slots(call: &Call<'_>) -> ApiResult {
    let state = call.inner.state();
    let id = call.query("eventTypeId").unwrap_or_default();
    let event = id.parse().ok().and_then(|id: i64| state.event_types.get(&id));
    let event = event.ok_or_else(|| ApiError::no_event_type(id))?;
    let (from, to) = (edge(call, "start", false)?, edge(call, "end", true)?);
    if to - from > TimeDelta::days(DAYS_MAX) {
        return Err(ApiError::named(400, "The range between start and end is too long"));
    }
    let zone = call.query("timeZone").and_then(|zone| zone.parse::<Tz>().ok());
    let minutes = call.query("duration").and_then(|text| text.parse().ok()).unwrap_or(event.length).max(1);
    let moved = call.query("bookingUidToReschedule");
    let now = call.inner.clock.now();
    let mut days: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for start in state.opening_starts(event, from, to, minutes) {
        let Some(mut slot) = state.slot(event, start, minutes, moved).filter(|_| start > now) else {
            continue;
        };
        let (day, text) = match zone {
            Some(zone) => {
                let local = start.with_timezone(&zone);
                (local.date_naive(), local.to_rfc3339_opts(SecondsFormat::Millis, false))
            }
            None => (start.date_naive(), start.to_rfc3339_opts(SecondsFormat::Millis, true)),
        };
        slot["start"] = json!(text);
        days.entry(day.to_string()).or_default().push(slot);
    }
    match call.version {
        Some("2024-09-04") => Ok(Reply::ok(success(json!(days)))),
        _ => Ok(Reply::ok(success(json!({"slots": days})))),
    }
}

impl State {
    /// Every possible start inside opening hours and the asked range.
    fn opening_starts(&self, event: &EventType, from: DateTime<Utc>, to: DateTime<Utc>, minutes: i64) -> Vec<DateTime<Utc>> {
        let owner = event.owner().and_then(|id| self.hosts.get(&id));
        let zone = owner.map_or(Tz::UTC, |host| host.time_zone);
        let last_day = to.with_timezone(&zone).date_naive();
        let days = from.with_timezone(&zone).date_naive().iter_days().take_while(|day| *day <= last_day);
        let mut starts = Vec::new();
        for day in days.filter(|day| day.weekday() != Weekday::Sun) {
            let Some((opens, closes)) = at_hour(day, OPENS_HOUR, zone).zip(at_hour(day, CLOSES_HOUR, zone)) else {
                continue;
            };
            let mut start = opens;
            while start + TimeDelta::minutes(minutes) <= closes {
                if from <= start && start <= to {
                    starts.push(start);
                }
                start += TimeDelta::minutes(minutes);
            }
        }
        starts
    }

    /// The slot as an object still without its start, or nothing if it is taken.
    fn slot(&self, event: &EventType, start: DateTime<Utc>, minutes: i64, moved: Option<&str>) -> Option<Value> {
        if let Some(seats) = event.seats {
            let there = |booking: &&Booking| booking.event_type_id == event.id && booking.start == start && booking.status.is_live();
            if let Some(booking) = self.bookings.values().find(there) {
                let booked = booking.attendees.len();
                return (booked < seats).then(|| {
                    json!({"seatsBooked": booked, "seatsRemaining": seats - booked, "seatsTotal": seats,
                        "bookingUid": booking.uid})
                });
            }
        }
        self.free_hosts(event, start, minutes, moved).ok().map(|_| json!({}))
    }
}

fn at_hour(day: NaiveDate, hour: u32, zone: Tz) -> Option<DateTime<Utc>> {
    let civil = day.and_time(NaiveTime::from_hms_opt(hour, 0, 0)?);
    civil.and_local_timezone(zone).earliest().map(|local| local.with_timezone(&Utc))
}

/// An instant, or a whole day when only a date is given.
fn edge(call: &Call<'_>, name: &str, ends: bool) -> Result<DateTime<Utc>, ApiError> {
    let text = call.query(name).unwrap_or_default();
    let day = text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let whole = if ends { TimeDelta::days(1) - TimeDelta::milliseconds(1) } else { TimeDelta::zero() };
    day.map(|day| day + whole).or_else(|| instant(text)).ok_or_else(|| {
        let message = format!("{name} must be a valid ISO 8601 date string");
        ApiError::validation(name, "isDateString", &message)
    })
}
