//! `frontdesk company`: sets companies up from a document, and shows them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use shared::store::PgPool;
use shared::store::accounts::Provider;
use shared::store::companies::{self, CompanySetup, CreatedCompany, NewCompany, SetPolicy, SetRules};
use uuid::Uuid;

use crate::table::{or_dash, table};
use crate::{CliError, Outcome, Session};

/// A company with 500 of everything is a tenth of this.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Companies: branches, services, staff, numbers, agents.
#[derive(Debug, Subcommand)]
pub enum Company {
    /// Add a company: all of it or, when something is wrong, nothing.
    #[command(after_help = "Examples:\n  frontdesk company add --from deploy/demo/company.json\n  frontdesk company add --name \"Salon Beispiel\"")]
    Add {
        /// Name; overrides the one in the file.
        #[arg(long, required_unless_present = "from")]
        name: Option<String>,
        /// IANA time zone; overrides the one in the file (default Europe/Berlin).
        #[arg(long)]
        time_zone: Option<String>,
        /// JSON document; see deploy/demo/company.json.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// List the companies that are not disabled.
    #[command(after_help = "Example: frontdesk company list --json")]
    List,
    /// Show a company's set-up with its ids, its policies and the contact rule of its Cal.com account.
    #[command(after_help = "Example: frontdesk company show \"Friseur Müller\"")]
    Show {
        /// Id or exact name.
        company: String,
    },
}

impl Company {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        match self {
            Self::Add { name, time_zone, from } => add(session, name, time_zone, from.as_deref()).await,
            Self::List => {
                let found = companies::list(&session.database().await?).await?;
                let answer: Vec<_> = found.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
                session.answer(&answer, |_| {
                    let rows = found.iter().map(|(id, name)| vec![name.clone(), id.to_string()]);
                    table(&["name", "id"], rows, "No companies. Add one: frontdesk company add --help")
                })?;
                Ok(Outcome::Done)
            }
            Self::Show { company } => {
                let pool = session.database().await?;
                let found = match find(&pool, &company).await? {
                    Some(id) => companies::load(&pool, id).await?,
                    None => None,
                };
                let shown = match found {
                    Some(setup) => Some(Shown { rules: companies::load_rules(&pool, setup.id).await?, setup }),
                    None => None,
                };
                let Some(shown) = shown else {
                    session.answer(&json!({"error": "not_found"}), |_| format!("There is no company \"{company}\": see `frontdesk company list`."))?;
                    return Ok(Outcome::Negative);
                };
                session.answer(&shown, describe)?;
                Ok(Outcome::Done)
            }
        }
    }
}

async fn add(session: &mut Session, name: Option<String>, time_zone: Option<String>, from: Option<&Path>) -> Result<Outcome, CliError> {
    let mut new = match from {
        Some(path) => read(path)?,
        None => NewCompany::named(""),
    };
    if let Some(name) = name {
        new.name = name;
    }
    if let Some(time_zone) = time_zone {
        new.time_zone = time_zone;
    }
    let pool = session.database().await?;
    let made = companies::create(&pool, &new).await?;
    session.answer(&as_json(&made), |_| {
        let mut text = format!("Added \"{}\" ({})", new.name, made.company_id);
        let retell = new.retell_account.as_deref().zip(made.retell_account_id);
        let calcom = new.calcom_account.as_deref().zip(made.calcom_account_id);
        for (provider, account) in [(Provider::Retell, retell), (Provider::Calcom, calcom)] {
            if let Some((label, id)) = account {
                text.push_str(&format!("\n  {:<12} {id}  {provider}/{label}", "account"));
            }
        }
        for (what, items) in groups(&made) {
            for (name, id) in items {
                text.push_str(&format!("\n  {what:<12} {id}  {name}"));
            }
        }
        text.push_str("\nNext, once per account:");
        if let Some((label, _)) = retell {
            text.push_str(&format!("\n  frontdesk endpoint add --account retell/{label} --secret-stdin"));
            text.push_str(&format!("\n  frontdesk credential add --account retell/{label} --base-url https://api.retellai.com --api-key-stdin"));
        }
        if let Some((label, _)) = calcom {
            text.push_str(&format!("\n  frontdesk endpoint add --account calcom/{label}"));
            text.push_str(&format!("\n  frontdesk credential add --account calcom/{label} --base-url https://api.cal.com/v2 --api-key-stdin"));
        }
        text.push_str("\n  frontdesk check");
        text
    })?;
    Ok(Outcome::Done)
}

