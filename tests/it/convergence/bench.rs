//! What the tests through SQL share: a company for each life, its facts applied as workers apply them, and its rows in the model's words. Not the facts: those are
//! `tests/support/convergence`.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::domain::provenance::{Actor, Channel, Provenance};
use shared::store;
use shared::store::appointments::{self, NewAppointment};
use shared::store::companies;
use shared::store::slot_claims::{self, Resource};
use shared::store::tx::CompanyTx;
use sqlx::PgPool;
use tests::convergence::{By, HOSTS, Life, Told, What, at, call_id, expected};
use tests::{World, WorldOptions, company};
use uuid::Uuid;
use workers::booking_facts::{self, Booker, Heard, Place};
use workers::runtime::Failure;

/// Histories at a time: two cores, and most of the time is Postgres'.
pub const AT_ONCE: usize = 8;
/// The columns that two runs of one life may differ in: generated keys (what they lead to is compared), the times at which rows were written, the count of
/// writes (`revision`), and which delivery told first.
const EXCLUDED: [&str; 17] = [
    "id",
    "company_id",
    "number",
    "branch_id",
    "customer_id",
    "service_id",
    "staff_id",
    "appointment_id",
    "provider_account_id",
    "revision",
    "created_at",
    "updated_at",
    "first_seen_at",
    "message_id",
    // when attendance was last spoken of: a later copy of the same word moves it (`no_show` itself is compared)
    "attendance",
    // the call and the intents of a run are its own; they are compared as there or not
    "call_id",
    "intent_id",
];
/// Claims are compared by person and time: a promise that was given back and taken again is `external`. Reviews, looks and the audit log tell of the way, not of the
/// end, and are not compared.
pub const DUMP: &str = "SELECT jsonb_build_object(
    'appointments', (SELECT jsonb_agg(to_jsonb(a) || jsonb_build_object('host', s.calcom_user_id, 'by_call', a.call_id IS NOT NULL, 'customer', c.phone)) FROM appointments a
        JOIN customers c ON c.id = a.customer_id LEFT JOIN staff s ON s.id = a.staff_id WHERE a.company_id = $1),
    'bookings', (SELECT jsonb_agg(to_jsonb(k) - '{opened_call_id,closed_call_id}'::text[] ORDER BY k.uid) FROM calcom_bookings k WHERE k.company_id = $1),
    'history', (SELECT jsonb_agg(to_jsonb(m) || jsonb_build_object('by_call', m.call_id IS NOT NULL, 'by_intent', m.intent_id IS NOT NULL, 'customer', c.phone)
        ORDER BY m.calcom_uid, m.kind) FROM appointment_modifications m JOIN customers c ON c.id = m.customer_id WHERE m.company_id = $1),
    'claims', (SELECT jsonb_agg(jsonb_build_array(s.calcom_user_id, l.starts_at, upper(l.during)) ORDER BY l.starts_at) FROM slot_claims l
        LEFT JOIN staff s ON l.resource = 'staff/' || s.id WHERE l.company_id = $1),
    'intents', (SELECT jsonb_agg(jsonb_build_array(i.op, i.state, i.uid) ORDER BY i.created_at) FROM intents i WHERE i.company_id = $1 AND i.op <> 'look'),
    'customers', (SELECT jsonb_agg(jsonb_build_array(c.name, c.phone, c.email)) FROM customers c WHERE c.company_id = $1))";

/// The servers of these tests, and a pool with a worker's rights.
pub struct Bench {
    pub world: World,
    pub pool: PgPool,
}

/// One life in one company.
pub struct Run<'a> {
    pub bench: &'a Bench,
    pub life: &'a Life,
    pub company_id: Uuid,
    pub place: Place,
    pub call_id: Uuid,
    pub token: Uuid,
    pub intents: Vec<Uuid>,
    pub ours: Option<Uuid>,
    /// Whether the news came just now: then the end of an unknown booking waits for ours.
    pub fresh: bool,
}

