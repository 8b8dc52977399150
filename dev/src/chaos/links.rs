//! The links between the campaign's parties, each with a proxy in it. Called by `arena`; weather is made in `strike`.

use std::net::SocketAddr;

use anyhow::{Context, anyhow};

use super::faults::Between;
use super::proxy::Proxy;

/// The links that weather strikes.
pub struct Links {
    pub ingress_broker: Proxy,
    pub workers_broker: Proxy,
    pub workers_postgres: Proxy,
    pub sync_calcom: Proxy,
    pub providers_ingress: Vec<Proxy>,
}

impl Links {
    /// A proxy on each way to these servers.
    pub async fn start(database_url: &str, amqp_url: &str, calcom_url: &str, ingress_ports: &[u16]) -> anyhow::Result<Self> {
        let (postgres, broker, calcom) = (address_of(database_url)?, address_of(amqp_url)?, address_of(calcom_url)?);
        let mut providers_ingress = Vec::new();
        for port in ingress_ports {
            providers_ingress.push(Proxy::start(SocketAddr::from(([127, 0, 0, 1], *port))).await?);
        }
        Ok(Self {
            ingress_broker: Proxy::start(broker).await?,
            workers_broker: Proxy::start(broker).await?,
            workers_postgres: Proxy::start(postgres).await?,
            sync_calcom: Proxy::start(calcom).await?,
            providers_ingress,
        })
    }

    /// The proxies of a link: more than one where more than one process listens.
    pub fn between(&self, between: Between) -> Vec<&Proxy> {
        match between {
            Between::IngressAndBroker => vec![&self.ingress_broker],
            Between::WorkersAndBroker => vec![&self.workers_broker],
            Between::WorkersAndPostgres => vec![&self.workers_postgres],
            Between::SyncAndCalcom => vec![&self.sync_calcom],
            Between::ProvidersAndIngress => self.providers_ingress.iter().collect(),
        }
    }
}

/// A server's URL by way of a proxy.
pub fn at(url: &str, proxy: SocketAddr) -> anyhow::Result<String> {
    // neither the URL nor the error is shown: a password stands in it
    let mut url = reqwest::Url::parse(url).ok().context("a server's URL cannot be read")?;
    url.set_ip_host(proxy.ip()).and_then(|()| url.set_port(Some(proxy.port()))).map_err(|()| anyhow!("a server's URL takes no port"))?;
    Ok(url.into())
}

fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let url = reqwest::Url::parse(url).ok().context("a server's URL cannot be read")?;
    let host = url.host_str().context("a server's URL has no host")?;
    let port = url.port().context("a server's URL has no port")?;
    format!("{host}:{port}").parse().context("a server's address is no IP address")
}
