//! Every vector of both `signatures.json` over HTTP, and that nothing of a refused request reaches the broker.
//!
//! Retell's stamp must be of the last five minutes, so each vector is made anew at the present time by the same steps; that these steps are the vector's is
//! proven first, by making the vector itself with them at its own time. (At its own clock each vector runs in `ingress::verify::retell`.)

use dev::calcom_stand_in::sign::sign_calcom;
use dev::retell_stand_in::sign::sign_retell;
use reqwest::Method;
use serde_json::Value;
use tests::http::post;
use tests::servers::manage;
use tests::world::now;
use tests::{World, WorldOptions, eventually, fixtures};

use crate::fixture_table::publishes;

const RETELL_HEADER: &str = "x-retell-signature";
const CALCOM_HEADER: &str = "x-cal-signature-256";

/// What was signed, and what was then done to it.
struct Made {
    /// The bytes that were signed; other than the body that is sent if the body was tampered with.
    signed: Vec<u8>,
    /// The header, from those bytes, the stamp and the key.
    header: fn(&[u8], i64, &str) -> String,
}

fn plain(signed: &[u8], stamp: i64, key: &str) -> String {
    sign_retell(key, signed, stamp)
}

fn digest(signed: &[u8], stamp: i64, key: &str) -> String {
    let header = sign_retell(key, signed, stamp);
    header.split_once(",d=").unwrap().1.to_owned()
}

/// How a vector was made; `None`: HTTP cannot carry it.
fn made(id: &str, body: &[u8]) -> Option<Made> {
    let text = String::from_utf8_lossy(body);
    let signed = match id {
        "neg_tampered_body" => text.replace("+4915112345679", "+4915112345678").into_bytes(),
        "neg_reserialised_ascii" => text.replace('ö', "\\u00f6").replace('ü', "\\u00fc").replace('ß', "\\u00df").into_bytes(),
        "neg_nfc_vs_nfd" => text.replace('ü', "u\u{308}").into_bytes(),
        "neg_trailing_newline_added" => body.strip_suffix(b"\n").unwrap().to_vec(),
        _ => body.to_vec(),
    };
    let header: fn(&[u8], i64, &str) -> String = match id {
        "neg_plain_hex_digest_no_v" => digest,
        "neg_digest_65_chars" => |signed, stamp, key| format!("{}0", plain(signed, stamp, key)),
        "neg_digest_not_hex" => |signed, stamp, key| {
            let header = plain(signed, stamp, key);
            format!("{}g", &header[..header.len() - 1])
        },
        "neg_header_empty" => |_, _, _| String::new(),
        "neg_swapped_order" => |signed, stamp, key| format!("d={},v={stamp}", digest(signed, stamp, key)),
        // blanks around a header's value are no part of it in HTTP: what arrives is the right header
        "neg_leading_space" => return None,
        "neg_extra_part" => |signed, stamp, key| format!("{},x=1", plain(signed, stamp, key)),
        "neg_timestamp_seconds" => |signed, stamp, key| plain(signed, stamp / 1000, key),
        "neg_timestamp_not_in_mac" => |signed, stamp, key| format!("v={},d={}", stamp + 1, digest(signed, stamp, key)),
        "neg_dot_separator" => |signed, stamp, key| format!("v={stamp},d={}", digest(&[signed, b"."].concat(), stamp, key)),
        "div_uppercase_digest" => |signed, stamp, key| format!("v={stamp},d={}", digest(signed, stamp, key).to_uppercase()),
        _ => plain,
    };
    Some(Made { signed, header })
}

/// Faults A6; retell reference 1: the MAC may be right and the receiver must still cope (empty body, byte order mark).
#[tokio::test]
async fn every_vector_gets_its_documented_result_and_no_refused_one_is_published() {
    // no workers: whatever stands in a queue or in a counter was published by ingress
    let world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    let file = fixtures::json("retell/signatures.json");
    let key = file["default_key"].as_str().unwrap();
    assert_eq!(key, fixtures::RETELL_KEY, "the world's endpoint knows this key");
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 26);
    let by_id = |id: &str| vectors.iter().find(|vector| vector["id"] == id).unwrap();

    assert_eq!(sent(&world, by_id("pos_ascii_call_started"), key).await, Some(204));
    let before = eventually("the broker counts the first event", || async { Published::read(&world).await.filter(|published| published.events == 1) }).await;
    let counted = publishes(&world).await;

    let mut refused = 0;
    for vector in vectors.iter().filter(|vector| vector["expect"] == false) {
        let Some(status) = sent(&world, vector, key).await else { continue };
        assert_eq!(status, 401, "{}", vector["id"]);
        refused += 1;
    }
    assert_eq!(refused, 15, "sixteen vectors are refused, and HTTP can carry all but one");
    refuse_calcom(&world).await;
    assert_eq!(publishes(&world).await, counted, "a refused request is not handed to the publisher");
    assert_eq!(world.queued().await, 1);

    // one more event: when the broker has counted it, it has counted everything before it too
    assert_eq!(sent(&world, by_id("pos_umlauts_raw_utf8"), key).await, Some(204));
    let after = eventually("the broker counts the second event", || async { Published::read(&world).await.filter(|published| published.events >= 2) }).await;
    assert_eq!((after.events, after.vhost), (2, before.vhost + 1), "a refused request was published");

    // nobody answers functions here: they are waited for side by side
    let accepted = vectors.iter().filter(|vector| vector["expect"] == true);
    let statuses = futures_util::future::join_all(accepted.map(|vector| async { (&vector["id"], sent(&world, vector, key).await) })).await;
    assert_eq!(statuses.len(), 10);
    for (id, status) in statuses {
        assert_eq!(status.unwrap() / 100, 2, "{id}");
    }
    world.finish().await;
}

