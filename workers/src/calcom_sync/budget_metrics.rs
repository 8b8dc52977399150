//! What calcom-sync counts about budgets and about results that could not be recorded. Requests, waits and the retry ratio are this process' own; how a budget stands is one truth for all and is read from the store.
//!
//! `credential` is the one label that is an id: the credentials that were used last, at most 500, never a company's name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use shared::store::budgets::BudgetState;
use shared::telemetry::metrics::{LATENCY_BUCKETS, counter, gauge, register};
use uuid::Uuid;

use super::verdict::Word;

/// Over less than this a utilisation says nothing: a minute's rate of 114 is two tokens a second.
const UTILISATION_SPAN_MIN: Duration = Duration::from_secs(15);

/// What a request is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A change, for the first time.
    Send,
    /// A change again, after it was looked for in vain.
    Repeat,
    /// Whether a change whose outcome is unknown was carried out.
    Search,
    /// A booking is read, because there is news about it.
    Look,
    /// The next booking of a chain, or the next page.
    Further,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Send, Self::Repeat, Self::Search, Self::Look, Self::Further];

    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Repeat => "repeat",
            Self::Search => "search",
            Self::Look => "look",
            Self::Further => "further",
        }
    }
}

const OUTCOMES: [&str; 3] = ["answered", "failed", "throttled"];

/// One per process with the role calcom-sync.
pub struct BudgetMetrics {
    requests: IntCounterVec,
    withheld: IntCounter,
    unrecorded: IntCounter,
    token_wait: Histogram,
    retry_ratio: Gauge,
    blocked: IntGauge,
    outages: IntGauge,
    utilisation: GaugeVec,
    outage: GaugeVec,
    /// Tokens taken at an earlier look, for the utilisation.
    earlier: Mutex<HashMap<Uuid, (Instant, i64)>>,
}

