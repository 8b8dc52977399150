//! A private PostgreSQL: fresh data folder, own port, one superuser with a random password.
//! Not for keeping anything: every start begins with initdb. Called by `Servers::provide`.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Setting;
use super::access::Access;
use super::error::{Result, ServersError};
use super::launch;
use super::place::{self, server_user, write_private};
use super::programs::PostgresPrograms;
use super::state::{Kind, Launch, Process};

/// Superuser of the private server.
pub const ADMIN: &str = "frontdesk_admin";
/// Start takes 0.1 s; crash recovery after a SIGKILL under load some seconds.
const READY_BOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Initialises and starts it.
pub async fn start(setting: &Setting, programs: &PostgresPrograms, port: u16, password: &str) -> Result<()> {
    let user = server_user("postgres");
    let folder = setting.place.data_dir("postgres");
    let socket = setting.place.socket_dir();
    setting.place.fresh_dir(&folder, user)?;
    setting.place.fresh_dir(&socket, user)?;
    let data = folder.join("data");
    let step = setting.progress.step(format!("initdb (PostgreSQL {})", programs.version));
    initialise(programs, &folder, &data, user, password)?;
    write_private(&data.join("frontdesk.conf"), &configuration(port, &socket), user)?;
    append(&data.join("postgresql.conf"), "include 'frontdesk.conf'\n")?;
    step.done();

    let launch = Launch {
        program: programs.bin.join("postgres"),
        args: vec!["-D".into(), data.display().to_string()],
        env: environment(&folder),
        folder,
        user,
        log: Some(setting.fresh_log("postgres")?),
    };
    let step = setting.progress.step("start PostgreSQL");
    launch::start(&setting.state, "postgres", Kind::Postgres, &setting.holder, &launch)?;
    step.done_with(format!("127.0.0.1:{port}"));
    Ok(())
}

/// Waits until it takes a session.
pub async fn ready(access: &Access, process: &Process) -> Result<()> {
    let deadline = Instant::now() + READY_BOUND;
    let log = process.launch.log.clone().unwrap_or_default();
    loop {
        let asked = access.execute("answer".into(), "SELECT 1".into()).await;
        if asked.is_ok() {
            return Ok(());
        }
        if !process.identity.alive() {
            return Err(ServersError::EndedEarly { name: "PostgreSQL".into(), log });
        }
        if Instant::now() >= deadline {
            return Err(ServersError::NotReady { name: "PostgreSQL".into(), waited: READY_BOUND, log });
        }
        tokio::time::sleep(POLL).await;
    }
}

fn initialise(programs: &PostgresPrograms, folder: &Path, data: &Path, user: Option<(u32, u32)>, password: &str) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let secret = folder.join("password");
    write_private(&secret, password, user)?;
    let program = programs.bin.join("initdb");
    let mut command = Command::new(&program);
    command
        .args(["--encoding=UTF8", "--auth-host=scram-sha-256", "--auth-local=scram-sha-256"])
        // The folder is new and private; the server itself runs with fsync on.
        .args(["--no-sync", "--locale", utf8_locale()])
        .args(["--username", ADMIN])
        .arg(format!("--pwfile={}", secret.display()))
        .arg("-D")
        .arg(data)
        .env_clear()
        .envs(environment(folder))
        .current_dir(folder)
        .stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let name = program.display().to_string();
    let said = command.output().map_err(|source| ServersError::Run { program: name.clone(), source })?;
    std::fs::remove_file(&secret).map_err(ServersError::file("remove", &secret))?;
    if said.status.success() {
        Ok(())
    } else {
        let detail = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(ServersError::Failed { program: name, detail })
    }
}

/// Errors are logged terse and without statement and parameters: a unique violation's DETAIL would name a caller.
fn configuration(port: u16, socket: &Path) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{}'\n\
         max_connections = 400\n\
         shared_buffers = 256MB\n\
         max_prepared_transactions = 0\n\
         fsync = on\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_error_verbosity = terse\n\
         log_min_error_statement = panic\n\
         log_parameter_max_length = 0\n\
         log_parameter_max_length_on_error = 0\n\
         log_statement = none\n",
        socket.display().to_string().replace('\'', "''")
    )
}

/// C.UTF-8 sorts by bytes everywhere alike and still knows that Ä is a capital letter.
fn utf8_locale() -> &'static str {
    let known = Command::new("locale").arg("-a").output();
    let known = known.map(|said| String::from_utf8_lossy(&said.stdout).to_lowercase());
    if known.is_ok_and(|list| list.lines().any(|line| line == "c.utf8" || line == "c.utf-8")) { "C.UTF-8" } else { "C" }
}

fn environment(folder: &Path) -> BTreeMap<String, String> {
    let mut env = place::plain_environment();
    env.insert("HOME".into(), folder.display().to_string());
    env
}

fn append(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(ServersError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_keeps_values_out_of_the_log_and_the_server_on_the_loopback() {
        let text = configuration(20_001, Path::new("/x/it's"));
        assert!(text.contains("log_min_error_statement = panic\n"));
        assert!(text.contains("log_error_verbosity = terse\n"));
        assert!(text.contains("listen_addresses = '127.0.0.1'\n"));
        assert!(text.contains("'/x/it''s'"));
    }
}
