//! Finds server programs on this machine: PostgreSQL >= 15 and RabbitMQ >= 3.10 with its Erlang.
//! Only looks; starts nothing but `postgres --version`. Called by `Servers::provide`.
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest major version of Postgres whose behaviour the store relies on.
pub const POSTGRES_MIN: Version = Version(15, 0, 0);
/// Quorum queues with message TTL and at-least-once dead-lettering.
pub const RABBITMQ_MIN: Version = Version(3, 10, 0);

/// major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)?;
        if self.2 > 0 { write!(f, ".{}", self.2) } else { Ok(()) }
    }
}

/// PostgreSQL's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresPrograms {
    /// Folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    pub version: Version,
}

/// RabbitMQ's inner script and Erlang's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitmqPrograms {
    /// `…/rabbitmq_server-X.Y.Z/sbin/rabbitmq-server`: the script itself, not Debian's root-only wrapper.
    pub script: PathBuf,
    /// Erlang's port mapper.
    pub epmd: PathBuf,
    /// Folder with `erl`, put first into the script's PATH.
    pub erl_dir: PathBuf,
    pub version: Version,
}

/// The newest PostgreSQL that is new enough.
pub fn find_postgres() -> Option<PostgresPrograms> {
    let mut folders = children(Path::new("/usr/lib/postgresql"), "bin");
    folders.extend(path_folders());
    folders.extend(
        children(Path::new("/usr"), "bin")
            .into_iter()
            .filter(|dir| dir.parent().and_then(Path::file_name).is_some_and(|name| name.to_string_lossy().starts_with("pgsql"))),
    );
    folders.extend(["/usr/local/pgsql/bin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    folders
        .into_iter()
        // Of equal versions the last one wins below: the distribution's own folder, not a link to it in PATH.
        .rev()
        .filter(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .filter_map(|bin| {
            let said = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
            let version = postgres_version(&String::from_utf8_lossy(&said.stdout))?;
            (version >= POSTGRES_MIN).then_some(PostgresPrograms { bin, version })
        })
        .max_by_key(|found| found.version)
}

/// The newest RabbitMQ that is new enough and whose Erlang is there.
pub fn find_rabbitmq() -> Option<RabbitmqPrograms> {
    let erl = path_folders().into_iter().find(|dir| dir.join("erl").is_file());
    let erl_dir = erl.or_else(|| Some(PathBuf::from("/usr/lib/erlang/bin")).filter(|dir| dir.join("erl").is_file()))?;
    let epmd = find_epmd(&erl_dir)?;
    rabbitmq_scripts()
        .into_iter()
        .filter_map(|script| rabbitmq_version(&script).map(|version| (version, script)))
        .filter(|(version, _)| *version >= RABBITMQ_MIN)
        .max()
        .map(|(version, script)| RabbitmqPrograms { script, epmd, erl_dir, version })
}

fn rabbitmq_scripts() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    for parent in ["/usr/lib/rabbitmq/lib", "/usr/lib/rabbitmq", "/opt", "/usr/local/lib", "/usr/local"] {
        folders.extend(children(Path::new(parent), "sbin"));
    }
    folders.extend(path_folders());
    folders
        .into_iter()
        .filter_map(|dir| dir.join("rabbitmq-server").canonicalize().ok())
        // Beside a wrapper there is no rabbitmq-env.
        .filter(|script| script.with_file_name("rabbitmq-env").is_file())
        .collect()
}

/// From the plugin folder beside the script: asking the program would start an Erlang machine.
fn rabbitmq_version(script: &Path) -> Option<Version> {
    let plugins = script.parent()?.parent()?.join("plugins");
    std::fs::read_dir(plugins).ok()?.filter_map(std::result::Result::ok).find_map(|entry| rabbit_plugin_version(&entry.file_name().to_string_lossy()))
}

fn find_epmd(erl_dir: &Path) -> Option<PathBuf> {
    let real = erl_dir.join("erl").canonicalize().ok()?;
    let erlang_root = real.parent()?.parent()?;
    path_folders()
        .into_iter()
        .chain([erl_dir.to_path_buf(), erlang_root.join("bin")])
        .chain(children(erlang_root, "bin"))
        .map(|dir| dir.join("epmd"))
        .find(|epmd| epmd.is_file())
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`; a beta says `17beta1`.
fn postgres_version(said: &str) -> Option<Version> {
    let (_, rest) = said.split_once("(PostgreSQL)")?;
    version(rest.split_whitespace().next()?)
}

/// `rabbit-3.10.8` (a folder) or `rabbit-3.10.8.ez`; not `rabbit_common-3.10.8`.
fn rabbit_plugin_version(name: &str) -> Option<Version> {
    version(name.strip_prefix("rabbit-")?.trim_end_matches(".ez"))
}

/// Leading numbers of up to three parts; a part's letters end it.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map_while(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some(Version(numbers.next()?, numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

/// The folders of PATH.
pub fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// True when a program of this name stands in PATH.
pub fn in_path(program: &str) -> bool {
    path_folders().iter().any(|dir| dir.join(program).is_file())
}

/// `parent/*/leaf`, those that exist.
fn children(parent: &Path, leaf: &str) -> Vec<PathBuf> {
    std::fs::read_dir(parent).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join(leaf))).filter(|dir| dir.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_postgres_are_read_as_debian_and_others_print_them() {
        let read = |said: &str| postgres_version(said);
        assert_eq!(read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(Version(15, 18, 0)));
        assert_eq!(read("postgres (PostgreSQL) 18beta2"), Some(Version(18, 0, 0)));
        assert_eq!(read("postgres (PostgreSQL) 9.6.24"), Some(Version(9, 6, 24)));
        assert_eq!(read("command not found"), None);
    }

    #[test]
    fn the_version_of_rabbitmq_is_the_one_of_its_main_plugin() {
        assert_eq!(rabbit_plugin_version("rabbit-3.10.8"), Some(Version(3, 10, 8)));
        assert_eq!(rabbit_plugin_version("rabbit-4.1.0-rc.1.ez"), Some(Version(4, 1, 0)));
        assert_eq!(rabbit_plugin_version("rabbit_common-3.10.8"), None);
        assert_eq!(rabbit_plugin_version("rabbitmq_management-3.10.8"), None);
    }

    #[test]
    fn ten_is_newer_than_nine() {
        assert!(Version(3, 10, 0) > Version(3, 9, 29));
        assert!(Version(3, 9, 29) < RABBITMQ_MIN);
        assert!(Version(15, 0, 0) >= POSTGRES_MIN);
    }
}
