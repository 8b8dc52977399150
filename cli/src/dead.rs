//! `frontdesk dead`: what a human must decide. Lists, shows, retries and discards dead letters.
//!
//! A retry is a row in the outbox; the workers publish it within seconds and the inbox keeps its effect single.

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use shared::envelope::Role;
use shared::store::PgPool;
use shared::store::dead_letters::{self, DeadLetter, Filter, LIST_ROWS_MAX, Retried, State};
use uuid::Uuid;

use crate::table::{or_dash, table};
use crate::{CliError, Outcome, Session};

/// Dead letters: messages that wait for a human's decision.
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List dead letters, newest first, without their bodies.
    #[command(after_help = "Example: frontdesk dead list --reason unknown_number --role calls")]
    List {
        #[arg(long)]
        reason: Option<String>,
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        /// open, retried, discarded or all.
        #[arg(long, default_value = "open", value_parser = ["open", "retried", "discarded", "all"])]
        state: String,
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one dead letter; its body, which is personal data, only with --body.
    #[command(after_help = "Example: frontdesk dead show 0193…-… --body")]
    Show {
        id: Uuid,
        /// Print the body too.
        #[arg(long)]
        body: bool,
    },
    /// Publish dead letters again, after their cause is mended.
    #[command(after_help = "Examples:\n  frontdesk dead retry 0193…-…\n  frontdesk dead retry --all --reason unknown_number")]
    Retry {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<Uuid>,
        /// Every open one of that reason, up to a thousand in one run.
        #[arg(long, requires = "reason")]
        all: bool,
        #[arg(long, requires = "all")]
        reason: Option<String>,
    },
    /// Close a dead letter for good, without an effect.
    #[command(after_help = "Example: frontdesk dead discard 0193…-…")]
    Discard { id: Uuid },
}

