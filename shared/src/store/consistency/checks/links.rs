//! Checks of what rows name in other tables: customers, calls, uids, claims, people; and of the names that were told.
//!
//! Under row-level security a row of another company is not seen: what is "missing" here may be there and belong to somebody else, which is as wrong.

use super::{Check, Rows, Subject};
use crate::domain::consistency::{Owner, Severity};

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "appointment_name_unexplained",
        query: Some("Q5"),
        severity: Severity::Warning,
        owner: Owner::Support,
        subject: Subject::Appointments,
        finds: "the appointment is in another name than its customer's, and nobody has judged whether that is a third person",
        remedy: "compare both names: a verdict in name_agreement explains it (different: for somebody else); neither name is overwritten (incident 48)",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a JOIN customers c ON c.company_id = $1 AND c.id = a.customer_id
             WHERE a.company_id = $1 AND a.name_agreement IS NULL AND lower(btrim(a.name_given)) <> lower(btrim(c.name))",
        ),
    },
    Check {
        name: "call_name_unexplained",
        query: Some("Q7"),
        severity: Severity::Warning,
        owner: Owner::Support,
        subject: Subject::Calls,
        finds: "another name was told in the call than its customer's, and nobody has judged how both agree",
        remedy: "compare both names: a verdict in name_agreement explains it; the customer's name is not overwritten (incident 48)",
        guards: &[],
        rows: Rows::Sql(
            "SELECT k.id, 'call #' || k.number AS label FROM calls k JOIN customers c ON c.company_id = $1 AND c.id = k.customer_id
             WHERE k.company_id = $1 AND k.name_agreement IS NULL AND lower(btrim(k.name_given)) <> lower(btrim(c.name))",
        ),
    },
    Check {
        name: "call_customer_differs",
        query: Some("Q6"),
        severity: Severity::Critical,
        owner: Owner::Support,
        subject: Subject::Appointments,
        finds: "the call that booked the appointment is another customer's",
        remedy: "the number that called decides who the customer is: correct the one of both that was linked by name or by hand",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a JOIN calls k ON k.company_id = $1 AND k.id = a.call_id
             WHERE a.company_id = $1 AND k.customer_id <> a.customer_id",
        ),
    },
    Check {
        name: "call_without_customer",
        query: None,
        severity: Severity::Warning,
        owner: Owner::Backfill,
        subject: Subject::Appointments,
        finds: "the call that booked the appointment names no customer, and the appointment does",
        remedy: "link the call to the appointment's customer",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a JOIN calls k ON k.company_id = $1 AND k.id = a.call_id
             WHERE a.company_id = $1 AND k.customer_id IS NULL",
        ),
    },
    Check {
        name: "appointment_without_customer",
        query: Some("Q8"),
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "the appointment's customer is not there, or is another company's (a foreign key makes it impossible)",
        remedy: "restore the customer from a backup, or link the one with the same number in this company; then see constraint_missing",
        guards: &["appointments.customer_id", "appointments_company_id_customer_id_fkey"],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a
             WHERE a.company_id = $1 AND NOT EXISTS (SELECT FROM customers c WHERE c.company_id = $1 AND c.id = a.customer_id)",
        ),
    },
    Check {
        name: "appointment_call_missing",
        query: Some("Q9"),
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "the appointment names a call that is not there, or is another company's (a foreign key makes it impossible)",
        remedy: "restore the call, or fetch it from Retell (`frontdesk job run calls_nightly`); then see constraint_missing",
        guards: &["appointments_company_id_call_id_fkey"],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a
             WHERE a.company_id = $1 AND a.call_id IS NOT NULL AND NOT EXISTS (SELECT FROM calls k WHERE k.company_id = $1 AND k.id = a.call_id)",
        ),
    },
    Check {
        name: "appointment_reference_missing",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "the appointment's branch, service, staff or user is not there, or is another company's (foreign keys make it impossible)",
        remedy: "restore what is named, or name the right one of this company; then see constraint_missing",
        guards: &[
            "appointments_company_id_branch_id_fkey",
            "appointments_company_id_service_id_fkey",
            "appointments_company_id_staff_id_fkey",
            "appointments_company_id_booked_by_user_id_fkey",
            "appointments_company_id_rescheduled_by_user_id_fkey",
            "appointments_company_id_cancelled_by_user_id_fkey",
        ],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a
             LEFT JOIN branches b ON b.company_id = $1 AND b.id = a.branch_id
             LEFT JOIN services s ON s.company_id = $1 AND s.id = a.service_id
             LEFT JOIN staff t ON t.company_id = $1 AND t.id = a.staff_id
             LEFT JOIN users u ON u.company_id = $1 AND u.id = a.booked_by_user_id
             LEFT JOIN users v ON v.company_id = $1 AND v.id = a.rescheduled_by_user_id
             LEFT JOIN users w ON w.company_id = $1 AND w.id = a.cancelled_by_user_id
             WHERE a.company_id = $1 AND (b.id IS NULL OR (s.id IS NULL AND a.service_id IS NOT NULL) OR (t.id IS NULL AND a.staff_id IS NOT NULL)
               OR (u.id IS NULL AND a.booked_by_user_id IS NOT NULL) OR (v.id IS NULL AND a.rescheduled_by_user_id IS NOT NULL)
               OR (w.id IS NULL AND a.cancelled_by_user_id IS NOT NULL))",
        ),
    },
    Check {
        name: "call_reference_missing",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Calls,
        finds: "the call's branch, number or customer is not there, or is another company's (foreign keys make it impossible)",
        remedy: "restore what is named, or name the right one of this company; then see constraint_missing",
        guards: &["calls_company_id_branch_id_fkey", "calls_company_id_phone_number_id_fkey", "calls_company_id_customer_id_fkey"],
        rows: Rows::Sql(
            "SELECT k.id, 'call #' || k.number AS label FROM calls k
             LEFT JOIN branches b ON b.company_id = $1 AND b.id = k.branch_id
             LEFT JOIN phone_numbers p ON p.company_id = $1 AND p.id = k.phone_number_id
             LEFT JOIN customers c ON c.company_id = $1 AND c.id = k.customer_id
             WHERE k.company_id = $1 AND (b.id IS NULL OR (p.id IS NULL AND k.phone_number_id IS NOT NULL) OR (c.id IS NULL AND k.customer_id IS NOT NULL))",
        ),
    },
    Check {
        name: "call_without_end",
        query: None,
        severity: Severity::Warning,
        owner: Owner::Operations,
        subject: Subject::Calls,
        finds: "the call began more than a day ago and has not ended",
        remedy: "`frontdesk job run calls_nightly` asks Retell; a call that Retell does not know is history: the import ends it",
        guards: &[],
        rows: Rows::Sql(
            "SELECT k.id, 'call #' || k.number AS label FROM calls k
             WHERE k.company_id = $1 AND k.status IN ('registered', 'ongoing') AND coalesce(k.started_at, k.created_at) < frontdesk_now() - interval '1 day'",
        ),
    },
    Check {
        name: "uid_unchained",
        query: None,
        severity: Severity::Critical,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "the appointment's uid is not among the bookings seen in Cal.com, or stands there for another appointment",
        remedy: "`frontdesk sweep run window` reads the booking again; if it stays, the two appointments are one: a review says so",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a
             WHERE a.company_id = $1 AND a.calcom_uid IS NOT NULL
               AND NOT EXISTS (SELECT FROM calcom_bookings b WHERE b.company_id = $1 AND b.uid = a.calcom_uid AND b.appointment_id = a.id)",
        ),
    },
    Check {
        name: "held_without_claim",
        query: None,
        severity: Severity::Warning,
        owner: Owner::Engineering,
        subject: Subject::Appointments,
        finds: "the appointment is still to come and nothing claims its time: it could be offered to somebody else",
        remedy: "`frontdesk sweep run window` reads the booking again, and its next event claims the time",
        guards: &[],
        rows: Rows::Sql(
            "SELECT a.id, '#' || a.number AS label FROM appointments a
             WHERE a.company_id = $1 AND a.status IN ('pending', 'booked') AND a.starts_at > frontdesk_now() AND num_nonnulls(a.staff_id, a.service_id) > 0
               AND NOT EXISTS (SELECT FROM slot_claims s WHERE s.company_id = $1 AND s.appointment_id = a.id)",
        ),
    },
];
