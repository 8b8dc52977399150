//! After a 429 the credential rests for the announced seconds, everywhere within one second (architecture section 8, 6; fault C4). Two looks: in our database no token
//! is taken while a block holds, without any tolerance; at Cal.com every single request inside a block is judged.
//!
//! Part of I8. Only a block that reached us can be obeyed: an answer that a fault swallowed on its way was told to nobody, which the auditor's own trigger knows.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::Evidence;
use super::findings::Findings;
use crate::calcom_stand_in::{FaultKind, RequestEntry};

/// From the moment at which our database knows of it.
const KNOWN_EVERYWHERE: TimeDelta = TimeDelta::seconds(1);
/// A 429 travels so long at most (a proxy may make it slow) and is recorded; later than that it belongs to another block.
const HEARD_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// Postgres counts microseconds.
const ROUNDING: TimeDelta = TimeDelta::milliseconds(1);
/// Requests that had their token before and were held up on their way to Cal.com (a paused process, a slow link): the in-flight cap of a credential, once per block.
const UNDER_WAY_MAX: usize = 4;
/// Over all blocks they are rare. So many are an accident, and beyond them one in ten blocks may have one.
const LATE_FREE: usize = 4;
const LATE_ONE_IN: usize = 10;
/// With fewer announced blocks, that none was heard proves nothing.
const ANNOUNCED_MIN: usize = 4;

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
    /// Requests beyond the second, in the order of their blocks: key and how many.
    pub late: Vec<(String, usize)>,
}

impl Obeyed {
    pub fn later(&self) -> usize {
        self.late.iter().map(|(_, requests)| requests).sum()
    }
}

pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let obeyed = measure(evidence);
    for row in evidence.blocks.iter().filter(|row| row.disobeyed) {
        findings.violated(format!("a token of {} was taken at {} while it had to rest until {}", key_of(evidence, row.credential_id), row.at, row.until));
    }
    for (key, requests) in &obeyed.late {
        findings.expect(*requests <= UNDER_WAY_MAX, || format!("{key} had to rest and made {requests} requests meanwhile, later than a second after we knew"));
    }
    let allowed = LATE_FREE + obeyed.heard / LATE_ONE_IN;
    findings.expect(obeyed.later() <= allowed, || {
        format!("{} requests fell into {} blocks later than a second after we knew of them, {allowed} may", obeyed.later(), obeyed.heard)
    });
    findings.expect(obeyed.announced < ANNOUNCED_MIN || 2 * obeyed.heard >= obeyed.announced, || {
        format!("{} blocks were announced, and our database knew of {}", obeyed.announced, obeyed.heard)
    });
}

fn key_of(evidence: &Evidence, credential: uuid::Uuid) -> &str {
    evidence.key_of(credential).unwrap_or("an unknown key")
}

/// Looks at every request inside every block.
pub fn measure(evidence: &Evidence) -> Obeyed {
    let mut by_key: HashMap<&str, Vec<&RequestEntry>> = HashMap::new();
    for request in &evidence.requests {
        by_key.entry(request.key_name.as_deref().unwrap_or("no key")).or_default().push(request);
    }
    let mut obeyed = Obeyed::default();
    for (key, mut requests) in by_key {
        requests.sort_by_key(|request| request.at);
        for block in blocks(evidence, key, &requests) {
            obeyed.announced += 1;
            let Some(known_at) = block.known_at else { continue };
            obeyed.heard += 1;
            obeyed.seconds += (block.until - block.announced_at).num_seconds();
            let inside = requests.iter().filter(|request| block.announced_at < request.at && request.at < block.until);
            let (all, late) = inside.fold((0, 0), |(all, late), request| (all + 1, late + usize::from(request.at > known_at + KNOWN_EVERYWHERE)));
            obeyed.under_way += all - late;
            if late > 0 {
                obeyed.late.push((block.key.to_owned(), late));
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
