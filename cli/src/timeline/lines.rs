//! What happened, as lines for people: German words, civil times of the branch, colours on a terminal. No decision is taken here. Called by the commands that tell a story.
//!
//! Every text from a row goes through [`clean`]: names and reasons are written by callers and web visitors, and a terminal obeys what it is shown (incident 97).

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use shared::domain::timeline::{self as words, EntryKind, Tone};
use shared::domain::{local_time, provenance};
use shared::store::timeline::{Delivery, Entry, Request};

use crate::table::{or_dash, table};
use crate::timeline::section;

/// A name, a reason or a sentence is shown up to here.
const TEXT_CHARS_MAX: usize = 160;

/// Colours, or none: a terminal that did not say NO_COLOR.
#[derive(Clone, Copy, Debug)]
pub struct Painter {
    colours: bool,
}

impl Painter {
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Green booked, yellow moved, red cancelled, blue call, gray the rest (domain reference 5).
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Booked => "32",
            Tone::Moved => "33",
            Tone::Cancelled => "31",
            Tone::Call => "34",
            Tone::Other => "90",
        };
        self.wrap(code, text)
    }
}

/// One line of printable text, bounded: a control character (a line break, the escape that begins a terminal's command, a mark that turns the direction of text) becomes a blank.
pub fn clean(text: &str) -> String {
    let visible = |c: char| !(c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'));
    let mut cleaned: String = text.chars().take(TEXT_CHARS_MAX).map(|c| if visible(c) { c } else { ' ' }).collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned.trim().to_owned()
}

fn civil(at: DateTime<Utc>, zone: &str) -> DateTime<Tz> {
    // a zone that is no zone: set-up refuses it; UTC tells no lie with its date at least
    at.with_timezone(&local_time::zone(zone).unwrap_or(Tz::UTC))
}

/// When something happened: "20.11.2026 17:04".
pub fn moment(at: DateTime<Utc>, zone: &str) -> String {
    civil(at, zone).format("%d.%m.%Y %H:%M").to_string()
}

/// As [`moment`], to the second.
pub fn precise(at: DateTime<Utc>, zone: &str) -> String {
    civil(at, zone).format("%d.%m.%Y %H:%M:%S").to_string()
}

/// When an appointment is: "Do 26.11.2026 10:00".
pub fn slot(at: DateTime<Utc>, zone: &str) -> String {
    let local = civil(at, zone);
    let day: String = local_time::weekday(local.weekday()).chars().take(2).collect();
    format!("{day} {}", local.format("%d.%m.%Y %H:%M"))
}

/// From where to where; the day is said once if it stays.
fn shift(from: DateTime<Utc>, to: DateTime<Utc>, zone: &str) -> String {
    let (before, after) = (civil(from, zone), civil(to, zone));
    let target = if before.date_naive() == after.date_naive() { after.format("%H:%M").to_string() } else { slot(to, zone) };
    format!("{} → {target}", slot(from, zone))
}

/// "118 s", from ten minutes on "12 min".
pub fn duration(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..600 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// "5,00 €".
pub fn fee(minor: i64, currency: &str) -> String {
    let sign = if currency == "EUR" { "€" } else { currency };
    format!("{},{:02} {sign}", minor / 100, minor % 100)
}

/// "#830", or a dash.
pub fn numbered(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("#{number}"))
}

/// A reason that somebody gave.
pub fn given(reason: Option<&str>) -> Option<String> {
    reason.filter(|reason| *reason != provenance::REASON_NOT_GIVEN).map(clean).filter(|reason| !reason.is_empty())
}

/// The name that was told, if it is another text than the customer's own, which no call overwrites (incident 48).
pub fn name_told(label: &str, told: Option<&str>, agreement: Option<&str>, own: Option<&str>) -> String {
    let Some(told) = told.filter(|told| Some(*told) != own) else { return String::new() };
    let agreement =
        agreement.filter(|agreement| *agreement != "unknown").map(|agreement| format!(" ({})", words::name_agreement(agreement))).unwrap_or_default();
    format!("{label}: {}{agreement}\n", clean(told))
}

/// The entries as a table, in their order.
pub fn entries(entries: &[Entry], painter: Painter, empty: &str) -> String {
    let rows = entries.iter().map(|entry| {
        let own_call = entry.kind == EntryKind::Call;
        let origin = entry.call_number.filter(|_| !own_call).map(|number| format!("aus Anruf #{number}")).unwrap_or_default();
        vec![
            moment(entry.at, &entry.time_zone),
            entry.kind.label().to_owned(),
            if own_call { numbered(entry.call_number) } else { entry.appointment_number.map_or_else(|| "-".to_owned(), |number| format!("Termin #{number}")) },
            what(entry),
            via(entry),
            by(entry),
            charged(entry),
            origin,
        ]
    });
    let plain = table(&["Zeit", "Was", "Nr.", "Einzelheiten", "Via", "Von", "Gebühr", "Ursprung"], rows, empty);
    let first = usize::from(!entries.is_empty());
    let painted = plain.lines().enumerate().map(|(index, line)| match index.checked_sub(first).and_then(|index| entries.get(index)) {
        // the first place where the word stands is its column: a time comes before it
        Some(entry) => line.replacen(entry.kind.label(), &painter.tone(entry.kind.tone(), entry.kind.label()), 1),
        None => line.to_owned(),
    });
    painted.collect::<Vec<_>>().join("\n")
}

fn via(entry: &Entry) -> String {
    match (entry.kind, entry.source.as_deref()) {
        (EntryKind::Call, _) => words::via("retell_phone").to_owned(),
        (_, Some(source)) => clean(words::via(source)),
        (_, None) => "-".to_owned(),
    }
}

fn by(entry: &Entry) -> String {
    match (entry.kind, entry.user_name.as_deref(), entry.actor.as_deref()) {
        (EntryKind::Call, ..) => words::by(if entry.details.direction.as_deref() == Some("outbound") { "system" } else { "customer" }).to_owned(),
        (_, Some(user), _) => clean(user),
        (_, None, Some(actor)) => clean(words::by(actor)),
        (_, None, None) => "-".to_owned(),
    }
}

fn charged(entry: &Entry) -> String {
    match (entry.kind, entry.fee_minor) {
        (EntryKind::Denied, _) | (_, None) => "-".to_owned(),
        (EntryKind::Rescheduled | EntryKind::Cancelled, Some(minor)) => fee(minor, &entry.currency),
        (_, Some(0)) => "-".to_owned(),
        (_, Some(minor)) => fee(minor, &entry.currency),
    }
}

fn what(entry: &Entry) -> String {
    let zone = &entry.time_zone;
    let mut parts: Vec<String> = match entry.kind {
        EntryKind::Call => return call(entry),
        EntryKind::Denied => return denied(entry),
        EntryKind::Callback => return callback(entry),
        _ => match (entry.previous_starts_at, entry.new_starts_at) {
            (Some(from), Some(to)) if from != to => vec![shift(from, to, zone)],
            (Some(at), _) | (None, Some(at)) => vec![slot(at, zone)],
            (None, None) => Vec::new(),
        },
    };
    parts.extend(entry.service.as_deref().map(clean));
    parts.extend(given(entry.reason.as_deref()).map(|reason| format!("Grund: {reason}")));
    if entry.within_policy == Some(false) {
        parts.push("gegen die Regeln".to_owned());
    }
    match (entry.kind, entry.recorded) {
        (EntryKind::Requested, _) => parts.push("noch nicht bestätigt".to_owned()),
        (EntryKind::Failed, _) => parts.push("von Cal.com nicht angenommen".to_owned()),
        (_, false) => parts.push("ohne Verlaufszeile".to_owned()),
        (_, true) => {}
    }
    parts.join(" · ")
}

/// What came of a call: "118 s · 2 gebucht, 1 verschoben".
fn call(entry: &Entry) -> String {
    let details = &entry.details;
    let came = outcome(details.booked.unwrap_or(0), details.moved.unwrap_or(0), details.cancelled.unwrap_or(0));
    let lasted = match (details.connected, details.duration_ms) {
        (Some(false), _) => "nicht zustande gekommen".to_owned(),
        (_, Some(ms)) => duration(ms),
        (_, None) => words::call_status(details.status.as_deref().unwrap_or("registered")).to_owned(),
    };
    format!("{lasted} · {came}")
}

/// "2 gebucht, 1 verschoben".
pub fn outcome(booked: i64, moved: i64, cancelled: i64) -> String {
    let counted = [(booked, EntryKind::Booked), (moved, EntryKind::Rescheduled), (cancelled, EntryKind::Cancelled)];
    let parts: Vec<String> = counted.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {}", kind.label())).collect();
    if parts.is_empty() { "kein Termin geändert".to_owned() } else { parts.join(", ") }
}

fn denied(entry: &Entry) -> String {
    let details = &entry.details;
    let change = if details.change.as_deref() == Some("reschedule") { "Verschiebung" } else { "Absage" };
    let mut parts = vec![format!("{change}: {}", words::denial(entry.reason.as_deref().unwrap_or_default()))];
    if let (Some(notice), Some(required)) = (details.hours_notice, details.required_hours) {
        parts.push(format!("{notice} h vorher, verlangt {required} h"));
    }
    if let (Some(used), Some(most)) = (details.quota_used, details.quota_max) {
        parts.push(format!("{used} von {most} verbraucht"));
    }
    parts.extend(entry.fee_minor.filter(|minor| *minor > 0).map(|minor| format!("ginge für {}", fee(minor, &entry.currency))));
    parts.join(" · ")
}

fn callback(entry: &Entry) -> String {
    let details = &entry.details;
    let mut parts = vec![words::callback_state(details.status.as_deref().unwrap_or("open")).to_owned()];
    parts.extend(details.due_at.map(|due| format!("bis {}", moment(due, &entry.time_zone))));
    parts.extend(given(entry.reason.as_deref().map(words::callback_reason)));
    parts.join(" · ")
}

/// Our requests at Cal.com under their heading; nothing without any.
pub fn requests(requests: &[Request], zone: &str, painter: Painter) -> String {
    let row = |request: &Request| {
        let answer = match (request.at, request.status, &request.error_class) {
            (None, ..) => "-".to_owned(),
            (Some(_), Some(status), error) => format!("{status} {}", clean(error.as_deref().unwrap_or_default())).trim_end().to_owned(),
            (Some(_), None, Some(error)) => clean(error),
            (Some(_), None, None) => "angenommen".to_owned(),
        };
        vec![
            precise(request.at.unwrap_or(request.wished_at), zone),
            format!("#{}", request.appointment_number),
            clean(&request.op),
            clean(&request.state),
            or_dash(request.operation.as_deref().map(clean)),
            answer,
            request.took_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            or_dash(request.provider_request_id.as_deref().map(clean)),
        ]
    };
    let header = ["Zeit", "Termin", "Auftrag", "Stand", "Anfrage", "Antwort", "dauerte", "Nr. bei Cal.com"];
    section("Anfragen bei Cal.com, soweit aufbewahrt", &header, requests.iter().map(row).collect(), painter)
}

/// Deliveries of the messages behind it under their heading; nothing without any.
pub fn deliveries(deliveries: &[Delivery], zone: &str, painter: Painter) -> String {
    let ms = |ms: Option<i32>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let row = |delivery: &Delivery| {
        vec![
            precise(delivery.at, zone),
            clean(&delivery.kind),
            clean(&delivery.role),
            clean(&delivery.lane),
            delivery.attempt.to_string(),
            clean(&delivery.outcome),
            or_dash(delivery.error_class.as_deref().map(clean)),
            ms(delivery.queued_ms),
            ms(delivery.took_ms),
        ]
    };
    let header = ["Zeit", "Nachricht", "Rolle", "Spur", "Versuch", "Ergebnis", "Fehler", "wartete", "dauerte"];
    section("Zustellungen der Nachrichten, soweit aufbewahrt", &header, deliveries.iter().map(row).collect(), painter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil_and_a_day_is_said_once() {
        let (ten, fourteen, next): (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>) =
            ("2026-11-26T09:00:00Z".parse().unwrap(), "2026-11-26T13:00:00Z".parse().unwrap(), "2027-07-01T08:00:00Z".parse().unwrap());
        assert_eq!(slot(ten, "Europe/Berlin"), "Do 26.11.2026 10:00");
        assert_eq!(slot(next, "Europe/Berlin"), "Do 01.07.2027 10:00");
        assert_eq!(shift(ten, fourteen, "Europe/Berlin"), "Do 26.11.2026 10:00 → 14:00");
        assert_eq!(shift(ten, next, "Europe/Berlin"), "Do 26.11.2026 10:00 → Do 01.07.2027 10:00");
        assert_eq!(moment(ten, "nowhere"), "26.11.2026 09:00");
    }

    #[test]
    fn amounts_durations_and_outcomes_are_short() {
        assert_eq!((fee(500, "EUR").as_str(), fee(5, "CHF").as_str()), ("5,00 €", "0,05 CHF"));
        assert_eq!((duration(118_400).as_str(), duration(725_000).as_str()), ("118 s", "12 min"));
        assert_eq!(outcome(2, 1, 0), "2 gebucht, 1 verschoben");
        assert_eq!(outcome(0, 0, 0), "kein Termin geändert");
    }

    /// Incident 97: what a visitor calls himself is shown and nothing more.
    #[test]
    fn a_text_cannot_command_the_terminal() {
        assert_eq!(clean("\u{1b}[31mErika\u{1b}[0m\nMuster\u{202e}frau\u{7}"), "[31mErika [0m Muster frau");
        assert_eq!(clean(&"x".repeat(200)).chars().count(), TEXT_CHARS_MAX + 1);
        assert_eq!(given(Some("not_given")), None);
        assert_eq!(given(Some(" krank\n")), Some("krank".to_owned()));
    }

    #[test]
    fn colours_are_those_of_the_reference_or_none() {
        let painter = Painter::new(true);
        let codes = [Tone::Booked, Tone::Moved, Tone::Cancelled, Tone::Call, Tone::Other].map(|tone| painter.tone(tone, "x"));
        assert_eq!(codes, ["32", "33", "31", "34", "90"].map(|code| format!("\u{1b}[{code}mx\u{1b}[0m")));
        assert_eq!(Painter::new(false).tone(Tone::Booked, "x"), "x");
    }
}
