//! A call that Retell holds and whose number is nobody's: parked for a human as its webhook would be, but once and not at every sweep. Replayed after its
//! number was mapped (`frontdesk dead retry`), it goes the way of a webhook.

use chrono::{DateTime, Duration, Utc};
use shared::broker::topology;
use shared::domain::call::Lifecycle;
use shared::envelope::{Kind, Lane, MessageId, Role, SCHEMA_VERSION};
use shared::store::dead_letters::{self, NewDeadLetter};
use shared::store::{records, troubled_calls};
use shared::wire::retell::RetellCall;

use super::account::Account;
use crate::call_facts;
use crate::runtime::Failure;
use crate::scheduler::Running;

/// Its own webhooks, if they came, were parked within this time.
pub(super) const PARKED_WITHIN: Duration = Duration::days(4);

/// Which call, and why it is nobody's.
#[derive(Clone, Copy)]
pub(super) struct Unowned<'a> {
    pub retell_call_id: &'a str,
    pub reason: &'static str,
    pub now: DateTime<Utc>,
}

/// Parks the call, unless that was done before or its webhooks are parked already. `as_listed`: what the list tells of it, where Retell's own answer cannot be had.
/// Whether Retell was asked, and answered.
///
/// # Errors
/// As asking Retell; what the store says.
pub(super) async fn park_once(running: &Running, account: &Account, call: &Unowned<'_>, as_listed: Option<&str>) -> Result<bool, Failure> {
    let Unowned { retell_call_id, reason, now } = *call;
    let mut tx = running.begin(None).await?;
    let is_new = troubled_calls::note_unowned(&mut tx, account.credential_id, retell_call_id).await?;
    if !is_new || !troubled_calls::parked_kinds(&mut tx, account.endpoint_id, retell_call_id, now - PARKED_WITHIN).await?.is_empty() {
        tx.commit().await?;
        return Ok(false);
    }
    // not noted before it is parked: a crash or a refusal of Retell in between must not lose it
    drop(tx);
    let body = match as_listed {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => {
            let answer = account.call(retell_call_id).await?;
            records::insert_account_request(&running.context.pool, &answer.record).await?;
            answer.body
        }
    };
    let letter = body.and_then(|body| letter(account, retell_call_id, &body, reason, now));
    let mut tx = running.begin(None).await?;
    if troubled_calls::note_unowned(&mut tx, account.credential_id, retell_call_id).await?
        && let Some(letter) = letter
    {
        dead_letters::insert(&mut tx, &letter).await?;
        running.context.metrics.parked(reason);
        tracing::warn!(endpoint.id = %account.endpoint_id, reason, "a call at Retell belongs to no company: it is parked");
    }
    tx.commit().await?;
    Ok(as_listed.is_none())
}

/// The webhook that did not come.
fn letter(account: &Account, retell_call_id: &str, body: &[u8], reason: &'static str, now: DateTime<Utc>) -> Option<NewDeadLetter> {
    let call: RetellCall<'_> = serde_json::from_slice(body).ok()?;
    let (kind, event) = match call_facts::events_of(&call).last()? {
        Lifecycle::Analyzed => (Kind::RetellCallAnalyzed, Lifecycle::Analyzed.name()),
        Lifecycle::Ended => (Kind::RetellCallEnded, Lifecycle::Ended.name()),
        Lifecycle::Started => return None,
    };
    let identity = [account.endpoint_id.as_bytes().as_slice(), retell_call_id.as_bytes()].concat();
    let body = [format!(r#"{{"event":"{event}","call":"#).as_bytes(), body, b"}"].concat();
    Some(NewDeadLetter {
        message_id: Some(MessageId::of_own("a call of Retell's list", &identity).to_string()),
        kind: Some(kind.name()),
        role: Some(Role::Calls.name()),
        queue: topology::queue(Role::Calls, Lane::Bulk).to_string(),
        endpoint: Some(account.endpoint_id),
        company_id: None,
        schema_version: Some(SCHEMA_VERSION),
        attempt: 1,
        reason: reason.to_owned(),
        detail: "found in Retell's list".to_owned(),
        body,
        received_at: Some(now),
    })
}
