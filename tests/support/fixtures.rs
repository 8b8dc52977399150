//! The provider payloads as exact bytes.

use std::path::PathBuf;

use serde_json::Value;

/// The key that signs the Retell fixtures.
pub const RETELL_KEY: &str = "key_0123456789abcdef0123456789ab";
/// The secret that signs the Cal.com fixtures.
pub const CALCOM_SECRET: &str = "whsec_test_0123456789";

/// The folder of the fixtures.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A fixture's bytes, such as `calcom/02-booking-created-ui.json`.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// A fixture as JSON, to change and send (signed anew).
///
/// # Panics
/// When it is no JSON.
#[must_use]
pub fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}
