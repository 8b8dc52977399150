//! What a command works with: environment, stdin, stdout, clock; and how it answers.

use std::fmt;
use std::io::{Read, Write};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::clock::Clock;
use shared::store::{self, PgPool, schema};

use crate::timeline::lines::Painter;
use crate::{CliError, Environment};

/// The role that the command takes in the database, unless DATABASE_ROLE names another.
const ROLE: &str = "frontdesk_operator";
/// One command works on one thing at a time.
const CONNECTIONS_MAX: u32 = 2;

/// How a command that ran went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Not found, refused, or a check that found something.
    Negative,
}

impl Outcome {
    pub(crate) const fn of(good: bool) -> Self {
        if good { Self::Done } else { Self::Negative }
    }
}

/// One run of the command.
pub struct Session {
    pub(crate) environment: Environment,
    pub(crate) json: bool,
    pub(crate) clock: Clock,
    terminal: bool,
    input: Box<dyn Read + Send>,
    output: Box<dyn Write + Send>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("environment", &self.environment).field("json", &self.json).finish_non_exhaustive()
    }
}

impl Session {
    /// A session on the system's clock.
    #[must_use]
    pub fn new(environment: Environment, input: Box<dyn Read + Send>, output: Box<dyn Write + Send>) -> Self {
        Self { environment, json: false, clock: Clock::system(), terminal: false, input, output }
    }

    /// Whether the output is a terminal: colours are for one, unless NO_COLOR says otherwise.
    #[must_use]
    pub const fn on_terminal(mut self, terminal: bool) -> Self {
        self.terminal = terminal;
        self
    }

    pub(crate) fn painter(&self) -> Painter {
        Painter::new(self.colours())
    }

    pub(crate) fn colours(&self) -> bool {
        self.terminal && self.environment.get("NO_COLOR").is_none()
    }

    /// Up to `bytes_max` bytes of stdin; one more is an error of the caller's own kind.
    pub(crate) fn read_input(&mut self, bytes_max: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.input).take(bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn print(&mut self, text: &str) -> Result<(), CliError> {
        let written = self.output.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { self.output.write_all(b"\n") });
        written.and_then(|()| self.output.flush()).map_err(CliError::Write)
    }

    /// The answer: as JSON if that was asked for, else as text.
    pub(crate) fn answer<T: Serialize>(&mut self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        let text =
            if self.json { serde_json::to_string(value).map_err(|source| CliError::Json { what: "the answer".to_owned(), source })? } else { text(value) };
        self.print(&text)
    }

    pub(crate) fn database_url(&self) -> Result<SecretString, CliError> {
        self.environment.secret("DATABASE_URL")
    }

    /// The operator's pool, not yet connected.
    pub(crate) fn unchecked_database(&self) -> Result<PgPool, CliError> {
        let role = self.environment.get("DATABASE_ROLE").unwrap_or(ROLE);
        Ok(store::connect(self.database_url()?.expose_secret(), Some(role), CONNECTIONS_MAX, "frontdesk")?)
    }

    /// The operator's pool, on a schema that this program knows.
    pub(crate) async fn database(&self) -> Result<PgPool, CliError> {
        let pool = self.unchecked_database()?;
        schema::check(&pool).await?;
        Ok(pool)
    }
}
