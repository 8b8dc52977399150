//! Faults that a test or an operator switches on: rules that match an operation, a number of times or by chance.
//! The first matching rule with something left applies; a request meets at most one fault. Webhooks have their own file.

use std::collections::BTreeMap;

use axum::http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::replay::Whose;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultOp {
    Create,
    Reschedule,
    Cancel,
    Get,
    List,
    Any,
}

impl FaultOp {
    /// The operation of a request below `/v2`; everything without an own name is matched by `any` only.
    pub fn of(method: &Method, segments: &[&str]) -> Self {
        match (method.as_str(), segments) {
            ("POST", ["bookings"]) => Self::Create,
            ("GET", ["bookings"]) => Self::List,
            ("GET", ["bookings", _]) => Self::Get,
            ("POST", ["bookings", _, "reschedule"]) => Self::Reschedule,
            ("POST", ["bookings", _, "cancel"]) => Self::Cancel,
            _ => Self::Any,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers this status in shape B, does nothing.
    ErrorBefore { status: u16 },
    /// Does it, echo included, then answers this status in shape B.
    ErrorAfter { status: u16 },
    /// Does it, then waits before the answer.
    HangAfter { ms: u64 },
    /// Waits, does nothing, answers 504: a gateway that never reached the application.
    HangBefore { ms: u64 },
    #[serde(rename = "throttle_429")]
    Throttle429 { reset_seconds: i64 },
    /// Waits, then does and answers as usual; does it late even if the client has gone by then.
    Slow { ms: u64 },
    /// Does it, then closes the connection without an answer.
    DropConnectionAfter,
    /// Creates and moves: does nothing and answers 201 with an old booking. Without an old one the request is done as usual.
    ReplayOld { whose: Whose },
    /// Does it, then answers its status with a body of another shape.
    WrongSchema,
    /// Does it, then sends the answer in pieces over this time.
    SlowDrip { ms: u64 },
}

impl FaultKind {
    /// For tables and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorBefore { .. } => "error_before",
            Self::ErrorAfter { .. } => "error_after",
            Self::HangAfter { .. } => "hang_after",
            Self::HangBefore { .. } => "hang_before",
            Self::Throttle429 { .. } => "throttle_429",
            Self::Slow { .. } => "slow",
            Self::DropConnectionAfter => "drop_connection_after",
            Self::ReplayOld { .. } => "replay_old",
            Self::WrongSchema => "wrong_schema",
            Self::SlowDrip { .. } => "slow_drip",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FaultRule {
    pub op: FaultOp,
    pub kind: FaultKind,
    /// How often it still applies; nothing = until removed.
    #[serde(default)]
    pub times: Option<u32>,
    /// Chance per matching request, 0 to 1; nothing = always.
    #[serde(default)]
    pub probability: Option<f64>,
}

impl FaultRule {
    pub fn once(op: FaultOp, kind: FaultKind) -> Self {
        Self { op, kind, times: Some(1), probability: None }
    }

    pub fn by_chance(op: FaultOp, kind: FaultKind, probability: f64) -> Self {
        Self { op, kind, times: None, probability: Some(probability) }
    }
}

pub struct Faults {
    rules: Vec<FaultRule>,
    rng: StdRng,
    /// How often each kind applied, cleared rules included.
    fired: BTreeMap<&'static str, u64>,
    /// And how often it made a difference that somebody could see.
    felt: BTreeMap<&'static str, u64>,
}

impl Faults {
    /// The seed makes a run with probabilities repeatable.
    pub fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), rng: StdRng::seed_from_u64(seed), fired: BTreeMap::new(), felt: BTreeMap::new() }
    }

    pub fn add(&mut self, rules: Vec<FaultRule>) {
        self.rules.extend(rules);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    pub fn fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.fired
    }

    pub fn felt(&self) -> &BTreeMap<&'static str, u64> {
        &self.felt
    }

    /// This kind made a difference: something was committed behind its back, an old booking was shown.
    pub fn feel(&mut self, kind: FaultKind) {
        *self.felt.entry(kind.name()).or_default() += 1;
    }

    pub fn next(&mut self, op: FaultOp) -> Option<FaultKind> {
        for rule in &mut self.rules {
            let fits = rule.op == FaultOp::Any || rule.op == op;
            if !fits || rule.times == Some(0) {
                continue;
            }
            let chance = rule.probability.unwrap_or(1.0).clamp(0.0, 1.0);
            if chance < 1.0 && !self.rng.random_bool(chance) {
                continue;
            }
            rule.times = rule.times.map(|left| left - 1);
            *self.fired.entry(rule.kind.name()).or_default() += 1;
            return Some(rule.kind);
        }
        None
    }
}
