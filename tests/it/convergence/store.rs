//! Through SQL: the same lives, each in a company of its own, applied as workers apply them, with row-level security and the worker's rights. All 720 orders of one life
//! always; of the random histories of fifty events 60, with `FRONTDESK_FULL=1` 500 (some minutes), each beside itself in the true order.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::protection::{self, Protection};
use tests::convergence::{By, EVENTS, KINDS, Life, What, at, kinds, shaken};
use uuid::Uuid;

use super::bench::{AT_ONCE, Bench, DUMP, Run, assert_as_the_model_says};
use super::once_failed::{Case, once_failed};
use super::pure::{lives_of_six, permutations};

/// Every order of the six, in 720 companies, beside the order in which it happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_orders_of_one_life_end_in_the_rows_of_the_true_order() {
    let bench = Bench::open().await;
    // booked by us, confirmed by the host, moved and cancelled by the customer; echo and answer apart
    let life = &lives_of_six()[2];
    let straight = &bench.rows_of(1, life, life.told(), false).await;
    let bench_ref = &bench;
    let orders = permutations(6).into_iter().zip(2_u32..);
    let done = stream::iter(orders)
        .map(async |(order, n)| {
            let told = life.told();
            let line = order.iter().map(|index| told[*index].clone()).collect();
            let found = bench_ref.rows_of(n, life, line, n % 2 == 0).await;
            assert!(found == *straight, "order {order:?}:\n{found:#}\nexpected\n{straight:#}");
        })
        .buffer_unordered(AT_ONCE)
        .count()
        .await;
    assert_eq!(done, 720);
    bench.assert_joined().await;
    bench.close().await;
}

