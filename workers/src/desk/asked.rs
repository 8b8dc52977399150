//! What every function of desk is given: the call, its arguments, the moment and the branch's zone; and the plain form of a refusal.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::phone::E164;
use shared::functions::Argument;
use shared::functions::arguments::BRANCH;
use shared::store::branches::{self, Branch};
use shared::store::resolve::NumberOwner;
use shared::store::tx::CompanyTx;
use shared::texts::Sentence;
use shared::wire::arguments::ArgumentError;

use super::known::Known;
use crate::answers;
use crate::phone_functions::{Begun, FunctionWork};
use crate::runtime::handler::Failure;

/// A function call, begun.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub work: &'a FunctionWork,
    pub begun: &'a Begun,
    pub now: DateTime<Utc>,
    pub zone: Tz,
}

impl<'a> Asked<'a> {
    #[must_use]
    pub fn new(work: &'a FunctionWork, begun: &'a Begun, now: DateTime<Utc>) -> Self {
        Self { work, begun, now, zone: zone_of(&work.owner) }
    }

    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.now.with_timezone(&self.zone).date_naive()
    }

    /// # Errors
    /// Only what the store says.
    pub async fn caller(&self, tx: &mut CompanyTx) -> Result<Known, Failure> {
        Known::of(tx, self.begun.customer_id, self.number().is_some(), self.now).await
    }

    /// The number that the call comes from, also in its national form.
    #[must_use]
    pub fn number(&self) -> Option<E164> {
        self.work.caller.clone().or_else(|| self.work.call.caller_raw.as_deref().and_then(|raw| E164::normalise(raw, "DE")))
    }

    /// An argument as it was told. What is of no use was asked for before (`Arguments::check`).
    #[must_use]
    pub fn told(&self, argument: &Argument) -> Option<String> {
        self.work.arguments.told(argument).ok().flatten().map(|told| told.expose().clone())
    }

    /// The branch that was named, else the one that was called.
    ///
    /// # Errors
    /// Only what the store says. The inner error is the answer that asks which branch is meant.
    pub async fn branch(&self, tx: &mut CompanyTx) -> Result<Result<Branch, Value>, Failure> {
        let all = branches::all(tx).await?;
        let meant = match self.told(&BRANCH).map(|named| named.to_lowercase()) {
            Some(named) => all.into_iter().find(|branch| named.contains(&branch.name.to_lowercase())),
            None => all.into_iter().find(|branch| branch.id == self.work.owner.branch_id),
        };
        Ok(meant.ok_or_else(|| answers::argument(&ArgumentError::Invalid { argument: BRANCH.name() })))
    }
}

/// The zone of the branch that was called.
#[must_use]
pub fn zone_of(owner: &NumberOwner) -> Tz {
    local_time::zone(&owner.time_zone).unwrap_or(Tz::Europe__Berlin)
}

/// "Freitag, der 20. November 2026".
#[must_use]
pub fn day_in_words(date: NaiveDate) -> String {
    format!("{}, der {}. {} {}", local_time::weekday(date.weekday()), date.day(), local_time::month(date.month()), date.year())
}

#[must_use]
pub fn refusal(reason: &str, sentence: Sentence<'_>) -> Value {
    json!({ "success": false, "reason": reason, "message": sentence.german() })
}
