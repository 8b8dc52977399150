//! A time that was offered is held for its call while the caller thinks (issue 4, Done 5): against real Postgres, with a worker's rights. And what is remembered of Cal.com's slots.
//! Not here: who offers what (`desk`).

use chrono::{DateTime, Duration, NaiveDate, Utc, Weekday};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::store::appointments::{self, NewAppointment};
use shared::store::availability;
use shared::store::calls::{self, CallStatus, CallUpdate};
use shared::store::customers::{self, CustomerHint};
use shared::store::slot_claims::{self, Hold, Resource};
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tests::world::ahead;
use tests::{World, WorldOptions};
use uuid::Uuid;

struct Desk {
    world: World,
    pool: PgPool,
    staff_id: Uuid,
    starts_at: DateTime<Utc>,
}

impl Desk {
    async fn new() -> Self {
        let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
        let pool = shared::store::connect(&world.database_url, Some("frontdesk_worker"), 4, "holds").unwrap();
        let staff_id = sqlx::query_scalar("SELECT id FROM staff WHERE company_id = $1 ORDER BY name LIMIT 1")
            .bind(world.company.company_id)
            .fetch_one(&world.db)
            .await
            .unwrap();
        Self { world, pool, staff_id, starts_at: ahead(7, Weekday::Thu, 10, 0).0 }
    }

    async fn close(self) {
        self.pool.close().await;
        self.world.finish().await;
    }

    async fn tx(&self) -> CompanyTx {
        CompanyTx::begin(&self.pool, Some(self.world.company.company_id), &[]).await.unwrap()
    }

    async fn call(&self, name: &str) -> Uuid {
        let mut tx = self.tx().await;
        let branch_id = sqlx::query_scalar("SELECT id FROM branches WHERE company_id = $1 LIMIT 1")
            .bind(self.world.company.company_id)
            .fetch_one(&self.world.db)
            .await
            .unwrap();
        let update = CallUpdate { retell_call_id: name.to_owned(), branch_id, status: Some(CallStatus::Ongoing), ..CallUpdate::default() };
        let call = calls::upsert(&mut tx, &update).await.unwrap();
        tx.commit().await.unwrap();
        call.id
    }

    fn resource(&self) -> Resource {
        Resource::Staff(self.staff_id)
    }

    async fn hold(&self, call_id: Uuid, minutes: i64) -> Hold {
        let mut tx = self.tx().await;
        let at = self.starts_at + Duration::minutes(minutes);
        let hold = slot_claims::hold(&mut tx, &self.resource(), call_id, at, at + Duration::minutes(30)).await.unwrap();
        tx.commit().await.unwrap();
        hold
    }

    /// Books in a call, as the booking role does: the time is claimed first.
    async fn book(&self, call_id: Uuid) -> bool {
        let mut tx = self.tx().await;
        let (id, ends_at) = (Uuid::now_v7(), self.starts_at + Duration::minutes(30));
        if !slot_claims::promise(&mut tx, &self.resource(), id, Some(call_id), self.starts_at, ends_at).await.unwrap() {
            return false;
        }
        let customer_id =
            customers::resolve(&mut tx, &CustomerHint { phone: None, email: None, name: Some("Erika Musterfrau"), source: "retell_phone" }).await.unwrap();
        let branch_id = sqlx::query_scalar("SELECT id FROM branches WHERE company_id = $1 LIMIT 1")
            .bind(self.world.company.company_id)
            .fetch_one(&self.world.db)
            .await
            .unwrap();
        let new = NewAppointment {
            id,
            branch_id,
            customer_id,
            service_id: None,
            staff_id: Some(self.staff_id),
            starts_at: self.starts_at,
            ends_at,
            time_zone: "Europe/Berlin".to_owned(),
            name_given: None,
            notes: None,
        };
        let provenance = Provenance {
            actor: Actor::Customer,
            channel: Channel::RetellPhone,
            call_id: Some(call_id),
            user_id: None,
            intent_id: None,
            message_id: None,
            occurred_at: tests::world::now(),
        };
        appointments::book(&mut tx, new, &provenance).await.unwrap();
        tx.commit().await.unwrap();
        true
    }

    async fn shift(&self, seconds: i32) {
        sqlx::query("UPDATE clock_shift SET shift = shift + make_interval(secs => $1)").bind(f64::from(seconds)).execute(&self.world.db).await.unwrap();
    }

    async fn holds(&self) -> i64 {
        self.world.count("SELECT count(*) FROM slot_claims WHERE expires_at IS NOT NULL").await
    }
}

