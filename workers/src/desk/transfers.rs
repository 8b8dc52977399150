//! Putting a caller through (functions check_transfer_availability and transfer_call): number and hours come from the company's set-up. We name the number, Retell connects;
//! out of hours, or if nobody can be named, somebody calls back. A transfer that Retell reports as failed is `calls`' matter.

use serde_json::{Value, json};
use shared::domain::local_time;
use shared::domain::opening_hours::OpeningHours;
use shared::domain::person_names::{Colleague, colleague};
use shared::functions::arguments::STAFF;
use shared::store::branches;
use shared::store::tx::CompanyTx;
use shared::texts::{Sentence, choices};

use super::asked::{Asked, refusal};
use super::callbacks;
use crate::runtime::handler::Failure;

/// Where to, or why not.
enum Line {
    To(String),
    /// Nobody answers: the reason in the reference's words.
    Nobody(&'static str),
    /// It must be asked first which person or branch is meant.
    Ask(Value),
}

/// # Errors
/// Only what the store says.
pub async fn check(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let current_time = asked.now.with_timezone(&asked.zone).format("%H:%M").to_string();
    Ok(match line(tx, asked).await? {
        Line::Ask(question) => question,
        Line::To(number) => json!({
            "success": true, "available": true, "is_business_hours": true, "current_time": current_time, "transfer_number": number,
            "message": Sentence::TransferPossible {}.german(),
        }),
        Line::Nobody(reason) => json!({
            "success": true, "available": false, "is_business_hours": reason != "outside_business_hours", "current_time": current_time, "reason": reason,
            "alternative_options": { "callback": true }, "message": Sentence::TransferOutOfHours {}.german(),
        }),
    })
}

/// Names the number to connect to; else the callback is promised here and now.
///
/// # Errors
/// Only what the store says.
pub async fn transfer(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Value, Failure> {
    let reason = match line(tx, asked).await? {
        Line::Ask(question) => return Ok(question),
        Line::To(number) => {
            return Ok(json!({
                "success": true, "action": "transfer", "transfer_type": "warm", "transfer_number": number, "transfer_to": number,
                "message": Sentence::Transferring {}.german(),
            }));
        }
        Line::Nobody(reason) => reason,
    };
    let phone = asked.number();
    let reachable = phone.is_some();
    let promised = callbacks::promise(tx, asked, "transfer_not_possible", phone).await?;
    let mut answer = callbacks::fields(&promised, asked);
    answer["success"] = false.into();
    answer["action"] = "continue".into();
    answer["reason"] = reason.into();
    // without a number the promise is a row that nobody can keep yet: request_callback completes it
    let sentence = if reachable { Sentence::TransferNotPossible {} } else { Sentence::CallbackNeedsPhone {} };
    answer["message"] = sentence.german().into();
    Ok(answer)
}

async fn line(tx: &mut CompanyTx, asked: &Asked<'_>) -> Result<Line, Failure> {
    let branch = match asked.branch(tx).await? {
        Ok(branch) => branch,
        Err(question) => return Ok(Line::Ask(question)),
    };
    let number = match asked.told(&STAFF) {
        None => branch.transfer_number.clone(),
        Some(spoken) => {
            let mut people = branches::people(tx, branch.id).await?;
            let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
            match colleague(&spoken, &names) {
                Colleague::Anyone => branch.transfer_number.clone(),
                // that person or nobody (incident 55)
                Colleague::Exactly(place) => people.swap_remove(place).transfer_number,
                Colleague::Probably(place) => return Ok(Line::Ask(which(&names[place..=place]))),
                Colleague::Several(places) => return Ok(Line::Ask(which(&places.iter().map(|place| names[*place]).collect::<Vec<_>>()))),
                Colleague::Nobody => return Ok(Line::Ask(refusal("unknown_staff", Sentence::StaffUnknown {}))),
            }
        }
    };
    let Some(number) = number else { return Ok(Line::Nobody("person_unavailable")) };
    let hours = branch.transfer_hours.as_object().and_then(|plan| OpeningHours::parse(plan).ok()).unwrap_or_default();
    let zone = local_time::zone(&branch.time_zone).unwrap_or(asked.zone);
    let open = hours.is_open(asked.now.with_timezone(&zone).naive_local());
    Ok(if open { Line::To(number) } else { Line::Nobody("outside_business_hours") })
}

fn which(names: &[&str]) -> Value {
    let mut answer = refusal("ambiguous_staff", Sentence::StaffAmbiguous { staff: &choices(names) });
    answer["staff"] = json!(names);
    answer
}
