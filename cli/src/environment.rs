//! The variables that the command reads, as a value: tests give their own instead of changing the process's.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use shared::config::Problems;
use shared::secret::Keyring;

use crate::CliError;

/// Every variable that this command knows; the Compose file is held to this list by a test.
pub const VARIABLES: [&str; 11] = [
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "DATABASE_ROLE",
    "AMQP_URL",
    "AMQP_URL_FILE",
    "MASTER_KEYS",
    "MASTER_KEYS_FILE",
    "DELAY_TIERS_DIVISOR",
    "METRICS_LISTEN",
    "LISTEN",
    "NO_COLOR",
];

/// Variables by name.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // values may be secrets
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process; what is not UTF-8 is left out.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect())
    }

    /// These variables and no others.
    #[must_use]
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// A secret from `NAME` or from the file that `NAME_FILE` names.
    pub fn secret(&self, name: &str) -> Result<SecretString, CliError> {
        let mut problems = Problems::default();
        let value = self.get(name).map(SecretString::from);
        let file = self.get(&format!("{name}_FILE")).map(Into::into);
        let secret = problems.required_secret(name, value.as_ref(), file.as_ref());
        Ok(problems.finish(secret)?)
    }

    /// The ring of master keys.
    pub fn keyring(&self) -> Result<Keyring, CliError> {
        Keyring::parse(self.secret("MASTER_KEYS")?.expose_secret()).map_err(CliError::Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named_and_values_never_print() {
        let error = Environment::default().secret("DATABASE_URL").unwrap_err();
        assert_eq!(error.told(), "DATABASE_URL is not set (nor DATABASE_URL_FILE)");
        assert!(!format!("{:?}", Environment::of([("MASTER_KEYS", "k1:geheim")])).contains("geheim"));
    }

    #[test]
    fn a_malformed_key_ring_is_told_without_the_key() {
        let error = Environment::of([("MASTER_KEYS", "k1:geheim")]).keyring().unwrap_err();
        assert!(error.told().starts_with("MASTER_KEYS cannot be used: key number 1"), "{}", error.told());
        assert!(!error.told().contains("geheim"));
    }
}
