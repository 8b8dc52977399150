//! GET /v2/bookings: filters, sorting, offset paging and the trap in its count (3.11).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::api::{ApiResult, Call, Reply};
use super::errors::ApiError;
use super::model::{Booking, Status};
use super::order::instant;

const TAKE_DEFAULT: usize = 100;
const TAKE_MAX: usize = 250;

pub fn list(call: &Call<'_>) -> ApiResult {
    let take = number(call, "take")?.unwrap_or(TAKE_DEFAULT);
    if take == 0 || take > TAKE_MAX {
        return Err(ApiError::validation("take", "max", "take must not be greater than 250"));
    }
    let skip = number(call, "skip")?.unwrap_or(0);
    let moment = call.moment();
    let now = call.inner.clock.now();
    let state = call.inner.state();
    let bounds = Bounds::of(call)?;
    let page_at = |moment: Option<DateTime<Utc>>| {
        let view = state.view(moment);
        let seen = |booking: &&Booking| call.key.as_ref().is_none_or(|key| state.visible(key, booking));
        let mut found: Vec<&Booking> = view.bookings().filter(seen).filter(|booking| fits(call, booking, now) && bounds.start_fits(booking)).collect();
        // The count that Cal.com gives knows nothing of the created and updated filters (trap 1).
        let total = found.len();
        found.retain(|booking| bounds.touched_fits(booking));
        sort(call, &mut found);
        (total, found.into_iter().skip(skip).take(take).collect::<Vec<&Booking>>())
    };
    let (total, found) = page_at(moment);
    if moment.is_some() {
        state.compare_read(found.iter().copied(), page_at(None).1);
    }
    let page: Vec<Value> = found.iter().map(|booking| state.booking_output(booking)).collect();
    let returned = page.len();
    Ok(Reply::ok(json!({
        "status": "success",
        "data": page,
        "pagination": {
            "totalItems": total,
            "remainingItems": total.saturating_sub(skip + returned),
            "returnedItems": returned,
            "itemsPerPage": take,
            "currentPage": skip / take + 1,
            "totalPages": total.div_ceil(take),
            "hasNextPage": skip + take < total,
            "hasPreviousPage": skip > 0,
        },
    })))
}

/// No version header: no filter works, no `pagination`, other names.
pub fn list_old_shape(call: &Call<'_>) -> ApiResult {
    let moment = call.moment();
    let state = call.inner.state();
    let view = state.view(moment);
    let all = view.bookings().take(TAKE_DEFAULT).map(|booking| state.booking_old_shape(booking));
    let bookings: Vec<Value> = all.collect();
    Ok(Reply::ok(json!({"status": "success", "data": {"bookings": bookings, "recurringInfo": [], "nextCursor": null}})))
}

struct Bounds {
    after_start: Option<DateTime<Utc>>,
    before_end: Option<DateTime<Utc>>,
    after_created: Option<DateTime<Utc>>,
    before_created: Option<DateTime<Utc>>,
    after_updated: Option<DateTime<Utc>>,
    before_updated: Option<DateTime<Utc>>,
}

impl Bounds {
    fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let at = |name: &str| match call.query(name) {
            None => Ok(None),
            Some(text) => instant(text).map(Some).ok_or_else(|| {
                let message = format!("{name} must be a valid ISO 8601 date string");
                ApiError::validation(name, "isISO8601", &message)
            }),
        };
        Ok(Self {
            after_start: at("afterStart")?,
            before_end: at("beforeEnd")?,
            after_created: at("afterCreatedAt")?,
            before_created: at("beforeCreatedAt")?,
            after_updated: at("afterUpdatedAt")?,
            before_updated: at("beforeUpdatedAt")?,
        })
    }

    fn start_fits(&self, booking: &Booking) -> bool {
        self.after_start.is_none_or(|bound| booking.start >= bound) && self.before_end.is_none_or(|bound| booking.end <= bound)
    }

    fn touched_fits(&self, booking: &Booking) -> bool {
        self.after_created.is_none_or(|bound| booking.created_at >= bound)
            && self.before_created.is_none_or(|bound| booking.created_at <= bound)
            && self.after_updated.is_none_or(|bound| booking.updated_at >= bound)
            && self.before_updated.is_none_or(|bound| booking.updated_at <= bound)
    }
}

fn fits(call: &Call<'_>, booking: &Booking, now: DateTime<Utc>) -> bool {
    let status = call.query("status").is_none_or(|list| list.split(',').any(|name| has_status(name, booking, now)));
    let attendee = |name: &str, of: fn(&super::model::Attendee) -> &str| {
        call.query(name).is_none_or(|wanted| booking.attendees.iter().any(|attendee| of(attendee) == wanted))
    };
    let mut ids = call.query("eventTypeIds").or(call.query("eventTypeId")).unwrap_or_default().split(',');
    let any_event = call.query("eventTypeIds").is_none() && call.query("eventTypeId").is_none();
    status
        && attendee("attendeeEmail", |attendee| &attendee.email)
        && attendee("attendeeName", |attendee| &attendee.name)
        && call.query("bookingUid").is_none_or(|uid| booking.uid == uid)
        && (any_event || ids.any(|id| id.trim().parse() == Ok(booking.event_type_id)))
}

fn has_status(name: &str, booking: &Booking, now: DateTime<Utc>) -> bool {
    match name.trim() {
        "upcoming" => booking.status.is_live() && booking.end >= now,
        "past" => booking.status.is_live() && booking.end < now,
        "recurring" => booking.recurring_uid.is_some() && booking.status.is_live() && booking.end >= now,
        "cancelled" => matches!(booking.status, Status::Cancelled | Status::Rejected),
        "unconfirmed" => booking.status == Status::Pending && booking.end >= now,
        _ => false,
    }
}

fn sort(call: &Call<'_>, found: &mut [&Booking]) {
    type Key = fn(&Booking) -> DateTime<Utc>;
    let keys: [(&str, Key); 4] = [
        ("sortStart", |booking| booking.start),
        ("sortEnd", |booking| booking.end),
        ("sortCreated", |booking| booking.created_at),
        ("sortUpdatedAt", |booking| booking.updated_at),
    ];
    let wanted = keys.iter().find_map(|(name, key)| call.query(name).map(|direction| (direction, *key)));
    match wanted {
        None => found.sort_by_key(|booking| (booking.start, booking.id)),
        Some(("desc", key)) => found.sort_by_key(|booking| std::cmp::Reverse((key(booking), booking.id))),
        Some((_, key)) => found.sort_by_key(|booking| (key(booking), booking.id)),
    }
}

fn number(call: &Call<'_>, name: &str) -> Result<Option<usize>, ApiError> {
    match call.query(name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let message = format!("{name} must be an integer number");
            ApiError::validation(name, "isInt", &message)
        }),
    }
}
