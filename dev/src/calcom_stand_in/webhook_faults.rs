//! Faults of webhooks on their way: lost, doubled, late, out of order (reference/calcom.md 1.7; faults E1, E4). Rules as in
//! `faults`: the first that fits and has something left applies, a webhook meets at most one. What became of each webhook
//! stands in the ledger, so that a test can count what was dropped. Pings meet none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::ledger::Fate;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFaultKind {
    /// Never sent.
    Lose,
    /// Sent as usual, and once more so much later. `rebuilt`: the second has its own `createdAt`, so its bytes differ.
    Double { after_ms: u64, rebuilt: bool },
    /// Sent so much later, and the request that caused it does not wait for it.
    Late { ms: u64 },
    /// Sent after a random part of this time, so that neighbours overtake each other.
    Shuffle { within_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookFaultRule {
    pub kind: WebhookFaultKind,
    /// Empty = all.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// The window, by the stand-in's clock; `from` is inside, `until` is not.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// How often it still applies; nothing = until removed.
    #[serde(default)]
    pub times: Option<u32>,
    /// Chance per matching webhook, 0 to 1; nothing = always.
    #[serde(default)]
    pub probability: Option<f64>,
}

impl WebhookFaultRule {
    pub fn always(kind: WebhookFaultKind) -> Self {
        Self { kind, triggers: Vec::new(), from: None, until: None, times: None, probability: None }
    }

    pub fn by_chance(kind: WebhookFaultKind, probability: f64) -> Self {
        Self { probability: Some(probability), ..Self::always(kind) }
    }

    pub fn on_trigger(kind: WebhookFaultKind, trigger: &str) -> Self {
        Self { triggers: vec![trigger.to_owned()], ..Self::always(kind) }
    }

    fn fits(&self, trigger: &str, now: DateTime<Utc>) -> bool {
        self.times != Some(0)
            && (self.triggers.is_empty() || self.triggers.iter().any(|wanted| wanted == trigger))
            && self.from.is_none_or(|from| from <= now)
            && self.until.is_none_or(|until| now < until)
    }
}

/// A whole setting: replaces the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WebhookFaults {
    pub rules: Vec<WebhookFaultRule>,
    /// Starts the dice anew; nothing = they go on.
    #[serde(default)]
    pub seed: Option<u64>,
}

impl WebhookFaults {
    /// Every webhook is lost with this chance.
    pub fn lose(probability: f64, seed: u64) -> Self {
        Self { rules: vec![WebhookFaultRule::by_chance(WebhookFaultKind::Lose, probability)], seed: Some(seed) }
    }
}

/// What to do with one webhook: when to send it, and under which name to note it. None of them = lost.
pub struct Course {
    pub sendings: Vec<Sending>,
}

pub struct Sending {
    pub fate: Fate,
    /// Nothing = now, and awaited.
    pub after: Option<Duration>,
    pub rebuilt: bool,
}

impl Sending {
    pub fn now() -> Self {
        Self { fate: Fate::Sent, after: None, rebuilt: false }
    }

    fn later(fate: Fate, ms: u64) -> Self {
        Self { fate, after: Some(Duration::from_millis(ms)), rebuilt: false }
    }
}

pub struct WebhookDice {
    pub set: WebhookFaults,
    rng: StdRng,
}

impl WebhookDice {
    pub fn new(seed: u64) -> Self {
        Self { set: WebhookFaults::default(), rng: StdRng::seed_from_u64(seed) }
    }

    pub fn set(&mut self, faults: WebhookFaults) {
        if let Some(seed) = faults.seed {
            self.rng = StdRng::seed_from_u64(seed);
        }
        self.set = faults;
    }

    pub fn course(&mut self, trigger: &str, now: DateTime<Utc>) -> Course {
        let sendings = match self.next(trigger, now) {
            None => vec![Sending::now()],
            Some(WebhookFaultKind::Lose) => Vec::new(),
            Some(WebhookFaultKind::Double { after_ms, rebuilt }) => {
                vec![Sending::now(), Sending { rebuilt, ..Sending::later(Fate::Doubled, after_ms) }]
            }
            Some(WebhookFaultKind::Late { ms }) => vec![Sending::later(Fate::Late, ms)],
            Some(WebhookFaultKind::Shuffle { within_ms }) => vec![Sending::later(Fate::Shuffled, self.rng.random_range(0..=within_ms))],
        };
        Course { sendings }
    }

    fn next(&mut self, trigger: &str, now: DateTime<Utc>) -> Option<WebhookFaultKind> {
        for rule in self.set.rules.iter_mut().filter(|rule| rule.fits(trigger, now)) {
            let chance = rule.probability.unwrap_or(1.0).clamp(0.0, 1.0);
            if chance < 1.0 && !self.rng.random_bool(chance) {
                continue;
            }
            rule.times = rule.times.map(|left| left - 1);
            return Some(rule.kind);
        }
        None
    }
}
