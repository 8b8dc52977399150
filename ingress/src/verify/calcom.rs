//! Cal.com's signature: `X-Cal-Signature-256: <hex>`, HMAC-SHA256 over the body, no stamp (calcom.md 1.1).
//!
//! A captured request can be replayed for ever: freshness is the inbox's and the fold's work, not this room's.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Calcom, Rejection, SigningKey, Verified, any_live_key_signed, parse_digest};

/// The header, as hyper spells names.
pub const HEADER: &str = "x-cal-signature-256";
/// What Cal.com sends for a webhook that has no secret.
const UNSIGNED: &[u8] = b"no-secret-provided";

/// A header inside the grammar. Checked before the body is read: a forger pays for no memory of ours.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    digest: [u8; 32],
}

/// Reads the header's claim.
///
/// # Errors
/// `NoSecret` for the literal that Cal.com sends without a secret, else `Malformed`.
pub fn claim(header: &[u8]) -> Result<Claim, Rejection> {
    if header == UNSIGNED {
        return Err(Rejection::NoSecret);
    }
    parse_digest(header).map(|digest| Claim { digest }).ok_or(Rejection::Malformed)
}

/// Proves that one of the endpoint's live secrets signed exactly these bytes.
///
/// # Errors
/// `Mismatch` if none did.
pub fn verify(claim: Claim, endpoint: Uuid, keys: &[SigningKey], body: Bytes, now: DateTime<Utc>) -> Result<Verified<Calcom>, Rejection> {
    if any_live_key_signed(keys, now, [&body, &[]], &claim.digest) { Ok(Verified::new(endpoint, body)) } else { Err(Rejection::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, body: &[u8], secret: &str) -> Result<(), Rejection> {
        let keys: Vec<_> = SigningKey::new(secret.as_bytes(), None).into_iter().collect();
        verify(claim(header.as_bytes())?, Uuid::nil(), &keys, Bytes::copy_from_slice(body), DateTime::UNIX_EPOCH).map(|_| ())
    }

    #[test]
    fn every_webhook_of_signatures_json_verifies_and_no_changed_one_does() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/calcom");
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(format!("{folder}/signatures.json")).unwrap()).unwrap();
        let webhooks = file["webhooks"].as_array().unwrap();
        assert_eq!(webhooks.len(), 14);
        for webhook in webhooks {
            let name = webhook["file"].as_str().unwrap();
            let body = std::fs::read(format!("{folder}/{name}")).unwrap();
            let header = webhook["headers"][HEADER].as_str().unwrap();
            let Some(secret) = webhook["secret"].as_str() else {
                assert_eq!(check(header, &body, "whsec_test_0123456789"), Err(Rejection::NoSecret), "{name}");
                continue;
            };
            assert_eq!(check(header, &body, secret), Ok(()), "{name}");
            assert_eq!(check(header, &body, "another secret"), Err(Rejection::Mismatch), "{name}");
            assert_eq!(check(&header.to_uppercase(), &body, secret), Err(Rejection::Malformed), "{name}");
            assert_eq!(check(&format!("sha256={header}"), &body, secret), Err(Rejection::Malformed), "{name}");
            let mut longer = body.clone();
            longer.push(b'\n');
            assert_eq!(check(header, &longer, secret), Err(Rejection::Mismatch), "{name}");
        }
    }

    #[test]
    fn an_empty_secret_is_no_secret() {
        assert!(SigningKey::new(b"", None).is_none());
        // HMAC-SHA256 with an empty key over `{}`: right by arithmetic, worthless as a proof.
        let header = hex::encode({
            use hmac::{Hmac, KeyInit, Mac};
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"").unwrap();
            mac.update(b"{}");
            mac.finalize().into_bytes()
        });
        assert_eq!(check(&header, b"{}", ""), Err(Rejection::Mismatch));
    }
}
