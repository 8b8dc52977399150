//! A life: what happened to one booking in the order in which it happened (calcom reference 2.2 to 2.12). Seeded: the same number gives the same life. Not how it
//! is told: that is `telling`.

use chrono::{DateTime, Duration, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use shared::domain::booking_chain::Happening;
use uuid::Uuid;

/// The people in Cal.com.
pub const HOSTS: [i64; 2] = [4711, 4712];
/// The events of a history (issue 3, Done 1): the most that a random life is told by, and the least that is heard of it, copies included.
pub const EVENTS: usize = 50;

/// Whose hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Customer,
    Staff,
    /// A caller, through the intent of this step.
    Us,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `pending`: the host must confirm.
    Create {
        by: By,
        pending: bool,
        seated: bool,
    },
    Confirm,
    Reject,
    Move {
        by: By,
        pending: bool,
    },
    AskForAnotherTime,
    Cancel {
        by: By,
        series: bool,
    },
    NoShow,
    NoShowTakenBack,
    /// Only a look tells of it.
    Reassign,
    SeatLeaves,
    /// The host cancels a booking with seats: its event looks like one seat's, a look tells the truth.
    CancelSeated,
    /// Somebody looks: nothing happens.
    Look,
}

impl What {
    /// By how many events it is told: our own changes by echo and answer, a booking with seats that the host cancels by a look beside the event.
    #[must_use]
    pub const fn events(self) -> usize {
        match self {
            Self::Create { by: By::Us, .. } | Self::Move { by: By::Us, .. } | Self::Cancel { by: By::Us, .. } | Self::CancelSeated => 2,
            _ => 1,
        }
    }

    /// Nothing but looks can follow.
    const fn ends(self) -> bool {
        matches!(self, Self::Cancel { .. } | Self::Reject | Self::CancelSeated)
    }
}

/// One step, with what the booking is after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub what: What,
    /// Minutes since the life began; no two steps share one.
    pub minute: i64,
    pub uid: String,
    /// The uid before a move.
    pub from: Option<String>,
    pub starts: i64,
    pub from_starts: i64,
    pub host: i64,
    pub sequence: i32,
    /// When the booking's row last changed other than by being made or moved.
    pub updated: Option<i64>,
    /// What a look sees.
    pub state: Happening,
    pub seated: bool,
}

/// A life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub seed: u64,
    pub steps: Vec<Step>,
}

/// An instant of a life.
///
/// # Panics
/// Never: the beginning is a valid instant.
#[must_use]
pub fn at(minute: i64) -> DateTime<Utc> {
    "2026-07-06T06:00:00Z".parse::<DateTime<Utc>>().expect("an instant") + Duration::minutes(minute)
}

/// The call in which the caller wished for everything of a life.
#[must_use]
pub fn call_id(seed: u64) -> Uuid {
    Uuid::from_u128(u128::from(seed) << 64 | 830)
}

/// The intent of a step.
#[must_use]
pub fn intent_id(seed: u64, step: usize) -> Uuid {
    Uuid::from_u128(u128::from(seed) << 64 | 0x1_0000 | step as u128)
}

impl Life {
    /// A random life that is told by at most `events` events. A quarter of the lives end early, the others mostly when they are full.
    #[must_use]
    pub fn random(seed: u64, events: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let by = if rng.random_bool(0.5) { By::Us } else { By::Customer };
        let seated = by != By::Us && rng.random_bool(0.15);
        let pending = !seated && rng.random_bool(0.4);
        let haste = if rng.random_bool(0.25) { 0.5 } else { 0.02 };
        let mut life = Self::begun(seed, What::Create { by, pending, seated });
        while life.events() < events && !(life.has_ended() && rng.random_bool(0.5)) {
            let left = events - life.events();
            let may_end = left <= 3 || rng.random_bool(haste);
            let choices: Vec<What> = life.choices(by == By::Us).into_iter().filter(|what| what.events() <= left && (may_end || !what.ends())).collect();
            let Some(what) = choices.choose(&mut rng) else { break };
            life.step(*what);
        }
        life
    }

