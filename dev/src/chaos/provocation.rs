//! What a campaign does beside the variable when a protection is switched off, so that its absence has a chance to show: what must go from the database, which
//! faults stay on all the time, what the load does more often. Pure. Called by `arena`, `schedule` and `strike`.

use shared::protection::Protection;

use super::auditor;
use super::trial::Trial;
use crate::calcom_stand_in::{FaultKind, FaultOp, FaultRule, ReplicaLag, WebhookFaultKind, WebhookFaultRule, WebhookFaults, Whose};

/// Longer than two dispatch rounds, shorter than our client waits: two wishes for one slot are both under way meanwhile.
const SLOW_CREATE_MS: u64 = 1500;
/// With the scale of a long campaign (`campaign::run`): longer than the 12 ms after which a change is repeated that nobody looks for, shorter than the 190 ms of three looks.
const LAG_MS: u64 = 150;
/// Longer than a hasty visitor needs.
const SHUFFLED_WITHIN_MS: u64 = 2500;
/// One company rests so long, again and again: ten times in a minute's campaign, where whoever waits for the throttled one sends nothing between.
const THROTTLED_SECONDS: i64 = 5;

/// Of callers: with a rival for each, five of a hundred lives are contested.
const CONTESTED: f64 = 0.042;

/// The habits of a campaign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Provocation {
    provoked: Option<Protection>,
    /// For the campaign's own database, after `migrate`.
    pub sql: &'static str,
    pub log_level: &'static str,
    /// Share of callers whose fixed slot somebody else wants at the same moment. Every other wish has a slot of its own.
    pub contested: f64,
    /// Share of visitors who move or cancel right after they booked, so that their webhooks overtake each other.
    pub hasty: f64,
    /// Times the usual number of events about bookings that nobody knows.
    pub strays: f64,
    /// Times the usual number of callers with a wish.
    pub callers: f64,
    /// A 429 rests one company for this long instead of several for a moment.
    pub throttled_seconds: Option<i64>,
    /// Cal.com's reads lag all the time: then a repeated create of a round robin books a second host.
    pub replica_lag: Option<ReplicaLag>,
}

impl Provocation {
    pub fn of(trial: Trial) -> Self {
        let provoked = trial.provoked();
        let sql = trial.broken().map_or("", |protection| auditor::needs(protection).sql);
        let usual =
            Self { provoked, sql, log_level: "info", contested: CONTESTED, hasty: 0.3, strays: 1.0, callers: 1.0, throttled_seconds: None, replica_lag: None };
        let Some(protection) = provoked else { return usual };
        match protection {
            Protection::Mask => Self { log_level: "debug", ..usual },
            Protection::Overlap => Self { contested: 1.0, callers: 0.7, ..usual },
            Protection::Rank => Self { hasty: 0.9, ..usual },
            Protection::Attempts => Self { strays: 5.0, ..usual },
            Protection::Fairness => Self { callers: 0.9, throttled_seconds: Some(THROTTLED_SECONDS), ..usual },
            Protection::Search => Self { callers: 0.7, replica_lag: Some(ReplicaLag { ms: LAG_MS, probability: None }), ..usual },
            // each doubtful answer costs several requests more
            Protection::Tag => Self { callers: 0.7, ..usual },
            _ => usual,
        }
    }

    /// Faults of Cal.com's answers that stay on.
    pub fn standing(&self) -> Vec<FaultRule> {
        let of_creates = |kind: FaultKind, chance: f64| FaultRule::by_chance(FaultOp::Create, kind, chance);
        match self.provoked {
            Some(Protection::Overlap) => vec![of_creates(FaultKind::Slow { ms: SLOW_CREATE_MS }, 0.7)],
            // only one that looks like the wish gets past the other looks; three in a row end a wish, which may happen to few of the control
            Some(Protection::Tag) => vec![of_creates(FaultKind::ReplayOld { whose: Whose::SameSlot }, 0.12)],
            // every few seconds, whoever's turn it is
            Some(Protection::Fairness) => {
                vec![FaultRule::by_chance(FaultOp::Any, FaultKind::Throttle429 { reset_seconds: THROTTLED_SECONDS }, 0.05)]
            }
            Some(Protection::Search) => vec![of_creates(FaultKind::DropConnectionAfter, 0.4)],
            _ => Vec::new(),
        }
    }

    /// Faults of Cal.com's webhooks that stay on: an echo would say what the search was to find out.
    pub fn standing_webhooks(&self) -> WebhookFaults {
        let kind = match self.provoked {
            Some(Protection::Search) => WebhookFaultKind::Lose,
            Some(Protection::Rank) => WebhookFaultKind::Shuffle { within_ms: SHUFFLED_WITHIN_MS },
            _ => return WebhookFaults::default(),
        };
        WebhookFaults { rules: vec![WebhookFaultRule::by_chance(kind, 0.6)], seed: None }
    }
}
