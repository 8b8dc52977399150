//! What the former system wrote into `notes` as text: "Created via Retell webhook", "Rescheduled on …", "Cancelled on …", "Reason: …" (domain reference 6.2).

use chrono::{DateTime, Utc};

/// The rest of the line after `mark`, whatever its case; the last such line, since notes were appended.
fn after<'a>(notes: &'a str, mark: &str) -> Option<&'a str> {
    notes.lines().rev().find_map(|line| {
        let at = line.to_ascii_lowercase().find(mark)?;
        // the mark is ASCII, so the position is one of a character in the line as it stands, too
        line.get(at + mark.len()..).map(str::trim).filter(|rest| !rest.is_empty())
    })
}

/// The way that the notes name for the booking.
pub(super) fn created_via(notes: &str) -> Option<&str> {
    after(notes, "created via").map(|rest| rest.trim_end_matches(['.', ',']))
}

/// When the notes say that it was moved.
pub(super) fn rescheduled_on(notes: &str) -> Option<DateTime<Utc>> {
    after(notes, "rescheduled on").and_then(leading_time)
}

/// The start that the notes say it was moved from: "Rescheduled on … from … to …".
pub(super) fn moved_from(notes: &str) -> Option<DateTime<Utc>> {
    let rest = after(notes, "rescheduled on")?;
    leading_time(rest.split_once(" from ")?.1)
}

/// When the notes say that it was cancelled.
pub(super) fn cancelled_on(notes: &str) -> Option<DateTime<Utc>> {
    after(notes, "cancelled on").and_then(leading_time)
}

/// Why, where the notes give a reason.
pub(super) fn reason(notes: &str) -> Option<&str> {
    after(notes, "reason:")
}

/// A time that names its zone, at the beginning of a text. One without a zone proves no instant: the former system wrote both UTC and Berlin.
fn leading_time(text: &str) -> Option<DateTime<Utc>> {
    let end = text.find([',', ';', '(']).unwrap_or(text.len());
    let mut text = text.get(..end)?.trim();
    while !text.is_empty() {
        if let Some(at) = super::payload::time(text.trim_end_matches('.')) {
            return Some(at);
        }
        text = text.rsplit_once(' ').map_or("", |(rest, _)| rest.trim_end());
    }
    None
}
