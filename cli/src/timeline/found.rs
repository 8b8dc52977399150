//! Which row an argument means, over all companies or in one: one hit is shown, several are listed, never guessed. Called by the commands that tell a story.

use clap::Args;
use serde::Serialize;
use serde_json::json;
use shared::store::timeline::{HITS_MAX, Key};
use shared::store::tx::CompanyTx;
use shared::store::{PgPool, StoreError, companies};
use uuid::Uuid;

use crate::company;
use crate::table::table;
use crate::{CliError, Outcome, Session};

/// Ten screens; more is for --json and a machine.
pub const LIMIT_MAX: u32 = 500;

/// Where to look, and how much to show.
#[derive(Args, Debug)]
pub struct Scope {
    /// Id or exact name of the company; without it, all companies are looked through.
    #[arg(long)]
    company: Option<String>,
    /// The newest entries, and of each further list as many rows.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    pub limit: u32,
}

/// What was found.
pub enum Found<T> {
    One(Box<T>),
    /// With the company of each.
    Several(Vec<T>),
    None,
    NoCompany(String),
}

impl Scope {
    /// Looks under each company's own row-level security, one after the other: short numbers repeat between companies, and nothing reads across them.
    pub async fn search<T>(
        &self,
        pool: &PgPool,
        typed: &str,
        find: impl AsyncFn(&mut CompanyTx, &Key) -> Result<Vec<T>, StoreError>,
    ) -> Result<Found<T>, CliError> {
        let key = Key::parse(typed);
        let within: Vec<Uuid> = match &self.company {
            Some(name) => match company::find(pool, name).await? {
                Some(id) => vec![id],
                None => return Ok(Found::NoCompany(name.clone())),
            },
            None => companies::list(pool).await?.into_iter().map(|(id, _)| id).collect(),
        };
        let mut hits = Vec::new();
        for company_id in within {
            let mut tx = CompanyTx::begin(pool, Some(company_id), &[]).await?;
            hits.extend(find(&mut tx, &key).await?);
            tx.commit().await?;
            if hits.len() > HITS_MAX {
                break;
            }
        }
        Ok(match (hits.pop(), hits.is_empty()) {
            (None, _) => Found::None,
            (Some(only), true) => Found::One(Box::new(only)),
            (Some(last), false) => {
                hits.push(last);
                Found::Several(hits)
            }
        })
    }
}

impl<T: Serialize> Found<T> {
    /// The answer when it is not one: the hits, or that there is none. `candidate` names a hit in a row that ends with its id.
    pub fn tell(self, session: &mut Session, typed: &str, noun: &str, command: &str, candidate: impl Fn(&T) -> Vec<String>) -> Result<Outcome, CliError> {
        match self {
            Self::Several(mut hits) => {
                let more = hits.len() > HITS_MAX;
                hits.truncate(HITS_MAX);
                session.answer(&json!({"error": "several", "hits": hits, "more": more}), |_| {
                    let mut text = format!("Mehrere passen zu \"{}\". Gemeint ist einer davon: {command} ID\n", super::clean(typed));
                    text.push_str(&table(&["Firma", "Nummer", noun, "", "ID"], hits.iter().map(&candidate), ""));
                    if more {
                        text.push_str("\nund weitere: mit --company oder genauer suchen.");
                    }
                    text
                })?;
            }
            Self::NoCompany(name) => {
                session.answer(&json!({"error": "no_company"}), |_| format!("Es gibt keine Firma \"{}\": frontdesk company list", super::clean(&name)))?;
            }
            Self::None | Self::One(_) => {
                session.answer(&json!({"error": "not_found"}), |_| format!("Nichts gefunden zu \"{}\" ({noun}).", super::clean(typed)))?;
            }
        }
        Ok(Outcome::Negative)
    }
}
