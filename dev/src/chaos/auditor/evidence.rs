//! Gathers once what several invariants look at: the stand-in's ledger as lives, its requests and webhooks, our rows, and who is who.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use uuid::Uuid;

use super::super::record::{Company, ProcessRecord, Record};
use super::lives::{Life, Lives};
use super::needles::Needles;
use super::rows::{AppointmentRow, FunctionRow, IntentRow, Rows, UidRow};
use super::witness::{self, BlockRow, SessionRow};
use crate::calcom_stand_in::{DeliveryEntry, RequestEntry};

/// A process that does not answer within this at rest does not live.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a process says of itself.
pub struct Metrics {
    pub name: String,
    pub program: &'static str,
    /// Nothing: it did not answer.
    pub text: Option<String>,
}

pub struct Evidence {
    pub lives: Lives,
    pub requests: Vec<RequestEntry>,
    /// Uids of which a webhook was lost or refused.
    undelivered: HashSet<String>,
    /// What an acknowledged webhook told: trigger and uid.
    delivered: HashSet<(String, String)>,
    /// Messages that lie before a human.
    pub parked: HashSet<String>,
    intent_of_id: HashMap<Uuid, usize>,
    /// As the auditor's triggers saw them.
    pub sessions: Vec<SessionRow>,
    pub blocks: Vec<BlockRow>,
    pub rows: Rows,
    pub needles: Needles,
    pub metrics: Vec<Metrics>,
    companies: HashMap<Uuid, Company>,
    company_of_event_type: HashMap<i64, Uuid>,
    /// Event types whose bookings one person alone takes: that person, and how long.
    host_of_event_type: HashMap<i64, (i64, i64)>,
    key_of_credential: HashMap<Uuid, String>,
}

impl Evidence {
    pub async fn gather(record: &Record) -> anyhow::Result<Self> {
        let ledger = record.calcom.ledger();
        let types = || record.companies.iter().flat_map(|company| company.event_types.iter().map(move |event_type| (company, event_type)));
        let deliveries = record.calcom.deliveries();
        let rows = Rows::read(&record.database).await.context("reading the tables about bookings, wishes and calls")?;
        Ok(Self {
            lives: Lives::told(&ledger),
            needles: Needles::of(record, ledger.iter().map(|entry| entry.uid.as_str())),
            metrics: metrics(&record.processes).await,
            requests: record.calcom.requests(),
            undelivered: undelivered(&deliveries),
            delivered: delivered(&deliveries),
            parked: parked(&record.database).await.context("reading what lies before a human")?,
            sessions: witness::sessions(&record.database).await.context("reading what the witness saw of sessions")?,
            blocks: witness::blocks(&record.database).await.context("reading what the witness saw of blocks")?,
            intent_of_id: rows.intents.iter().enumerate().map(|(index, intent)| (intent.id, index)).collect(),
            rows,
            companies: record.companies.iter().map(|company| (company.id, company.clone())).collect(),
            company_of_event_type: types().map(|(company, event_type)| (event_type.id, company.id)).collect(),
            host_of_event_type: types()
                .filter(|(_, event_type)| event_type.hosts.len() == 1)
                .filter_map(|(_, event_type)| Some((event_type.id, (*event_type.hosts.first()?, event_type.minutes))))
                .collect(),
            key_of_credential: record.companies.iter().map(|company| (company.credential_id, company.api_key_name.clone())).collect(),
        })
    }

    /// The company's name, for a sentence.
    pub fn name(&self, company_id: Uuid) -> &str {
        self.companies.get(&company_id).map_or("an unknown company", |company| company.name.as_str())
    }

    pub fn company_of(&self, event_type_id: i64) -> Option<Uuid> {
        self.company_of_event_type.get(&event_type_id).copied()
    }

    /// The one person who takes that event type, and the minutes that it takes.
    pub fn host_of(&self, event_type_id: i64) -> Option<(i64, i64)> {
        self.host_of_event_type.get(&event_type_id).copied()
    }

    pub fn key_of(&self, credential_id: Uuid) -> Option<&str> {
        self.key_of_credential.get(&credential_id).map(String::as_str)
    }

