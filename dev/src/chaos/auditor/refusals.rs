//! What ingress did not take, and why (part of I1): a valid event may go without an answer only while its ingress is down, frozen or cut off, hear 503 only while
//! neither broker nor disk takes anything (or its ingress is just starting), and 429 only while something makes requests pile up. Each is matched with the faults
//! of the plan by ingress and by time; anything else is a violation. Called by `no_loss`; `words` by the report.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::super::record::{Excuse, Record, Refusal, Why};
use super::findings::Findings;

/// What a fault leaves behind: connections that break only now, a disk that is looked at again, a broker that is found again.
const AFTERMATH: TimeDelta = TimeDelta::seconds(2);
/// The strike is noted a moment after it began.
const BEFORE: TimeDelta = TimeDelta::milliseconds(50);
/// So many are told one by one.
const TOLD_MAX: usize = 5;

impl Why {
    const fn explains(self, status: u16) -> bool {
        match status {
            0 => matches!(self, Self::Down | Self::Paused | Self::Link),
            503 => matches!(self, Self::Down | Self::FullDisk),
            429 => !matches!(self, Self::Down | Self::Unheard),
            _ => false,
        }
    }
}

fn explains(excuse: &Excuse, refusal: &Refusal) -> bool {
    let there = excuse.backend.is_none() || refusal.backend.is_none() || excuse.backend == refusal.backend;
    let then = excuse.from - BEFORE <= refusal.until && refusal.from <= excuse.until + AFTERMATH;
    there && then && excuse.why.explains(refusal.status)
}

fn unexplained(record: &Record) -> impl Iterator<Item = &Refusal> {
    record.refused.iter().filter(|refusal| !record.excuses.iter().any(|excuse| explains(excuse, refusal)))
}

pub fn judge(record: &Record, findings: &mut Findings) {
    findings.looked_at(record.refused.len());
    let mut times: BTreeMap<u16, Vec<&Refusal>> = BTreeMap::new();
    for refusal in unexplained(record) {
        times.entry(refusal.status).or_default().push(refusal);
    }
    for (status, refusals) in times {
        let first: Vec<String> = refusals
            .iter()
            .take(TOLD_MAX)
            .map(|refusal| {
                let who = refusal.backend.map_or_else(|| "no ingress".to_owned(), |backend| format!("ingress-{backend}"));
                format!("{who} from {} to {}", refusal.from.format("%H:%M:%S%.3f"), refusal.until.format("%H:%M:%S%.3f"))
            })
            .collect();
        let heard = if status == 0 { "were not answered".to_owned() } else { format!("were answered {status}") };
        findings.violated(format!("{} valid events {heard}, and no fault explains it: {}", refusals.len(), first.join(", ")));
    }
}

/// How many of each kind, by what they heard.
pub fn by_status(record: &Record) -> BTreeMap<u16, u64> {
    let mut times = BTreeMap::new();
    for refusal in &record.refused {
        *times.entry(refusal.status).or_default() += 1;
    }
    times
}

/// How many no fault explains.
pub fn unexplained_times(record: &Record) -> u64 {
    unexplained(record).count() as u64
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64) -> DateTime<chrono::Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn excused(why: Why, backend: Option<usize>, status: u16, of: usize, from: i64, until: i64) -> bool {
        let excuse = Excuse { why, backend, from: at(100), until: at(110) };
        explains(&excuse, &Refusal { backend: Some(of), status, from: at(from), until: at(until) })
    }

    #[test]
    fn a_refusal_is_explained_by_a_fault_of_its_own_ingress_at_its_own_time_alone() {
        assert!(excused(Why::FullDisk, Some(0), 503, 0, 101, 102));
        assert!(!excused(Why::FullDisk, Some(0), 503, 1, 101, 102), "the other ingress has a disk of its own");
        assert!(!excused(Why::FullDisk, Some(0), 503, 0, 90, 99) && !excused(Why::FullDisk, Some(0), 503, 0, 113, 114));
        assert!(excused(Why::Down, Some(1), 0, 1, 90, 101), "it was under way when its ingress was killed");
        assert!(excused(Why::Link, None, 0, 1, 111, 112), "connections break when the weather clears");
    }

    #[test]
    fn each_answer_has_faults_of_its_own() {
        let explained_by = |status| {
            let all = [Why::Down, Why::Paused, Why::Link, Why::FullDisk, Why::Jam, Why::Unheard];
            all.into_iter().filter(|why| why.explains(status)).collect::<Vec<_>>()
        };
        assert_eq!(explained_by(0), [Why::Down, Why::Paused, Why::Link]);
        assert_eq!(explained_by(503), [Why::Down, Why::FullDisk]);
        assert_eq!(explained_by(429), [Why::Paused, Why::Link, Why::FullDisk, Why::Jam]);
        assert!(explained_by(401).is_empty() && explained_by(500).is_empty() && explained_by(404).is_empty());
    }
}
