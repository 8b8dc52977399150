//! What must be there before the story: database, schema, topology, the demo company with endpoints, secrets and a credential. All through the library
//! functions that `frontdesk` uses, too. Called by `demo`.
use anyhow::Context;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use shared::broker::{self, Scale};
use shared::secret::{Keyring, generate_master_key, random_token};
use shared::store::companies::{self, CreatedCompany, NewCompany};
use shared::store::credentials::{self, NewCredential};
use shared::store::{self, PgPool, endpoints, schema};
use uuid::Uuid;

use super::Run;
use crate::progress::Progress;
use crate::servers::{Servers, free_ports, http_client};

/// The role that sets companies up, as in `frontdesk`.
const OPERATOR: &str = "frontdesk_operator";
/// One thing after the other is set up.
const CONNECTIONS_MAX: u32 = 2;

/// Everything that the story's parts need to know of each other. Holds secrets: never logged.
pub struct Stage {
    /// Of the database and vhost, and of the ingress' folder.
    pub name: String,
    pub database_url: String,
    pub amqp_url: String,
    pub master_keys: SecretString,
    pub company: NewCompany,
    pub company_id: Uuid,
    pub retell_endpoint: Uuid,
    /// Signs Retell's requests.
    pub retell_key: SecretString,
    pub calcom_endpoint: Uuid,
    /// Signs Cal.com's webhooks.
    pub calcom_secret: SecretString,
    /// Opens the Cal.com stand-in's API.
    pub calcom_key: SecretString,
    pub ports: Ports,
    pub http: Client,
}

/// Where the processes of this run listen, all on loopback.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub ingress: u16,
    pub workers: u16,
    pub calcom: u16,
    pub retell: u16,
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        let [ingress, workers, calcom, retell] = free_ports()?;
        Ok(Self { ingress, workers, calcom, retell })
    }
}

/// A base URL on loopback.
pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Stage {
    /// The ingress' URL of the Retell endpoint.
    pub fn retell_target(&self) -> String {
        format!("{}/v1/retell/{}", url(self.ports.ingress), self.retell_endpoint)
    }

    /// The ingress' URL of the Cal.com endpoint.
    pub fn calcom_target(&self) -> String {
        format!("{}/v1/calcom/{}", url(self.ports.ingress), self.calcom_endpoint)
    }
}

/// Makes it all. A database that exists already is refused: nothing is migrated that this run did not make.
pub async fn prepare(servers: &Servers, progress: &Progress, run: &Run) -> anyhow::Result<Stage> {
    let step = progress.step(format!("database and vhost {}", run.name));
    let database_url = servers.create_database(&run.name).await?;
    let amqp_url = servers.create_vhost(&run.name).await?;
    step.done();

    let step = progress.step("schema");
    let migrated = schema::migrate(&database_url).await?;
    step.done_with(format!("version {}", migrated.to));

    let step = progress.step("exchanges and queues");
    let report = broker::apply(&amqp_url, Scale::REAL).await?;
    step.done_with(format!("{} made", report.created.len()));

    let step = progress.step("demo company");
    let master_keys = generate_master_key("demo");
    let keyring = Keyring::parse(master_keys.expose_secret())?;
    let pool = store::connect(&database_url, Some(OPERATOR), CONNECTIONS_MAX, "cargo dev up")?;
    let company = company()?;
    let made = companies::create(&pool, &company).await?;
    let ports = Ports::free()?;
    let stage = secrets(&pool, &keyring, &made, Given { name: run.name.clone(), database_url, amqp_url, master_keys, company, ports }).await?;
    pool.close().await;
    step.done_with(format!(
        "{}: {} branches, {} services, {} staff, {} numbers",
        stage.company.name,
        made.branches.len(),
        made.services.len(),
        made.staff.len(),
        made.phone_numbers.len()
    ));
    Ok(stage)
}

/// What is known of the stage before it has secrets.
struct Given {
    name: String,
    database_url: String,
    amqp_url: String,
    master_keys: SecretString,
    company: NewCompany,
    ports: Ports,
}

async fn secrets(pool: &PgPool, keyring: &Keyring, made: &CreatedCompany, given: Given) -> anyhow::Result<Stage> {
    let retell_account = made.retell_account_id.context("the demo company has no Retell account")?;
    let calcom_account = made.calcom_account_id.context("the demo company has no Cal.com account")?;
    let (retell_key, calcom_secret, calcom_key) = (random_token("key"), random_token("whsec"), random_token("cal"));
    let retell_endpoint = endpoints::add(pool, keyring, retell_account, "demo", &retell_key).await?;
    let calcom_endpoint = endpoints::add(pool, keyring, calcom_account, "demo", &calcom_secret).await?;
    let base_url = format!("{}/v2", url(given.ports.calcom));
    let credential = NewCredential { account_id: calcom_account, label: "stand-in", base_url: &base_url, api_key: &calcom_key, rate_per_minute: None };
    credentials::add(pool, keyring, &credential).await?;
    // the stand-in's REST part opens with the key that signs, as Retell's does
    let base_url = url(given.ports.retell);
    let credential = NewCredential { account_id: retell_account, label: "stand-in", base_url: &base_url, api_key: &retell_key, rate_per_minute: None };
    credentials::add(pool, keyring, &credential).await?;
    let Given { name, database_url, amqp_url, master_keys, company, ports } = given;
    let company_id = made.company_id;
    Ok(Stage {
        name,
        database_url,
        amqp_url,
        master_keys,
        company,
        company_id,
        retell_endpoint,
        retell_key,
        calcom_endpoint,
        calcom_secret,
        calcom_key,
        ports,
        http: http_client()?,
    })
}

fn company() -> anyhow::Result<NewCompany> {
    let text = include_str!("../../../deploy/demo/company.json");
    let company: NewCompany = serde_json::from_str(text).context("deploy/demo/company.json cannot be read")?;
    // the story is the same at night and on a Sunday: somebody always answers a transferred call
    let always = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(|day| (day.to_owned(), json!([["00:00", "24:00"]])));
    Ok(NewCompany { transfer_hours: Some(always.into_iter().collect()), ..company })
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;

    #[test]
    fn the_demo_company_has_what_the_story_needs() {
        let company = company().expect("read");
        assert!(company.problems().is_empty());
        assert!(company.phone_numbers.iter().any(|number| number.e164 == plan::SALON));
        let service = |event_type| company.services.iter().find(|service| service.calcom_event_type_id == Some(event_type));
        assert!(company.services.iter().any(|service| service.name == plan::PHONE_SERVICE && service.calcom_event_type_id.is_some()));
        assert!(service(plan::VISITOR_EVENT_TYPE).is_some());
        assert!(company.staff.iter().all(|person| person.calcom_user_id.is_some()), "each of them is a host of the stand-in");
        let one_person = company.services.iter().find(|service| service.name == plan::VISITOR_SERVICE).map(|service| service.staff.len());
        assert_eq!((one_person, service(plan::VISITOR_EVENT_TYPE).map(|service| service.name.as_str())), (Some(1), Some(plan::VISITOR_SERVICE)));
        assert!(company.staff.iter().any(|person| person.transfer_number.as_deref() == Some(plan::COLLEAGUE_NUMBER)));
    }
}
