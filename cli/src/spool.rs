//! `frontdesk spool`: a spool folder whose ingress is gone for good (a volume of a removed pod, a machine that is taken out of service).
//!
//! Reads and publishes with ingress' own code; a folder that a living ingress holds is refused.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use ingress::spool::SpoolError;
use ingress::spool::orphan::{self, Emptied};
use secrecy::ExposeSecret;
use serde_json::json;
use shared::broker::publish::{CONFIRM_TIMEOUT, IN_FLIGHT_MAX};
use shared::broker::{self, Publisher, PublisherConfig};

use crate::{CliError, Outcome, Session};

/// Goodbyes that a broker does not answer.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Folders in which ingress keeps messages while the broker is away.
#[derive(Debug, Subcommand)]
pub enum Spool {
    /// Publish what an orphaned spool folder holds, and delete what the broker confirmed. Needs ingress' user in AMQP_URL. Can be repeated.
    #[command(after_help = "Exit code 1 if something is left: a queue is full, the broker went away, or records are damaged.\n\n\
                            Example: AMQP_URL_FILE=/run/secrets/amqp_url_ingress frontdesk spool drain --dir /mnt/orphan/spool")]
    Drain {
        /// The folder that was SPOOL_DIR; no ingress may use it.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// Give up when nothing was confirmed for so many seconds.
        #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u16).range(1..=3600))]
        patience: u16,
    },
}

impl Spool {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Drain { dir, patience } = self;
        let patience = Duration::from_secs(patience.into());
        let url = session.environment.secret("AMQP_URL")?;
        let folder = dir.clone();
        // its only failure is a panic, which would be ours
        let opened = tokio::task::spawn_blocking(move || orphan::open(&folder)).await;
        let spool = opened.map_err(|_| CliError::Usage("reading the spool folder was interrupted".to_owned()))?.map_err(refused)?;
        let before = spool.held();
        let emptied = if before.records == 0 {
            Emptied { held: before, ..Emptied::default() }
        } else {
            broker::check(url.expose_secret()).await?;
            let publisher = Publisher::start(publisher_config(url.expose_secret()), session.clock.clone());
            let emptied = orphan::empty(&spool, &publisher, patience).await;
            publisher.close(CLOSE_MAX).await;
            emptied
        };
        let good = emptied.held.records == 0 && emptied.held.damaged == 0;
        let by_queue: Vec<_> = emptied.confirmed.iter().map(|(queue, count)| json!({"queue": queue.as_str(), "messages": count})).collect();
        let value = json!({"found": before.records, "published": by_queue, "left": emptied.held.records, "damaged": emptied.held.damaged});
        session.answer(&value, |_| told(&dir, before.records, &emptied))?;
        Ok(Outcome::of(good))
    }
}

fn publisher_config(amqp_url: &str) -> PublisherConfig {
    PublisherConfig {
        amqp_url: amqp_url.to_owned(),
        connection_name: "frontdesk spool drain".to_owned(),
        in_flight_max: IN_FLIGHT_MAX,
        confirm_timeout: CONFIRM_TIMEOUT,
    }
}

fn refused(error: SpoolError) -> CliError {
    match error {
        SpoolError::InUse { folder } => {
            CliError::Usage(format!("the spool folder {} is in use: its ingress is alive and empties it by itself", folder.display()))
        }
        other => CliError::Spool(other),
    }
}

fn told(dir: &std::path::Path, found: u64, emptied: &Emptied) -> String {
    let published: u64 = emptied.confirmed.values().sum();
    let mut text = match found {
        0 => format!("{} holds no message.", dir.display()),
        _ => format!("{published} of {found} messages of {} are published and deleted.", dir.display()),
    };
    for (queue, count) in &emptied.confirmed {
        text.push_str(&format!("\n  {count:>8}  {queue}"));
    }
    if emptied.held.records > 0 {
        let left = emptied.held.records;
        text.push_str(&format!("\n{left} are left: the broker did not confirm them (is their queue full, may this user write?). Run it again."));
    }
    if emptied.held.damaged > 0 {
        text.push_str(&format!("\n{} records are damaged or of an unknown form and were not published.", emptied.held.damaged));
    }
    text
}
