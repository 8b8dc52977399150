//! `frontdesk key`: master keys. Rotation: put the new key in front of MASTER_KEYS, keep the old one behind it until nothing is sealed with it.

use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::json;
use shared::secret::{Keyring, generate_master_key};

use crate::{CliError, Outcome, Session};

/// Master keys, which seal every other secret.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Print a new entry for MASTER_KEYS. It is shown here and kept nowhere.
    #[command(after_help = "Example: frontdesk key generate > deploy/secrets/master_keys")]
    Generate {
        /// Name of the key, stored beside everything it seals (default: k and today's date).
        #[arg(long = "id", id = "key_id", value_name = "ID")]
        id: Option<String>,
    },
}

impl Key {
    pub fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Generate { id } = self;
        let id = id.unwrap_or_else(|| session.clock.now().format("k%Y%m%d").to_string());
        let entry = generate_master_key(&id);
        // an id that the ring could not read back would only be noticed at the next start
        if Keyring::parse(entry.expose_secret()).is_err() {
            return Err(CliError::Usage("the id must be 1 to 32 letters, digits, dots, hyphens or underscores".to_owned()));
        }
        session.answer(&json!({"master_key": entry.expose_secret()}), |_| entry.expose_secret().to_owned())?;
        Ok(Outcome::Done)
    }
}
