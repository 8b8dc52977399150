//! Whether an appointment may still be cancelled or moved, and for which fee (domain reference 4.1). A denial says all numbers that a person needs to decide otherwise.

use chrono::{DateTime, Duration, Utc};

use super::{Rules, fee_minor};

/// What is to be done to the appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Cancellation,
    Reschedule,
}

impl Change {
    /// The `policy_type` of its rows.
    #[must_use]
    pub const fn policy_type(self) -> &'static str {
        match self {
            Self::Cancellation => "cancellation",
            Self::Reschedule => "reschedule",
        }
    }
}

/// What the rules are applied to. Counted now, in the transaction that decides (incident 76).
#[derive(Clone, Copy, Debug)]
pub struct ChangeFacts {
    pub change: Change,
    pub now: DateTime<Utc>,
    /// The appointment's start, before the change.
    pub starts_at: DateTime<Utc>,
    /// Of the service, if it has one.
    pub price_minor: Option<i64>,
    /// Changes of this kind by this customer in the 30 days before now.
    pub in_the_last_30_days: u32,
    /// How often this appointment has been moved.
    pub reschedules_of_appointment: u32,
}

/// May the change be made?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed(Allowed),
    Denied(Denial),
}

/// The change is within the policy; modification rows carry both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub fee_minor: i64,
    /// Whole hours until the start, rounded down.
    pub hours_notice: i64,
}

/// The change is not allowed. The caller hears the reason; the row of the violation carries the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: DenialReason,
    /// Whole hours until the start, rounded down; negative once it has begun.
    pub hours_notice: i64,
    pub required_hours: Option<u32>,
    /// What it would cost if a person of the company made the change all the same.
    pub fee_if_forced_minor: i64,
    pub quota_used: Option<u32>,
    pub quota_max: Option<u32>,
}

/// Why not. Words as the agent reads them (domain reference 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The appointment has begun: nobody changes the past, policy or not.
    AlreadyStarted,
    DeadlineMissed,
    /// The customer's changes of this kind in 30 days.
    QuotaExceeded,
    /// This appointment was moved too often.
    MaxReschedulesReached,
}

impl DenialReason {
    pub const ALL: [Self; 4] = [Self::AlreadyStarted, Self::DeadlineMissed, Self::QuotaExceeded, Self::MaxReschedulesReached];

    #[must_use]
    pub const fn literal(self) -> &'static str {
        match self {
            Self::AlreadyStarted => "already_started",
            Self::DeadlineMissed => "deadline_missed",
            Self::QuotaExceeded => "quota_exceeded",
            Self::MaxReschedulesReached => "max_reschedules_reached",
        }
    }
}

