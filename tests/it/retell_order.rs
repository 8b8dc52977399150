//! Events of one call in any order, doubled and late, end in the row that Retell itself holds at the end (faults E2; incidents 32, 33, 34, 86): the oracle is
//! the call object after its last change, read field by field, and never the fold.
//!
//! Pure: all 720 orders with all 64 duplications of a life of six tellings, and 10,000 random lives. Through SQL, as workers do it: all 720 orders, and 500 random
//! lives.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::envelope::Kind;
use shared::store;
use shared::store::calls::{CallState, CallUpdate, Transfer};
use shared::store::tx::{CompanyTx, uid_lock};
use shared::wire::retell::RetellEvent;
use sqlx::PgPool;
use tests::{World, WorldOptions};
use uuid::Uuid;
use workers::{call_facts, calls};

/// Milliseconds of the first call's start.
const FIRST_MS: i64 = 1_780_000_000_000;
/// Histories at a time: two cores, and most of the time is Postgres'.
const AT_ONCE: usize = 8;

/// What Retell told of one call, in the order in which it happened, and what the call is in the end.
#[derive(Clone, Debug)]
struct Life {
    id: String,
    told: Vec<(Kind, Value)>,
    call: Value,
    transfer: Option<(Transfer, &'static str)>,
}

impl Life {
    fn new(id: String) -> Self {
        let call = json!({
            "call_id": id, "call_type": "phone_call", "agent_id": "agent_1", "agent_version": 42, "call_status": "registered", "direction": "inbound",
            "from_number": "+4915112345678", "to_number": "+493023125042", "metadata": { "turn": 0 },
        });
        Self { id, told: Vec::new(), call, transfer: None }
    }

    fn tell(&mut self, kind: Kind) {
        let name = kind.name();
        let event = json!({ "event": name.strip_prefix("retell.").unwrap_or(&name), "call": self.call });
        self.told.push((kind, event));
    }

    /// A function's body carries the call so far; it may come before call_started (incident 33).
    fn function(&mut self) {
        self.call["call_status"] = "ongoing".into();
        self.tell(Kind::RetellOther);
    }

    fn start(&mut self, minute: i64) {
        self.call["call_status"] = "ongoing".into();
        self.call["start_timestamp"] = (FIRST_MS + minute * 60_000).into();
        self.tell(Kind::RetellCallStarted);
    }

    fn transfer(&mut self, kind: Kind, transfer: Transfer, number: &'static str) {
        self.tell(kind);
        if let Some((_, event)) = self.told.last_mut() {
            event["transfer_destination"] = json!({ "number": number });
        }
        if self.transfer.is_none_or(|(furthest, _)| transfer > furthest) {
            self.transfer = Some((transfer, number));
        }
    }

    fn end(&mut self, reason: &str, lasted_ms: i64) {
        let started = self.call["start_timestamp"].as_i64();
        self.call["call_status"] = if started.is_some() { "ended" } else { "not_connected" }.into();
        self.call["disconnection_reason"] = reason.into();
        // an update of the running call, which only the end tells (reference/retell.md 6.8)
        self.call["metadata"] = json!({ "turn": 1 });
        if let Some(started) = started {
            self.call["end_timestamp"] = (started + lasted_ms).into();
            self.call["duration_ms"] = lasted_ms.into();
            self.call["transcript"] = "Agent: Guten Tag\nUser: Guten Tag\n".into();
            self.call["recording_url"] = format!("https://recordings.example/{}?Expires=1", self.id).into();
            self.call["call_cost"] = json!({ "combined_cost": 7.8 });
        }
        self.tell(Kind::RetellCallEnded);
    }

    fn analyze(&mut self, summary: &str) {
        self.call["call_analysis"] = json!({
            "call_summary": summary, "user_sentiment": "Neutral", "in_voicemail": false, "call_successful": true, "custom_analysis_data": { "intent": "question" },
        });
        if self.call["recording_url"].is_string() {
            // signed anew for each event (reference/retell.md 2.5)
            self.call["recording_url"] = format!("https://recordings.example/{}?Expires=0", self.id).into();
        }
        self.tell(Kind::RetellCallAnalyzed);
    }

