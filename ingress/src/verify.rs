//! Proof of who sent a request: a `Verified` body exists only if a live secret of the endpoint signed these very bytes.
//!
//! Not parsing (that is `routing`), not the choice of status (that is `error`). The handlers call it with the raw body, before anything else looks
//! into it.

pub mod calcom;
pub mod retell;

use std::marker::PhantomData;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Marks a body that Retell signed.
#[derive(Debug)]
pub struct Retell;
/// Marks a body that Cal.com signed.
#[derive(Debug)]
pub struct Calcom;

/// Raw bytes whose sender is proven. The two `verify` functions of this room are the only constructors.
#[derive(Debug)]
pub struct Verified<Provider> {
    endpoint: Uuid,
    body: Bytes,
    provider: PhantomData<Provider>,
}

impl<Provider> Verified<Provider> {
    const fn new(endpoint: Uuid, body: Bytes) -> Self {
        Self { endpoint, body, provider: PhantomData }
    }

    /// The endpoint whose secret signed the body.
    #[must_use]
    pub const fn endpoint(&self) -> Uuid {
        self.endpoint
    }

    /// The bytes that were signed.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Why a request was not believed. The sender never learns which one it was; metrics and logs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No signature header.
    Missing,
    /// Two signature headers, or one outside the strict grammar.
    Malformed,
    /// Retell's stamp lies more than five minutes away from our clock, in either direction.
    Stale,
    /// Cal.com's `no-secret-provided`.
    NoSecret,
    /// No live secret of the endpoint gives this digest.
    Mismatch,
}

impl Rejection {
    /// Every cause: metrics create their label values from this.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Malformed, Self::Stale, Self::NoSecret, Self::Mismatch];

    /// The cause's name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::NoSecret => "no_secret",
            Self::Mismatch => "mismatch",
        }
    }
}

/// A secret that can check signatures: the keyed hash state only, so the key itself is kept nowhere.
#[derive(Clone)]
pub struct SigningKey {
    keyed: Hmac<Sha256>,
    not_after: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SigningKey").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A key that is live until `not_after` (without end if `None`); `None` for an empty secret, which would prove nothing.
    #[must_use]
    pub fn new(secret: &[u8], not_after: Option<DateTime<Utc>>) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        let keyed = Hmac::new_from_slice(secret).ok()?;
        Some(Self { keyed, not_after })
    }

    /// Whether it still counts.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }
}

/// Constant time per key; every live key is tried, because a rotation leaves two of them (retell.md 1.1).
fn any_live_key_signed(keys: &[SigningKey], now: DateTime<Utc>, parts: [&[u8]; 2], digest: &[u8; 32]) -> bool {
    keys.iter().filter(|key| key.is_live(now)).any(|key| {
        let mut mac = key.keyed.clone();
        parts.into_iter().for_each(|part| mac.update(part));
        mac.verify_slice(digest).is_ok()
    })
}

/// 64 lower-case hex digits, nothing else.
fn parse_digest(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok()?;
    Some(digest)
}
