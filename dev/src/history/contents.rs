//! The whole history, batch by batch: what is made of a plan, in the order in which it is loaded, with the truth beside it. The same plan gives the same bytes.
//! Not the loading (`load`). Called by the command and by tests.
use serde_json::{Value, json};

use super::calls::{self, Call, Exchange, LOOSE_FROM};
use super::chance::{Chance, Turns};
use super::copy::{Batch, Row, Table};
use super::damage::{Damage, Tally};
use super::evidence;
use super::life::{self, Life};
use super::people;
use super::plan::{BATCH, DAY, FIRST_DAY, Of, PER_CUSTOMER, Plan};
use super::rows;
use super::truth::Truth;

/// One call of nobody's appointment for so many appointments.
const PER_LOOSE_CALL: u64 = 10;
/// Places of loose calls lie so far apart, as those of appointments do.
const LOOSE_STEP: u64 = life::CALLS_PER_PLACE;

/// A batch, and the lines of the truth about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub batch: Batch,
    pub truth: String,
}

/// A history under way. Holds a few numbers for each company and nothing of what was made.
#[derive(Debug)]
pub struct History {
    plan: Plan,
    turns: Turns,
    pub tally: Tally,
    /// Rows made of each table.
    pub rows: [u64; Table::ALL.len()],
    /// Lines of the truth.
    pub lines: u64,
    call_numbers: Vec<i64>,
    /// Which batch of which company comes next.
    next: (u64, usize),
}

