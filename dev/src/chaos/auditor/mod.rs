//! The auditor: judges, when a campaign has come to rest, whether the product kept its promises (faults.md section 5, I1 to I11). It reads only what anybody could
//! read: the stand-ins' ledgers, Postgres as superuser, the broker's depths, spool folders, metrics and logs. It shares no code with what it judges and
//! never asks the product how it did.
//!
//! One file per invariant; `evidence` gathers, `lives` is the independent model of what the ledger says, `witness` the auditor's own triggers. `wishes`, `calls`,
//! `obedience` and `spools` are looks that serve one invariant or two. Called by the campaign, which prints the result.

mod audit_columns;
mod bounds;
mod breaks;
mod calls;
mod convergence;
mod evidence;
mod fairness;
mod findings;
mod fulfilled;
mod liveness;
mod lives;
mod needles;
mod no_double;
mod no_loss;
mod no_orphan;
mod obedience;
mod overlap;
mod privacy;
mod refusals;
mod rows;
mod spools;
mod tenancy;
mod wishes;
mod witness;

use std::time::Duration;

use super::record::{Audit, InvariantResult, Record};
pub use breaks::{expected, leaves_messages, needs, signs};
pub use calls::calls_now;
use evidence::Evidence;
use findings::{Findings, Judged};
pub use refusals::{by_status, unexplained_times};
pub use witness::WITNESS;

/// What must hold, whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    NoLoss,
    NoDoubleEffect,
    NoOrphan,
    AuditComplete,
    Convergence,
    NoOverlap,
    Tenancy,
    Bounded,
    Liveness,
    Privacy,
    Fairness,
}

impl Invariant {
    pub const ALL: [Self; 11] = [
        Self::NoLoss,
        Self::NoDoubleEffect,
        Self::NoOrphan,
        Self::AuditComplete,
        Self::Convergence,
        Self::NoOverlap,
        Self::Tenancy,
        Self::Bounded,
        Self::Liveness,
        Self::Privacy,
        Self::Fairness,
    ];

    /// From this length on a campaign must have something to look at. What needs a rare meeting (two callers for one slot, twenty callers while somebody else
    /// rests) is excused in a shorter one.
    #[must_use]
    pub const fn tried_from(self) -> Duration {
        match self {
            Self::NoOverlap => Duration::from_secs(120),
            Self::Fairness => Duration::from_secs(300),
            _ => Duration::ZERO,
        }
    }

    /// As faults.md names it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NoLoss => "I1",
            Self::NoDoubleEffect => "I2",
            Self::NoOrphan => "I3",
            Self::AuditComplete => "I4",
            Self::Convergence => "I5",
            Self::NoOverlap => "I6",
            Self::Tenancy => "I7",
            Self::Bounded => "I8",
            Self::Liveness => "I9",
            Self::Privacy => "I10",
            Self::Fairness => "I11",
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoLoss => "no loss",
            Self::NoDoubleEffect => "no double effect",
            Self::NoOrphan => "no orphan, no ghost",
            Self::AuditComplete => "audit complete",
            Self::Convergence => "convergence",
            Self::NoOverlap => "no overlap of our claims",
            Self::Tenancy => "tenancy",
            Self::Bounded => "bounded",
            Self::Liveness => "liveness",
            Self::Privacy => "privacy",
            Self::Fairness => "fairness",
        }
    }
}

/// Judges a campaign at rest. What cannot be looked at is unseen: not kept, and no proof of anything either.
pub async fn audit(record: &Record) -> Audit {
    let evidence = match Evidence::gather(record).await {
        Ok(evidence) => evidence,
        Err(error) => return unseen(&error),
    };
    let judged: [(Invariant, Judged); 11] = [
        (Invariant::NoLoss, no_loss::judge(record, &evidence).await),
        (Invariant::NoDoubleEffect, no_double::judge(record, &evidence).await),
        (Invariant::NoOrphan, Ok(no_orphan::judge(record, &evidence))),
        (Invariant::AuditComplete, audit_columns::judge(record, &evidence).await),
        (Invariant::Convergence, convergence::judge(record, &evidence).await),
        (Invariant::NoOverlap, overlap::judge(record, &evidence).await),
        (Invariant::Tenancy, tenancy::judge(record, &evidence).await),
        (Invariant::Bounded, bounds::judge(record, &evidence).await),
        (Invariant::Liveness, liveness::judge(record, &evidence).await),
        (Invariant::Privacy, privacy::judge(record, &evidence).await),
        (Invariant::Fairness, Ok(fairness::judge(&evidence))),
    ];
    Audit {
        rows: judged.into_iter().map(|(invariant, judged)| row(invariant, judged)).collect(),
        repaired: evidence.rows.modifications.iter().filter(|row| row.source == "reconciled").count() as u64,
        effects: evidence.rows.modifications.len() as u64,
        figures: figures(record, &evidence),
    }
}

/// What no invariant is about, or what stands behind one.
fn figures(record: &Record, evidence: &Evidence) -> Vec<(&'static str, String)> {
    let obeyed = obedience::measure(record, evidence);
    vec![
        ("wishes failed", fulfilled::failed_share(record, evidence).words()),
        ("callers were told at once", wishes::told(record).words()),
        ("doubles", no_double::doubles(evidence)),
        ("contested pairs compared", overlap::pairs(record, evidence).to_string()),
        ("calls compared with Retell's list", record.retell.calls().len().to_string()),
        (
            "blocks of Cal.com heard",
            format!("{} of {} announced ({} swallowed by a fault), {} s in all", obeyed.heard, obeyed.announced, obeyed.swallowed(), obeyed.seconds),
        ),
        ("requests in a block", format!("{} while it became known, {} later", obeyed.under_way, obeyed.later())),
    ]
}

/// Promises that a campaign of that length had to try, and did not: they are not kept, they are not proven.
#[must_use]
pub fn unproven(audit: &Audit, length: Duration) -> Vec<String> {
    let untried = Invariant::ALL.into_iter().filter(|invariant| length >= invariant.tried_from());
    let rows = untried.filter_map(|invariant| audit.rows.iter().find(|row| row.id == invariant.id() && row.checked == 0 && row.unseen.is_none()));
    rows.map(|row| format!("{} {} looked at nothing", row.id, row.name)).collect()
}

fn row(invariant: Invariant, judged: Judged) -> InvariantResult {
    let (findings, unseen) = match judged {
        Ok(findings) => (findings, None),
        Err(error) => (Findings::default(), Some(format!("could not be checked: {error:#}"))),
    };
    InvariantResult { id: invariant.id(), name: invariant.name(), checked: findings.checked, violations: findings.told(), unseen }
}

fn unseen(error: &anyhow::Error) -> Audit {
    Audit {
        rows: Invariant::ALL.into_iter().map(|invariant| row(invariant, Err(anyhow::anyhow!("the evidence could not be gathered: {error:#}")))).collect(),
        repaired: 0,
        effects: 0,
        figures: Vec::new(),
    }
}
