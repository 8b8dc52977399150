//! The servers as tests get them from `cargo dev test`: databases, vhosts, children, and a broker that is killed.
use std::time::Duration;

use dev::servers::{ChildSpec, Servers, ServersError, free_port, http_client};
use sqlx::Connection;

fn attached() -> Servers {
    Servers::attach().expect("servers: run through `cargo dev test`")
}

fn unique(topic: &str) -> String {
    format!("servers_{topic}_{}_test", std::process::id())
}

#[tokio::test]
async fn a_database_is_made_reached_and_dropped() {
    let servers = attached();
    let _use = servers.use_together().await.expect("taken");
    let name = unique("database");
    let url = servers.create_database(&name).await.expect("created");
    let mut session = sqlx::PgConnection::connect(&url).await.expect("reached");
    let there: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut session).await.expect("asked");
    assert_eq!(there, name);
    // The open session does not keep it.
    servers.drop_database(&name).await.expect("dropped");
    assert!(sqlx::PgConnection::connect(&url).await.is_err());
}

#[tokio::test]
async fn what_we_did_not_make_is_not_dropped() {
    let servers = attached();
    let refused = servers.drop_database("postgres").await;
    assert!(matches!(refused, Err(ServersError::NotOurs(_))));
    let refused = servers.delete_vhost("somebody_elses").await;
    assert!(matches!(refused, Err(ServersError::NotOurs(_))));
}

#[tokio::test]
async fn a_vhost_is_made_reached_and_deleted() {
    let servers = attached();
    let _use = servers.use_together().await.expect("taken");
    let name = unique("vhost");
    let url = servers.create_vhost(&name).await.expect("created");
    let properties = lapin::ConnectionProperties::default();
    let connection = lapin::Connection::connect(&url, properties.clone()).await.expect("reached");
    connection.create_channel().await.expect("opened");
    servers.delete_vhost(&name).await.expect("deleted");
    assert!(lapin::Connection::connect(&url, properties).await.is_err());
}

#[tokio::test]
async fn a_child_is_ready_when_its_url_answers_and_gone_after_stop() {
    let servers = attached();
    let port = free_port().expect("free");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bound");
    let answers = axum::Router::new().route("/readyz", axum::routing::get(|| async { "ready" }));
    tokio::spawn(async move { axum::serve(listener, answers).await });
    let mut spec = ChildSpec::new(unique("child"), "/bin/sleep");
    spec.args = vec!["60".into()];
    spec.ready_url = Some(format!("http://127.0.0.1:{port}/readyz"));
    let child = servers.start_child(&spec).await.expect("ready");
    assert!(child.alive());
    assert!(child.stop(Duration::from_secs(10)).await.expect("stopped"));
    assert!(!child.alive());
}

#[tokio::test]
async fn a_child_that_ends_at_once_is_named_with_its_log() {
    let servers = attached();
    let mut spec = ChildSpec::new(unique("early"), "/bin/false");
    spec.ready_url = Some(format!("http://127.0.0.1:{}/readyz", free_port().expect("free")));
    let error = servers.start_child(&spec).await.expect_err("never ready");
    assert!(matches!(error, ServersError::EndedEarly { .. }), "{error}");
}

/// Tests that take the servers away from everybody.
mod alone {
    use super::*;

    #[tokio::test]
    async fn a_killed_broker_comes_back_on_its_port_with_its_vhosts() {
        let servers = attached();
        let _alone = servers.use_alone().await.expect("taken");
        let name = unique("killed");
        let url = servers.create_vhost(&name).await.expect("created");
        let pid = servers.broker().pid().expect("private");
        servers.broker().kill().await.expect("killed");
        let overview = format!("{}/api/overview", servers.management_url());
        assert!(http_client().expect("built").get(&overview).send().await.is_err());
        servers.broker().start().await.expect("started");
        assert_ne!(servers.broker().pid().expect("private"), pid);
        lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.expect("reached");
        servers.delete_vhost(&name).await.expect("deleted");
    }

    #[tokio::test]
    async fn a_killed_postgres_comes_back_on_its_port() {
        let servers = attached();
        let _alone = servers.use_alone().await.expect("taken");
        servers.postgres().kill().await.expect("killed");
        servers.postgres().start().await.expect("started");
        let reached = sqlx::PgConnection::connect(servers.database_admin_url()).await;
        reached.expect("reached");
    }
}
