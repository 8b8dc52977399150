//! Done 9 of issue 2: every write path × {book, move, cancel} fills all thirteen audit columns with its own literals, and Postgres refuses a row
//! without them. Two paths run end to end (phone functions, Cal.com webhooks); the others have no role yet and are run at the store's one write path.
//!
//! Why: 21 files created appointments in the former system and the thirteen columns stayed empty (domain reference 1.1 to 1.4).

use chrono::{DateTime, Duration, Utc, Weekday};
use serde_json::{Value, json};
use shared::domain::booking_chain::{Chain, Fact, Happening, Predecessor};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::store::appointments::{self, Appointment, NewAppointment};
use shared::store::tx::CompanyTx;
use shared::store::{self, PgPool, StoreError};
use sqlx::AssertSqlSafe;
use tests::world::{ahead, now};
use tests::{World, WorldOptions, eventually};
use uuid::Uuid;

const COLUMNS: [&str; 13] = [
    "created_by",
    "booking_source",
    "booked_by_user_id",
    "rescheduled_at",
    "rescheduled_by",
    "rescheduled_by_user_id",
    "reschedule_source",
    "previous_starts_at",
    "cancelled_at",
    "cancelled_by",
    "cancelled_by_user_id",
    "cancellation_source",
    "cancellation_reason",
];

