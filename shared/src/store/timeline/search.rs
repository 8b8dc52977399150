//! Which customer, call or appointment somebody means: by short number, key, phone, the provider's id. All that fit, never a guess; within one company.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{AppointmentHead, CallHead, CustomerHead};
use crate::domain::phone::E164;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// More than that are told as "more"; a person narrows it down.
pub const HITS_MAX: usize = 20;
/// National numbers are read as ones of this country.
const COUNTRY: &str = "DE";
/// A short number never has more digits than that; a phone number has, or begins with a zero.
const NUMBER_DIGITS_MAX: usize = 9;

/// What somebody typed.
#[derive(Clone)]
pub enum Key {
    /// `#830` or `830`.
    Number(i64),
    /// A row's own key; a booking's uid may look the same.
    Id(Uuid, String),
    Phone(E164),
    /// Retell's id of a call, Cal.com's uid of a booking, an e-mail.
    Text(String),
}

impl Key {
    /// What that text can mean.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let digits = text.strip_prefix('#').unwrap_or(text);
        if (1..=NUMBER_DIGITS_MAX).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(number) = digits.parse()
        {
            return Self::Number(number);
        }
        if let Ok(id) = text.parse() {
            return Self::Id(id, text.to_owned());
        }
        if text.starts_with(['+', '0'])
            && let Some(phone) = E164::normalise(text, COUNTRY)
        {
            return Self::Phone(phone);
        }
        Self::Text(text.to_owned())
    }
}

/// One bind for each meaning; a statement uses one of them.
struct Binds<'a> {
    number: i64,
    id: Uuid,
    text: &'a str,
}

impl Key {
    fn binds(&self) -> Binds<'_> {
        let none = Binds { number: 0, id: Uuid::nil(), text: "" };
        match self {
            Self::Number(number) => Binds { number: *number, ..none },
            Self::Id(id, text) => Binds { id: *id, text, ..none },
            Self::Phone(phone) => Binds { text: phone.as_str(), ..none },
            Self::Text(text) => Binds { text, ..none },
        }
    }
}

// $1 company, $2 number, $3 key, $4 text; named in each statement, so that one way of binding serves all
macro_rules! hits {
    ($columns:expr, $view:literal, $condition:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $view,
            " h CROSS JOIN (SELECT $2::bigint AS number, $3::uuid AS id, $4::text AS text) wanted WHERE h.company_id = $1 AND ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT $5"
        )
    };
}

macro_rules! customers {
    ($condition:literal) => {
        hits!(
            "h.company_id, company, time_zone, customer_id, h.number, name, phone, email, anonymous, vip_tier, created_at, calls, unlinked_calls, appointments, upcoming",
            "customer_stories",
            $condition,
            "h.created_at DESC, h.customer_id"
        )
    };
}

/// The customers that are meant, newest first, at most one more than [`HITS_MAX`].
///
/// # Errors
/// When Postgres is away.
pub async fn find_customers(tx: &mut CompanyTx, key: &Key) -> Result<Vec<CustomerHead>, StoreError> {
    let statement = match key {
        Key::Number(_) => customers!("h.number = $2"),
        Key::Id(..) => customers!("h.customer_id = $3"),
        Key::Phone(_) => customers!("h.phone = $4"),
        Key::Text(_) => customers!("h.customer_id IN (SELECT k.id FROM customers k WHERE k.company_id = $1 AND k.email_key = lower($4))"),
    };
    fetch(tx, statement, key, "find a customer").await
}

macro_rules! calls {
    ($condition:literal) => {
        hits!(
            "h.company_id, company, branch, time_zone, call_id, h.number, retell_call_id, at, started_at, ended_at, duration_ms, status, direction, connected, caller, caller_raw,
             our_number, disconnection_reason, transfer_state, transfer_destination, in_voicemail, summary, sentiment, cost_cents, name_given, name_agreement, customer_id,
             customer_number, customer_name, booked, moved, cancelled, denied, callbacks, unfinished",
            "call_stories",
            $condition,
            "h.at DESC, h.call_id"
        )
    };
}

/// The calls that are meant, newest first, at most one more than [`HITS_MAX`].
///
/// # Errors
/// When Postgres is away.
pub async fn find_calls(tx: &mut CompanyTx, key: &Key) -> Result<Vec<CallHead>, StoreError> {
    let statement = match key {
        Key::Number(_) => calls!("h.number = $2"),
        Key::Id(..) => calls!("h.call_id = $3"),
        Key::Phone(_) => calls!("h.caller = $4"),
        Key::Text(_) => calls!("h.retell_call_id = $4"),
    };
    fetch(tx, statement, key, "find a call").await
}

