//! Checks of the history of appointments: is every change there, is it whole, and do its rows follow from each other.

use super::{Check, Rows, Subject};
use crate::domain::consistency::{Owner, Severity};

/// A row of that kind is in the appointment's history.
macro_rules! has {
    ($kind:literal) => {
        concat!("EXISTS (SELECT FROM appointment_modifications m WHERE m.company_id = $1 AND m.appointment_id = a.id AND m.kind = '", $kind, "')")
    };
}

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "modification_without_appointment",
        query: Some("Q10"),
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Modifications,
        finds: "the row of history is of an appointment that is not there, or is another company's (a foreign key makes it impossible)",
        remedy: "restore the appointment from a backup; then see constraint_missing",
        guards: &["appointment_modifications.appointment_id", "appointment_modifications_company_id_appointment_id_fkey"],
        rows: Rows::Sql(
            "SELECT m.id, m.id::text AS label FROM appointment_modifications m
             WHERE m.company_id = $1 AND NOT EXISTS (SELECT FROM appointments a WHERE a.company_id = $1 AND a.id = m.appointment_id)",
        ),
    },
    Check {
        name: "timeline_broken",
        query: Some("Q11"),
        severity: Severity::Critical,
        owner: Owner::Support,
        subject: Subject::Modifications,
        finds: "a change says that the appointment was at another time before than the change before it made it",
        remedy: "a change between the two is missing: `frontdesk sweep run window` reads it from Cal.com; in history that was taken over add the missing row",
        guards: &[],
        rows: Rows::Sql(
            "SELECT w.id, '#' || coalesce((SELECT a.number::text FROM appointments a WHERE a.company_id = $1 AND a.id = w.appointment_id), w.id::text) AS label
             FROM (SELECT m.id, m.appointment_id, m.previous_starts_at, lag(m.new_starts_at) OVER (PARTITION BY m.appointment_id
                       ORDER BY m.occurred_at, CASE m.kind WHEN 'booked' THEN 0 WHEN 'rescheduled' THEN 1 ELSE 2 END, m.created_at, m.id) AS made
                   FROM appointment_modifications m WHERE m.company_id = $1 AND m.kind IN ('booked', 'rescheduled', 'cancelled')) w
             WHERE w.previous_starts_at <> w.made",
        ),
    },
    Check {
        name: "last_move_differs",
        query: Some("Q12"),
        severity: Severity::Critical,
        owner: Owner::Support,
        subject: Subject::Appointments,
        finds: "the newest booking or move in its history made the appointment another time than its row has",
        remedy: "Cal.com decides: `frontdesk sweep run window` reads the booking again and corrects the row",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label
             FROM (SELECT DISTINCT ON (m.appointment_id) m.appointment_id, m.new_starts_at FROM appointment_modifications m
                   WHERE m.company_id = $1 AND m.kind IN ('booked', 'rescheduled')
                   ORDER BY m.appointment_id, m.occurred_at DESC, m.kind DESC, m.created_at DESC, m.id DESC) l
             JOIN appointments a ON a.company_id = $1 AND a.id = l.appointment_id
             WHERE a.starts_at <> l.new_starts_at",
        ),
    },
    Check {
        name: "move_without_modification",
        query: Some("Q13"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment's row says that it was moved, and its history does not",
        remedy: "add the row of history from the four columns of the move",
        guards: &[],
        rows: Rows::Sql(concat!(
            "SELECT a.id, '#' || a.number AS label FROM appointments a WHERE a.company_id = $1 AND a.rescheduled_at IS NOT NULL AND NOT ",
            has!("rescheduled")
        )),
    },
    Check {
        name: "move_unstamped",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment's history has a move, and its row does not say when it was moved",
        remedy: "fill the four columns of the move from the newest row of history of kind rescheduled",
        guards: &["appointments_reschedule_audit"],
        rows: Rows::Sql(concat!(
            "SELECT a.id, '#' || a.number AS label FROM appointments a WHERE a.company_id = $1 AND a.rescheduled_at IS NULL AND ",
            has!("rescheduled")
        )),
    },
    Check {
        name: "cancellation_without_modification",
        query: Some("Q14"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the appointment is cancelled, and its history does not say so",
        remedy: "add the row of history from the columns of the cancellation",
        guards: &[],
        rows: Rows::Sql(concat!(
            "SELECT a.id, '#' || a.number AS label FROM appointments a WHERE a.company_id = $1 AND a.status = 'cancelled' AND NOT ",
            has!("cancelled")
        )),
    },
    Check {
        name: "booking_without_modification",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "Cal.com holds or held the appointment, and its history does not say who booked it (bookings of which only the successor was heard excepted)",
        remedy: "add the row of history of kind booked from created_by, booking_source and call_id",
        guards: &[],
        rows: Rows::Sql(concat!(
            "SELECT a.id, '#' || a.number AS label FROM appointments a WHERE a.company_id = $1 AND a.status NOT IN ('requested', 'failed')
             AND NOT EXISTS (SELECT FROM calcom_bookings b WHERE b.company_id = $1 AND b.appointment_id = a.id AND b.placeholder) AND NOT ",
            has!("booked")
        )),
    },
    Check {
        name: "modification_incomplete",
        query: Some("Q15"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Modifications,
        finds: "the row of history lacks what was done, who did it, from when to when it was moved, or the person of the company (only history that was taken over may lack it)",
        remedy: "fill it from the appointment's own columns or the metadata of the import; the rows before and after it tell the times of a move",
        guards: &["appointment_modifications.kind", "appointment_modifications.actor", "appointment_modifications_times", "appointment_modifications_user"],
        rows: Rows::Sql(
            "SELECT m.id, m.id::text AS label FROM appointment_modifications m
             WHERE m.company_id = $1 AND (m.kind IS NULL OR m.actor IS NULL OR (m.kind = 'rescheduled' AND num_nulls(m.previous_starts_at, m.new_starts_at) > 0)
               OR coalesce(m.source = 'crm_admin', false) <> (m.user_id IS NOT NULL))",
        ),
    },
    Check {
        name: "modification_without_call",
        query: Some("Q15"),
        severity: Severity::Critical,
        owner: Owner::Backfill,
        subject: Subject::Modifications,
        finds: "the change was made by phone, and its row of history names no call (only history that was taken over may lack it)",
        remedy: "link it by the Retell id in its metadata (frontdesk_backfill may write call_id), or by the caller and the time",
        guards: &["appointment_modifications_call"],
        rows: Rows::Sql(
            "SELECT m.id, m.id::text AS label FROM appointment_modifications m
             WHERE m.company_id = $1 AND m.source IN ('retell_phone', 'retell_webhook', 'retell_api') AND m.call_id IS NULL",
        ),
    },
    Check {
        name: "modification_reference_missing",
        query: Some("Q15"),
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Modifications,
        finds: "the row of history names a customer, a call or a user that is not there, or is another company's (foreign keys make it impossible)",
        remedy: "restore what is named, or name the right one of this company; then see constraint_missing",
        guards: &[
            "appointment_modifications_company_id_customer_id_fkey",
            "appointment_modifications_company_id_call_id_fkey",
            "appointment_modifications_company_id_user_id_fkey",
        ],
        rows: Rows::Sql(
            "SELECT m.id, m.id::text AS label FROM appointment_modifications m
             LEFT JOIN customers c ON c.company_id = $1 AND c.id = m.customer_id
             LEFT JOIN calls k ON k.company_id = $1 AND k.id = m.call_id
             LEFT JOIN users u ON u.company_id = $1 AND u.id = m.user_id
             WHERE m.company_id = $1 AND (c.id IS NULL OR (k.id IS NULL AND m.call_id IS NOT NULL) OR (u.id IS NULL AND m.user_id IS NOT NULL))",
        ),
    },
];
