//! Makes bookings: availability per host, the 409 guard, round robin, seats, recurring series, requests to confirm
//! (reference/calcom.md 3.3, 3.4, 3.12). Working hours are not checked here; only `slots` knows them.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::errors::ApiError;
use super::ledger::Op;
use super::model::{Booking, By, EventType, Status, new_uid, random_uuid};
use super::order::Order;
use super::state::State;

/// What became of an order. The uids lead to the bookings.
pub enum Booked {
    New(String),
    /// The occurrences in order of time, and their series uid.
    Series(Vec<String>),
    /// A seat in a booking that was there before.
    Seat {
        uid: String,
        seat_uid: String,
    },
    /// Round robin or unconfirmed: the same person already has this start.
    Existing(String),
}

impl State {
    pub fn book(&mut self, order: &Order, request_id: Option<&str>, now: DateTime<Utc>) -> Result<Booked, ApiError> {
        let event = self.event_types.get(&order.event_type_id).cloned().ok_or_else(|| ApiError::no_event_type(&order.event_type_id.to_string()))?;
        let minutes = self.minutes_of(&event, order)?;
        check_time(&event, order.start, now)?;
        if event.seats.is_some() {
            return self.book_seat(&event, order, minutes, request_id, now);
        }
        if let Some(existing) = self.same_person_same_start(&event, order, now) {
            return Ok(Booked::Existing(existing));
        }
        let hosts = self.free_hosts(&event, order.start, minutes, None)?;
        match order.recurrence_count {
            None => {
                let booking = self.new_booking(&event, order, order.start, minutes, hosts, now);
                Ok(Booked::New(self.record(booking, request_id, now)))
            }
            Some(count) => self.book_series(&event, order, minutes, (count, hosts), request_id, now),
        }
    }

    fn minutes_of(&self, event: &EventType, order: &Order) -> Result<i64, ApiError> {
        match order.length_minutes {
            None => Ok(event.length),
            Some(minutes) if event.length_options.contains(&minutes) => Ok(minutes),
            Some(_) if event.length_options.is_empty() => Err(ApiError::named(
                400,
                "Can't specify 'lengthInMinutes' because event type does not have multiple possible lengths. \
                 Please, remove the 'lengthInMinutes' field from the request.",
            )),
            Some(minutes) => Err(ApiError::named(400, format!("Provided 'lengthInMinutes' is not one of the lengths: {minutes}"))),
        }
    }

