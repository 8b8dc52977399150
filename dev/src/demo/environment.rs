//! The addresses of a run: variables for `target/dev/env`, and where to look next. Called by `demo`.
use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::setup::{Stage, url};
use crate::servers::Servers;

/// Everything that a shell needs to go on by hand. Holds passwords and secrets: for the owner's file only.
pub fn variables(servers: &Servers, stage: &Stage) -> BTreeMap<String, String> {
    let ingress = url(stage.ports.ingress);
    let variables = [
        ("METRICS_URLS", format!("{ingress}/metrics {}/metrics", url(stage.ports.workers))),
        ("INGRESS_URL", ingress),
        ("DATABASE_URL", stage.database_url.clone()),
        ("AMQP_URL", stage.amqp_url.clone()),
        ("RABBITMQ_MANAGEMENT_URL", servers.management_url().to_owned()),
        ("CALCOM_STAND_IN_URL", url(stage.ports.calcom)),
        ("RETELL_STAND_IN_URL", url(stage.ports.retell)),
        ("DEMO_COMPANY_ID", stage.company_id.to_string()),
        ("DEMO_RETELL_ENDPOINT", stage.retell_endpoint.to_string()),
        ("DEMO_RETELL_KEY", stage.retell_key.expose_secret().to_owned()),
        ("DEMO_CALCOM_ENDPOINT", stage.calcom_endpoint.to_string()),
        ("DEMO_CALCOM_SECRET", stage.calcom_secret.expose_secret().to_owned()),
        // opens and seals what this run's database holds
        ("MASTER_KEYS", stage.master_keys.expose_secret().to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Where to look next, without any password.
pub fn where_to_look(servers: &Servers, stage: &Stage) -> String {
    let [ingress, workers, calcom, retell] = [stage.ports.ingress, stage.ports.workers, stage.ports.calcom, stage.ports.retell].map(url);
    format!(
        "\nWhere to look next\n  \
           ingress            {ingress}/readyz  {ingress}/metrics\n  \
           workers            {workers}/readyz  {workers}/metrics\n  \
           Cal.com stand-in   {calcom}/admin/ledger  {calcom}/admin/bookings\n  \
           Retell stand-in    {retell}/admin/ledger\n  \
           RabbitMQ           {management}  (user and password: RABBITMQ_MANAGEMENT_URL)\n  \
           logs               {logs}\n  \
           by hand            . target/dev/env   (after `cargo dev up --detach`: addresses, and `frontdesk` in the PATH)\n  \
           and then           psql \"$DATABASE_URL\"\n                     \
           frontdesk check\n                     \
           frontdesk company list\n                     \
           frontdesk dead list\n                     \
           frontdesk send --url \"$INGRESS_URL\" --provider retell --endpoint \"$DEMO_RETELL_ENDPOINT\" --key-env DEMO_RETELL_KEY tests/fixtures/retell/call_started.json\n",
        management = without_password(servers.management_url()),
        logs = servers.log_dir().display(),
    )
}

fn without_password(text: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(text) else { return "RABBITMQ_MANAGEMENT_URL".to_owned() };
    // an http URL with a host can always be without a user
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_management_address_is_shown_without_its_password() {
        assert_eq!(without_password("http://admin:geheim@127.0.0.1:15672"), "http://127.0.0.1:15672");
    }
}
