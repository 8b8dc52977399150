//! The campaign's companies in our database and in Cal.com: accounts, endpoints with their secrets, credentials, people, event types, webhooks.
//! Called by `arena`, once.

use std::collections::BTreeMap;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use shared::secret::{Keyring, random_token};
use shared::store::companies::{self as store, CreatedCompany};
use shared::store::credentials::{self, NewCredential};
use shared::store::endpoints;
use sqlx::PgPool;
use uuid::Uuid;

use super::gate::{Gate, Owner};
use super::links::Links;
use super::record::{Company, EventTypeRecord, Source};
use super::tenants::{MINUTES, Tenant};
use crate::calcom_stand_in::{ApiKey, CalcomStandIn, Webhook, webhook_id};
use crate::retell_stand_in::RetellStandIn;

/// Retell's budget is not what is tried here, and ten minutes of lost webhooks are to be made up for within one.
const RETELL_RATE_PER_MINUTE: i32 = 6000;

/// A tenant with what its senders need.
#[derive(Clone)]
pub struct Tenancy {
    pub tenant: Tenant,
    pub company: Company,
    /// Signs its Retell requests.
    pub retell_key: String,
    /// Signs its Cal.com webhooks.
    pub calcom_secret: String,
}

/// Makes the companies with accounts, endpoints and keys.
pub async fn companies(database: &PgPool, keyring: &Keyring, links: &Links, retell: &RetellStandIn) -> anyhow::Result<Vec<Tenancy>> {
    let mut tenancies: Vec<Tenancy> = Vec::new();
    let base_url = format!("http://{}/v2", links.sync_calcom.address);
    for tenant in Tenant::all() {
        let made = store::create(database, &tenant.document()).await?;
        let retell_account = made.retell_account_id.context("a company without a Retell account")?;
        let calcom_account = made.calcom_account_id.context("a company without a Cal.com account")?;
        // a workspace that two companies share has one endpoint and one key
        let shared = tenancies.iter().find(|known| known.company.retell_account_id == retell_account);
        let (retell_endpoint, retell_key) = match shared {
            Some(known) => (known.company.retell_endpoint, known.retell_key.clone()),
            None => {
                let key = random_token("key");
                let endpoint = endpoints::add(database, keyring, retell_account, "chaos", &key).await?;
                let api = NewCredential {
                    account_id: retell_account,
                    label: "stand-in",
                    base_url: &retell.base_url,
                    api_key: &key,
                    rate_per_minute: Some(RETELL_RATE_PER_MINUTE),
                };
                credentials::add(database, keyring, &api).await?;
                (endpoint, key.expose_secret().to_owned())
            }
        };
        let calcom_secret = random_token("whsec");
        let calcom_endpoint = endpoints::add(database, keyring, calcom_account, "chaos", &calcom_secret).await?;
        let api_key = SecretString::from(api_key(tenant));
        let api = NewCredential { account_id: calcom_account, label: "stand-in", base_url: &base_url, api_key: &api_key, rate_per_minute: None };
        let credential_id = credentials::add(database, keyring, &api).await?;
        let accounts = Accounts { retell_account, calcom_account, credential_id, retell_endpoint, calcom_endpoint };
        let company = company(tenant, &made, &accounts);
        tenancies.push(Tenancy { tenant, company, retell_key, calcom_secret: calcom_secret.expose_secret().to_owned() });
    }
    Ok(tenancies)
}

struct Accounts {
    retell_account: Uuid,
    calcom_account: Uuid,
    credential_id: Uuid,
    retell_endpoint: Uuid,
    calcom_endpoint: Uuid,
}

fn company(tenant: Tenant, made: &CreatedCompany, accounts: &Accounts) -> Company {
    let [owner, second, third] = tenant.hosts();
    let event_type = |id: i64, hosts: Vec<i64>| EventTypeRecord {
        id,
        service_name: tenant.service(id).to_owned(),
        service_id: made.services.iter().find(|(name, _)| name == tenant.service(id)).map_or_else(Uuid::nil, |(_, id)| *id),
        hosts,
        minutes: MINUTES,
    };
    Company {
        id: made.company_id,
        name: tenant.name(),
        retell_account_id: accounts.retell_account,
        calcom_account_id: accounts.calcom_account,
        credential_id: accounts.credential_id,
        api_key_name: tenant.api_key_name(),
        retell_endpoint: accounts.retell_endpoint,
        calcom_endpoint: accounts.calcom_endpoint,
        event_types: vec![event_type(tenant.fixed_event_type(), vec![owner]), event_type(tenant.round_robin_event_type(), vec![second, third])],
        canaries: tenant.canaries(),
    }
}

fn api_key(tenant: Tenant) -> String {
    format!("cal_live_chaos_{}", tenant.api_key_name())
}

/// Who owns which endpoint, for the gate.
pub fn owners(tenancies: &[Tenancy]) -> BTreeMap<Uuid, Owner> {
    let mut owners: BTreeMap<Uuid, Owner> = BTreeMap::new();
    for (index, tenancy) in tenancies.iter().enumerate() {
        for (endpoint, source) in [(tenancy.company.retell_endpoint, Source::Retell), (tenancy.company.calcom_endpoint, Source::Calcom)] {
            let owner = owners.entry(endpoint).or_insert_with(|| Owner { source, companies: Vec::new() });
            owner.companies.push((index, tenancy.tenant.number()));
        }
    }
    owners
}

/// People, event types, keys that see their own company's bookings only, and a webhook each.
pub fn tell_calcom(calcom: &CalcomStandIn, gate: &Gate, tenancies: &[Tenancy]) -> anyhow::Result<()> {
    for Tenancy { tenant, company, calcom_secret, .. } in tenancies {
        tenant.calcom_hosts().into_iter().for_each(|host| calcom.add_host(host));
        tenant.calcom_event_types()?.into_iter().for_each(|event_type| calcom.add_event_type(event_type));
        let owner = Some(tenant.hosts()[0]);
        calcom.add_api_key(ApiKey { key: api_key(*tenant), name: tenant.api_key_name(), user_id: owner, rate_per_window: None });
        calcom.add_webhook(Webhook {
            id: webhook_id(),
            user_id: owner,
            event_type_id: None,
            subscriber_url: gate.url(Source::Calcom, company.calcom_endpoint),
            secret: Some(calcom_secret.clone()),
            triggers: Vec::new(),
            active: true,
        });
    }
    Ok(())
}
