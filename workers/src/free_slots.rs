//! Which starts of a service are free in Cal.com, for a caller who waits: remembered for a minute, else asked for once, paid from the credential's budget (architecture section 9).
//!
//! Not our own claims, not the notice, not the order in which times are offered: that is for whoever offers them. A read outside any transaction; it changes nothing in
//! Cal.com. Called by the functions that check, offer, hold and book, before their transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use shared::calcom::{Access, CalcomClient, CalcomError, Credential, FreeSlot, SlotQuery};
use shared::config::Calcom;
use shared::envelope::Lane;
use shared::store::availability::{self, DAYS_MAX};
use shared::store::records::{self, ApiCall};
use shared::store::services::Service;
use shared::store::tx::CompanyTx;
use shared::store::{StoreError, budgets, credentials};
use tokio::time::Instant;
use uuid::Uuid;

use crate::calcom_sync::verdict::{Word, word};
use crate::runtime::Context;

/// Cal.com answers slots in under a second or not in time for a caller.
const READ_MAX: Duration = Duration::from_secs(3);
/// Of the caller's time, for what comes after the slots.
const REST: Duration = Duration::from_millis(500);
/// Services whose turn is kept in mind; beyond, the memory of turns starts anew.
const TURNS_MAX: usize = 10_000;

/// Why the calendar could not be read: a class for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// No event type, no key, or a key that cannot be opened: a matter for the operator.
    NotSetUp,
    /// The account's budget has no token for a caller in time, or Cal.com lets it rest.
    NoToken,
    /// Cal.com failed, refused, or did not answer in time.
    Calcom,
}

impl Away {
    /// The label of metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSetUp => "not_set_up",
            Self::NoToken => "no_token",
            Self::Calcom => "calcom",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub company_id: Uuid,
    pub service: &'a Service,
    /// First and last possible start; the days of both are read whole.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// The booking that is to be moved: its own time counts as free. Such a question is not remembered.
    pub moved_uid: Option<&'a str>,
    /// When the caller must have an answer.
    pub deadline: Instant,
}

/// The way to Cal.com's slots. One per process and lane.
#[derive(Clone)]
pub struct FreeSlots {
    context: Context,
    clients: Arc<Mutex<HashMap<String, CalcomClient>>>,
    /// One question at a time per service: twenty callers at opening time are one request.
    turns: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
}

