//! Rows as Postgres' COPY reads them (text format), and the tables in the order in which foreign keys want them.
//! Called by the makers; `load` sends them.
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use uuid::Uuid;

/// A table that the history fills row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Customers,
    Calls,
    Appointments,
    CalcomBookings,
    Modifications,
    Events,
    AuditLog,
    Reviews,
}

impl Table {
    /// Whoever is named comes before who names it.
    pub const ALL: [Self; 8] =
        [Self::Customers, Self::Calls, Self::Appointments, Self::CalcomBookings, Self::Modifications, Self::Events, Self::AuditLog, Self::Reviews];

    /// Table and columns, in the order in which the makers write them.
    pub const fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("customers", "id, company_id, number, name, phone, email, anonymous, source, legacy_id, import_run_id, created_at, updated_at"),
            Self::Calls => (
                "calls",
                "id, company_id, number, retell_call_id, branch_id, phone_number_id, customer_id, caller_raw, caller, our_number, status, connected, started_at, \
                 ended_at, duration_ms, outcome, name_given, metadata, legacy_id, import_run_id, created_at, updated_at",
            ),
            Self::Appointments => (
                "appointments",
                "id, company_id, number, branch_id, customer_id, service_id, staff_id, call_id, status, starts_at, ends_at, time_zone, name_given, notes, calcom_uid, \
                 rescheduled_count, created_by, booking_source, booked_by_user_id, rescheduled_at, rescheduled_by, rescheduled_by_user_id, reschedule_source, \
                 previous_starts_at, cancelled_at, cancelled_by, cancelled_by_user_id, cancellation_source, cancellation_reason, import_run_id, legacy_id, \
                 legacy_metadata, created_at, updated_at",
            ),
            Self::CalcomBookings => (
                "calcom_bookings",
                "company_id, uid, appointment_id, provider_account_id, state, starts_at, ends_at, event_type_id, booking_id, host_user_id, first_seen_at",
            ),
            Self::Modifications => (
                "appointment_modifications",
                "id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, user_id, fee_minor, reason, import_run_id, \
                 legacy_id, legacy_metadata, occurred_at, created_at",
            ),
            Self::Events => ("events", "message_id, kind, company_id, received_at, stored_at, body"),
            Self::AuditLog => ("audit_log", "id, company_id, user_id, actor, action, entity, entity_id, details, occurred_at"),
            Self::Reviews => ("reviews", "id, company_id, subject, reason, details, dedup_key, created_at"),
        }
    }

    pub fn statement(self) -> String {
        let (table, columns) = self.columns();
        format!("COPY {table} ({columns}) FROM STDIN")
    }
}

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub text: String,
    pub count: u64,
}

impl Rows {
    /// A new row; [`Row::end`] ends it.
    pub fn row(&mut self) -> Row<'_> {
        Row { rows: self, first: true }
    }
}

/// What is loaded in one transaction: some appointments of one company with everything around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub company: usize,
    pub rows: [Rows; Table::ALL.len()],
}

impl Batch {
    pub fn new(company: usize) -> Self {
        Self { company, ..Self::default() }
    }

    pub fn table(&self, table: Table) -> &Rows {
        &self.rows[table as usize]
    }

    /// A new row; [`Row::end`] ends it.
    pub fn row(&mut self, table: Table) -> Row<'_> {
        self.rows[table as usize].row()
    }
}

/// A row under way: its cells one after the other, in the order of [`Table::columns`].
#[derive(Debug)]
pub struct Row<'batch> {
    rows: &'batch mut Rows,
    first: bool,
}

impl Row<'_> {
    fn cell(&mut self) -> &mut String {
        if !self.first {
            self.rows.text.push('\t');
        }
        self.first = false;
        &mut self.rows.text
    }

    pub fn null(mut self) -> Self {
        self.cell().push_str("\\N");
        self
    }

    pub fn text(mut self, text: &str) -> Self {
        let cell = self.cell();
        for letter in text.chars() {
            match letter {
                '\\' => cell.push_str("\\\\"),
                '\t' => cell.push_str("\\t"),
                '\n' => cell.push_str("\\n"),
                '\r' => cell.push_str("\\r"),
                other => cell.push(other),
            }
        }
        self
    }

    pub fn id(mut self, id: Uuid) -> Self {
        write(self.cell(), format_args!("{id}"));
        self
    }

    pub fn number(mut self, number: i64) -> Self {
        write(self.cell(), format_args!("{number}"));
        self
    }

    pub fn flag(mut self, flag: bool) -> Self {
        self.cell().push(if flag { 't' } else { 'f' });
        self
    }

    pub fn time(self, seconds: i64) -> Self {
        self.text(&instant(seconds))
    }

    pub fn json(self, value: &Value) -> Self {
        self.text(&value.to_string())
    }

    /// Bytes that are text without control characters.
    pub fn bytes(self, value: &str) -> Self {
        self.text(&format!("\\x{}", hex::encode(value)))
    }

    /// A cell that may be empty.
    pub fn maybe<T>(self, value: Option<T>, cell: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => cell(self, value),
            None => self.null(),
        }
    }

    pub fn end(self) {
        self.rows.text.push('\n');
        self.rows.count += 1;
    }
}

/// Writing into a string cannot fail.
fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// An instant as the former system's JSON had it: UTC, to the second.
pub fn instant(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The same as Cal.com writes it.
pub fn instant_of_calcom(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_cell_or_a_row_is_escaped() {
        let mut batch = Batch::new(0);
        batch.row(Table::Events).text("a\tb\\c\nd").null().maybe(None::<i64>, Row::number).maybe(Some(-3), Row::number).bytes("{}").end();
        assert_eq!(batch.table(Table::Events).text, "a\\tb\\\\c\\nd\t\\N\t\\N\t-3\t\\\\x7b7d\n");
        assert_eq!(batch.table(Table::Events).count, 1);
    }

    #[test]
    fn instants_are_utc() {
        assert_eq!(instant(1_759_910_400), "2025-10-08T08:00:00Z");
        assert_eq!(instant_of_calcom(1_759_910_400), "2025-10-08T08:00:00.000Z");
    }
}
