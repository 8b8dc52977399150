//! How a life is told: the facts of each step (calcom reference 2.2 to 2.12), then the line in which they are heard, late and doubled. Seeded like the life. Not
//! what must come of it: that is `model`.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use shared::domain::booking_chain::{Fact, Happening, Predecessor};
use shared::domain::provenance::{Actor, Channel, Provenance};

use super::life::{By, EVENTS, Life, Step, What, at, call_id, intent_id};

/// The fewest copies in a line.
const COPIES_MIN: usize = 5;
/// An event is late when so many that happened after it were heard before it.
const LATE: usize = 10;

/// One telling of a step.
#[derive(Clone, Debug)]
pub struct Told {
    pub what: What,
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

impl Life {
    /// The whole life as it is told: each webhook once, in order; our own changes by echo and answer.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.steps.iter().enumerate().flat_map(|(index, step)| self.tell(index, step)).collect()
    }

    fn tell(&self, index: usize, step: &Step) -> Vec<Told> {
        let webhook = Told {
            what: step.what,
            fact: self.fact(step, step.state),
            provenance: provenance(Actor::Customer, Channel::CalcomWebhook, step.minute),
            token: false,
            answer_of: None,
            looked: false,
            one_seat: step.seated,
            series: false,
        };
        let look = || Told {
            // the API tells no sequence
            fact: Fact {
                sequence: 0,
                provider_updated_at: step.updated.map(at),
                reason: None,
                hash: format!("look {}", step.minute),
                ..self.fact(step, step.state)
            },
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

    /// The echo, and the answer, which has no metadata, no sequence and no message, and in some editions no hosts (calcom reference 3.3).
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
        let host_user_id = echo.fact.host_user_id.filter(|_| index % 2 == 1);
        let fact = Fact { sequence: 0, predecessor, host_user_id, hash: format!("answer {}", echo.fact.hash), ..echo.fact.clone() };
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

/// The same tellings lost in time: doubled (Cal.com stamps a copy for another subscriber with its own, slightly later time) until they are [`EVENTS`] at least, all
/// out of order.
#[must_use]
pub fn shaken(told: &[Told], seed: u64) -> Vec<Told> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5EED);
    let mut all = told.to_vec();
    while all.len() < EVENTS.max(told.len() + COPIES_MIN) || rng.random_bool(0.5) {
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

/// How often each kind of event stands in a line; `late` and `doubled` beside what they tell.
#[must_use]
pub fn kinds(line: &[Told]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    let mut count = |kind| *kinds.entry(kind).or_default() += 1;
    for (place, told) in line.iter().enumerate() {
        count(told.kind());
        let before = &line[..place];
        if before.iter().filter(|other| other.minute() > told.minute()).count() >= LATE {
            count("late");
        }
        if before.iter().any(|other| other.minute() == told.minute() && other.kind() == told.kind()) {
            count("doubled");
        }
    }
    kinds
}

/// Every kind that [`kinds`] can name.
pub const KINDS: [&str; 16] = [
    "create",
    "confirm",
    "move",
    "request-reschedule",
    "seat leaves",
    "series member",
    "cancel",
    "seated cancel",
    "reject",
    "no-show",
    "no-show taken back",
    "reassign",
    "look",
    "own answer",
    "late",
    "doubled",
];

impl Told {
    fn kind(&self) -> &'static str {
        match self.what {
            _ if self.answer_of.is_some() => "own answer",
            What::Create { .. } => "create",
            What::Confirm => "confirm",
            What::Move { .. } => "move",
            What::AskForAnotherTime => "request-reschedule",
            What::SeatLeaves => "seat leaves",
            What::Cancel { series: true, .. } => "series member",
            What::Cancel { .. } => "cancel",
            What::CancelSeated if self.looked => "look",
            What::CancelSeated => "seated cancel",
            What::Reject => "reject",
            What::NoShow => "no-show",
            What::NoShowTakenBack => "no-show taken back",
            What::Reassign => "reassign",
            What::Look => "look",
        }
    }

    /// When it happened: a copy is stamped within the same minute.
    fn minute(&self) -> i64 {
        self.fact.told_at.timestamp().div_euclid(60)
    }
}