impl Bench {
    pub async fn open() -> Self {
        let world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
        let pool = store::connect(&world.database_url, Some("frontdesk_worker"), u32::try_from(AT_ONCE).unwrap(), "convergence").unwrap();
        Self { world, pool }
    }

    /// The proof is about something: appointments were joined on the way.
    pub async fn assert_joined(&self) {
        let joined = self.world.count("SELECT count(*) FROM audit_log WHERE action = 'joined'").await;
        assert!(joined > 100, "only {joined} appointments were joined");
    }

    pub async fn close(self) {
        self.pool.close().await;
        self.world.finish().await;
    }

    /// The rows after these tellings, in company `n`.
    pub async fn rows_of(&self, n: u32, life: &Life, line: Vec<Told>, fresh: bool) -> Value {
        let run = Run::begin(self, n, life, fresh).await;
        run.hear(line).await;
        let dump: Value = sqlx::query_scalar(DUMP).bind(run.company_id).fetch_one(&self.world.db).await.unwrap();
        assert_as_the_model_says(life, &dump);
        canonical(dump)
    }
}

impl<'a> Run<'a> {
    pub async fn begin(bench: &'a Bench, n: u32, life: &'a Life, fresh: bool) -> Self {
        let db = &bench.world.db;
        let created = companies::create(db, &company::other(n)).await.unwrap();
        let company_id = created.company_id;
        let (branch_id, time_zone, service_id, provider_account_id): (Uuid, String, Uuid, Uuid) = sqlx::query_as(
            "SELECT b.id, b.time_zone, s.id, s.provider_account_id FROM services s
             JOIN LATERAL (SELECT * FROM branches b WHERE b.company_id = $1 AND (s.branch_id IS NULL OR s.branch_id = b.id) ORDER BY b.created_at, b.id LIMIT 1) b ON true
             WHERE s.company_id = $1 AND s.calcom_event_type_id = $2",
        )
        .bind(company_id)
        .bind(1321 + i64::from(n) * 10_000)
        .fetch_one(db)
        .await
        .unwrap();
        let place = Place { provider_account_id, branch_id, service_id, time_zone };
        let intents = life.steps.iter().map(|_| Uuid::now_v7()).collect();
        let mut run = Self { bench, life, company_id, place, call_id: Uuid::now_v7(), token: Uuid::now_v7(), intents, ours: None, fresh };
        if matches!(life.steps[0].what, What::Create { by: By::Us, .. }) {
            run.wish().await;
        }
        run
    }

    /// What the caller's wishes left behind before Cal.com was asked: an appointment, its promise of time, and the intents, as they are once sent.
    async fn wish(&mut self) {
        let db = &self.bench.world.db;
        let first = &self.life.steps[0];
        sqlx::query("INSERT INTO calls (id, company_id, number, retell_call_id, branch_id) VALUES ($1, $2, 1, 'call_830', $3)")
            .bind(self.call_id)
            .bind(self.company_id)
            .bind(self.place.branch_id)
            .execute(db)
            .await
            .unwrap();
        let customer_id: Uuid = sqlx::query_scalar(
            "INSERT INTO customers (id, company_id, name, phone, email) VALUES (gen_random_uuid(), $1, 'Erika Musterfrau', '+4915112345678', 'erika@example.org') RETURNING id",
        )
        .bind(self.company_id)
        .fetch_one(db)
        .await
        .unwrap();
        let staff_id: Uuid = sqlx::query_scalar("SELECT id FROM staff WHERE company_id = $1 AND calcom_user_id = $2")
            .bind(self.company_id)
            .bind(HOSTS[0])
            .fetch_one(db)
            .await
            .unwrap();
        let id = Uuid::now_v7();
        let new = NewAppointment {
            id,
            branch_id: self.place.branch_id,
            customer_id,
            service_id: Some(self.place.service_id),
            staff_id: Some(staff_id),
            starts_at: at(first.starts),
            ends_at: at(first.starts + 30),
            time_zone: self.place.time_zone.clone(),
            name_given: Some("Erika Musterfrau".to_owned()),
            notes: None,
        };
        let mut tx = CompanyTx::begin(&self.bench.pool, Some(self.company_id), &[]).await.unwrap();
        let promised = slot_claims::promise(&mut tx, &Resource::Staff(staff_id), id, Some(self.call_id), new.starts_at, new.ends_at).await.unwrap();
        assert!(promised);
        appointments::book(&mut tx, new, &Provenance { channel: Channel::RetellPhone, call_id: Some(self.call_id), ..told_by_calcom(at(0)) }).await.unwrap();
        tx.commit().await.unwrap();
        self.ours = Some(id);
        for (index, step) in self.life.steps.iter().enumerate() {
            let (op, uid) = match step.what {
                What::Create { .. } => ("create", None),
                What::Move { by: By::Us, .. } => ("reschedule", step.from.as_ref()),
                What::Cancel { by: By::Us, .. } => ("cancel", Some(&step.uid)),
                _ => continue,
            };
            // the create is under way, everything later has been confirmed by its answer
            self.intend(index, op, uid, if op == "create" { "sent" } else { "confirmed" }).await;
        }
    }

