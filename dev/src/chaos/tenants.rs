//! The companies of a campaign and the people who ring them: all invented, and so made that a text of one company's customers is found wherever it leaks to.
//! Pure. Called by `arena` (which sets them up) and `load` (which lets them ring).

use chrono::{DateTime, Datelike, Duration, TimeZone, Utc};
use serde_json::json;
use shared::store::companies::{NewAgent, NewBranch, NewCompany, NewPhoneNumber, NewService, NewStaff};

use crate::calcom_stand_in::{EventType, Host};

/// So many tenants, each with a Cal.com credential of its own.
pub const COMPANIES: usize = 8;
/// All of them share one Retell workspace, which is the harder case: their calls are told apart by the number that was called, never by the endpoint.
/// (A workspace's list of calls holds its own calls only, and the stand-in is one workspace.)
pub const RETELL_ACCOUNT: &str = "chaos";
/// Names that occur in no log by chance; each customer's name holds its company's.
const STEMS: [&str; COMPANIES] = ["Amselwald", "Buchfinkau", "Drosselkamp", "Elsternried", "Fasanenholz", "Goldammerfeld", "Habichtsberg", "Ibisbrunn"];
const FIRST_NAMES: [&str; 6] = ["Jürgen", "Anneliese", "Çağla", "Bjørn", "Zoë", "Michał"];
/// The two services: one person's, and one for which Cal.com chooses among two.
pub const FIXED: &str = "Beratung";
pub const ROUND_ROBIN: &str = "Haarschnitt";
pub const MINUTES: i64 = 30;
/// Slots between 7:00 and 18:30 in Berlin; a day has 24 of them.
const SLOTS_A_DAY: i64 = 24;
/// The first slot: far enough ahead for a campaign that is looked at the next day, too.
const DAYS_AHEAD: i64 = 4;
pub const ZONE: chrono_tz::Tz = chrono_tz::Europe::Berlin;

/// The company of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant(pub usize);

impl Tenant {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COMPANIES).map(Self)
    }

    fn stem(self) -> &'static str {
        STEMS[self.0 % COMPANIES]
    }

    pub fn name(self) -> String {
        format!("Betrieb Nummer {}", self.0 + 1)
    }

    pub fn calcom_account(self) -> String {
        format!("chaos-{}", self.0)
    }

    /// The number that its callers dial.
    pub fn number(self) -> String {
        format!("+49302312504{}", self.0)
    }

    pub fn agent(self) -> String {
        format!("agent_c4a05c4a05c4a05c4a05c4a0{:02}", self.0)
    }

    /// Of its people in Cal.com; the first owns the event types.
    pub fn hosts(self) -> [i64; 3] {
        let first = 5000 + 10 * i64::try_from(self.0).unwrap_or_default();
        [first + 1, first + 2, first + 3]
    }

    pub fn fixed_event_type(self) -> i64 {
        1001 + 10 * i64::try_from(self.0).unwrap_or_default()
    }

    pub fn round_robin_event_type(self) -> i64 {
        self.fixed_event_type() + 1
    }

    /// The service's name of an event type.
    pub fn service(self, event_type: i64) -> &'static str {
        if event_type == self.fixed_event_type() { FIXED } else { ROUND_ROBIN }
    }

    pub fn api_key_name(self) -> String {
        format!("company-{}", self.0)
    }

    /// What of its customers may be found nowhere else.
    pub fn canaries(self) -> Vec<String> {
        vec![self.stem().to_owned(), self.number_prefix(), self.mail_host(), self.spoken()]
    }

    fn number_prefix(self) -> String {
        format!("+49151{}0", self.0)
    }

    fn mail_host(self) -> String {
        format!("@post-{}.example", self.stem().to_lowercase())
    }

    /// A word that its customers say.
    pub fn spoken(self) -> String {
        format!("stichwort-{}", self.stem().to_lowercase())
    }

    /// The set-up document.
    pub fn document(self) -> NewCompany {
        let [owner, second, third] = self.hosts();
        let person = |id: i64| NewStaff {
            name: format!("Kraft {id}"),
            email: Some(format!("kraft-{id}@betrieb.example")),
            calcom_user_id: Some(id),
            branch: None,
            transfer_number: None,
        };
        let service = |name: &str, event_type: i64, staff: &[i64]| NewService {
            name: name.to_owned(),
            synonyms: Vec::new(),
            duration_minutes: i32::try_from(MINUTES).unwrap_or(30),
            price_minor: None,
            currency: None,
            calcom_event_type_id: Some(event_type),
            seats_per_slot: 1,
            minimum_notice_minutes: 15,
            is_default: name == FIXED,
            branch: None,
            staff: staff.iter().map(|id| format!("Kraft {id}")).collect(),
        };
        NewCompany {
            name: self.name(),
            time_zone: ZONE.name().to_owned(),
            features: serde_json::Map::new(),
            legacy_id: None,
            retell_account: Some(RETELL_ACCOUNT.to_owned()),
            calcom_account: Some(self.calcom_account()),
            transfer_number: None,
            transfer_hours: None,
            branches: vec![NewBranch {
                name: "Mitte".to_owned(),
                time_zone: None,
                opening_hours: serde_json::Map::new(),
                transfer_number: None,
                transfer_hours: None,
            }],
            staff: self.hosts().map(person).to_vec(),
            services: vec![service(FIXED, self.fixed_event_type(), &[owner]), service(ROUND_ROBIN, self.round_robin_event_type(), &[second, third])],
            phone_numbers: vec![NewPhoneNumber { e164: self.number(), branch: "Mitte".to_owned(), label: String::new() }],
            policies: Vec::new(),
            agents: vec![NewAgent { retell_agent_id: self.agent(), name: "Empfang".to_owned(), version: None, variant: "default".to_owned() }],
        }
    }

    /// The same people in Cal.com.
    pub fn calcom_hosts(self) -> Vec<Host> {
        let host =
            |id: i64| Host { id, name: format!("Kraft {id}"), email: format!("kraft-{id}@betrieb.example"), username: format!("kraft-{id}"), time_zone: ZONE };
        self.hosts().map(host).to_vec()
    }

    /// The same services in Cal.com.
    ///
    /// # Errors
    /// Never in practice: the stand-in reads its own shape.
    pub fn calcom_event_types(self) -> serde_json::Result<Vec<EventType>> {
        let [owner, second, third] = self.hosts();
        let event_type = |id: i64, title: &str, hosts: &[i64], scheduling: Option<&str>| {
            serde_json::from_value(json!({
                "id": id, "slug": format!("leistung-{id}"), "title": title, "length": MINUTES, "hosts": hosts, "owner_id": owner, "scheduling_type": scheduling,
            }))
        };
        Ok(vec![
            event_type(self.fixed_event_type(), FIXED, &[owner], None)?,
            event_type(self.round_robin_event_type(), ROUND_ROBIN, &[second, third], Some("ROUND_ROBIN"))?,
        ])
    }

    /// The customer of that number.
    pub fn customer(self, number: u64) -> Customer {
        let name = FIRST_NAMES[usize::try_from(number).unwrap_or_default() % FIRST_NAMES.len()];
        Customer {
            name: format!("{name} {}{}", self.stem(), letters(number)),
            phone: format!("{}{:06}", self.number_prefix(), number % 1_000_000),
            email: format!("{}{}", letters(number), self.mail_host()),
        }
    }
}

