//! What a cell of the table plays in: one world with a second tenant, times that no two cells share, callers that nobody else is, and what stood before.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Datelike, Duration, Utc, Weekday};
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use shared::store::companies::CreatedCompany;
use sqlx::{AssertSqlSafe, Executor};
use tests::{World, company, eventually, world};
use uuid::Uuid;

/// The demo company's number in Mitte.
pub const OUR_NUMBER: &str = "+493023125042";
/// Stands in every name of the other tenant; must stand in no answer of ours.
pub const FOREIGN: &str = "Fremd";
/// Of a customer that the scene knows.
pub const NAME: &str = "Erika Musterfrau";

/// How long before its next appointment a returning customer was there.
pub const LAST_VISIT_DAYS: i32 = 60;

/// What is there before the function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// A number that no customer has.
    Nothing,
    /// A customer of that number.
    Customer,
    /// A customer whom the company made gold.
    GoldCustomer,
    /// A gold customer who was there once and comes again at the cell's time.
    Returning,
    /// A customer with an appointment, booked by phone in an earlier call.
    Appointment,
    /// Somebody else has the cell's time.
    Taken,
    /// The same call holds the cell's time.
    Hold,
    /// The same call was offered the cell's time and asked whether to book it.
    Asked,
}

/// One world for the whole table.
pub struct Scene {
    pub world: World,
    pub other: CreatedCompany,
    next: AtomicI64,
}

/// A caller with a call and a time of their own.
pub struct Caller {
    pub call: Call,
    pub number: String,
    /// Two free times on the same day, as arguments: date, time, later time.
    pub slot: [String; 3],
    /// Of the appointment that was there before, if any.
    pub appointment_number: Option<i64>,
}

impl Scene {
    pub async fn new() -> Self {
        let world = World::new().await;
        let mut other = company::other(1);
        other.name = format!("{FOREIGN}e Praxis");
        other.branches[0].name = format!("{FOREIGN}e Filiale");
        other.phone_numbers.iter_mut().for_each(|number| number.branch = format!("{FOREIGN}e Filiale"));
        other.staff[0].name = format!("{FOREIGN}a Sommerfeld");
        for service in &mut other.services {
            service.name = format!("{FOREIGN}e {}", service.name);
            service.branch = None;
            service.staff = vec![format!("{FOREIGN}a Sommerfeld")];
        }
        let other = world.add_company(&other).await;
        // the wall's clock shall not decide whether anybody answers a transferred call
        let day = json!([["00:00", "24:00"]]);
        let week: Value =
            ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().map(|name| ((*name).to_owned(), day.clone())).collect::<serde_json::Map<_, _>>().into();
        sqlx::query("UPDATE companies SET transfer_hours = $1").bind(&week).execute(&world.db).await.unwrap();
        sqlx::query("UPDATE branches SET transfer_hours = NULL").execute(&world.db).await.unwrap();
        // the table calls more often in a minute than a company's callers do; limits have their own test
        sqlx::query("UPDATE companies SET functions_per_minute = 100000").execute(&world.db).await.unwrap();
        Self { world, other, next: AtomicI64::new(0) }
    }

    /// A caller nobody knows yet, with what shall be there before.
    pub async fn caller(&self, before: Before, anonymous: bool) -> Caller {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let number = format!("+4915117{n:06}");
        let slot = slot(n);
        let from = if anonymous { "anonymous" } else { &number };
        let mut caller = Caller { call: self.world.retell.inbound(from, OUR_NUMBER), number: number.clone(), slot, appointment_number: None };
        let date_and_time = json!({ "date": caller.slot[0], "time": caller.slot[1], "service_name": "Beratung" });
        match before {
            Before::Nothing => {}
            Before::Customer => self.customer(self.world.company.company_id, &number, NAME, "none").await,
            Before::GoldCustomer => self.customer(self.world.company.company_id, &number, NAME, "gold").await,
            Before::Returning => {
                self.customer(self.world.company.company_id, &number, NAME, "gold").await;
                self.visits(n, &number, &caller.slot).await;
            }
            Before::Appointment => {
                self.customer(self.world.company.company_id, &number, NAME, "none").await;
                let mut earlier = self.world.retell.inbound(&number, OUR_NUMBER);
                let booked = earlier.function("book_appointment", date_and_time).await.body;
                assert_eq!(booked["booked"], true, "the appointment before: {booked}");
                caller.appointment_number = booked["appointment_number"].as_i64();
            }
            Before::Taken => {
                let mut theirs = self.world.retell.inbound(&number.replace("+4915117", "+4915118"), OUR_NUMBER);
                let mut wish = date_and_time;
                wish["customer_name"] = json!(NAME);
                let booked = theirs.function("book_appointment", wish).await.body;
                assert_eq!(booked["booked"], true, "somebody else's appointment: {booked}");
            }
            Before::Hold => {
                let held = caller.call.function("reserve_slot", date_and_time).await.body;
                assert_eq!(held["success"], true, "the hold before: {held}");
            }
            Before::Asked => {
                let mut wish = date_and_time;
                wish["name"] = json!(NAME);
                let asked = caller.call.function("collect_appointment_data", wish).await.body;
                assert_eq!((&asked["success"], &asked["booked"]), (&json!(true), &json!(false)), "the question before: {asked}");
            }
        }
        caller
    }

