//! Tables for routing: what each body means before anything is decoded.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::*;
use crate::verify::{SigningKey, calcom, retell};

const NOW_MS: i64 = 1_760_716_800_000;

fn mac(parts: [&[u8]; 2]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    parts.into_iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

fn retell_route(body: impl Into<Bytes>) -> RetellRoute {
    let body = body.into();
    let now: DateTime<Utc> = DateTime::from_timestamp_millis(NOW_MS).unwrap();
    let header = format!("v={NOW_MS},d={}", mac([&body, NOW_MS.to_string().as_bytes()]));
    let keys = [SigningKey::new(b"secret", None).unwrap()];
    of_retell(&retell::verify(retell::claim(header.as_bytes(), now).unwrap(), Uuid::nil(), &keys, body, now).unwrap())
}

fn calcom_route(body: impl Into<Bytes>) -> CalcomRoute {
    let body = body.into();
    let keys = [SigningKey::new(b"secret", None).unwrap()];
    let claim = calcom::claim(mac([&body, &[]]).as_bytes()).unwrap();
    of_calcom(&calcom::verify(claim, Uuid::nil(), &keys, body, DateTime::UNIX_EPOCH).unwrap())
}

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_retell_fixture_has_its_route() {
    for (file, expected) in [
        ("call_inbound.json", RetellRoute::CallInbound),
        ("call_started.json", RetellRoute::Event(Kind::RetellCallStarted)),
        ("call_ended.json", RetellRoute::Event(Kind::RetellCallEnded)),
        ("call_analyzed.json", RetellRoute::Event(Kind::RetellCallAnalyzed)),
        ("extra_call_ended_not_connected.json", RetellRoute::Event(Kind::RetellCallEnded)),
        ("extra_transfer_started.json", RetellRoute::Event(Kind::RetellTransferStarted)),
        ("custom_function.json", RetellRoute::Function(Some(Function::CheckAvailability))),
    ] {
        assert_eq!(retell_route(fixture(&format!("retell/{file}"))), expected, "{file}");
    }
}

#[test]
fn every_calcom_fixture_has_its_route() {
    for (file, expected) in [
        ("01-booking-created-api-echo", CalcomRoute::Event(Kind::CalcomBookingCreated)),
        ("02-booking-created-ui", CalcomRoute::Event(Kind::CalcomBookingCreated)),
        ("03-booking-rescheduled", CalcomRoute::Event(Kind::CalcomBookingRescheduled)),
        ("04-booking-cancelled", CalcomRoute::Event(Kind::CalcomBookingCancelled)),
        ("06-booking-cancelled-request-reschedule", CalcomRoute::Event(Kind::CalcomBookingCancelled)),
        ("07-booking-requested", CalcomRoute::Event(Kind::CalcomBookingRequested)),
        ("10-booking-rejected", CalcomRoute::Event(Kind::CalcomBookingRejected)),
        ("12-booking-no-show-updated", CalcomRoute::Event(Kind::CalcomBookingNoShowUpdated)),
        ("13-meeting-ended-flat", CalcomRoute::Event(Kind::CalcomOther)),
        ("14-ping-test", CalcomRoute::Ping),
        ("15-booking-created-second-seat", CalcomRoute::Event(Kind::CalcomBookingCreated)),
        ("17-custom-template", CalcomRoute::Event(Kind::CalcomOther)),
        ("21-booking-reassigned-hosted-2026", CalcomRoute::Event(Kind::CalcomOther)),
    ] {
        assert_eq!(calcom_route(fixture(&format!("calcom/{file}.json"))), expected, "{file}");
    }
}

/// Incidents 39 and 79: both function envelopes, versions and aliases.
#[test]
fn a_function_is_known_by_any_of_its_names() {
    for (body, expected) in [
        (r#"{"name":"book_appointment","args":{},"call":{}}"#, Some(Function::BookAppointment)),
        (r#"{"name":"book_appointment_v17","args":{},"call":{}}"#, Some(Function::BookAppointment)),
        (r#"{"function_name":"start_booking","parameters":{},"call_id":null}"#, Some(Function::BookAppointment)),
        (r#"{"name":"cancel\u005fappointment","call":{}}"#, Some(Function::CancelAppointment)),
        (r#"{"name":"make_coffee","args":{},"call":{}}"#, None),
        (r#"{"name":7,"args":{},"call":{}}"#, None),
    ] {
        assert_eq!(retell_route(body), RetellRoute::Function(expected), "{body}");
    }
}

#[test]
fn arguments_without_name_and_call_are_told_apart_from_functions() {
    for body in ["{}", r#"{"date":"2025-10-22"}"#, r#"{"name":"Müller"}"#, r#"{"name":"Müller","call":null}"#] {
        assert_eq!(retell_route(body), RetellRoute::Unreadable(Unreadable::ArgsAtRoot), "{body}");
    }
}

#[test]
fn an_unknown_event_is_stored_never_refused() {
    for body in
        [r#"{"event":"chat_ended","chat":{}}"#, r#"{"event":"other"}"#, r#"{"event":"function.book_appointment"}"#, r#"{"event":null,"name":"x","call":{}}"#]
    {
        assert_eq!(retell_route(body), RetellRoute::Event(Kind::RetellOther), "{body}");
    }
    assert_eq!(calcom_route(r#"{"triggerEvent":"SOMETHING_NEW"}"#), CalcomRoute::Event(Kind::CalcomOther));
    assert_eq!(calcom_route(r#"{"triggerEvent":3}"#), CalcomRoute::Event(Kind::CalcomOther));
}

#[test]
fn a_dotted_trigger_means_the_same() {
    assert_eq!(calcom_route(r#"{"triggerEvent":"BOOKING.CREATED","payload":{"uid":"a"}}"#), CalcomRoute::Event(Kind::CalcomBookingCreated));
    assert_eq!(calcom_route(r#"{"triggerEvent":"booking.cancelled","payload":{"uid":"a"}}"#), CalcomRoute::Event(Kind::CalcomBookingCancelled));
}

#[test]
fn a_ping_is_known_by_its_payload_and_a_booking_with_that_title_is_none() {
    assert_eq!(calcom_route(r#"{"triggerEvent":"BOOKING_CREATED","payload":{"title":"Test trigger event"}}"#), CalcomRoute::Ping);
    let booking = r#"{"triggerEvent":"BOOKING_CREATED","payload":{"title":"Test trigger event","uid":"a"}}"#;
    assert_eq!(calcom_route(booking), CalcomRoute::Event(Kind::CalcomBookingCreated));
}

#[test]
fn what_is_no_object_is_unreadable() {
    for body in ["", "false", "[]", "null", "\"x\"", "{", "{} {}", "{\"a\":1}x", "a=b&c=d", "\u{feff}{\"event\":\"call_started\"}"] {
        assert_eq!(retell_route(body), RetellRoute::Unreadable(Unreadable::NotAnObject), "{body:?}");
        assert_eq!(calcom_route(body), CalcomRoute::Unreadable(Unreadable::NotAnObject), "{body:?}");
    }
    assert_eq!(retell_route(&b"{\"event\":\"\xff\"}"[..]), RetellRoute::Unreadable(Unreadable::NotUtf8));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    assert_eq!(retell_route(r#"{"event":"call_started","event":"call_ended"}"#), RetellRoute::Event(Kind::RetellCallEnded));
}

/// Depth, a million keys, a huge string, odd numbers and lone surrogates: routed in place, without stack and without an error.
#[test]
fn a_parse_bomb_is_routed_in_little_time() {
    let deep = 100_000;
    let bombs = [
        format!(r#"{{"event":"call_ended","call":{}{}}}"#, "[".repeat(deep), "]".repeat(deep)),
        format!(r#"{{"event":"call_ended","call":{}1{}}}"#, "{\"a\":".repeat(deep), "}".repeat(deep)),
        format!(r#"{{{}"event":"call_ended"}}"#, r#""k":1,"#.repeat(1_000_000)),
        format!(r#"{{"event":"call_ended","call":"{}"}}"#, "x".repeat(8_000_000)),
        r#"{"event":"call_ended","call":{"a":1e400,"b":-0,"c":"\ud800","d":"\u0000"}}"#.to_owned(),
    ];
    let started = std::time::Instant::now();
    for bomb in bombs {
        assert_eq!(retell_route(bomb), RetellRoute::Event(Kind::RetellCallEnded));
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}