    /// What the row must say, from the call itself.
    fn expected(&self) -> Value {
        let call = &self.call;
        let status = match self.told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().as_slice() {
            kinds if kinds.contains(&Kind::RetellCallAnalyzed) => "analyzed",
            kinds if kinds.contains(&Kind::RetellCallEnded) => "ended",
            _ => "ongoing",
        };
        let over = status != "ongoing";
        let sent = |kind: Kind| self.told.iter().any(|(told, _)| *told == kind);
        let heard: Vec<&str> = [(Kind::RetellCallStarted, "call_started"), (Kind::RetellCallEnded, "call_ended"), (Kind::RetellCallAnalyzed, "call_analyzed")]
            .into_iter()
            .filter_map(|(kind, name)| sent(kind).then_some(name))
            .collect();
        let analysis = &call["call_analysis"];
        json!({
            "status": status, "heard": heard, "agent": call["agent_id"], "version": call["agent_version"], "direction": call["direction"],
            "caller": call["from_number"], "our_number": call["to_number"], "connected": if over { json!(call["call_status"] != "not_connected") } else { Value::Null },
            "started_ms": call["start_timestamp"], "ended_ms": call["end_timestamp"], "duration_ms": call["duration_ms"], "reason": call["disconnection_reason"],
            "transfer": self.transfer.map(|(transfer, _)| transfer.literal()), "destination": self.transfer.map(|(_, number)| number),
            "transcript": call["transcript"], "recording": call["recording_url"], "cost": call["call_cost"]["combined_cost"], "metadata": call["metadata"],
            "summary": analysis["call_summary"], "sentiment": analysis["user_sentiment"], "voicemail": analysis["in_voicemail"], "successful": analysis["call_successful"],
            "analysis": analysis["custom_analysis_data"],
        })
    }
}

/// Six tellings: the life whose every order is tried.
fn life_of_six(id: String) -> Life {
    let mut life = Life::new(id);
    life.function();
    life.start(0);
    life.transfer(Kind::RetellTransferStarted, Transfer::Started, "+491713920042");
    life.transfer(Kind::RetellTransferBridged, Transfer::Bridged, "+491713920043");
    life.end("call_transfer", 35_658);
    life.analyze("Wurde verbunden.");
    life
}

fn random_life(seed: u64) -> Life {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut life = Life::new(format!("call_{seed}"));
    if dice.random_bool(0.15) {
        life.call["direction"] = "outbound".into();
        life.call["from_number"] = "+493023125042".into();
        life.call["to_number"] = "+4915112345678".into();
        life.end("dial_no_answer", 0);
        if dice.random_bool(0.7) {
            life.analyze("Niemand nahm ab.");
        }
        return life;
    }
    for _ in 0..dice.random_range(0..2) {
        life.function();
    }
    life.start(dice.random_range(0..10_000));
    for _ in 0..dice.random_range(0..4) {
        life.function();
    }
    for (attempt, number) in ["+491713920041", "+491713920042"].into_iter().enumerate().take(dice.random_range(0..3)) {
        life.transfer(Kind::RetellTransferStarted, Transfer::Started, "+491713920041");
        match (attempt, dice.random_bool(0.5)) {
            (0, _) => life.transfer(Kind::RetellTransferCancelled, Transfer::Cancelled, number),
            (_, bridged) => {
                life.transfer(Kind::RetellTransferBridged, Transfer::Bridged, number);
                if bridged {
                    life.transfer(Kind::RetellTransferEnded, Transfer::Ended, number);
                }
            }
        }
    }
    if dice.random_bool(0.9) {
        life.end(["user_hangup", "agent_hangup", "inactivity"][dice.random_range(0..3)], dice.random_range(1_000..3_600_000));
        if dice.random_bool(0.9) {
            life.analyze("Eine Frage.");
        }
    }
    life
}

fn update(kind: Kind, event: &Value) -> CallUpdate {
    let body = event.to_string();
    call_facts::lifecycle(kind, &RetellEvent::parse(body.as_bytes()).unwrap()).unwrap()
}

/// The tellings in an order with duplicates, by the seed: each once at least, up to three times.
fn shaken(told: &[(Kind, Value)], seed: u64) -> Vec<(Kind, Value)> {
    let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut line: Vec<_> = told.iter().flat_map(|told| vec![told.clone(); dice.random_range(1..=3)]).collect();
    line.shuffle(&mut dice);
    line
}

fn permutations(length: usize) -> Vec<Vec<usize>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(length - 1);
    (0..length).flat_map(|place| shorter.iter().map(move |order| [&order[..place], &[length - 1], &order[place..]].concat())).collect()
}