    /// Only the first occurrence is checked and nothing is rolled back, as in the original (#15997).
    fn book_series(
        &mut self,
        event: &EventType,
        order: &Order,
        minutes: i64,
        (count, hosts): (usize, Vec<i64>),
        request_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Booked, ApiError> {
        let Some(most) = event.recurrence else {
            return Err(ApiError::named(400, format!("Event type with id={} is not a recurring event.", event.id)));
        };
        if count == 0 || count > most {
            return Err(ApiError::named(400, format!("recurrenceCount must be between 1 and {most}")));
        }
        let series = new_uid();
        let mut uids = Vec::with_capacity(count);
        for occurrence in 0..count {
            let start = weeks_later(order.start, occurrence as i64, order.attendee.time_zone);
            let mut booking = self.new_booking(event, order, start, minutes, hosts.clone(), now);
            booking.recurring_uid = Some(series.clone());
            uids.push(self.record(booking, request_id, now));
        }
        Ok(Booked::Series(uids))
    }

    fn book_seat(&mut self, event: &EventType, order: &Order, minutes: i64, request_id: Option<&str>, now: DateTime<Utc>) -> Result<Booked, ApiError> {
        let seat_uid = random_uuid();
        let mut attendee = order.attendee.clone();
        attendee.seat_uid = Some(seat_uid.clone());
        let there = |booking: &&Booking| booking.event_type_id == event.id && booking.start == order.start && booking.status.is_live();
        let found = self.bookings.values().find(there).map(|booking| booking.uid.clone());
        if let Some(booking) = found.and_then(|uid| self.booking_mut(&uid, now)) {
            if Some(booking.attendees.len()) >= event.seats {
                return Err(ApiError::shape_b(409, "No more seats left at this seated booking."));
            }
            booking.attendees.push(attendee);
            booking.updated_at = now;
            let (uid, booking) = (booking.uid.clone(), booking.clone());
            self.ledger.change(Op::Create, &booking, order.by, request_id, now);
            return Ok(Booked::Seat { uid, seat_uid });
        }
        let hosts = self.free_hosts(event, order.start, minutes, None)?;
        let mut booking = self.new_booking(event, order, order.start, minutes, hosts, now);
        booking.attendees = vec![attendee];
        let uid = self.record(booking, request_id, now);
        Ok(Booked::Seat { uid, seat_uid })
    }

    /// Looked up in the replica: while that lags, a repeat books a second host.
    fn same_person_same_start(&mut self, event: &EventType, order: &Order, now: DateTime<Utc>) -> Option<String> {
        if !event.is_round_robin() && !event.requires_confirmation {
            return None;
        }
        let moment = self.replica.moment(now);
        let is_it = |booking: &&Booking| {
            booking.status.is_live()
                && booking.event_type_id == event.id
                && booking.start == order.start
                && booking.attendees.first().is_some_and(|first| first.email == order.attendee.email)
        };
        let shown = self.view(moment).bookings().find(is_it);
        if moment.is_some() {
            self.compare_read(shown, self.view(None).bookings().find(is_it));
        }
        shown.map(|booking| booking.uid.clone())
    }

    /// Who takes it: one host, all of a collective, or the free host of a round robin with the fewest bookings.
    pub fn free_hosts(&self, event: &EventType, start: DateTime<Utc>, minutes: i64, except_uid: Option<&str>) -> Result<Vec<i64>, ApiError> {
        let end = start + TimeDelta::minutes(minutes);
        let is_free = |host: i64| self.taken(host, start, end, except_uid).next().is_none();
        let team = event.scheduling_type.is_some();
        if event.is_round_robin() {
            let load = |host: i64| {
                let owned = |booking: &&Booking| booking.organizer_id() == Some(host) && booking.status.is_live();
                self.bookings.values().filter(owned).count()
            };
            let free = event.hosts.iter().copied().filter(|host| is_free(*host));
            let host = free.min_by_key(|host| load(*host)).ok_or_else(|| ApiError::slot_taken(team))?;
            return Ok(vec![host]);
        }
        let hosts: Vec<i64> = match team {
            true => event.hosts.clone(),
            false => event.owner().into_iter().collect(),
        };
        for host in &hosts {
            if let Some(other) = self.taken(*host, start, end, except_uid).next() {
                let same = other.start == start && other.end == end && other.organizer_id() == Some(*host);
                return Err(if same { ApiError::conflict() } else { ApiError::slot_taken(team) });
            }
        }
        Ok(hosts)
    }

    fn new_booking(&self, event: &EventType, order: &Order, start: DateTime<Utc>, minutes: i64, host_ids: Vec<i64>, now: DateTime<Utc>) -> Booking {
        let uid = new_uid();
        let mut metadata = order.metadata.clone();
        if order.by != By::Api {
            metadata.insert("videoCallUrl", format!("https://app.cal.com/video/{uid}").into());
        }
        let calendar = match order.by {
            By::Api => format!("{uid}@Cal.com"),
            // A booking of the UI is written to the host's calendar first and takes that calendar's id.
            By::Visitor | By::Host => format!("{}@google.com", new_uid().to_lowercase()),
        };
        Booking {
            id: self.next_booking_id(),
            event_type_id: event.id,
            host_ids,
            status: if event.requires_confirmation { Status::Pending } else { Status::Accepted },
            start,
            end: start + TimeDelta::minutes(minutes),
            attendees: vec![order.attendee.clone()],
            guests: order.guests.clone(),
            metadata,
            notes: order.notes.clone(),
            fields: order.fields.clone(),
            made_by: order.by,
            created_at: now,
            updated_at: now,
            cancellation_reason: String::new(),
            cancelled_by: String::new(),
            rescheduling_reason: None,
            rescheduled_by: None,
            rescheduled_from: None,
            rescheduled_to: None,
            rejection_reason: None,
            ical_uid: calendar,
            ical_sequence: 0,
            recurring_uid: None,
            one_time_password: random_uuid(),
            absent_host: false,
            uid,
        }
    }

    fn record(&mut self, booking: Booking, request_id: Option<&str>, now: DateTime<Utc>) -> String {
        let uid = booking.uid.clone();
        self.ledger.change(Op::Create, &booking, booking.made_by, request_id, now);
        self.insert(booking);
        uid
    }
}

/// Refuses what is past or closer than the event type's notice.
pub fn check_time(event: &EventType, start: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), ApiError> {
    if start <= now {
        return Err(ApiError::in_the_past());
    }
    if start < now + TimeDelta::minutes(event.minimum_notice_minutes) {
        return Err(ApiError::out_of_bounds());
    }
    Ok(())
}

/// The same wall-clock time `weeks` later in the attendee's zone: stable over a change to or from summer time.
fn weeks_later(start: DateTime<Utc>, weeks: i64, zone: Tz) -> DateTime<Utc> {
    let civil = start.with_timezone(&zone).naive_local() + TimeDelta::weeks(weeks);
    match civil.and_local_timezone(zone).earliest() {
        Some(instant) => instant.with_timezone(&Utc),
        // The hour that the clocks skip: keep the distance instead.
        None => start + TimeDelta::weeks(weeks),
    }
}