    /// By how many events it is told, each counted once.
    #[must_use]
    pub fn events(&self) -> usize {
        self.steps.iter().map(|step| step.what.events()).sum()
    }

    fn has_ended(&self) -> bool {
        self.steps.iter().any(|step| step.what.ends())
    }

    /// A life of these steps.
    #[must_use]
    pub fn of(seed: u64, steps: &[What]) -> Self {
        let mut life = Self::begun(seed, steps[0]);
        for what in &steps[1..] {
            life.step(*what);
        }
        life
    }

    fn begun(seed: u64, what: What) -> Self {
        let What::Create { pending, seated, .. } = what else { panic!("a life begins with a booking") };
        let first = Step {
            what,
            minute: 1,
            uid: format!("uid-{seed}-0"),
            from: None,
            starts: 10_000,
            from_starts: 0,
            host: HOSTS[0],
            sequence: 0,
            updated: None,
            state: if pending { Happening::Requested } else { Happening::Accepted },
            seated,
        };
        Self { seed, steps: vec![first] }
    }

    /// What may happen next.
    fn choices(&self, ours: bool) -> Vec<What> {
        let last = self.steps.last().expect("a life has a beginning");
        let hands: &[By] = if ours { &[By::Customer, By::Staff, By::Us] } else { &[By::Customer, By::Staff] };
        if last.seated {
            return match last.state {
                Happening::Accepted => vec![What::SeatLeaves, What::SeatLeaves, What::NoShow, What::NoShowTakenBack, What::Look, What::CancelSeated],
                _ => vec![What::Look],
            };
        }
        let moves = hands.iter().flat_map(|by| [What::Move { by: *by, pending: false }, What::Move { by: *by, pending: true }]);
        let cancels = hands.iter().map(|by| What::Cancel { by: *by, series: *by == By::Customer });
        match last.state {
            Happening::Requested => {
                vec![What::Confirm, What::Confirm, What::Reject, What::Move { by: By::Customer, pending: true }, What::Reassign, What::Look]
                    .into_iter()
                    .chain(cancels)
                    .collect()
            }
            Happening::Accepted => [What::AskForAnotherTime, What::NoShow, What::NoShowTakenBack, What::Reassign, What::Look]
                .into_iter()
                .chain(moves.clone())
                .chain(moves)
                .chain(cancels)
                .collect(),
            Happening::RescheduleRequested => vec![
                What::Move { by: By::Customer, pending: false },
                What::Move { by: By::Customer, pending: true },
                What::Cancel { by: By::Staff, series: false },
                What::Cancel { by: By::Customer, series: false },
                What::Look,
            ],
            _ => vec![What::Look],
        }
    }

    fn step(&mut self, what: What) {
        let last = self.steps.last().expect("a life has a beginning").clone();
        let n = i64::try_from(self.steps.len()).expect("few steps");
        let mut next = Step { what, minute: last.minute + 10, from: None, ..last.clone() };
        match what {
            What::Create { .. } => panic!("a life begins once"),
            What::Move { pending, .. } => {
                next.uid = format!("uid-{}-{n}", self.seed);
                next.from = Some(last.uid);
                next.from_starts = last.starts;
                next.starts = 10_000 + n * 60;
                next.sequence = last.sequence + 1;
                next.updated = None;
                next.state = if pending { Happening::Requested } else { Happening::Accepted };
            }
            What::Confirm => next.state = Happening::Accepted,
            What::Reject => next.state = Happening::Rejected,
            What::AskForAnotherTime => next.state = Happening::RescheduleRequested,
            What::Cancel { .. } | What::CancelSeated => next.state = Happening::Cancelled,
            What::Reassign => next.host = if last.host == HOSTS[0] { HOSTS[1] } else { HOSTS[0] },
            What::NoShow | What::NoShowTakenBack | What::SeatLeaves | What::Look => {}
        }
        if !matches!(what, What::Move { .. } | What::Look) {
            next.updated = Some(next.minute);
        }
        self.steps.push(next);
    }
}