fn dump(state: &CallState) -> Value {
    let analysis = state.analysis.as_ref();
    json!({
        "status": state.status.literal(), "heard": state.heard.iter().map(|event| event.name()).collect::<Vec<_>>(), "agent": state.agent_id, "version": state.agent_version,
        "direction": state.direction, "caller": if state.direction.as_deref() == Some("outbound") { &state.our_number } else { &state.caller },
        "our_number": if state.direction.as_deref() == Some("outbound") { &state.caller } else { &state.our_number }, "connected": state.connected,
        "started_ms": state.started_at.map(|at| at.timestamp_millis()), "ended_ms": state.ended_at.map(|at| at.timestamp_millis()), "duration_ms": state.duration_ms,
        "reason": state.disconnection_reason, "transfer": state.transfer.map(Transfer::literal), "destination": state.transfer_destination,
        "transcript": state.transcript, "recording": state.recording_url, "cost": state.cost_cents, "metadata": state.metadata,
        "summary": analysis.and_then(|analysis| analysis.summary.as_ref()), "sentiment": analysis.and_then(|analysis| analysis.sentiment.as_ref()),
        "voicemail": analysis.and_then(|analysis| analysis.in_voicemail), "successful": analysis.and_then(|analysis| analysis.successful),
        "analysis": analysis.map(|analysis| &analysis.custom),
    })
}

fn folded<'a>(tellings: impl IntoIterator<Item = &'a CallUpdate>) -> CallState {
    let mut state = CallState::default();
    for told in tellings {
        assert!(!state.fold(told).disputed, "one analysis, however often it is told");
    }
    state
}

#[test]
fn all_orders_with_all_duplications_of_one_life_are_one_row() {
    let life = life_of_six("call_six".to_owned());
    let (updates, expected): (Vec<CallUpdate>, Value) = (life.told.iter().map(|(kind, event)| update(*kind, event)).collect(), life.expected());
    let (mut orders, mut first) = (0, None);
    for order in permutations(updates.len()) {
        for doubled in 0..1_u32 << updates.len() {
            let twice = order.iter().filter(|index| doubled & (1 << **index) != 0);
            let state = folded(order.iter().chain(twice).map(|index| &updates[*index]));
            // the marks as well: what comes later meets the same row
            assert_eq!(first.get_or_insert_with(|| state.clone()), &state, "{order:?} {doubled:b}");
            orders += 1;
        }
    }
    assert_eq!(first.as_ref().map(dump), Some(expected));
    assert_eq!(orders, 720 * 64);
}

#[test]
fn random_lives_end_as_retell_holds_them() {
    for seed in 0..10_000 {
        let life = random_life(seed);
        let updates: Vec<CallUpdate> = shaken(&life.told, seed).iter().map(|(kind, event)| update(*kind, event)).collect();
        let (found, expected) = (dump(&folded(&updates)), life.expected());
        assert!(found == expected, "life {seed}:\n{found:#}\nexpected\n{expected:#}");
    }
}