/// The thirteen columns as text, `-` for NULL.
type Cell = [&'static str; 13];

/// One write path at the store, with what it must leave after each step.
struct Path {
    actor: Actor,
    channel: Channel,
    booked: Cell,
    moved: Cell,
    cancelled: Cell,
}

const BOOKED_AT: &str = "2027-01-11T07:00:00Z";
const MOVED_AT: &str = "2027-01-11T07:10:00Z";
const CANCELLED_AT: &str = "2027-01-11T07:20:00Z";
const NINE: &str = "2027-01-12T09:00:00Z";
const TEN: &str = "2027-01-12T10:00:00Z";
const USER: &str = "01990000-0000-7000-8000-000000000001";

#[rustfmt::skip]
const PATHS: [Path; 6] = [
    Path {
        actor: Actor::Customer, channel: Channel::RetellPhone,
        booked:    ["customer", "retell_phone", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["customer", "retell_phone", "-", "2027-01-11T07:10:00Z", "customer", "-", "retell_api", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["customer", "retell_phone", "-", "2027-01-11T07:10:00Z", "customer", "-", "retell_api", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "customer", "-", "retell_api", "Termin passt nicht mehr"],
    },
    Path {
        actor: Actor::Customer, channel: Channel::RetellWebhook,
        booked:    ["customer", "retell_webhook", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["customer", "retell_webhook", "-", "2027-01-11T07:10:00Z", "customer", "-", "retell_api", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["customer", "retell_webhook", "-", "2027-01-11T07:10:00Z", "customer", "-", "retell_api", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "customer", "-", "retell_api", "Termin passt nicht mehr"],
    },
    Path {
        actor: Actor::Staff, channel: Channel::CalcomWebhook,
        booked:    ["staff", "calcom_webhook", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["staff", "calcom_webhook", "-", "2027-01-11T07:10:00Z", "staff", "-", "calcom_webhook", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["staff", "calcom_webhook", "-", "2027-01-11T07:10:00Z", "staff", "-", "calcom_webhook", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "staff", "-", "calcom_webhook", "Termin passt nicht mehr"],
    },
    Path {
        actor: Actor::Customer, channel: Channel::CustomerPortal,
        booked:    ["customer", "customer_portal", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["customer", "customer_portal", "-", "2027-01-11T07:10:00Z", "customer", "-", "customer_portal", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["customer", "customer_portal", "-", "2027-01-11T07:10:00Z", "customer", "-", "customer_portal", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "customer", "-", "customer_portal", "Termin passt nicht mehr"],
    },
    Path {
        actor: Actor::Staff, channel: Channel::CrmAdmin,
        booked:    ["staff", "crm_admin", USER, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["staff", "crm_admin", USER, "2027-01-11T07:10:00Z", "staff", USER, "crm_admin", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["staff", "crm_admin", USER, "2027-01-11T07:10:00Z", "staff", USER, "crm_admin", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "staff", USER, "crm_admin", "Termin passt nicht mehr"],
    },
    Path {
        actor: Actor::Unknown, channel: Channel::Reconciled,
        booked:    ["unknown", "reconciled", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
        moved:     ["unknown", "reconciled", "-", "2027-01-11T07:10:00Z", "unknown", "-", "reconciled", "2027-01-12T09:00:00Z", "-", "-", "-", "-", "-"],
        cancelled: ["unknown", "reconciled", "-", "2027-01-11T07:10:00Z", "unknown", "-", "reconciled", "2027-01-12T09:00:00Z",
                    "2027-01-11T07:20:00Z", "unknown", "-", "reconciled", "Termin passt nicht mehr"],
    },
];

/// A company with a customer, a call and a user, and the workers' own pool: no process runs.
struct Desk {
    world: World,
    pool: PgPool,
    company_id: Uuid,
    branch_id: Uuid,
    service_id: Uuid,
    customer_id: Uuid,
    call_id: Uuid,
    account_id: Uuid,
}

impl Desk {
    async fn open() -> Self {
        let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
        let pool = store::connect(&world.database_url, Some("frontdesk_worker"), 2, "test").unwrap();
        let company_id = world.company.company_id;
        let account_id = world.company.calcom_account_id.unwrap();
        let (branch_id, service_id) =
            (id(&world.db, "SELECT id FROM branches ORDER BY name LIMIT 1").await, id(&world.db, "SELECT id FROM services WHERE name = 'Beratung'").await);
        let (customer_id, call_id, user_id): (Uuid, Uuid, Uuid) = (Uuid::now_v7(), Uuid::now_v7(), USER.parse().unwrap());
        sqlx::query("INSERT INTO customers (id, company_id, name, phone) VALUES ($1, $2, 'Jürgen Groß', '+4915112345678')")
            .bind(customer_id)
            .bind(company_id)
            .execute(&world.db)
            .await
            .unwrap();
        sqlx::query("INSERT INTO calls (id, company_id, number, retell_call_id, branch_id) VALUES ($1, $2, 1, 'call_1', $3)")
            .bind(call_id)
            .bind(company_id)
            .bind(branch_id)
            .execute(&world.db)
            .await
            .unwrap();
        sqlx::query("INSERT INTO users (id, company_id, email, display_name) VALUES ($1, $2, 'rieke@praxis-muster.example', 'Rieke')")
            .bind(user_id)
            .bind(company_id)
            .execute(&world.db)
            .await
            .unwrap();
        Self { world, pool, company_id, branch_id, service_id, customer_id, call_id, account_id }
    }

    fn provenance(&self, path: &Path, at: &str) -> Provenance {
        Provenance {
            actor: path.actor,
            channel: path.channel,
            call_id: matches!(path.channel, Channel::RetellPhone | Channel::RetellWebhook).then_some(self.call_id),
            user_id: Some(USER.parse().unwrap()),
            intent_id: None,
            message_id: None,
            occurred_at: at.parse().unwrap(),
        }
    }

    fn new_appointment(&self) -> NewAppointment {
        NewAppointment {
            id: Uuid::now_v7(),
            branch_id: self.branch_id,
            customer_id: self.customer_id,
            service_id: Some(self.service_id),
            staff_id: None,
            starts_at: NINE.parse().unwrap(),
            ends_at: NINE.parse::<DateTime<Utc>>().unwrap() + Duration::minutes(30),
            time_zone: "Europe/Berlin".to_owned(),
            name_given: None,
            notes: None,
        }
    }

    async fn begin(&self) -> CompanyTx {
        CompanyTx::begin(&self.pool, Some(self.company_id), &[]).await.unwrap()
    }

    /// Books as the path does: a look takes over what it finds, everybody else records a wish that Cal.com then confirms.
    async fn book(&self, path: &Path) -> Result<Step, StoreError> {
        let provenance = self.provenance(path, BOOKED_AT);
        let mut tx = self.begin().await;
        let mut chain = Chain::default();
        let first = fact(Happening::Accepted, &uid(), NINE);
        let folded = chain.fold(&first, &provenance);
        let appointment = if path.channel == Channel::Reconciled {
            appointments::adopt(&mut tx, self.new_appointment(), &chain, &folded, self.account_id, &provenance).await?
        } else {
            let wish = appointments::book(&mut tx, self.new_appointment(), &provenance).await?;
            appointments::apply(&mut tx, &wish, None, &chain, &folded, self.account_id).await?
        };
        tx.commit().await?;
        Ok(Step { appointment, chain })
    }

    async fn change(&self, path: &Path, step: &mut Step, fact: &Fact, at: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await;
        let folded = step.chain.fold(fact, &self.provenance(path, at));
        step.appointment = appointments::apply(&mut tx, &step.appointment, None, &step.chain, &folded, self.account_id).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn shift(&self, path: &Path, step: &mut Step) -> Result<(), StoreError> {
        let predecessor = Predecessor { uid: step.head(), starts_at: Some(NINE.parse().unwrap()), ends_at: None };
        self.change(path, step, &Fact { predecessor: Some(predecessor), ..fact(Happening::Accepted, &uid(), TEN) }, MOVED_AT).await
    }

    async fn cancel(&self, path: &Path, step: &mut Step) -> Result<(), StoreError> {
        let cancelled = Fact { reason: Some("Termin passt nicht mehr".to_owned()), ..fact(Happening::Cancelled, &step.head(), TEN) };
        self.change(path, step, &cancelled, CANCELLED_AT).await
    }

    async fn cell(&self, appointment: &Appointment) -> Vec<String> {
        let row: Value =
            sqlx::query_scalar("SELECT to_jsonb(a) FROM appointments a WHERE id = $1").bind(appointment.id).fetch_one(&self.world.db).await.unwrap();
        texts(&row, |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// The constraint that refuses this change of the row; the row stays as it is.
    async fn refused_by(&self, appointment: &Appointment, assignment: &str) -> Option<String> {
        refusal(&self.world.db, format!("UPDATE appointments SET {assignment} WHERE id = '{}'", appointment.id)).await
    }
}

struct Step {
    appointment: Appointment,
    chain: Chain,
}

impl Step {
    fn head(&self) -> String {
        self.chain.head().unwrap().uid.clone()
    }
}

fn uid() -> String {
    Uuid::now_v7().simple().to_string()
}

fn fact(happening: Happening, uid: &str, starts_at: &str) -> Fact {
    let starts_at: DateTime<Utc> = starts_at.parse().unwrap();
    Fact {
        uid: uid.to_owned(),
        happening,
        predecessor: None,
        sequence: 0,
        provider_updated_at: None,
        hash: format!("{happening:?}/{starts_at}"),
        starts_at,
        ends_at: starts_at + Duration::minutes(30),
        event_type_id: Some(1321),
        booking_id: None,
        host_user_id: None,
        seats_per_slot: None,
        reason: None,
        told_at: BOOKED_AT.parse().unwrap(),
    }
}

async fn id(db: &PgPool, statement: &'static str) -> Uuid {
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

/// The thirteen columns of a row as texts, times as `show` shows them.
fn texts(row: &Value, show: impl Fn(DateTime<Utc>) -> String) -> Vec<String> {
    let text = |column: &&str| match &row[*column] {
        Value::Null => "-".to_owned(),
        Value::String(text) if column.ends_with("_at") => show(text.parse().unwrap()),
        Value::String(text) => text.clone(),
        other => panic!("{column} is {other}"),
    };
    COLUMNS.iter().map(text).collect()
}

async fn refusal(db: &PgPool, statement: String) -> Option<String> {
    let mut transaction = db.begin().await.unwrap();
    let result = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await;
    transaction.rollback().await.unwrap();
    match result {
        Ok(done) => {
            assert_eq!(done.rows_affected(), 1, "{statement} meets no row and proves nothing");
            None
        }
        Err(error) => Some(error.as_database_error().and_then(|error| error.constraint()).unwrap_or_else(|| panic!("{statement}: {error}")).to_owned()),
    }
}

fn constraint(result: Result<impl Sized, StoreError>) -> Option<String> {
    result.err().and_then(|error| error.constraint().map(str::to_owned))
}

#[tokio::test]
async fn every_write_path_fills_its_own_literals() {
    let desk = Desk::open().await;
    for path in &PATHS {
        let name = path.channel.booking_source();
        let mut step = desk.book(path).await.unwrap();
        assert_eq!(desk.cell(&step.appointment).await, path.booked, "{name}, booked");
        desk.shift(path, &mut step).await.unwrap();
        assert_eq!(desk.cell(&step.appointment).await, path.moved, "{name}, moved");
        desk.cancel(path, &mut step).await.unwrap();
        assert_eq!(desk.cell(&step.appointment).await, path.cancelled, "{name}, cancelled");
        let rows = "SELECT jsonb_build_array(kind, actor, source, user_id, call_id IS NOT NULL) FROM appointment_modifications WHERE appointment_id = $1 ORDER BY occurred_at";
        let rows: Vec<Value> = sqlx::query_scalar(rows).bind(step.appointment.id).fetch_all(&desk.world.db).await.unwrap();
        let (by, change, phone) = (path.actor.literal(), path.cancelled[11], path.cancelled[11] == "retell_api");
        let user = if path.channel == Channel::CrmAdmin { json!(USER) } else { Value::Null };
        assert_eq!(
            rows,
            [json!(["booked", by, name, user, phone]), json!(["rescheduled", by, change, user, phone]), json!(["cancelled", by, change, user, phone])]
        );
    }
    desk.world.finish().await;
}

/// Domain reference 1.3: the booking columns survive any later change, whoever makes it.
#[tokio::test]
async fn the_booking_columns_survive_every_change_by_every_path() {
    let desk = Desk::open().await;
    for booker in &PATHS {
        for changer in &PATHS {
            let mut step = desk.book(booker).await.unwrap();
            desk.shift(changer, &mut step).await.unwrap();
            desk.cancel(changer, &mut step).await.unwrap();
            let cell = desk.cell(&step.appointment).await;
            let name = format!("booked by {}, changed by {}", booker.channel.booking_source(), changer.channel.booking_source());
            assert_eq!(cell[..3], booker.booked[..3], "{name}");
            assert_eq!(cell[3..], changer.cancelled[3..], "{name}");
        }
    }
    desk.world.finish().await;
}

/// A move whose two uids stand in two appointments that cannot be joined yet (both have a request on its way): nothing of either is lost meanwhile.
#[tokio::test]
async fn a_move_across_two_appointments_overwrites_neither_ones_history() {
    let desk = Desk::open().await;
    let path = &PATHS[2];
    let (first, mut second) = (desk.book(path).await.unwrap(), desk.book(path).await.unwrap());
    let history = format!("SELECT to_jsonb(k) FROM calcom_bookings k WHERE uid = '{}'", first.head());
    let before: Value = sqlx::query_scalar(AssertSqlSafe(history.clone())).fetch_one(&desk.world.db).await.unwrap();
    assert_eq!((&before["appointment_id"], &before["opened_by"], &before["state"]), (&json!(first.appointment.id), &json!("staff"), &json!("accepted")));
    let predecessor = Predecessor { uid: first.head(), starts_at: Some(NINE.parse().unwrap()), ends_at: None };
    let head = second.head();
    desk.change(path, &mut second, &Fact { predecessor: Some(predecessor), ..fact(Happening::Accepted, &head, TEN) }, MOVED_AT).await.unwrap();
    let after: Value = sqlx::query_scalar(AssertSqlSafe(history)).fetch_one(&desk.world.db).await.unwrap();
    assert_eq!(after, before);
    desk.world.finish().await;
}

#[tokio::test]
async fn postgres_refuses_a_row_whose_audit_is_not_complete() {
    let desk = Desk::open().await;
    for path in &PATHS {
        let admin = path.channel == Channel::CrmAdmin;
        let mut step = desk.book(path).await.unwrap();
        for stage in ["booked", "moved", "cancelled"] {
            match stage {
                "moved" => desk.shift(path, &mut step).await.unwrap(),
                "cancelled" => desk.cancel(path, &mut step).await.unwrap(),
                _ => {}
            }
            let mut required: Vec<(&str, &str)> = vec![("created_by", "appointments_booking_audit"), ("booking_source", "appointments_booking_audit")];
            let mut users = vec![("booked_by_user_id", "appointments_booking_audit")];
            if stage != "booked" {
                required.extend(
                    ["rescheduled_at", "rescheduled_by", "reschedule_source", "previous_starts_at"].map(|column| (column, "appointments_reschedule_audit")),
                );
                users.push(("rescheduled_by_user_id", "appointments_reschedule_audit"));
            }
            if stage == "cancelled" {
                required.extend(
                    ["cancelled_at", "cancelled_by", "cancellation_source", "cancellation_reason"].map(|column| (column, "appointments_cancellation_audit")),
                );
                users.push(("cancelled_by_user_id", "appointments_cancellation_audit"));
            }
            for (column, check) in required {
                assert_eq!(desk.refused_by(&step.appointment, &format!("{column} = NULL")).await.as_deref(), Some(check), "{column}, {stage}");
            }
            // a user stands exactly where a person of the company did it by hand
            for (column, check) in users {
                let wrong = if admin { format!("{column} = NULL") } else { format!("{column} = '{USER}'") };
                assert_eq!(desk.refused_by(&step.appointment, &wrong).await.as_deref(), Some(check), "{wrong}, {stage}");
            }
            assert_eq!(desk.refused_by(&step.appointment, "notes = NULL").await, None, "the row itself is sound");
        }
        assert_eq!(desk.refused_by(&step.appointment, "cancellation_reason = ''").await.as_deref(), Some("appointments_cancellation_reason"));
    }
    let booked = desk.book(&PATHS[0]).await.unwrap().appointment;
    for (wrong, check) in [
        ("rescheduled_count = 1", "appointments_reschedule_audit"),
        ("previous_starts_at = starts_at", "appointments_reschedule_audit"),
        ("status = 'cancelled'", "appointments_cancellation_audit"),
        ("cancelled_at = now()", "appointments_cancellation_audit"),
        ("cancellation_reason = 'krank'", "appointments_cancellation_audit"),
        ("calcom_uid = NULL", "appointments_held_has_uid"),
    ] {
        assert_eq!(desk.refused_by(&booked, wrong).await.as_deref(), Some(check), "{wrong}");
    }
    desk.world.finish().await;
}

/// Domain reference 1.2: the words of the other generations are refused, not stored.
#[tokio::test]
async fn a_word_outside_the_vocabulary_is_refused() {
    let desk = Desk::open().await;
    let mut step = desk.book(&PATHS[0]).await.unwrap();
    desk.shift(&PATHS[0], &mut step).await.unwrap();
    desk.cancel(&PATHS[0], &mut step).await.unwrap();
    for (column, words) in [
        ("created_by", &["retell_agent", "retell_ai", "admin_user", "Customer", ""][..]),
        ("booking_source", &["phone_call", "cal.com_webhook", "cal.com_direct", "retell_function_call", "manual_admin", ""]),
        ("rescheduled_by", &["cal.com_webhook", "customer_portal", "system_cron", ""]),
        ("reschedule_source", &["retell_phone", "retell_webhook", "retell_ai", "cal.com_webhook", ""]),
        ("cancelled_by", &["retell_ai", "42", "anonymous", ""]),
        ("cancellation_source", &["retell_phone", "retell_webhook", "widget_embed", ""]),
    ] {
        for word in words {
            let check = format!("appointments_{column}");
            assert_eq!(desk.refused_by(&step.appointment, &format!("{column} = '{word}'")).await, Some(check), "{column} = {word:?}");
        }
    }
    for (column, word, check) in [
        ("actor", "retell_agent", "appointment_modifications_actor_check"),
        ("source", "cal.com_webhook", "appointment_modifications_source_check"),
        ("kind", "moved", "appointment_modifications_kind_check"),
        ("reason", "", "appointment_modifications_reason_check"),
    ] {
        let statement = format!("UPDATE appointment_modifications SET {column} = '{word}' WHERE kind = 'booked'");
        assert_eq!(refusal(&desk.world.db, statement).await.as_deref(), Some(check));
    }
    desk.world.finish().await;
}

/// Incidents 3 and 8: what a call caused names the call, or is not written at all.
#[tokio::test]
async fn a_change_by_phone_without_its_call_is_not_written() {
    let desk = Desk::open().await;
    for path in &PATHS[..2] {
        let mut step = desk.book(path).await.unwrap();
        for (kind, source) in [("booked", path.booked[1]), ("rescheduled", "retell_api"), ("cancelled", "retell_api")] {
            match kind {
                "rescheduled" => desk.shift(path, &mut step).await.unwrap(),
                "cancelled" => desk.cancel(path, &mut step).await.unwrap(),
                _ => {}
            }
            let row = format!("WHERE appointment_id = '{}' AND kind = '{kind}' AND source = '{source}'", step.appointment.id);
            let statement = |change: &str| format!("UPDATE appointment_modifications SET {change} {row}");
            assert_eq!(refusal(&desk.world.db, statement("call_id = NULL")).await.as_deref(), Some("appointment_modifications_call"));
            assert_eq!(refusal(&desk.world.db, statement(&format!("user_id = '{USER}'"))).await.as_deref(), Some("appointment_modifications_user"));
        }
    }
    // through the write path itself
    let unlinked = Provenance { call_id: None, ..desk.provenance(&PATHS[0], BOOKED_AT) };
    let mut tx = desk.begin().await;
    let mut chain = Chain::default();
    let folded = chain.fold(&fact(Happening::Accepted, &uid(), NINE), &unlinked);
    let written = appointments::adopt(&mut tx, desk.new_appointment(), &chain, &folded, desk.account_id, &unlinked).await;
    assert_eq!(constraint(written).as_deref(), Some("appointment_modifications_call"));
    let nobody = Provenance { user_id: None, ..desk.provenance(&PATHS[4], BOOKED_AT) };
    let mut tx = desk.begin().await;
    assert_eq!(constraint(appointments::book(&mut tx, desk.new_appointment(), &nobody).await).as_deref(), Some("appointments_booking_audit"));
    desk.world.finish().await;
}

/// Times of a run: its appointments' starts by name, and everything between its beginning and now as `now`.
struct Times {
    began: DateTime<Utc>,
    nine: DateTime<Utc>,
}

impl Times {
    fn show(&self, at: DateTime<Utc>) -> String {
        let slack = Duration::seconds(1);
        match at {
            at if at == self.nine => "nine".to_owned(),
            at if self.began - slack <= at && at <= now() + slack => "now".to_owned(),
            other => other.to_rfc3339(),
        }
    }

    async fn cell(&self, world: &World) -> Vec<String> {
        let appointments = world.appointments().await;
        assert_eq!(appointments.len(), 1);
        texts(&appointments[0], |at| self.show(at))
    }
}

#[tokio::test]
async fn the_phone_functions_fill_all_thirteen_columns() {
    let world = World::new().await;
    let (nine, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let times = Times { began: now(), nine };
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let booked = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!(booked.body["booked"], true, "{:?}", booked.body);
    assert_eq!(times.cell(&world).await, ["customer", "retell_phone", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]);
    let moved = call.function("reschedule_appointment", json!({ "new_date": date, "new_time": "10:00", "bestaetigung": true })).await;
    assert_eq!(moved.body["rescheduled"], true, "{:?}", moved.body);
    assert_eq!(times.cell(&world).await, ["customer", "retell_phone", "-", "now", "customer", "-", "retell_api", "nine", "-", "-", "-", "-", "-"]);
    let cancelled = call.function("cancel_appointment", json!({ "reason": "Bin krank" })).await;
    assert_eq!(cancelled.body["cancelled"], true, "{:?}", cancelled.body);
    let last = ["customer", "retell_phone", "-", "now", "customer", "-", "retell_api", "nine", "now", "customer", "-", "retell_api", "Bin krank"];
    assert_eq!(times.cell(&world).await, last);
    world.settle_all().await;
    assert_eq!(times.cell(&world).await, last, "the echoes change nothing");
    world.finish().await;
}

#[tokio::test]
async fn a_customer_in_calcom_fills_all_thirteen_columns() {
    in_calcom(
        false,
        Some("Bin krank"),
        [
            ["customer", "calcom_webhook", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
            ["customer", "calcom_webhook", "-", "now", "customer", "-", "calcom_webhook", "nine", "-", "-", "-", "-", "-"],
            ["customer", "calcom_webhook", "-", "now", "customer", "-", "calcom_webhook", "nine", "now", "customer", "-", "calcom_webhook", "Bin krank"],
        ],
    )
    .await;
}

#[tokio::test]
async fn a_host_in_calcom_fills_all_thirteen_columns() {
    in_calcom(
        true,
        None,
        [
            ["customer", "calcom_webhook", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
            ["customer", "calcom_webhook", "-", "now", "staff", "-", "calcom_webhook", "nine", "-", "-", "-", "-", "-"],
            ["customer", "calcom_webhook", "-", "now", "staff", "-", "calcom_webhook", "nine", "now", "staff", "-", "calcom_webhook", "not_given"],
        ],
    )
    .await;
}

/// A visitor books; the visitor or the host moves and cancels.
async fn in_calcom(as_host: bool, reason: Option<&str>, cells: [Cell; 3]) {
    let world = World::new().await;
    let nine = ahead(3, Weekday::Thu, 9, 0).0;
    let times = Times { began: now(), nine };
    let wish = json!({ "event_type_id": 1321, "start": nine, "name": "Erika Musterfrau", "email": "erika@example.org", "phone": "+4915112345679" });
    let booked = world.calcom.visitor_book(serde_json::from_value(wish).unwrap()).await.unwrap();
    world.settle_all().await;
    assert_eq!(times.cell(&world).await, cells[0]);
    let ten = nine + Duration::hours(1);
    let moved = world.calcom.visitor_reschedule(serde_json::from_value(json!({ "uid": booked.uid, "start": ten, "as_host": as_host })).unwrap()).await.unwrap();
    eventually("the move is recorded", || async { (world.appointments().await[0]["rescheduled_count"] == 1).then_some(()) }).await;
    assert_eq!(times.cell(&world).await, cells[1]);
    world.calcom.visitor_cancel(serde_json::from_value(json!({ "uid": moved.uid, "reason": reason, "as_host": as_host })).unwrap()).await.unwrap();
    eventually("the cancellation is recorded", || async { (world.appointments().await[0]["status"] == "cancelled").then_some(()) }).await;
    assert_eq!(times.cell(&world).await, cells[2]);
    assert_eq!(world.count("SELECT count(*) FROM appointment_modifications WHERE call_id IS NULL AND user_id IS NULL").await, 3);
    world.finish().await;
}
