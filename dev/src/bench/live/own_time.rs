//! Cal.com's share of each caller's wait: the stand-in's own time for the requests that were made for it. Called by `running`.
//!
//! A booking's request is found by its intent's token; the echo that the stand-in awaits within it is our own ingress, and counts as ours. A question about free times waits for its own
//! request or for a neighbour's (one at a time per service): what of them lies within its wait is their share. A question answered from memory has none.
use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Duration, Utc};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use crate::bench::arena::Arena;
use crate::bench::callers::{Heard, Wish};
use crate::calcom_stand_in::{DeliveryEntry, LedgerEntry, Op, RequestEntry};
use crate::demo::setup::url;

/// From when to when the stand-in looked for free slots of an event type.
struct Look {
    event_type_id: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Microseconds, one per request in their order.
pub async fn shares(arena: &Arena, connection: &mut PgConnection, heard: &[Heard]) -> anyhow::Result<Vec<u64>> {
    let requests: Vec<RequestEntry> = listed(arena, "requests").await?;
    let creates = creates(arena, connection, &requests).await?;
    let looks = looks(&requests);
    let share = |heard: &Heard| match heard.wish {
        Wish::Book => creates.get(&heard.retell_call_id).copied().unwrap_or_default(),
        Wish::Check => within(heard, &looks),
    };
    Ok(heard.iter().map(share).collect())
}

/// Own time of each call's booking.
async fn creates(arena: &Arena, connection: &mut PgConnection, requests: &[RequestEntry]) -> anyhow::Result<HashMap<String, u64>> {
    let changes: Vec<LedgerEntry> = listed(arena, "ledger").await?;
    let deliveries: Vec<DeliveryEntry> = listed(arena, "deliveries").await?;
    let took: HashMap<&str, u64> = requests.iter().map(|request| (request.request_id.as_str(), request.took_us)).collect();
    let echoed: HashMap<&str, DateTime<Utc>> = deliveries.iter().filter_map(|delivery| Some((delivery.uid.as_deref()?, delivery.at))).collect();
    let mut by_token: HashMap<String, u64> = HashMap::new();
    for change in changes.iter().filter(|change| change.op == Op::Create) {
        let token = change.metadata.get("frontdesk_intent").and_then(|token| token.as_str());
        let took = change.request_id.as_deref().and_then(|id| took.get(id));
        if let (Some(token), Some(took)) = (token, took) {
            let echo = echoed.get(change.uid.as_str()).map_or(0, |at| micros(*at - change.at));
            by_token.insert(token.to_owned(), took.saturating_sub(echo));
        }
    }
    let wishes: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.retell_call_id, i.token::text FROM intents i JOIN calls c ON c.company_id = i.company_id AND c.id = i.call_id WHERE i.op = 'create'",
    )
    .fetch_all(connection)
    .await
    .context("the wishes could not be read")?;
    Ok(wishes.into_iter().filter_map(|(call, token)| Some((call, *by_token.get(&token)?))).collect())
}

/// One of the lists of the stand-in's admin API.
async fn listed<T: DeserializeOwned>(arena: &Arena, what: &str) -> anyhow::Result<Vec<T>> {
    let answer = arena.stage.http.get(format!("{}/admin/{what}", url(arena.stage.ports.calcom))).send().await;
    let answer = answer.with_context(|| format!("the Cal.com stand-in does not answer on {what}"))?;
    answer.json().await.with_context(|| format!("the Cal.com stand-in's {what} cannot be read"))
}

fn looks(requests: &[RequestEntry]) -> Vec<Look> {
    let about_slots = requests.iter().filter(|request| request.path.ends_with("/slots"));
    about_slots
        .filter_map(|request| {
            let event_type_id = request.query.split('&').find_map(|pair| pair.strip_prefix("eventTypeId="))?.to_owned();
            let took = Duration::microseconds(i64::try_from(request.took_us).unwrap_or(i64::MAX));
            Some(Look { event_type_id, from: request.at, to: request.at + took })
        })
        .collect()
}

fn within(heard: &Heard, looks: &[Look]) -> u64 {
    let event_type_id = heard.event_type_id.to_string();
    let answered = heard.planned_at + Duration::microseconds(i64::try_from(heard.latency_us).unwrap_or(i64::MAX));
    let overlap = |look: &Look| micros(look.to.min(answered) - look.from.max(heard.planned_at));
    looks.iter().filter(|look| look.event_type_id == event_type_id).map(overlap).sum()
}

/// Zero if negative.
fn micros(span: Duration) -> u64 {
    span.num_microseconds().and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::callers::Ended;

    #[test]
    fn only_looks_for_the_same_service_within_the_wait_are_its_share() {
        let at = |ms: i64| DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap();
        let look = |event_type_id: &str, from, to| Look { event_type_id: event_type_id.to_owned(), from: at(from), to: at(to) };
        let looks = [look("1321", 0, 4), look("1321", 8, 12), look("1320", 4, 9), look("1321", 90, 99)];
        let heard = Heard { retell_call_id: String::new(), event_type_id: 1321, wish: Wish::Check, planned_at: at(2), latency_us: 9_000, ended: Ended::Done };
        assert_eq!(within(&heard, &looks), 2_000 + 3_000);
    }
}