macro_rules! appointment_columns {
    () => {
        "h.company_id, company, branch, time_zone, appointment_id, h.number, status, starts_at, ends_at, service, staff, calcom_uid, name_given, name_agreement, notes,
             rescheduled_count, imported, created_at, customer_id, customer_number, customer_name, customer_phone, call_id, call_number"
    };
}

macro_rules! appointments {
    ($condition:literal) => {
        hits!(appointment_columns!(), "appointment_stories", $condition, "h.starts_at DESC, h.appointment_id")
    };
}

/// The appointments that are meant, the latest first, at most one more than [`HITS_MAX`]. A call's id means all that it booked or changed; a booking's uid, also one that was moved away
/// from, the appointment that it belongs to.
///
/// # Errors
/// When Postgres is away.
pub async fn find_appointments(tx: &mut CompanyTx, key: &Key) -> Result<Vec<AppointmentHead>, StoreError> {
    let statement = match key {
        Key::Number(_) => appointments!("h.number = $2"),
        Key::Phone(_) => appointments!("h.customer_phone = $4"),
        Key::Id(..) | Key::Text(_) => appointments!(
            "h.appointment_id IN (
                 SELECT $3
                 UNION SELECT b.appointment_id FROM calcom_bookings b WHERE b.company_id = $1 AND b.uid = $4
                 UNION SELECT a.id FROM appointments a WHERE a.company_id = $1 AND a.calcom_uid = $4
                 UNION SELECT a.id FROM calls c JOIN appointments a ON a.company_id = c.company_id AND a.call_id = c.id WHERE c.company_id = $1 AND c.retell_call_id = $4
                 UNION SELECT m.appointment_id FROM calls c JOIN appointment_modifications m ON m.company_id = c.company_id AND m.call_id = c.id
                     WHERE c.company_id = $1 AND c.retell_call_id = $4)"
        ),
    };
    fetch(tx, statement, key, "find an appointment").await
}

/// What the customer has before him at `now`, soonest first, at most `limit`.
///
/// # Errors
/// When Postgres is away.
pub async fn upcoming(tx: &mut CompanyTx, customer_id: Uuid, now: DateTime<Utc>, limit: u32) -> Result<Vec<AppointmentHead>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as(concat!(
        "SELECT ",
        appointment_columns!(),
        " FROM appointment_stories h WHERE h.company_id = $1 AND customer_id = $2 AND starts_at > $3
             AND status IN ('requested', 'pending', 'booked', 'reschedule_requested') ORDER BY starts_at, appointment_id LIMIT $4"
    ))
    .bind(company_id)
    .bind(customer_id)
    .bind(now)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await
    .map_err(failed("list what a customer has before him"))
}

async fn fetch<T>(tx: &mut CompanyTx, statement: &'static str, key: &Key, operation: &'static str) -> Result<Vec<T>, StoreError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let company_id = tx.company_id();
    let binds = key.binds();
    sqlx::query_as(statement)
        .bind(company_id)
        .bind(binds.number)
        .bind(binds.id)
        .bind(binds.text)
        .bind(HITS_MAX as i64 + 1)
        .fetch_all(tx.connection())
        .await
        .map_err(failed(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> String {
        match Key::parse(text) {
            Key::Number(number) => format!("number {number}"),
            Key::Id(id, _) => format!("id {id}"),
            Key::Phone(phone) => format!("phone {}", phone.as_str()),
            Key::Text(text) => format!("text {text}"),
        }
    }

    #[test]
    fn what_is_typed_is_a_number_a_key_a_phone_or_a_text() {
        let table = [
            ("830", "number 830"),
            (" #672 ", "number 672"),
            ("+4915112345678", "phone +4915112345678"),
            ("0151 12345678", "phone +4915112345678"),
            ("004915112345678", "phone +4915112345678"),
            ("01990000-0000-7000-8000-000000000001", "id 01990000-0000-7000-8000-000000000001"),
            ("call_0a1b2c", "text call_0a1b2c"),
            ("2NtaeaVcKfpmSZ4CthFdfk", "text 2NtaeaVcKfpmSZ4CthFdfk"),
            ("erika@example.org", "text erika@example.org"),
            ("0", "text 0"),
            ("#", "text #"),
            ("", "text "),
        ];
        for (typed, expected) in table {
            assert_eq!(meaning(typed), expected, "{typed}");
        }
    }
}
