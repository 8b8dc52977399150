//! `frontdesk timeline`: the story of a customer, on one screen: calls, bookings, moves and cancellations in one order.
//!
//! Everything that is told comes from `shared::store::timeline`; here it is only put into lines (`lines`). Names and numbers are shown on purpose: this is a screen of
//! support people, no log. `found` asks for what is meant, and is used by `call show` and `appointment show`, too.

pub mod found;
pub mod lines;

use clap::Args;
use serde::Serialize;
use shared::store::timeline::{self, AppointmentHead, CustomerHead, Entry, Page, Subject};
use shared::store::tx::CompanyTx;

use crate::table::table;
use crate::{CliError, Outcome, Session};
use found::{Found, Scope};
use lines::{Painter, clean, numbered, slot};

/// What a customer has before him is a handful; the timeline shows the rest.
const UPCOMING_MAX: u32 = 5;

/// Show a customer's story: calls, bookings, moves, cancellations, newest first.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  frontdesk timeline +4915112345678\n  frontdesk timeline '#12' --company \"Friseur Müller\" --limit 200")]
pub struct ShowTimeline {
    /// Short number, phone, e-mail or id.
    customer: String,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Serialize)]
struct Story {
    customer: CustomerHead,
    upcoming: Vec<AppointmentHead>,
    entries: Page<Entry>,
}

impl ShowTimeline {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        let found = self.scope.search(&pool, &self.customer, async |tx, key| timeline::find_customers(tx, key).await).await?;
        let customer = match found {
            Found::One(customer) => *customer,
            other => return other.tell(session, &self.customer, "Kunde", "frontdesk timeline", candidate),
        };
        let mut tx = CompanyTx::begin(&pool, Some(customer.company_id), &[]).await?;
        let now = tx.now().await?;
        let upcoming = timeline::upcoming(&mut tx, customer.customer_id, now, UPCOMING_MAX).await?;
        let entries = timeline::newest_first(&mut tx, Subject::Customer(customer.customer_id), self.scope.limit).await?;
        tx.commit().await?;
        let painter = session.painter();
        session.answer(&Story { customer, upcoming, entries }, |story| describe(story, painter))?;
        Ok(Outcome::Done)
    }
}

fn candidate(customer: &CustomerHead) -> Vec<String> {
    let known = customer.phone.as_ref().or(customer.email.as_ref());
    vec![
        clean(&customer.company),
        numbered(customer.number),
        customer.name.as_deref().map_or_else(|| "ohne Namen".to_owned(), clean),
        known.map_or_else(|| "anonym".to_owned(), |known| clean(known)),
        customer.customer_id.to_string(),
    ]
}

fn describe(story: &Story, painter: Painter) -> String {
    let customer = &story.customer;
    let mut head = vec![format!("Kunde {}", numbered(customer.number)), customer.name.as_deref().map_or_else(|| "ohne Namen".to_owned(), clean)];
    head.extend(customer.phone.as_deref().or(customer.email.as_deref()).map(clean));
    if customer.anonymous {
        head.push("anonymer Anrufer".to_owned());
    }
    if customer.vip_tier != "none" {
        head.push(format!("VIP {}", clean(&customer.vip_tier)));
    }
    head.push(clean(&customer.company));
    let mut text = format!("{}\n", painter.bold(&head.join(" · ")));
    text.push_str(&format!(
        "{}, {}, davon {} noch bevorstehend\n",
        count(customer.calls, "Anruf", "Anrufe"),
        count(customer.appointments, "Termin", "Termine"),
        customer.upcoming
    ));
    for appointment in &story.upcoming {
        text.push_str(&format!("  {}\n", upcoming_line(appointment)));
    }
    if customer.upcoming > i64::from(UPCOMING_MAX) {
        text.push_str("  …\n");
    }
    text.push('\n');
    text.push_str(&lines::entries(&story.entries.rows, painter, "Noch kein Anruf und kein Termin."));
    if story.entries.more {
        text.push_str(&format!(
            "\nÄltere Einträge fehlen hier: die neuesten {} stehen da, mehr mit --limit (bis {}).",
            story.entries.rows.len(),
            found::LIMIT_MAX
        ));
    }
    if customer.unlinked_calls > 0
        && let Some(phone) = &customer.phone
    {
        let calls = count(customer.unlinked_calls, "Anruf", "Anrufe");
        text.push_str(&format!("\n{calls} von dieser Nummer ohne Kunden: frontdesk call show {}", clean(phone)));
    }
    text
}

fn upcoming_line(appointment: &AppointmentHead) -> String {
    let mut parts = vec![format!("Termin #{}", appointment.number), slot(appointment.starts_at, &appointment.time_zone)];
    parts.extend(appointment.service.as_deref().map(clean));
    parts.extend(appointment.staff.as_deref().map(|staff| format!("bei {}", clean(staff))));
    parts.push(shared::domain::timeline::appointment_status(&appointment.status).to_owned());
    parts.join(" · ")
}

/// "1 Anruf", "2 Anrufe".
pub fn count(number: i64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A table under a heading, or nothing.
pub fn section(heading: &str, header: &[&str], rows: Vec<Vec<String>>, painter: Painter) -> String {
    if rows.is_empty() { String::new() } else { format!("\n\n{}\n{}", painter.bold(heading), table(header, rows, "")) }
}
