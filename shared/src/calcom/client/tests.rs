//! The client against small servers in this process: what it sends, and what it makes of every way to fail.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use serde_json::json;

use super::*;
use crate::calcom::{BookingFilter, Class, FreeSlot, NewAttendee, NewBooking, SlotQuery};
use crate::telemetry::Masked;

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, Value)>>>;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../tests/fixtures/calcom/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn credential() -> Credential {
    Credential { api_key: SecretString::from("cal_test_key") }
}

fn client(base_url: String) -> CalcomClient {
    let config = Calcom { base_url, version_bookings: "2024-08-13".to_owned(), version_event_types: "2024-06-14".to_owned(), timeout: Duration::from_secs(5) };
    CalcomClient::new(&config).unwrap()
}

fn new_booking() -> NewBooking {
    NewBooking {
        event_type_id: 1320,
        start: "2026-07-06T08:00:00Z".parse().unwrap(),
        attendee: NewAttendee {
            name: Masked::new("Jörg Müller".to_owned()),
            email: None,
            phone: Some(Masked::new("+4915112345678".to_owned())),
            time_zone: "Europe/Berlin".to_owned(),
            language: None,
        },
        length_min: None,
        metadata: vec![("intent".to_owned(), json!("t"))],
        notes: None,
        booking_fields: serde_json::Map::new(),
        location: None,
    }
}

/// A server that gives every request the same answer and remembers what it was asked.
async fn answering(status: u16, body: String) -> (String, Seen) {
    let seen = Seen::default();
    let memory = Arc::clone(&seen);
    let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, request: Bytes| async move {
        let request = serde_json::from_slice(&request).unwrap_or(Value::Null);
        memory.lock().unwrap().push((method, uri.to_string(), headers, request));
        let answer: Response = (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere"), ("x-request-id", "req-7")], body).into_response();
        answer
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), seen)
}

