//! Makes servers available: reuse what runs, else choose, install, start, wait.
//! Called by `Servers::provide` and `Servers::attach` only.
use std::io::{BufRead, IsTerminal, Write};

use super::access::Access;
use super::broker;
use super::choose::{Choice, Found, Step, choose};
use super::docker;
use super::error::{Result, ServersError};
use super::identity::Identity;
use super::place::{Place, is_root};
use super::ports::free_ports;
use super::programs::{self, PostgresPrograms, RabbitmqPrograms};
use super::server::start_again;
use super::state::{Holder, Kind, StateFile};
use super::{STATE_VARIABLE, Servers, Setting, packages, postgres, random_secret, stop};
use crate::progress::Progress;

/// Installing twice would mean that the packages do not bring what they are for.
const INSTALLATIONS_MAX: usize = 1;
/// A chosen port may be taken between the choice and the start.
const STARTS_MAX: usize = 3;

/// What the command line says about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Install packages without asking.
    pub yes: bool,
}

pub(super) async fn provide(progress: &Progress, purpose: &str, options: Options) -> Result<Servers> {
    let place = Place::of_checkout()?;
    place.prepare()?;
    let setting = Setting { state: StateFile::at(&place.root), place, holder: Identity::own()?, progress: *progress };
    let _turn = setting.state.take_turn(|| progress.note("another cargo dev starts or stops servers here; waiting for it")).await?;
    stop::after_the_dead(&setting.place, &setting.state, progress).await?;
    if let Some(servers) = reuse(&setting, purpose).await? {
        return Ok(servers);
    }
    setting.place.begin_logs()?;
    hold(&setting, purpose)?;
    match start(&setting, options).await {
        Ok(servers) => Ok(servers),
        Err(error) => {
            // The first error is the one to tell; what stays now is cleaned up by the next run.
            let _ = stop::end_everything(&setting.place, &setting.state, progress).await;
            Err(error)
        }
    }
}

pub(super) fn attach() -> Result<Servers> {
    let mut place = Place::of_checkout()?;
    let state = match std::env::var_os(STATE_VARIABLE) {
        Some(path) => {
            let state = StateFile::named(path.into());
            if let Some(root) = state.path().parent() {
                place.root = root.to_path_buf();
            }
            state
        }
        None => StateFile::at(&place.root),
    };
    let known = state.load()?.unwrap_or_default();
    let (Some(choice), Some(access)) = (known.choice, known.access) else {
        return Err(ServersError::NoServers("no servers are up: run the tests with `cargo dev test`, or start servers with `cargo dev up --detach`".into()));
    };
    Ok(Servers { place, state, access, choice, holder: Identity::own()?, reused: true, progress: Progress::quiet() })
}

/// Servers that another living `cargo dev` of this checkout holds.
async fn reuse(setting: &Setting, purpose: &str) -> Result<Option<Servers>> {
    let Some(state) = setting.state.load()?.filter(|state| state.held()) else {
        return Ok(None);
    };
    let (Some(choice), Some(access)) = (state.choice, state.access.clone()) else {
        return Ok(None);
    };
    if let Some((database, _)) = given_urls()
        && !access.same_postgres(&database)
    {
        return Err(ServersError::NoServers(
            "DATABASE_URL names another server than the one that a running cargo dev of this checkout uses: \
             unset it, or end the other with `cargo dev down`"
                .into(),
        ));
    }
    if choice == Choice::Private {
        for kind in [Kind::Epmd, Kind::Postgres, Kind::Broker] {
            start_again(&setting.state, &setting.holder, &access, kind, &setting.progress).await?;
        }
    }
    hold(setting, purpose)?;
    setting.progress.note("servers are up already: using those");
    Ok(Some(servers(setting, choice, access, true)))
}

async fn start(setting: &Setting, options: Options) -> Result<Servers> {
    let mut installed = 0;
    loop {
        let postgres = programs::find_postgres();
        let rabbitmq = programs::find_rabbitmq();
        let step = choose(&look(postgres.is_some(), rabbitmq.is_some(), options));
        let missing = packages::missing(postgres.is_some(), rabbitmq.is_some());
        let (choice, access) = match (step, postgres, rabbitmq) {
            (Step::Use(Choice::Given), ..) => (Choice::Given, given(setting).await?),
            (Step::Use(Choice::Private), Some(postgres), Some(rabbitmq)) => (Choice::Private, private(setting, &postgres, &rabbitmq).await?),
            (Step::Use(Choice::Docker), ..) => (Choice::Docker, by_docker(setting)?),
            (step, ..) if installed < INSTALLATIONS_MAX => {
                install(step, &missing, &setting.progress)?;
                installed += 1;
                continue;
            }
            _ => {
                return Err(ServersError::NoServers(format!(
                    "the packages {} are installed, but bring no PostgreSQL >= {} and RabbitMQ >= {}",
                    missing.join(", "),
                    programs::POSTGRES_MIN,
                    programs::RABBITMQ_MIN
                )));
            }
        };
        setting.state.change(|state| {
            state.choice = Some(choice);
            state.access = Some(access.clone());
        })?;
        return Ok(servers(setting, choice, access, false));
    }
}

fn look(postgres: bool, rabbitmq: bool, options: Options) -> Found {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let given = (set("DATABASE_URL"), set("AMQP_URL"));
    Found {
        database_url: given.0,
        amqp_url: given.1,
        postgres,
        rabbitmq,
        // Asked only where its answer counts: an engine that hangs would hold up everybody.
        docker: given == (false, false) && !(postgres && rabbitmq) && docker::reachable(),
        apt: programs::in_path("apt-get") || std::path::Path::new("/usr/bin/apt-get").is_file(),
        root: is_root(),
        terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        yes: options.yes,
        sudo: programs::in_path("sudo"),
    }
}

