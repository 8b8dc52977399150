//! After a 429 the credential rests for the announced seconds, everywhere within one second (architecture section 8, 6; fault C4). Two looks: in our database no token
//! is taken while a block holds, without any tolerance; at Cal.com every single request inside a block is judged.
//!
//! Part of I8. Only a block that reached us can be obeyed: an answer that a fault swallowed on its way was told to nobody. Whether a fault of the plan was under way then, the
//! campaign knows; a block that our database does not know of without one is a violation, and so is each request in a block.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::record::{Record, Why};
use super::evidence::Evidence;
use super::findings::Findings;
use crate::calcom_stand_in::{FaultKind, RequestEntry};

/// From the moment at which our database knows of it.
const KNOWN_EVERYWHERE: TimeDelta = TimeDelta::seconds(1);
/// A 429 travels so long at most (a proxy may make it slow) and is recorded; later than that it belongs to another block.
const HEARD_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// Postgres counts microseconds.
const ROUNDING: TimeDelta = TimeDelta::milliseconds(1);
/// Requests that had their token before and were held up on their way to Cal.com by a fault of the plan: the in-flight cap of a credential, once per block.
const UNDER_WAY_MAX: usize = 4;
/// A fault is noted a moment after it began, and what it held up arrives a moment after it ended.
const AFTERMATH: TimeDelta = TimeDelta::seconds(1);

/// A rest that Cal.com ordered.
struct Block<'a> {
    key: &'a str,
    announced_at: DateTime<Utc>,
    /// Nothing: nobody heard it.
    known_at: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
}

/// How the blocks were kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Obeyed {
    pub announced: usize,
    pub heard: usize,
    /// Of those that were heard, all together.
    pub seconds: i64,
    pub under_way: usize,
    /// Announced when no fault was under way, and our database never knew: whose and when.
    pub ignored: Vec<(String, DateTime<Utc>)>,
    /// Requests beyond the second, in the order of their blocks: key, how many, and how many of them a fault may have held up.
    pub late: Vec<(String, usize, usize)>,
}

impl Obeyed {
    pub fn later(&self) -> usize {
        self.late.iter().map(|(_, requests, _)| requests).sum()
    }

    /// Blocks that nobody heard of because of a fault.
    pub fn swallowed(&self) -> usize {
        self.announced - self.heard - self.ignored.len()
    }
}

pub fn judge(record: &Record, evidence: &Evidence, findings: &mut Findings) {
    let obeyed = measure(record, evidence);
    for row in evidence.blocks.iter().filter(|row| row.disobeyed) {
        findings.violated(format!("a token of {} was taken at {} while it had to rest until {}", key_of(evidence, row.credential_id), row.at, row.until));
    }
    findings.looked_at(obeyed.announced);
    for (key, at) in &obeyed.ignored {
        findings.violated(format!("{key} was told at {at} to rest, no fault was under way, and our database never knew of it"));
    }
    for (key, requests, held_up) in &obeyed.late {
        findings.expect(requests == held_up && *held_up <= UNDER_WAY_MAX, || {
            format!("{key} had to rest and made {requests} requests meanwhile, later than a second after we knew; a fault may have held up {held_up}")
        });
    }
}

/// Whether an answer of Cal.com may have been lost, or a request been held up, within that time.
fn is_excused(record: &Record, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
    let unheard = record.excuses.iter().filter(|excuse| excuse.why == Why::Unheard);
    unheard.into_iter().any(|excuse| excuse.from - AFTERMATH <= until && from <= excuse.until + AFTERMATH)
}

fn key_of(evidence: &Evidence, credential: uuid::Uuid) -> &str {
    evidence.key_of(credential).unwrap_or("an unknown key")
}

/// Looks at every request inside every block.
pub fn measure(record: &Record, evidence: &Evidence) -> Obeyed {
    let mut by_key: HashMap<&str, Vec<&RequestEntry>> = HashMap::new();
    for request in &evidence.requests {
        by_key.entry(request.key_name.as_deref().unwrap_or("no key")).or_default().push(request);
    }
    let mut obeyed = Obeyed::default();
    for (key, mut requests) in by_key {
        requests.sort_by_key(|request| request.at);
        for block in blocks(evidence, key, &requests) {
            obeyed.announced += 1;
            let Some(known_at) = block.known_at else {
                // its answer was under way for a while
                if !is_excused(record, block.announced_at, block.announced_at + KNOWN_EVERYWHERE) {
                    obeyed.ignored.push((key.to_owned(), block.announced_at));
                }
                continue;
            };
            obeyed.heard += 1;
            obeyed.seconds += (block.until - block.announced_at).num_seconds();
            let inside: Vec<_> = requests.iter().filter(|request| block.announced_at < request.at && request.at < block.until).collect();
            let late: Vec<_> = inside.iter().filter(|request| request.at > known_at + KNOWN_EVERYWHERE).collect();
            obeyed.under_way += inside.len() - late.len();
            if !late.is_empty() {
                let held_up = late.iter().filter(|request| is_excused(record, block.announced_at, request.at)).count();
                obeyed.late.push((block.key.to_owned(), late.len(), held_up));
            }
        }
    }
    obeyed
}

/// The blocks of one key. A 429 for what was under way when a block began announces nothing new.
fn blocks<'a>(evidence: &Evidence, key: &'a str, requests: &[&RequestEntry]) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    for request in requests {
        let Some(FaultKind::Throttle429 { reset_seconds }) = request.fault else { continue };
        if blocks.last().is_some_and(|block| request.at < block.until && block.known_at.is_some_and(|known| request.at <= known + KNOWN_EVERYWHERE)) {
            continue;
        }
        let known = evidence.blocks.iter().filter(|row| !row.disobeyed && evidence.key_of(row.credential_id) == Some(key));
        let known_at = known.map(|row| row.at).find(|at| (request.at - ROUNDING..request.at + HEARD_WITHIN).contains(at));
        blocks.push(Block { key, announced_at: request.at, known_at, until: request.at + TimeDelta::seconds(reset_seconds) });
    }
    blocks
}
