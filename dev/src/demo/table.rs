//! What happened, as tables for people on a terminal: what each caller heard, and the rows of Postgres, with every audit column of what was changed. The demo's people are invented,
//! so they are shown. Pure. Called by `demo`.
use chrono::{DateTime, Datelike, Utc};
use comfy_table::{ContentArrangement, Table, presets};

use super::plan::ZONE;
use super::rows::{Appointment, Call, Callback, Modification, Seen};
use super::story::Told;

const DASH: &str = "–";

/// The whole text.
pub fn render(seen: &Seen, told: &Told) -> String {
    let mut text = String::from("\nWhat the callers heard\n");
    for call in &told.calls {
        text.push_str(&format!("  {}\n", call.title));
        for (step, sentence) in call.sentences() {
            text.push_str(&format!("    {step}: „{sentence}“\n"));
        }
    }
    text.push_str("\nWhat Postgres says\n\n  appointments\n");
    let header = ["", "STATUS", "START", "SERVICE", "CUSTOMER", "FOR", "CALL"];
    text.push_str(&framed(&header, seen.appointments.iter().map(appointment_row)));
    text.push('\n');
    for appointment in seen.appointments.iter().filter(|row| row.rescheduled_at.is_some() || row.cancelled_at.is_some()) {
        text.push_str(&appointment_block(appointment));
    }
    text.push_str("  appointment_modifications\n");
    text.push_str(&framed(&["APPOINTMENT", "KIND", "FROM", "TO", "ACTOR", "SOURCE", "CALL", "REASON"], seen.modifications.iter().map(modification_row)));
    text.push_str("\n  calls\n");
    text.push_str(&framed(&["CALL", "STATUS", "CUSTOMER", "NAME TOLD", "STARTED", "LASTED", "ENDED BY"], seen.calls.iter().map(call_row)));
    text.push_str("\n  callback_requests\n");
    text.push_str(&framed(&["CALL", "REASON", "PRIORITY", "STATE", "PHONE", "UNTIL"], seen.callbacks.iter().map(callback_row)));
    text
}

fn appointment_row(row: &Appointment) -> Vec<String> {
    vec![
        format!("#{}", row.number),
        row.status.clone(),
        local(row.starts_at),
        shown(row.service.as_ref()),
        shown(row.customer.as_ref()),
        shown(row.name_given.as_ref()),
        in_call(row.call_number),
    ]
}

fn appointment_block(row: &Appointment) -> String {
    let until = row.ends_at.with_timezone(&ZONE).format("%H:%M");
    let head = format!(
        "  Appointment #{} · {} · {}–{until} · {} · {}\n",
        row.number,
        row.status,
        local(row.starts_at),
        shown(row.service.as_ref()),
        shown(row.customer.as_ref()),
    );
    let groups = [
        vec![
            "booked".to_owned(),
            clock(Some(row.created_at)),
            shown(row.created_by.as_ref()),
            shown(row.booking_source.as_ref()),
            shown(row.booked_by_user_id.as_ref()),
            row.call_number.map_or_else(String::new, |number| format!("in call #{number}")),
        ],
        vec![
            "moved".to_owned(),
            clock(row.rescheduled_at),
            shown(row.rescheduled_by.as_ref()),
            shown(row.reschedule_source.as_ref()),
            shown(row.rescheduled_by_user_id.as_ref()),
            format!("previous start: {}", row.previous_starts_at.map_or_else(|| DASH.to_owned(), local)),
        ],
        vec![
            "cancelled".to_owned(),
            clock(row.cancelled_at),
            shown(row.cancelled_by.as_ref()),
            shown(row.cancellation_source.as_ref()),
            shown(row.cancelled_by_user_id.as_ref()),
            format!("reason: {}", shown(row.cancellation_reason.as_ref())),
        ],
    ];
    format!("{head}{}\n", framed(&["", "WHEN", "BY", "SOURCE", "USER", ""], groups))
}

fn modification_row(row: &Modification) -> Vec<String> {
    let time = |at: Option<DateTime<Utc>>| at.map_or_else(|| DASH.to_owned(), local);
    vec![
        format!("#{}", row.appointment_number),
        row.kind.clone(),
        time(row.previous_starts_at),
        time(row.new_starts_at),
        row.actor.clone(),
        row.source.clone(),
        in_call(row.call_number),
        shown(row.reason.as_ref()),
    ]
}

fn call_row(row: &Call) -> Vec<String> {
    let told = row.name_given.as_ref().map(|name| format!("{name} ({})", shown(row.name_agreement.as_ref())));
    vec![
        format!("#{}", row.number),
        row.status.clone(),
        shown(row.customer.as_ref()),
        shown(told.as_ref()),
        clock(row.started_at),
        row.duration_ms.map_or_else(|| DASH.to_owned(), |ms| format!("{ms} ms")),
        shown(row.disconnection_reason.as_ref()),
    ]
}

fn callback_row(row: &Callback) -> Vec<String> {
    vec![in_call(row.call_number), row.reason.clone(), row.priority.clone(), row.state.clone(), shown(row.phone.as_ref()), clock(Some(row.due_at))]
}

fn in_call(number: Option<i64>) -> String {
    number.map_or_else(|| DASH.to_owned(), |number| format!("#{number}"))
}

/// Columns aligned, indented; every line ends with a line feed.
fn framed(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    table.to_string().lines().map(|line| format!("    {}\n", line.trim_end())).collect()
}

fn shown(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| DASH.to_owned(), ToString::to_string)
}

/// A start, by Berlin time: "Thu 26 Nov 14:00".
pub fn local(at: DateTime<Utc>) -> String {
    let local = at.with_timezone(&ZONE);
    format!("{} {}", local.weekday(), local.format("%-d %b %H:%M"))
}

/// When something was done, by Berlin time.
fn clock(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| DASH.to_owned(), |at| at.with_timezone(&ZONE).format("%-d %b %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{as_it_should_be, plan};
    use super::*;

    #[test]
    fn every_audit_column_and_every_call_is_shown() {
        let (seen, told) = as_it_should_be(&plan());
        let text = render(&seen, &told);
        for piece in [
            "Appointment #1 · booked · Thu 26 Nov 14:00–14:30 · Herrenhaarschnitt · Jürgen Groß",
            "in call #1",
            "retell_phone",
            "retell_api",
            "previous start: Thu 26 Nov 10:00",
            "previous start: –",
            "calcom_webhook",
            "reason: Leider krank geworden",
            "book_appointment: „Ihr Termin ist gebucht.“",
            "call_inbound: „Guten Tag! Schön, Sie wieder zu hören, Jürgen Groß.“",
            "Max Groß (different)",
            "transfer_failed",
        ] {
            assert!(text.contains(piece), "{piece} is missing in:\n{text}");
        }
        assert_eq!(text.matches("Appointment #").count(), 2, "the audit columns of what was changed");
        assert!(text.lines().all(|line| line == line.trim_end()), "no blanks at the ends of lines");
    }
}
