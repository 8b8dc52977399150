//! Retell's signature: `X-Retell-Signature: v=<unix ms>,d=<hex>`, HMAC-SHA256 over body and stamp, five minutes both ways (retell.md 1).
//!
//! Stricter than every vendor library: 1.4 of the reference is the grammar, `signatures.json` its table.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Rejection, Retell, SigningKey, Verified, any_live_key_signed, parse_digest};

/// The header, as hyper spells names.
pub const HEADER: &str = "x-retell-signature";
/// Accepted up to and including this distance between the stamp and our clock, in both directions (retell.md 1.1).
const WINDOW_MS: i64 = 300_000;
/// `[1-9][0-9]{0,15}`: sixteen digits always fit an i64.
const STAMP_DIGITS_MAX: usize = 16;

/// A header inside the grammar and the window. Checked before the body is read: a forger pays for no memory of ours.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    stamp: &'a [u8],
    digest: [u8; 32],
}

/// Reads the header's claim.
///
/// # Errors
/// `Malformed` outside the grammar, `Stale` outside the window.
pub fn claim(header: &[u8], now: DateTime<Utc>) -> Result<Claim<'_>, Rejection> {
    let rest = header.strip_prefix(b"v=").ok_or(Rejection::Malformed)?;
    let comma = rest.iter().position(|byte| *byte == b',').ok_or(Rejection::Malformed)?;
    let (stamp, rest) = rest.split_at(comma);
    let digest = rest.strip_prefix(b",d=").and_then(parse_digest).ok_or(Rejection::Malformed)?;
    let sent_ms = parse_stamp(stamp).ok_or(Rejection::Malformed)?;
    if (now.timestamp_millis() - sent_ms).abs() > WINDOW_MS {
        return Err(Rejection::Stale);
    }
    Ok(Claim { stamp, digest })
}

fn parse_stamp(digits: &[u8]) -> Option<i64> {
    if digits.len() > STAMP_DIGITS_MAX || !matches!(digits.first(), Some(b'1'..=b'9')) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Proves that one of the endpoint's live keys signed exactly these bytes.
///
/// # Errors
/// `Mismatch` if none did.
pub fn verify(claim: Claim<'_>, endpoint: Uuid, keys: &[SigningKey], body: Bytes, now: DateTime<Utc>) -> Result<Verified<Retell>, Rejection> {
    if any_live_key_signed(keys, now, [&body, claim.stamp], &claim.digest) { Ok(Verified::new(endpoint, body)) } else { Err(Rejection::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    fn check(header: &str, body: &[u8], key: &str, now_ms: i64) -> Result<(), Rejection> {
        let keys = [SigningKey::new(key.as_bytes(), None).unwrap()];
        let claim = claim(header.as_bytes(), at(now_ms))?;
        verify(claim, Uuid::nil(), &keys, Bytes::copy_from_slice(body), at(now_ms)).map(|_| ())
    }

    /// The check value of retell.md 1.1.
    const HEADER_OF_EMPTY_OBJECT: &str = "v=1700000000000,d=d77a5b3c55846b11421e7d513a7902045698fc3989e4492bb5b0fb6c060d3f7e";

    #[test]
    fn the_window_is_five_minutes_to_the_millisecond_in_both_directions() {
        for (now, expected) in [
            (1_700_000_000_000, Ok(())),
            (1_700_000_300_000, Ok(())),
            (1_700_000_300_001, Err(Rejection::Stale)),
            (1_699_999_700_000, Ok(())),
            (1_699_999_699_999, Err(Rejection::Stale)),
        ] {
            assert_eq!(check(HEADER_OF_EMPTY_OBJECT, b"{}", "key_x", now), expected, "now {now}");
        }
    }

    #[test]
    fn only_the_exact_grammar_passes() {
        let digest = "d77a5b3c55846b11421e7d513a7902045698fc3989e4492bb5b0fb6c060d3f7e";
        for header in [
            String::new(),
            digest.to_owned(),
            format!("v=01700000000000,d={digest}"),
            format!("v=-1700000000000,d={digest}"),
            format!("v=+1700000000000,d={digest}"),
            format!("v=,d={digest}"),
            format!("v=17000000000000000,d={digest}"),
            format!("v=99999999999999999999999999,d={digest}"),
            format!("v=NaN,d={digest}"),
            format!("v=١٧٠٠,d={digest}"),
            format!("v=1700000000000, d={digest}"),
            format!(" v=1700000000000,d={digest}"),
            format!("v=1700000000000,d={digest} "),
            format!("v=1700000000000,d={digest}\n"),
            format!("v=1700000000000,d={digest},x=1"),
            format!("d={digest},v=1700000000000"),
            format!("V=1700000000000,d={digest}"),
            format!("v=1700000000000,d={}", digest.to_uppercase()),
            format!("v=1700000000000,d={}", &digest[1..]),
            format!("v=1700000000000,d={digest}0"),
            format!("v=1700000000000,d={}g", &digest[1..]),
            "v=1700000000000".to_owned(),
            "v=1700000000000,d=".to_owned(),
        ] {
            assert_eq!(check(&header, b"{}", "key_x", 1_700_000_000_000), Err(Rejection::Malformed), "{header:?}");
        }
    }

    #[test]
    fn an_expired_secret_proves_nothing_and_a_second_live_one_does() {
        let now = at(1_700_000_000_000);
        let claim = claim(HEADER_OF_EMPTY_OBJECT.as_bytes(), now).unwrap();
        let right = |end| SigningKey::new(b"key_x", end).unwrap();
        let other = SigningKey::new(b"key_y", None).unwrap();
        let body = Bytes::from_static(b"{}");
        let signed = |keys: &[SigningKey]| verify(claim, Uuid::nil(), keys, body.clone(), now).is_ok();
        assert!(signed(&[other.clone(), right(None)]));
        assert!(signed(&[other.clone(), right(Some(at(1_700_000_000_001)))]));
        assert!(!signed(&[other.clone(), right(Some(now))]));
        assert!(!signed(&[other]));
        assert!(!signed(&[]));
    }

    #[test]
    fn every_vector_of_signatures_json_gets_its_documented_result() {
        let file: serde_json::Value = serde_json::from_slice(include_bytes!("../../../tests/fixtures/retell/signatures.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 26);
        for vector in vectors {
            let verdict = check(vector["header"].as_str().unwrap(), &body_of(vector), vector["api_key"].as_str().unwrap(), vector["now_ms"].as_i64().unwrap());
            assert_eq!(verdict.is_ok(), vector["expect"].as_bool().unwrap(), "{}: {verdict:?}", vector["id"]);
        }
    }

    fn body_of(vector: &serde_json::Value) -> Vec<u8> {
        if let Some(text) = vector["body"].as_str() {
            return text.as_bytes().to_vec();
        }
        if let Some(text) = vector["body_b64"].as_str() {
            // The one vector with raw bytes: a byte order mark before an event.
            assert_eq!(text, "77u/eyJldmVudCI6ImNhbGxfc3RhcnRlZCJ9");
            return b"\xef\xbb\xbf{\"event\":\"call_started\"}".to_vec();
        }
        let part = |name: &str| vector["body_gen"][name].as_str().unwrap();
        let repeat = usize::try_from(vector["body_gen"]["repeat"].as_u64().unwrap()).unwrap();
        format!("{}{}{}", part("prefix"), part("unit").repeat(repeat), part("suffix")).into_bytes()
    }
}
