//! The client of Cal.com's API v2: one function per operation, one attempt each, and errors that say what to do next.
//!
//! Not the decision to repeat (calcom-sync, through `due_at`), not the rate budget, not the webhooks (`wire::calcom`). Called by calcom-sync, cli and dev.
//! Facts: Cal.com reference section 3.

mod booking;
mod client;
mod error;
mod request;
mod slots;
pub(crate) mod transport;

pub use booking::{Booking, BookingAttendee, BookingPage, EventType, Host, Me, Webhook};
pub use client::{Access, CalcomClient, Credential};
pub use error::{CalcomError, Class, RequestId};
pub use request::{BookingFilter, BookingStatus, NewAttendee, NewBooking, NewWebhook, Sort};
pub use slots::{FreeSlot, SlotQuery};
