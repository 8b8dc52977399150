//! Signs requests as Retell does (reference/retell.md 1.1). Written apart from the product's verification on purpose:
//! two independent implementations check each other.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Value of `x-retell-signature`: `v=<unix ms>,d=<hex HMAC-SHA256(key, body followed by the digits of v)>`.
pub fn sign_retell(api_key: &str, body: &[u8], now_ms: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(api_key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.update(now_ms.to_string().as_bytes());
    format!("v={now_ms},d={}", hex::encode(mac.finalize().into_bytes()))
}