impl History {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            turns: Turns::new(plan.seed),
            tally: Tally::default(),
            rows: [0; Table::ALL.len()],
            lines: 0,
            call_numbers: vec![0; plan.companies],
            next: (0, 0),
        }
    }

    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The last number given to a call of the company.
    pub fn call_number(&self, company: usize) -> i64 {
        self.call_numbers[company]
    }

    fn make(&mut self, number: u64, company: usize) -> Part {
        let plan = self.plan;
        let mut part = Part { batch: Batch::new(company), truth: String::new() };
        let appointments = number * BATCH..plan.appointments_of(company).min((number + 1) * BATCH);
        let customers = appointments.start / PER_CUSTOMER..appointments.end.div_ceil(PER_CUSTOMER);
        for place in customers {
            self.customer(&mut part, company, place);
        }
        for place in appointments {
            self.appointment(&mut part, company, place);
            if place % PER_LOOSE_CALL == 0 {
                self.loose_call(&mut part, company, place / PER_LOOSE_CALL);
            }
        }
        for (sum, rows) in self.rows.iter_mut().zip(&part.batch.rows) {
            *sum += rows.count;
        }
        self.lines += part.truth.lines().count() as u64;
        part
    }

    fn customer(&mut self, part: &mut Part, company: usize, place: u64) {
        let plan = self.plan;
        let person = people::person(plan.seed, plan.companies, company, place);
        if person.shared {
            self.tally.add(&[Damage::SharedContact]);
        }
        let mut chance = Chance::of(&[plan.seed, 14, company as u64, place]);
        let source = if person.phone.is_none() { "retell_webhook_anonymous" } else { chance.pick(&["retell_webhook", "cal.com", "unknown"]) };
        part.batch
            .row(Table::Customers)
            .id(plan.key(Of::Customer, company, place))
            .id(plan.key(Of::Company, company, 0))
            .number(place.cast_signed() + 1)
            .text(&person.name)
            .maybe(person.phone.as_deref(), Row::text)
            .maybe(person.email.as_deref(), Row::text)
            .flag(person.phone.is_none())
            .text(source)
            .text(&plan.legacy_id(company, place).to_string())
            .id(plan.key(Of::ImportRun, company, 0))
            .time(FIRST_DAY * DAY)
            .time(FIRST_DAY * DAY)
            .end();
    }

    fn appointment(&mut self, part: &mut Part, company: usize, place: u64) {
        let plan = self.plan;
        let life = life::life(&plan, company, place);
        let person = people::person(plan.seed, plan.companies, company, life.customer);
        if self.turns.percent("refused appointment", 1) {
            self.refused(part, &life, Damage::RefusedWithoutCustomer, json!({ "customer_id": plan.legacy_id(company, place) + 7_000_000_000 }));
        }
        if self.turns.percent("refused modification", 1) {
            let row =
                json!({ "appointment_id": plan.legacy_id(company, place) + 7_000_000_000, "modification_type": "reschedule", "modified_by_type": "Customer" });
            self.refused(part, &life, Damage::RefusedWithoutAppointment, row);
        }
        let mut damages = Vec::new();
        let remains = evidence::remains(&plan, &life, &person, &mut self.turns);
        let calls = rows::calls_of(&remains);
        let written = rows::write_appointment(part, &remains);
        damages.extend_from_slice(&written);
        let (name, metadata, known) = (remains.name_given.clone(), remains.call_metadata.clone(), remains.truth.tells("call_id"));
        drop(remains);
        for (call, at, outcome, booking) in calls {
            let call = Call {
                company,
                place: call,
                at,
                customer: life.customer,
                person: &person,
                name_given: name.as_deref(),
                outcome,
                metadata: if booking { metadata.clone() } else { json!({}) },
                leads_to_customer: booking && known,
            };
            self.exchange(part, &mut damages).keep(&call);
        }
        self.tally.add(&damages);
    }

    fn exchange<'a>(&'a mut self, part: &'a mut Part, damages: &'a mut Vec<Damage>) -> Exchange<'a> {
        Exchange { plan: &self.plan, batch: &mut part.batch, truth: &mut part.truth, turns: &mut self.turns, numbers: &mut self.call_numbers, damages }
    }

    /// A call of somebody who is no customer: a question, a booking that is in Cal.com only, or one that names an appointment which is not there.
    fn loose_call(&mut self, part: &mut Part, company: usize, number: u64) {
        let plan = self.plan;
        let place = LOOSE_FROM + number * LOOSE_STEP;
        let mut chance = Chance::of(&[plan.seed, 15, company as u64, number]);
        let person = calls::stranger(&plan, company, place);
        let mut damages = Vec::new();
        let (outcome, metadata) = match self.turns.next("loose call", &[(0, 70), (1, 20), (2, 10)]) {
            1 => {
                damages.push(Damage::BookingOnlyInCalcom);
                let booking = json!({ "uid": format!("{}{}", chance.hex(), &chance.hex()[..6]), "id": 400_000 + chance.below(100_000) });
                ("appointment_booked", json!({ "booking_confirmed": true, "booking_details": { "calcom_booking": booking } }))
            }
            2 => {
                damages.push(Damage::CallOfNoAppointment);
                ("appointment_booked", json!({ "converted_appointment_id": plan.legacy_id(company, number) + 7_000_000_000 }))
            }
            _ => ("information_only", json!({})),
        };
        let at = (FIRST_DAY + chance.below(220).cast_signed()) * DAY + 7 * 3600 + chance.below(36_000).cast_signed();
        let call = Call { company, place, at, customer: 0, person: &person, name_given: None, outcome, metadata, leads_to_customer: false };
        self.exchange(part, &mut damages).keep(&call);
        self.tally.add(&damages);
    }

    /// A row that the schema does not take: a review keeps it for a person to decide.
    fn refused(&mut self, part: &mut Part, life: &Life, damage: Damage, row: Value) {
        let plan = self.plan;
        let subject = if damage == Damage::RefusedWithoutCustomer { "appointment" } else { "modification" };
        let number = self.rows_of(part, Table::Reviews);
        let id = plan.key(Of::Review, life.company, number);
        let legacy = plan.legacy_id(life.company, life.place) + 8_000_000_000;
        part.batch
            .row(Table::Reviews)
            .id(id)
            .id(plan.key(Of::Company, life.company, 0))
            .text(subject)
            .text("import_refused")
            .json(&json!({ "legacy_id": legacy.to_string(), "starts_at": super::copy::instant(life.starts_at()), "row": row }))
            .text(&format!("import_refused:{subject}:{legacy}"))
            .time(life.changed_at())
            .end();
        let truth = Truth::of(vec![damage]);
        truth.write("reviews", id, plan.key(Of::Company, life.company, 0), &mut part.truth);
        self.tally.add(&truth.damage);
    }

    /// Rows made of a table so far.
    fn rows_of(&self, part: &Part, table: Table) -> u64 {
        self.rows[table as usize] + part.batch.table(table).count
    }
}

impl Iterator for History {
    type Item = Part;

    /// The companies take turns, so that two of them can be loaded side by side.
    fn next(&mut self) -> Option<Part> {
        let (mut number, mut company) = self.next;
        while number * BATCH < self.plan.appointments_of(0) {
            let wanted = (number, company);
            (number, company) = if company + 1 == self.plan.companies { (number + 1, 0) } else { (number, company + 1) };
            self.next = (number, company);
            if wanted.0 * BATCH < self.plan.appointments_of(wanted.1) {
                return Some(self.make(wanted.0, wanted.1));
            }
        }
        None
    }
}
