//! Work that a process has in hand when it is asked to stop, and cannot finish before: so that a stop in the middle of work is certain, not a matter of luck.

use std::time::Duration;

use bytes::Bytes;
use dev::calcom_stand_in::sign::sign_calcom;
use dev::calcom_stand_in::{FaultKind, FaultOp, FaultRule};
use serde_json::json;
use shared::broker::publish::{CONFIRM_TIMEOUT, Publisher, PublisherConfig};
use shared::broker::{Destination, topology};
use shared::clock::Clock;
use shared::envelope::{Envelope, Kind, Lane, MessageId, Role, SCHEMA_VERSION};
use shared::store::jobs;
use sqlx::{Postgres, Transaction};
use tests::web_bookings::WebBookings;
use tests::{World, eventually, fixtures, world};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::load::Sent;

/// How long Cal.com takes for the request that is under way.
const SLOW_MS: u64 = 1500;
/// The job that wants sweeps, and so must write the table that is locked.
pub const JOB: &str = "calcom_updates";

/// What holds the work up, until it is let go.
pub enum InHand {
    /// A transaction of the role waits for a table that the test has locked.
    Waits(Transaction<'static, Postgres>),
    /// A request to Cal.com is under way; it ends by itself.
    UnderWay,
    /// A webhook of which ingress has read the first half.
    Half { stream: TcpStream, rest: Vec<u8>, uid: String },
}

impl InHand {
    /// Waits until the process of that role (`None`: the ingress at `address`) has something in hand.
    pub async fn of(world: &World, role: Option<Role>, address: &str, sent: &Sent) -> Self {
        match role {
            None => half_sent(world, address, sent).await,
            Some(Role::CalcomSync) => under_way(world).await,
            Some(role @ Role::Scheduler) => {
                let locked = lock(world, "LOCK TABLE sweeps IN EXCLUSIVE MODE").await;
                assert!(jobs::ask(&world.db, JOB).await.unwrap());
                waits(world, role).await;
                Self::Waits(locked)
            }
            Some(role) => {
                // every handler begins with its claim; the load brings the rest
                let locked = lock(world, "LOCK TABLE inbox IN EXCLUSIVE MODE").await;
                if role == Role::Backfill {
                    publish_chunk(world).await;
                }
                waits(world, role).await;
                Self::Waits(locked)
            }
        }
    }

    /// Lets it go on; what ingress had in hand must be acknowledged.
    pub async fn let_go(self, sent: &Sent) {
        match self {
            Self::Waits(locked) => locked.rollback().await.unwrap(),
            Self::UnderWay => {}
            Self::Half { mut stream, rest, uid } => {
                stream.write_all(&rest).await.unwrap();
                assert!(heard(&mut stream).await.starts_with("HTTP/1.1 204"), "what was begun is finished");
                sent.acknowledge(uid);
            }
        }
    }
}

/// A chunk of a run that is gone: nobody's, and a message like any other.
async fn publish_chunk(world: &World) {
    let config = PublisherConfig { amqp_url: world.amqp_url.clone(), connection_name: "test".into(), in_flight_max: 1, confirm_timeout: CONFIRM_TIMEOUT };
    let publisher = Publisher::start(config, Clock::system());
    publisher.watch_ready().wait_for(|ready| *ready).await.unwrap();
    let (run_id, company_id) = (Uuid::now_v7(), world.company.company_id);
    let body = Bytes::from(json!({ "company_id": company_id, "run_id": run_id, "table": "appointments", "number": 1, "sent_count": 1 }).to_string());
    let envelope = Envelope {
        message_id: MessageId::of_own("backfill.chunk", &body),
        kind: Kind::BackfillChunk,
        schema_version: SCHEMA_VERSION,
        endpoint: None,
        received_at: world::now(),
        attempt: 1,
        deadline: None,
        reply_to: None,
        traceparent: None,
        caller_gone: false,
        body,
    };
    publisher.publish(&Destination::Work(topology::queue(Role::Backfill, Lane::Bulk)), &envelope).await.unwrap();
    publisher.close(CONFIRM_TIMEOUT).await;
}

async fn lock(world: &World, statement: &'static str) -> Transaction<'static, Postgres> {
    let mut locked = world.db.begin().await.unwrap();
    sqlx::query(statement).execute(&mut *locked).await.unwrap();
    locked
}

/// Until a session of the role's process stands in front of the lock.
async fn waits(world: &World, role: Role) {
    let sessions = format!("frontdesk workers {} %", role.name());
    eventually(&format!("{} has a transaction in hand", role.name()), || async {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database() AND application_name LIKE $1)",
        )
        .bind(&sessions)
        .fetch_one(&world.db)
        .await
        .unwrap();
        waiting.then_some(())
    })
    .await;
}

async fn under_way(world: &World) -> InHand {
    let fired = || world.calcom.faults_fired().get("slow").copied().unwrap_or(0);
    let before = fired();
    world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::Slow { ms: SLOW_MS })]);
    eventually("a request to Cal.com is under way", || async { (fired() > before).then_some(()) }).await;
    InHand::UnderWay
}

/// `100 Continue` is the proof: ingress asks for the body, so the request is at work.
async fn half_sent(world: &World, address: &str, sent: &Sent) -> InHand {
    let n = sent.next_web();
    let body = WebBookings::default().body(n);
    let head = format!(
        "POST /v1/calcom/{} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nx-cal-signature-256: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        world.calcom_endpoint,
        sign_calcom(fixtures::CALCOM_SECRET, &body),
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(heard(&mut stream).await.starts_with("HTTP/1.1 100"));
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all(first).await.unwrap();
    InHand::Half { stream, rest: rest.to_vec(), uid: WebBookings::uid(n) }
}

/// One piece of an answer.
async fn heard(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut bytes)).await.expect("ingress answers").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
