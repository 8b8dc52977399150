//! Logs: JSON lines for machines, text for a terminal; UTC; to stdout.
//!
//! A log line never holds personal data (types mask themselves) and never more than one line: JSON escapes, and the text form escapes control
//! characters of every value, so that no caller's words can forge a log entry.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::TelemetryError;
use crate::config::{LogFormat, Telemetry};
use crate::protection::{self, Protection};

/// Crates below us that log statements, headers or frames when asked for more than warnings: they are not asked.
const QUIET: [&str; 9] = ["h2", "hyper", "hyper_util", "lapin", "reqwest", "rustls", "sqlx", "tokio_executor_trait", "tower"];

/// Installs the process-wide log subscriber and writes the first line, which names the process and its version.
///
/// # Errors
/// The level is not a list of directives, or a subscriber is already there.
pub fn init_logging(telemetry: &Telemetry, process: &str) -> Result<(), TelemetryError> {
    let filter = filter(&telemetry.log_level)?;
    let as_json = match telemetry.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stdout().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout);
    let installed = if as_json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    } else {
        builder.with_ansi(std::io::stdout().is_terminal()).fmt_fields(debug_fn(write_field)).finish().try_init()
    };
    installed.map_err(TelemetryError::AlreadyInstalled)?;
    tracing::info!(process, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "process started");
    protection::announce().map_err(TelemetryError::Protection)
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    // personal data stands in lines of that level only, masked: there the missing mask shows
    let level = if Protection::Mask.is_off() { &format!("{level},workers=debug") } else { level };
    let capped: String = QUIET.iter().filter(|name| !level.contains(*name)).fold(level.to_owned(), |mut all, name| {
        let _ = write!(all, ",{name}=warn");
        all
    });
    EnvFilter::builder().parse(capped).map_err(TelemetryError::LogLevel)
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    let mut escaped = Escaped { inner: writer };
    write!(escaped, "{value:?} ")
}

/// Writes text with every control character as its escape.
struct Escaped<'a, 'w> {
    inner: &'a mut Writer<'w>,
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // U+2028/2029 end a line, and the bidi controls reorder one, in many viewers.
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                write!(self.inner, "{}", character.escape_default())?;
            } else {
                self.inner.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const FORGED: &str = "x\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J\u{202e}";

    #[test]
    fn a_value_with_line_breaks_stays_one_line_of_text() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).fmt_fields(debug_fn(write_field)).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("delivery", message.id = FORGED);
            let _entered = span.enter();
            tracing::info!(tool = %FORGED, "message with {FORGED}");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.contains("\\n2026"), "{text}");
    }

    #[test]
    fn a_value_with_line_breaks_stays_one_line_of_json() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(tool = %FORGED, "message with {FORGED}"));
        let text = captured.0.lock().unwrap().clone();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(line["tool"], FORGED);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn noisy_crates_stay_at_warnings_unless_named() {
        assert!(filter("debug").unwrap().to_string().contains("lapin=warn"));
        assert!(filter("info,lapin=debug").unwrap().to_string().contains("lapin=debug"));
        assert!(filter("info,=!").is_err());
    }
}
