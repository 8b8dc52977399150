//! What is heard from Cal.com about one booking, as the fold takes it. Not where it came from or by whom: that is its provenance. Made by the roles that hear from
//! Cal.com.

use chrono::{DateTime, Utc};

use super::booking::BookingState;

/// What a fact says happened to its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    Requested,
    Accepted,
    /// It was there, and is over: a sweep finds it ended and cannot tell whether it had been accepted. What ended it is a fact of its own.
    Existed,
    Cancelled,
    RescheduleRequested,
    Rejected,
    NoShow,
    /// The mark of an absence is taken back (calcom reference 2.10).
    NoShowWithdrawn,
}

impl Happening {
    /// It says that the booking exists; everything else is said of one that does.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::Requested | Self::Accepted | Self::Existed)
    }

    /// It says nothing of times.
    #[must_use]
    pub const fn is_attendance(self) -> bool {
        matches!(self, Self::NoShow | Self::NoShowWithdrawn)
    }

    pub(super) const fn state(self) -> Option<BookingState> {
        match self {
            // the least that can be said of one that was there
            Self::Requested | Self::Existed => Some(BookingState::Pending),
            Self::Accepted => Some(BookingState::Accepted),
            Self::Cancelled => Some(BookingState::Cancelled),
            Self::RescheduleRequested => Some(BookingState::RescheduleRequested),
            Self::Rejected => Some(BookingState::Rejected),
            Self::NoShow | Self::NoShowWithdrawn => None,
        }
    }
}

/// The booking that a fact's uid replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    pub uid: String,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
}

/// One thing heard from Cal.com: by webhook, as the answer to our own call, or by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub uid: String,
    pub happening: Happening,
    pub predecessor: Option<Predecessor>,
    pub sequence: i32,
    pub provider_updated_at: Option<DateTime<Utc>>,
    /// Hash of the fact's content: the last tie-break, so that any order of arrival gives the same row.
    pub hash: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub event_type_id: Option<i64>,
    pub booking_id: Option<i64>,
    pub host_user_id: Option<i64>,
    pub seats_per_slot: Option<i32>,
    pub reason: Option<String>,
    /// The provider's time of telling, also where the provenance is that of our own wish: when a host confirmed is not when the caller wished.
    pub told_at: DateTime<Utc>,
}