    pub async fn intend(&self, index: usize, op: &str, uid: Option<&String>, state: &str) {
        let step = &self.life.steps[index];
        sqlx::query(
            "INSERT INTO intents (id, company_id, credential_id, appointment_id, op, state, lane, sent_count, due_at, token, uid, event_type_id, starts_at, actor, channel,
                call_id, created_at, reason, settled_at)
             VALUES ($1, $2, $3, $4, $5, $12, 'live', 1, now(), $6, $7, 1321, $8, 'customer', 'retell_phone', $9, $10, $11, CASE $12 WHEN 'confirmed' THEN $10 END)",
        )
        .bind(self.intents[index])
        .bind(self.company_id)
        .bind(self.bench.world.calcom_credential)
        .bind(self.ours)
        .bind(op)
        .bind(if op == "create" { self.token } else { Uuid::now_v7() })
        .bind(uid)
        .bind(at(step.starts))
        .bind(self.call_id)
        .bind(at(step.minute - 1))
        .bind((op == "cancel").then(|| format!("Grund {}", step.minute)))
        .bind(state)
        .execute(&self.bench.world.db)
        .await
        .unwrap();
    }

    /// Applies them one after the other; what comes too early comes again, as through a tier.
    pub async fn hear(&self, line: Vec<Told>) {
        let mut queue: VecDeque<Told> = line.into();
        let mut in_vain = 0;
        while let Some(told) = queue.pop_front() {
            match self.apply(&self.heard(&told)).await {
                Ok(()) => in_vain = 0,
                Err(Failure::Retry { .. } | Failure::Wait { .. }) => {
                    queue.push_back(told);
                    in_vain += 1;
                    assert!(in_vain <= queue.len(), "nothing goes on: {:?}", queue.iter().map(|told| &told.fact).collect::<Vec<_>>());
                }
                Err(failure) => panic!("life {}: {failure:?}", self.life.seed),
            }
        }
    }

    async fn apply(&self, heard: &Heard) -> Result<(), Failure> {
        let mut tx = CompanyTx::begin(&self.bench.pool, Some(self.company_id), &heard.locks(self.company_id)).await?;
        booking_facts::apply(&mut tx, heard).await?;
        tx.commit().await?;
        Ok(())
    }

    fn heard(&self, told: &Told) -> Heard {
        let answer = told.answer_of.is_some();
        let ours = told.provenance.intent_id.is_some();
        let external = match (answer, ours) {
            (true, _) => Provenance { actor: Actor::Unknown, channel: Channel::Reconciled, message_id: None, ..told_by_calcom(told.fact.told_at) },
            (false, true) => told_by_calcom(told.fact.told_at),
            (false, false) => told.provenance.clone(),
        };
        let somewhere = !answer && !told.looked && !told.fact.happening.is_attendance();
        Heard {
            fact: told.fact.clone(),
            token: told.token.then_some(self.token),
            intent_id: told.answer_of.map(|step| self.intents[step]),
            appointment_id: if answer { self.ours } else { None },
            external,
            booker: Booker {
                name: Some("Erika Musterfrau".to_owned()),
                email: Some("erika@example.org".to_owned()),
                phone: shared::domain::phone::E164::parse("+4915112345678"),
            },
            place: somewhere.then(|| self.place.clone()),
            one_seat: told.one_seat,
            series_member: told.series,
            needs_known_booking: answer || told.looked,
            received_at: if self.fresh { tests::world::now() } else { told.fact.told_at },
            traceparent: None,
        }
    }
}

