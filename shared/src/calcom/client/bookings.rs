//! The bookings family: create, get, list, move, cancel, confirm, decline. Reference sections 3.3 to 3.11.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Access, Answer, CalcomClient, Operation, data, plain, segment};
use crate::calcom::booking::{Booking, BookingPage};
use crate::calcom::error::{CalcomError, Class};
use crate::calcom::request::{BookingFilter, NewBooking, reason_text, utc_text};

impl CalcomClient {
    /// Creates a booking. The answer is ours only if its metadata carries our token with the same event type and start (incident 7): the caller checks.
    ///
    /// # Errors
    /// By class; [`Class::Decoy`] for a fake success.
    pub async fn create_booking(&self, access: Access<'_>, new: &NewBooking) -> Result<Booking, CalcomError> {
        let operation = self.bookings("create a booking", Method::POST, "/bookings".to_owned(), Some(new.to_json()));
        let answer = self.call(access, &operation).await?;
        let booking = one(&operation, &answer, |booking| booking.start == new.start)?;
        if booking.is_decoy() {
            let Answer { status, request_id, .. } = answer;
            return Err(CalcomError::Refused { operation: operation.name, class: Class::Decoy, status, request_id });
        }
        Ok(booking)
    }

    /// The booking of that uid; `Ok(None)` if Cal.com does not know it. Reads lag behind writes: absence right after a write proves nothing.
    ///
    /// # Errors
    /// By class.
    pub async fn get_booking(&self, access: Access<'_>, uid: &str) -> Result<Option<Booking>, CalcomError> {
        let bookings = self.get_bookings(access, uid).await?;
        Ok(bookings.into_iter().min_by_key(|booking| booking.uid != uid))
    }

    /// The bookings of that uid: one, or all of a series if it is a series' uid; empty if Cal.com does not know it.
    ///
    /// # Errors
    /// By class.
    pub async fn get_bookings(&self, access: Access<'_>, uid: &str) -> Result<Vec<Booking>, CalcomError> {
        const NAME: &str = "get a booking";
        let operation = self.bookings(NAME, Method::GET, format!("/bookings/{}", segment(NAME, uid)?), None);
        match self.call(access, &operation).await {
            Ok(answer) => many(&operation, &answer),
            Err(error) if error.class() == Class::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// One page of bookings.
    ///
    /// # Errors
    /// By class.
    pub async fn list_bookings(&self, access: Access<'_>, filter: &BookingFilter) -> Result<BookingPage, CalcomError> {
        let mut operation = self.bookings("list bookings", Method::GET, "/bookings".to_owned(), None);
        operation.query = filter.to_query();
        let answer = self.call(access, &operation).await?;
        BookingPage::from_answer(&answer.value).ok_or_else(|| operation.unreadable("not a list of bookings", answer.status, answer.request_id))
    }

    /// Moves a booking; the answer is the **new** booking with a new uid, which must be stored (incident 3). Verify its start and duration.
    ///
    /// # Errors
    /// By class; [`Class::AlreadyRescheduled`] names the successor. A failed move never creates a booking (incident 5).
    pub async fn reschedule(
        &self,
        access: Access<'_>,
        uid: &str,
        start: DateTime<Utc>,
        reason: &str,
        rescheduled_by: Option<&str>,
    ) -> Result<Booking, CalcomError> {
        const NAME: &str = "move a booking";
        let mut body = json!({ "start": utc_text(start), "reschedulingReason": reason_text(reason) });
        if let Some(email) = rescheduled_by {
            body["rescheduledBy"] = json!(email);
        }
        let operation = self.bookings(NAME, Method::POST, format!("/bookings/{}/reschedule", segment(NAME, uid)?), Some(body));
        let answer = self.call(access, &operation).await?;
        one(&operation, &answer, |booking| booking.start == start)
    }

    /// Cancels a booking, always with a reason, always by POST (incident 4). A series' uid cancels all that remain, hence a list.
    ///
    /// # Errors
    /// By class; [`Class::AlreadyCancelled`] is success to whoever wanted it cancelled.
    pub async fn cancel(&self, access: Access<'_>, uid: &str, reason: &str) -> Result<Vec<Booking>, CalcomError> {
        const NAME: &str = "cancel a booking";
        let body = json!({ "cancellationReason": reason_text(reason) });
        let operation = self.bookings(NAME, Method::POST, format!("/bookings/{}/cancel", segment(NAME, uid)?), Some(body));
        let answer = self.call(access, &operation).await?;
        many(&operation, &answer)
    }

    /// Confirms a pending booking.
    ///
    /// # Errors
    /// By class.
    pub async fn confirm(&self, access: Access<'_>, uid: &str) -> Result<Booking, CalcomError> {
        const NAME: &str = "confirm a booking";
        let operation = self.bookings(NAME, Method::POST, format!("/bookings/{}/confirm", segment(NAME, uid)?), Some(json!({})));
        let answer = self.call(access, &operation).await?;
        one(&operation, &answer, |booking| booking.uid == uid)
    }

    /// Declines a pending booking.
    ///
    /// # Errors
    /// By class.
    pub async fn decline(&self, access: Access<'_>, uid: &str, reason: &str) -> Result<Booking, CalcomError> {
        const NAME: &str = "decline a booking";
        let body = json!({ "reason": reason_text(reason) });
        let operation = self.bookings(NAME, Method::POST, format!("/bookings/{}/decline", segment(NAME, uid)?), Some(body));
        let answer = self.call(access, &operation).await?;
        one(&operation, &answer, |booking| booking.uid == uid)
    }

    fn bookings(&self, name: &'static str, method: Method, path: String, body: Option<Value>) -> Operation<'_> {
        Operation { version: Some(&self.version_bookings), ..plain(name, method, path, body) }
    }
}

fn many(operation: &Operation<'_>, answer: &Answer) -> Result<Vec<Booking>, CalcomError> {
    Booking::one_or_many(data(answer)).ok_or_else(|| operation.unreadable("not a booking", answer.status, answer.request_id.clone()))
}

/// The wanted booking of an answer; of a series that we did not ask for, the fitting one, else the first.
fn one(operation: &Operation<'_>, answer: &Answer, wanted: impl Fn(&Booking) -> bool) -> Result<Booking, CalcomError> {
    let bookings = many(operation, answer)?;
    let found = bookings.into_iter().min_by_key(|booking| !wanted(booking));
    found.ok_or_else(|| operation.unreadable("not a booking", answer.status, answer.request_id.clone()))
}
