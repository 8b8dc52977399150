//! The scores of a company, counted in SQL. What they mean, and to which rows a column applies, stands in `domain::consistency`.

use sqlx::AssertSqlSafe;

use super::checks::cells::moved;
use super::{Check, Filled};
use crate::domain::consistency::{COLUMNS, Score};
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// How many rows there are of each subject.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub(super) struct Sizes {
    pub(super) appointments: i64,
    pub(super) modifications: i64,
    pub(super) calls: i64,
}

pub(super) async fn sizes(tx: &mut CompanyTx) -> Result<Sizes, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM appointments WHERE company_id = $1) AS appointments, (SELECT count(*) FROM appointment_modifications WHERE company_id = $1) AS modifications,
                (SELECT count(*) FROM calls WHERE company_id = $1) AS calls",
    )
    .bind(company_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("count the rows of a company"))
}

/// One pass over the appointments; a row per column in the order of [`COLUMNS`].
const COLUMN_CELLS: &str = concat!(
    "WITH history AS (SELECT DISTINCT m.appointment_id FROM appointment_modifications m WHERE m.company_id = $1 AND m.kind = 'rescheduled'),
     row AS (SELECT a.*, h.appointment_id IS NOT NULL OR ",
    moved!(),
    " AS moved, a.status = 'cancelled' AS cancelled
         FROM appointments a LEFT JOIN history h ON h.appointment_id = a.id WHERE a.company_id = $1),
     cell AS (SELECT count(*) AS rows, count(*) FILTER (WHERE moved) AS moved, count(*) FILTER (WHERE cancelled) AS cancelled,
         count(*) FILTER (WHERE booking_source = 'crm_admin') AS staff_booked, count(*) FILTER (WHERE moved AND reschedule_source = 'crm_admin') AS staff_moved,
         count(*) FILTER (WHERE cancelled AND cancellation_source = 'crm_admin') AS staff_cancelled,
         count(created_by) AS c1, count(booking_source) AS c2, count(booked_by_user_id) FILTER (WHERE booking_source = 'crm_admin') AS c3,
         count(rescheduled_at) FILTER (WHERE moved) AS c4, count(rescheduled_by) FILTER (WHERE moved) AS c5,
         count(rescheduled_by_user_id) FILTER (WHERE moved AND reschedule_source = 'crm_admin') AS c6, count(reschedule_source) FILTER (WHERE moved) AS c7,
         count(previous_starts_at) FILTER (WHERE moved) AS c8, count(cancelled_at) FILTER (WHERE cancelled) AS c9, count(cancelled_by) FILTER (WHERE cancelled) AS c10,
         count(cancelled_by_user_id) FILTER (WHERE cancelled AND cancellation_source = 'crm_admin') AS c11,
         count(cancellation_source) FILTER (WHERE cancelled) AS c12, count(cancellation_reason) FILTER (WHERE cancelled) AS c13,
         count(*) FILTER (WHERE created_by = 'unknown') AS u1, count(*) FILTER (WHERE booking_source = 'unknown') AS u2,
         count(*) FILTER (WHERE moved AND rescheduled_by = 'unknown') AS u5, count(*) FILTER (WHERE moved AND reschedule_source = 'unknown') AS u7,
         count(*) FILTER (WHERE cancelled AND cancelled_by = 'unknown') AS u10, count(*) FILTER (WHERE cancelled AND cancellation_source = 'unknown') AS u12
         FROM row)
     SELECT v.name, v.filled, v.applicable, v.unknown FROM cell, LATERAL (VALUES
         (1, 'created_by', c1, rows, u1), (2, 'booking_source', c2, rows, u2), (3, 'booked_by_user_id', c3, staff_booked, 0),
         (4, 'rescheduled_at', c4, moved, 0), (5, 'rescheduled_by', c5, moved, u5), (6, 'rescheduled_by_user_id', c6, staff_moved, 0),
         (7, 'reschedule_source', c7, moved, u7), (8, 'previous_starts_at', c8, moved, 0), (9, 'cancelled_at', c9, cancelled, 0),
         (10, 'cancelled_by', c10, cancelled, u10), (11, 'cancelled_by_user_id', c11, staff_cancelled, 0),
         (12, 'cancellation_source', c12, cancelled, u12), (13, 'cancellation_reason', c13, cancelled, 0)) v (place, name, filled, applicable, unknown)
     ORDER BY v.place"
);

