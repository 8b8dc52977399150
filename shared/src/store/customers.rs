//! Who a customer is, decided in one place: by phone inside the company, else by e-mail, else new. Anonymous callers are always new (incidents 43, 44, 52).

mod life;

pub use life::{Profile, Upcoming, history, profile, upcoming};

use chrono::{DateTime, Utc};
use sqlx::Row;
use uuid::Uuid;

use crate::domain::person_names::ContactRule;
use crate::domain::phone::E164;
use crate::store::tx::CompanyTx;
use crate::store::{StoreError, failed};

/// What is known of a person who calls or books.
#[derive(Clone, Debug, Default)]
pub struct CustomerHint<'a> {
    pub phone: Option<&'a E164>,
    pub email: Option<&'a str>,
    /// Used only if the customer is new or has no name yet: a call never overwrites a name (incident 48).
    pub name: Option<&'a str>,
    /// Which path made the customer, if it is new.
    pub source: &'a str,
}

/// The customer of that hint, made if there is none.
///
/// # Errors
/// When Postgres is away or refuses the row.
pub async fn resolve(tx: &mut CompanyTx, hint: &CustomerHint<'_>) -> Result<Uuid, StoreError> {
    let company_id = tx.company_id();
    let email = hint.email.map(str::trim).filter(|email| !email.is_empty());
    let statement = match (hint.phone, email) {
        (Some(_), _) => {
            "INSERT INTO customers (id, company_id, phone, email, name, source) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (company_id, phone) WHERE phone IS NOT NULL DO UPDATE SET
                 name = coalesce(customers.name, excluded.name), email = coalesce(customers.email, excluded.email)
             RETURNING id"
        }
        (None, Some(_)) => {
            "WITH known AS (SELECT id FROM customers WHERE company_id = $2 AND email_key = lower($4) ORDER BY created_at, id LIMIT 1),
             made AS (INSERT INTO customers (id, company_id, phone, email, name, source)
                 SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM known)
                 ON CONFLICT (company_id, email_key) WHERE phone IS NULL AND email IS NOT NULL DO UPDATE SET name = coalesce(customers.name, excluded.name)
                 RETURNING id)
             SELECT id FROM known UNION ALL SELECT id FROM made LIMIT 1"
        }
        (None, None) => "INSERT INTO customers (id, company_id, phone, email, name, source, anonymous) VALUES ($1, $2, $3, $4, $5, $6, true) RETURNING id",
    };
    let row = sqlx::query(statement)
        .bind(Uuid::now_v7())
        .bind(company_id)
        .bind(hint.phone.map(E164::as_str))
        .bind(email)
        .bind(hint.name.map(str::trim).filter(|name| !name.is_empty()))
        .bind(hint.source)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("resolve a customer"))?;
    row.try_get("id").map_err(failed("read a customer"))
}