/// Applies the rules that [`super::resolve`] found; `None` = no policy: allowed, free.
#[must_use]
pub fn decide(rules: Option<&Rules>, facts: &ChangeFacts) -> Decision {
    let notice = facts.starts_at - facts.now;
    let fee = fee_minor(rules, notice, facts.price_minor);
    let hours_notice = notice.num_seconds().div_euclid(3_600);
    let required_hours = rules.and_then(|rules| rules.hours_before);
    let denied = |reason, quota: Option<(u32, u32)>| {
        let (quota_used, quota_max) = quota.unzip();
        Decision::Denied(Denial { reason, hours_notice, required_hours, fee_if_forced_minor: fee, quota_used, quota_max })
    };
    if notice <= Duration::zero() {
        return denied(DenialReason::AlreadyStarted, None);
    }
    if required_hours.is_some_and(|hours| notice < Duration::hours(i64::from(hours))) {
        return denied(DenialReason::DeadlineMissed, None);
    }
    let (per_month, per_appointment) = match facts.change {
        Change::Cancellation => (rules.and_then(|rules| rules.max_cancellations_per_month), None),
        Change::Reschedule => (rules.and_then(|rules| rules.max_reschedules_per_month), rules.and_then(|rules| rules.max_reschedules_per_appointment)),
    };
    if let Some(max) = per_appointment.filter(|max| facts.reschedules_of_appointment >= *max) {
        return denied(DenialReason::MaxReschedulesReached, Some((facts.reschedules_of_appointment, max)));
    }
    if let Some(max) = per_month.filter(|max| facts.in_the_last_30_days >= *max) {
        return denied(DenialReason::QuotaExceeded, Some((facts.in_the_last_30_days, max)));
    }
    Decision::Allowed(Allowed { fee_minor: fee, hours_notice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(change: Change, notice: Duration) -> ChangeFacts {
        let now: DateTime<Utc> = "2026-11-20T09:00:00Z".parse().unwrap();
        ChangeFacts { change, now, starts_at: now + notice, price_minor: Some(3_200), in_the_last_30_days: 0, reschedules_of_appointment: 0 }
    }

    fn denial(decision: Decision) -> Denial {
        match decision {
            Decision::Denied(denial) => denial,
            Decision::Allowed(allowed) => panic!("{allowed:?}"),
        }
    }

    #[test]
    fn without_a_policy_every_change_of_the_future_is_allowed_and_free() {
        for change in [Change::Cancellation, Change::Reschedule] {
            for (seconds, hours_notice) in [(1, 0), (3_600, 1), (7_199, 1), (90_000, 25)] {
                let busy = ChangeFacts { in_the_last_30_days: 99, reschedules_of_appointment: 99, ..facts(change, Duration::seconds(seconds)) };
                assert_eq!(decide(None, &busy), Decision::Allowed(Allowed { fee_minor: 0, hours_notice }));
            }
            let past = denial(decide(None, &facts(change, Duration::zero())));
            assert_eq!((past.reason, past.hours_notice, past.required_hours), (DenialReason::AlreadyStarted, 0, None));
            assert_eq!(denial(decide(None, &facts(change, Duration::minutes(-90)))).hours_notice, -2);
        }
    }

    #[test]
    fn the_deadline_is_exact_to_the_second() {
        let rules = Rules { hours_before: Some(24), ..Rules::default() };
        for change in [Change::Cancellation, Change::Reschedule] {
            assert_eq!(decide(Some(&rules), &facts(change, Duration::hours(24))), Decision::Allowed(Allowed { fee_minor: 1_000, hours_notice: 24 }));
            let late = decide(Some(&rules), &facts(change, Duration::hours(24) - Duration::seconds(1)));
            let expected = Denial {
                reason: DenialReason::DeadlineMissed,
                hours_notice: 23,
                required_hours: Some(24),
                fee_if_forced_minor: 1_500,
                quota_used: None,
                quota_max: None,
            };
            assert_eq!(late, Decision::Denied(expected));
        }
    }

    #[test]
    fn quotas_count_the_change_that_is_wished() {
        let rules =
            Rules { max_cancellations_per_month: Some(2), max_reschedules_per_month: Some(3), max_reschedules_per_appointment: Some(1), ..Rules::default() };
        let after = |change, month, appointment| {
            decide(Some(&rules), &ChangeFacts { in_the_last_30_days: month, reschedules_of_appointment: appointment, ..facts(change, Duration::hours(72)) })
        };
        let allowed = Decision::Allowed(Allowed { fee_minor: 0, hours_notice: 72 });
        for (change, month, appointment, expected) in [
            (Change::Cancellation, 0, 0, None),
            (Change::Cancellation, 1, 9, None),
            (Change::Cancellation, 2, 0, Some((DenialReason::QuotaExceeded, 2, 2))),
            (Change::Cancellation, 3, 0, Some((DenialReason::QuotaExceeded, 3, 2))),
            (Change::Reschedule, 2, 0, None),
            (Change::Reschedule, 3, 0, Some((DenialReason::QuotaExceeded, 3, 3))),
            (Change::Reschedule, 0, 1, Some((DenialReason::MaxReschedulesReached, 1, 1))),
            (Change::Reschedule, 3, 1, Some((DenialReason::MaxReschedulesReached, 1, 1))),
        ] {
            let decision = after(change, month, appointment);
            match expected {
                None => assert_eq!(decision, allowed, "{change:?} {month} {appointment}"),
                Some((reason, used, max)) => {
                    let denial = denial(decision);
                    assert_eq!((denial.reason, denial.quota_used, denial.quota_max), (reason, Some(used), Some(max)), "{change:?} {month} {appointment}");
                    assert_eq!(denial.required_hours, None);
                }
            }
        }
        let never = Rules { max_cancellations_per_month: Some(0), ..Rules::default() };
        assert_eq!(denial(decide(Some(&never), &facts(Change::Cancellation, Duration::hours(72)))).reason, DenialReason::QuotaExceeded);
    }

    /// Incident 63: notice is counted in real hours, also over the night when the clocks change.
    #[test]
    fn notice_is_real_time_when_the_clocks_change() {
        let rules = Rules { hours_before: Some(24), ..Rules::default() };
        // Saturday 12:00 to Sunday 12:00 in Berlin has 25 hours in October and 23 in March
        for (now, starts_at, hours, allowed) in
            [("2026-10-24T10:00:00Z", "2026-10-25T11:00:00Z", 25, true), ("2026-03-28T11:00:00Z", "2026-03-29T10:00:00Z", 23, false)]
        {
            let facts = ChangeFacts { now: now.parse().unwrap(), starts_at: starts_at.parse().unwrap(), ..facts(Change::Cancellation, Duration::zero()) };
            match decide(Some(&rules), &facts) {
                Decision::Allowed(found) => assert_eq!((found.hours_notice, true), (hours, allowed)),
                Decision::Denied(found) => assert_eq!((found.hours_notice, false), (hours, allowed)),
            }
        }
    }

    #[test]
    fn words_are_those_of_the_reference() {
        assert_eq!(DenialReason::ALL.map(DenialReason::literal), ["already_started", "deadline_missed", "quota_exceeded", "max_reschedules_reached"]);
        assert_eq!([Change::Cancellation, Change::Reschedule].map(Change::policy_type), ["cancellation", "reschedule"]);
    }
}
