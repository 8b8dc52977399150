//! Calls as the former system kept them: most whole, some lost, some in the wrong company, some twice. Writes their rows and what the customer of each was.
//! Not what appointments say of them (`evidence`). Called by `contents`.
use serde_json::{Value, json};
use uuid::Uuid;

use super::chance::{Chance, Turns};
use super::copy::{Batch, Row, Table};
use super::damage::Damage;
use super::life;
use super::people::{self, Person};
use super::plan::{Of, PER_CUSTOMER, Plan};
use super::truth::{FILLED, Truth};

/// Places of the calls that belong to no appointment begin here.
pub const LOOSE_FROM: u64 = 1 << 40;
/// Added to a call's place: the call that ran at the same moment.
const BESIDE: u64 = 8;

/// What became of a call's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Whole,
    /// Never stored.
    Lost,
    /// Stored for the neighbour.
    Elsewhere,
    /// Another call of the same customer beside it.
    TwoAtOnce,
    /// A temporary row beside it.
    Twin,
    WithoutEnd,
    /// Whole, but a word stands wherever its id should.
    Placeholder,
}

impl Fate {
    /// The fate follows from the call's place, so that both appointments of one call know it.
    pub fn of(plan: &Plan, company: usize, call: u64) -> Self {
        match Chance::of(&[plan.seed, 9, company as u64, call]).below(100) {
            0..3 => Self::Lost,
            3..7 if plan.companies > 1 => Self::Elsewhere,
            7..11 => Self::TwoAtOnce,
            11..15 => Self::Twin,
            15..20 => Self::WithoutEnd,
            20..25 => Self::Placeholder,
            _ => Self::Whole,
        }
    }

    /// The row stands in the company that it belongs to.
    pub const fn at_home(self) -> bool {
        !matches!(self, Self::Lost | Self::Elsewhere)
    }

    /// Its time alone leads to it, if its customer is known.
    pub const fn found_by_time(self) -> bool {
        matches!(self, Self::Whole | Self::Placeholder)
    }
}

/// What the language model put where the call's id belongs (incident 37).
const PLACEHOLDERS: [&str; 6] = ["None", "call_1", "call_001", "12345", "{{call_id}}", "current_call"];

/// The id as it was kept elsewhere: a word, if the call's fate is that.
pub fn kept_id(plan: &Plan, company: usize, call: u64) -> String {
    match Fate::of(plan, company, call) {
        Fate::Placeholder => Chance::of(&[plan.seed, 10, call]).pick(&PLACEHOLDERS).to_owned(),
        _ => plan.retell_call_id(company, call),
    }
}

/// A call to write.
#[derive(Debug)]
pub struct Call<'a> {
    pub company: usize,
    /// Its place: key and Retell's id follow from it.
    pub place: u64,
    /// When in it the thing happened.
    pub at: i64,
    /// Place of the customer, and who that is.
    pub customer: u64,
    pub person: &'a Person,
    pub name_given: Option<&'a str>,
    pub outcome: &'static str,
    pub metadata: Value,
    /// An appointment leads to it, and so to the customer.
    pub leads_to_customer: bool,
}

/// Where calls are written to, and the short numbers that the companies have given.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub plan: &'a Plan,
    pub batch: &'a mut Batch,
    pub truth: &'a mut String,
    pub turns: &'a mut Turns,
    pub numbers: &'a mut [i64],
    pub damages: &'a mut Vec<Damage>,
}

