//! What a history is made of: companies with their branches, staff, services and users, and keys that follow from the seed.
//! Not the appointments (`life`). Called by everything in `history`.
use uuid::{Builder, Uuid};

use super::chance::Chance;

/// Appointments of a batch: what is made and loaded at once, and so the bound of our memory.
pub const BATCH: u64 = 2_000;
/// Appointments for one customer of a company; some customers get as many again.
pub const PER_CUSTOMER: u64 = 4;
/// The first day of the history, 2025-06-01: the former system's time is over, whenever this is run.
pub const FIRST_DAY: i64 = 1_748_736_000 / DAY;
pub const DAY: i64 = 86_400;
/// The keys say this moment, the same in every run: 2026-03-01.
const KEYS_AT_MS: u64 = 1_772_323_200_000;
const STAFF: u64 = 5;
const SERVICES: u64 = 4;
const USERS: u64 = 3;

/// The size and seed of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub companies: usize,
    pub appointments: u64,
}

/// What a key belongs to; the number keeps keys of different kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Company = 1,
    Branch,
    Service,
    Staff,
    User,
    PhoneNumber,
    ImportRun,
    RetellAccount,
    CalcomAccount,
    Customer,
    Call,
    Appointment,
    Modification,
    AuditLog,
    Review,
}

impl Plan {
    /// Appointments of a company: the first ones get the remainder.
    pub const fn appointments_of(&self, company: usize) -> u64 {
        let companies = self.companies as u64;
        self.appointments / companies + if (company as u64) < self.appointments % companies { 1 } else { 0 }
    }

    /// A UUIDv7 whose time is that of the import, in the order of `number`.
    pub fn key(&self, of: Of, company: usize, number: u64) -> Uuid {
        let mut chance = Chance::of(&[self.seed, 2, of as u64, company as u64, number]);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&chance.next().to_be_bytes());
        random[8..].copy_from_slice(&chance.next().to_be_bytes()[..2]);
        Builder::from_unix_timestamp_millis(KEYS_AT_MS + number, &random).into_uuid()
    }

    /// The company whose people, calls and uids get mixed up with this one's; itself if there is only one.
    pub const fn neighbour(&self, company: usize) -> usize {
        (company + 1) % self.companies
    }

    /// The former key of a row of that kind: one sequence over all companies.
    pub const fn legacy_id(&self, company: usize, number: u64) -> u64 {
        100 + number * self.companies as u64 + company as u64
    }

    /// The appointment's uid in Cal.com after so many moves.
    pub fn uid(&self, company: usize, appointment: u64, moves: usize) -> String {
        let mut chance = Chance::of(&[self.seed, 3, company as u64, appointment, moves as u64]);
        format!("{}{}", chance.hex(), &chance.hex()[..6])
    }

    /// The text by which Retell calls a call.
    pub fn retell_call_id(&self, company: usize, call: u64) -> String {
        let mut chance = Chance::of(&[self.seed, 4, company as u64, call]);
        format!("call_{}{}", chance.hex(), &chance.hex()[..11])
    }

    /// The number that callers of the company dial.
    pub fn our_number(&self, company: usize) -> String {
        format!("+4989{:05}{company:04}", Chance::of(&[self.seed, 5]).below(100_000))
    }

    pub fn company_name(&self, company: usize) -> String {
        const TRADES: [&str; 6] = ["Salon", "Praxis", "Studio", "Werkstatt", "Kanzlei", "Atelier"];
        const PLACES: [&str; 8] = ["Alsterblick", "Birkenhain", "Domplatz", "Elbufer", "Fichtelberg", "Gartenstadt", "Hafentor", "Isarauen"];
        let mut chance = Chance::of(&[self.seed, 6, company as u64]);
        format!("{} {} {}", chance.pick(&TRADES), chance.pick(&PLACES), company + 1)
    }

    pub const fn staff(&self) -> u64 {
        STAFF
    }

    pub const fn services(&self) -> u64 {
        SERVICES
    }

    pub const fn users(&self) -> u64 {
        USERS
    }

    /// Cal.com's number of a member of staff.
    pub const fn host(&self, company: usize, staff: u64) -> i64 {
        700_000 + (company as u64 * STAFF + staff).cast_signed()
    }

    pub fn staff_email(&self, company: usize, staff: u64) -> String {
        format!("team{staff}.{company}@betrieb.example")
    }

    pub const fn event_type(&self, company: usize, service: u64) -> i64 {
        30_000 + (company as u64 * SERVICES + service).cast_signed()
    }

    pub const fn minutes(&self, service: u64) -> i64 {
        30 + 15 * (service % 4).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_appointment_belongs_to_one_company() {
        let plan = Plan { seed: 1, companies: 7, appointments: 100 };
        assert_eq!((0..7).map(|company| plan.appointments_of(company)).sum::<u64>(), 100);
    }

    #[test]
    fn keys_are_version_seven_in_the_order_of_their_numbers() {
        let plan = Plan { seed: 1, companies: 2, appointments: 10 };
        let (one, two) = (plan.key(Of::Call, 0, 1), plan.key(Of::Call, 0, 2));
        assert!(one < two && one.get_version_num() == 7);
        assert_ne!(one, plan.key(Of::Call, 1, 1));
        assert_ne!(one, plan.key(Of::Appointment, 0, 1));
    }
}