/// Random histories of fifty events, out of order and doubled, each beside itself in the true order. Every kind of event is among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_of_fifty_events_end_in_the_rows_of_the_true_order() {
    let histories = if std::env::var_os("FRONTDESK_FULL").is_some() { 500 } else { 60 };
    let bench = Bench::open().await;
    let bench_ref = &bench;
    let heard: Vec<BTreeMap<&str, usize>> = stream::iter(0..histories)
        .map(async |seed| {
            let life = Life::random(seed, EVENTS);
            let told = life.told();
            let line = shaken(&told, seed);
            let heard = kinds(&line);
            let n = u32::try_from(seed).unwrap() * 2 + 1;
            let straight = bench_ref.rows_of(n, &life, told, false).await;
            let found = bench_ref.rows_of(n + 1, &life, line, seed % 2 == 0).await;
            assert!(found == straight, "seed {seed}:\n{found:#}\nexpected\n{straight:#}");
            heard
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut kinds = BTreeMap::new();
    heard.iter().flatten().for_each(|(kind, count)| *kinds.entry(*kind).or_insert(0) += count);
    println!("{} histories through SQL, each twice: {kinds:?}", heard.len());
    assert_eq!(kinds.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(KINDS), "every kind of event is among them");
    bench.assert_joined().await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lives_that_once_failed_end_in_the_rows_of_the_true_order() {
    let bench = Bench::open().await;
    for (Case { was, life, line }, n) in once_failed().into_iter().zip(1_u32..) {
        let straight = bench.rows_of(2 * n, &life, life.told(), false).await;
        for (fresh, n) in [(false, 1_000 + 2 * n), (true, 1_001 + 2 * n)] {
            let found = bench.rows_of(n, &life, line.clone(), fresh).await;
            assert!(found == straight, "again: {was}\n{found:#}\nexpected\n{straight:#}");
        }
    }
    bench.close().await;
}

/// The proof can fail: the test above and that of all orders go red in a process whose order of finality is switched off (`shared::protection`), by the model's word.
#[test]
fn a_broken_rank_is_noticed_through_sql_too() {
    for name in ["all_orders_of_one_life_end_in_the_rows_of_the_true_order", "the_lives_that_once_failed_end_in_the_rows_of_the_true_order"] {
        let test = format!("convergence::store::{name}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).env(protection::VARIABLE, Protection::Rank.name()).env("RUST_BACKTRACE", "0");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("expected\n"), "{name} does not notice it: {said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"), "{name} is a test of this program");
    }
}

/// Two appointments turn out to be one while both have a request on its way to Cal.com: they stay two, a human is told, and the next fact after one request has
/// ended joins them.
#[tokio::test]
async fn two_with_requests_on_their_way_are_joined_when_one_has_ended() {
    let bench = Bench::open().await;
    let web = What::Create { by: By::Customer, pending: false, seated: false };
    let life = Life::of(7, &[web, What::Move { by: By::Staff, pending: true }, What::Confirm]);
    let mut run = Run::begin(&bench, 1, &life, false).await;
    let mut told = life.told();
    // the confirmation overtakes the move, so that the two uids stand in two appointments
    run.hear(vec![told[0].clone(), told[2].clone()]).await;
    let db = &bench.world.db;
    let both: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM appointments WHERE company_id = $1 ORDER BY starts_at").bind(run.company_id).fetch_all(db).await.unwrap();
    assert_eq!(both.len(), 2);
    let statement = "INSERT INTO calls (id, company_id, number, retell_call_id, branch_id) VALUES ($1, $2, 1, 'call_830', $3)";
    sqlx::query(statement).bind(run.call_id).bind(run.company_id).bind(run.place.branch_id).execute(db).await.unwrap();
    for (index, appointment_id) in both.iter().enumerate() {
        run.ours = Some(*appointment_id);
        run.intend(index, "cancel", Some(&life.steps[index].uid), "sent").await;
    }
    run.hear(vec![told[1].clone()]).await;
    assert_eq!(bench.world.count("SELECT count(*) FROM appointments").await, 2);
    assert_eq!(bench.world.count("SELECT count(*) FROM reviews WHERE reason = 'two_chains'").await, 1);
    sqlx::query("UPDATE intents SET state = 'failed', error_class = 'gone', settled_at = now() WHERE id = $1").bind(run.intents[0]).execute(db).await.unwrap();
    run.hear(vec![told.remove(1)]).await;
    let dump: Value = sqlx::query_scalar(DUMP).bind(run.company_id).fetch_one(db).await.unwrap();
    assert_as_the_model_says(&life, &dump);
    bench.close().await;
}

/// The worker's rights end where the function's begin: history is corrected for the chain's own uids, in the transaction's own company, and in no other way.
#[tokio::test]
async fn the_worker_rewrites_no_history_but_that_of_the_chain() {
    let bench = Bench::open().await;
    let life = &lives_of_six()[0];
    let ours = Run::begin(&bench, 1, life, false).await;
    ours.hear(life.told()).await;
    let theirs = Run::begin(&bench, 2, life, false).await;
    theirs.hear(life.told()).await;
    let appointment = |run: &Run<'_>| {
        let (db, company_id) = (bench.world.db.clone(), run.company_id);
        async move { sqlx::query_scalar::<_, Uuid>("SELECT id FROM appointments WHERE company_id = $1").bind(company_id).fetch_one(&db).await.unwrap() }
    };
    let (our_appointment, their_appointment) = (appointment(&ours).await, appointment(&theirs).await);
    let rows = bench.world.modifications().await;
    let foreign =
        json!([{ "id": Uuid::now_v7(), "calcom_uid": "uid-of-nobody", "kind": "booked", "actor": "staff", "source": "calcom_webhook", "occurred_at": at(1) }]);
    for (statement, company_id, refusal) in [
        (
            format!("SELECT merge_appointments('{0}', '{1}', '{2}')", theirs.company_id, their_appointment, our_appointment),
            theirs.company_id,
            "changed meanwhile",
        ),
        (format!("SELECT merge_appointments('{0}', '{1}', '{1}')", ours.company_id, our_appointment), theirs.company_id, "changed meanwhile"),
        (format!("SELECT project_modifications('{}', '{our_appointment}', '{foreign}')", ours.company_id), ours.company_id, "another appointment"),
        (format!("DELETE FROM appointments WHERE id = '{our_appointment}'"), ours.company_id, "permission denied"),
    ] {
        let mut connection = bench.pool.acquire().await.unwrap();
        let script = format!("BEGIN; SELECT set_config('app.company_id', '{company_id}', true); {statement}");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut *connection).await.unwrap_err().to_string();
        assert!(refused.contains(refusal), "{statement}: {refused}");
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.unwrap();
    }
    // of a foreign company nothing is seen, so nothing is deleted
    let mut connection = bench.pool.acquire().await.unwrap();
    let script = format!(
        "BEGIN; SELECT set_config('app.company_id', '{}', true); SELECT project_modifications('{}', '{our_appointment}', '[]'); COMMIT",
        theirs.company_id, ours.company_id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut *connection).await.unwrap();
    drop(connection);
    assert_eq!(bench.world.modifications().await, rows);
    bench.close().await;
}
