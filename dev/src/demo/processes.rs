//! The processes of the story as real children with log files: two stand-ins, ingress, `workers all`. Called by `demo`; `up` ends them.
use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::store::companies::{NewService, NewStaff};

use super::setup::{Stage, url};
use crate::progress::Progress;
use crate::servers::{ChildSpec, Servers};

/// Starts everything and waits until all of it is ready.
pub async fn start(servers: &Servers, progress: &Progress, stage: &Stage) -> anyhow::Result<()> {
    let step = progress.step("stand-ins of Cal.com and Retell");
    let (calcom, retell) = (calcom(servers, stage), retell(servers, stage));
    tokio::try_join!(servers.start_child(&calcom), servers.start_child(&retell))?;
    set_up_calcom(stage).await?;
    step.done_with(format!("{} and {}", url(stage.ports.calcom), url(stage.ports.retell)));

    let step = progress.step("ingress and workers all");
    let folder = servers.place().data_dir("ingress");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
    let spool = folder.join(&stage.name);
    // what an earlier run left in its spool belongs to a database that is gone
    servers.place().fresh_dir(&spool, None)?;
    let mut ingress = roles(servers, stage, "ingress", stage.ports.ingress);
    ingress.env.insert("LISTEN".into(), format!("127.0.0.1:{}", stage.ports.ingress));
    ingress.env.insert("SPOOL_DIR".into(), spool.display().to_string());
    let mut workers = roles(servers, stage, "workers", stage.ports.workers);
    workers.args = vec!["all".into()];
    workers.env.insert("METRICS_LISTEN".into(), format!("127.0.0.1:{}", stage.ports.workers));
    // the credential names the stand-in; nothing of the demo may ever fall back to the hosted service
    workers.env.insert("CALCOM_BASE_URL".into(), format!("{}/v2", url(stage.ports.calcom)));
    tokio::try_join!(servers.start_child(&ingress), servers.start_child(&workers))?;
    step.done_with(format!("{} and {}", url(stage.ports.ingress), url(stage.ports.workers)));
    Ok(())
}

/// What ingress and workers have in common.
fn roles(servers: &Servers, stage: &Stage, program: &str, port: u16) -> ChildSpec {
    let variables = [
        ("DATABASE_URL", stage.database_url.as_str()),
        ("AMQP_URL", stage.amqp_url.as_str()),
        ("MASTER_KEYS", stage.master_keys.expose_secret()),
        ("LOG_FORMAT", "json"),
    ];
    ChildSpec {
        env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ready_url: Some(format!("{}/readyz", url(port))),
        ..ChildSpec::new(program, servers.program(program))
    }
}

fn stand_in(servers: &Servers, which: &str, port: u16) -> ChildSpec {
    ChildSpec {
        args: vec![which.into(), "--port".into(), port.to_string()],
        ready_url: Some(format!("{}/admin/health", url(port))),
        ..ChildSpec::new(format!("{which}-stand-in"), servers.program("stand_ins"))
    }
}

fn calcom(servers: &Servers, stage: &Stage) -> ChildSpec {
    stand_in(servers, "calcom", stage.ports.calcom)
}

fn retell(servers: &Servers, stage: &Stage) -> ChildSpec {
    let env = [("RETELL_TARGET_URL", stage.retell_target()), ("RETELL_API_KEY", stage.retell_key.expose_secret().to_owned())];
    let env: BTreeMap<String, String> = env.map(|(name, value)| (name.to_owned(), value)).into();
    ChildSpec { env, ..stand_in(servers, "retell", stage.ports.retell) }
}

/// People, event types, our API key and our webhook: what a company sets up in Cal.com by hand.
pub async fn set_up_calcom(stage: &Stage) -> anyhow::Result<()> {
    let staff = &stage.company.staff;
    for person in staff {
        post(stage, "hosts", &host(person)).await?;
    }
    for service in &stage.company.services {
        post(stage, "event-types", &event_type(service, staff)).await?;
    }
    // no user: a key and a webhook of the whole organisation
    post(stage, "api-keys", &json!({"key": stage.calcom_key.expose_secret(), "name": "frontdesk"})).await?;
    post(stage, "webhooks", &json!({"subscriber_url": stage.calcom_target(), "secret": stage.calcom_secret.expose_secret()})).await?;
    Ok(())
}

fn host(person: &NewStaff) -> Value {
    let email = person.email.clone().unwrap_or_default();
    let username = email.split('@').next().unwrap_or_default();
    json!({"id": person.calcom_user_id, "name": person.name, "email": email, "username": username})
}

pub fn event_type(service: &NewService, staff: &[NewStaff]) -> Value {
    let hosts: Vec<i64> = staff.iter().filter(|person| service.staff.contains(&person.name)).filter_map(|person| person.calcom_user_id).collect();
    json!({
        "id": service.calcom_event_type_id,
        "slug": service.name.to_lowercase().replace(' ', "-"),
        "title": service.name,
        "length": service.duration_minutes,
        // several people: Cal.com chooses who does it
        "scheduling_type": if hosts.len() > 1 { Some("ROUND_ROBIN") } else { None },
        "hosts": hosts,
        "seats": if service.seats_per_slot > 1 { Some(service.seats_per_slot) } else { None },
        "location": "Hauptstraße 1, 10115 Berlin",
    })
}

/// A POST to the Cal.com stand-in's admin API that must be granted.
pub async fn post(stage: &Stage, path: &str, body: &Value) -> anyhow::Result<Response> {
    let answer = stage.http.post(format!("{}/admin/{path}", url(stage.ports.calcom))).json(body).send().await;
    let answer = answer.with_context(|| format!("the Cal.com stand-in did not answer on {path}"))?;
    let status = answer.status();
    ensure!(status.is_success(), "the Cal.com stand-in refused {path} with {status}: {}", answer.text().await.unwrap_or_default());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calcom_stand_in::{EventType, Host};

    #[test]
    fn the_stand_in_understands_every_host_and_event_type_of_the_demo_company() {
        let company: shared::store::companies::NewCompany = serde_json::from_str(include_str!("../../../deploy/demo/company.json")).expect("read");
        for person in &company.staff {
            let host: Host = serde_json::from_value(host(person)).expect("a host");
            assert_eq!(Some(host.id), person.calcom_user_id);
        }
        for service in &company.services {
            let event: EventType = serde_json::from_value(event_type(service, &company.staff)).expect("an event type");
            assert_eq!(event.hosts.len(), service.staff.len());
            assert_eq!(event.is_round_robin(), service.staff.len() > 1);
            assert_eq!(event.seats.is_some(), service.seats_per_slot > 1);
        }
    }
}
