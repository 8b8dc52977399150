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
        let answer = json!({"from": done.from, "to": done.to, "partitions_made": done.partitions_made, "partition_days_ahead": done.partition_days_ahead});
        session.answer(&answer, |_| {
            let from = done.from.map_or_else(|| "an empty database".to_owned(), |from| format!("version {from}"));
            let partitions = format!("Day partitions are there for today and the next {} days.", done.partition_days_ahead);
            if done.from == Some(done.to) {
                format!("The schema is at version {} already. {partitions}", done.to)
            } else {
                format!("The schema went from {from} to version {}. {partitions}", done.to)
            }
        })?;
        Ok(Outcome::Done)
    }
}