    /// Whether every webhook about that uid reached ingress.
    pub fn was_told(&self, uid: &str) -> bool {
        !self.undelivered.contains(uid)
    }

    /// Whether a webhook with one of these triggers about that uid was acknowledged.
    pub fn heard_of(&self, uid: &str, triggers: &[&str]) -> bool {
        triggers.iter().any(|trigger| self.delivered.contains(&((*trigger).to_owned(), uid.to_owned())))
    }

    pub fn intent(&self, id: Uuid) -> Option<&IntentRow> {
        self.intent_of_id.get(&id).map(|index| &self.rows.intents[*index])
    }

    /// The booking that an intent made or moved.
    pub fn intents_life(&self, intent: &IntentRow) -> Option<&Life> {
        let token = intent.token.to_string();
        let by_uid = || intent.uid.as_deref().and_then(|uid| self.lives.of(uid));
        if intent.op == "create" { self.lives.of_token(&token).next().or_else(by_uid) } else { by_uid() }
    }

    /// Wishes that were uttered through functions, by their message.
    pub fn functions(&self) -> HashMap<&str, &FunctionRow> {
        self.rows.functions.iter().map(|row| (row.message_id.as_str(), row)).collect()
    }

    /// Lives that our rows must know.
    pub fn owed(&self) -> impl Iterator<Item = &Life> {
        let undone = self.undone_doubles();
        self.lives.all.iter().filter(move |life| !undone.contains_key(life.root().uid.as_str()))
    }

    /// Second bookings of one wish that we ended ourselves, and how long each was there.
    pub fn undone_doubles(&self) -> HashMap<&str, TimeDelta> {
        let confirmed = self.rows.intents.iter().filter(|intent| intent.op == "create" && intent.state == "confirmed");
        self.lives.undone_doubles(&confirmed.filter_map(|intent| Some((intent.token.to_string(), intent.uid.as_deref()?))).collect())
    }

    pub fn uid_rows(&self) -> HashMap<&str, Vec<&UidRow>> {
        let mut found: HashMap<&str, Vec<&UidRow>> = HashMap::new();
        for row in &self.rows.uids {
            found.entry(row.uid.as_str()).or_default().push(row);
        }
        found
    }

    pub fn appointments(&self) -> HashMap<Uuid, &AppointmentRow> {
        self.rows.appointments.iter().map(|row| (row.id, row)).collect()
    }

    pub fn intents_by_token(&self) -> HashMap<String, &IntentRow> {
        self.rows.intents.iter().filter(|intent| intent.op == "create").map(|intent| (intent.token.to_string(), intent)).collect()
    }
}

fn undelivered(deliveries: &[DeliveryEntry]) -> HashSet<String> {
    let missed = deliveries.iter().filter(|delivery| !delivery.status.is_some_and(|status| (200..300).contains(&status)));
    missed.filter_map(|delivery| delivery.uid.clone()).collect()
}

fn delivered(deliveries: &[DeliveryEntry]) -> HashSet<(String, String)> {
    let arrived = deliveries.iter().filter(|delivery| delivery.status.is_some_and(|status| (200..300).contains(&status)));
    arrived.filter_map(|delivery| Some((delivery.trigger.clone(), delivery.uid.clone()?))).collect()
}

async fn parked(database: &sqlx::PgPool) -> sqlx::Result<HashSet<String>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT DISTINCT message_id FROM dead_letters WHERE message_id IS NOT NULL").fetch_all(database).await?;
    Ok(ids.into_iter().collect())
}

async fn metrics(processes: &[ProcessRecord]) -> Vec<Metrics> {
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build().unwrap_or_default();
    let asked = processes.iter().map(async |process| {
        let answer = http.get(&process.metrics_url).send().await.and_then(reqwest::Response::error_for_status);
        let text = match answer {
            Ok(answer) => answer.text().await.ok(),
            Err(_) => None,
        };
        Metrics { name: process.name.clone(), program: process.program, text }
    });
    futures_util::future::join_all(asked).await
}
