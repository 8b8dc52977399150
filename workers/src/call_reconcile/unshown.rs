//! Calls that Retell lists and would not show: their own fault, or that of the moment? Nobody's, unless Retell showed another one meanwhile: an outage of get-call alone
//! (lists are answered, and end the outage brake) would leave out healthy calls. Where no other one had to be asked for, one is, as a control.

use shared::store::troubled_calls;
use uuid::Uuid;

use super::page::Pass;
use super::sorted::Listed;
use super::trouble::{self, FAILURES_MAX, IN_A_ROW_MAX, UNAVAILABLE, Whose};
use super::{left_out, unowned};
use crate::runtime::{Failure, failure_log};

/// One of them.
pub(super) enum Unshown<'p> {
    Ours { company_id: Uuid, listed: &'p Listed<'p>, failure: Failure },
    Nobodys { call: unowned::Unowned<'p>, text: &'p str, failure: Failure },
}

impl<'p> Unshown<'p> {
    fn into_failure(self) -> Failure {
        match self {
            Self::Ours { failure, .. } | Self::Nobodys { failure, .. } => failure,
        }
    }
}

impl Pass<'_> {
    /// Holds it until the end of its page, or until so many came one after the other that there is more to it.
    ///
    /// # Errors
    /// Retell shows no call at all; what the store says.
    pub(super) async fn hold<'p>(&mut self, unshown: &mut Vec<Unshown<'p>>, one: Unshown<'p>) -> Result<(), Failure> {
        unshown.push(one);
        self.unclear_in_a_row += 1;
        if self.unclear_in_a_row >= IN_A_ROW_MAX { self.judge(unshown, true).await } else { Ok(()) }
    }

    /// Counts the failures if they are these calls' own. `in_a_row`: what Retell answered before them says nothing about now.
    ///
    /// # Errors
    /// As [`Self::hold`]: nothing is counted then, and the account's cursor stays.
    pub(super) async fn judge(&mut self, unshown: &mut Vec<Unshown<'_>>, in_a_row: bool) -> Result<(), Failure> {
        if unshown.is_empty() {
            return Ok(());
        }
        if (in_a_row || !self.was_shown_one) && !self.is_shown_another(in_a_row).await? {
            return Err(unshown.swap_remove(0).into_failure());
        }
        self.unclear_in_a_row = 0;
        for one in unshown.drain(..) {
            self.count(one).await?;
        }
        Ok(())
    }

    /// Asks for a call that nothing is wrong with. Where the list has none, one or two are counted all the same: an account whose only call of an hour cannot be had must come past
    /// it, and when it is left out the list's item is taken in. More in a row are an outage.
    async fn is_shown_another(&mut self, in_a_row: bool) -> Result<bool, Failure> {
        let Some(control) = self.control.clone() else { return Ok(!in_a_row) };
        match self.ask(&control).await {
            Ok(answer) => {
                shared::store::records::insert_account_request(&self.running.context.pool, &answer.record).await?;
                Ok(true)
            }
            Err(failure) if failure.class() == UNAVAILABLE => Ok(false),
            Err(failure) if trouble::whose(&failure) == Whose::Call => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn count(&mut self, one: Unshown<'_>) -> Result<(), Failure> {
        match one {
            Unshown::Ours { company_id, listed, failure } => {
                let (class, cause) = (failure.class(), failure_log::chain(&failure));
                tracing::warn!(company.id = %company_id, class, cause, "Retell shows other calls and not this one");
                if !left_out::note(self.running, self.account.credential_id, company_id, &listed.id, failure).await? {
                    return Ok(());
                }
                // a human has it now; what the list tells is taken in all the same
                match self.fold(listed, &listed.call, None).await {
                    Ok(events) => self.found.repaired += events,
                    Err(failure) if trouble::whose(&failure) == Whose::Everybody => return Err(failure),
                    Err(failure) => {
                        tracing::warn!(company.id = %company_id, class = failure.class(), "what the list tells of a call cannot be taken in either")
                    }
                }
                Ok(())
            }
            Unshown::Nobodys { call, text, failure } => self.park_as_listed(&call, text, failure.class(), FAILURES_MAX).await,
        }
    }

    /// After so many failures a call that is nobody's is parked as the list tells it.
    pub(super) async fn park_as_listed(&mut self, call: &unowned::Unowned<'_>, text: &str, class: &str, failures_max: i32) -> Result<(), Failure> {
        let mut tx = self.running.begin(None).await?;
        let enough = troubled_calls::trouble(&mut tx, self.account.credential_id, call.retell_call_id, class, failures_max).await?;
        tx.commit().await?;
        if enough {
            unowned::park_once(self.running, self.account, call, Some(text)).await?;
        }
        Ok(())
    }
}
