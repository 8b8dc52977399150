//! The Docker choice: Postgres and RabbitMQ of the checkout's own `docker-compose.yml`.
//! Small on purpose; addresses and passwords are what Compose itself says. Tried only where an engine answers.
use std::path::Path;
use std::process::{Command, Stdio};

use super::access::{Access, AmqpAdmin};
use super::error::{Result, ServersError};

/// True when a Docker engine answers and Compose is there.
pub fn reachable() -> bool {
    let quiet = |args: &[&str]| {
        Command::new("docker").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    super::programs::in_path("docker") && quiet(&["info"]) && quiet(&["compose", "version"])
}

/// Starts the two services and waits for their health checks.
pub fn up(checkout: &Path) -> Result<Access> {
    compose(checkout, &["up", "-d", "--wait", "--wait-timeout", "180", "postgres", "rabbitmq"])?;
    let text = compose(checkout, &["config", "--format", "json"])?;
    let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    access(&config).ok_or_else(|| ServersError::Failed {
        program: "docker compose config".into(),
        detail: "docker-compose.yml publishes no ports or names no users for postgres and rabbitmq".into(),
    })
}

/// Stops the two services; their volumes stay.
pub fn stop(checkout: &Path) -> Result<()> {
    compose(checkout, &["stop", "postgres", "rabbitmq"]).map(|_| ())
}

fn compose(checkout: &Path, args: &[&str]) -> Result<String> {
    let program = format!("docker compose {}", args[0]);
    let said = Command::new("docker")
        .arg("compose")
        .args(args)
        .current_dir(checkout)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServersError::Run { program: program.clone(), source })?;
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    } else {
        let detail = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(ServersError::Failed { program, detail })
    }
}

fn access(config: &serde_json::Value) -> Option<Access> {
    let variable = |service: &str, name: &str| {
        let value = &config["services"][service]["environment"][name];
        value.as_str().map(str::to_owned)
    };
    let port = |service: &str, target: u64| {
        let ports = config["services"][service]["ports"].as_array()?;
        let published = ports.iter().find(|port| port["target"] == target)?.get("published")?;
        published.as_str().map_or_else(|| published.as_u64()?.try_into().ok(), |text| text.parse::<u16>().ok())
    };
    let database_user = variable("postgres", "POSTGRES_USER").unwrap_or_else(|| "postgres".into());
    let database_password = variable("postgres", "POSTGRES_PASSWORD")?;
    let user = variable("rabbitmq", "RABBITMQ_DEFAULT_USER")?;
    let password = variable("rabbitmq", "RABBITMQ_DEFAULT_PASS")?;
    let (postgres, amqp, management) = (port("postgres", 5432)?, port("rabbitmq", 5672)?, port("rabbitmq", 15672)?);
    Some(Access {
        database_admin_url: format!("postgres://{database_user}:{database_password}@127.0.0.1:{postgres}/postgres"),
        management_url: format!("http://{user}:{password}@127.0.0.1:{management}"),
        amqp_admin: AmqpAdmin { host: "127.0.0.1".into(), port: amqp, user, password },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_compose_prints() {
        let config = serde_json::json!({"services": {
            "postgres": {"environment": {"POSTGRES_USER": "fd", "POSTGRES_PASSWORD": "a"},
                         "ports": [{"target": 5432, "published": "15432"}]},
            "rabbitmq": {"environment": {"RABBITMQ_DEFAULT_USER": "mq", "RABBITMQ_DEFAULT_PASS": "b"},
                         "ports": [{"target": 5672, "published": "5673"}, {"target": 15672, "published": "15673"}]}}});
        let access = access(&config).expect("complete");
        assert_eq!(access.database_admin_url, "postgres://fd:a@127.0.0.1:15432/postgres");
        assert_eq!(access.amqp_url("x"), "amqp://mq:b@127.0.0.1:5673/x");
        assert_eq!(access.management_url, "http://mq:b@127.0.0.1:15673");
    }

    #[test]
    fn a_compose_file_without_published_ports_is_refused() {
        assert!(access(&serde_json::json!({"services": {}})).is_none());
    }
}
