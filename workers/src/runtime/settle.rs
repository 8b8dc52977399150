//! What becomes of a message: a pure function of how its handling ended, of its attempt and its age.
//!
//! It does nothing (that is `finish`). Parse errors, panics and timeouts are cases of it like any failure.

use std::time::Duration;

use shared::broker::{DecodeError, Scale, Tier};
use shared::protection::Protection;

use super::handler::{Failure, reason};

/// How one handling ended without success.
#[derive(Debug)]
pub enum Ended {
    Failed(Failure),
    /// The handler panicked; its transaction is rolled back.
    Panicked,
    /// The handler took longer than its lane allows; its transaction is rolled back.
    TimedOut,
}

impl Ended {
    /// The class for attempts, metrics and logs.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.class(),
            Self::Panicked => "panic",
            Self::TimedOut => "timeout",
        }
    }

    /// A human must decide: no repeat, here or in another lane, can help.
    #[must_use]
    pub const fn is_for_a_human(&self) -> bool {
        matches!(self, Self::Failed(Failure::Park { .. }))
    }
}

/// What is done with the delivery. Success has no settlement: it is acked after its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Publish a copy with this attempt number into the tier, await the confirm, ack.
    Delay { tier: Tier, attempt: u32 },
    /// Write a dead letter, ack.
    Park { reason: &'static str, detail: String },
}

/// The bounds of repeating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures that count, the last one included: eight reach over 47 minutes, an outage of the usual length.
    pub attempts_max: u32,
    /// How old a message may become while it waits for something that is no fault of its own (a newer schema: one rolling deployment).
    pub wait_max: Duration,
    /// Younger than this it waits in the shortest tier, then in the next.
    pub wait_short: Duration,
}

/// The tier after the n-th failed attempt.
const TIERS: [Tier; 7] =
    [Tier::FiveSeconds, Tier::FiveSeconds, Tier::OneMinute, Tier::OneMinute, Tier::FifteenMinutes, Tier::FifteenMinutes, Tier::FifteenMinutes];

impl Policy {
    /// The policy at the scale of the broker's tiers.
    #[must_use]
    pub fn scaled(scale: Scale) -> Self {
        let attempts_max = if Protection::Attempts.is_off() { u32::MAX } else { 8 };
        Self { attempts_max, wait_max: scale.apply(Duration::from_secs(3600)), wait_short: scale.apply(Duration::from_secs(60)) }
    }

    fn wait(&self, age: Duration, attempt: u32) -> Option<Settlement> {
        let tier = if age < self.wait_short { Tier::FiveSeconds } else { Tier::OneMinute };
        (age <= self.wait_max).then_some(Settlement::Delay { tier, attempt })
    }
}

/// Decides about a message whose handling ended without success. `age` counts from its reception by ingress.
#[must_use]
pub fn settle(ended: &Ended, attempt: u32, age: Duration, policy: &Policy) -> Settlement {
    match ended {
        Ended::Failed(Failure::Park { reason, detail }) => Settlement::Park { reason, detail: detail.clone() },
        Ended::Failed(Failure::Wait { class, .. }) => {
            policy.wait(age, attempt).unwrap_or_else(|| Settlement::Park { reason: reason::WAITED_TOO_LONG, detail: (*class).to_owned() })
        }
        // never a dead letter for what the database does to us (faults D5)
        Ended::Failed(Failure::Contention { .. } | Failure::StoreAway { .. } | Failure::StoreSlow { .. }) => {
            Settlement::Delay { tier: Tier::FiveSeconds, attempt }
        }
        Ended::Failed(Failure::Retry { .. }) | Ended::Panicked | Ended::TimedOut => {
            let tier = usize::try_from(attempt).ok().and_then(|attempt| TIERS.get(attempt.saturating_sub(1)).or(TIERS.last()));
            match tier.filter(|_| attempt < policy.attempts_max) {
                Some(tier) => Settlement::Delay { tier: *tier, attempt: attempt + 1 },
                None => Settlement::Park { reason: reason::ATTEMPTS_EXHAUSTED, detail: ended.class().to_owned() },
            }
        }
    }
}