/// The customers of several hints, in their order, in one statement. No two hints share a phone or an e-mail: then this is the same as [`resolve`] one by one.
///
/// # Errors
/// When Postgres is away or refuses a row.
pub async fn resolve_all(tx: &mut CompanyTx, hints: &[CustomerHint<'_>]) -> Result<Vec<Uuid>, StoreError> {
    let company_id = tx.company_id();
    let cleaned = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    // rows are written in the order of their keys, so that two groups with common customers wait for each other instead of deadlocking
    sqlx::query_scalar(
        "WITH hint AS MATERIALIZED (
             SELECT place, id, phone, email, lower(email) AS email_key, name, source
             FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS hint (id, phone, email, name, source, place)
         ), by_phone AS (
             INSERT INTO customers (id, company_id, phone, email, name, source)
             SELECT id, $1, phone, email, name, source FROM hint WHERE phone IS NOT NULL ORDER BY phone
             ON CONFLICT (company_id, phone) WHERE phone IS NOT NULL DO UPDATE SET
                 name = coalesce(customers.name, excluded.name), email = coalesce(customers.email, excluded.email)
             RETURNING id, phone
         ), known AS MATERIALIZED (
             SELECT h.place, (SELECT c.id FROM customers c WHERE c.company_id = $1 AND c.email_key = h.email_key ORDER BY c.created_at, c.id LIMIT 1) AS id
             FROM hint h WHERE h.phone IS NULL AND h.email_key IS NOT NULL
         ), by_email AS (
             INSERT INTO customers (id, company_id, email, name, source)
             SELECT h.id, $1, h.email, h.name, h.source FROM hint h JOIN known k USING (place) WHERE k.id IS NULL ORDER BY h.email_key
             ON CONFLICT (company_id, email_key) WHERE phone IS NULL AND email IS NOT NULL DO UPDATE SET name = coalesce(customers.name, excluded.name)
             RETURNING id, email_key
         ), anonymous AS (
             INSERT INTO customers (id, company_id, name, source, anonymous)
             SELECT id, $1, name, source, true FROM hint WHERE phone IS NULL AND email_key IS NULL
         )
         SELECT coalesce(p.id, k.id, e.id, h.id) FROM hint h LEFT JOIN by_phone p ON p.phone = h.phone LEFT JOIN known k ON k.place = h.place
             LEFT JOIN by_email e ON e.email_key = h.email_key AND h.phone IS NULL ORDER BY h.place",
    )
    .bind(company_id)
    .bind(hints.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(hints.iter().map(|hint| hint.phone.map(E164::as_str)).collect::<Vec<_>>())
    .bind(hints.iter().map(|hint| cleaned(hint.email)).collect::<Vec<_>>())
    .bind(hints.iter().map(|hint| cleaned(hint.name)).collect::<Vec<_>>())
    .bind(hints.iter().map(|hint| hint.source).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await
    .map_err(failed("resolve customers"))
}

/// The customer with that phone in this company, if there is one.
///
/// # Errors
/// When Postgres is away.
pub async fn by_phone(tx: &mut CompanyTx, phone: &E164) -> Result<Option<Uuid>, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_scalar("SELECT id FROM customers WHERE company_id = $1 AND phone = $2")
        .bind(company_id)
        .bind(phone.as_str())
        .fetch_optional(tx.connection())
        .await
        .map_err(failed("find a customer by phone"))
}

/// The country whose national numbers are dialled without its prefix: trunks that deliver them so are German ones.
const COUNTRY: &str = "DE";
/// So many last digits tell two customers of one company apart, or they do not and nobody is taken (domain reference 4.2).
const SUFFIX_DIGITS: usize = 8;

/// Who calls: the customer with exactly that number. Only a number that came without its country is searched by its national form, and then by its last digits, if one
/// customer alone has them: of a complete number the end says nothing.
///
/// # Errors
/// When Postgres is away.
pub async fn by_caller(tx: &mut CompanyTx, phone: Option<&E164>, raw: Option<&str>) -> Result<Option<Uuid>, StoreError> {
    let raw = match (phone, raw) {
        (Some(phone), _) => return by_phone(tx, phone).await,
        (None, Some(raw)) => raw,
        (None, None) => return Ok(None),
    };
    if !raw.bytes().all(|byte| byte.is_ascii_digit() || b" /-()".contains(&byte)) {
        return Ok(None);
    }
    if let Some(phone) = E164::normalise(raw, COUNTRY)
        && let Some(customer_id) = by_phone(tx, &phone).await?
    {
        return Ok(Some(customer_id));
    }
    let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
    let Some(suffix) = digits.len().checked_sub(SUFFIX_DIGITS).map(|from| &digits[from..]) else { return Ok(None) };
    let company_id = tx.company_id();
    let found: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM customers WHERE company_id = $1 AND phone_suffix = $2 LIMIT 2")
        .bind(company_id)
        .bind(suffix)
        .fetch_all(tx.connection())
        .await
        .map_err(failed("find a customer by the end of the number"))?;
    Ok(if let [only] = found[..] { Some(only) } else { None })
}

/// What Cal.com must be told of an attendee.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Contact {
    pub name: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
}

/// Name, phone and e-mail of a customer.
///
/// # Errors
/// When Postgres is away or the customer is not of this company.
pub async fn contact(tx: &mut CompanyTx, customer_id: Uuid) -> Result<Contact, StoreError> {
    let company_id = tx.company_id();
    sqlx::query_as("SELECT name, phone, email FROM customers WHERE company_id = $1 AND id = $2")
        .bind(company_id)
        .bind(customer_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed("read a customer's contact"))
}

/// What a booking's attendee depends on besides the customer's own contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attendance {
    /// The customer has another appointment that begins at that time.
    pub booked_at_that_time: bool,
    pub contact_rule: ContactRule,
}

/// Which contact the account of a credential demands of everybody who books.
///
/// # Errors
/// When Postgres is away.
pub async fn contact_rule(tx: &mut CompanyTx, credential_id: Uuid) -> Result<ContactRule, StoreError> {
    let rule: Option<String> =
        sqlx::query_scalar("SELECT a.contact_rule FROM credentials c JOIN provider_accounts a ON a.id = c.provider_account_id WHERE c.id = $1")
            .bind(credential_id)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed("read an account's contact rule"))?;
    Ok(rule.as_deref().and_then(ContactRule::parse).unwrap_or_default())
}

/// See [`Attendance`]; of the account that the credential belongs to.
///
/// # Errors
/// When Postgres is away.
pub async fn attendance(
    tx: &mut CompanyTx,
    customer_id: Uuid,
    appointment_id: Uuid,
    starts_at: DateTime<Utc>,
    credential_id: Uuid,
) -> Result<Attendance, StoreError> {
    let company_id = tx.company_id();
    let (booked_at_that_time, rule): (bool, Option<String>) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM appointments WHERE company_id = $1 AND customer_id = $2 AND id <> $3 AND starts_at = $4
                        AND status IN ('requested', 'pending', 'booked', 'reschedule_requested')),
                (SELECT a.contact_rule FROM credentials c JOIN provider_accounts a ON a.id = c.provider_account_id WHERE c.id = $5)",
    )
    .bind(company_id)
    .bind(customer_id)
    .bind(appointment_id)
    .bind(starts_at)
    .bind(credential_id)
    .fetch_one(tx.connection())
    .await
    .map_err(failed("read what an attendee depends on"))?;
    Ok(Attendance { booked_at_that_time, contact_rule: rule.as_deref().and_then(ContactRule::parse).unwrap_or_default() })
}