    async fn customer(&self, company_id: Uuid, number: &str, name: &str, tier: &str) {
        sqlx::query("INSERT INTO customers (id, company_id, phone, name, vip_tier) VALUES (gen_random_uuid(), $1, $2, $3, $4)")
            .bind(company_id)
            .bind(number)
            .bind(name)
            .bind(tier)
            .execute(&self.world.db)
            .await
            .unwrap();
    }

    /// One appointment that is over, [`LAST_VISIT_DAYS`] before the cell's day, and one at the cell's time.
    async fn visits(&self, n: i64, number: &str, [date, time, _]: &[String; 3]) {
        sqlx::query(
            "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, staff_id, status, starts_at, ends_at, time_zone, calcom_uid, created_by, booking_source)
             SELECT gen_random_uuid(), c.company_id, 600000 + 2 * $2 + v.place, (SELECT id FROM branches b WHERE b.company_id = c.company_id ORDER BY name LIMIT 1), c.id, s.id,
                    (SELECT m.staff_id FROM service_staff m WHERE m.service_id = s.id), v.status, v.starts_at, v.starts_at + interval '30 minutes', 'Europe/Berlin',
                    'visit-' || $2 || '-' || v.place, 'customer', 'calcom_webhook'
             FROM customers c JOIN services s ON s.company_id = c.company_id AND s.name = 'Beratung',
                  (VALUES (0, 'completed', ($3::date - $5 + $4::time) AT TIME ZONE 'Europe/Berlin'), (1, 'booked', ($3::date + $4::time) AT TIME ZONE 'Europe/Berlin')) AS v(place, status, starts_at)
             WHERE c.company_id = $1 AND c.phone = $6",
        )
        .bind(self.world.company.company_id)
        .bind(n)
        .bind(date)
        .bind(time)
        .bind(LAST_VISIT_DAYS)
        .bind(number)
        .execute(&self.world.db)
        .await
        .unwrap();
    }

    /// The same number is a platinum customer of the other tenant, with an appointment of its own: ids that a model could have picked up anywhere.
    pub async fn foreign_ids(&self, number: &str) -> Value {
        let company_id = self.other.company_id;
        self.customer(company_id, number, &format!("{FOREIGN}e Person"), "platinum").await;
        let row: (Uuid, i64) = sqlx::query_as(
            "INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, status, starts_at, ends_at, time_zone, calcom_uid, created_by, booking_source)
             SELECT gen_random_uuid(), $1, 700000 + (SELECT count(*) FROM appointments), b.id, c.id, s.id, 'booked', now() + interval '5 days', now() + interval '5 days 30 minutes',
                    'Europe/Berlin', 'foreign-' || c.phone, 'customer', 'calcom_webhook'
             FROM branches b, customers c, services s WHERE b.company_id = $1 AND c.company_id = $1 AND c.phone = $2 AND s.company_id = $1 ORDER BY b.id, s.id LIMIT 1 RETURNING customer_id, number",
        )
        .bind(company_id)
        .bind(number)
        .fetch_one(&self.world.db)
        .await
        .unwrap();
        json!({ "company_id": company_id, "customer_id": row.0, "branch_id": self.other.branches[0].1, "appointment_id": row.1 })
    }

    /// What this call left: calls, live appointments, open callbacks.
    pub async fn rows(&self, call_id: &str) -> [i64; 3] {
        let counted: (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM calls WHERE retell_call_id = $1),
                    (SELECT count(*) FROM appointments a JOIN calls c ON c.id = a.call_id WHERE c.retell_call_id = $1 AND a.status IN ('booked', 'pending', 'requested')),
                    (SELECT count(*) FROM callback_requests r JOIN calls c ON c.id = r.call_id WHERE c.retell_call_id = $1)",
        )
        .bind(call_id)
        .fetch_one(&self.world.db)
        .await
        .unwrap();
        [counted.0, counted.1, counted.2]
    }

    /// Rows of the other tenant that something of ours could have changed, as text.
    pub async fn foreign_rows(&self) -> String {
        let tables = ["appointments", "customers", "customer_preferences", "callback_requests", "calls", "slot_claims"];
        let mut seen = String::new();
        for table in tables {
            let statement =
                format!("SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM {table} t WHERE company_id = '{}'", self.other.company_id);
            let row = (&self.world.db).fetch_one(AssertSqlSafe(statement)).await.unwrap();
            seen.push_str(&sqlx::Row::get::<String, _>(&row, 0));
        }
        seen
    }

    /// Waits until the call's own event has its row.
    pub async fn is_started(&self, call_id: &str) {
        eventually("call_started is recorded", || async {
            let found: i64 = sqlx::query_scalar("SELECT count(*) FROM calls WHERE retell_call_id = $1 AND started_at IS NOT NULL")
                .bind(call_id)
                .fetch_one(&self.world.db)
                .await
                .unwrap();
            (found == 1).then_some(())
        })
        .await;
    }
}

/// Two cells share a weekday: one in the morning, one in the afternoon, with room for what is offered beside.
fn slot(n: i64) -> [String; 3] {
    let mut day: DateTime<Utc> = world::now() + Duration::days(4);
    let mut left = n / 2;
    loop {
        if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
            if left == 0 {
                break;
            }
            left -= 1;
        }
        day += Duration::days(1);
    }
    let [first, second] = if n % 2 == 0 { ["10:00", "11:00"] } else { ["14:00", "15:00"] };
    [day.date_naive().to_string(), first.to_owned(), second.to_owned()]
}
