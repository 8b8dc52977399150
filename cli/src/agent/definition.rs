//! What Retell is told of a company: its response engine with prompt and tools, its agent's settings, its numbers' inbound webhook.
//!
//! Pure, made from the registry of functions and the company's set-up; minimal payloads, because whatever is echoed back to Retell ages (retell reference 6.3). No number,
//! no date and no name of a customer stands in it: those are dynamic variables. Called by `frontdesk agent export` only.

use serde_json::{Map, Value, json};
use shared::functions::variables::VARIABLES;
use shared::functions::{FUNCTION_DEADLINE, Function, Row, TABLE};
use shared::store::companies::CompanySetup;
use shared::texts::Key;

const PROMPT: &str = include_str!("prompt.de.md");
const TRANSFER: &str = include_str!("transfer.de.md");
const NO_TRANSFER: &str = include_str!("no_transfer.de.md");
/// Who speaks, and for whom; the rest of the first sentence depends on the caller.
const FIRST_SENTENCE: &str = "Sie sprechen mit der digitalen Assistenz von {{company_name}}. {{greeting}}";
/// Retell's own tool that dials. The custom function `transfer_call` says whether and where to, and must be asked first.
const CONNECT: &str = "connect_call";
/// Set by the answer of `transfer_call`; without a default the braces would be dialled.
const TRANSFER_NUMBER: &str = "transfer_number";
/// A tool gives up well after ingress has answered: its deadline, and the ways there and back (retell reference 4.2).
const TOOL_TIMEOUT_MS: u64 = FUNCTION_DEADLINE.as_millis() as u64 + 4_000;
/// Every function is idempotent by its tool call; one repetition carries it over a restart (retell reference 4.3).
const TOOL_RETRIES: u32 = 1;
/// Retell's own default, named so that nobody wonders.
const WEBHOOK_TIMEOUT_MS: u32 = 10_000;
/// Somebody who is dialled answers within this, or the caller is called back.
const TRANSFER_DETECTION_MS: u32 = 30_000;
/// More than this biases the transcriber towards everything.
const KEYWORDS_MAX: usize = 100;
/// What `calls` lives from. The transfer events are not in Retell's default set, and without them a failed transfer promises nothing (retell reference 8.14).
const WEBHOOK_EVENTS: [&str; 7] =
    ["call_started", "call_ended", "call_analyzed", "transfer_started", "transfer_bridged", "transfer_cancelled", "transfer_ended"];

/// What the export is made for.
pub struct Subject<'a> {
    pub setup: &'a CompanySetup,
    /// Index into the set-up's branches; `None`: one agent for all of them, the number that was called says which.
    pub branch: Option<usize>,
    /// Where Retell sends to: the public address with the endpoint's path.
    pub endpoint_url: &'a str,
}

