//! What rows of history say about themselves: read by `store::backfill` for one company, a JSON object per row.
//!
//! Everything that names another row was looked up within the same company already; what is not found there is empty here.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Evidence, notes, payload::Payload};

/// The cells that may be filled, as they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cells {
    pub created_by: Option<String>,
    pub booking_source: Option<String>,
    pub booked_by_user_id: Option<Uuid>,
    pub rescheduled_at: Option<DateTime<Utc>>,
    pub rescheduled_by: Option<String>,
    pub rescheduled_by_user_id: Option<Uuid>,
    pub reschedule_source: Option<String>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<String>,
    pub cancelled_by_user_id: Option<Uuid>,
    pub cancellation_source: Option<String>,
    pub cancellation_reason: Option<String>,
    pub call_id: Option<Uuid>,
    pub staff_id: Option<Uuid>,
}

/// A row of an appointment's history.
#[derive(Clone, Debug, Deserialize)]
pub struct ModificationEvidence {
    pub id: Uuid,
    pub actor: String,
    pub source: String,
    pub user_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
    pub occurred_at: DateTime<Utc>,
    pub previous_starts_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    /// What the former system kept beside it.
    #[serde(default)]
    pub legacy_metadata: Option<Map<String, Value>>,
}

impl ModificationEvidence {
    /// A text of the former metadata.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        self.legacy_metadata.as_ref()?.get(key)?.as_str()
    }
}

/// A call, and when it was held.
#[derive(Clone, Debug, Deserialize)]
pub struct CallWindow {
    pub id: Uuid,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl CallWindow {
    /// Whether it can have caused something at that time: the former system wrote up to two minutes after the end.
    pub(super) fn holds(&self, at: DateTime<Utc>) -> bool {
        let end = self.ended_at.map(|ended| ended + chrono::TimeDelta::minutes(2));
        self.started_at.is_some_and(|started| started <= at) && end.is_some_and(|end| at <= end)
    }
}

/// A row of `appointments`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AppointmentEvidence {
    pub id: Uuid,
    pub revision: i32,
    pub status: String,
    pub rescheduled_count: i32,
    pub notes: Option<String>,
    pub legacy_metadata: Option<Map<String, Value>>,
    pub cells: Cells,
    pub booked: Option<ModificationEvidence>,
    pub moved: Option<ModificationEvidence>,
    pub cancelled: Option<ModificationEvidence>,
    /// The calls of the company that the metadata names by Retell's id.
    pub named_calls: Vec<Uuid>,
    /// The calls of the company that say they led to this appointment.
    pub converted_calls: Vec<Uuid>,
    /// The calls of the company whose details name this booking's uid.
    pub detailed_calls: Vec<Uuid>,
    /// Another appointment of the company has the uid that this row's metadata names.
    pub shares_uid: bool,
    /// Cal.com's event of this booking came in the moment in which the row was made: that made it.
    pub created_event: bool,
    /// The customer's calls that are known to have ended with a cancellation; at most five.
    pub cancelling_calls: Vec<CallWindow>,
    /// The staff of the company whom Cal.com knows by the host's number.
    pub host_staff: Vec<Uuid>,
    /// The users of the company that the metadata names as who booked, moved, cancelled.
    pub booking_user: Option<Uuid>,
    pub moving_user: Option<Uuid>,
    pub cancelling_user: Option<Uuid>,
}

impl AppointmentEvidence {
    /// The same row with metadata that was JSON inside JSON (incident 24) taken out of its text: the import kept it under `metadata_text`.
    #[must_use]
    pub fn unpacked(mut self) -> Self {
        // twice at most: nobody has seen it three times
        for _ in 0..2 {
            let Some(text) = self.legacy_metadata.as_ref().and_then(|all| all.get("metadata_text")).and_then(Value::as_str) else { break };
            let inner = match serde_json::from_str(text) {
                Ok(Value::Object(inner)) => inner,
                Ok(inner @ Value::String(_)) => Map::from_iter([("metadata_text".to_owned(), inner)]),
                _ => break,
            };
            if let Some(all) = self.legacy_metadata.as_mut() {
                all.remove("metadata_text");
                // what stands beside it was taken out already
                for (key, value) in inner {
                    all.entry(key).or_insert(value);
                }
            }
        }
        self
    }

