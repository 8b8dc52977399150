//! The scheduler in a test: its jobs are paused, so that they do not come by the clock of the wall, and run when the test asks for one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::store::{jobs, sweeps};

use crate::{World, eventually};

/// Starts a process with the role `scheduler` whose jobs run only when they are asked for.
pub async fn start(world: &mut World) {
    pause(world).await;
    world.start_workers(&["scheduler"], &BTreeMap::new()).await;
}

/// Pauses all jobs, before the first scheduler starts: they run only when they are asked for.
pub async fn pause(world: &World) {
    for job in workers::scheduler::JOBS {
        let row = job.row();
        sqlx::query("INSERT INTO jobs (name, cron, time_zone, catch_up, paused) VALUES ($1, $2, $3, $4, true) ON CONFLICT (name) DO NOTHING")
            .bind(row.name)
            .bind(row.cron)
            .bind(row.time_zone)
            .bind(row.catch_up.literal())
            .execute(&world.db)
            .await
            .expect("a job's row");
    }
}

/// Runs a job once, and waits for its end; what it said.
pub async fn run(world: &World, name: &str) -> String {
    assert!(jobs::ask(&world.db, name).await.expect("the job is asked for"), "{name} is a job");
    ended(world, name).await
}

/// Waits for the end of the run that was asked for; what it said.
pub async fn ended(world: &World, name: &str) -> String {
    eventually(&format!("the job {name} has run"), || async {
        let job = jobs::list(&world.db).await.expect("the jobs").into_iter().find(|job| job.name == name)?;
        job.last_result.filter(|_| job.run_asked_at.is_none())
    })
    .await
}

/// Runs a job that wants sweeps, and waits until they have ended.
pub async fn sweep(world: &World, name: &str) {
    run(world, name).await;
    eventually("the sweeps have ended", || async {
        let all = sweeps::list(&world.db).await.expect("the sweeps");
        let failed: Vec<_> = all.iter().filter_map(|sweep| sweep.last_error.as_deref()).collect();
        assert!(failed.is_empty(), "a sweep failed: {failed:?}");
        all.iter().all(|sweep| sweep.wanted_at.is_none()).then_some(())
    })
    .await;
}

/// Lets the database's clock go on: what happened until now is settled, and no webhook of it on its way.
pub async fn let_time_pass(world: &World, minutes: i32) {
    sqlx::query("UPDATE clock_shift SET shift = shift + make_interval(mins => $1)").bind(minutes).execute(&world.db).await.expect("the clock is shifted");
}

/// The rows of history that sweeps of that kind added so far, adoptions apart.
pub async fn repaired(world: &World) -> i64 {
    sqlx::query_scalar("SELECT coalesce(sum(coalesce(last_repaired, 0) + repaired), 0)::bigint FROM sweeps WHERE kind <> 'adoption'")
        .fetch_one(&world.db)
        .await
        .expect("a count")
}

/// What the metrics of all worker processes add up to.
pub async fn metric(world: &World, name: &str) -> f64 {
    let mut sum = 0.0;
    for url in &world.worker_urls {
        let text = reqwest::get(format!("{url}/metrics")).await.expect("the metrics answer").text().await.expect("a text");
        let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        sum += values.sum::<f64>();
    }
    sum
}

/// The cursor of the updates.
pub async fn cursor(world: &World) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("SELECT cursor_at FROM sweeps WHERE kind = 'updates'").fetch_optional(&world.db).await.expect("the cursor").flatten()
}
