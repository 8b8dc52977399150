//! The shapes behind `payload`: only fields, in the order in which Cal.com prints them. No decisions here.

use serde::Serialize;
use serde_json::Value;

use super::model::{Attendee, Booking, Host};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created<'a> {
    pub booker_url: &'a str,
    pub title: &'a str,
    pub start_time: String,
    pub end_time: String,
    pub additional_notes: &'a str,
    #[serde(rename = "type")]
    pub slug: &'a str,
    pub description: &'a str,
    pub event_type_id: i64,
    pub hide_calendar_notes: bool,
    pub hide_calendar_event_details: bool,
    pub hide_organizer_email: bool,
    pub scheduling_type: Option<&'a str>,
    pub seats_per_time_slot: Option<usize>,
    pub seats_show_attendees: bool,
    pub seats_show_availability_count: bool,
    pub custom_reply_to_email: Option<&'a str>,
    pub disable_rescheduling: bool,
    pub disable_cancelling: bool,
    pub organizer: CreatedOrganizer<'a>,
    pub attendees: Vec<AttendeeOut<'a>>,
    pub custom_inputs: Value,
    pub responses: Responses<'a>,
    pub user_fields_responses: Value,
    pub location: &'a str,
    pub destination_calendar: Option<[Calendar<'a>; 1]>,
    #[serde(rename = "iCalUID")]
    pub ical_uid: &'a str,
    #[serde(rename = "iCalSequence")]
    pub ical_sequence: i64,
    pub requires_confirmation: bool,
    pub organization_id: Option<i64>,
    pub hashed_link: Option<&'a str>,
    pub uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time_password: Option<&'a str>,
    pub apps_status: Vec<AppStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_call_data: Option<Video<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attendee_seat_id: Option<&'a str>,
    pub event_title: &'a str,
    pub event_description: &'a str,
    pub price: i64,
    pub currency: &'a str,
    pub length: i64,
    pub booking_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring_event: Option<Recurring>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<crate::stand_in::json_order::OrderedMap>,
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescheduled_by: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled<'a> {
    pub booker_url: &'a str,
    pub title: &'a str,
    pub length: i64,
    #[serde(rename = "type")]
    pub slug: &'a str,
    pub additional_notes: &'a str,
    pub description: &'a str,
    pub custom_inputs: Value,
    pub event_type_id: i64,
    pub responses: Responses<'a>,
    pub user_fields_responses: Value,
    pub start_time: String,
    pub end_time: String,
    pub organizer: CancelledOrganizer<'a>,
    pub attendees: Vec<CancelledAttendee<'a>>,
    pub uid: &'a str,
    pub booking_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring_event: Option<Recurring>,
    pub location: &'a str,
    pub destination_calendar: [Value; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<&'a str>,
    pub seats_per_time_slot: Option<usize>,
    pub seats_show_attendees: bool,
    #[serde(rename = "iCalUID")]
    pub ical_uid: &'a str,
    #[serde(rename = "iCalSequence")]
    pub ical_sequence: i64,
    pub hide_organizer_email: bool,
    pub custom_reply_to_email: Option<&'a str>,
    pub organization_id: Option<i64>,
    pub event_title: &'a str,
    pub event_description: &'a str,
    pub requires_confirmation: Option<bool>,
    pub price: Option<i64>,
    pub currency: &'a str,
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<&'a str>,
}

#[derive(Serialize)]
pub struct Locale<'a> {
    pub locale: &'a str,
}

/// Weekly is 2 in the numbering of the recurrence rules that Cal.com uses.
#[derive(Serialize)]
pub struct Recurring {
    pub freq: u8,
    pub count: usize,
    pub interval: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrganizer<'a> {
    pub id: i64,
    pub name: &'a str,
    pub email: &'a str,
    pub username: &'a str,
    pub time_zone: &'a str,
    pub language: Locale<'a>,
    pub time_format: &'a str,
    pub utc_offset: i32,
}

/// The same person as in `CreatedOrganizer`, printed in another order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelledOrganizer<'a> {
    pub id: i64,
    pub username: &'a str,
    pub email: &'a str,
    pub name: &'a str,
    pub time_zone: &'a str,
    pub time_format: &'a str,
    pub language: Locale<'a>,
    pub utc_offset: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttendeeOut<'a> {
    pub email: &'a str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<&'a str>,
    pub first_name: &'a str,
    pub last_name: &'a str,
    pub time_zone: &'a str,
    pub language: Locale<'a>,
    pub utc_offset: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelledAttendee<'a> {
    pub name: &'a str,
    pub email: &'a str,
    pub time_zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<&'a str>,
    pub language: Locale<'a>,
    pub utc_offset: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Responses<'a> {
    name: Field<&'a str>,
    email: Field<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attendee_phone_number: Option<Field<&'a str>>,
    location: Field<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Field<&'a str>>,
    guests: Field<&'a [String]>,
    /// Stays without a value for moves made by the API (the quirk of reference/calcom.md 2.3).
    reschedule_reason: Field<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Field<T> {
    label: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<T>,
    is_hidden: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    option_value: &'static str,
    value: &'static str,
}

impl<'a> Responses<'a> {
    pub fn of(booking: &'a Booking, attendee: &'a Attendee) -> Self {
        fn field<T>(label: &'static str, value: Option<T>) -> Field<T> {
            Field { label, value, is_hidden: false }
        }
        let notes = Some(booking.notes.as_str()).filter(|notes| !notes.is_empty());
        Self {
            name: field("your_name", Some(&attendee.name)),
            email: field("email_address", Some(&attendee.email)),
            attendee_phone_number: attendee.phone_number.as_deref().map(|phone| field("phone_number", Some(phone))),
            location: field("location", Some(Place { option_value: "", value: "inPerson" })),
            notes: notes.map(|notes| field("additional_notes", Some(notes))),
            guests: field("additional_guests", Some(&booking.guests)),
            reschedule_reason: field("reason_for_reschedule", None),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar<'a> {
    id: i64,
    integration: &'static str,
    external_id: &'a str,
    primary_email: &'a str,
    user_id: i64,
    event_type_id: Option<i64>,
    credential_id: i64,
    delegation_credential_id: Option<i64>,
    domain_wide_delegation_credential_id: Option<i64>,
}

impl<'a> Calendar<'a> {
    pub fn of(host: &'a Host) -> Self {
        Self {
            id: 88,
            integration: "google_calendar",
            external_id: &host.email,
            primary_email: &host.email,
            user_id: host.id,
            event_type_id: None,
            credential_id: 501,
            delegation_credential_id: None,
            domain_wide_delegation_credential_id: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    app_name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    success: u8,
    failures: u8,
    errors: [String; 0],
}

impl AppStatus {
    pub fn calendar() -> Self {
        Self { app_name: "google-calendar", kind: "google_calendar", success: 1, failures: 0, errors: [] }
    }
}

#[derive(Serialize)]
pub struct Video<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    password: &'static str,
    url: String,
}

impl<'a> Video<'a> {
    pub fn of(booking: &'a Booking) -> Self {
        Self { kind: "daily_video", id: &booking.uid[..6], password: "x", url: booking.video_url() }
    }
}
