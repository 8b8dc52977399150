//! Secrets at rest: XChaCha20-Poly1305 under a master key, bound to the row they belong to; and random tokens.
//!
//! Not where secrets live (that is `store`), not how keys reach the process (that is `config`). Called by store, ingress, calcom-sync and the CLI.
//!
//! The additional data is always the text `table/row id`: a ciphertext copied to another row does not open there.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroize;

pub use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Bytes of a master key.
const KEY_BYTES: usize = 32;
/// Bytes of the nonce: 192 random bits never repeat in practice, so no counter has to be kept.
const NONCE_BYTES: usize = 24;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// A key ring holds the current key and a few older ones; more means that a rotation was never finished.
const KEYS_MAX: usize = 16;
/// Key ids stand in every sealed row.
const KEY_ID_CHARS_MAX: usize = 32;

/// What can go wrong with a secret. Never carries key material or plaintext.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the key ring is empty: expected id:base64 of {KEY_BYTES} bytes, the current key first, older ones after commas")]
    EmptyKeyring,
    #[error("key number {position} of the ring is not id:base64 of {KEY_BYTES} bytes")]
    MalformedKey { position: usize },
    #[error("the key ring names the key id {key_id} twice")]
    DuplicateKeyId { key_id: String },
    #[error("the key ring holds more than {KEYS_MAX} keys: finish the rotation and drop the old ones")]
    TooManyKeys,
    #[error("sealing a secret of {aad} failed")]
    Seal { aad: String },
    #[error("{aad} is sealed with the key {key_id}, which is not in the ring")]
    UnknownKey { aad: String, key_id: String },
    #[error("{aad} does not open with the key {key_id}: altered, moved from another row, or another key under the same id")]
    Open { aad: String, key_id: String },
    #[error("{aad} opened, but does not hold UTF-8 text")]
    NotText { aad: String },
}

/// An encrypted secret as the three columns of its row.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealed(key {}, {} bytes)", self.key_id, self.ciphertext.len())
    }
}

/// The master keys: the first one seals, all of them open.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<MasterKey>,
}

#[derive(Clone)]
struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
        write!(formatter, "Keyring({})", ids.join(", "))
    }
}

impl Keyring {
    /// Reads `id:base64,id:base64…` (commas or line ends between keys), the current key first.
    ///
    /// # Errors
    /// An empty ring, a malformed or repeated key; never the key itself.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        let entries = text.split([',', '\n', '\r']).map(str::trim).filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            if index >= KEYS_MAX {
                return Err(SecretError::TooManyKeys);
            }
            let key = MasterKey::parse(entry).ok_or(SecretError::MalformedKey { position: index + 1 })?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(SecretError::DuplicateKeyId { key_id: key.id });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(SecretError::EmptyKeyring) } else { Ok(Self { keys }) }
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current_key_id(&self) -> &str {
        // `parse` is the only constructor and refuses an empty ring.
        self.keys.first().map_or("", |key| &key.id)
    }

    /// True if the row should be sealed again: it still uses an older key.
    #[must_use]
    pub fn is_outdated(&self, sealed: &Sealed) -> bool {
        sealed.key_id != self.current_key_id()
    }

    /// Encrypts a secret for the row `aad` (`table/row id`) with the current key and a fresh random nonce.
    ///
    /// # Errors
    /// Only if the text exceeds the cipher's limit of 256 GiB.
    pub fn seal(&self, aad: &str, secret: &SecretString) -> Result<Sealed, SecretError> {
        self.seal_bytes(aad, secret.expose_secret().as_bytes())
    }

    /// As [`Self::seal`], for bytes.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_bytes(&self, aad: &str, secret: &[u8]) -> Result<Sealed, SecretError> {
        let key = self.keys.first().ok_or(SecretError::EmptyKeyring)?;
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::fill(&mut nonce);
        let ciphertext =
            key.cipher.encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: aad.as_bytes() }).map_err(|_| SecretError::Seal { aad: aad.to_owned() })?;
        Ok(Sealed { key_id: key.id.clone(), nonce: nonce.to_vec(), ciphertext })
    }

    /// Decrypts the secret of the row `aad`.
    ///
    /// # Errors
    /// Unknown key id, wrong row, altered bytes, or not text.
    pub fn open(&self, aad: &str, sealed: &Sealed) -> Result<SecretString, SecretError> {
        let bytes = self.open_raw(aad, sealed)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(SecretError::NotText { aad: aad.to_owned() })
            }
        }
    }

    fn open_raw(&self, aad: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        let key_id = &sealed.key_id;
        let unknown = || SecretError::UnknownKey { aad: aad.to_owned(), key_id: key_id.clone() };
        let refused = || SecretError::Open { aad: aad.to_owned(), key_id: key_id.clone() };
        let key = self.keys.iter().find(|key| key.id == *key_id).ok_or_else(unknown)?;
        let nonce: [u8; NONCE_BYTES] = sealed.nonce.as_slice().try_into().map_err(|_| refused())?;
        let payload = Payload { msg: sealed.ciphertext.as_slice(), aad: aad.as_bytes() };
        key.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| refused())
    }
}

