//! What Retell tells of a call, in the fold's words: from a lifecycle event, and from Retell's own answer to a question. Pure.
//!
//! Not the fold (`domain::call`), not whose call it is (`tenants`). Called by `calls` and `call_reconcile`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::envelope::Kind;
use shared::store::calls::{Analysis, CallStatus, CallUpdate, Lifecycle, Transfer};
use shared::wire::retell::{RetellCall, RetellEvent};

use crate::phone_functions::call_update;

/// What a lifecycle event says of its call; `None` without a call id. The event's name decides the status, never the call's own field alone
/// (retell reference 2.5).
pub fn lifecycle(kind: Kind, event: &RetellEvent<'_>) -> Option<CallUpdate> {
    let (status, heard) = match kind {
        Kind::RetellCallStarted => (CallStatus::Ongoing, Some(Lifecycle::Started)),
        Kind::RetellCallEnded => (CallStatus::Ended, Some(Lifecycle::Ended)),
        Kind::RetellCallAnalyzed => (CallStatus::Analyzed, Some(Lifecycle::Analyzed)),
        _ => (CallStatus::Ongoing, None),
    };
    let transfer = match kind {
        Kind::RetellTransferStarted => Some(Transfer::Started),
        Kind::RetellTransferBridged => Some(Transfer::Bridged),
        Kind::RetellTransferCancelled => Some(Transfer::Cancelled),
        Kind::RetellTransferEnded => Some(Transfer::Ended),
        _ => None,
    };
    let told = told(&event.call, status)?;
    let destination = event.transfer_destination.as_ref().and_then(|destination| destination.number.as_ref()).map(|number| number.expose().clone());
    Some(CallUpdate { heard: heard.into_iter().collect(), transfer, transfer_destination: destination.or(told.transfer_destination), ..told })
}

/// What Retell answers about a call, and with it the events that it makes up for; `None` without a call id.
pub fn answered(call: &RetellCall<'_>, asked_at: DateTime<Utc>) -> Option<CallUpdate> {
    let told = told(call, stage(call))?;
    Some(CallUpdate { heard: events_of(call), asked_at: Some(asked_at), ..told })
}

/// The lifecycle events that Retell has sent for a call that stands so. One that never connected is not started (reference 2.3).
pub fn events_of(call: &RetellCall<'_>) -> BTreeSet<Lifecycle> {
    let stage = stage(call);
    let started = stage >= CallStatus::Ongoing && call.started_at.is_some() && call.call_status.as_deref() != Some("not_connected");
    let events = [(Lifecycle::Started, started), (Lifecycle::Ended, stage >= CallStatus::Ended), (Lifecycle::Analyzed, stage >= CallStatus::Analyzed)];
    events.into_iter().filter_map(|(event, sent)| sent.then_some(event)).collect()
}

/// Where the call stands by its own fields: there is no event whose name would say it. Unknown words are not trusted, an end is (reference 2.5: open enum).
fn stage(call: &RetellCall<'_>) -> CallStatus {
    let over = call.ended_at.is_some() || call.disconnection_reason.is_some();
    match call.call_status.as_deref() {
        Some("ended" | "error" | "not_connected") => {}
        _ if over => {}
        Some("registered") => return CallStatus::Registered,
        _ => return CallStatus::Ongoing,
    }
    if call.call_analysis.is_some() { CallStatus::Analyzed } else { CallStatus::Ended }
}

fn told(call: &RetellCall<'_>, status: CallStatus) -> Option<CallUpdate> {
    let ended = status >= CallStatus::Ended;
    let analysis = call.call_analysis.as_ref().map(|analysis| Analysis {
        summary: analysis.call_summary.as_ref().map(|summary| summary.expose().clone()),
        sentiment: analysis.user_sentiment.clone(),
        in_voicemail: analysis.in_voicemail,
        successful: analysis.call_successful,
        custom: Value::Object(analysis.custom_analysis_data.expose().clone()),
    });
    Some(CallUpdate {
        connected: ended.then(|| call.call_status.as_deref() != Some("not_connected")),
        ended_at: call.ended_at,
        duration_ms: call.duration_ms,
        disconnection_reason: call.disconnection_reason.clone(),
        transfer_destination: call.transfer_destination.as_ref().map(|destination| destination.expose().clone()),
        transcript: if ended { call.transcript_text().map(|text| text.expose().clone()) } else { None },
        recording_url: call.recording_url.as_ref().map(|url| url.expose().clone()),
        analysis,
        cost_cents: call.call_cost.as_ref().and_then(|cost| cost.combined_cost_cents),
        ..call_update(call, Some(status))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(body: &str) -> Vec<&'static str> {
        let call: RetellCall<'_> = serde_json::from_str(body).unwrap();
        events_of(&call).into_iter().map(Lifecycle::name).collect()
    }

    /// Reference 2.3, 2.5: no call_started without a connection; the documentation's ended call says "registered"; statuses are an open list.
    #[test]
    fn the_events_of_a_call_follow_from_how_it_stands() {
        let whole = ["call_started", "call_ended", "call_analyzed"];
        for (body, expected) in [
            (r#"{"call_id":"c","call_status":"ongoing","start_timestamp":1}"#, &whole[..1]),
            (r#"{"call_id":"c","call_status":"registered"}"#, &[]),
            (r#"{"call_id":"c","call_status":"registered","start_timestamp":1,"end_timestamp":2,"disconnection_reason":"user_hangup"}"#, &whole[..2]),
            (r#"{"call_id":"c","call_status":"ended","start_timestamp":1,"end_timestamp":2,"call_analysis":{"call_summary":"x"}}"#, &whole),
            (r#"{"call_id":"c","call_status":"teleported","start_timestamp":1,"end_timestamp":2}"#, &whole[..2]),
            (r#"{"call_id":"c","call_status":"not_connected","disconnection_reason":"dial_no_answer","call_analysis":{}}"#, &whole[1..]),
            (r#"{"call_id":"c","call_status":"error","start_timestamp":1}"#, &whole[..2]),
        ] {
            assert_eq!(events(body), expected, "{body}");
        }
    }
}
