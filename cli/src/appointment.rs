//! `frontdesk appointment`: the story of one appointment: how it stands, its life, each of the thirteen audit columns with the event that set it, and how each message and
//! request behind it went.
//!
//! Only reading: appointments are changed by callers, by guests and hosts in Cal.com, and by nobody else. Lines are made by `timeline::lines`.

use clap::Subcommand;
use serde::Serialize;
use shared::domain::timeline::{self as words, EntryKind};
use shared::store::timeline::{self, AppointmentHead, AuditValue, Delivery, Entry, Page, Request, Subject};
use shared::store::tx::CompanyTx;

use crate::timeline::found::{Found, LIMIT_MAX, Scope};
use crate::timeline::lines::{self, Painter, clean, numbered, precise, slot};
use crate::timeline::section;
use crate::{CliError, Outcome, Session};

/// Appointments: what happened to one.
#[derive(Debug, Subcommand)]
pub enum Appointment {
    /// Show an appointment's story: its life, its audit columns with the events that set them, deliveries and requests.
    #[command(
        after_help = "Examples:\n  frontdesk appointment show 672 --company \"Friseur Müller\"\n  frontdesk appointment show 2NtaeaVcKfpmSZ4CthFdfk\n  frontdesk appointment show +4915112345678"
    )]
    Show {
        /// Short number, Cal.com uid (also one that was moved away from), Retell's call id, the customer's phone, or id.
        appointment: String,
        #[command(flatten)]
        scope: Scope,
    },
}

#[derive(Serialize)]
struct Story {
    appointment: AppointmentHead,
    entries: Page<Entry>,
    audit_columns: Vec<AuditValue>,
    requests: Page<Request>,
    deliveries: Page<Delivery>,
}

impl Appointment {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let Self::Show { appointment: typed, scope } = self;
        let pool = session.database().await?;
        let appointment = match scope.search(&pool, &typed, async |tx, key| timeline::find_appointments(tx, key).await).await? {
            Found::One(appointment) => *appointment,
            other => return other.tell(session, &typed, "Termin", "frontdesk appointment show", candidate),
        };
        let mut tx = CompanyTx::begin(&pool, Some(appointment.company_id), &[]).await?;
        let subject = Subject::Appointment(appointment.appointment_id);
        let story = Story {
            entries: timeline::as_it_happened(&mut tx, subject, scope.limit).await?,
            audit_columns: timeline::audit_values(&mut tx, appointment.appointment_id).await?,
            requests: timeline::requests(&mut tx, subject, scope.limit).await?,
            deliveries: timeline::deliveries(&mut tx, subject, scope.limit).await?,
            appointment,
        };
        tx.commit().await?;
        let painter = session.painter();
        session.answer(&story, |story| describe(story, painter))?;
        Ok(Outcome::Done)
    }
}

fn who(appointment: &AppointmentHead) -> String {
    let name = appointment.customer_name.as_deref().map_or_else(|| "ohne Namen".to_owned(), clean);
    format!("Kunde {} {name}", numbered(appointment.customer_number))
}

fn candidate(appointment: &AppointmentHead) -> Vec<String> {
    let service = appointment.service.as_deref().map_or_else(|| "-".to_owned(), clean);
    let status = words::appointment_status(&appointment.status);
    vec![
        clean(&appointment.company),
        numbered(Some(appointment.number)),
        format!("{} · {service} · {status}", slot(appointment.starts_at, &appointment.time_zone)),
        who(appointment),
        appointment.appointment_id.to_string(),
    ]
}

fn describe(story: &Story, painter: Painter) -> String {
    let appointment = &story.appointment;
    let minutes = (appointment.ends_at - appointment.starts_at).num_minutes();
    let mut head = vec![
        format!("Termin #{}", appointment.number),
        words::appointment_status(&appointment.status).to_owned(),
        format!("{}, {minutes} min", slot(appointment.starts_at, &appointment.time_zone)),
    ];
    head.extend(appointment.service.as_deref().map(clean));
    head.extend(appointment.staff.as_deref().map(|staff| format!("bei {}", clean(staff))));
    let mut text = format!("{}\n", painter.bold(&head.join(" · ")));
    text.push_str(&format!("{} · {} · {}", clean(&appointment.company), clean(&appointment.branch), who(appointment)));
    text.push_str(&appointment.customer_phone.as_deref().map(|phone| format!(" · {}", clean(phone))).unwrap_or_default());
    text.push('\n');
    let (name, agreement) = (appointment.name_given.as_deref(), appointment.name_agreement.as_deref());
    text.push_str(&lines::name_told("Gebucht auf den Namen", name, agreement, appointment.customer_name.as_deref()));
    text.push_str(&format!("Cal.com: {}", appointment.calcom_uid.as_deref().map_or_else(|| "keine Buchung".to_owned(), clean)));
    text.push_str(&appointment.call_number.map(|number| format!(" · gebucht in Anruf #{number}")).unwrap_or_default());
    text.push_str(if appointment.imported { " · aus der Geschichte übernommen\n" } else { "\n" });
    text.push('\n');
    text.push_str(&lines::entries(&story.entries.rows, painter, ""));
    let audit = story.audit_columns.iter().map(|value| audit_row(value, &appointment.time_zone)).collect();
    text.push_str(&section("Wer, wie, wann: die 13 Audit-Spalten", &["Spalte", "Wert", "gesetzt durch"], audit, painter));
    text.push_str(&lines::requests(&story.requests.rows, &appointment.time_zone, painter));
    text.push_str(&lines::deliveries(&story.deliveries.rows, &appointment.time_zone, painter));
    if story.entries.more || story.requests.more || story.deliveries.more {
        text.push_str(&format!("\nDas ist nicht alles: mehr mit --limit (bis {LIMIT_MAX})."));
    }
    text
}

fn audit_row(value: &AuditValue, zone: &str) -> Vec<String> {
    let shown = match (&value.value, value.at, &value.user_name) {
        (Some(text), ..) => clean(text),
        (None, Some(at), _) => precise(at, zone),
        (None, None, Some(user)) => clean(user),
        (None, None, None) => "-".to_owned(),
    };
    let event = value.event_kind.as_deref().zip(value.event_at).map(|(kind, at)| {
        let label = EntryKind::parse(kind).map_or_else(|| clean(kind), |kind| kind.label().to_owned());
        let call = value.event_call_number.map(|number| format!(", Anruf #{number}")).unwrap_or_default();
        format!("{label} {}{call}", precise(at, zone))
    });
    let filled = value.backfill_method.as_deref().map(|method| {
        let percent = value.backfill_confidence.unwrap_or_default() * 100.0;
        format!("Backfill: {} ({percent:.0} % sicher)", clean(method))
    });
    vec![value.column_name.clone(), shown, filled.or(event).unwrap_or_else(|| "-".to_owned())]
}
