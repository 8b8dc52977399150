//! A stop that meets work which cannot end within the drain bound: the process ends all the same, in time. What it had in hand goes back to its queue with the attempt that it
//! came with, and whoever takes it up next makes its one effect. (`desk` is not here: what it has in hand ends with its caller's deadline.)
//!
//! With `FRONTDESK_FULL=1` calcom-sync, too, whose request Cal.com answers long after that bound: it gives up on it within the bound, and finds the booking afterwards.

use std::time::{Duration, Instant};

use dev::calcom_stand_in::sign::sign_calcom;
use dev::calcom_stand_in::{EchoOrder, FaultKind, FaultOp, FaultRule};
use shared::envelope::Role;
use shared::store::jobs;
use tests::web_bookings::WebBookings;
use tests::wishes::{self, Wish};
use tests::{World, WorldOptions, eventually, eventually_within, fixtures, http, schedule};

use super::in_hand::{self, InHand};
use super::load::Sent;
use super::{INGRESS_STOPPED, Member, WORKED_OFF_WITHIN, full, uids};

const NOT_IN_TIME: &str = "work was still in hand at the end of the drain time";
const LEASE_KEPT: &str = "the scheduler's lease could not be given back";
const REQUESTS_NOT_IN_TIME: &str = "requests were still at work at the end of the drain time";
/// Each has one message in hand, the scheduler a job.
const HELD_UP: [Role; 5] = [Role::Booking, Role::Reschedule, Role::Cancellation, Role::Calls, Role::Scheduler];
const MESSAGES: u64 = 4;
/// Far beyond calcom-sync's bound.
const ANSWERED_AFTER_MS: u64 = 90_000;

/// Statements sleep while there is a row in `held`: neither a lock's timeout nor the drain's end lets them go on, and the statement's own limit comes later.
const HOLD_UP: &str = "
    CREATE TABLE held ();
    INSERT INTO held DEFAULT VALUES;
    CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM public.held) LOOP PERFORM pg_sleep(0.05); END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER hold_up BEFORE INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION hold_up();
    CREATE TRIGGER hold_up BEFORE INSERT OR UPDATE ON sweeps FOR EACH STATEMENT EXECUTE FUNCTION hold_up();";

impl Member {
    /// SIGTERM with something in hand that does not end; how long its own end took, and what it logged.
    async fn stop_in_vain(&mut self) -> (Duration, String) {
        self.stops += 1;
        let process = self.process.take().unwrap();
        let asked = Instant::now();
        process.ask_to_stop();
        let logged = self.end(process, asked).await;
        (asked.elapsed(), logged)
    }

