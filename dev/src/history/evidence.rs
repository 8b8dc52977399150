//! What the former system kept of an appointment's life: the row with its holes, metadata, notes, modifications, stored webhooks, audit log; and from which of them
//! each value still follows. Not the values' way back: that is the backfill's. Called by `contents`.
mod booking;
mod cancellation;
mod moves;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::calls::{self, Fate};
use super::chance::{Chance, Turns};
use super::copy::instant;
use super::damage::Damage;
use super::life::{Channel, Deed, Life};
use super::payload::Booking;
use super::people::{NO_NAMES, Person};
use super::plan::{Of, Plan};
use super::truth::{FILLED, Truth};

/// The audit columns as the import found them.
#[derive(Debug, Default)]
pub struct Audit {
    pub created_by: Option<&'static str>,
    pub booking_source: Option<&'static str>,
    pub booked_by_user: Option<Uuid>,
    pub rescheduled_count: i64,
    pub rescheduled_at: Option<i64>,
    pub rescheduled_by: Option<&'static str>,
    pub rescheduled_by_user: Option<Uuid>,
    pub reschedule_source: Option<&'static str>,
    pub previous_starts_at: Option<i64>,
    pub cancelled_at: Option<i64>,
    pub cancelled_by: Option<&'static str>,
    pub cancelled_by_user: Option<Uuid>,
    pub cancellation_source: Option<&'static str>,
    pub cancellation_reason: Option<&'static str>,
}

/// A modification that was kept.
#[derive(Debug)]
pub struct Change {
    pub kind: &'static str,
    pub deed: Deed,
    pub source: &'static str,
    pub user: Option<Uuid>,
    pub metadata: Value,
    /// What leads to its call.
    pub call_by: Option<&'static str>,
    pub damage: Vec<Damage>,
}

/// Everything that is left of one appointment.
pub struct Remains<'a> {
    pub plan: &'a Plan,
    pub life: &'a Life,
    pub person: &'a Person,
    pub turns: &'a mut Turns,
    pub chance: Chance,
    pub audit: Audit,
    pub truth: Truth,
    pub metadata: Map<String, Value>,
    pub notes: Vec<String>,
    pub changes: Vec<Change>,
    pub event: Option<Value>,
    /// The user who booked, by the audit log.
    pub logged_user: Option<Uuid>,
    pub call: Option<Uuid>,
    /// What the call itself says of the appointment.
    pub call_metadata: Value,
    pub uid: Option<String>,
    pub staff: Option<Uuid>,
    pub host: i64,
    pub event_type: i64,
    pub name_given: Option<String>,
    /// How the call ended in which it was cancelled.
    pub cancelling_outcome: &'static str,
}

/// What is left of that life.
pub fn remains<'a>(plan: &'a Plan, life: &'a Life, person: &'a Person, turns: &'a mut Turns) -> Remains<'a> {
    let company = life.company;
    let mut remains = Remains {
        plan,
        life,
        person,
        turns,
        chance: Chance::of(&[plan.seed, 13, company as u64, life.place]),
        audit: Audit::default(),
        truth: Truth::default(),
        metadata: Map::new(),
        notes: Vec::new(),
        changes: Vec::new(),
        event: None,
        logged_user: None,
        call: None,
        call_metadata: json!({}),
        uid: Some(plan.uid(company, life.place, life.moves.len())),
        staff: None,
        host: plan.host(company, life.staff),
        event_type: plan.event_type(company, life.service),
        name_given: None,
        cancelling_outcome: "appointment_cancelled",
    };
    remains.name();
    remains.identity();
    remains.booking();
    remains.moves();
    remains.cancellation();
    if remains.truth.damage.contains(&Damage::MetadataTwiceEncoded) {
        // all of it, whatever the other chapters left in it: they are chosen so that nothing else hangs on it
        let text = Value::Object(std::mem::take(&mut remains.metadata)).to_string();
        remains.metadata.insert("metadata_text".into(), json!(text));
        remains.metadata.insert("source".into(), json!(life.booked.channel.word()));
    }
    remains
}

