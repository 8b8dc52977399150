//! `target/dev/env`: variables of a detached run, to be sourced by a shell. Called by `up --detach`.
use std::collections::BTreeMap;

/// One `export NAME='value'` per line.
pub fn render(variables: &BTreeMap<String, String>) -> String {
    variables.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect()
}

/// Single quotes: nothing in between is expanded by any POSIX shell.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_every_value_as_it_was() {
        for value in ["plain", "two words", "it's", "$HOME `id` \\ \"x\"", "a\nb", "", "*~!#"] {
            let text = render(&BTreeMap::from([("VALUE".to_owned(), value.to_owned())]));
            let said = std::process::Command::new("sh").args(["-c", &format!("{text}printf %s \"$VALUE\"")]).output().expect("sh is there");
            assert_eq!(String::from_utf8_lossy(&said.stdout), value);
        }
    }
}