    fn assert_it_says_so(&self, logged: &str) {
        match self.role {
            None => assert!(logged.contains(REQUESTS_NOT_IN_TIME) && logged.contains(INGRESS_STOPPED), "{logged}"),
            Some(Role::CalcomSync) => assert_eq!(self.drained(logged), 1, "its own limits are shorter than its drain:\n{logged}"),
            // its lock waits end after as many seconds as its drain bound: it has either still something in hand, or could not even give its lease back
            Some(Role::Scheduler) => assert!(logged.contains(NOT_IN_TIME) || logged.contains(LEASE_KEPT), "{logged}"),
            Some(_) => assert!(self.drained(logged) == 0 && logged.contains(NOT_IN_TIME), "the drain was cut short, and it says so:\n{logged}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_outlasts_the_drain_goes_back_with_no_attempt_burnt_and_has_its_one_effect() {
    let world = World::with(WorldOptions { roles: Vec::new(), ..WorldOptions::default() }).await;
    schedule::pause(&world).await;
    world.calcom.set_echo_order(EchoOrder::Lose);
    let roles = HELD_UP.into_iter().chain(full().then_some(Role::CalcomSync)).map(Some).chain([None]);
    let mut members: Vec<Member> = roles.map(|role| Member::new(&world, role)).collect();
    for one in &mut members {
        one.start(&world).await;
    }
    let sent = Sent::default();
    let [moved, cancelled, booked] = [(); 3].map(|()| sent.next_web());
    let before = [moved, cancelled].map(WebBookings::uid).into();
    for n in [moved, cancelled] {
        assert!(world.send_calcom(WebBookings::default().body(n)).await.accepted());
    }
    eventually("both are booked", || async { (uids(&world).await == before).then_some(()) }).await;

    sqlx::raw_sql(HOLD_UP).execute(&world.db).await.unwrap();
    let half = fill_hands(&world, &members, &sent, [moved, cancelled, booked]).await;
    let ends = futures_util::future::join_all(members.iter_mut().map(Member::stop_in_vain)).await;
    let took: Vec<_> = members.iter().map(|member| member.name.as_str()).zip(ends.iter().map(|(took, _)| took)).collect();
    println!("asked to stop with work that does not end: {took:?}");
    for (member, (_, logged)) in members.iter().zip(&ends) {
        member.assert_it_says_so(logged);
    }
    eventually("every message is back in its queue", || async { (world.queued().await == MESSAGES).then_some(()) }).await;
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE outcome <> 'done'").await, 0, "neither delayed nor parked");

    for one in &mut members {
        one.start(&world).await;
    }
    sqlx::raw_sql("DELETE FROM held").execute(&world.db).await.unwrap();
    // it was never acknowledged, so its sender knows that it must come again
    let InHand::Half { uid: unacknowledged, .. } = half else { unreachable!("half a webhook is what was sent") };
    send_again(&world, members.last().unwrap(), booked + 1).await;
    assert_one_effect_each(&world, [WebBookings::moved_uid(moved), WebBookings::uid(booked), unacknowledged]).await;
    drop(members);
    world.finish().await;
}

/// Until every one of them has something in hand.
async fn fill_hands(world: &World, members: &[Member], sent: &Sent, [moved, cancelled, booked]: [usize; 3]) -> InHand {
    let bookings = WebBookings::default();
    if full() {
        world.calcom.add_faults(vec![FaultRule::once(FaultOp::Create, FaultKind::HangAfter { ms: ANSWERED_AFTER_MS })]);
        wishes::record(world, world.company.company_id, Wish::Create, "bulk", 0, 1).await;
        eventually("a request to Cal.com is under way", || async { (world.calcom.live_bookings().len() == 1).then_some(()) }).await;
    }
    for body in [bookings.moved(moved), bookings.cancelled(cancelled), bookings.body(booked)] {
        assert!(world.send_calcom(body).await.accepted());
    }
    assert!(world.retell.inbound("+4915112345678", super::load::SALON).start().await.is_success());
    assert!(jobs::ask(&world.db, in_hand::JOB).await.unwrap());
    for role in HELD_UP {
        let sessions = format!("frontdesk workers {} %", role.name());
        eventually(&format!("{} has a statement in hand", role.name()), || async {
            let held: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1 AND wait_event = 'PgSleep')",
            )
            .bind(&sessions)
            .fetch_one(&world.db)
            .await
            .unwrap();
            held.then_some(())
        })
        .await;
    }
    // last: its body has a deadline, too
    InHand::of(world, None, &members.last().unwrap().address, sent).await
}

async fn send_again(world: &World, ingress: &Member, n: usize) {
    let (url, body) = (format!("http://{}/v1/calcom/{}", ingress.address, world.calcom_endpoint), WebBookings::default().body(n));
    assert!(http::post(&url, "x-cal-signature-256", &sign_calcom(fixtures::CALCOM_SECRET, &body), body).await.accepted());
}

async fn assert_one_effect_each(world: &World, expected: [String; 3]) {
    eventually("every booking and move has its effect", || async { uids(world).await.is_superset(&expected.clone().into()).then_some(()) }).await;
    let others = "SELECT count(*) FROM appointment_modifications WHERE kind = 'cancelled' UNION ALL SELECT count(*) FROM calls WHERE status = 'ongoing'";
    eventually("the cancellation and the call have theirs", || async {
        let counts: Vec<i64> = sqlx::query_scalar(others).fetch_all(&world.db).await.unwrap();
        (counts == [1, 1]).then_some(())
    })
    .await;
    // cut off, and still wanted
    schedule::ended(world, in_hand::JOB).await;
    if full() {
        const CONFIRMED: &str = "SELECT count(*) FROM intents WHERE state = 'confirmed' AND sent_count = 1";
        eventually_within(WORKED_OFF_WITHIN, "the booking is found", || async { (world.count(CONFIRMED).await == 1).then_some(()) }).await;
        assert_eq!(world.calcom.bookings().len(), 1, "and not made again");
    }
    world.settle_all().await;
    assert_eq!(world.count("SELECT count(*) FROM attempts WHERE attempt <> 1 OR outcome <> 'done'").await, 0, "no attempt is burnt");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM attempts GROUP BY role, message_id HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "no message had its effects twice");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM appointment_modifications GROUP BY appointment_id, kind HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "nothing happened twice to an appointment");
}
