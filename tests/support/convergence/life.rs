//! A life: what happened to one booking in the order in which it happened, and the facts that tell of it (calcom reference 2.2 to 2.10). Seeded: the same
//! number gives the same life.

use chrono::{DateTime, Duration, Utc};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use shared::domain::booking_chain::{Fact, Happening, Predecessor};
use shared::domain::provenance::{Actor, Channel, Provenance};
use uuid::Uuid;

/// The people in Cal.com.
pub const HOSTS: [i64; 2] = [4711, 4712];
/// The most that is told of a life, copies included.
pub const TOLD_MAX: usize = 50;

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

/// One telling of a step.
#[derive(Clone, Debug)]
pub struct Told {
    pub fact: Fact,
    /// As the event has it; of our own wish if it is one of ours.
    pub provenance: Provenance,
    pub token: bool,
    /// It is the answer to our own call, for the intent of this step.
    pub answer_of: Option<usize>,
    pub looked: bool,
    pub one_seat: bool,
    pub series: bool,
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
    /// A random life of at most `steps_max` steps.
    #[must_use]
    pub fn random(seed: u64, steps_max: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let by = if rng.random_bool(0.5) { By::Us } else { By::Customer };
        let seated = by != By::Us && rng.random_bool(0.15);
        let pending = !seated && rng.random_bool(0.4);
        let mut life = Self::begun(seed, What::Create { by, pending, seated });
        let steps = rng.random_range(1..=steps_max);
        while life.steps.len() < steps {
            let choices = life.choices(by == By::Us);
            let Some(what) = choices.choose(&mut rng) else { break };
            life.step(*what);
        }
        life
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
            Happening::Requested => vec![What::Confirm, What::Confirm, What::Reject, What::Move { by: By::Customer, pending: true }, What::Look]
                .into_iter()
                .chain(cancels)
                .collect(),
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

    /// The whole life as it is told: each webhook once, in order; our own changes by echo and answer.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.steps.iter().enumerate().flat_map(|(index, step)| self.tell(index, step)).collect()
    }

    fn tell(&self, index: usize, step: &Step) -> Vec<Told> {
        let webhook = Told {
            fact: self.fact(step, step.state),
            provenance: provenance(Actor::Customer, Channel::CalcomWebhook, step.minute),
            token: false,
            answer_of: None,
            looked: false,
            one_seat: step.seated,
            series: false,
        };
        let look = || Told {
            fact: Fact { provider_updated_at: step.updated.map(at), reason: None, ..self.fact(step, step.state) },
            provenance: provenance(Actor::Unknown, Channel::Reconciled, step.minute),
            looked: true,
            one_seat: false,
            ..webhook.clone()
        };
        let staff = || provenance(Actor::Staff, Channel::CalcomWebhook, step.minute);
        match step.what {
            What::Create { by: By::Us, .. } => self.by_us(index, Told { token: true, ..webhook }),
            What::Move { by: By::Us, .. } | What::Cancel { by: By::Us, .. } => self.by_us(index, webhook),
            What::Move { by: By::Staff, .. } | What::Cancel { by: By::Staff, .. } | What::Reject | What::AskForAnotherTime => {
                vec![Told { provenance: staff(), ..webhook }]
            }
            What::Cancel { series, .. } => vec![Told { series, ..webhook }],
            What::NoShow => vec![Told { fact: self.fact(step, Happening::NoShow), provenance: staff(), one_seat: false, ..webhook }],
            What::NoShowTakenBack => vec![Told { fact: self.fact(step, Happening::NoShowWithdrawn), provenance: staff(), one_seat: false, ..webhook }],
            What::SeatLeaves => vec![Told { fact: self.fact(step, Happening::Cancelled), ..webhook }],
            What::CancelSeated => vec![look(), webhook],
            What::Reassign | What::Look => vec![look()],
            What::Create { .. } | What::Confirm | What::Move { .. } => vec![webhook],
        }
    }

    /// The echo, and the answer, which has no metadata, no sequence and no message.
    fn by_us(&self, index: usize, echo: Told) -> Vec<Told> {
        let wished = Provenance {
            channel: Channel::RetellPhone,
            call_id: Some(call_id(self.seed)),
            intent_id: Some(intent_id(self.seed, index)),
            occurred_at: at(self.steps[index].minute - 1),
            ..echo.provenance.clone()
        };
        let echo = Told { provenance: wished, ..echo };
        let provenance = Provenance { message_id: None, ..echo.provenance.clone() };
        let predecessor = echo.fact.predecessor.clone().map(|predecessor| Predecessor { starts_at: None, ends_at: None, ..predecessor });
        let fact = Fact { sequence: 0, predecessor, hash: format!("answer {}", echo.fact.hash), ..echo.fact.clone() };
        let answer = Told { fact, provenance, answer_of: Some(index), series: false, ..echo.clone() };
        vec![echo, answer]
    }

    fn fact(&self, step: &Step, happening: Happening) -> Fact {
        let predecessor =
            step.from.as_ref().map(|uid| Predecessor { uid: uid.clone(), starts_at: Some(at(step.from_starts)), ends_at: Some(at(step.from_starts + 30)) });
        let ended = matches!(happening, Happening::Cancelled | Happening::RescheduleRequested | Happening::Rejected);
        let reason = ended.then(|| format!("Grund {}", step.minute));
        // a cancellation raises the sequence (calcom reference 2.4)
        let sequence = step.sequence + i32::from(ended);
        let (starts_at, ends_at) = (at(step.starts), at(step.starts + 30));
        let attendance = happening.is_attendance();
        Fact {
            uid: step.uid.clone(),
            happening,
            predecessor,
            sequence,
            provider_updated_at: None,
            hash: format!("{happening:?}/{}/{}/{sequence}", step.uid, step.starts),
            starts_at: if attendance { DateTime::UNIX_EPOCH } else { starts_at },
            ends_at: if attendance { DateTime::UNIX_EPOCH + Duration::minutes(30) } else { ends_at },
            event_type_id: if attendance { None } else { Some(1321) },
            booking_id: None,
            host_user_id: if attendance { None } else { Some(step.host) },
            seats_per_slot: if attendance { None } else { step.seated.then_some(8) },
            reason,
            told_at: at(step.minute),
        }
    }
}

fn provenance(actor: Actor, channel: Channel, minute: i64) -> Provenance {
    Provenance { actor, channel, call_id: None, user_id: None, intent_id: None, message_id: Some(format!("message-{minute}")), occurred_at: at(minute) }
}

/// The same tellings lost in time: some doubled (Cal.com stamps a copy for another subscriber with its own, slightly later time), all out of order.
#[must_use]
pub fn shaken(told: &[Told], seed: u64) -> Vec<Told> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5EED);
    let mut all = told.to_vec();
    assert!(all.len() <= TOLD_MAX, "too long a life");
    while all.len() < TOLD_MAX && rng.random_bool(0.7) {
        let mut copy = told[rng.random_range(0..told.len())].clone();
        if copy.answer_of.is_none() && rng.random_bool(0.5) {
            let later = Duration::milliseconds(rng.random_range(1..900));
            copy.fact.told_at += later;
            if copy.provenance.intent_id.is_none() {
                copy.provenance.occurred_at += later;
            }
            copy.provenance.message_id = Some(format!("copy-{}", all.len()));
        }
        all.push(copy);
    }
    all.shuffle(&mut rng);
    all
}
