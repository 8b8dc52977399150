//! The rows, by what they are about. Each file says what is particular about its functions.

mod appointments;
mod calendar;
mod caller;
mod company;

use super::{FUNCTION_DEADLINE, Function, Parameter, Row};
use crate::domain::policies::LimitClass;
use crate::envelope::{Lane, Role};
use crate::texts::Key;

/// The registry. A function whose role is `desk` although it changes something is answered there, because it calls nobody else.
pub const TABLE: [Row; 22] = [
    caller::INITIALIZE_CALL,
    calendar::CURRENT_TIME_BERLIN,
    caller::IDENTIFY_CUSTOMER,
    calendar::PARSE_DATE,
    calendar::CHECK_AVAILABILITY,
    calendar::GET_ALTERNATIVES,
    calendar::RESERVE_SLOT,
    calendar::RELEASE_SLOT,
    appointments::BOOK_APPOINTMENT,
    appointments::CONFIRM_BOOKING,
    appointments::COLLECT_APPOINTMENT_DATA,
    appointments::QUERY_APPOINTMENT,
    company::LIST_SERVICES,
    company::GET_SERVICE_INFO,
    company::GET_OPENING_HOURS,
    appointments::CANCEL_APPOINTMENT,
    appointments::RESCHEDULE_APPOINTMENT,
    caller::SAVE_CUSTOMER_PREFERENCE,
    caller::APPLY_VIP_BENEFITS,
    company::REQUEST_CALLBACK,
    company::CHECK_TRANSFER_AVAILABILITY,
    company::TRANSFER_CALL,
];

/// What every answer may be, whatever the function: a limit is reached, or an argument is of no use.
pub(super) const ANY: [Key; 3] = [Key::TooMuchAtOnce, Key::NotUnderstood, Key::CannotDoThis];

/// A question: `desk` answers it, nothing is kept of it.
const fn read(
    function: Function,
    names: &'static [&'static str],
    german_names: &'static [&'static str],
    description: &'static str,
    parameters: &'static [Parameter],
    texts: &'static [Key],
) -> Row {
    Row {
        function,
        names,
        german_names,
        description,
        parameters,
        role: Role::Desk,
        lane: Lane::Live,
        deadline: FUNCTION_DEADLINE,
        write: false,
        limit_class: LimitClass::Function,
        waiting: None,
        fallback_sentence: Key::ReadLate.german(),
        texts,
    }
}

impl Row {
    /// The same with an effect: the wish outlives a late answer, and its role says it.
    const fn writing(self, role: Role, late: Key) -> Self {
        Self { role, write: true, fallback_sentence: late.german(), ..self }
    }

    /// The same, long enough that the agent says something meanwhile.
    const fn while_waiting(self, waiting: Key) -> Self {
        Self { waiting: Some(waiting), ..self }
    }

    /// The same, counted among the VIP functions (domain reference 4.10).
    const fn of_vips(self) -> Self {
        Self { limit_class: LimitClass::Vip, ..self }
    }
}