pub(super) async fn columns(tx: &mut CompanyTx) -> Result<Vec<Filled>, StoreError> {
    let company_id = tx.company_id();
    let rows: Vec<(String, i64, i64, i64)> =
        sqlx::query_as(COLUMN_CELLS).bind(company_id).fetch_all(tx.connection()).await.map_err(failed("count filled audit columns"))?;
    rows.into_iter()
        .map(|(name, filled, applicable, unknown)| {
            let column = COLUMNS.into_iter().find(|column| column.name == name).ok_or(StoreError::BadRow { table: "appointments", column: "audit" })?;
            Ok(Filled { column, cells: Score::new(filled, applicable), unknown })
        })
        .collect()
}

/// Changes of each appointment: its booking (of a booking of which only the successor was heard nobody knows), its moves, its cancellation; by its row or by its
/// history, whichever tells of more. Good are those with a row of history, and with a call if a call caused them.
const CHANGES: &str = concat!(
    "WITH history AS (
         SELECT m.appointment_id, bool_or(m.kind = 'booked') AS booked, count(*) FILTER (WHERE m.kind = 'rescheduled') AS moves, bool_or(m.kind = 'cancelled') AS cancelled,
             bool_or(m.kind = 'booked' AND m.whole) AS good_booking, count(*) FILTER (WHERE m.kind = 'rescheduled' AND m.whole) AS good_moves,
             bool_or(m.kind = 'cancelled' AND m.whole) AS good_cancellation
         FROM (SELECT h.appointment_id, h.kind, h.source NOT IN ('retell_phone', 'retell_webhook', 'retell_api') OR h.call_id IS NOT NULL AS whole
               FROM appointment_modifications h WHERE h.company_id = $1) m
         GROUP BY m.appointment_id),
     unheard AS (SELECT DISTINCT b.appointment_id FROM calcom_bookings b WHERE b.company_id = $1 AND b.placeholder)
     SELECT coalesce(sum(coalesce(h.good_booking, false)::int + coalesce(h.good_moves, 0) + coalesce(h.good_cancellation, false)::int), 0)::bigint,
         coalesce(sum((coalesce(h.booked, false) OR (a.status NOT IN ('requested', 'failed') AND u.appointment_id IS NULL))::int
             + greatest(a.rescheduled_count, ",
    moved!(),
    "::int, coalesce(h.moves, 0)) + (a.status = 'cancelled' OR coalesce(h.cancelled, false))::int), 0)::bigint
     FROM appointments a LEFT JOIN history h ON h.appointment_id = a.id LEFT JOIN unheard u ON u.appointment_id = a.id WHERE a.company_id = $1"
);

pub(super) async fn audit_completeness(tx: &mut CompanyTx) -> Result<Score, StoreError> {
    let company_id = tx.company_id();
    let (good, of): (i64, i64) =
        sqlx::query_as(CHANGES).bind(company_id).fetch_one(tx.connection()).await.map_err(failed("count changes and their history"))?;
    Ok(Score::new(good, of))
}

/// Rows that at least one of these checks (of one subject) finds.
pub(super) async fn wrong_rows(tx: &mut CompanyTx, checks: &[&Check]) -> Result<i64, StoreError> {
    if checks.is_empty() {
        return Ok(0);
    }
    let company_id = tx.company_id();
    let found = checks.iter().map(|check| format!("SELECT id FROM ({}) q", check.sql())).collect::<Vec<_>>().join(" UNION ALL ");
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(DISTINCT id) FROM ({found}) wrong")))
        .bind(company_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("count rows that are wrong"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_audit_column_is_counted_at_its_place() {
        for (place, column) in COLUMNS.iter().enumerate() {
            assert!(COLUMN_CELLS.contains(&format!("({}, '{}', c{0}, ", place + 1, column.name)), "{}", column.name);
        }
    }

    #[test]
    fn a_column_of_words_tells_how_many_are_unknown() {
        for column in COLUMNS.iter().filter(|column| column.name.ends_with("_by") || column.name.ends_with("_source")) {
            assert!(COLUMN_CELLS.contains(&format!("{} = 'unknown'", column.name)), "{}", column.name);
        }
    }
}
