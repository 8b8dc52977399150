//! Every `api-*` answer of the fixtures, given to the real client by a server with that status: what it is read as. Listed complete by `fixture_table`.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use secrecy::SecretString;
use shared::calcom::{Access, Booking, BookingFilter, CalcomClient, CalcomError, Credential, NewAttendee, NewBooking, NewWebhook};
use shared::config::Calcom;
use shared::telemetry::Masked;
use tests::fixtures;

/// One answer.
pub struct ApiAnswer {
    pub file: &'static str,
    read: Read,
}

/// By which operation it is read, and as what.
enum Read {
    /// Uid and status of every booking in the answer.
    Create(&'static [(&'static str, &'static str)]),
    Reschedule(&'static [(&'static str, &'static str)]),
    Cancel(&'static [(&'static str, &'static str)]),
    Get(&'static [(&'static str, &'static str)]),
    List(&'static [(&'static str, &'static str)]),
    Webhook,
    /// The class of the error, from a create.
    Class(&'static str),
    /// No code of this version reads it: slots and holds come with the live call's issue.
    Nobody,
}

const fn answer(file: &'static str, read: Read) -> ApiAnswer {
    ApiAnswer { file, read }
}

const OLD: &str = "2NtaeaVcKfpmSZ4CthFdfk";
const NEW: &str = "kRsb9ejo1HVZ9XxVPqMxDe";

/// All of them.
pub const TABLE: [ApiAnswer; 21] = [
    answer("api-200-booking-cancel.json", Read::Cancel(&[(NEW, "cancelled")])),
    answer("api-200-booking-get-old-after-reschedule.json", Read::Get(&[(OLD, "cancelled")])),
    answer("api-200-booking-list.json", Read::List(&[(OLD, "accepted")])),
    answer("api-200-slots-empty.json", Read::Nobody),
    answer("api-200-slots.json", Read::Nobody),
    answer(
        "api-201-booking-create-recurring.json",
        Read::Get(&[("sErIe01xxxxxxxxxxxxxxx", "accepted"), ("sErIe02xxxxxxxxxxxxxxx", "accepted"), ("sErIe03xxxxxxxxxxxxxxx", "accepted")]),
    ),
    answer("api-201-booking-create.json", Read::Create(&[(OLD, "accepted")])),
    answer("api-201-booking-reschedule.json", Read::Reschedule(&[(NEW, "accepted")])),
    answer("api-201-slot-reservation.json", Read::Nobody),
    answer("api-201-webhook-create.json", Read::Webhook),
    answer("api-400-already-cancelled.json", Read::Class("already_cancelled")),
    answer("api-400-already-rescheduled.json", Read::Class("already_rescheduled")),
    answer("api-400-out-of-bounds.json", Read::Class("out_of_bounds")),
    answer("api-400-slot-taken.json", Read::Class("slot_taken")),
    answer("api-400-validation.json", Read::Class("invalid_request")),
    answer("api-401.json", Read::Class("credential_rejected")),
    answer("api-404-booking.json", Read::Class("not_found")),
    answer("api-409-booking-conflict-shape-b.json", Read::Class("conflict")),
    answer("api-422-slot-reserved.json", Read::Class("slot_taken")),
    answer("api-429.json", Read::Class("throttled")),
    answer("api-500-shape-b.json", Read::Class("unknown_outcome")),
];

/// Calcom reference 3.10 and 3.13: both error shapes, an array where one booking was asked for, the old uid after a move.
#[tokio::test]
async fn every_api_answer_of_the_fixtures_is_read_as_what_it_is() {
    for answer in &TABLE {
        let client = client_of(answer.file).await;
        let credential = Credential { api_key: SecretString::from("cal_test_key") };
        let access = Access::new(&credential);
        let start = "2026-07-06T08:00:00Z".parse().unwrap();
        let told: (&[(&str, &str)], Vec<Booking>) = match &answer.read {
            Read::Nobody => continue,
            Read::Create(expected) => (expected, vec![client.create_booking(access, &new_booking()).await.unwrap()]),
            Read::Reschedule(expected) => (expected, vec![client.reschedule(access, OLD, start, "Test", None).await.unwrap()]),
            Read::Cancel(expected) => (expected, client.cancel(access, NEW, "Test").await.unwrap()),
            Read::Get(expected) => (expected, client.get_bookings(access, OLD).await.unwrap()),
            Read::List(expected) => (expected, client.list_bookings(access, &BookingFilter { take: 10, ..BookingFilter::default() }).await.unwrap().bookings),
            Read::Webhook => {
                let new = NewWebhook {
                    subscriber_url: "https://example.org/v1".into(),
                    triggers: vec!["BOOKING_CREATED".into()],
                    secret: SecretString::from("whsec"),
                };
                let made = client.create_webhook(access, &new).await.unwrap();
                assert!(made.active && !format!("{made:?}").contains("whsec"), "the answer echoes the secret");
                continue;
            }
            Read::Class(class) => {
                let error: CalcomError = client.create_booking(access, &new_booking()).await.unwrap_err();
                assert_eq!(error.class().name(), *class, "{}", answer.file);
                continue;
            }
        };
        let seen: Vec<(&str, &str)> = told.1.iter().map(|booking| (booking.uid.as_str(), booking.status.as_str())).collect();
        assert_eq!(seen, told.0, "{}", answer.file);
    }
}

/// A client of a server that gives every request this file, with the status of its name.
async fn client_of(file: &'static str) -> CalcomClient {
    let status: u16 = file.split(['-', '.']).nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{file} names its status"));
    let body = fixtures::bytes(&format!("calcom/{file}"));
    let limited = [("x-ratelimit-limit-default", "120"), ("x-ratelimit-remaining-default", "0"), ("x-ratelimit-reset-default", "60")];
    let router = Router::new().fallback(move || async move { (StatusCode::from_u16(status).unwrap(), limited, body).into_response() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = Calcom { base_url, version_bookings: "2024-08-13".into(), version_event_types: "2024-06-14".into(), timeout: Duration::from_secs(5) };
    CalcomClient::new(&config).unwrap()
}

fn new_booking() -> NewBooking {
    NewBooking {
        event_type_id: 1320,
        start: "2026-07-06T08:00:00Z".parse().unwrap(),
        attendee: NewAttendee {
            name: Masked::new("Test".to_owned()),
            email: None,
            phone: Some(Masked::new("+4915100000000".to_owned())),
            time_zone: "Europe/Berlin".to_owned(),
            language: None,
        },
        length_min: None,
        metadata: Vec::new(),
        notes: None,
        booking_fields: serde_json::Map::new(),
        location: None,
    }
}
