//! Where the private servers of this checkout keep their data, logs and state, and as which user they run.
//! Not the servers themselves. Called once at the start of every command.
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Result, ServersError};

/// `sockaddr_un` holds 108 bytes with the closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The longest name Postgres puts into its socket folder.
const SOCKET_NAME: &str = ".s.PGSQL.65535.lock";

/// The folders of one checkout.
#[derive(Debug, Clone)]
pub struct Place {
    /// The checkout itself.
    pub checkout: PathBuf,
    /// The real folder; `target/dev` is it or links to it.
    pub root: PathBuf,
    /// `target/dev` of the checkout.
    pub shown: PathBuf,
    /// Short hash of the checkout's path: node name, folder names.
    pub hash: String,
}

impl Place {
    /// The checkout this program was built from (or, under cargo, is run for).
    pub fn of_checkout() -> Result<Self> {
        Self::new(checkout())
    }

    fn new(checkout: PathBuf) -> Result<Self> {
        let checkout = checkout.canonicalize().map_err(ServersError::file("find", checkout))?;
        let hash = hex::encode(&Sha256::digest(checkout.as_os_str().as_encoded_bytes())[..5]);
        let shown = checkout.join("target").join("dev");
        let root = if is_root() {
            // initdb refuses to work below /root, where an unprivileged user cannot even look.
            PathBuf::from(format!("/var/tmp/frontdesk-{hash}"))
        } else {
            shown.clone()
        };
        Ok(Self { checkout, root, shown, hash })
    }

    /// Creates the folders. Refuses a folder in `/var/tmp` that somebody else prepared for us.
    pub fn prepare(&self) -> Result<()> {
        create_dir(&self.root)?;
        let owner = std::fs::symlink_metadata(&self.root).map_err(ServersError::file("read", &self.root))?;
        if !owner.is_dir() || owner.uid() != rustix::process::geteuid().as_raw() {
            return Err(ServersError::NotOurs(self.root.display().to_string()));
        }
        set_mode(&self.root, 0o755)?;
        create_dir(&self.log_dir())?;
        if self.shown != self.root {
            self.link()?;
        }
        Ok(())
    }

    fn link(&self) -> Result<()> {
        if let Some(target) = self.shown.parent() {
            create_dir(target)?;
        }
        match std::fs::read_link(&self.shown) {
            Ok(there) if there == self.root => return Ok(()),
            Ok(_) => std::fs::remove_file(&self.shown).map_err(ServersError::file("remove", &self.shown))?,
            // A folder of an unprivileged run of the same checkout stays: its servers may be up.
            Err(_) if self.shown.exists() => {
                return Err(ServersError::NotOurs(self.shown.display().to_string()));
            }
            Err(_) => {}
        }
        symlink(&self.root, &self.shown).map_err(ServersError::file("link", &self.shown))
    }

    /// Logs of servers and child processes; kept after `down`.
    pub fn log_dir(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Empties that folder: a new set of servers begins. Test children leave a log each, which would add up.
    pub fn begin_logs(&self) -> Result<()> {
        remove_dir(&self.log_dir())?;
        create_dir(&self.log_dir())
    }

    /// A folder of one server's data.
    pub fn data_dir(&self, server: &str) -> PathBuf {
        self.root.join(server)
    }

    /// Folder for Postgres' socket: below the root when the path is short enough.
    pub fn socket_dir(&self) -> PathBuf {
        let near = self.root.join("socket");
        if near.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            near
        } else {
            std::env::temp_dir().join(format!("frontdesk-{}-{}", self.hash, rustix::process::geteuid().as_raw()))
        }
    }

    /// The file that `up --detach` writes for shells.
    pub fn env_file(&self) -> PathBuf {
        self.root.join("env")
    }

    /// Writes that file, for its owner only: it holds passwords.
    pub fn write_env(&self, text: &str) -> Result<()> {
        write_private(&self.env_file(), text, None)
    }

    /// Programs built by cargo land here.
    pub fn bin_dir(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.checkout.join("target"), |dir| self.checkout.join(dir)).join("debug")
    }

    /// Makes an empty folder owned by `user`, mode 0700; what was there before is removed.
    pub fn fresh_dir(&self, path: &Path, user: Option<(u32, u32)>) -> Result<()> {
        remove_dir(path)?;
        std::fs::create_dir(path).map_err(ServersError::file("create", path))?;
        set_mode(path, 0o700)?;
        give_to(path, user)
    }
}

/// True when this process may act as any user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whom a server runs as: nobody special when we are not root, else the package's own user, else `nobody`.
pub fn server_user(package_user: &str) -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_in(&passwd, package_user).or_else(|| user_in(&passwd, "nobody")).or(Some((65_534, 65_534)))
}

fn user_in(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let matches = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        matches.then_some((uid, gid))
    })
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, text: &str, user: Option<(u32, u32)>) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(ServersError::file("write", path))?;
    give_to(path, user)
}

/// Removes a folder with its content, or nothing when it is not there.
pub fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ServersError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The few variables that every process of ours gets; nothing else is inherited, so that a `DATABASE_URL` of the
/// shell cannot leak into a role.
pub fn plain_environment() -> BTreeMap<String, String> {
    ["PATH", "HOME", "LANG", "TERM", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

fn checkout() -> PathBuf {
    // `cargo run` and `cargo test` name the folder of a crate of this workspace; a copied target folder keeps the
    // compiled-in path of the original, so the run-time answer comes first.
    let crate_dirs = [std::env::var("CARGO_MANIFEST_DIR").ok(), Some(env!("CARGO_MANIFEST_DIR").to_owned())];
    let above = |dir: &String| Path::new(dir).parent().map(Path::to_path_buf);
    crate_dirs.iter().flatten().filter_map(above).find(|root| root.join("dev/Cargo.toml").is_file()).unwrap_or_else(|| PathBuf::from("."))
}

fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(ServersError::file("create", path))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(ServersError::file("set the mode of", path))
}

fn give_to(path: &Path, user: Option<(u32, u32)>) -> Result<()> {
    match user {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(ServersError::file("change the owner of", path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_passwd_by_its_exact_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgresx:x:9:9::/:/bin/sh\npostgres:x:101:104:PG,,:/var:/bin/sh\n";
        assert_eq!(user_in(passwd, "postgres"), Some((101, 104)));
        assert_eq!(user_in(passwd, "nobody"), None);
    }

    #[test]
    fn a_socket_path_never_reaches_108_bytes() {
        let deep = PathBuf::from(format!("/home/{}/target/dev", "d".repeat(120)));
        let place = Place { checkout: deep.clone(), root: deep.clone(), shown: deep, hash: "0123456789".into() };
        assert!(place.socket_dir().join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
    }

    #[test]
    fn this_checkout_is_found() {
        let place = Place::of_checkout().expect("found");
        assert!(place.checkout.join("Cargo.toml").is_file());
        assert_eq!(place.hash.len(), 10);
    }
}
