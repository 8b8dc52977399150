//! Envelopes survive the broker, and whatever a stranger puts into a queue is told apart without a panic.

use super::*;
use crate::broker::raw::Parked;
use crate::envelope::MessageId;

type Table = [(&'static str, AMQPValue)];

fn envelope(body: Bytes) -> Envelope {
    let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
    Envelope {
        message_id: MessageId::of_own("test", b"1").replay(2),
        kind: Kind::parse("retell.function.book_appointment").unwrap(),
        schema_version: SCHEMA_VERSION,
        endpoint: Some(Uuid::from_u128(7)),
        received_at: at(1_790_000_000_123),
        attempt: 3,
        deadline: Some(at(1_790_000_006_456)),
        reply_to: Some(ReplyTo { queue: format!("{REPLY_QUEUE_PREFIX}00ff"), correlation_id: Uuid::from_u128(9) }),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        caller_gone: true,
        body,
    }
}

fn small() -> RawMessage {
    encode(&envelope(Bytes::from_static(b"{}")), true)
}

/// A delivery of `message` whose headers were meddled with on the way.
fn with_headers(message: &RawMessage, changes: &Table) -> RawMessage {
    let mut headers = message.properties.headers().clone().unwrap_or_default();
    for (name, value) in changes {
        headers.insert((*name).into(), value.clone());
    }
    RawMessage::received(message.properties.clone().with_headers(headers), message.body.to_vec())
}

#[track_caller]
fn assert_same(left: &Envelope, right: &Envelope) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

#[test]
fn an_envelope_survives_the_round_trip() {
    for body in [Bytes::new(), Bytes::from_static(b"{\"a\":1}"), Bytes::from(b"{\"words\":\"and more\"}".repeat(2000))] {
        let sent = envelope(body);
        assert_same(&decode(&encode(&sent, true)).unwrap(), &sent);
    }
    let bare = Envelope { endpoint: None, deadline: None, reply_to: None, traceparent: None, caller_gone: false, ..envelope(Bytes::new()) };
    assert_same(&decode(&encode(&bare, false)).unwrap(), &bare);
}

#[test]
fn every_kind_survives_the_round_trip() {
    for kind in Kind::all() {
        let sent = Envelope { kind, ..envelope(Bytes::new()) };
        assert_eq!(decode(&encode(&sent, true)).unwrap().kind, kind);
    }
}

#[test]
fn bodies_are_compressed_from_eight_kibibytes_on() {
    let packed = |bytes: usize| encode(&envelope(Bytes::from(vec![b'a'; bytes])), true);
    assert_eq!(packed(COMPRESS_FROM_BYTES - 1).properties.content_encoding(), &None);
    let large = packed(COMPRESS_FROM_BYTES);
    assert_eq!(large.properties.content_encoding().as_ref().map(ShortString::as_str), Some("zstd"));
    assert!(large.body.len() < 100);
    assert_eq!(decode(&large).unwrap().body.len(), COMPRESS_FROM_BYTES);
}

#[test]
fn the_brokers_own_headers_are_dropped_and_ours_stay() {
    let died = AMQPValue::FieldTable(FieldTable::default());
    let met = with_headers(
        &small(),
        &[
            ("x-death", died),
            ("x-first-death-queue", text("frontdesk.booking.delay.5s")),
            ("x-first-death-reason", text("expired")),
            ("x-delivery-count", AMQPValue::LongLongInt(4)),
        ],
    );
    let names: Vec<_> = met.properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["attempt", "caller-gone", "deadline", "endpoint", "received-at", "schema-version", "traceparent"]);
    assert_same(&decode(&met).unwrap(), &decode(&small()).unwrap());
}

#[test]
fn a_newer_schema_is_told_before_anything_else() {
    let newer = with_headers(&small(), &[(SCHEMA_VERSION_HEADER, AMQPValue::LongLongInt(9)), (RECEIVED_AT, text("in a new format"))]);
    let strange = RawMessage { properties: newer.properties.clone().with_type("calcom.not_yet_invented".into()), body: newer.body.clone() };
    assert!(matches!(decode(&strange), Err(DecodeError::NewerSchema(9))));
    assert_eq!(strange.schema_version(), Some(9));
}

#[test]
fn an_unknown_kind_is_named_in_a_form_fit_for_logs() {
    let strange = RawMessage { properties: small().properties.with_type("evil\nname +49 30 1234567 ".into()), body: Bytes::new() };
    let Err(DecodeError::UnknownKind(name)) = decode(&strange) else { panic!("decoded") };
    assert_eq!(name, "evil?name??49?30?1234567?");
    assert_eq!(strange.message_id(), decode(&small()).ok().map(|envelope| envelope.message_id));
}

#[test]
fn a_missing_or_malformed_property_is_named() {
    let cases: [(&str, AMQPValue); 10] = [
        (SCHEMA_VERSION_HEADER, text("1")),
        (SCHEMA_VERSION_HEADER, AMQPValue::LongLongInt(-1)),
        (RECEIVED_AT, AMQPValue::LongLongInt(i64::MAX)),
        (RECEIVED_AT, AMQPValue::Boolean(true)),
        (ATTEMPT, AMQPValue::LongLongInt(0)),
        (ATTEMPT, AMQPValue::LongLongInt(-3)),
        (ATTEMPT, AMQPValue::LongLongInt(i64::from(u32::MAX) + 1)),
        (DEADLINE, AMQPValue::LongLongInt(i64::MIN)),
        (ENDPOINT, text("not a uuid")),
        (ENDPOINT, AMQPValue::LongLongInt(1)),
    ];
    for (name, value) in cases {
        let shown = format!("{name} = {value:?}");
        match decode(&with_headers(&small(), &[(name, value)])) {
            Err(DecodeError::BadProperty(bad)) => assert_eq!(bad, name, "{shown}"),
            other => panic!("{shown}: {other:?}"),
        }
    }
    let no_properties = RawMessage::received(BasicProperties::default(), b"{}".to_vec());
    assert!(matches!(decode(&no_properties), Err(DecodeError::BadProperty(SCHEMA_VERSION_HEADER))));
    for id in ["", "short", &"g".repeat(64)] {
        let odd = RawMessage { properties: small().properties.with_message_id(id.into()), body: Bytes::new() };
        assert!(matches!(decode(&odd), Err(DecodeError::BadProperty("message-id"))), "{id}");
        assert_eq!(odd.message_id(), None);
    }
}

#[test]
fn integers_of_any_width_are_understood() {
    for value in [AMQPValue::ShortShortInt(2), AMQPValue::ShortUInt(2), AMQPValue::LongInt(2), AMQPValue::LongUInt(2)] {
        assert_eq!(decode(&with_headers(&small(), &[(ATTEMPT, value)])).unwrap().attempt, 2);
    }
}

#[test]
fn a_malformed_trace_context_is_no_reason_to_refuse_a_message() {
    for value in [text("00-short"), text(&"x".repeat(TRACEPARENT_LEN)), AMQPValue::Void, AMQPValue::LongString(vec![0xff; 55].into())] {
        assert_eq!(decode(&with_headers(&small(), &[(TRACEPARENT, value)])).unwrap().traceparent, None);
    }
}

#[test]
fn an_answer_can_only_be_sent_to_a_reply_queue() {
    for queue in ["frontdesk.booking", "amq.rabbitmq.reply-to", ""] {
        let odd = RawMessage { properties: small().properties.with_reply_to(queue.into()), body: Bytes::new() };
        assert!(matches!(decode(&odd), Err(DecodeError::BadProperty("reply-to"))), "{queue}");
    }
    let odd = RawMessage { properties: small().properties.with_correlation_id("7".into()), body: Bytes::new() };
    assert!(matches!(decode(&odd), Err(DecodeError::BadProperty("correlation-id"))));
}

#[test]
fn a_body_that_lies_about_its_encoding_is_refused_within_bounds() {
    let encoded = |encoding: &str, body: Vec<u8>| RawMessage { properties: small().properties.with_content_encoding(encoding.into()), body: body.into() };
    assert!(matches!(decode(&encoded("zstd", b"{}".to_vec())), Err(DecodeError::BadBody(_))));
    assert!(matches!(decode(&encoded("gzip", b"{}".to_vec())), Err(DecodeError::BadProperty("content-encoding"))));
    let full = zstd::bulk::compress(&vec![0; BODY_BYTES_MAX], 1).unwrap();
    assert_eq!(decode(&encoded("zstd", full)).unwrap().body.len(), BODY_BYTES_MAX);
    let bomb = zstd::bulk::compress(&vec![0; BODY_BYTES_MAX + 1], 1).unwrap();
    assert!(bomb.len() < 10_000);
    assert!(matches!(decode(&encoded("zstd", bomb)), Err(DecodeError::BodyTooLarge)));
    let cut = small_packed(20_000);
    assert!(matches!(decode(&encoded("zstd", cut[..cut.len() / 2].to_vec())), Err(DecodeError::BadBody(_))));
}

fn small_packed(bytes: usize) -> Vec<u8> {
    let mixed: Vec<u8> = (0..bytes).map(|index| u8::try_from(index * 31 % 251).unwrap()).collect();
    zstd::bulk::compress(&mixed, 1).unwrap()
}

#[test]
fn a_parked_message_comes_back_as_it_was() {
    for body in [Bytes::from_static(b"{}"), Bytes::from(b"{\"words\":\"and more\"}".repeat(2000))] {
        let sent = envelope(body.clone());
        let parked = encode(&sent, true).park();
        assert_eq!(parked.body, body, "stored plain");
        let stored = Parked { properties: serde_json::from_str(&parked.properties.to_string()).unwrap(), ..parked };
        assert_same(&decode(&RawMessage::from_parked(&stored)).unwrap(), &sent);
    }
}

#[test]
fn what_cannot_be_decompressed_is_parked_as_it_came() {
    let broken = RawMessage { properties: small().properties.with_content_encoding("zstd".into()), body: Bytes::from_static(b"no zstd") };
    let parked = broken.park();
    assert_eq!(parked.properties["content_encoding"], "zstd");
    assert_eq!(parked.body, "no zstd");
    assert!(matches!(decode(&RawMessage::from_parked(&parked)), Err(DecodeError::BadBody(_))));
}

#[test]
fn a_message_without_any_property_can_be_parked() {
    let parked = RawMessage::received(BasicProperties::default(), b"?".to_vec()).park();
    assert_eq!(parked.properties.to_string(), "{\"headers\":{}}");
    assert_eq!(RawMessage::from_parked(&parked).kind_name(), None);
}

#[test]
fn the_attempt_and_age_of_an_unreadable_message_are_known_where_possible() {
    let strange = RawMessage { properties: small().properties.with_type("calcom.not_yet_invented".into()), body: Bytes::new() };
    assert_eq!(strange.attempt(), 3);
    assert_eq!(strange.received_at().map(|at| at.timestamp_millis()), Some(1_790_000_000_123));
    assert_eq!(strange.kind_name().as_deref(), Some("calcom.not_yet_invented"));
}
