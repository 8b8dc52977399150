//! Gathers once what several invariants look at: the stand-in's ledger as lives, its requests and webhooks, our rows, and who is who.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use uuid::Uuid;

use super::super::record::{Company, ProcessRecord, Record};
use super::lives::{Life, Lives};
use super::needles::Needles;
use super::rows::{AppointmentRow, IntentRow, Rows, UidRow};
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
    pub rows: Rows,
    pub needles: Needles,
    pub metrics: Vec<Metrics>,
    companies: HashMap<Uuid, Company>,
    company_of_event_type: HashMap<i64, Uuid>,
    /// Event types whose bookings one person alone takes: that person.
    host_of_event_type: HashMap<i64, i64>,
    key_of_credential: HashMap<Uuid, String>,
}

impl Evidence {
    pub async fn gather(record: &Record) -> anyhow::Result<Self> {
        let ledger = record.calcom.ledger();
        let types = || record.companies.iter().flat_map(|company| company.event_types.iter().map(move |event_type| (company, event_type)));
        Ok(Self {
            lives: Lives::told(&ledger),
            needles: Needles::of(record, ledger.iter().map(|entry| entry.uid.as_str())),
            metrics: metrics(&record.processes).await,
            requests: record.calcom.requests(),
            undelivered: undelivered(&record.calcom.deliveries()),
            rows: Rows::read(&record.database).await.context("reading the tables about bookings")?,
            companies: record.companies.iter().map(|company| (company.id, company.clone())).collect(),
            company_of_event_type: types().map(|(company, event_type)| (event_type.id, company.id)).collect(),
            host_of_event_type: types()
                .filter(|(_, event_type)| event_type.hosts.len() == 1)
                .filter_map(|(_, event_type)| Some((event_type.id, *event_type.hosts.first()?)))
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

    pub fn host_of(&self, event_type_id: i64) -> Option<i64> {
        self.host_of_event_type.get(&event_type_id).copied()
    }

    pub fn key_of(&self, credential_id: Uuid) -> Option<&str> {
        self.key_of_credential.get(&credential_id).map(String::as_str)
    }

    /// Whether every webhook about that uid reached ingress.
    pub fn was_told(&self, uid: &str) -> bool {
        !self.undelivered.contains(uid)
    }

    /// Lives that our rows must know.
    pub fn owed(&self) -> impl Iterator<Item = &Life> {
        let undone = self.lives.undone_doubles();
        self.lives.all.iter().filter(move |life| !undone.contains(life.root().uid.as_str()))
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
