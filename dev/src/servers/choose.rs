//! Which servers are used: the order of architecture section 12, as a pure function of what was found.
//! Finding and starting happen elsewhere. Called by `Servers::provide`.
use serde::{Deserialize, Serialize};

/// Where the servers in use come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// `DATABASE_URL` and `AMQP_URL` of the environment.
    Given,
    /// Programs of this machine, started privately.
    Private,
    /// `docker compose up -d postgres rabbitmq`.
    Docker,
}

/// What was found on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub database_url: bool,
    pub amqp_url: bool,
    pub postgres: bool,
    pub rabbitmq: bool,
    pub docker: bool,
    pub apt: bool,
    pub root: bool,
    /// A terminal to ask on.
    pub terminal: bool,
    /// `--yes`.
    pub yes: bool,
    pub sudo: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Use(Choice),
    /// As root, without asking.
    Install,
    /// As a user, through sudo, because of `--yes`.
    InstallBySudo,
    /// As a user, after asking.
    Ask,
    /// Show the command line and stop with exit 2.
    Show,
    /// Only one of the two URLs: more likely a mistake than a wish.
    HalfGiven,
    /// Nothing to offer on this machine.
    Nothing,
}

/// The order of choice, stated once.
pub fn choose(found: &Found) -> Step {
    match found {
        Found { database_url: true, amqp_url: true, .. } => Step::Use(Choice::Given),
        Found { postgres: true, rabbitmq: true, .. } if !half_given(found) => Step::Use(Choice::Private),
        _ if half_given(found) => Step::HalfGiven,
        Found { docker: true, .. } => Step::Use(Choice::Docker),
        Found { apt: false, .. } => Step::Nothing,
        Found { root: true, .. } => Step::Install,
        Found { sudo: true, yes: true, .. } => Step::InstallBySudo,
        Found { sudo: true, terminal: true, .. } => Step::Ask,
        _ => Step::Show,
    }
}

fn half_given(found: &Found) -> bool {
    found.database_url != found.amqp_url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Found {
        Found { database_url: true, amqp_url: true, postgres: true, rabbitmq: true, docker: true, apt: true, root: true, terminal: true, yes: true, sudo: true }
    }

    #[test]
    fn the_order_is_given_then_private_then_docker_then_packages_then_nothing() {
        let mut found = everything();
        assert_eq!(choose(&found), Step::Use(Choice::Given));
        (found.database_url, found.amqp_url) = (false, false);
        assert_eq!(choose(&found), Step::Use(Choice::Private));
        found.rabbitmq = false;
        assert_eq!(choose(&found), Step::Use(Choice::Docker));
        found.docker = false;
        assert_eq!(choose(&found), Step::Install);
        found.root = false;
        assert_eq!(choose(&found), Step::InstallBySudo);
        found.yes = false;
        assert_eq!(choose(&found), Step::Ask);
        found.terminal = false;
        assert_eq!(choose(&found), Step::Show);
        found.apt = false;
        assert_eq!(choose(&found), Step::Nothing);
    }

    #[test]
    fn a_missing_postgres_is_installed_as_a_missing_broker_is() {
        let found = Found { postgres: false, rabbitmq: true, apt: true, root: true, ..Found::default() };
        assert_eq!(choose(&found), Step::Install);
    }

    #[test]
    fn one_url_alone_is_an_error_not_a_guess() {
        let found = Found { amqp_url: false, ..everything() };
        assert_eq!(choose(&found), Step::HalfGiven);
    }

    #[test]
    fn without_sudo_the_command_line_is_shown_even_with_yes() {
        let found = Found { apt: true, yes: true, terminal: true, ..Found::default() };
        assert_eq!(choose(&found), Step::Show);
    }
}