    /// A text of the former metadata that is not empty.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        self.legacy_metadata.as_ref()?.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub(super) fn kept(&self, key: &str) -> Option<&Value> {
        self.legacy_metadata.as_ref()?.get(key)
    }

    /// A webhook that was kept under that key.
    pub(super) fn payload(&self, key: &str) -> Option<Payload<'_>> {
        Payload::read(self.kept(key))
    }

    /// The webhook of a move: it names the start that was left.
    pub(super) fn move_payload(&self) -> Option<Payload<'_>> {
        self.payload("last_update_payload")
            .filter(|kept| kept.time(&["rescheduleStartTime", "previousStartTime"]).is_some() || kept.text("rescheduledBy").is_some())
    }

    /// Whether it was ever moved, by any witness.
    #[must_use]
    pub fn was_moved(&self) -> bool {
        let cells = &self.cells;
        self.rescheduled_count > 0
            || self.moved.is_some()
            || cells.rescheduled_at.is_some()
            || cells.rescheduled_by.is_some()
            || cells.reschedule_source.is_some()
            || cells.previous_starts_at.is_some()
            || self.said("rescheduled_via").is_some()
            || self.said("previous_booking_id").is_some()
            || self.move_payload().is_some()
            || self.notes.as_deref().is_some_and(|text| notes::rescheduled_on(text).is_some())
    }
}

impl Evidence for AppointmentEvidence {
    fn is_open(&self, column: &str) -> bool {
        let cells = &self.cells;
        let moved = || self.was_moved();
        let cancelled = self.status == "cancelled";
        match column {
            "created_by" => cells.created_by.is_none(),
            "booking_source" => cells.booking_source.is_none(),
            "booked_by_user_id" => cells.booked_by_user_id.is_none(),
            "rescheduled_at" => cells.rescheduled_at.is_none() && moved(),
            "rescheduled_by" => cells.rescheduled_by.is_none() && moved(),
            "rescheduled_by_user_id" => cells.rescheduled_by_user_id.is_none() && moved(),
            "reschedule_source" => cells.reschedule_source.is_none() && moved(),
            "previous_starts_at" => cells.previous_starts_at.is_none() && moved(),
            "cancelled_at" => cells.cancelled_at.is_none() && cancelled,
            "cancelled_by" => cells.cancelled_by.is_none() && cancelled,
            "cancelled_by_user_id" => cells.cancelled_by_user_id.is_none() && cancelled,
            "cancellation_source" => cells.cancellation_source.is_none() && cancelled,
            "cancellation_reason" => cells.cancellation_reason.is_none() && cancelled,
            "call_id" => cells.call_id.is_none(),
            "staff_id" => cells.staff_id.is_none(),
            _ => false,
        }
    }

    /// Domain reference 6.2: of all that may stay empty, only this goes to a human.
    fn is_owed(&self, column: &str) -> bool {
        column == "cancelled_at"
    }
}

/// A row of `appointment_modifications` that names no call.
#[derive(Clone, Debug, Deserialize)]
pub struct ModificationRow {
    pub id: Uuid,
    pub source: String,
    pub occurred_at: DateTime<Utc>,
    /// The call of the company that its metadata names by Retell's id.
    pub named_call: Option<Uuid>,
    /// The customer's calls around that time, by the caller's number; at most five.
    #[serde(default)]
    pub calls_around: Vec<CallWindow>,
}

impl Evidence for ModificationRow {
    fn is_open(&self, column: &str) -> bool {
        column == "call_id"
    }
}

/// A row of `calls` that names no customer.
#[derive(Clone, Debug, Deserialize)]
pub struct CallEvidence {
    pub id: Uuid,
    /// The customer of the company who has the caller's number.
    pub customer_of_number: Option<Uuid>,
    /// The customer of the appointment that a call of history says it led to.
    #[serde(default)]
    pub customer_of_appointment: Option<Uuid>,
}

impl Evidence for CallEvidence {
    fn is_open(&self, column: &str) -> bool {
        column == "customer_id"
    }
}
