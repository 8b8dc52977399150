//! The dynamic variables of a call: what `call_inbound` answers with, what the exported agent's prompt may name, and what each is when nobody answered in time.
//!
//! Strings only, or Retell voids the whole answer (retell reference 3). A variable that is not here would be read out as `{{name}}`: `desk` supplies these, `frontdesk
//! agent export` gives their defaults to the agent, and a test holds the prompt to this list. Not Retell's own variables (`user_number`, `current_time_Europe/Berlin`).

/// One dynamic variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    /// What it is without our answer. Blank, so that the prompt reads "unknown"; who and where the company is, the export fills in.
    pub default: &'static str,
    /// What stands in it, for people.
    pub meaning: &'static str,
}

const fn blank(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: "", meaning }
}

/// Every variable that `call_inbound` supplies.
pub const VARIABLES: [Variable; 13] = [
    blank("company_name", "the company that was called"),
    blank("branch_name", "the branch whose number was called"),
    blank("timezone", "the branch's IANA zone"),
    blank("greeting", "the first sentence, by time of day and by how well the caller is known"),
    blank("customer_phone_number", "the caller's number, E.164; blank when it is withheld"),
    blank("customer_name", "the caller's name; blank when unknown"),
    blank("next_appointment", "the caller's next appointment in words; blank if there is none"),
    blank("current_date", "today as DD.MM.YYYY"),
    blank("current_time", "now as HH:MM"),
    blank("current_weekday", "today's weekday"),
    blank("heute", "today in words"),
    blank("morgen", "tomorrow in words"),
    blank("uebermorgen", "the day after tomorrow in words"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_unique_and_none_of_them_is_retells_own() {
        // retell reference 6.5 and 6.7: reserved, or already something else. `current_time` is Retell's, in Los Angeles: ours takes its place
        let retells = ["user_number", "agent_number", "call_id", "call_type", "direction", "first_name", "last_name", "do_not_call", "contact_memory"];
        for (index, variable) in VARIABLES.iter().enumerate() {
            assert!(VARIABLES[..index].iter().all(|other| other.name != variable.name), "{} comes twice", variable.name);
            assert!(!retells.contains(&variable.name), "{}", variable.name);
            assert!(variable.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !variable.meaning.is_empty(), "{}", variable.name);
        }
    }
}
