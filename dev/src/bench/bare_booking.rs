//! The honest minimum beside `workers booking`: lapin, sixteen messages at once, one SQL function call per message, ack after the commit. Its own process.
//! No retries, no dead letters, no fold, no drain. Called by the program `bench_peers`.
use std::sync::Arc;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use serde::Deserialize;
use shared::store::{self, PgPool};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::amqp;

/// As the issue says: 16 concurrent.
pub const CONCURRENT: u16 = 16;
const PREFETCH: u16 = 32;

const BOOK: &str = "SELECT bench.book($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    created_at: DateTime<Utc>,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    uid: String,
    event_type_id: i64,
    booking_id: i64,
    i_cal_sequence: i32,
    start_time: DateTime<Utc>,
    end_time: DateTime<Utc>,
    organizer: Host,
    attendees: Vec<Attendee>,
}

#[derive(Deserialize)]
struct Host {
    id: i64,
}

#[derive(Deserialize)]
struct Attendee {
    name: String,
    email: String,
}

/// Consumes until the process is ended; a message that fails ends it, too.
pub async fn run(database_url: &str, amqp_url: &str, queue: &str, endpoint: Uuid) -> anyhow::Result<()> {
    let pool = store::connect(database_url, Some("frontdesk_worker"), CONCURRENT.into(), "bare booking")?;
    let (_connection, channel) = amqp::open(amqp_url).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut consumer = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    let permits = Arc::new(Semaphore::new(CONCURRENT.into()));
    let mut running = JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        while let Some(ended) = running.try_join_next() {
            ended??;
        }
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery.context("the broker cancelled the consumer")??,
            Some(ended) = running.join_next() => {
                ended??;
                continue;
            }
        };
        let pool = pool.clone();
        running.spawn(async move {
            book(&pool, endpoint, &delivery).await?;
            delivery.acker.ack(BasicAckOptions::default()).await?;
            drop(permit);
            anyhow::Ok(())
        });
    }
}

async fn book(pool: &PgPool, endpoint: Uuid, delivery: &Delivery) -> anyhow::Result<()> {
    let properties = &delivery.properties;
    let message_id = properties.message_id().as_ref().context("a message without identity")?.as_str();
    let received_at = properties.timestamp().and_then(|seconds| DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)).context("a message without time")?;
    let Event { created_at, payload } = serde_json::from_slice(&delivery.data)?;
    let attendee = payload.attendees.first().context("a booking without attendee")?;
    let done: String = sqlx::query_scalar(BOOK)
        .bind(endpoint)
        .bind(message_id)
        .bind(received_at)
        .bind(delivery.data.as_slice())
        .bind(&payload.uid)
        .bind(payload.event_type_id)
        .bind(payload.booking_id)
        .bind(payload.i_cal_sequence)
        .bind(payload.organizer.id)
        .bind(payload.start_time)
        .bind(payload.end_time)
        .bind(&attendee.email)
        .bind(&attendee.name)
        .bind(created_at)
        .fetch_one(pool)
        .await?;
    ensure!(done == "done", "the function said {done}");
    Ok(())
}