fn read(path: &Path) -> Result<NewCompany, CliError> {
    let what = path.display().to_string();
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text));
    read.map_err(|source| CliError::Read { what: what.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| CliError::Json { what, source })
}

fn groups(made: &CreatedCompany) -> [(&'static str, &[(String, Uuid)]); 5] {
    [
        ("branch", made.branches.as_slice()),
        ("staff", made.staff.as_slice()),
        ("service", made.services.as_slice()),
        ("phone number", made.phone_numbers.as_slice()),
        ("agent", made.agents.as_slice()),
    ]
}

fn as_json(made: &CreatedCompany) -> serde_json::Value {
    let list = |items: &[(String, Uuid)]| items.iter().map(|(name, id)| json!({"name": name, "id": id})).collect::<Vec<_>>();
    json!({
        "company_id": made.company_id, "retell_account_id": made.retell_account_id, "calcom_account_id": made.calcom_account_id,
        "branches": list(&made.branches), "services": list(&made.services), "staff": list(&made.staff),
        "phone_numbers": list(&made.phone_numbers), "agents": list(&made.agents),
    })
}

/// The company that an argument means.
pub async fn find(pool: &PgPool, name: &str) -> Result<Option<Uuid>, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let mut found = companies::list(pool).await?.into_iter().filter(|(_, known)| known == name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(CliError::Usage(format!("several companies are called \"{name}\": use the id from `frontdesk company list`"))),
        (first, _) => Ok(first.map(|(id, _)| id)),
    }
}

/// What `company show` shows.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    setup: CompanySetup,
    #[serde(flatten)]
    rules: SetRules,
}

fn describe(Shown { setup, rules }: &Shown) -> String {
    let branch_name = |id: &Uuid| setup.branches.iter().find(|branch| branch.id == *id).map_or("-", |branch| branch.name.as_str()).to_owned();
    let branches = setup.branches.iter().map(|branch| vec![branch.name.clone(), branch.time_zone.clone(), branch.id.to_string()]);
    let services = setup.services.iter().map(|service| {
        vec![
            service.name.clone(),
            format!("{} min", service.duration_minutes),
            service.seats_per_slot.to_string(),
            or_dash(service.calcom_event_type_id),
            service.staff_count.to_string(),
            service.id.to_string(),
        ]
    });
    let staff = setup.staff.iter().map(|person| vec![person.name.clone(), or_dash(person.calcom_user_id), person.id.to_string()]);
    let numbers = setup
        .phone_numbers
        .iter()
        .map(|number| vec![number.e164.clone(), branch_name(&number.branch_id), if number.active { "yes" } else { "no" }.to_owned(), number.id.to_string()]);
    let agents = setup.agents.iter().map(|agent| vec![agent.retell_agent_id.clone(), agent.id.to_string()]);
    [
        format!("{} ({}), {}", setup.name, setup.id, setup.time_zone),
        table(&["branch", "time zone", "id"], branches, "No branches."),
        table(&["service", "duration", "seats", "event type", "staff", "id"], services, "No services."),
        table(&["staff", "cal.com user", "id"], staff, "No staff."),
        table(&["phone number", "branch", "active", "id"], numbers, "No phone numbers."),
        table(&["agent", "id"], agents, "No agents."),
        describe_policies(&rules.policies),
        table(
            &["cal.com account", "contact rule"],
            rules.calcom_accounts.iter().map(|account| vec![account.label.clone(), account.contact_rule.clone()]),
            "No Cal.com account.",
        ),
    ]
    .join("\n\n")
}

/// Each with the level that it belongs to; the nearest one holds.
fn describe_policies(policies: &[SetPolicy]) -> String {
    let level = |policy: &SetPolicy| {
        let named = [("branch", &policy.branch), ("service", &policy.service), ("staff", &policy.staff)];
        named.into_iter().find_map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}"))).unwrap_or_else(|| "company".to_owned())
    };
    let rows = policies.iter().map(|policy| vec![policy.policy_type.clone(), level(policy), policy.rules.to_string(), policy.id.to_string()]);
    table(&["policy", "of", "rules", "id"], rows, "No policies: every change is allowed, without a fee.")
}
