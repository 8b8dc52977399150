//! I11: a company that Cal.com throttles delays the others by no more than `DELAY_MAX`. Measured at wishes to book with a caller on the line: from the wish to its request.

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::Evidence;
use super::findings::Findings;
use super::rows::IntentRow;
use crate::calcom_stand_in::FaultKind;

/// Done 5 asks for two seconds at the 99th percentile without faults; here processes are killed and paused all the while, which delays everybody alike and is
/// taken off by comparing with the waits outside the windows. What is left is noise of restarts that fall unevenly: five seconds.
const DELAY_MAX: TimeDelta = TimeDelta::seconds(5);
/// With fewer waits than these on one side a percentile is an anecdote.
const WAITS_MIN: usize = 20;
/// And with fewer windows one restart of a server decides.
const WINDOWS_MIN: usize = 3;
/// Of the waits, so that what falls into one window decides nothing.
const PERCENTILE: usize = 75;

/// A time in which one credential rested because of a 429.
struct Window<'a> {
    key: &'a str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

pub fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let windows: Vec<Window<'_>> = evidence
        .requests
        .iter()
        .filter_map(|request| match request.fault {
            Some(FaultKind::Throttle429 { reset_seconds }) => {
                Some(Window { key: request.key_name.as_deref()?, from: request.at, until: request.at + TimeDelta::seconds(reset_seconds) })
            }
            _ => None,
        })
        .collect();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for intent in &evidence.rows.intents {
        let (Some(wait), Some(key)) = (wait(intent), evidence.key_of(intent.credential_id)) else { continue };
        let during = |window: &&Window<'_>| window.from <= intent.created_at && intent.created_at < window.until;
        let mut at_once = windows.iter().filter(during).peekable();
        if at_once.peek().is_none() {
            outside.push(wait);
        } else if at_once.all(|window| window.key != key) {
            inside.push(wait);
        }
    }
    if windows.len() < WINDOWS_MIN {
        return findings;
    }
    let compared = inside.len();
    let Some(slow) = percentile(&mut inside) else { return findings };
    // only what was compared was looked at
    findings.looked_at(compared);
    // somebody rested nearly all the time: then nothing is taken off
    let usual = percentile(&mut outside).unwrap_or_default();
    if slow - usual > DELAY_MAX {
        findings.violated(format!(
            "while one company was throttled, callers of the others waited {} ms at the {PERCENTILE}th percentile instead of {} ms",
            slow.num_milliseconds(),
            usual.num_milliseconds()
        ));
    }
    findings
}

/// From the wish to its request, where that is known: of a create (which waits behind no other wish) that was sent once.
fn wait(intent: &IntentRow) -> Option<TimeDelta> {
    let plain = intent.op == "create" && intent.lane == "live" && intent.sent_count == 1;
    intent.sent_at.filter(|_| plain).map(|sent_at| sent_at - intent.created_at)
}

fn percentile(waits: &mut [TimeDelta]) -> Option<TimeDelta> {
    waits.sort();
    (waits.len() >= WAITS_MIN).then(|| waits[(waits.len() * PERCENTILE / 100).min(waits.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_waits_prove_nothing_and_one_slow_one_decides_nothing() {
        let mut few = vec![TimeDelta::seconds(1); WAITS_MIN - 1];
        assert_eq!(percentile(&mut few), None);
        let mut waits = vec![TimeDelta::seconds(1); WAITS_MIN - 1];
        waits.push(TimeDelta::seconds(60));
        assert_eq!(percentile(&mut waits), Some(TimeDelta::seconds(1)));
    }
}
