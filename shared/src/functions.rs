//! The one registry of phone functions: names and aliases in English and German, arguments, role, lane, deadline, effect, limits and texts of each.
//!
//! Routing (ingress), decoding (`wire`), the agent's tools, tests and docs are made from it; a function that is not here does not exist. Not what a function
//! does: that is its role. Source of names and arguments: domain reference section 2.2; identity is never an argument (retell reference 4.1, incident 37).

pub mod arguments;
mod schema;
mod table;
pub mod variables;

use std::time::Duration;

pub use arguments::{Argument, Form, Need, Parameter};

use crate::domain::policies::LimitClass;
use crate::envelope::{Lane, Role};
use crate::texts::{Key, times};

pub use table::TABLE;

/// A caller waits at most this long for a function's answer; Retell's tool timeout must be 10 s or more (architecture section 5).
pub const FUNCTION_DEADLINE: Duration = Duration::from_secs(6);
/// The phone rings while we think about call_inbound; after this it fails open (architecture section 5).
pub const CALL_INBOUND_DEADLINE: Duration = Duration::from_secs(1);
/// What a caller hears when a function that we do not know gets no answer in time (incident 84).
pub const UNKNOWN_FUNCTION_SENTENCE: &str = Key::CannotDoThis.german();

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

/// One row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub function: Function,
    /// Canonical name first, then English aliases.
    pub names: &'static [&'static str],
    /// German aliases: agents are written in German, and so are the names that people give their tools.
    pub german_names: &'static [&'static str],
    /// What the agent is told the function is for.
    pub description: &'static str,
    pub parameters: &'static [Parameter],
    /// Who answers.
    pub role: Role,
    /// Where it waits while its caller does.
    pub lane: Lane,
    pub deadline: Duration,
    /// The effect. A write's wish must not be lost when the answer is late; a read ends with its caller: ingress keeps nothing of it.
    pub write: bool,
    pub limit_class: LimitClass,
    /// What the agent says while it waits; `None`: the answer is there at once.
    pub waiting: Option<Key>,
    /// A true sentence for the caller when no answer came in time.
    pub fallback_sentence: &'static str,
    /// What its answer may say, besides the questions for its arguments and what every function may.
    pub texts: &'static [Key],
}

impl Row {
    /// Everything that a caller of the function may hear: its own texts, the questions for its arguments and about its times, and what every function may say. Some come twice.
    pub fn sentences(&self) -> impl Iterator<Item = Key> + '_ {
        let questions = self.parameters.iter().map(|parameter| parameter.argument.question);
        let spoken = self.parameters.iter().any(|parameter| parameter.argument.form == Form::Spoken);
        let about_times = if spoken { &times::ALL[..] } else { &[] };
        self.texts.iter().chain(about_times).copied().chain(questions).chain(table::ANY)
    }
}

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

    /// The function that a tool name means: any alias, with or without a version suffix `_v17` (incident 79), whatever its case, its umlauts and whether
    /// its words are parted by underscores, hyphens or blanks.
    #[must_use]
    pub fn by_tool_name(name: &str) -> Option<Self> {
        let name = plain(name);
        let name = without_version_suffix(&name);
        TABLE.iter().find(|row| row.names.contains(&name) || row.german_names.contains(&name)).map(|row| row.function)
    }

    /// The function with exactly this canonical name.
    #[must_use]
    pub fn by_canonical_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.names[0] == name).map(|row| row.function)
    }
}

/// A tool name as the table writes it.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.trim().chars().flat_map(char::to_lowercase) {
        match letter {
            '-' | ' ' => plain.push('_'),
            'ä' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            other => plain.push(other),
        }
    }
    plain
}

fn without_version_suffix(name: &str) -> &str {
    match name.rsplit_once("_v") {
        Some((stem, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests;
