//! The sections of the providers: where Cal.com and Retell are, which versions of Cal.com's API we speak, how long we wait.
//!
//! Not the credentials: those are rows, per company. Used by workers, cli and dev.

use std::time::Duration;

use clap::Args;

use super::Problems;

/// Cal.com's API.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cal.com")]
pub struct CalcomArgs {
    /// Base URL; a self-hosted one keeps its path prefix (such as …/api/v2). Without /v2 at its end, /v2 is added.
    #[arg(long, env = "CALCOM_BASE_URL", default_value = "https://api.cal.com/v2")]
    pub calcom_base_url: String,
    /// cal-api-version of the bookings family.
    #[arg(long, env = "CALCOM_API_VERSION_BOOKINGS", default_value = "2024-08-13")]
    pub calcom_api_version_bookings: String,
    /// cal-api-version of the event types family.
    #[arg(long, env = "CALCOM_API_VERSION_EVENT_TYPES", default_value = "2024-06-14")]
    pub calcom_api_version_event_types: String,
    /// How long one request may take, in milliseconds; Cal.com works through calendars and our own webhook inside a booking.
    #[arg(long, env = "CALCOM_TIMEOUT_MS", default_value = "30000")]
    pub calcom_timeout_ms: String,
}

/// The checked Cal.com section.
#[derive(Clone, Debug)]
pub struct Calcom {
    pub base_url: String,
    pub version_bookings: String,
    pub version_event_types: String,
    pub timeout: Duration,
}

impl CalcomArgs {
    #[must_use]
    pub fn check(&self, problems: &mut Problems) -> Calcom {
        for (name, version) in
            [("CALCOM_API_VERSION_BOOKINGS", &self.calcom_api_version_bookings), ("CALCOM_API_VERSION_EVENT_TYPES", &self.calcom_api_version_event_types)]
        {
            // Cal.com silently falls back to 2024-04-15 for a version it cannot read, with other shapes.
            if chrono::NaiveDate::parse_from_str(version, "%Y-%m-%d").is_err() {
                problems.add(format!("{name} is not a date such as 2024-08-13"));
            }
        }
        Calcom {
            base_url: base_url("CALCOM_BASE_URL", &self.calcom_base_url, problems),
            version_bookings: self.calcom_api_version_bookings.clone(),
            version_event_types: self.calcom_api_version_event_types.clone(),
            timeout: problems.millis("CALCOM_TIMEOUT_MS", &self.calcom_timeout_ms, 1_000..=120_000),
        }
    }
}

/// Retell's API.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Retell")]
pub struct RetellArgs {
    /// Base URL of Retell's REST API.
    #[arg(long, env = "RETELL_BASE_URL", default_value = "https://api.retellai.com")]
    pub retell_base_url: String,
    /// How long one request may take, in milliseconds.
    #[arg(long, env = "RETELL_TIMEOUT_MS", default_value = "10000")]
    pub retell_timeout_ms: String,
}

/// The checked Retell section.
#[derive(Clone, Debug)]
pub struct Retell {
    pub base_url: String,
    pub timeout: Duration,
}

impl RetellArgs {
    #[must_use]
    pub fn check(&self, problems: &mut Problems) -> Retell {
        Retell {
            base_url: base_url("RETELL_BASE_URL", &self.retell_base_url, problems),
            timeout: problems.millis("RETELL_TIMEOUT_MS", &self.retell_timeout_ms, 500..=60_000),
        }
    }
}

fn base_url(name: &str, text: &str, problems: &mut Problems) -> String {
    let text = text.trim().trim_end_matches('/');
    if !looks_like_base_url(text) {
        problems.add(format!("{name} is not an http(s) URL without user, query and fragment"));
    }
    text.to_owned()
}

/// Enough of a check to name a wrong variable at start; the client's own parser has the last word.
fn looks_like_base_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '?', '#', ' ']))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        calcom: CalcomArgs,
        #[command(flatten)]
        retell: RetellArgs,
    }

    #[test]
    fn defaults_are_the_hosted_services() {
        let program = Program::try_parse_from(["program"]).unwrap();
        let mut problems = Problems::default();
        let (calcom, retell) = check_both(&program, &mut problems);
        problems.finish(()).unwrap();
        assert_eq!(calcom.base_url, "https://api.cal.com/v2");
        assert_eq!(calcom.timeout, Duration::from_secs(30));
        assert_eq!(retell.base_url, "https://api.retellai.com");
    }

    #[test]
    fn an_unreadable_version_is_refused_at_start() {
        let arguments = ["program", "--calcom-api-version-bookings=latest", "--calcom-base-url=ftp://x", "--retell-timeout-ms=0"];
        let program = Program::try_parse_from(arguments).unwrap();
        let mut problems = Problems::default();
        check_both(&program, &mut problems);
        assert_eq!(problems.finish(()).unwrap_err().problems.len(), 3);
    }

    fn check_both(program: &Program, problems: &mut Problems) -> (Calcom, Retell) {
        (program.calcom.check(problems), program.retell.check(problems))
    }
}
