//! I11: a company that Cal.com throttles delays the others by no more than `DELAY_MAX`. Measured at wishes to book with a caller on the line: from the wish to its request.

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::Evidence;
use super::findings::Findings;
use super::rows::IntentRow;
use crate::calcom_stand_in::FaultKind;

/// Done 5 asks for two seconds at the 99th percentile without faults; here processes are killed and paused all the while, which delays everybody alike and is
/// taken off by comparing with the waits outside the windows. What is left is noise of restarts that fall unevenly: five seconds.
const DELAY_MAX: TimeDelta = TimeDelta::seconds(5);
/// With fewer waits than these a percentile is an anecdote.
const WAITS_MIN: usize = 20;
const WAITS_OF_A_WINDOW_MIN: usize = 3;
/// And with fewer windows one restart of a server decides.
const WINDOWS_MIN: usize = 5;
/// Of the waits, so that one slow one decides nothing.
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
    let mut inside: Vec<Vec<TimeDelta>> = windows.iter().map(|_| Vec::new()).collect();
    let mut outside = Vec::new();
    for intent in &evidence.rows.intents {
        let (Some(wait), Some(key)) = (wait(intent), evidence.key_of(intent.credential_id)) else { continue };
        let at_once: Vec<usize> =
            (0..windows.len()).filter(|index| windows[*index].from <= intent.created_at && intent.created_at < windows[*index].until).collect();
        if at_once.is_empty() {
            outside.push(wait);
        } else if at_once.iter().all(|index| windows[*index].key != key) {
            at_once.into_iter().for_each(|index| inside[index].push(wait));
        }
    }
    let compared = inside.iter().map(Vec::len).sum();
    let Some(slow) = of_windows(inside) else { return findings };
    // only what was compared was looked at
    findings.looked_at(compared);
    // somebody rested nearly all the time: then nothing is taken off
    let usual = (outside.len() >= WAITS_MIN).then(|| percentile(&mut outside)).flatten().unwrap_or_default();
    if slow - usual > DELAY_MAX {
        findings.violated(format!(
            "while one company was throttled, callers of the others waited {} ms at the {PERCENTILE}th percentile in most of the times instead of {} ms",
            slow.num_milliseconds(),
            usual.num_milliseconds()
        ));
    }
    findings
}

/// The percentile of each window, and of these the middle one: a server that was killed or frozen in one window, or in two, delays everybody there and says nothing about
/// fairness; a company that holds the others up does so in every window.
fn of_windows(waits: Vec<Vec<TimeDelta>>) -> Option<TimeDelta> {
    let mut each: Vec<TimeDelta> =
        waits.into_iter().filter(|waits| waits.len() >= WAITS_OF_A_WINDOW_MIN).filter_map(|mut waits| percentile(&mut waits)).collect();
    each.sort();
    (each.len() >= WINDOWS_MIN).then(|| each[each.len() / 2])
}

/// From the wish to its request, where that is known: of a create (which waits behind no other wish) that was sent once.
fn wait(intent: &IntentRow) -> Option<TimeDelta> {
    let plain = intent.op == "create" && intent.lane == "live" && intent.sent_count == 1;
    intent.sent_at.filter(|_| plain).map(|sent_at| sent_at - intent.created_at)
}

fn percentile(waits: &mut [TimeDelta]) -> Option<TimeDelta> {
    waits.sort();
    waits.get((waits.len() * PERCENTILE / 100).min(waits.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(waits: &[i64]) -> Vec<TimeDelta> {
        waits.iter().copied().map(TimeDelta::seconds).collect()
    }

    #[test]
    fn few_windows_prove_nothing_and_one_slow_one_decides_nothing() {
        assert_eq!(of_windows(vec![seconds(&[1, 1, 1]); WINDOWS_MIN - 1]), None);
        assert_eq!(of_windows(vec![seconds(&[1, 1]); WINDOWS_MIN]), None, "two waits are no window");
        let mut windows = vec![seconds(&[1, 1, 1, 1]); WINDOWS_MIN];
        windows[0] = seconds(&[60, 60, 60, 60]);
        assert_eq!(of_windows(windows), Some(TimeDelta::seconds(1)));
        assert_eq!(of_windows(vec![seconds(&[1, 9, 9, 9]); WINDOWS_MIN]), Some(TimeDelta::seconds(9)));
    }
}