/// Sends a vector as it would be made now; the status, or `None` if HTTP cannot carry it.
async fn sent(world: &World, vector: &Value, key: &str) -> Option<u16> {
    let id = vector["id"].as_str().unwrap();
    let body = body_of(vector);
    let made = made(id, &body)?;
    let header = vector["header"].as_str().unwrap();
    let stamp = stamp_of(id, header, vector["now_ms"].as_i64().unwrap());
    assert_eq!((made.header)(&made.signed, stamp, key), header, "{id}: these are the steps that made it");
    // the same distance from the clock; at the very edge of the window a test's clock cannot stand, a second inside it and outside it can
    let age = match vector["now_ms"].as_i64().unwrap() - stamp {
        299_000..=300_000 => 290_000,
        -300_001 => -310_000,
        age => age,
    };
    let header = (made.header)(&made.signed, now().timestamp_millis() - age, key);
    Some(post(&world.retell_url(), RETELL_HEADER, &header, body).await.status)
}

/// The stamp from which a vector's header was made.
fn stamp_of(id: &str, header: &str, now_ms: i64) -> i64 {
    let written = header.split(',').find_map(|part| part.strip_prefix("v=")).and_then(|digits| digits.parse::<i64>().ok());
    match id {
        "neg_timestamp_seconds" => written.unwrap() * 1000,
        "neg_timestamp_not_in_mac" => written.unwrap() - 1,
        _ => written.unwrap_or(now_ms),
    }
}

fn body_of(vector: &Value) -> Vec<u8> {
    use base64::Engine;
    if let Some(text) = vector["body_b64"].as_str() {
        return base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    }
    if let Some(text) = vector["body"].as_str() {
        return text.as_bytes().to_vec();
    }
    let part = |name: &str| vector["body_gen"][name].as_str().unwrap();
    let repeat = usize::try_from(vector["body_gen"]["repeat"].as_u64().unwrap()).unwrap();
    let body = format!("{}{}{}", part("prefix"), part("unit").repeat(repeat), part("suffix")).into_bytes();
    assert_eq!(vector["body_len"], body.len());
    body
}

/// Every webhook of Cal.com's file, changed in each way that must be refused. (As they are they are sent by `fixture_table`.)
async fn refuse_calcom(world: &World) {
    for webhook in fixtures::json("calcom/signatures.json")["webhooks"].as_array().unwrap() {
        let file = webhook["file"].as_str().unwrap();
        let body = fixtures::bytes(&format!("calcom/{file}"));
        let given = webhook["headers"][CALCOM_HEADER].as_str().unwrap();
        let longer = [body.as_slice(), b"\n"].concat();
        let forged = sign_calcom("another secret", &body);
        for (how, header, body) in [
            ("a longer body", given, &longer),
            ("another secret", forged.as_str(), &body),
            ("upper case", &given.to_uppercase(), &body),
            ("a prefix", &format!("sha256={given}"), &body),
            ("no secret", "no-secret-provided", &body),
            ("an empty header", "", &body),
        ] {
            assert_eq!(post(&world.calcom_url(), CALCOM_HEADER, header, body.clone()).await.status, 401, "{file} with {how}");
        }
    }
}

/// The broker's own counters, both of the same report.
#[derive(Clone, Copy, Debug)]
struct Published {
    /// Into `frontdesk.events`.
    events: u64,
    /// Into any exchange of the vhost, the publisher's probe included.
    vhost: u64,
}

impl Published {
    async fn read(world: &World) -> Option<Self> {
        let exchange: Value = manage(Method::GET, &format!("/api/exchanges/{}/frontdesk.events", world.name), None).await.json().await.unwrap();
        let vhost: Value = manage(Method::GET, &format!("/api/vhosts/{}", world.name), None).await.json().await.unwrap();
        Some(Self { events: exchange["message_stats"]["publish_in"].as_u64()?, vhost: vhost["message_stats"]["publish"].as_u64()? })
    }
}
