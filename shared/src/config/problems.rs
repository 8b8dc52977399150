//! Collects what is wrong with a configuration, so that an operator mends it in one round; and reads values that may stand in files.
//!
//! Never repeats the value of a secret: a problem names the variable and what is expected.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};

/// A secret file is a key ring at most; anything larger is the wrong file.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problem(s):\n{}", problems.len(), list(problems))]
pub struct ConfigError {
    /// One sentence each, without secret values.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}

/// Everything that is wrong so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Notes one problem: a sentence that names the variable, not its value.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// Hands the configuration over if nothing was wrong. Values of sections with a problem are placeholders, which is why they pass only through here.
    ///
    /// # Errors
    /// All problems at once.
    pub fn finish<T>(self, checked: T) -> Result<T, ConfigError> {
        if self.0.is_empty() { Ok(checked) } else { Err(ConfigError { problems: self.0 }) }
    }

    /// A secret given as `NAME` or by the file `NAME_FILE`, never both; an empty value counts as not given.
    pub fn secret(&mut self, name: &str, value: Option<&SecretString>, file: Option<&PathBuf>) -> Option<SecretString> {
        let value = value.filter(|value| !value.expose_secret().trim().is_empty());
        match (value, file.filter(|path| !path.as_os_str().is_empty())) {
            (Some(_), Some(_)) => {
                self.add(format!("{name} and {name}_FILE are both set: keep one"));
                None
            }
            (Some(value), None) => Some(SecretString::from(value.expose_secret().trim())),
            (None, Some(path)) => self.secret_file(name, path),
            (None, None) => None,
        }
    }

    /// As [`Self::secret`], and it must be there.
    pub fn required_secret(&mut self, name: &str, value: Option<&SecretString>, file: Option<&PathBuf>) -> SecretString {
        let before = self.0.len();
        let secret = self.secret(name, value, file);
        if secret.is_none() && self.0.len() == before {
            self.add(format!("{name} is not set (nor {name}_FILE)"));
        }
        secret.unwrap_or_default()
    }

    /// A value that parses, inside its bounds.
    pub fn number<T>(&mut self, name: &str, text: &str, bounds: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Copy + std::fmt::Display,
    {
        match text.trim().parse::<T>() {
            Ok(value) if bounds.contains(&value) => value,
            _ => {
                self.add(format!("{name} is not a number from {} to {}", bounds.start(), bounds.end()));
                *bounds.start()
            }
        }
    }

    /// A duration in milliseconds, inside its bounds.
    pub fn millis(&mut self, name: &str, text: &str, bounds: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, text, bounds))
    }

    /// A value of any type that parses from text.
    pub fn parsed<T: FromStr>(&mut self, name: &str, text: &str, expected: &str) -> Option<T> {
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.add(format!("{name} is not {expected}"));
        }
        value
    }

    fn secret_file(&mut self, name: &str, path: &Path) -> Option<SecretString> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > SECRET_FILE_BYTES_MAX => {
                self.add(format!("{name}_FILE ({shown}) is larger than {SECRET_FILE_BYTES_MAX} bytes: the wrong file?"));
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                self.add(format!("{name}_FILE ({shown}) cannot be read: {}", error.kind()));
                return None;
            }
        }
        match std::fs::read_to_string(path) {
            Ok(mut text) if text.trim().is_empty() => {
                text.zeroize();
                self.add(format!("{name}_FILE ({shown}) is empty"));
                None
            }
            Ok(mut text) => {
                let secret = SecretString::from(text.trim());
                text.zeroize();
                Some(secret)
            }
            Err(error) => {
                self.add(format!("{name}_FILE ({shown}) cannot be read: {}", error.kind()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_comes_from_its_variable_or_from_its_file_but_not_both() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "from-file").unwrap();
        let path = file.path().to_path_buf();
        let value = SecretString::from("from-variable");
        let mut problems = Problems::default();
        assert_eq!(problems.required_secret("X", Some(&value), None).expose_secret(), "from-variable");
        assert_eq!(problems.required_secret("X", None, Some(&path)).expose_secret(), "from-file");
        assert!(problems.finish(()).is_ok());

        let mut problems = Problems::default();
        problems.required_secret("X", Some(&value), Some(&path));
        problems.required_secret("Y", None, None);
        problems.required_secret("Z", None, Some(&PathBuf::from("/nonexistent/secret")));
        problems.number::<u16>("PORTS", "many", 1..=9);
        let error = problems.finish(()).unwrap_err();
        assert_eq!(error.problems.len(), 4, "{error}");
        assert!(!error.to_string().contains("from-"), "{error}");
        assert!(error.to_string().contains("Y is not set (nor Y_FILE)"), "{error}");
    }
}