/// Decides about a message that cannot be read. Without a reception time a newer schema cannot be waited for.
#[must_use]
pub fn settle_unreadable(error: &DecodeError, attempt: u32, age: Option<Duration>, policy: &Policy) -> Settlement {
    match error {
        DecodeError::NewerSchema(version) => age
            .and_then(|age| policy.wait(age, attempt))
            .unwrap_or_else(|| Settlement::Park { reason: reason::NEWER_SCHEMA, detail: format!("version {version}") }),
        DecodeError::UnknownKind(_) => Settlement::Park { reason: reason::UNKNOWN_KIND, detail: String::new() },
        DecodeError::BadProperty(name) => Settlement::Park { reason: reason::POISON, detail: format!("property {name}") },
        DecodeError::BadBody(_) => Settlement::Park { reason: reason::POISON, detail: "body does not decompress".to_owned() },
        DecodeError::BodyTooLarge => Settlement::Park { reason: reason::POISON, detail: "body too large".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn delay(tier: Tier, attempt: u32) -> Settlement {
        Settlement::Delay { tier, attempt }
    }

    fn park(reason: &'static str, detail: &str) -> Settlement {
        Settlement::Park { reason, detail: detail.to_owned() }
    }

    fn cause() -> super::super::handler::Cause {
        "x".into()
    }

    #[test]
    fn every_ending_has_its_settlement() {
        use Tier::{FifteenMinutes, FiveSeconds, OneMinute};
        let retry = || Ended::Failed(Failure::retry("calcom_down"));
        let wait = || Ended::Failed(Failure::Wait { class: "not_yet", cause: None });
        let table = [
            (retry(), 1, SECOND, delay(FiveSeconds, 2)),
            (retry(), 2, SECOND, delay(FiveSeconds, 3)),
            (retry(), 3, SECOND, delay(OneMinute, 4)),
            (retry(), 4, HOUR, delay(OneMinute, 5)),
            (retry(), 5, HOUR, delay(FifteenMinutes, 6)),
            (retry(), 7, HOUR, delay(FifteenMinutes, 8)),
            (retry(), 8, SECOND, park(reason::ATTEMPTS_EXHAUSTED, "calcom_down")),
            (retry(), u32::MAX, SECOND, park(reason::ATTEMPTS_EXHAUSTED, "calcom_down")),
            (Ended::Panicked, 1, SECOND, delay(FiveSeconds, 2)),
            (Ended::Panicked, 8, SECOND, park(reason::ATTEMPTS_EXHAUSTED, "panic")),
            (Ended::TimedOut, 8, SECOND, park(reason::ATTEMPTS_EXHAUSTED, "timeout")),
            (wait(), 1, SECOND, delay(FiveSeconds, 1)),
            (wait(), 8, 2 * MINUTE, delay(OneMinute, 8)),
            (wait(), 1, HOUR + SECOND, park(reason::WAITED_TOO_LONG, "not_yet")),
            (Ended::Failed(Failure::Contention { cause: cause() }), 8, 9 * HOUR, delay(FiveSeconds, 8)),
            (Ended::Failed(Failure::StoreAway { cause: cause() }), 8, 9 * HOUR, delay(FiveSeconds, 8)),
            (Ended::Failed(Failure::StoreSlow { cause: cause() }), 8, 9 * HOUR, delay(FiveSeconds, 8)),
            (Ended::Failed(Failure::park(reason::UNKNOWN_NUMBER, "")), 1, SECOND, park(reason::UNKNOWN_NUMBER, "")),
        ];
        let policy = Policy::scaled(Scale::REAL);
        for (ended, attempt, age, expected) in table {
            assert_eq!(settle(&ended, attempt, age, &policy), expected, "{ended:?} at attempt {attempt}, age {age:?}");
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_parked_with_its_reason_and_a_newer_schema_waits_for_an_hour() {
        let policy = Policy::scaled(Scale::REAL);
        let newer = DecodeError::NewerSchema(2);
        assert_eq!(settle_unreadable(&newer, 3, Some(SECOND), &policy), delay(Tier::FiveSeconds, 3));
        assert_eq!(settle_unreadable(&newer, 3, Some(HOUR), &policy), delay(Tier::OneMinute, 3));
        assert_eq!(settle_unreadable(&newer, 3, Some(2 * HOUR), &policy), park(reason::NEWER_SCHEMA, "version 2"));
        assert_eq!(settle_unreadable(&newer, 3, None, &policy), park(reason::NEWER_SCHEMA, "version 2"));
        assert_eq!(settle_unreadable(&DecodeError::UnknownKind("x.y".into()), 1, None, &policy), park(reason::UNKNOWN_KIND, ""));
        assert_eq!(settle_unreadable(&DecodeError::BadProperty("type"), 1, None, &policy), park(reason::POISON, "property type"));
        assert_eq!(settle_unreadable(&DecodeError::BodyTooLarge, 1, None, &policy), park(reason::POISON, "body too large"));
    }

    #[test]
    fn every_reason_is_in_the_closed_list_once() {
        let mut reasons = reason::ALL.to_vec();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), reason::ALL.len());
        for used in [reason::POISON, reason::ATTEMPTS_EXHAUSTED, reason::WAITED_TOO_LONG, reason::NEWER_SCHEMA] {
            assert!(reason::ALL.contains(&used));
        }
    }
}
