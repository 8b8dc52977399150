//! A private RabbitMQ node with its own epmd: fresh data folder, own ports, cookie, name and administrator.
//! Not Debian's service and not its wrapper scripts. Called by `Servers::provide`.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;

use super::Setting;
use super::access::Access;
use super::error::{Result, ServersError};
use super::launch;
use super::place::{self, server_user, write_private};
use super::programs::RabbitmqPrograms;
use super::state::{Kind, Launch, Process};

/// Administrator of the private node; there is no user guest.
pub const ADMIN: &str = "frontdesk_admin";
/// Ready in 3 to 10 s, three times that while cargo fills both cores.
const READY_BOUND: Duration = Duration::from_secs(120);
const EPMD_BOUND: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// The node's ports on the loopback.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub amqp: u16,
    pub management: u16,
    pub distribution: u16,
    pub epmd: u16,
}

/// Starts epmd and the node; [`ready`] waits for it.
pub async fn start(setting: &Setting, programs: &RabbitmqPrograms, ports: Ports, password: &str) -> Result<()> {
    let user = server_user("rabbitmq");
    let folder = setting.place.data_dir("broker");
    setting.place.fresh_dir(&folder, user)?;
    let cookie = folder.join(".erlang.cookie");
    write_private(&cookie, &super::random_secret(), user)?;
    write_private(&folder.join("enabled_plugins"), "[rabbitmq_management].\n", user)?;
    write_private(&folder.join("environment.conf"), "", user)?;
    write_private(&folder.join("rabbitmq.conf"), &configuration(ports, password), user)?;

    let env = environment(&folder, programs, ports, &setting.place.hash);
    start_epmd(setting, programs, ports, &env, user).await?;
    let launch = Launch { program: programs.script.clone(), args: vec![], env, folder, user, log: Some(setting.fresh_log("broker")?) };
    launch::start(&setting.state, "broker", Kind::Broker, &setting.holder, &launch)?;
    Ok(())
}

/// Waits until the management API and the AMQP listener answer.
pub async fn ready(access: &Access, process: &Process) -> Result<()> {
    let deadline = Instant::now() + READY_BOUND;
    let log = process.launch.log.clone().unwrap_or_default();
    let amqp = (access.amqp_admin.host.as_str(), access.amqp_admin.port);
    loop {
        let listens = tokio::net::TcpStream::connect(amqp).await.is_ok();
        if listens && access.manage("answer".into(), Method::GET, "overview", None).await.is_ok() {
            return Ok(());
        }
        if !process.identity.alive() {
            return Err(ServersError::EndedEarly { name: "RabbitMQ".into(), log });
        }
        if Instant::now() >= deadline {
            return Err(ServersError::NotReady { name: "RabbitMQ".into(), waited: READY_BOUND, log });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Started by us in the foreground, because the one that Erlang would start detaches itself and outlives the node.
async fn start_epmd(setting: &Setting, programs: &RabbitmqPrograms, ports: Ports, env: &BTreeMap<String, String>, user: Option<(u32, u32)>) -> Result<()> {
    let log = setting.fresh_log("epmd")?;
    let launch =
        Launch { program: programs.epmd.clone(), args: vec![], env: env.clone(), folder: setting.place.data_dir("broker"), user, log: Some(log.clone()) };
    let started = launch::start(&setting.state, "epmd", Kind::Epmd, &setting.holder, &launch)?;
    let deadline = Instant::now() + EPMD_BOUND;
    while tokio::net::TcpStream::connect(("127.0.0.1", ports.epmd)).await.is_err() {
        if !started.identity.alive() {
            return Err(ServersError::EndedEarly { name: "epmd".into(), log });
        }
        if Instant::now() >= deadline {
            return Err(ServersError::NotReady { name: "epmd".into(), waited: EPMD_BOUND, log });
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn configuration(ports: Ports, password: &str) -> String {
    let Ports { amqp, management, .. } = ports;
    // Fixed limits instead of shares of the machine: the tests share it with cargo.
    format!(
        "listeners.tcp.local = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         default_user = {ADMIN}\n\
         default_pass = {password}\n\
         default_user_tags.administrator = true\n\
         vm_memory_high_watermark.absolute = 1GiB\n\
         disk_free_limit.absolute = 256MiB\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n"
    )
}

fn environment(folder: &Path, programs: &RabbitmqPrograms, ports: Ports, hash: &str) -> BTreeMap<String, String> {
    let below = |name: &str| folder.join(name).display().to_string();
    let mut env = place::plain_environment();
    let path = env.get("PATH").cloned().unwrap_or_default();
    env.extend(
        [
            ("PATH", format!("{}:{path}", programs.erl_dir.display())),
            // The cookie lies here: on the command line every user of the machine could read it.
            ("HOME", folder.display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", ports.epmd.to_string()),
            // The script then becomes the Erlang machine instead of staying its parent; see -noinput below.
            ("RABBITMQ_ALLOW_INPUT", "1".into()),
            ("RABBITMQ_CONFIG_FILE", below("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", below("advanced.config")),
            ("RABBITMQ_CONF_ENV_FILE", below("environment.conf")),
            ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", below("enabled_plugins")),
            ("RABBITMQ_FEATURE_FLAGS_FILE", below("feature_flags")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", below("generated")),
            ("RABBITMQ_LOG_BASE", below("log")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_MNESIA_BASE", below("data")),
            ("RABBITMQ_MNESIA_DIR", below("data/node")),
            ("RABBITMQ_NODENAME", format!("frontdesk-{hash}@localhost")),
            ("RABBITMQ_PID_FILE", below("pid")),
            ("RABBITMQ_PLUGINS_EXPAND_DIR", below("plugins")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput +S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    env
}