impl BudgetMetrics {
    /// Creates and registers all of them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = register(
            registry,
            IntCounterVec::new(
                Opts::new("frontdesk_calcom_requests_total", "Requests to Cal.com by what they were for and what came of them"),
                &["purpose", "outcome"],
            ),
        )?;
        for purpose in Purpose::ALL {
            for outcome in OUTCOMES {
                requests.with_label_values(&[purpose.name(), outcome]);
            }
        }
        let by_credential = |name: &str, help: &str| register(registry, GaugeVec::new(Opts::new(name, help), &["credential"]));
        let wait =
            HistogramOpts::new("frontdesk_calcom_token_wait_seconds", "What a further request of a job waited for its token").buckets(LATENCY_BUCKETS.to_vec());
        Ok(Self {
            requests,
            withheld: counter(registry, "frontdesk_calcom_withheld_total", "Requests that were put off because the budget had no token in time")?,
            unrecorded: counter(
                registry,
                "frontdesk_calcom_results_unrecorded_total",
                "Results of intents that could not be recorded, for another reason than that Postgres was away",
            )?,
            token_wait: register(registry, Histogram::with_opts(wait))?,
            retry_ratio: register(registry, Gauge::new("frontdesk_calcom_retry_ratio", "Repeats and searches among this process' requests since its start"))?,
            blocked: gauge(registry, "frontdesk_calcom_credentials_blocked", "Credentials that rest after a 429 or because their key is refused")?,
            outages: gauge(registry, "frontdesk_calcom_credentials_in_outage", "Credentials whose outage brake holds: one probe at a time")?,
            utilisation: by_credential("frontdesk_calcom_budget_utilisation", "Tokens taken by all processes, as a share of the rate")?,
            outage: by_credential("frontdesk_calcom_outage", "1 while the credential's outage brake holds")?,
            earlier: Mutex::default(),
        })
    }

    /// A request was made.
    pub(super) fn requested(&self, purpose: Purpose, word: Word) {
        let outcome = match word {
            Word::Answers => OUTCOMES[0],
            Word::Fails => OUTCOMES[1],
            Word::Rests(_) => OUTCOMES[2],
            Word::Nothing => return,
        };
        self.requests.with_label_values(&[purpose.name(), outcome]).inc();
        let of = |purpose: Purpose| OUTCOMES.iter().map(|outcome| self.requests.with_label_values(&[purpose.name(), outcome]).get()).sum::<u64>();
        let (again, all) = (of(Purpose::Repeat) + of(Purpose::Search), Purpose::ALL.into_iter().map(of).sum::<u64>());
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counters")]
        self.retry_ratio.set(again as f64 / all.max(1) as f64);
    }

    /// A token was waited for, in vain or not.
    pub(super) fn waited(&self, waited: Duration) {
        self.token_wait.observe(waited.as_secs_f64());
    }

    /// A job starts over later, for want of a token.
    pub(super) fn withheld(&self) {
        self.withheld.inc();
    }

    /// The result of an intent could not be recorded.
    pub(super) fn unrecorded(&self) {
        self.unrecorded.inc();
    }

    /// How the budgets stand now.
    pub(super) fn show(&self, states: &[BudgetState], now: Instant) {
        let count = |is: fn(&BudgetState) -> bool| i64::try_from(states.iter().filter(|state| is(state)).count()).unwrap_or(i64::MAX);
        self.blocked.set(count(|state| state.blocked));
        self.outages.set(count(|state| state.outage));
        self.outage.reset();
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.retain(|id, _| states.iter().any(|state| state.credential_id == *id) || self.utilisation.remove_label_values(&[&id.to_string()]).is_err());
        for state in states {
            let label = state.credential_id.to_string();
            self.outage.with_label_values(&[&label]).set(f64::from(u8::from(state.outage)));
            let (since, tokens) = *earlier.entry(state.credential_id).or_insert((now, state.tokens_taken));
            let span = now.duration_since(since);
            if span >= UTILISATION_SPAN_MIN {
                #[expect(clippy::cast_precision_loss, reason = "tokens of a minute")]
                let taken = (state.tokens_taken - tokens) as f64;
                self.utilisation.with_label_values(&[&label]).set(taken * 60.0 / span.as_secs_f64() / f64::from(state.rate_per_minute));
                earlier.insert(state.credential_id, (now, state.tokens_taken));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_ratio_the_states_and_the_utilisation_are_shown() {
        let registry = Registry::new();
        let metrics = BudgetMetrics::new(&registry).unwrap();
        for (purpose, word) in [
            (Purpose::Send, Word::Fails),
            (Purpose::Search, Word::Answers),
            (Purpose::Look, Word::Answers),
            (Purpose::Further, Word::Rests(Duration::from_secs(1))),
            (Purpose::Repeat, Word::Nothing),
        ] {
            metrics.requested(purpose, word);
        }
        let (id, began) = (Uuid::from_u128(7), Instant::now());
        let state = |tokens_taken| BudgetState { credential_id: id, blocked: true, outage: false, tokens_taken, rate_per_minute: 60 };
        metrics.show(&[state(100)], began);
        metrics.show(&[state(115)], began + Duration::from_secs(30));
        let text = String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap();
        for line in [
            r#"frontdesk_calcom_requests_total{outcome="answered",purpose="search"} 1"#,
            r#"frontdesk_calcom_requests_total{outcome="throttled",purpose="further"} 1"#,
            r#"frontdesk_calcom_requests_total{outcome="answered",purpose="repeat"} 0"#,
            "frontdesk_calcom_retry_ratio 0.25",
            "frontdesk_calcom_credentials_blocked 1",
            "frontdesk_calcom_credentials_in_outage 0",
            r#"frontdesk_calcom_budget_utilisation{credential="00000000-0000-0000-0000-000000000007"} 0.5"#,
            r#"frontdesk_calcom_outage{credential="00000000-0000-0000-0000-000000000007"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        metrics.show(&[], began + Duration::from_secs(60));
        let text = String::from_utf8(shared::telemetry::metrics::render(&registry).unwrap()).unwrap();
        assert!(!text.contains("000000000007"), "a credential that is gone is shown no more:\n{text}");
    }
}