impl Exchange<'_> {
    /// Writes the rows that are left of a call: none, one, or one beside it.
    pub fn keep(&mut self, call: &Call<'_>) {
        let home = call.company;
        let id = self.plan.key(Of::Call, home, call.place);
        let retell = self.plan.retell_call_id(home, call.place);
        match Fate::of(self.plan, home, call.place) {
            Fate::Lost => {}
            Fate::Elsewhere => self.row(call, Written { id, company: self.plan.neighbour(home), retell, ends: true, damage: vec![Damage::CallOfOtherCompany] }),
            Fate::WithoutEnd => self.row(call, Written { id, company: home, retell, ends: false, damage: vec![Damage::CallWithoutEnd] }),
            Fate::Whole | Fate::Placeholder => self.row(call, Written { id, company: home, retell, ends: true, damage: Vec::new() }),
            Fate::TwoAtOnce | Fate::Twin => {
                self.row(call, Written { id, company: home, retell, ends: true, damage: Vec::new() });
                let twin = Fate::of(self.plan, home, call.place) == Fate::Twin;
                let beside =
                    Call { place: call.place + BESIDE, metadata: json!({}), outcome: "information_only", leads_to_customer: false, name_given: None, ..*call };
                let id = self.plan.key(Of::Call, home, beside.place);
                let retell =
                    if twin { format!("temp_{}_{}", call.at, &Chance::of(&[beside.place]).hex()[..8]) } else { self.plan.retell_call_id(home, beside.place) };
                let damage = if twin { Damage::TemporaryTwin } else { Damage::TwoCallsAtOnce };
                self.row(&beside, Written { id, company: home, retell, ends: !twin, damage: vec![damage] });
            }
        }
    }

    fn row(&mut self, call: &Call<'_>, written: Written) {
        let plan = self.plan;
        let mut truth = Truth::of(written.damage);
        let mut chance = Chance::of(&[plan.seed, 11, written.company as u64, call.place]);
        let (started, ended) = (call.at - 40 - chance.below(120).cast_signed(), call.at + 60 + chance.below(60).cast_signed());
        let mut metadata = call.metadata.clone();
        let negative = written.ends && self.turns.percent("negative duration", 1);
        if negative {
            truth.damage.push(Damage::NegativeDuration);
            metadata["duration_sec"] = json!(started - ended);
        }
        let customer = self.customer(call, written.company, &mut truth);
        // never in another company, whose customer may not be loaded yet; and of an anonymous caller's two calls not on that which is the wrong one
        let misleads = written.company != call.company || (call.person.phone.is_none() && call.place % life::CALLS_PER_PLACE >= BESIDE);
        let kept = self.turns.percent("call with customer", 28).then_some(customer).flatten().filter(|_| !misleads);
        if kept.is_some() {
            truth.tell("customer_id", customer.map(|id| id.to_string()), Some(FILLED));
        } else {
            truth.damage.push(Damage::CallWithoutCustomer);
        }
        if call.person.phone.is_none() {
            truth.damage.push(Damage::AnonymousCaller);
        }
        let number = &mut self.numbers[written.company];
        *number += 1;
        let phone = call.person.phone.as_deref();
        self.batch
            .row(Table::Calls)
            .id(written.id)
            .id(plan.key(Of::Company, written.company, 0))
            .number(*number)
            .text(&written.retell)
            .id(plan.key(Of::Branch, written.company, 0))
            .id(plan.key(Of::PhoneNumber, written.company, 0))
            .maybe(kept, Row::id)
            .text(phone.unwrap_or("anonymous"))
            .maybe(phone, Row::text)
            .text(&plan.our_number(written.company))
            .text(if written.ends { "analyzed" } else { "ongoing" })
            .flag(true)
            .time(started)
            .maybe(written.ends.then_some(ended), Row::time)
            .maybe((written.ends && !negative).then_some((ended - started) * 1000), Row::number)
            .maybe(written.ends.then_some(call.outcome), Row::text)
            .maybe(call.name_given, Row::text)
            .json(&metadata)
            .text(&format!("{}", plan.legacy_id(call.company, call.place)))
            .id(plan.key(Of::ImportRun, written.company, 0))
            .time(started)
            .time(if written.ends { ended } else { started })
            .end();
        self.damages.extend_from_slice(&truth.damage);
        truth.write("calls", written.id, plan.key(Of::Company, written.company, 0), self.truth);
    }

    /// Whose call it was, in the company that has its row; told to the truth.
    fn customer(&self, call: &Call<'_>, company: usize, truth: &mut Truth) -> Option<Uuid> {
        let plan = self.plan;
        // loose calls are of nobody that is known; in another company the same person may be a customer, too
        let known = call.place < LOOSE_FROM && (company == call.company || (call.person.shared && call.customer < customers_of(plan, company)));
        let id = known.then(|| plan.key(Of::Customer, company, call.customer))?;
        let by = match &call.person.phone {
            Some(_) => Some("caller"),
            None => (call.leads_to_customer && company == call.company).then_some("appointment"),
        };
        truth.tell("customer_id", id.to_string(), by);
        Some(id)
    }
}

struct Written {
    id: Uuid,
    company: usize,
    retell: String,
    ends: bool,
    damage: Vec<Damage>,
}

/// Customers of a company.
pub const fn customers_of(plan: &Plan, company: usize) -> u64 {
    plan.appointments_of(company).div_ceil(PER_CUSTOMER)
}

/// A caller who is nobody's customer.
pub fn stranger(plan: &Plan, company: usize, call: u64) -> Person {
    let mut chance = Chance::of(&[plan.seed, 12, company as u64, call]);
    // beyond every number that a customer has
    let number = 900_000_000 + chance.below(99_000_000);
    Person {
        phone: chance.percent(80).then(|| people::phone(plan.seed, number)),
        shared: false,
        email: None,
        ..people::person(plan.seed, plan.companies, company, call)
    }
}
