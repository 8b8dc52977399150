//! Cron with one leader: a lease by the database's clock, and its epoch in every transaction of a job (architecture section 12).

use std::collections::BTreeMap;

use shared::store::leases::{self, SCHEDULER, Term};
use shared::store::tx::CompanyTx;
use shared::store::{self, schema};
use tests::{World, WorldOptions, eventually, schedule};
use uuid::Uuid;

async fn without_roles() -> World {
    World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await
}

async fn epoch(world: &World) -> i64 {
    world.count("SELECT coalesce(max(epoch), 0) FROM leases WHERE name = 'scheduler' AND expires_at > frontdesk_now()").await
}

#[tokio::test]
async fn of_two_schedulers_one_leads_and_the_other_takes_over_when_it_dies_or_stops() {
    let mut world = without_roles().await;
    schedule::start(&mut world).await;
    let second = world.start_workers(&["scheduler"], &BTreeMap::new()).await;
    assert!(schedule::run(&world, "partitions").await.ends_with("made"));
    assert_eq!(epoch(&world).await, 1, "the second one waits");
    let leads = async |world: &World| schedule::metric(world, "frontdesk_scheduler_leads").await;
    assert!((leads(&world).await - 1.0).abs() < 0.1, "one leads");

    world.workers[0].kill();
    world.worker_urls.remove(0);
    eventually("the other one leads", || async { (epoch(&world).await == 2).then_some(()) }).await;
    schedule::run(&world, "partitions").await;

    // a leader that stops gives the lease back
    let third = world.start_workers(&["scheduler"], &BTreeMap::new()).await;
    let stopped = world.workers.remove(second);
    assert_eq!(stopped.terminate().await, Some(0));
    world.worker_urls.remove(0);
    eventually("the third one leads", || async { (epoch(&world).await == 3).then_some(()) }).await;
    schedule::run(&world, "partitions").await;
    assert_eq!(third, 2);
    world.finish().await;
}

/// A leader that stood still while another took over writes nothing more.
#[tokio::test]
async fn a_transaction_of_an_earlier_term_is_refused() {
    let world = without_roles().await;
    let pool = store::connect(&world.database_url, Some("frontdesk_worker"), 2, "test").unwrap();
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let first = leases::acquire(&pool, SCHEDULER, one, 5).await.unwrap().unwrap();
    assert_eq!(leases::acquire(&pool, SCHEDULER, other, 5).await.unwrap(), None, "it is held");
    let holds = async |term: Term| {
        let mut tx = CompanyTx::begin(&pool, None, &[]).await.unwrap();
        leases::hold(&mut tx, SCHEDULER, term).await.unwrap()
    };
    assert!(holds(first).await);
    schedule::let_time_pass(&world, 1).await;
    assert!(!holds(first).await, "it ran out");
    let second = leases::acquire(&pool, SCHEDULER, other, 5).await.unwrap().unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    assert!(!holds(first).await && holds(second).await);
    assert!(!leases::renew(&pool, SCHEDULER, first, 5).await.unwrap());
    leases::release(&pool, SCHEDULER, first).await.unwrap();
    assert!(holds(second).await, "whoever lost it cannot give it back");
    pool.close().await;
    world.finish().await;
}

/// Until there was a scheduler, somebody had to run `frontdesk migrate` for these.
#[tokio::test]
async fn the_day_partitions_are_made_and_a_job_that_is_due_runs_by_itself() {
    let mut world = without_roles().await;
    let last = "SELECT to_char(current_date + 14, 'YYYYMMDD')";
    let day: String = sqlx::query_scalar(last).fetch_one(&world.db).await.unwrap();
    for parent in ["events", "attempts", "api_calls"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TABLE {parent}_{day}"))).execute(&world.db).await.unwrap();
    }
    assert_eq!(schema::partition_days_ahead(&world.db).await.unwrap(), 13);
    // every minute, and the last one was missed
    sqlx::query("INSERT INTO jobs (name, cron, catch_up, next_run_at) VALUES ('partitions', '* * * * *', 'once', now() - interval '10 minutes')")
        .execute(&world.db)
        .await
        .unwrap();
    schedule::start(&mut world).await;
    eventually("they are there again", || async { (schema::partition_days_ahead(&world.db).await.unwrap() == 14).then_some(()) }).await;
    let planned = "SELECT count(*) FROM jobs WHERE name = 'partitions' AND next_run_at > now() AND last_run_at IS NOT NULL";
    eventually("its next time is planned", || async { (world.count(planned).await == 1).then_some(()) }).await;
    // the others were paused by the test, and nobody asked for them
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE last_run_at IS NOT NULL AND name <> 'partitions'").await, 0);
    world.finish().await;
}