fn told_by_calcom(occurred_at: DateTime<Utc>) -> Provenance {
    Provenance {
        actor: Actor::Customer,
        channel: Channel::CalcomWebhook,
        call_id: None,
        user_id: None,
        intent_id: None,
        message_id: Some("message".to_owned()),
        occurred_at,
    }
}

/// The rows in the model's words.
pub fn assert_as_the_model_says(life: &Life, dump: &Value) {
    let appointments = dump["appointments"].as_array().unwrap();
    assert_eq!(appointments.len(), 1, "life {} is one appointment: {appointments:#?}", life.seed);
    let a = &appointments[0];
    let instant = |value: &Value| value.as_str().map(|text| json!(text.parse::<DateTime<Utc>>().unwrap())).unwrap_or_default();
    let call = |by_call: &Value| if by_call == true { json!(call_id(life.seed)) } else { Value::Null };
    let appointment = json!({
        "status": a["status"], "uid": a["calcom_uid"], "starts_at": instant(&a["starts_at"]), "ends_at": instant(&a["ends_at"]), "host": a["host"],
        "rescheduled_count": a["rescheduled_count"], "rescheduled_at": instant(&a["rescheduled_at"]), "rescheduled_by": a["rescheduled_by"],
        "reschedule_source": a["reschedule_source"], "previous_starts_at": instant(&a["previous_starts_at"]), "cancelled_at": instant(&a["cancelled_at"]),
        "cancelled_by": a["cancelled_by"], "cancellation_source": a["cancellation_source"], "cancellation_reason": a["cancellation_reason"],
    });
    let booking = |k: &Value| {
        json!({
            "uid": k["uid"], "predecessor": k["predecessor_uid"], "state": k["state"], "starts_at": instant(&k["starts_at"]), "ends_at": instant(&k["ends_at"]),
            "host": k["host_user_id"], "no_show": k["no_show"], "placeholder": k["placeholder"],
        })
    };
    let row = |m: &Value| {
        json!({
            "uid": m["calcom_uid"], "kind": m["kind"], "previous_starts_at": instant(&m["previous_starts_at"]), "new_starts_at": instant(&m["new_starts_at"]),
            "actor": m["actor"], "source": m["source"], "call_id": call(&m["by_call"]), "reason": m["reason"], "occurred_at": instant(&m["occurred_at"]),
        })
    };
    let mut bookings: Vec<Value> = dump["bookings"].as_array().unwrap().iter().map(booking).collect();
    let mut history: Vec<Value> = dump["history"].as_array().unwrap().iter().map(row).collect();
    bookings.sort_by_key(|row| row["uid"].to_string());
    history.sort_by_key(|row| (row["uid"].to_string(), row["kind"].to_string()));
    let (found, expected) = (json!({ "appointment": appointment, "bookings": bookings, "history": history }), expected(life));
    assert!(found == expected, "life {}:\n{found:#}\nexpected\n{expected:#}\n{:#?}", life.seed, life.steps);
}

/// The dump without the excluded columns, at every depth.
fn canonical(mut value: Value) -> Value {
    match &mut value {
        Value::Object(columns) => {
            columns.retain(|name, _| !EXCLUDED.contains(&name.as_str()));
            columns.values_mut().for_each(|value| *value = canonical(value.take()));
        }
        Value::Array(rows) => rows.iter_mut().for_each(|row| *row = canonical(row.take())),
        _ => {}
    }
    value
}