/// Incident 30: 14 seconds between check and book, and the time was gone. Its own call is never in its own way; the other's book loses.
#[tokio::test]
async fn who_was_offered_a_time_gets_it_and_the_other_does_not() {
    let desk = Desk::new().await;
    let (thinks, hurries) = (desk.call("call_thinks").await, desk.call("call_hurries").await);
    assert_eq!(desk.hold(thinks, 0).await, Hold::Held);
    assert_eq!(desk.hold(hurries, 0).await, Hold::Taken);
    assert_eq!(desk.hold(hurries, 15).await, Hold::Taken, "an overlap is taken, too");
    assert_eq!(desk.hold(hurries, 30).await, Hold::Held, "back to back is free (incident 35)");
    assert_eq!(desk.hold(thinks, 0).await, Hold::Held, "asked again: renewed, not doubled");
    assert_eq!(desk.holds().await, 2);
    assert!(!desk.book(hurries).await, "held for another call");
    assert!(desk.book(thinks).await);
    assert_eq!(desk.hold(hurries, 0).await, Hold::Taken, "booked");
    assert_eq!(desk.holds().await, 1, "the hold has become the appointment's promise");
    desk.close().await;
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_by_the_end_of_its_call_and_lasts_while_the_caller_is_there() {
    let desk = Desk::new().await;
    let (thinks, waits) = (desk.call("call_thinks").await, desk.call("call_waits").await);
    assert_eq!(desk.hold(thinks, 0).await, Hold::Held);
    desk.shift(200).await;
    let mut tx = desk.tx().await;
    assert_eq!(slot_claims::renew_holds(&mut tx, thinks).await.unwrap(), 1);
    tx.commit().await.unwrap();
    desk.shift(200).await;
    assert_eq!(desk.hold(waits, 0).await, Hold::Taken, "400 s after the offer, 200 s after the caller's last word");
    desk.shift(101).await;
    assert_eq!(desk.hold(waits, 0).await, Hold::Held, "300 s of silence end it");
    assert!(!desk.book(thinks).await, "too late");
    let mut tx = desk.tx().await;
    assert_eq!(slot_claims::release_holds(&mut tx, waits).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(desk.book(thinks).await, "the other has hung up");
    assert_eq!(desk.holds().await, 0);
    desk.close().await;
}

/// A call keeps its newest four, a company its limit: a robot that asks for every time of the week blocks nobody.
#[tokio::test]
async fn holds_are_bounded_per_call_and_per_company() {
    let desk = Desk::new().await;
    let (first, second) = (desk.call("call_first").await, desk.call("call_second").await);
    for slot in 0..6 {
        assert_eq!(desk.hold(first, slot * 30).await, Hold::Held);
    }
    assert_eq!(desk.holds().await, 4);
    assert_eq!(desk.hold(second, 0).await, Hold::Held, "the first call's oldest hold has ended");
    sqlx::query("UPDATE companies SET holds_max = 5").execute(&desk.world.db).await.unwrap();
    assert_eq!(desk.hold(second, 600).await, Hold::Unheld);
    desk.shift(301).await;
    assert_eq!(desk.hold(second, 600).await, Hold::Held, "ended holds count for nothing");
    desk.close().await;
}

/// Two calls hold the same time at the same moment, again and again: one has it.
#[tokio::test]
async fn of_two_offers_at_one_moment_one_is_held() {
    let desk = Desk::new().await;
    let (left, right) = (desk.call("call_left").await, desk.call("call_right").await);
    for round in 0..50 {
        let (one, other) = tokio::join!(desk.hold(left, round * 30), desk.hold(right, round * 30));
        assert!(matches!((one, other), (Hold::Held, Hold::Taken) | (Hold::Taken, Hold::Held)), "round {round}: {one:?}, {other:?}");
    }
    desk.close().await;
}

/// Incident 71: a change of ours or of Cal.com's voids what is remembered of its day, and a minute voids the rest; an older answer never replaces a newer one.
#[tokio::test]
async fn remembered_slots_are_young_and_of_days_that_have_not_changed() {
    let desk = Desk::new().await;
    let service_id: Uuid = sqlx::query_scalar("SELECT id FROM services WHERE company_id = $1 LIMIT 1")
        .bind(desk.world.company.company_id)
        .fetch_one(&desk.world.db)
        .await
        .unwrap();
    let first: NaiveDate = desk.starts_at.date_naive();
    let last = first + Duration::days(2);
    let starts = [desk.starts_at, desk.starts_at + Duration::days(2)];
    let days = async || {
        let mut tx = desk.tx().await;
        availability::remembered(&mut tx, service_id, first, last).await.unwrap().into_iter().map(|day| day.starts.len()).collect::<Vec<_>>()
    };
    let remember = async |asked_ago: i64, starts: &[DateTime<Utc>]| {
        let mut tx = desk.tx().await;
        let asked_at = tx.now().await.unwrap() - Duration::seconds(asked_ago);
        availability::remember(&mut tx, service_id, (first, last), starts, asked_at).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert_eq!(days().await, Vec::<usize>::new());
    remember(0, &starts).await;
    assert_eq!(days().await, [1, 0, 1], "a day without a slot is remembered, too");
    remember(30, &[]).await;
    assert_eq!(days().await, [1, 0, 1], "that answer was older");

    let call_id = desk.call("call_books").await;
    assert!(desk.book(call_id).await);
    assert_eq!(days().await, [1, 0, 1], "a wish changes nothing in Cal.com yet; its claim is subtracted");
    sqlx::query(
        "INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, new_starts_at, actor, source, call_id, occurred_at)
         SELECT gen_random_uuid(), company_id, id, customer_id, 'booked', starts_at, 'customer', 'retell_phone', call_id, now() FROM appointments",
    )
    .execute(&desk.world.db)
    .await
    .unwrap();
    assert_eq!(days().await, [0, 1], "the booked day must be asked for anew");
    remember(0, &starts[1..]).await;
    assert_eq!(days().await, [0, 1], "asked within five seconds of the change: Cal.com's own cache may not know it yet");
    desk.shift(61).await;
    assert_eq!(days().await, Vec::<usize>::new(), "a minute is over");
    remember(0, &starts[1..]).await;
    assert_eq!(days().await, [0, 0, 1]);
    desk.close().await;
}