impl FreeSlots {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, clients: Arc::default(), turns: Arc::default() }
    }

    /// The free starts, by start.
    ///
    /// # Errors
    /// When Postgres is away. That Cal.com is away is a value: the caller hears a true sentence.
    pub async fn between(&self, question: Question<'_>) -> Result<Result<Vec<DateTime<Utc>>, Away>, StoreError> {
        let first = question.from.date_naive();
        // a longer look is cut: nobody offers times so far apart in one breath
        let days = i64::try_from(DAYS_MAX).unwrap_or(i64::MAX) - 1;
        let last = question.to.date_naive().min(first + chrono::Duration::days(days));
        let all =
            if question.moved_uid.is_some() { self.ask(question, (first, last)).await? } else { self.remembered_or_asked(question, (first, last)).await? };
        Ok(all.map(|starts| starts.into_iter().filter(|start| (question.from..=question.to).contains(start)).collect()))
    }

    async fn remembered_or_asked(&self, question: Question<'_>, days: (NaiveDate, NaiveDate)) -> Result<Result<Vec<DateTime<Utc>>, Away>, StoreError> {
        if let Some(starts) = self.remembered(question, days).await? {
            return Ok(Ok(starts));
        }
        let turn = self.turn(question.service.id);
        let Ok(_turn) = tokio::time::timeout_at(question.deadline, turn.lock()).await else { return Ok(Err(Away::Calcom)) };
        // whoever had the turn before us may have asked the same
        if let Some(starts) = self.remembered(question, days).await? {
            return Ok(Ok(starts));
        }
        self.ask(question, days).await
    }

    async fn remembered(&self, question: Question<'_>, (first, last): (NaiveDate, NaiveDate)) -> Result<Option<Vec<DateTime<Utc>>>, StoreError> {
        let reading = async {
            let mut tx = CompanyTx::begin(&self.context.pool, Some(question.company_id), &[]).await?;
            let days = availability::remembered(&mut tx, question.service.id, first, last).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(days)
        };
        let days = self.context.answered("read the remembered slots", reading).await?;
        let wanted = (last - first).num_days() + 1;
        let complete = i64::try_from(days.len()).is_ok_and(|found| found == wanted);
        Ok(complete.then(|| days.into_iter().flat_map(|day| day.starts).collect()))
    }

    async fn ask(&self, question: Question<'_>, (first, last): (NaiveDate, NaiveDate)) -> Result<Result<Vec<DateTime<Utc>>, Away>, StoreError> {
        let (Some(event_type_id), Some(credential_id)) = (question.service.calcom_event_type_id, question.service.credential_id) else {
            return Ok(Err(Away::NotSetUp));
        };
        let Some((client, credential)) = self.open(credential_id).await? else { return Ok(Err(Away::NotSetUp)) };
        let Some(read) = self.token(credential_id, question.deadline).await? else { return Ok(Err(Away::NoToken)) };
        let until = last.succ_opt().unwrap_or(last).and_time(chrono::NaiveTime::MIN).and_utc() - chrono::Duration::seconds(1);
        let query = SlotQuery {
            event_type_id,
            from: first.and_time(chrono::NaiveTime::MIN).and_utc(),
            to: until,
            duration_minutes: None,
            moved_uid: question.moved_uid.map(str::to_owned),
        };
        let timeout = question.deadline.saturating_duration_since(Instant::now()).saturating_sub(REST).min(READ_MAX);
        let begun = Instant::now();
        let answer = client.free_slots(Access::new(&credential).within(timeout), &query).await;
        self.told(question.company_id, credential_id, read, begun, answer.as_ref().err()).await?;
        match answer {
            Ok(slots) => {
                let starts: Vec<DateTime<Utc>> = slots.into_iter().map(|FreeSlot { starts_at, .. }| starts_at).collect();
                if question.moved_uid.is_none() {
                    self.remember(question, (first, last), &starts, read.asked_at).await?;
                }
                Ok(Ok(starts))
            }
            Err(error) => {
                tracing::warn!(credential.id = %credential_id, class = error.class().name(), "Cal.com's free slots could not be read");
                Ok(Err(Away::Calcom))
            }
        }
    }

    async fn remember(
        &self,
        question: Question<'_>,
        days: (NaiveDate, NaiveDate),
        starts: &[DateTime<Utc>],
        asked_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let writing = async {
            let mut tx = CompanyTx::begin(&self.context.pool, Some(question.company_id), &[]).await?;
            availability::remember(&mut tx, question.service.id, days, starts, asked_at).await?;
            tx.commit().await.map(|_| ())
        };
        self.context.answered("remember slots", writing).await
    }

    /// Waits for a token while the caller has time for the request itself.
    async fn token(&self, credential_id: Uuid, deadline: Instant) -> Result<Option<budgets::Read>, StoreError> {
        loop {
            match self.context.answered("take a token for a read", budgets::take_read(&self.context.pool, credential_id, READ_MAX)).await? {
                Ok(read) => return Ok(Some(read)),
                Err(wait) if Instant::now() + wait + REST * 2 < deadline => tokio::time::sleep(wait).await,
                Err(_) => return Ok(None),
            }
        }
    }

    /// What became of the request is told to all processes, and recorded.
    async fn told(&self, company_id: Uuid, credential_id: Uuid, read: budgets::Read, begun: Instant, error: Option<&CalcomError>) -> Result<(), StoreError> {
        let pool = &self.context.pool;
        let telling = async {
            budgets::end_read(pool, credential_id, read).await?;
            match word(error) {
                Word::Answers => budgets::succeeded(pool, credential_id).await?,
                Word::Fails => drop(budgets::failed(pool, credential_id).await?),
                Word::Rests(pause) => budgets::block(pool, credential_id, pause).await?,
                Word::Nothing => {}
            }
            let record = ApiCall {
                intent_id: None,
                credential_id,
                provider: "calcom",
                operation: "free_slots",
                lane: Lane::Live,
                status: error.and_then(CalcomError::status),
                error_class: error.map(|error| error.class().name()),
                provider_request_id: error.and_then(|error| error.request_id()).map(str::to_owned),
                took_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
            };
            let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
            records::insert_api_call(&mut tx, &record).await?;
            tx.commit().await.map(|_| ())
        };
        self.context.answered("tell what became of a read", telling).await
    }

    async fn open(&self, credential_id: Uuid) -> Result<Option<(CalcomClient, Credential)>, StoreError> {
        let Some(keyring) = &self.context.keyring else { return Ok(None) };
        let opened = match self.context.answered("open a credential", credentials::open(&self.context.pool, keyring, credential_id)).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(None),
            Err(StoreError::Secret(_)) => {
                tracing::error!(credential.id = %credential_id, "the credential cannot be opened: is its master key among MASTER_KEYS?");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(&opened.base_url) {
            let Ok(client) = CalcomClient::new(&Calcom { base_url: opened.base_url.clone(), ..self.context.config.calcom.clone() }) else { return Ok(None) };
            clients.insert(opened.base_url.clone(), client);
        }
        Ok(clients.get(&opened.base_url).map(|client| (client.clone(), Credential { api_key: opened.api_key })))
    }

    fn turn(&self, service_id: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= TURNS_MAX {
            turns.clear();
        }
        Arc::clone(turns.entry(service_id).or_default())
    }
}
