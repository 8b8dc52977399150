//! The one table of phone functions: names and aliases → role, deadline, fallback sentence.
//!
//! Routing, decoding, tests and docs are made from it. Source of names and aliases: domain reference section 2.2.

use std::time::Duration;

use crate::envelope::Role;

/// A caller waits at most this long for a function's answer; Retell's tool timeout must be 10 s or more (architecture section 5).
pub const FUNCTION_DEADLINE: Duration = Duration::from_secs(6);
/// The phone rings while we think about call_inbound; after this it fails open (architecture section 5).
pub const CALL_INBOUND_DEADLINE: Duration = Duration::from_secs(1);

/// A phone function, by its canonical name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    InitializeCall,
    CurrentTimeBerlin,
    IdentifyCustomer,
    ParseDate,
    CheckAvailability,
    GetAlternatives,
    ReserveSlot,
    ReleaseSlot,
    BookAppointment,
    ConfirmBooking,
    CollectAppointmentData,
    QueryAppointment,
    ListServices,
    GetServiceInfo,
    GetOpeningHours,
    CancelAppointment,
    RescheduleAppointment,
    SaveCustomerPreference,
    ApplyVipBenefits,
    RequestCallback,
    CheckTransferAvailability,
    TransferCall,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub function: Function,
    /// Canonical name first, then aliases.
    pub names: &'static [&'static str],
    pub role: Role,
    /// A write's wish must not be lost when the answer is late. A read ends with its caller: ingress keeps nothing of it.
    pub write: bool,
    /// A true sentence for the caller when no answer came in time.
    pub fallback_sentence: &'static str,
}

const READ_LATE: &str = "Das dauert gerade etwas länger. Einen kleinen Moment bitte, ich versuche es gleich noch einmal.";
const WRITE_LATE: &str = "Ich trage das gerade ein. Die Bestätigung dauert einen Moment, wir melden uns, falls noch etwas offen ist.";

const fn read(function: Function, names: &'static [&'static str]) -> Row {
    Row { function, names, role: Role::Desk, write: false, fallback_sentence: READ_LATE }
}

const fn write(function: Function, names: &'static [&'static str], role: Role, fallback_sentence: &'static str) -> Row {
    Row { function, names, role, write: true, fallback_sentence }
}

/// The table. Functions whose role is `desk` although they change something are answered there with an honest refusal until their role handles them.
pub const TABLE: [Row; 22] = [
    read(Function::InitializeCall, &["initialize_call", "get_current_context"]),
    read(Function::CurrentTimeBerlin, &["current_time_berlin", "current_time", "zeitinfo"]),
    read(Function::IdentifyCustomer, &["identify_customer", "check_customer"]),
    read(Function::ParseDate, &["parse_date"]),
    read(Function::CheckAvailability, &["check_availability", "check_intelligent_availability"]),
    read(Function::GetAlternatives, &["get_alternatives", "find_next_available"]),
    write(Function::ReserveSlot, &["reserve_slot"], Role::Desk, WRITE_LATE),
    write(Function::ReleaseSlot, &["release_slot_reservation", "release_slot", "release"], Role::Desk, WRITE_LATE),
    write(
        Function::BookAppointment,
        &["book_appointment", "start_booking"],
        Role::Booking,
        "Ich trage den Termin gerade ein. Die Bestätigung dauert einen Moment, wir melden uns, falls er nicht klappt.",
    ),
    write(Function::ConfirmBooking, &["confirm_booking"], Role::Desk, WRITE_LATE),
    write(Function::CollectAppointmentData, &["collect_appointment_data"], Role::Desk, WRITE_LATE),
    read(Function::QueryAppointment, &["query_appointment", "query_appointments", "query_appointment_by_name"]),
    read(Function::ListServices, &["list_services"]),
    read(Function::GetServiceInfo, &["get_service_info"]),
    read(Function::GetOpeningHours, &["get_opening_hours"]),
    write(
        Function::CancelAppointment,
        &["cancel_appointment"],
        Role::Cancellation,
        "Ich sage den Termin gerade ab. Die Bestätigung dauert einen Moment, wir melden uns, falls noch etwas offen ist.",
    ),
    write(
        Function::RescheduleAppointment,
        &["reschedule_appointment"],
        Role::Reschedule,
        "Ich verschiebe den Termin gerade. Die Bestätigung dauert einen Moment, wir melden uns, falls es nicht klappt.",
    ),
    write(Function::SaveCustomerPreference, &["save_customer_preference"], Role::Desk, WRITE_LATE),
    read(Function::ApplyVipBenefits, &["apply_vip_benefits"]),
    write(Function::RequestCallback, &["request_callback", "schedule_callback"], Role::Desk, WRITE_LATE),
    read(Function::CheckTransferAvailability, &["check_transfer_availability"]),
    read(Function::TransferCall, &["transfer_call", "handle_urgent_transfer"]),
];

/// What a caller hears when a function that we do not know gets no answer in time.
pub const UNKNOWN_FUNCTION_SENTENCE: &str = "Das kann ich gerade leider nicht für Sie erledigen. Möchten Sie, dass wir Sie zurückrufen?";

impl Function {
    /// Every function.
    pub const ALL: [Self; 22] = {
        let mut all = [Self::InitializeCall; 22];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].function;
            index += 1;
        }
        all
    };

    /// The function's row.
    ///
    /// # Panics
    /// Never: the table has a row for each variant, which a test holds.
    #[must_use]
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.function == self).expect("every function has a row: a test walks all variants")
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().names[0]
    }

    #[must_use]
    pub fn role(self) -> Role {
        self.row().role
    }

    /// The function that a tool name means: any alias, with or without a version suffix `_v17` (incident 79).
    #[must_use]
    pub fn by_tool_name(name: &str) -> Option<Self> {
        let name = without_version_suffix(name);
        TABLE.iter().find(|row| row.names.contains(&name)).map(|row| row.function)
    }

    /// The function with exactly this canonical name.
    #[must_use]
    pub fn by_canonical_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.names[0] == name).map(|row| row.function)
    }
}

fn without_version_suffix(name: &str) -> &str {
    match name.rsplit_once("_v") {
        Some((stem, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_function_has_one_row() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|row| row.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for function in Function::ALL {
            assert_eq!(Function::by_canonical_name(function.name()), Some(function));
        }
    }

    /// Incident 79: versioned function names went unmatched.
    #[test]
    fn a_version_suffix_is_stripped_and_only_that() {
        assert_eq!(Function::by_tool_name("book_appointment_v17"), Some(Function::BookAppointment));
        assert_eq!(Function::by_tool_name("start_booking"), Some(Function::BookAppointment));
        assert_eq!(Function::by_tool_name("book_appointment_vip"), None);
        assert_eq!(Function::by_tool_name("book_appointment_v"), None);
    }
}
