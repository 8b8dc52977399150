//! What is said in each call of the story, as scripts for the Retell stand-in. Pure. Called by `story`.
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::plan::{self, Plan, ZONE};

/// Books, and moves the appointment.
pub fn first(plan: &Plan) -> Value {
    let book = json!({"customer_name": plan::CALLER_NAME, "service_name": plan::PHONE_SERVICE, "date": date(plan.booked_for), "time": time(plan.booked_for)});
    let shift = json!({"old_date": date(plan.booked_for), "new_date": date(plan.moved_to), "new_time": time(plan.moved_to), "bestaetigung": true});
    call(
        plan::CALLER,
        vec![
            json!({"do": "say", "role": "agent", "content": "Guten Tag, Friseur Müller. Was kann ich für Sie tun?"}),
            user("Ich hätte gerne am Donnerstag um zehn einen Haarschnitt."),
            function("book_appointment", &book),
            user("Ach, vierzehn Uhr wäre mir doch lieber."),
            function("reschedule_appointment", &shift),
        ],
        "Ein Termin wurde gebucht und verschoben.",
    )
}

/// The same caller, by now a gold customer, books for somebody else.
pub fn returning(plan: &Plan) -> Value {
    let book = json!({"customer_name": plan::SON_NAME, "service_name": plan::PHONE_SERVICE, "date": date(plan.for_son), "time": time(plan.for_son)});
    call(
        plan::CALLER,
        vec![
            function("apply_vip_benefits", &json!({})),
            user("Ich brauche einen Haarschnitt für meinen Sohn Max, am Mittwoch um neun."),
            function("book_appointment", &book),
        ],
        "Ein Termin für den Sohn wurde gebucht.",
    )
}

/// Withholds the number: may book, may not cancel.
pub fn anonymous(plan: &Plan) -> Value {
    let when = json!({"date": date(plan.anonymous), "time": time(plan.anonymous)});
    let mut book = when.clone();
    book["customer_name"] = json!(plan::ANONYMOUS_NAME);
    book["service_name"] = json!(plan::VISITOR_SERVICE);
    call(
        "anonymous",
        vec![
            user("Winter, guten Tag. Am Mittwoch um elf eine Beratung, bitte."),
            function("book_appointment", &book),
            user("Ach nein, sagen Sie ihn bitte wieder ab."),
            function("cancel_appointment", &when),
        ],
        "Ein Termin wurde gebucht, eine Absage gewünscht.",
    )
}

/// One of two who want the same time; who does not get it takes what is offered instead.
pub fn rival(plan: &Plan, (number, name): (&str, &str)) -> Value {
    let mut book = json!({"customer_name": name, "service_name": plan::VISITOR_SERVICE});
    let other = book.clone();
    book["date"] = json!(date(plan.contested));
    book["time"] = json!(time(plan.contested));
    call(
        number,
        vec![
            user("Eine Beratung am Mittwoch um fünfzehn Uhr, bitte."),
            function("book_appointment", &book),
            json!({"do": "take_offer", "name": "book_appointment", "args": other}),
        ],
        "Ein Termin wurde gebucht.",
    )
}

/// Asks for a person, who does not answer.
pub fn transferred() -> Value {
    let transfer = |event: &str| json!({"do": "transfer", "event": event, "number": plan::COLLEAGUE_NUMBER});
    call(
        plan::TRANSFERRED,
        vec![
            user("Kann ich bitte Frau Sommerfeld sprechen?"),
            function("transfer_call", &json!({"mitarbeiter": plan::COLLEAGUE})),
            transfer("transfer_started"),
            transfer("transfer_cancelled"),
        ],
        "Die Weiterleitung hat nicht geklappt.",
    )
}

/// A call from the first ring to its analysis.
fn call(from: &str, middle: Vec<Value>, summary: &str) -> Value {
    let mut steps = vec![json!({"do": "ring"}), json!({"do": "start"})];
    steps.extend(middle);
    steps.push(json!({"do": "end"}));
    steps.push(json!({"do": "analyze", "summary": summary, "custom": {"intent": "book"}}));
    json!({"from": from, "to": plan::SALON, "steps": steps})
}

fn user(content: &str) -> Value {
    json!({"do": "say", "role": "user", "content": content})
}

fn function(name: &str, args: &Value) -> Value {
    json!({"do": "function", "name": name, "args": args})
}

fn date(at: DateTime<Utc>) -> String {
    at.with_timezone(&ZONE).format("%Y-%m-%d").to_string()
}

fn time(at: DateTime<Utc>) -> String {
    at.with_timezone(&ZONE).format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retell_stand_in::Script;

    #[test]
    fn every_script_is_one_that_the_stand_in_plays() {
        let plan = Plan::after("2026-11-20T12:00:00Z".parse().expect("a time"));
        let first = first(&plan);
        assert_eq!(first["steps"][4]["args"]["date"], "2026-11-26");
        assert_eq!(first["steps"][4]["args"]["time"], "10:00");
        assert_eq!(first["steps"][6]["args"]["new_time"], "14:00");
        let scripts = [first, returning(&plan), anonymous(&plan), rival(&plan, plan::RIVALS[0]), transferred()];
        let steps = scripts.map(|script| serde_json::from_value::<Script>(script).expect("a script").steps.len());
        assert_eq!(steps, [9, 7, 8, 7, 8]);
    }
}
