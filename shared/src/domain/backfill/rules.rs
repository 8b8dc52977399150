//! The table: for each column of `appointments`, what proves its value, in the order of trust of domain reference 6.2. Rules of one rank are equals; a lower one is asked
//! only if they all are silent.
//!
//! An echo of our own change comes back from Cal.com as a webhook, so a kept webhook proves its way only where the former system did not name one itself.

use serde_json::{Value as Json, json};

use super::evidence::{AppointmentEvidence as Row, ModificationEvidence};
use super::vocabulary::{actor, actor_of_source, booking_source, change_source};
use super::{Found, NOTHING_KNOWN, Rule, Value, best, notes, payload};
use crate::domain::provenance::{REASON_NOT_GIVEN, cancellation_reason};

type Find = fn(&Row) -> Option<Found>;

const fn rule(column: &'static str, rank: u8, name: &'static str, confidence: f32, needs: &'static str, find: Find) -> Rule<Row> {
    Rule { name, column, rank, confidence, needs, find }
}

/// All of them: column, rank, name, confidence, what must be there, how it is read.
#[rustfmt::skip]
pub static APPOINTMENT_RULES: &[Rule<Row>] = &[
    rule("created_by", 1, "user_named", 0.98, "a user of the company who booked it", |row| booking_user(row).map(|(_, evidence)| word("staff", evidence))),
    rule("created_by", 1, "history_actor", 0.95, "the actor of the history row `booked`", |row| history_actor(row.booked.as_ref())),
    rule("created_by", 2, "stored_event", 0.95, "Cal.com's event of that booking, received when the row was made", |row| row.created_event.then(|| word("customer", json!({"event": "calcom.booking_created"})))),
    rule("created_by", 2, "former_word", 0.9, "legacy_metadata.created_by, mapped", |row| said(row, &["created_by"], actor)),
    rule("created_by", 3, "call_present", 0.9, "a call that it was booked in", |row| any_call(row).map(|evidence| word("customer", evidence))),
    rule("created_by", 3, "way_booked", 0.9, "legacy_metadata.booked_via or created_via", |row| said(row, &["booked_via", "created_via"], actor_of_way)),
    rule("created_by", 3, "former_source", 0.85, "legacy_metadata.source", |row| said(row, &["source"], actor_of_way)),
    rule("created_by", 5, "notes", 0.7, "notes: Created via …", |row| notes_source(row, actor_of_way)),
    rule("created_by", 6, "backfilled", 0.8, "legacy_metadata.backfilled", |row| backfilled(row).map(|evidence| word("system", evidence))),
    rule("created_by", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("booking_source", 1, "history_source", 0.95, "the source of the history row `booked`", |row| history_source(row.booked.as_ref(), booking_source)),
    rule("booking_source", 1, "stored_event", 0.95, "Cal.com's event of that booking, received when the row was made", |row| row.created_event.then(|| word("calcom_webhook", json!({"event": "calcom.booking_created"})))),
    rule("booking_source", 2, "former_word", 0.9, "legacy_metadata.booking_source, mapped", |row| said(row, &["booking_source"], booking_source)),
    rule("booking_source", 3, "booked_via", 0.9, "legacy_metadata.booked_via", |row| said(row, &["booked_via"], booking_source)),
    rule("booking_source", 3, "created_via", 0.9, "legacy_metadata.created_via", |row| said(row, &["created_via"], booking_source)),
    rule("booking_source", 3, "former_source", 0.85, "legacy_metadata.source", |row| said(row, &["source"], booking_source)),
    rule("booking_source", 5, "notes", 0.75, "notes: Created via …", |row| notes_source(row, booking_source)),
    rule("booking_source", 6, "user_named", 0.75, "a user of the company who booked it", |row| booking_user(row).map(|(_, evidence)| word("crm_admin", evidence))),
    rule("booking_source", 6, "call_present", 0.7, "a call that it was booked in", |row| any_call(row).map(|evidence| word("retell_phone", evidence))),
    rule("booking_source", 8, "backfilled", 0.8, "legacy_metadata.backfilled", |row| backfilled(row).map(|evidence| word("backfill_from_calcom", evidence))),
    rule("booking_source", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("booked_by_user_id", 1, "user_named", 0.95, "a user of the company who booked it, by hand", |row| by_hand(row, "booking_source", row.cells.booking_source.as_deref(), booking_user(row))),

    rule("rescheduled_at", 1, "history_time", 0.98, "the newest history row `rescheduled`", |row| history_time(row.moved.as_ref())),
    rule("rescheduled_at", 2, "kept_webhook", 0.9, "createdAt of legacy_metadata.last_update_payload", |row| found(row.move_payload()?.created_at().map(Value::Time), key("last_update_payload.createdAt"))),
    rule("rescheduled_at", 3, "former_time", 0.85, "legacy_metadata.rescheduled_at", |row| time(row, "rescheduled_at")),
    rule("rescheduled_at", 4, "notes", 0.7, "notes: Rescheduled on …", |row| found(notes::rescheduled_on(row.notes.as_deref()?).map(Value::Time), json!({"notes": "rescheduled on"}))),

    rule("rescheduled_by", 1, "history_actor", 0.95, "the actor of that history row", |row| history_actor(row.moved.as_ref())),
    rule("rescheduled_by", 2, "kept_webhook", 0.9, "rescheduledBy is the organizer or an attendee", |row| person(row, "last_update_payload", "rescheduledBy")),
    rule("rescheduled_by", 3, "former_word", 0.85, "legacy_metadata.rescheduled_by, mapped", |row| said(row, &["rescheduled_by"], actor)),
    rule("rescheduled_by", 4, "way_moved", 0.8, "legacy_metadata.rescheduled_via", |row| said(row, &["rescheduled_via"], actor_of_way)),
    rule("rescheduled_by", 5, "sync_origin", 0.6, "legacy_metadata.sync_origin", |row| said(row, &["sync_origin"], actor)),
    rule("rescheduled_by", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("rescheduled_by_user_id", 1, "user_named", 0.95, "a user of the company who moved it, by hand", |row| by_hand(row, "reschedule_source", row.cells.reschedule_source.as_deref(), changing_user(row.moved.as_ref(), row.moving_user))),

    rule("reschedule_source", 1, "history_source", 0.95, "the source of that history row", |row| history_source(row.moved.as_ref(), change_source)),
    rule("reschedule_source", 1, "history_word", 0.95, "rescheduled_via of its metadata", |row| history_word(row.moved.as_ref(), "rescheduled_via")),
    rule("reschedule_source", 2, "way_moved", 0.9, "legacy_metadata.rescheduled_via", |row| said(row, &["rescheduled_via"], change_source)),
    rule("reschedule_source", 3, "former_word", 0.85, "legacy_metadata.reschedule_source, mapped", |row| said(row, &["reschedule_source"], change_source)),
    rule("reschedule_source", 4, "kept_webhook", 0.8, "legacy_metadata.last_update_payload of a move", |row| row.move_payload().map(|_| word("calcom_webhook", key("last_update_payload")))),
    rule("reschedule_source", 5, "sync_origin", 0.6, "legacy_metadata.sync_origin", |row| said(row, &["sync_origin"], origin)),
    rule("reschedule_source", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("previous_starts_at", 1, "history_previous", 0.98, "the start before, in that history row", |row| found(row.moved.as_ref()?.previous_starts_at.map(Value::Time), modification(row.moved.as_ref()))),
    rule("previous_starts_at", 1, "history_word", 0.95, "original_time of its metadata", |row| found(row.moved.as_ref()?.said("original_time").and_then(payload::time).map(Value::Time), modification(row.moved.as_ref()))),
    rule("previous_starts_at", 2, "kept_webhook", 0.9, "the old start of legacy_metadata.last_update_payload", |row| found(row.move_payload()?.time(&["rescheduleStartTime", "previousStartTime"]).map(Value::Time), key("last_update_payload"))),
    rule("previous_starts_at", 3, "former_time", 0.8, "legacy_metadata.previous_starts_at", |row| time(row, "previous_starts_at").or_else(|| time(row, "previous_start_time"))),
    rule("previous_starts_at", 4, "notes", 0.7, "notes: Rescheduled on … from …", |row| found(notes::moved_from(row.notes.as_deref()?).map(Value::Time), json!({"notes": "rescheduled on"}))),
    // the first start of all is the one before the latest move only if there was one move
    rule("previous_starts_at", 5, "first_start", 0.75, "legacy_metadata.original_start_time of a row moved once", |row| (row.rescheduled_count == 1).then(|| time(row, "original_start_time"))?),

    rule("cancelled_at", 1, "history_time", 0.98, "the newest history row `cancelled`", |row| history_time(row.cancelled.as_ref())),
    rule("cancelled_at", 2, "kept_webhook", 0.9, "createdAt of legacy_metadata.cancellation_payload", |row| found(row.payload("cancellation_payload")?.created_at().map(Value::Time), key("cancellation_payload.createdAt"))),
    rule("cancelled_at", 3, "former_time", 0.85, "legacy_metadata.cancelled_at", |row| time(row, "cancelled_at")),
    rule("cancelled_at", 4, "notes", 0.7, "notes: Cancelled on …", |row| found(notes::cancelled_on(row.notes.as_deref()?).map(Value::Time), json!({"notes": "cancelled on"}))),

    rule("cancelled_by", 1, "history_actor", 0.95, "the actor of that history row", |row| history_actor(row.cancelled.as_ref())),
    rule("cancelled_by", 2, "kept_webhook", 0.9, "cancelledBy is the organizer or an attendee", |row| person(row, "cancellation_payload", "cancelledBy")),
    rule("cancelled_by", 3, "former_word", 0.85, "legacy_metadata.cancelled_by, mapped", |row| said(row, &["cancelled_by"], actor)),
    rule("cancelled_by", 4, "way_cancelled", 0.8, "legacy_metadata.cancelled_via", |row| said(row, &["cancelled_via"], actor_of_way)),
    rule("cancelled_by", 5, "call_outcome", 0.7, "one call of the customer that ended with a cancellation, at that time", |row| cancelling_call(row).map(|evidence| word("customer", evidence))),
    rule("cancelled_by", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("cancelled_by_user_id", 1, "user_named", 0.95, "a user of the company who cancelled it, by hand", |row| by_hand(row, "cancellation_source", row.cells.cancellation_source.as_deref(), changing_user(row.cancelled.as_ref(), row.cancelling_user))),

    rule("cancellation_source", 1, "history_source", 0.95, "the source of that history row", |row| history_source(row.cancelled.as_ref(), change_source)),
    rule("cancellation_source", 1, "history_word", 0.95, "cancelled_via of its metadata", |row| history_word(row.cancelled.as_ref(), "cancelled_via")),
    rule("cancellation_source", 2, "way_cancelled", 0.9, "legacy_metadata.cancelled_via", |row| said(row, &["cancelled_via"], change_source)),
    rule("cancellation_source", 3, "former_word", 0.85, "legacy_metadata.cancellation_source, mapped", |row| said(row, &["cancellation_source"], change_source)),
    rule("cancellation_source", 4, "kept_webhook", 0.8, "legacy_metadata.cancellation_payload", |row| row.payload("cancellation_payload").map(|_| word("calcom_webhook", key("cancellation_payload")))),
    rule("cancellation_source", 5, "call_outcome", 0.7, "one call of the customer that ended with a cancellation, at that time", |row| cancelling_call(row).map(|evidence| word("retell_api", evidence))),
    rule("cancellation_source", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing("unknown")),

    rule("cancellation_reason", 1, "history_reason", 0.95, "the reason of that history row", |row| reason(row.cancelled.as_ref()?.reason.as_deref()?, modification(row.cancelled.as_ref()))),
    rule("cancellation_reason", 2, "kept_webhook", 0.9, "cancellationReason of legacy_metadata.cancellation_payload", |row| reason(row.payload("cancellation_payload")?.text("cancellationReason")?, key("cancellation_payload"))),
    rule("cancellation_reason", 3, "former_word", 0.85, "legacy_metadata.cancellation_reason", |row| reason(row.said("cancellation_reason")?, key("cancellation_reason"))),
    rule("cancellation_reason", 4, "notes", 0.7, "notes: Reason: …", |row| reason(notes::reason(row.notes.as_deref()?)?, json!({"notes": "reason"}))),
    rule("cancellation_reason", NOTHING_KNOWN, "nothing_known", 0.0, "nothing", |_| nothing(REASON_NOT_GIVEN)),

    rule("call_id", 1, "call_converted", 0.95, "exactly one call that says it led to it", |row| only(&row.converted_calls, "calls.converted_appointment")),
    rule("call_id", 2, "call_named", 0.95, "exactly one call that legacy_metadata names, of a row that has its uid for itself", |row| only(named(row), "retell_call_id")),
    rule("call_id", 3, "call_details", 0.9, "exactly one call whose details name the booking's uid", |row| only(&row.detailed_calls, "booking_details")),

    rule("staff_id", 1, "host", 0.95, "exactly one of the staff has the host's number at Cal.com", |row| only(&row.host_staff, "staff.calcom_user_id")),
];

fn word(word: &'static str, evidence: Json) -> Found {
    Found { value: Value::Word(word), evidence }
}

fn nothing(said: &'static str) -> Option<Found> {
    Some(word(said, json!({})))
}

fn found(value: Option<Value>, evidence: Json) -> Option<Found> {
    value.map(|value| Found { value, evidence })
}

/// Evidence: a key of `legacy_metadata`.
fn key(path: &str) -> Json {
    json!({"legacy_metadata": path})
}

/// Evidence: a row of history.
fn modification(row: Option<&ModificationEvidence>) -> Json {
    json!({"modification": row.map(|row| row.id)})
}

/// The first of these keys with a word that maps; the word is evidence, for it is none of a person's data.
fn said(row: &Row, keys: &[&str], map: fn(&str) -> Option<&'static str>) -> Option<Found> {
    keys.iter().find_map(|name| map(row.said(name)?).map(|mapped| word(mapped, key(name))))
}

fn actor_of_way(way: &str) -> Option<&'static str> {
    actor_of_source(booking_source(way)?)
}

/// `sync_origin` says where the change began; a system began nothing that can be named.
fn origin(word: &str) -> Option<&'static str> {
    match word {
        "retell" => Some("retell_api"),
        other => change_source(other),
    }
}

fn time(row: &Row, name: &str) -> Option<Found> {
    found(row.kept(name).and_then(payload::time_of).map(Value::Time), key(name))
}

fn backfilled(row: &Row) -> Option<Json> {
    row.kept("backfilled").is_some_and(|flag| *flag == json!(true) || *flag == json!("true") || *flag == json!(1)).then(|| key("backfilled"))
}

fn reason(text: &str, evidence: Json) -> Option<Found> {
    (!text.trim().is_empty()).then(|| Found { value: Value::Text(cancellation_reason(Some(text))), evidence })
}

fn person(row: &Row, payload: &str, name: &str) -> Option<Found> {
    row.payload(payload)?.person(name).map(|who| word(who, key(&format!("{payload}.{name}"))))
}

fn history_time(row: Option<&ModificationEvidence>) -> Option<Found> {
    found(row.map(|row| Value::Time(row.occurred_at)), modification(row))
}

/// The actor of a history row, or the `modified_by_type` that the former system kept with it.
fn history_actor(row: Option<&ModificationEvidence>) -> Option<Found> {
    let who = actor(&row?.actor).or_else(|| actor(row?.said("modified_by_type")?))?;
    Some(word(who, modification(row)))
}

fn history_source(row: Option<&ModificationEvidence>, map: fn(&str) -> Option<&'static str>) -> Option<Found> {
    Some(word(map(&row?.source)?, modification(row)))
}

fn history_word(row: Option<&ModificationEvidence>, name: &str) -> Option<Found> {
    Some(word(change_source(row?.said(name)?)?, modification(row)))
}

fn notes_source(row: &Row, map: fn(&str) -> Option<&'static str>) -> Option<Found> {
    notes::created_via(row.notes.as_deref()?).and_then(map).map(|source| word(source, json!({"notes": "created via"})))
}

/// Who booked it by hand: a user of the same company, in the cell, the history or the metadata.
fn booking_user(row: &Row) -> Option<(uuid::Uuid, Json)> {
    let cell = row.cells.booked_by_user_id.map(|user| (user, json!({"cell": "booked_by_user_id"})));
    cell.or_else(|| changing_user(row.booked.as_ref(), row.booking_user))
}

fn changing_user(row: Option<&ModificationEvidence>, named: Option<uuid::Uuid>) -> Option<(uuid::Uuid, Json)> {
    let history = row.and_then(|row| row.user_id).map(|user| (user, modification(row)));
    history.or_else(|| named.map(|user| (user, json!({"legacy_metadata": "user"}))))
}

/// A change names a user only if it was made by hand (1.3); what the source is, or will be, decides.
fn by_hand(row: &Row, column: &str, cell: Option<&str>, user: Option<(uuid::Uuid, Json)>) -> Option<Found> {
    let by_hand = match cell {
        Some(source) => source == "crm_admin",
        // witnesses that disagree make it unknown
        None => {
            let found = best(APPOINTMENT_RULES, row, column);
            !found.is_empty() && found.iter().all(|(_, found)| found.value == Value::Word("crm_admin"))
        }
    };
    user.filter(|_| by_hand).map(|(user, evidence)| Found { value: Value::Row(user), evidence })
}

/// The calls that the metadata names and the company has: a text that is no call of the company proves nothing (incidents 37, 44). Where another appointment has the same uid
/// (incident 7), the metadata may be the other's.
fn named(row: &Row) -> &[uuid::Uuid] {
    if row.shares_uid { &[] } else { &row.named_calls }
}

fn any_call(row: &Row) -> Option<Json> {
    let call = row.cells.call_id.or_else(|| row.converted_calls.first().copied()).or_else(|| named(row).first().copied());
    call.map(|call| json!({"call": call}))
}

/// The one call that can have cancelled it, by the time of the cancellation.
fn cancelling_call(row: &Row) -> Option<Json> {
    let at = row.cells.cancelled_at.or_else(|| match best(APPOINTMENT_RULES, row, "cancelled_at").first() {
        Some((_, Found { value: Value::Time(at), .. })) => Some(*at),
        _ => None,
    })?;
    let mut held = row.cancelling_calls.iter().filter(|call| call.holds(at));
    match (held.next(), held.next()) {
        (Some(call), None) => Some(json!({"call": call.id})),
        _ => None,
    }
}

/// One row, or nothing: two candidates prove neither.
fn only(rows: &[uuid::Uuid], evidence: &str) -> Option<Found> {
    match rows {
        [one] => Some(Found { value: Value::Row(*one), evidence: json!({"by": evidence}) }),
        _ => None,
    }
}
