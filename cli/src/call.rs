//! `frontdesk call`: the story of one call: who called, what came of it, what the caller wished and heard, and how each message and request behind it went.
//!
//! Not the transcript: that is Retell's, and more than a support person needs. Lines are made by `timeline::lines`.

use clap::Subcommand;
use serde::Serialize;
use shared::domain::timeline as words;
use shared::store::timeline::{self, CallHead, Delivery, Entry, FunctionTold, Page, Request, Subject};
use shared::store::tx::CompanyTx;

use crate::table::or_dash;
use crate::timeline::found::{Found, LIMIT_MAX, Scope};
use crate::timeline::lines::{self, Painter, clean, duration, moment, numbered, outcome, precise};
use crate::timeline::{count, section};
use crate::{CliError, Outcome, Session};

/// Calls: what happened on one.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// Show a call's story: what came of it, what the caller wished and heard, deliveries and requests.
    #[command(
        after_help = "Examples:\n  frontdesk call show 830 --company \"Friseur Müller\"\n  frontdesk call show call_0a1b2c…\n  frontdesk call show +4915112345678"
    )]
    Show {
        /// Short number, Retell's call id, the caller's phone, or id.
        call: String,
        #[command(flatten)]
        scope: Scope,
    },
}

#[derive(Serialize)]
struct Story {
    call: CallHead,
    entries: Page<Entry>,
    functions: Page<FunctionTold>,
    requests: Page<Request>,
    deliveries: Page<Delivery>,
}

impl Call {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Show { call: typed, scope } = self;
        let pool = session.database().await?;
        let call = match scope.search(&pool, &typed, async |tx, key| timeline::find_calls(tx, key).await).await? {
            Found::One(call) => *call,
            other => return other.tell(session, &typed, "Anruf", "frontdesk call show", candidate),
        };
        let mut tx = CompanyTx::begin(&pool, Some(call.company_id), &[]).await?;
        let subject = Subject::Call(call.call_id);
        let story = Story {
            entries: timeline::as_it_happened(&mut tx, subject, scope.limit).await?,
            functions: timeline::functions(&mut tx, call.call_id, scope.limit).await?,
            requests: timeline::requests(&mut tx, subject, scope.limit).await?,
            deliveries: timeline::deliveries(&mut tx, subject, scope.limit).await?,
            call,
        };
        tx.commit().await?;
        let painter = session.painter();
        session.answer(&story, |story| describe(story, painter))?;
        Ok(Outcome::Done)
    }
}

fn candidate(call: &CallHead) -> Vec<String> {
    let who = call.customer_name.as_deref().map_or_else(|| caller(call), clean);
    vec![
        clean(&call.company),
        numbered(Some(call.number)),
        format!(
            "{} · {} · {}",
            moment(call.at, &call.time_zone),
            call.duration_ms.map_or_else(|| "-".to_owned(), duration),
            outcome(call.booked, call.moved, call.cancelled)
        ),
        who,
        call.call_id.to_string(),
    ]
}

fn caller(call: &CallHead) -> String {
    call.caller.as_deref().or(call.caller_raw.as_deref()).map_or_else(|| "ohne Nummer".to_owned(), clean)
}

fn describe(story: &Story, painter: Painter) -> String {
    let call = &story.call;
    let lasted = call.duration_ms.map_or_else(|| words::call_status(&call.status).to_owned(), duration);
    let head = format!("Anruf #{} · {lasted} · {}", call.number, outcome(call.booked, call.moved, call.cancelled));
    let mut text = format!("{}\n", painter.bold(&head));
    let route = if call.direction == "outbound" { "an" } else { "von" };
    text.push_str(&format!("{} · {} · {route} {}", clean(&call.company), clean(&call.branch), caller(call)));
    text.push_str(&format!(" · {} · {}\n", precise(call.at, &call.time_zone), words::call_status(&call.status)));
    text.push_str(&match (call.customer_number, call.customer_id) {
        (_, None) => "Keinem Kunden zugeordnet\n".to_owned(),
        (number, Some(_)) => format!("Kunde {} {}\n", numbered(number), call.customer_name.as_deref().map_or_else(|| "ohne Namen".to_owned(), clean)),
    });
    text.push_str(&lines::name_told("Genannter Name", call.name_given.as_deref(), call.name_agreement.as_deref(), call.customer_name.as_deref()));
    if let Some(summary) = &call.summary {
        text.push_str(&format!("Zusammenfassung: {}\n", clean(summary)));
    }
    if call.denied + call.callbacks + call.unfinished > 0 {
        text.push_str(&format!(
            "{} nicht erlaubt, {}, {} offen oder gescheitert\n",
            count(call.denied, "Änderung", "Änderungen"),
            count(call.callbacks, "Rückruf", "Rückrufe"),
            count(call.unfinished, "Buchung", "Buchungen")
        ));
    }
    text.push_str(&technical(call));
    text.push('\n');
    text.push_str(&lines::entries(&story.entries.rows, painter, ""));
    text.push_str(&section("Was der Anrufer wollte und was er hörte", &["Zeit", "Funktion", "Ergebnis", "Termin", "Antwort"], functions(story), painter));
    text.push_str(&lines::requests(&story.requests.rows, &call.time_zone, painter));
    text.push_str(&lines::deliveries(&story.deliveries.rows, &call.time_zone, painter));
    if story.entries.more || story.functions.more || story.requests.more || story.deliveries.more {
        text.push_str(&format!("\nDas ist nicht alles: mehr mit --limit (bis {LIMIT_MAX})."));
    }
    text
}

fn technical(call: &CallHead) -> String {
    let mut parts = vec![clean(&call.retell_call_id)];
    parts.extend(call.disconnection_reason.as_deref().map(|reason| format!("Ende: {}", clean(reason))));
    parts.extend(call.transfer_state.as_deref().map(|state| format!("Weiterleitung: {}", clean(state))));
    if call.in_voicemail == Some(true) {
        parts.push("Mailbox".to_owned());
    }
    format!("{}\n", parts.join(" · "))
}

fn functions(story: &Story) -> Vec<Vec<String>> {
    let row = |told: &FunctionTold| {
        let result = match (told.state.as_str(), told.success) {
            ("final", Some(true)) => "gelungen",
            ("final", _) => "nicht gelungen",
            _ => "in Arbeit",
        };
        let heard = match (told.told.as_deref(), &told.told_sentence) {
            (Some("missed"), Some(sentence)) => Some(format!("{} (das Ergebnis kam später)", clean(sentence))),
            _ => told.sentence.as_deref().map(clean),
        };
        vec![precise(told.at, &story.call.time_zone), clean(&told.function), result.to_owned(), numbered(told.appointment_number), or_dash(heard)]
    };
    story.functions.rows.iter().map(row).collect()
}
