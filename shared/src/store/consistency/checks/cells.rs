//! Checks of single rows of `appointments`: the thirteen audit columns and what must go with them.

use super::{Check, Rows, Subject};
use crate::domain::consistency::{Owner, Severity};

/// The row says that the appointment was moved, in any of its columns.
macro_rules! moved {
    () => {
        "(a.rescheduled_count > 0 OR num_nonnulls(a.rescheduled_at, a.rescheduled_by, a.reschedule_source, a.previous_starts_at) > 0)"
    };
}
pub(in crate::store::consistency) use moved;

/// Appointments of the company of which that is true.
macro_rules! appointments_where {
    ($($condition:expr),+) => {
        Rows::Sql(concat!("SELECT a.id, '#' || a.number AS label FROM appointments a WHERE a.company_id = $1 AND ", $($condition),+))
    };
}

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "created_by_missing",
        query: Some("Q1"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "nobody can tell who booked the appointment: created_by is empty (only history that was taken over may lack it)",
        remedy: "fill created_by from the evidence of the import (legacy_metadata, the row of history, the call); where there is none write unknown",
        guards: &["appointments_booking_audit"],
        rows: appointments_where!("a.created_by IS NULL"),
    },
    Check {
        name: "booking_source_missing",
        query: Some("Q2"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "nobody can tell through which channel the appointment was booked: booking_source is empty (only history that was taken over may lack it)",
        remedy: "fill booking_source from the evidence of the import (the former source, legacy_metadata, the call); where there is none write unknown",
        guards: &["appointments_booking_audit"],
        rows: appointments_where!("a.booking_source IS NULL"),
    },
    Check {
        name: "reschedule_audit_incomplete",
        query: Some("Q3"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment was moved, and when, by whom, through what or from when is empty (only history that was taken over may lack it)",
        remedy: "fill the four columns from the newest row of history of kind rescheduled, or from legacy_metadata",
        guards: &["appointments_reschedule_audit"],
        rows: appointments_where!(moved!(), " AND num_nulls(a.rescheduled_at, a.rescheduled_by, a.reschedule_source, a.previous_starts_at) > 0"),
    },
    Check {
        name: "cancellation_audit_incomplete",
        query: Some("Q4"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment was cancelled, and when, by whom, through what or why is empty (only history that was taken over may lack it)",
        remedy: "fill the four columns from the row of history of kind cancelled, or from legacy_metadata; a reason that nobody gave is not_given",
        guards: &["appointments_cancellation_audit"],
        rows: appointments_where!("a.status = 'cancelled' AND num_nulls(a.cancelled_at, a.cancelled_by, a.cancellation_source, a.cancellation_reason) > 0"),
    },
    Check {
        name: "cancellation_audit_unfounded",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Support,
        subject: Subject::Appointments,
        finds: "the appointment is not cancelled, and its columns say that somebody cancelled it",
        remedy: "look at the booking in Cal.com: `frontdesk sweep run window` reads it again; if it stands, empty the columns of the cancellation",
        guards: &["appointments_cancellation_audit"],
        rows: appointments_where!("a.status <> 'cancelled' AND num_nonnulls(a.cancelled_at, a.cancelled_by, a.cancellation_source, a.cancellation_reason) > 0"),
    },
    Check {
        name: "user_and_source_differ",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "a change made by a person of the company does not name that person, or one made by anybody else names a person",
        remedy: "a customer's change names no user: empty the column; of a person's change fill it, or correct the source",
        guards: &["appointments_booking_audit", "appointments_reschedule_audit", "appointments_cancellation_audit"],
        rows: appointments_where!(
            "(coalesce(a.booking_source = 'crm_admin', false) <> (a.booked_by_user_id IS NOT NULL)
              OR coalesce(a.reschedule_source = 'crm_admin', false) <> (a.rescheduled_by_user_id IS NOT NULL)
              OR coalesce(a.cancellation_source = 'crm_admin', false) <> (a.cancelled_by_user_id IS NOT NULL))"
        ),
    },
    Check {
        name: "vocabulary_foreign",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "an actor or a source is a word that this program does not know (domain reference 1.2: three vocabularies were in use)",
        remedy: "map it to the word of this program, and put the CHECK of the column back",
        guards: &[
            "appointments_created_by",
            "appointments_booking_source",
            "appointments_rescheduled_by",
            "appointments_reschedule_source",
            "appointments_cancelled_by",
            "appointments_cancellation_source",
        ],
        rows: appointments_where!(
            "(a.created_by NOT IN ('customer', 'staff', 'system', 'unknown')
              OR a.rescheduled_by NOT IN ('customer', 'staff', 'system', 'retell_ai', 'unknown')
              OR a.cancelled_by NOT IN ('customer', 'staff', 'system', 'unknown')
              OR a.booking_source NOT IN ('retell_phone', 'retell_webhook', 'retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled',
                                          'backfill_from_calcom', 'unknown')
              OR a.reschedule_source NOT IN ('retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'unknown')
              OR a.cancellation_source NOT IN ('retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'unknown'))"
        ),
    },
    Check {
        name: "phone_booking_without_call",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment was booked by phone, and no call is named",
        remedy: "find the call by the Retell id in legacy_metadata, or by the caller and the time; if there is none the source is unknown",
        guards: &[],
        rows: appointments_where!("a.booking_source IN ('retell_phone', 'retell_webhook', 'retell_api') AND a.call_id IS NULL"),
    },
    Check {
        name: "held_without_uid",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Operations,
        subject: Subject::Appointments,
        finds: "Cal.com is said to hold the appointment, and its uid is not known: no event of it will find it (incidents 1 and 2)",
        remedy: "look in Cal.com for a booking at that time: `frontdesk sweep run window` takes it over; if there is none, the appointment does not stand",
        guards: &["appointments_held_has_uid"],
        rows: appointments_where!("a.status IN ('pending', 'booked') AND a.calcom_uid IS NULL"),
    },
    Check {
        name: "uid_twice",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "two appointments are said to be the same booking in Cal.com",
        remedy: "keep the appointment that has the call and the history, and put the unique index back",
        guards: &["appointments_calcom_uid"],
        rows: Rows::Sql(
            "SELECT u.id, '#' || u.number AS label FROM (SELECT a.id, a.number, count(*) OVER (PARTITION BY a.calcom_uid) AS same
                 FROM appointments a WHERE a.company_id = $1 AND a.calcom_uid IS NOT NULL) u WHERE u.same > 1",
        ),
    },
];