/// Somebody who wants an appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub name: String,
    pub phone: String,
    pub email: String,
}

/// A number in letters: a name with a digit in it is none.
fn letters(mut number: u64) -> String {
    let mut text = String::new();
    loop {
        let digit = u8::try_from(number % 26).unwrap_or_default();
        text.push(char::from(b'a' + digit));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}

/// The n-th slot of an event type, counted from `today`.
pub fn slot(today: DateTime<Utc>, number: u64) -> DateTime<Utc> {
    let number = i64::try_from(number).unwrap_or_default();
    let day = (today + Duration::days(DAYS_AHEAD + number / SLOTS_A_DAY)).with_timezone(&ZONE).date_naive();
    let minutes = u32::try_from(7 * 60 + MINUTES * (number % SLOTS_A_DAY)).unwrap_or_default();
    let time = chrono::NaiveTime::from_num_seconds_from_midnight_opt(minutes * 60, 0).unwrap_or_default();
    // German clocks change at night
    ZONE.from_local_datetime(&day.and_time(time)).earliest().map(|local| local.with_timezone(&Utc)).unwrap_or_default()
}

/// A slot as a caller says it: date and time.
pub fn spoken_slot(at: DateTime<Utc>) -> (String, String) {
    let local = at.with_timezone(&ZONE);
    (format!("{:04}-{:02}-{:02}", local.year(), local.month(), local.day()), local.format("%H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_company_is_sound_and_the_stand_in_understands_it() {
        for tenant in Tenant::all() {
            assert!(tenant.document().problems().is_empty(), "{:?}", tenant.document().problems());
            assert_eq!(tenant.calcom_event_types().unwrap().len(), 2);
        }
    }

    #[test]
    fn what_gives_a_customer_away_belongs_to_one_company_alone() {
        for tenant in Tenant::all() {
            let customer = tenant.customer(4711);
            let text = format!("{} {} {} {}", customer.name, customer.phone, customer.email, tenant.spoken());
            for other in Tenant::all() {
                for canary in other.canaries() {
                    assert_eq!(text.contains(&canary), other == tenant, "{canary}");
                }
            }
        }
    }

    #[test]
    fn slots_and_customers_are_never_used_twice() {
        let today = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let slots: BTreeSet<_> = (0..2000).map(|number| slot(today, number)).collect();
        assert_eq!(slots.len(), 2000);
        assert!(slots.iter().zip(slots.iter().skip(1)).all(|(one, next)| *next - *one >= Duration::minutes(MINUTES)));
        let names: BTreeSet<_> = (0..2000).map(|number| Tenant(3).customer(number).name).collect();
        assert_eq!(names.len(), 2000);
    }
}