fn install(step: Step, missing: &[&str], progress: &Progress) -> Result<()> {
    let line = packages::command_line(missing);
    let names = missing.join(" and ");
    match step {
        Step::Install => {
            progress.note(format!("servers: installing Debian's {names} (no service is started)"));
            packages::install(missing, progress)
        }
        Step::InstallBySudo => {
            progress.note(format!("servers: {line}"));
            packages::install_by_sudo(missing)
        }
        Step::Ask if agreed(&line, &names) => packages::install_by_sudo(missing),
        Step::Ask | Step::Show => Err(ServersError::NoServers(format!("{names} missing on this machine; this installs it without starting a service: {line}"))),
        Step::HalfGiven => Err(ServersError::NoServers("DATABASE_URL and AMQP_URL belong together: set both, or none".into())),
        Step::Use(_) | Step::Nothing => Err(ServersError::NoServers(format!(
            "no PostgreSQL >= {} and RabbitMQ >= {} found, no Docker engine answers and there is no apt-get: install \
             them, or set DATABASE_URL and AMQP_URL",
            programs::POSTGRES_MIN,
            programs::RABBITMQ_MIN
        ))),
    }
}

fn agreed(line: &str, names: &str) -> bool {
    let mut err = std::io::stderr();
    // An unwritable terminal answers nothing below, which means no.
    let _ = write!(err, "{names} missing. Run this now?\n  {line}\n[y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "j" | "ja")
}

fn given_urls() -> Option<(String, String)> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some((set("DATABASE_URL")?, set("AMQP_URL")?))
}

async fn given(setting: &Setting) -> Result<Access> {
    setting.progress.note("servers: those of DATABASE_URL and AMQP_URL");
    let (database, amqp) = given_urls().ok_or(ServersError::Url("DATABASE_URL"))?;
    let management = std::env::var("RABBITMQ_MANAGEMENT_URL").ok();
    let access = Access::given(&database, &amqp, management.as_deref())?;
    access.execute("answer".into(), "SELECT 1".into()).await?;
    access.manage("answer".into(), reqwest::Method::GET, "overview", None).await?;
    Ok(access)
}

fn by_docker(setting: &Setting) -> Result<Access> {
    setting.progress.note("servers: Docker's, by docker compose");
    let step = setting.progress.step("docker compose up -d postgres rabbitmq");
    let access = docker::up(&setting.place.checkout)?;
    step.done();
    Ok(access)
}

async fn private(setting: &Setting, postgres: &PostgresPrograms, rabbitmq: &RabbitmqPrograms) -> Result<Access> {
    setting.progress.note(format!(
        "servers: private, of the programs found here (PostgreSQL {} in {}, RabbitMQ {} in {}); data in {}",
        postgres.version,
        postgres.bin.display(),
        rabbitmq.version,
        rabbitmq.script.parent().unwrap_or(&rabbitmq.script).display(),
        setting.place.root.display()
    ));
    for _ in 1..STARTS_MAX {
        match private_once(setting, postgres, rabbitmq).await {
            Err(ServersError::EndedEarly { name, log }) => {
                let log = log.display();
                setting.progress.note(format!("{name} ended at once (a port taken meanwhile? see {log}); once more"));
                stop::end_servers(&setting.state, &setting.progress).await?;
            }
            other => return other,
        }
    }
    private_once(setting, postgres, rabbitmq).await
}

async fn private_once(setting: &Setting, postgres: &PostgresPrograms, rabbitmq: &RabbitmqPrograms) -> Result<Access> {
    let [database, amqp, management, distribution, epmd] = free_ports()?;
    let (database_password, password) = (random_secret(), random_secret());
    let access = Access {
        database_admin_url: format!("postgres://{}:{database_password}@127.0.0.1:{database}/postgres", postgres::ADMIN),
        management_url: format!("http://{}:{password}@127.0.0.1:{management}", broker::ADMIN),
        amqp_admin: super::AmqpAdmin { host: "127.0.0.1".into(), port: amqp, user: broker::ADMIN.into(), password: password.clone() },
    };
    let ports = broker::Ports { amqp, management, distribution, epmd };
    let step = setting.progress.step(format!("start RabbitMQ {}", rabbitmq.version));
    // The broker takes seconds, so Postgres is made ready meanwhile.
    broker::start(setting, rabbitmq, ports, &password).await?;
    postgres::start(setting, postgres, database, &database_password).await?;
    let state = setting.state.load()?.unwrap_or_default();
    if let Some(process) = state.server(Kind::Postgres) {
        postgres::ready(&access, process).await?;
    }
    if let Some(process) = state.server(Kind::Broker) {
        broker::ready(&access, process).await?;
    }
    step.done_with(format!("127.0.0.1:{amqp}, management {management}"));
    Ok(access)
}

fn hold(setting: &Setting, purpose: &str) -> Result<()> {
    setting.state.change(|state| {
        state.holders.retain(|holder| holder.holds() && holder.identity != setting.holder);
        state.holders.push(Holder { identity: setting.holder.clone(), purpose: purpose.to_owned(), detached: false });
    })
}

fn servers(setting: &Setting, choice: Choice, access: Access, reused: bool) -> Servers {
    Servers { place: setting.place.clone(), state: setting.state.clone(), access, choice, holder: setting.holder.clone(), reused, progress: setting.progress }
}
