//! Secrets come from a file or from stdin, never as an argument: arguments stand in the process list and in the shell's history.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

use crate::{CliError, Session};

/// A key is a hundred characters; more than this is the wrong file.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// Where a secret comes from.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub struct SecretInput {
    /// Read the secret from this file.
    #[arg(long, value_name = "PATH")]
    secret_file: Option<PathBuf>,
    /// Read the secret from stdin.
    #[arg(long)]
    secret_stdin: bool,
}

impl SecretInput {
    /// The secret, if a source was given.
    pub fn read(&self, session: &mut Session) -> Result<Option<SecretString>, CliError> {
        match &self.secret_file {
            Some(path) => from_file(path).map(Some),
            None if self.secret_stdin => from_stdin(session).map(Some),
            None => Ok(None),
        }
    }
}

/// A secret from stdin, without the line end.
pub fn from_stdin(session: &mut Session) -> Result<SecretString, CliError> {
    let what = "the secret on stdin".to_owned();
    let bytes = session.read_input(SECRET_BYTES_MAX).map_err(|source| CliError::Read { what: what.clone(), source })?;
    text_of(&what, bytes)
}

/// A secret from a file, without the line end.
pub fn from_file(path: &PathBuf) -> Result<SecretString, CliError> {
    let what = format!("the secret in {}", path.display());
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|source| CliError::Read { what: what.clone(), source })?;
    text_of(&what, bytes)
}

fn text_of(what: &str, bytes: Vec<u8>) -> Result<SecretString, CliError> {
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(CliError::Usage(format!("{what} is longer than {SECRET_BYTES_MAX} bytes: the wrong one?")));
    }
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            let secret = SecretString::from(text.trim());
            let empty = text.trim().is_empty();
            text.zeroize();
            if empty { Err(CliError::Usage(format!("{what} is empty"))) } else { Ok(secret) }
        }
        Err(error) => {
            error.into_bytes().zeroize();
            Err(CliError::Usage(format!("{what} is not text")))
        }
    }
}