/// The proof can fail: with the stages of two events exchanged the rows of two orders differ from Retell's.
#[test]
fn exchanged_stages_are_noticed() {
    let life = life_of_six("call_six".to_owned());
    let exchanged = |kind: Kind| match kind {
        Kind::RetellCallEnded => Kind::RetellCallAnalyzed,
        Kind::RetellCallAnalyzed => Kind::RetellCallEnded,
        kind => kind,
    };
    let mut state = CallState::default();
    for (kind, event) in &life.told {
        state.fold(&update(exchanged(*kind), event));
    }
    assert_ne!(dump(&state), life.expected());
}

/// As the role `calls` does it: the worker's rights, row-level security, the lock of the call's id, a transaction each.
async fn hear(pool: &PgPool, company_id: Uuid, branch_id: Uuid, line: Vec<(Kind, Value)>) {
    let mut queue: VecDeque<_> = line.into();
    while let Some((kind, event)) = queue.pop_front() {
        let told = CallUpdate { branch_id, ..update(kind, &event) };
        let mut tx = CompanyTx::begin(pool, Some(company_id), &[uid_lock(company_id, &told.retell_call_id)]).await.unwrap();
        calls::take_in(&mut tx, &told).await.unwrap();
        tx.commit().await.unwrap();
    }
}

const ROW: &str =
    "SELECT jsonb_build_object('status', status, 'heard', heard, 'agent', retell_agent_id, 'version', retell_agent_version, 'direction', direction,
    'caller', CASE direction WHEN 'outbound' THEN our_number ELSE caller END, 'our_number', CASE direction WHEN 'outbound' THEN caller ELSE our_number END,
    'connected', connected, 'started_ms', (extract(epoch FROM started_at) * 1000)::bigint, 'ended_ms', (extract(epoch FROM ended_at) * 1000)::bigint,
    'duration_ms', duration_ms, 'reason', disconnection_reason, 'transfer', transfer_state, 'destination', transfer_destination, 'transcript', transcript,
    'recording', recording_url, 'cost', cost_cents, 'metadata', metadata, 'summary', summary, 'sentiment', sentiment, 'voicemail', in_voicemail,
    'successful', retell_successful, 'analysis', nullif(analysis, '{}')) FROM calls WHERE retell_call_id = $1";

/// Faults E2, through Postgres.
#[tokio::test]
async fn rows_do_not_depend_on_the_order_of_events() {
    let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let pool = store::connect(&world.database_url, Some("frontdesk_worker"), u32::try_from(AT_ONCE).unwrap(), "retell order").unwrap();
    let company_id = world.company.company_id;
    let branch_id: Uuid = sqlx::query_scalar("SELECT id FROM branches ORDER BY created_at, id LIMIT 1").fetch_one(&world.db).await.unwrap();
    let ordered = permutations(6).into_iter().enumerate().map(|(n, order)| {
        let life = life_of_six(format!("call_six_{n}"));
        let line = order.iter().map(|index| life.told[*index].clone()).collect();
        (life, line)
    });
    let random = (0..500).map(|seed| {
        let life = random_life(seed);
        let line = shaken(&life.told, seed);
        (life, line)
    });
    let lives: Vec<(Life, Vec<(Kind, Value)>)> = ordered.chain(random).collect();
    let count = i64::try_from(lives.len()).unwrap();
    stream::iter(lives)
        .for_each_concurrent(AT_ONCE, |(life, line)| {
            let (pool, db) = (&pool, &world.db);
            async move {
                hear(pool, company_id, branch_id, line).await;
                let found: Value = sqlx::query_scalar(ROW).bind(&life.id).fetch_one(db).await.unwrap();
                let expected = life.expected();
                assert!(found == expected, "{}:\n{found:#}\nexpected\n{expected:#}", life.id);
            }
        })
        .await;
    assert_eq!(world.count("SELECT count(*) FROM calls").await, count);
    // who is over needs no look; who is not gets one
    assert_eq!(world.count("SELECT count(*) FROM calls WHERE (look_due_at IS NULL) <> (status IN ('ended', 'analyzed'))").await, 0);
    println!("{count} calls through SQL");
    pool.close().await;
    world.finish().await;
}