/// A server that reads a request and then does what `then` says with the connection.
async fn raw(answer: &'static [u8], hold: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0_u8; 16 * 1024];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(answer).await;
        if hold {
            // Reads until the client gives up.
            while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {}
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_prefix_is_kept_and_every_family_has_its_version() {
    let (base, seen) = answering(201, fixture("api-201-booking-create.json")).await;
    let (credential, client) = (credential(), client(format!("{base}/api/v2/")));
    let booking = client.create_booking(Access::new(&credential), &new_booking()).await.unwrap();
    assert_eq!(booking.uid, "2NtaeaVcKfpmSZ4CthFdfk");
    client.cancel(Access::new(&credential), &booking.uid, " ").await.unwrap();
    client.event_type(Access::new(&credential), 1320).await.unwrap();
    client.me(Access::new(&credential)).await.unwrap();

    let seen = seen.lock().unwrap();
    let paths: Vec<_> = seen.iter().map(|(method, uri, ..)| format!("{method} {uri}")).collect();
    assert_eq!(paths, ["POST /api/v2/bookings", "POST /api/v2/bookings/2NtaeaVcKfpmSZ4CthFdfk/cancel", "GET /api/v2/event-types/1320", "GET /api/v2/me"]);
    let versions: Vec<_> = seen.iter().map(|(.., headers, _)| headers.get("cal-api-version").map(|value| value.to_str().unwrap())).collect();
    assert_eq!(versions, [Some("2024-08-13"), Some("2024-08-13"), Some("2024-06-14"), None]);
    assert!(seen.iter().all(|(.., headers, _)| headers["authorization"] == "Bearer cal_test_key"));
    assert_eq!(seen[1].3, json!({"cancellationReason": "not_given"}));
}

#[tokio::test]
async fn a_missing_v2_is_added_and_filters_are_sent() {
    let (base, seen) = answering(200, fixture("api-200-booking-list.json")).await;
    let credential = credential();
    let filter = BookingFilter { event_type_id: Some(1320), take: 10, ..BookingFilter::default() };
    let page = client(base).list_bookings(Access::new(&credential), &filter).await.unwrap();
    assert_eq!((page.returned, page.total_items), (1, Some(1)));
    assert_eq!(seen.lock().unwrap()[0].1, "/v2/bookings?eventTypeId=1320&take=10");
}

#[tokio::test]
async fn slots_are_asked_for_with_their_own_version_and_unreadable_ones_are_no_empty_day() {
    let (base, seen) = answering(200, json!({"status": "success", "data": {"2026-07-06": [{"start": "2026-07-06T08:00:00.000Z"}]}}).to_string()).await;
    let credential = credential();
    let at = |text: &str| text.parse().unwrap();
    let query = SlotQuery {
        event_type_id: 1320,
        from: at("2026-07-06T00:00:00Z"),
        to: at("2026-07-07T00:00:00Z"),
        duration_minutes: Some(45),
        moved_uid: Some("abc".to_owned()),
    };
    let slots = client(base).free_slots(Access::new(&credential), &query).await.unwrap();
    assert_eq!(slots, [FreeSlot { starts_at: at("2026-07-06T08:00:00Z"), seats_remaining: None }]);
    let (_, uri, headers, _) = seen.lock().unwrap()[0].clone();
    assert_eq!(uri, "/v2/slots?eventTypeId=1320&start=2026-07-06T00%3A00%3A00Z&end=2026-07-07T00%3A00%3A00Z&duration=45&bookingUidToReschedule=abc");
    assert_eq!(headers["cal-api-version"], "2024-09-04");

    for body in ["{}", r#"{"data": []}"#] {
        let (base, _) = answering(200, body.to_owned()).await;
        let error = client(base).free_slots(Access::new(&credential), &query).await.unwrap_err();
        assert_eq!(error.class(), Class::UnexpectedAnswer);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (base, seen) = answering(302, String::new()).await;
    let credential = credential();
    let error = client(base).me(Access::new(&credential)).await.unwrap_err();
    assert_eq!(error.class(), Class::UnexpectedAnswer);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_one_attempt_with_its_class_and_request_id() {
    let (base, seen) = answering(500, fixture("api-500-shape-b.json")).await;
    let credential = credential();
    let error = client(base).create_booking(Access::new(&credential), &new_booking()).await.unwrap_err();
    assert_eq!((error.class(), error.request_id(), error.status()), (Class::UnknownOutcome, Some("req-7"), Some(500)));
    assert_eq!(seen.lock().unwrap().len(), 1, "a POST is never repeated here");

    let (base, _) = answering(404, fixture("api-404-booking.json")).await;
    assert!(client(base).get_booking(Access::new(&credential), "nope").await.unwrap().is_none());
}

#[tokio::test]
async fn a_decoy_is_not_a_booking() {
    let decoy = r#"{"status":"success","data":{"id":0,"uid":"x","start":"2026-07-06T08:00:00.000Z","status":"accepted"}}"#;
    let (base, _) = answering(201, decoy.to_owned()).await;
    let credential = credential();
    let error = client(base).create_booking(Access::new(&credential), &new_booking()).await.unwrap_err();
    assert_eq!(error.class(), Class::Decoy);
}

#[tokio::test]
async fn an_unreadable_success_of_a_write_is_an_unknown_outcome() {
    let credential = credential();
    for body in ["<html>ok</html>", "", r#"{"status":"success","data":{}}"#, r#"{"data":[]}"#] {
        let (base, _) = answering(201, body.to_owned()).await;
        let client = client(base);
        let write = client.create_booking(Access::new(&credential), &new_booking()).await.unwrap_err();
        assert_eq!(write.class(), Class::UnknownOutcome, "{body}");
        let read = client.get_booking(Access::new(&credential), "abc").await.unwrap_err();
        assert_eq!(read.class(), Class::UnexpectedAnswer, "{body}");
    }
}

#[tokio::test]
async fn no_connection_is_certainly_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let credential = credential();
    let error = client(format!("http://{address}")).create_booking(Access::new(&credential), &new_booking()).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
}

#[tokio::test]
async fn a_connection_lost_after_sending_is_an_unknown_outcome_and_shows_no_uid() {
    let credential = credential();
    let at = "2026-07-06T08:00:00Z".parse().unwrap();
    let half = b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"status\"";
    for answer in [&b""[..], &b"HTTP/1.1 201 Cre"[..], &half[..]] {
        let client = client(raw(answer, false).await);
        let error = client.reschedule(Access::new(&credential), "2NtaeaVcKfpmSZ4CthFdfk", at, "", None).await.unwrap_err();
        assert_eq!(error.class(), Class::UnknownOutcome);
        let mut printed = format!("{error:?}");
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(cause) = source {
            printed = format!("{printed} {cause}");
            source = cause.source();
        }
        assert!(!printed.contains("2Ntaea") && !printed.contains("cal_test_key"), "{printed}");
    }
}

#[tokio::test]
async fn a_timeout_is_an_unknown_outcome() {
    let client = client(raw(b"", true).await);
    let credential = credential();
    let access = Access::new(&credential).within(Duration::from_millis(100));
    let error = client.create_booking(access, &new_booking()).await.unwrap_err();
    assert_eq!(error.class(), Class::UnknownOutcome);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (base, _) = answering(200, "x".repeat(ANSWER_BYTES_MAX + 1)).await;
    let credential = credential();
    let error = client(base).me(Access::new(&credential)).await.unwrap_err();
    assert_eq!(error.class(), Class::UnexpectedAnswer);
}

#[tokio::test]
async fn an_id_cannot_leave_its_path_segment() {
    let client = client("http://127.0.0.1:9".to_owned());
    let credential = credential();
    for hostile in ["", "..", "a/../../me", "a?b", "a#b", "ä", "a b", "%2e%2e"] {
        let error = client.cancel(Access::new(&credential), hostile, "x").await.unwrap_err();
        assert_eq!(error.class(), Class::InvalidRequest, "{hostile}");
    }
    let bad_key = Credential { api_key: SecretString::from("cal_\n") };
    assert_eq!(client.me(Access::new(&bad_key)).await.unwrap_err().class(), Class::InvalidRequest);
}