/// A dead letter as JSON.
#[derive(Serialize)]
struct Shown {
    id: Uuid,
    state: &'static str,
    reason: String,
    detail: String,
    kind: Option<String>,
    role: Option<String>,
    queue: String,
    message_id: Option<String>,
    endpoint_id: Option<Uuid>,
    company_id: Option<Uuid>,
    schema_version: Option<i32>,
    attempt: i32,
    body_bytes: i32,
    received_at: Option<String>,
    created_at: String,
    settled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Shown {
    fn new(letter: &DeadLetter, body: Option<&[u8]>) -> Self {
        Self {
            id: letter.id,
            state: letter.state.name(),
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            kind: letter.kind.clone(),
            role: letter.role.clone(),
            queue: letter.queue.clone(),
            message_id: letter.message_id.clone(),
            endpoint_id: letter.endpoint,
            company_id: letter.company_id,
            schema_version: letter.schema_version,
            attempt: letter.attempt,
            body_bytes: letter.body_bytes,
            received_at: letter.received_at.map(|at| at.to_rfc3339()),
            created_at: letter.created_at.to_rfc3339(),
            settled_at: letter.settled_at.map(|at| at.to_rfc3339()),
            body: body.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    fn row(&self) -> Vec<String> {
        let at = self.created_at.get(..19).unwrap_or_default().to_owned();
        vec![
            at,
            self.reason.clone(),
            or_dash(self.role.as_ref()),
            or_dash(self.kind.as_ref()),
            self.attempt.to_string(),
            self.detail.clone(),
            self.id.to_string(),
        ]
    }

    fn lines(&self) -> String {
        let fields = [
            ("id", self.id.to_string()),
            ("state", self.state.to_owned()),
            ("reason", self.reason.clone()),
            ("detail", self.detail.clone()),
            ("kind", or_dash(self.kind.as_ref())),
            ("role", or_dash(self.role.as_ref())),
            ("queue", self.queue.clone()),
            ("message id", or_dash(self.message_id.as_ref())),
            ("endpoint", or_dash(self.endpoint_id)),
            ("company", or_dash(self.company_id)),
            ("schema version", or_dash(self.schema_version)),
            ("attempt", self.attempt.to_string()),
            ("received", or_dash(self.received_at.as_ref())),
            ("parked", self.created_at.clone()),
            ("settled", or_dash(self.settled_at.as_ref())),
            ("body", format!("{} bytes{}", self.body_bytes, if self.body.is_none() { " (show it with --body)" } else { "" })),
        ];
        let mut text: String = fields.iter().map(|(name, value)| format!("{name:<15} {value}\n")).collect();
        if let Some(body) = &self.body {
            text.push_str(&format!("\n{body}\n"));
        }
        text
    }
}

impl Dead {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        match self {
            Self::List { reason, role, state, limit } => {
                let filter = Filter { state: State::parse(&state), reason, role: role.map(|role| role.name().to_owned()), limit: Some(limit) };
                let shown: Vec<_> = dead_letters::list(&pool, &filter).await?.iter().map(|letter| Shown::new(letter, None)).collect();
                session.answer(&shown, |shown| {
                    let header = ["parked (utc)", "reason", "role", "kind", "attempt", "detail", "id"];
                    table(&header, shown.iter().map(Shown::row), "No dead letters.")
                })?;
                Ok(Outcome::Done)
            }
            Self::Show { id, body: with_body } => match dead_letters::get(&pool, id).await? {
                Some((letter, body)) => {
                    session.answer(&Shown::new(&letter, with_body.then_some(&body)), Shown::lines)?;
                    Ok(Outcome::Done)
                }
                None => missing(session, id),
            },
            Self::Retry { id: Some(id), .. } => {
                let (done, text) = told(id, &dead_letters::retry(&pool, id).await?);
                session.answer(&json!({"id": id, "retried": done, "told": text}), |_| text.clone())?;
                Ok(Outcome::of(done))
            }
            Self::Retry { id: None, reason, .. } => retry_all(session, &pool, reason).await,
            Self::Discard { id } => {
                let done = dead_letters::discard(&pool, id).await?;
                session.answer(&json!({"id": id, "discarded": done}), |_| {
                    if done { format!("Discarded {id}.") } else { format!("There is no open dead letter {id}.") }
                })?;
                Ok(Outcome::of(done))
            }
        }
    }
}

fn missing(session: &mut Session, id: Uuid) -> Result<Outcome, CliError> {
    session.answer(&json!({"id": id, "error": "not_found"}), |_| format!("There is no dead letter {id}: see `frontdesk dead list`."))?;
    Ok(Outcome::Negative)
}

/// Whether it was retried, and the sentence about it.
fn told(id: Uuid, retried: &Retried) -> (bool, String) {
    match retried {
        Retried::Published(message_id) => (true, format!("Retried {id} as message {}; the workers publish it within seconds.", message_id.as_str())),
        Retried::NotFound => (false, format!("There is no dead letter {id}: see `frontdesk dead list`.")),
        Retried::NotOpen(state) => (false, format!("{id} is {} already.", state.name())),
        Retried::UnknownKind(kind) => (false, format!("{id} has the kind \"{kind}\", which this version does not know: retry with a newer one.")),
        Retried::NewerSchema(version) => (false, format!("{id} has the envelope version {version}, newer than this program: retry with a newer one.")),
    }
}

async fn retry_all(session: &mut Session, pool: &PgPool, reason: Option<String>) -> Result<Outcome, CliError> {
    let filter = Filter { state: Some(State::Open), reason, ..Filter::default() };
    let letters = dead_letters::list(pool, &filter).await?;
    let more = letters.len() as i64 >= LIST_ROWS_MAX;
    let mut retried = Vec::new();
    let mut refused = Vec::new();
    // oldest first, as they came
    for letter in letters.iter().rev() {
        match told(letter.id, &dead_letters::retry(pool, letter.id).await?) {
            (true, _) => retried.push(letter.id),
            (false, text) => refused.push(text),
        }
    }
    session.answer(&json!({"retried": retried, "refused": refused, "more": more}), |_| {
        let mut text = format!("Retried {}; the workers publish them within seconds.", retried.len());
        for line in &refused {
            text.push_str(&format!("\n  {line}"));
        }
        if more {
            text.push_str("\nThere may be more: run it again.");
        }
        text
    })?;
    Ok(Outcome::of(refused.is_empty()))
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| format!("one of {}", Role::ALL.map(Role::name).join(", ")))
}
