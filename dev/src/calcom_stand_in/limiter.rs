//! Cal.com's request limiter: a counting window per key and, once over it, a block (reference/calcom.md 3.14). Time
//! comes in as an argument, so that a shifted clock ends a block without waiting.

use std::collections::HashMap;

/// Numbers of the hosted product; configurable because tests want small ones.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub per_window: u32,
    pub window_seconds: i64,
    pub block_seconds: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_window: 120, window_seconds: 60, block_seconds: 60 }
    }
}

/// What the three headers say; `reset_seconds` is a duration and not an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub limit: u32,
    pub remaining: u32,
    pub reset_seconds: i64,
}

#[derive(Default)]
pub struct Limiter(HashMap<String, Window>);

struct Window {
    ends_ms: i64,
    hits: u32,
    blocked_until_ms: Option<i64>,
}

impl Limiter {
    /// Counts one request of `key`; `per_window` overrides the configured number for this key.
    pub fn take(&mut self, key: &str, limits: Limits, per_window: Option<u32>, now_ms: i64) -> Verdict {
        let limit = per_window.unwrap_or(limits.per_window);
        let window = self.0.entry(key.to_owned()).or_insert_with(|| fresh_window(limits, now_ms));
        match window.blocked_until_ms {
            Some(until) if now_ms < until => return refused(limit, until - now_ms),
            Some(_) => *window = fresh_window(limits, now_ms),
            None if now_ms >= window.ends_ms => *window = fresh_window(limits, now_ms),
            None => {}
        }
        window.hits += 1;
        if window.hits > limit {
            let until = now_ms + limits.block_seconds * 1000;
            window.blocked_until_ms = Some(until);
            return refused(limit, until - now_ms);
        }
        Verdict { allowed: true, limit, remaining: limit - window.hits, reset_seconds: seconds_up(window.ends_ms - now_ms) }
    }
}

fn fresh_window(limits: Limits, now_ms: i64) -> Window {
    Window { ends_ms: now_ms + limits.window_seconds * 1000, hits: 0, blocked_until_ms: None }
}

fn refused(limit: u32, wait_ms: i64) -> Verdict {
    Verdict { allowed: false, limit, remaining: 0, reset_seconds: seconds_up(wait_ms) }
}

fn seconds_up(ms: i64) -> i64 {
    (ms + 999) / 1000
}
