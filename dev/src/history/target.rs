//! Which database a history goes to: that of the detached `cargo dev up`, or one that is named; never by accident one that is not ours (incident 94).
//! Called by the command.
use anyhow::{Context, bail};
use reqwest::Url;

use crate::servers::Place;

/// The URL to load into. `named` must be a database that this checkout made or a test's, unless `foreign` says that it is meant.
pub fn target(named: Option<&str>, foreign: bool) -> anyhow::Result<String> {
    let own = own()?;
    match (named, own) {
        (None, Some(own)) => Ok(own),
        (None, None) => bail!("no `cargo dev up --detach` is running: start it, or name a database with --database-url"),
        (Some(named), own) => {
            if !foreign && own.as_deref() != Some(named) && !is_of_tests(named)? {
                bail!("this database was not made by `cargo dev`: --foreign-database if a history shall be loaded into it all the same");
            }
            Ok(named.to_owned())
        }
    }
}

fn is_of_tests(url: &str) -> anyhow::Result<bool> {
    // the URL holds a password and is not shown
    let url = Url::parse(url).ok().context("--database-url is no URL")?;
    Ok(url.path().trim_start_matches('/').ends_with("_test"))
}

/// The database of the detached run, from its variables.
fn own() -> anyhow::Result<Option<String>> {
    let file = Place::of_checkout()?.env_file();
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(variable(&text, "DATABASE_URL")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// A variable of `env_file::render`; URLs hold no quotes.
fn variable(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix("='")?.strip_suffix('\'')?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_ours_is_taken_only_if_that_is_meant() {
        let production = "postgres://admin:secret@db.example/frontdesk";
        assert!(target(Some(production), false).is_err());
        assert_eq!(target(Some(production), true).ok().as_deref(), Some(production));
        assert!(target(Some("postgres://localhost/fd_1_test"), false).is_ok());
        assert!(target(Some("nonsense"), false).is_err());
        let said = format!("{:#}", target(Some(production), false).expect_err("refused"));
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn the_detached_runs_database_is_read_from_its_variables() {
        let variables = std::collections::BTreeMap::from([("DATABASE_URL".to_owned(), "postgres://x@localhost:1/frontdesk_dev".to_owned())]);
        let text = crate::env_file::render(&variables, std::path::Path::new("/programs"));
        assert_eq!(variable(&text, "DATABASE_URL").as_deref(), Some("postgres://x@localhost:1/frontdesk_dev"));
        assert_eq!(variable(&text, "AMQP_URL"), None);
    }
}
