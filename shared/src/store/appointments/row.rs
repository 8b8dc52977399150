//! The rows of the one write path as values: an appointment, its uids and its history, from a new wish or from a folded chain. No statement stands here. Called by the
//! write path.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::booking_chain::{Chain, Folded, Modification, Projection};
use crate::domain::provenance::{AuditGroup, Provenance, Stamp};
use crate::protection::Protection;

/// A row of `appointments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appointment {
    pub id: Uuid,
    pub company_id: Uuid,
    /// The short number for people; 0 before the row is written.
    pub number: i64,
    pub branch_id: Uuid,
    pub customer_id: Uuid,
    pub service_id: Option<Uuid>,
    pub staff_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
    pub status: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    pub name_given: Option<String>,
    pub notes: Option<String>,
    pub calcom_uid: Option<String>,
    pub revision: i32,
    pub rescheduled_count: i32,
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
}

/// What a new appointment needs, whoever makes it.
#[derive(Clone, Debug)]
pub struct NewAppointment {
    pub id: Uuid,
    pub branch_id: Uuid,
    pub customer_id: Uuid,
    pub service_id: Option<Uuid>,
    pub staff_id: Option<Uuid>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub time_zone: String,
    pub name_given: Option<String>,
    pub notes: Option<String>,
}

impl NewAppointment {
    pub(super) fn into_row(self, company_id: Uuid, provenance: &Provenance, booked: &Stamp) -> Appointment {
        Appointment {
            id: self.id,
            company_id,
            number: 0,
            branch_id: self.branch_id,
            customer_id: self.customer_id,
            service_id: self.service_id,
            staff_id: self.staff_id,
            call_id: provenance.call_id,
            status: "requested".to_owned(),
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            time_zone: self.time_zone,
            name_given: self.name_given,
            notes: self.notes,
            calcom_uid: None,
            revision: 1,
            rescheduled_count: 0,
            created_by: Some(booked.by.clone()),
            booking_source: Some(booked.source.clone()),
            booked_by_user_id: booked.by_user_id,
            rescheduled_at: None,
            rescheduled_by: None,
            rescheduled_by_user_id: None,
            reschedule_source: None,
            previous_starts_at: None,
            cancelled_at: None,
            cancelled_by: None,
            cancelled_by_user_id: None,
            cancellation_source: None,
            cancellation_reason: None,
        }
    }
}

/// Puts the chain's word into the row: times, state, and the reschedule and cancellation groups. The booking group is not touched again, but for a booking that
/// a sweep found ([`super::apply`]).
pub(super) fn project(appointment: &mut Appointment, projection: &Projection) {
    // that it took place is ours to know: Cal.com goes on calling it accepted
    if !(appointment.status == "completed" && projection.status == "booked" && projection.ends_at == appointment.ends_at) {
        projection.status.clone_into(&mut appointment.status);
    }
    appointment.calcom_uid = Some(projection.head_uid.clone());
    appointment.starts_at = projection.starts_at;
    appointment.ends_at = projection.ends_at;
    appointment.rescheduled_count = projection.rescheduled_count;
    let moved = projection.rescheduled.as_ref();
    appointment.rescheduled_at = moved.map(|stamp| stamp.at);
    appointment.rescheduled_by = moved.map(|stamp| stamp.by.clone());
    appointment.reschedule_source = moved.map(|stamp| stamp.source.clone());
    appointment.rescheduled_by_user_id = moved.and_then(|stamp| stamp.by_user_id);
    appointment.previous_starts_at = projection.previous_starts_at;
    let cancelled = projection.cancelled.as_ref();
    appointment.cancelled_at = cancelled.map(|stamp| stamp.at);
    appointment.cancelled_by = cancelled.map(|stamp| stamp.by.clone());
    appointment.cancellation_source = cancelled.map(|stamp| stamp.source.clone());
    appointment.cancelled_by_user_id = cancelled.and_then(|stamp| stamp.by_user_id);
    appointment.cancellation_reason.clone_from(&projection.cancellation_reason);
}

/// The rows of the uids that a fold changed.
pub(super) fn booking_rows(chain: &Chain, folded: &Folded, appointment: &Appointment, provider_account_id: Uuid) -> Vec<Value> {
    folded
        .changed
        .iter()
        .filter_map(|uid| chain.booking(uid))
        .filter_map(|booking| Some((booking, serde_json::to_value(booking).ok()?)))
        .map(|(booking, mut row)| {
            if let Some(stamp) = booking.opened() {
                row["opened_at"] = json!(stamp.at);
                row["opened_by"] = json!(stamp.by);
                row["opened_source"] = json!(stamp.source);
                row["opened_by_user_id"] = json!(stamp.by_user_id);
                row["opened_call_id"] = json!(stamp.call_id);
            }
            if let Some(mark) = booking.closed() {
                let stamp = mark.stamp(AuditGroup::Cancellation);
                row["closed_at"] = json!(stamp.at);
                row["closed_by"] = json!(stamp.by);
                row["closed_source"] = json!(stamp.source);
                row["closed_by_user_id"] = json!(stamp.by_user_id);
                row["closed_call_id"] = json!(stamp.call_id);
                row["closed_reason"] = json!(mark.reason.as_ref().map(|reason| &reason.text));
            }
            row["company_id"] = json!(appointment.company_id);
            row["appointment_id"] = json!(appointment.id);
            row["provider_account_id"] = json!(provider_account_id);
            row
        })
        .collect()
}

/// Rows of the history, with keys of their own.
pub(super) fn modification_rows(modifications: &[Modification], appointment: &Appointment) -> Vec<Value> {
    modifications
        .iter()
        .filter_map(|modification| serde_json::to_value(modification).ok())
        .map(|mut row| {
            row["id"] = json!(Uuid::now_v7());
            row["company_id"] = json!(appointment.company_id);
            row["appointment_id"] = json!(appointment.id);
            row["customer_id"] = json!(appointment.customer_id);
            if Protection::Call.is_off() {
                row["call_id"] = Value::Null;
            }
            row
        })
        .collect()
}
