//! `frontdesk migrate`: brings the schema up to this program's version, as the owner of the schema.

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use shared::store::schema;

use crate::{CliError, Outcome, Session};

/// Apply the schema and make the day partitions. Needs the owner of the schema in DATABASE_URL. Can be repeated.
#[derive(Args, Debug)]
#[command(after_help = "Example: DATABASE_URL_FILE=/run/secrets/database_url_owner frontdesk migrate")]
pub struct Migrate {}

impl Migrate {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let done = schema::migrate(session.database_url()?.expose_secret()).await?;
        let answer = json!({"from": done.from, "to": done.to, "partitions_made": done.partitions_made});
        session.answer(&answer, |_| {
            let from = done.from.map_or_else(|| "an empty database".to_owned(), |from| format!("version {from}"));
            if done.from == Some(done.to) {
                format!("The schema is at version {} already; {} day partitions made.", done.to, done.partitions_made)
            } else {
                format!("The schema went from {from} to version {}; {} day partitions made.", done.to, done.partitions_made)
            }
        })?;
        Ok(Outcome::Done)
    }
}