impl Subject<'_> {
    /// Body of Retell's create-retell-llm and update-retell-llm.
    pub fn response_engine(&self) -> Value {
        let mut tools: Vec<Value> = TABLE.iter().map(|row| self.tool(row)).collect();
        if self.transfers() {
            tools.push(connect_tool());
        }
        tools.push(json!({ "type": "end_call", "name": "end_call", "description": "Beendet das Gespräch, nachdem sich beide verabschiedet haben." }));
        let prompt = format!("{PROMPT}{}", if self.transfers() { TRANSFER } else { NO_TRANSFER });
        json!({
            "start_speaker": "agent",
            "begin_message": FIRST_SENTENCE,
            "general_prompt": prompt,
            "general_tools": tools,
            "default_dynamic_variables": self.defaults(),
        })
    }

    /// Body of update-agent; with a voice and a response engine, of create-agent.
    pub fn agent(&self, voice: Option<&str>, engine: Option<&str>) -> Value {
        let mut agent = json!({
            "agent_name": self.branch_name().map_or_else(|| self.setup.name.clone(), |branch| format!("{}, {branch}", self.setup.name)),
            "language": "de-DE",
            "timezone": self.time_zone(),
            "webhook_url": self.endpoint_url,
            "webhook_events": WEBHOOK_EVENTS,
            "webhook_timeout_ms": WEBHOOK_TIMEOUT_MS,
            "boosted_keywords": self.keywords(),
            "post_call_analysis_data": [{
                "type": "string", "name": "customer_name",
                "description": "Vor- und Nachname, so wie der Anrufer ihn genannt hat; leer, wenn er keinen genannt hat",
            }, {
                "type": "boolean", "name": "appointment_made",
                "description": "Ob der Agent dem Anrufer gesagt hat, dass ein Termin gebucht oder angefragt ist",
            }],
        });
        if let Some(voice) = voice {
            agent["voice_id"] = json!(voice);
        }
        if let Some(engine) = engine {
            agent["response_engine"] = json!({ "type": "retell-llm", "llm_id": engine });
        }
        agent
    }

    /// Body of update-phone-number, the same for each of the company's numbers.
    pub fn phone_number(&self) -> Value {
        json!({ "inbound_webhook_url": self.endpoint_url })
    }

    /// The numbers that ring at this agent.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        let branch = self.branch.map(|index| self.setup.branches[index].id);
        self.setup.phone_numbers.iter().filter(move |number| number.active && branch.is_none_or(|id| number.branch_id == id)).map(|number| number.e164.as_str())
    }

    fn tool(&self, row: &Row) -> Value {
        let mut tool = json!({
            "type": "custom",
            "name": row.names[0],
            "description": row.description,
            "url": self.endpoint_url,
            "method": "POST",
            // arguments at the root would lose the call, and with it caller and company (retell reference 4.1)
            "args_at_root": false,
            "parameters": row.parameters_schema(),
            "timeout_ms": TOOL_TIMEOUT_MS,
            "max_retry": TOOL_RETRIES,
            "speak_during_execution": row.waiting.is_some(),
            "speak_after_execution": true,
        });
        if let Some(waiting) = row.waiting {
            tool["execution_message_type"] = json!("static_text");
            tool["execution_message_description"] = json!(waiting.german());
            tool["enable_typing_sound"] = json!(true);
        }
        if row.function == Function::TransferCall {
            tool["response_variables"] = json!({ TRANSFER_NUMBER: TRANSFER_NUMBER });
        }
        tool
    }

    /// Whether anybody can be reached through the agent: at the branch, at the company, or by name.
    fn transfers(&self) -> bool {
        let branches = self.setup.branches.iter().enumerate().filter(|(index, _)| self.branch.is_none_or(|wanted| wanted == *index));
        let of_branches = branches.map(|(_, branch)| branch.transfer_number.as_ref());
        let of_people = self.setup.staff.iter().map(|person| person.transfer_number.as_ref());
        of_branches.chain(of_people).chain([self.setup.transfer_number.as_ref()]).any(|number| number.is_some())
    }

    /// What the variables are when call_inbound was not answered in time: blank, but for what the set-up says (retell reference 3).
    fn defaults(&self) -> Map<String, Value> {
        let mut defaults: Map<String, Value> = VARIABLES.iter().map(|variable| (variable.name.to_owned(), json!(variable.default))).collect();
        defaults.insert("company_name".to_owned(), json!(self.setup.name));
        defaults.insert("branch_name".to_owned(), json!(self.branch_name().unwrap_or_default()));
        defaults.insert("timezone".to_owned(), json!(self.time_zone()));
        defaults.insert("greeting".to_owned(), json!(Key::GreetNew.german()));
        if self.transfers() {
            defaults.insert(TRANSFER_NUMBER.to_owned(), json!(""));
        }
        defaults
    }

    /// The wanted branch; a company's only one counts as wanted.
    fn branch_index(&self) -> Option<usize> {
        self.branch.or((self.setup.branches.len() == 1).then_some(0))
    }

    fn branch_name(&self) -> Option<&str> {
        self.branch_index().map(|index| self.setup.branches[index].name.as_str())
    }

    fn time_zone(&self) -> &str {
        self.branch_index().map_or(self.setup.time_zone.as_str(), |index| self.setup.branches[index].time_zone.as_str())
    }

    /// Words of this business that a transcriber would not expect.
    fn keywords(&self) -> Vec<&str> {
        let services = self.setup.services.iter().filter(|service| service.active).map(|service| service.name.as_str());
        std::iter::once(self.setup.name.as_str()).chain(services).take(KEYWORDS_MAX).collect()
    }
}

/// Warm, so that the agent stays on the line and can offer the callback (retell reference 5); the caller's number is not shown, which many trunks refuse.
fn connect_tool() -> Value {
    json!({
        "type": "transfer_call",
        "name": CONNECT,
        "description": "Verbindet den Anrufer; nur nachdem transfer_call es erlaubt hat.",
        "transfer_destination": { "type": "predefined", "number": format!("{{{{{TRANSFER_NUMBER}}}}}") },
        "transfer_option": {
            "type": "warm_transfer",
            "show_transferee_as_caller": false,
            "agent_detection_timeout_ms": TRANSFER_DETECTION_MS,
            "on_hold_music": "ringtone",
            "private_handoff_option": { "type": "prompt", "prompt": "Sage in einem Satz, wer anruft und worum es geht." },
        },
        "speak_during_execution": true,
        "execution_message_type": "static_text",
        "execution_message_description": Key::Transferring.german(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that does not exist would be read out, or called and answered with silence (incidents 65, 84).
    #[test]
    fn the_prompt_names_only_functions_fields_and_variables_that_there_are() {
        let fields = ["message", "success", "booked", "customer_name", "end_call", CONNECT];
        for prompt in [PROMPT, TRANSFER, NO_TRANSFER, FIRST_SENTENCE] {
            for name in prompt.split('`').skip(1).step_by(2) {
                assert!(Function::by_canonical_name(name).is_some() || fields.contains(&name), "`{name}`");
            }
            for variable in prompt.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                assert!(VARIABLES.iter().any(|known| known.name == variable), "{{{{{variable}}}}}");
            }
        }
        for variable in VARIABLES {
            let used = [PROMPT, FIRST_SENTENCE].iter().any(|text| text.contains(&format!("{{{{{}}}}}", variable.name)));
            assert!(used, "nobody reads {}", variable.name);
        }
    }
}