impl MasterKey {
    fn parse(entry: &str) -> Option<Self> {
        let (id, encoded) = entry.split_once(':')?;
        let id_ok = !id.is_empty() && id.len() <= KEY_ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !id_ok {
            return None;
        }
        let mut decoded = STANDARD.decode(encoded).ok()?;
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).ok();
        decoded.zeroize();
        let mut bytes = bytes?;
        let cipher = XChaCha20Poly1305::new(&Key::from(bytes));
        bytes.zeroize();
        Some(Self { id: id.to_owned(), cipher })
    }
}

/// A new random master key in the form [`Keyring::parse`] reads: `id:base64`.
#[must_use]
pub fn generate_master_key(id: &str) -> SecretString {
    let mut bytes = [0_u8; KEY_BYTES];
    rand::fill(&mut bytes);
    let text = format!("{id}:{}", STANDARD.encode(bytes));
    bytes.zeroize();
    SecretString::from(text)
}

/// 32 random bytes as URL-safe text behind a prefix that tells people (and secret scanners) what it is: `whsec_…`, `fdk_…`.
#[must_use]
pub fn random_token(prefix: &str) -> SecretString {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rand::fill(&mut bytes);
    let text = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(bytes));
    bytes.zeroize();
    SecretString::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "endpoint_secrets/01990000-0000-7000-8000-000000000001";

    fn ring(keys: &[&SecretString]) -> Keyring {
        let text: Vec<_> = keys.iter().map(|key| key.expose_secret()).collect();
        Keyring::parse(&text.join(",")).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_in_its_own_row_only() {
        let ring = ring(&[&generate_master_key("k1")]);
        let sealed = ring.seal(ROW, &SecretString::from("whsec_äöü")).unwrap();
        assert_eq!(ring.open(ROW, &sealed).unwrap().expose_secret(), "whsec_äöü");
        assert!(matches!(ring.open("endpoint_secrets/other", &sealed), Err(SecretError::Open { .. })));
        assert!(!String::from_utf8_lossy(&sealed.ciphertext).contains("whsec"));
    }

    #[test]
    fn the_same_secret_sealed_twice_differs() {
        let ring = ring(&[&generate_master_key("k1")]);
        let secret = SecretString::from("same");
        assert_ne!(ring.seal(ROW, &secret).unwrap(), ring.seal(ROW, &secret).unwrap());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let ring = ring(&[&generate_master_key("k1")]);
        let sealed = ring.seal(ROW, &SecretString::from("x")).unwrap();
        for position in 0..sealed.ciphertext.len() * 8 {
            let mut altered = sealed.clone();
            altered.ciphertext[position / 8] ^= 1 << (position % 8);
            assert!(ring.open(ROW, &altered).is_err());
        }
        for position in 0..NONCE_BYTES * 8 {
            let mut altered = sealed.clone();
            altered.nonce[position / 8] ^= 1 << (position % 8);
            assert!(ring.open(ROW, &altered).is_err());
        }
        let short = Sealed { nonce: vec![0; 12], ..sealed };
        assert!(ring.open(ROW, &short).is_err());
    }

    #[test]
    fn another_key_under_the_same_id_does_not_open() {
        let sealed = ring(&[&generate_master_key("k1")]).seal(ROW, &SecretString::from("x")).unwrap();
        let error = ring(&[&generate_master_key("k1")]).open(ROW, &sealed).unwrap_err();
        assert!(matches!(error, SecretError::Open { .. }));
    }

    #[test]
    fn rotation_keeps_old_rows_readable_until_the_old_key_is_dropped() {
        let (old, new) = (generate_master_key("2025"), generate_master_key("2026"));
        let sealed = ring(&[&old]).seal(ROW, &SecretString::from("x")).unwrap();
        let both = ring(&[&new, &old]);
        assert!(both.is_outdated(&sealed));
        let resealed = both.seal(ROW, &both.open(ROW, &sealed).unwrap()).unwrap();
        assert_eq!(resealed.key_id, "2026");
        assert!(!both.is_outdated(&resealed));
        assert!(ring(&[&new]).open(ROW, &resealed).is_ok());
        assert!(matches!(ring(&[&new]).open(ROW, &sealed), Err(SecretError::UnknownKey { .. })));
    }

    #[test]
    fn malformed_rings_are_refused_without_showing_the_key() {
        for text in ["", " , ", "k1", "k1:short", ":AAAA", "k 1:AAAA", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let error = Keyring::parse(text).unwrap_err().to_string();
            assert!(!error.contains("AAAA"), "{error}");
        }
        let key = generate_master_key("k1");
        let twice = format!("{},{}", key.expose_secret(), key.expose_secret());
        assert!(matches!(Keyring::parse(&twice), Err(SecretError::DuplicateKeyId { .. })));
        assert_eq!(format!("{:?}", ring(&[&key])), "Keyring(k1)");
    }

    #[test]
    fn tokens_are_long_and_never_repeat() {
        let (one, other) = (random_token("whsec"), random_token("whsec"));
        assert!(one.expose_secret().starts_with("whsec_"));
        assert_eq!(one.expose_secret().len(), "whsec_".len() + 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