impl Remains<'_> {
    fn damaged(&mut self, damage: Damage) {
        self.truth.damage.push(damage);
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.metadata.insert(key.to_owned(), value.into());
    }

    pub fn user(&self, user: Option<u64>) -> Option<Uuid> {
        user.map(|user| self.plan.key(Of::User, self.life.company, user))
    }

    /// The booking as Cal.com tells of it.
    fn in_calcom<T>(&self, uid: &str, tell: impl FnOnce(&Booking<'_>) -> T) -> T {
        let (plan, life) = (self.plan, self.life);
        let organizer = plan.staff_email(life.company, life.staff);
        let attendee = self.person.email.clone().unwrap_or_else(|| format!("booking_{}@noreply.example", life.place));
        tell(&Booking {
            uid,
            id: 500_000 + plan.legacy_id(life.company, life.place).cast_signed(),
            event_type: self.event_type,
            minutes: plan.minutes(life.service),
            host: self.host,
            organizer: &organizer,
            attendee: &attendee,
            attendee_name: self.name_given.as_deref().unwrap_or(&self.person.name),
        })
    }

    /// A webhook in metadata can be read, and is of this company.
    fn payload_tells(&self) -> bool {
        !self.truth.damage.iter().any(|damage| matches!(damage, Damage::MetadataTwiceEncoded | Damage::UidInTwoCompanies))
    }

    /// Under whose name it was booked (incidents 48 to 50).
    fn name(&mut self) {
        let name = match self.turns.next("name", &[(0, 74), (1, 6), (2, 6), (3, 3), (4, 11)]) {
            1 => {
                self.damaged(Damage::NameOfThirdPerson);
                let other = super::people::person(self.plan.seed, self.plan.companies, self.life.company, self.life.customer + 1_000_003);
                Some(other.name)
            }
            2 => {
                self.damaged(Damage::NameMisheard);
                Some(self.person.misheard.clone())
            }
            3 => {
                self.damaged(Damage::NameIsNone);
                Some(self.chance.pick(&NO_NAMES).to_owned())
            }
            4 => None,
            _ => Some(self.person.name.clone()),
        };
        if let Some(name) = &name {
            self.put("customer_name", name.clone());
        }
        self.name_given = name;
    }

    /// Staff, host and uid; what is another company's stands in metadata only.
    fn identity(&mut self) {
        let (plan, life) = (self.plan, self.life);
        let staff = plan.key(Of::Staff, life.company, life.staff);
        self.put("booking_timezone", "Europe/Berlin");
        match self.turns.next("staff", &[(0, 79), (1, 14), (2, 5), (3, 2)]) {
            1 => {
                self.damaged(Damage::StaffUnlinked);
                self.truth.tell("staff_id", staff.to_string(), Some("host"));
            }
            2 => {
                self.damaged(Damage::HostUnmapped);
                self.host = 9_000_000 + life.place.cast_signed();
                self.truth.tell("staff_id", staff.to_string(), None);
            }
            3 if plan.companies > 1 && life.booked.channel.by_phone() => {
                self.damaged(Damage::UidInTwoCompanies);
                let other = plan.neighbour(life.company);
                self.uid = Some(plan.uid(other, life.place, 0));
                self.host = plan.host(other, life.staff);
                self.event_type = plan.event_type(other, life.service);
                self.truth.tell("staff_id", staff.to_string(), None);
            }
            _ => {
                self.staff = Some(staff);
                self.truth.tell("staff_id", staff.to_string(), Some(FILLED));
            }
        }
        self.put("calcom_host_id", self.host);
    }

    /// The columns of modifications that a former row had, and the metadata that it kept.
    fn change(&mut self, kind: &'static str, deed: &Deed, by_time: bool) {
        let (plan, company) = (self.plan, self.life.company);
        let via = if kind == "cancelled" { "cancelled_via" } else { "rescheduled_via" };
        let words: &[&'static str] = match deed.channel {
            Channel::Calcom => &["calcom_webhook", "calcom_webhook", "cal.com_webhook", "cal.com"],
            Channel::Portal => &["customer_portal"],
            Channel::Admin => &["crm_admin", "crm_admin", "admin", "manual_staff"],
            _ => &["retell_api", "retell_api", "phone", "retell_function_call"],
        };
        let word = self.chance.pick(words);
        let mut metadata = json!({
            "hours_notice": (deed.from.unwrap_or(deed.to) - deed.at) / 3600, "policy_required": 24, "calcom_synced": true, "original_time": deed.from.map(instant),
            via: word, "modified_by_type": if deed.actor == "staff" { self.chance.pick(&["Staff", "User"]) } else { "Customer" },
        });
        if kind == "rescheduled" {
            metadata["new_time"] = json!(instant(deed.to));
        }
        let mut change = Change { kind, deed: deed.clone(), source: "unknown", user: None, metadata, call_by: None, damage: Vec::new() };
        if let Some(call) = deed.call {
            let fate = Fate::of(plan, company, call);
            if by_time {
                change.damage.push(Damage::ChangeByTimeOnly);
                // who withheld the number is not known by it, and so is not the call's customer
                change.call_by = (fate.found_by_time() && self.person.phone.is_some()).then_some("time");
            } else {
                change.damage.push(Damage::ChangeWithoutCall);
                change.metadata["call_id"] = json!(calls::kept_id(plan, company, call));
                change.call_by = match fate {
                    Fate::Lost | Fate::Elsewhere => None,
                    Fate::Placeholder => self.person.phone.is_some().then_some("time"),
                    _ => Some("retell_call_id"),
                };
            }
            change.damage.extend(damage_of(fate));
            // no column takes a phone's word without a call that stands behind it
            if change.call_by == Some("retell_call_id") && word == "retell_api" {
                change.source = "retell_api";
            }
        } else if let Some(user) = self.user(deed.user) {
            change.metadata["modified_by_id"] = json!(user);
            if word == "crm_admin" {
                (change.source, change.user) = ("crm_admin", Some(user));
            }
        } else if word == deed.channel.word() {
            change.source = word;
        }
        self.changes.push(change);
    }

    /// The columns were filled at the time; only the row of the change may be missing.
    fn stamped(&mut self, row: &'static str, kind: &'static str, deed: &Deed) {
        if self.turns.percent(row, 60) {
            self.damaged(Damage::StampedWithoutRow);
        } else {
            self.change(kind, deed, false);
        }
    }
}

/// What a call's fate damages in the rows that name it.
fn damage_of(fate: Fate) -> Option<Damage> {
    match fate {
        Fate::Lost => Some(Damage::CallLost),
        Fate::Placeholder => Some(Damage::PlaceholderCallId),
        Fate::Elsewhere => Some(Damage::CallOfOtherCompany),
        Fate::Whole | Fate::TwoAtOnce | Fate::Twin | Fate::WithoutEnd => None,
    }
}
