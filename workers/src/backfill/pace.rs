//! How fast a backfill may go: a function of how callers and the database fare. Pure; the reason is a sentence that an operator reads in `frontdesk backfill status`.

use shared::store::backfill::pressure::Pressure;

/// A caller hears an answer within a second or two (architecture): beyond this a backfill has no business to go on.
const LIVE_P95_MS_MAX: f64 = 400.0;
/// Webhooks that lie this long mean that other workers need the machine; longer, that they need all of it.
const BULK_AGE_MS_GENTLY: f64 = 15_000.0;
const BULK_AGE_MS_MAX: f64 = 60_000.0;
/// A few sessions wait for each other in any busy minute.
const LOCK_WAITERS_MAX: i64 = 8;

/// How many chunks may be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// full, gently, stopped: as in `backfill_runs.pace`.
    pub name: &'static str,
    pub chunks_in_flight_max: i64,
    pub reason: String,
}

/// Six chunks keep two workers busy and leave the rest of a small machine to others; one is the pace beside callers.
const FULL: (&str, i64) = ("full", 6);
const GENTLY: (&str, i64) = ("gently", 1);
const STOPPED: (&str, i64) = ("stopped", 0);

/// Every name, for metrics.
pub const NAMES: [&str; 3] = [FULL.0, GENTLY.0, STOPPED.0];

/// The pace that this pressure allows; the first reason counts.
pub fn of(pressure: &Pressure) -> Pace {
    let at = |(name, chunks_in_flight_max): (&'static str, i64), reason: String| Pace { name, chunks_in_flight_max, reason };
    let seconds = |milliseconds: f64| milliseconds / 1000.0;
    if pressure.live_p95_ms > LIVE_P95_MS_MAX {
        return at(
            STOPPED,
            format!("callers wait {:.1} s for an answer (95 of 100 less), more than {:.1} s", seconds(pressure.live_p95_ms), seconds(LIVE_P95_MS_MAX)),
        );
    }
    if pressure.bulk_age_ms > BULK_AGE_MS_MAX {
        return at(STOPPED, format!("webhooks lie {:.0} s in their queues, more than {:.0} s", seconds(pressure.bulk_age_ms), seconds(BULK_AGE_MS_MAX)));
    }
    if pressure.lock_waiters > LOCK_WAITERS_MAX {
        return at(STOPPED, format!("{} sessions of Postgres wait for locks, more than {LOCK_WAITERS_MAX}", pressure.lock_waiters));
    }
    if pressure.live > 0 {
        return at(GENTLY, "callers are on the line: one chunk at a time".to_owned());
    }
    if pressure.bulk_age_ms > BULK_AGE_MS_GENTLY {
        return at(GENTLY, format!("webhooks lie longer than {:.0} s in their queues: one chunk at a time", seconds(BULK_AGE_MS_GENTLY)));
    }
    at(FULL, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_come_first_then_webhooks_then_locks() {
        let calm = Pressure::default();
        let table = [
            (calm, "full", ""),
            (Pressure { live: 3, live_p95_ms: 40.0, ..calm }, "gently", "callers are on the line"),
            (Pressure { live: 3, live_p95_ms: 900.0, ..calm }, "stopped", "callers wait 0.9 s"),
            (Pressure { bulk_age_ms: 20_000.0, ..calm }, "gently", "webhooks lie longer than 15 s"),
            (Pressure { bulk_age_ms: 90_000.0, ..calm }, "stopped", "webhooks lie 90 s"),
            (Pressure { live: 1, lock_waiters: 9, ..calm }, "stopped", "9 sessions"),
        ];
        for (pressure, name, reason) in table {
            let pace = of(&pressure);
            assert_eq!(pace.name, name, "{pressure:?}");
            assert!(pace.reason.starts_with(reason) && pace.reason.is_empty() == reason.is_empty(), "{}", pace.reason);
            assert!(NAMES.contains(&pace.name));
        }
    }
}
