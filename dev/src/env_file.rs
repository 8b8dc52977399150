//! `target/dev/env`: variables of a detached run, to be sourced by a shell. Called by `up --detach`.
use std::collections::BTreeMap;
use std::path::Path;

/// One `export NAME='value'` per line, and the folder of the built programs first in the `PATH` of the shell that reads it.
pub fn render(variables: &BTreeMap<String, String>, programs: &Path) -> String {
    let mut text: String = variables.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect();
    text.push_str(&format!("export PATH={}:\"$PATH\"\n", quote(&programs.display().to_string())));
    text
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
            let text = render(&BTreeMap::from([("VALUE".to_owned(), value.to_owned())]), Path::new("/programs"));
            let said = std::process::Command::new("sh").args(["-c", &format!("{text}printf %s \"$VALUE\"")]).output().expect("sh is there");
            assert_eq!(String::from_utf8_lossy(&said.stdout), value);
        }
    }

    #[test]
    fn the_programs_come_first_and_the_shell_keeps_its_own() {
        let text = render(&BTreeMap::new(), Path::new("/a folder/it's/debug"));
        let said = std::process::Command::new("/bin/sh").args(["-c", &format!("PATH=/bin:/sbin\n{text}printf %s \"$PATH\"")]).output().expect("sh is there");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "/a folder/it's/debug:/bin:/sbin");
    }
}
