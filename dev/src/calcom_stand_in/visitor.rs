//! People in Cal.com's own pages: a web visitor or the host books, moves, cancels. The webhooks differ from those of API
//! changes in content only: no tags, a video link, `cancelledBy` and `rescheduledBy` (2.2, 2.4).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::decide::Cancellation;
use super::echo::Echo;
use super::errors::ApiError;
use super::model::{Attendee, Booking, By, Status};
use super::order::Order;
use super::payload::{Long, ping_payload};
use super::reschedule::Move;
use super::state::State;
use super::{Inner, book::Booked};
use crate::stand_in::json_order::OrderedMap;

#[derive(Debug, Clone, Deserialize)]
pub struct VisitorBooking {
    pub event_type_id: i64,
    pub start: DateTime<Utc>,
    pub name: String,
    pub email: String,
    #[serde(default)]
    pub phone: Option<String>,
    #[serde(default)]
    pub notes: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct VisitorMove {
    pub uid: String,
    pub start: DateTime<Utc>,
    /// The host moves it instead of the visitor.
    #[serde(default)]
    pub as_host: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct VisitorCancel {
    pub uid: String,
    #[serde(default)]
    pub reason: Option<String>,
    /// The host cancels it instead of the visitor.
    #[serde(default)]
    pub as_host: bool,
}

impl Inner {
    pub(super) async fn visitor_book(&self, wish: VisitorBooking) -> Result<Booking, ApiError> {
        let order = Order {
            event_type_id: wish.event_type_id,
            start: wish.start,
            length_minutes: None,
            attendee: Attendee {
                name: wish.name,
                email: wish.email,
                phone_number: wish.phone,
                time_zone: Tz::Europe__Berlin,
                language: "de".to_owned(),
                absent: false,
                seat_uid: None,
            },
            guests: Vec::new(),
            metadata: OrderedMap::default(),
            notes: wish.notes,
            fields: OrderedMap::default(),
            recurrence_count: None,
            by: By::Visitor,
        };
        let (uid, echo) = {
            let now = self.clock.now();
            let mut state = self.state();
            let (uid, seat) = match state.book(&order, None, now)? {
                Booked::New(uid) => (uid, None),
                Booked::Seat { uid, seat_uid } => (uid, Some(seat_uid)),
                Booked::Existing(uid) => return found(&state, &uid),
                Booked::Series(_) => {
                    return Err(ApiError::bare(400, "a visitor books no series here"));
                }
            };
            let echo = state.made_echo(&uid, seat.as_deref(), now);
            (uid, echo)
        };
        self.announce_now(echo).await;
        found(&self.state(), &uid)
    }

    pub(super) async fn visitor_reschedule(&self, wish: VisitorMove) -> Result<Booking, ApiError> {
        let (uid, echo) = {
            let now = self.clock.now();
            let mut state = self.state();
            let order = Move {
                moved_by: Some(state.person(&wish.uid, wish.as_host)),
                uid: wish.uid,
                start: wish.start,
                // The UI writes the reason into another field than the one that GET reads (2.3).
                reason: None,
                by: side(wish.as_host),
            };
            let uid = state.reschedule(&order, None, now)?;
            let echo = state.moved_echo(&uid, now);
            (uid, echo)
        };
        self.announce_now(echo).await;
        found(&self.state(), &uid)
    }

    pub(super) async fn visitor_cancel(&self, wish: VisitorCancel) -> Result<Booking, ApiError> {
        let order = {
            let state = self.state();
            Cancellation {
                cancelled_by: state.person(&wish.uid, wish.as_host),
                uid: wish.uid,
                seat_uid: None,
                reason: wish.reason,
                by: side(wish.as_host),
                host_key: false,
            }
        };
        let (uids, later) = self.cancel(&order, None).await?;
        for echo in &later {
            self.deliver(echo).await;
        }
        let first = uids.first().map(String::as_str).unwrap_or_default();
        found(&self.state(), first)
    }

    /// The whole cancelling in Cal.com's order: look, send the webhook, change the row (1.6). What must follow the
    /// answer is handed back.
    pub(super) async fn cancel(&self, order: &Cancellation, request_id: Option<&str>) -> Result<(Vec<String>, Vec<Echo>), ApiError> {
        let (uids, echo) = {
            let now = self.clock.now();
            let state = self.state();
            let uids = state.cancellable(order, now)?;
            let first = uids.first().and_then(|uid| state.booking(uid));
            let whole_series = first.is_some_and(|booking| booking.uid != order.uid);
            let echo = first.and_then(|booking| {
                let payload = state.cancelled_payload(booking, order, whole_series);
                state.echo_of("BOOKING_CANCELLED", &booking.uid, payload, now)
            });
            (uids, echo)
        };
        let later = self.announce(echo).await;
        let now = self.clock.now();
        let mut state = self.state();
        for uid in &uids {
            state.cancel(uid, order, request_id, now)?;
        }
        Ok((uids, later))
    }

    /// Confirm or reject; used by the API and by the host's UI.
    pub(super) async fn decide(
        &self,
        uid: &str,
        accept: bool,
        reason: Option<String>,
        by: By,
        request_id: Option<&str>,
    ) -> Result<(Booking, Vec<Echo>), ApiError> {
        let (booking, echo) = {
            let now = self.clock.now();
            let mut state = self.state();
            let (booking, kind) = match accept {
                true => (state.confirm(uid, by, request_id, now)?, Long::Confirmed),
                false => (state.reject(uid, reason, by, request_id, now)?, Long::Rejected),
            };
            let payload = state.long_payload(&booking, kind, None);
            let echo = state.echo_of(kind.trigger(), uid, payload, now);
            (booking, echo)
        };
        let later = self.announce(echo).await;
        if by == By::Host {
            for echo in &later {
                self.deliver(echo).await;
            }
            return Ok((booking, Vec::new()));
        }
        Ok((booking, later))
    }

    pub(super) async fn ping(&self) {
        let now = self.clock.now();
        self.deliver(&Echo { trigger: "PING".to_owned(), uid: None, created_at: now, payload: ping_payload(now), users: Vec::new(), event_type_id: None })
            .await;
    }

    /// The UI waits for no API answer: "after" is now.
    async fn announce_now(&self, echo: Option<Echo>) {
        for echo in self.announce(echo).await {
            self.deliver(&echo).await;
        }
    }
}

impl State {
    /// CREATED, or REQUESTED where the event type wants a confirmation.
    pub fn made_echo(&self, uid: &str, seat_uid: Option<&str>, now: DateTime<Utc>) -> Option<Echo> {
        let booking = self.booking(uid)?;
        let kind = if booking.status == Status::Pending { Long::Requested } else { Long::Created };
        self.echo_of(kind.trigger(), uid, self.long_payload(booking, kind, seat_uid), now)
    }

    /// RESCHEDULED, or REQUESTED with the old uid in it.
    pub fn moved_echo(&self, uid: &str, now: DateTime<Utc>) -> Option<Echo> {
        let booking = self.booking(uid)?;
        let kind = if booking.status == Status::Pending { Long::Requested } else { Long::Rescheduled };
        self.echo_of(kind.trigger(), uid, self.long_payload(booking, kind, None), now)
    }

    /// E-mail of the organizer or of the booker.
    fn person(&self, uid: &str, host: bool) -> String {
        let Some(booking) = self.booking(uid) else {
            return String::new();
        };
        let organizer = booking.organizer_id().and_then(|id| self.hosts.get(&id)).map(|host| host.email.clone());
        let booker = booking.attendees.first().map(|attendee| attendee.email.clone());
        if host { organizer } else { booker }.unwrap_or_default()
    }
}

fn side(as_host: bool) -> By {
    if as_host { By::Host } else { By::Visitor }
}

fn found(state: &State, uid: &str) -> Result<Booking, ApiError> {
    state.booking(uid).cloned().ok_or_else(|| ApiError::no_booking(uid))
}
