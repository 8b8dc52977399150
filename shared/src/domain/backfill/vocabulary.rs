//! One closed vocabulary per column: the words of the former system's generations and where each belongs (domain reference 1.2). A word that is not here proves nothing.

/// Words for who acted. The phone agent books for the caller, so its deed is the customer's; `retell_ai` stays a word of `rescheduled_by` for rows that have it already.
const ACTORS: [(&str, &str); 25] = [
    ("customer", "customer"),
    ("customer_phone", "customer"),
    ("customer_web", "customer"),
    ("customer_portal", "customer"),
    ("anonymous", "customer"),
    ("attendee", "customer"),
    ("retell", "customer"),
    ("retell_ai", "customer"),
    ("retell_agent", "customer"),
    ("retell_api", "customer"),
    ("cal.com_webhook", "customer"),
    ("calcom_webhook", "customer"),
    ("calcom", "customer"),
    ("cal.com", "customer"),
    ("staff", "staff"),
    ("staff_user", "staff"),
    ("user", "staff"),
    ("admin", "staff"),
    ("admin_user", "staff"),
    ("crm_admin", "staff"),
    ("host", "staff"),
    ("system", "system"),
    ("system_cron", "system"),
    ("system_migration", "system"),
    ("migration", "system"),
];

/// Words for the way of a booking, of `source`, `booking_source`, `booked_via` and `created_via`.
const BOOKING_SOURCES: [(&str, &str); 31] = [
    ("retell_phone", "retell_phone"),
    ("phone", "retell_phone"),
    ("phone_call", "retell_phone"),
    ("telefon", "retell_phone"),
    ("retell_function_call", "retell_phone"),
    ("retell_function", "retell_phone"),
    ("retell_ai", "retell_phone"),
    ("retell_webhook", "retell_webhook"),
    ("retell webhook", "retell_webhook"),
    ("retell_api", "retell_api"),
    ("api", "retell_api"),
    ("cal.com", "calcom_webhook"),
    ("calcom", "calcom_webhook"),
    ("cal.com_direct", "calcom_webhook"),
    ("calcom_direct", "calcom_webhook"),
    ("cal.com_webhook", "calcom_webhook"),
    ("calcom_webhook", "calcom_webhook"),
    ("cal.com webhook", "calcom_webhook"),
    ("customer_portal", "customer_portal"),
    ("customer_web", "customer_portal"),
    ("portal", "customer_portal"),
    ("crm_admin", "crm_admin"),
    ("crm", "crm_admin"),
    ("admin", "crm_admin"),
    ("admin_panel", "crm_admin"),
    ("manual_admin", "crm_admin"),
    ("manual_staff", "crm_admin"),
    ("admin_user", "crm_admin"),
    ("staff_user", "crm_admin"),
    ("backfill_from_calcom", "backfill_from_calcom"),
    ("reconciled", "reconciled"),
];

fn look_up(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    let word = word.trim().to_lowercase();
    table.iter().find(|(old, _)| *old == word).map(|(_, canonical)| *canonical)
}

/// The actor that a former word means; `None` for `unknown` and for words that nobody knows.
pub(super) fn actor(word: &str) -> Option<&'static str> {
    look_up(&ACTORS, word)
}

/// The literal of `booking_source` that a former word means.
pub(super) fn booking_source(word: &str) -> Option<&'static str> {
    look_up(&BOOKING_SOURCES, word)
}

/// The literal of `reschedule_source` and `cancellation_source`: every way of a call is `retell_api` there.
pub(super) fn change_source(word: &str) -> Option<&'static str> {
    Some(match booking_source(word)? {
        "retell_phone" | "retell_webhook" => "retell_api",
        "backfill_from_calcom" => "reconciled",
        other => other,
    })
}

/// Who books through that way, where nothing else says it.
pub(super) fn actor_of_source(source: &str) -> Option<&'static str> {
    match source {
        "retell_phone" | "retell_webhook" | "retell_api" | "calcom_webhook" | "customer_portal" => Some("customer"),
        "crm_admin" => Some("staff"),
        "backfill_from_calcom" => Some("system"),
        _ => None,
    }
}
