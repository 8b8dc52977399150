//! A company in order, in a database of its own without processes: every kind of change by every kind of hand, history that was taken over, a third person, and a
//! booking of which only the successor was heard. Tests break one of its rows.

use dev::servers::{Servers, Turn};
use shared::store::consistency::{self, FIRST_ROWS, Report};
use shared::store::{self, PgPool, companies};
use sqlx::AssertSqlSafe;
use tests::{company, servers};
use uuid::Uuid;

/// `{company}` is the company, `{branch}`, `{service}` and `{staff}` are its own. Numbers of appointments: 1 booked by phone, still to come · 2 by Cal.com, moved · 3 by
/// phone, cancelled by phone · 4 booked, moved and cancelled by a person · 5 taken over · 6 a wish · 7 for a third person · 8 only its successor was heard · 9 taken
/// over, moved and cancelled.
const ROWS: &str = "
INSERT INTO import_runs (id, company_id, kind, state) VALUES ('00000000-0000-0000-0000-0000000000f1', '{company}', 'test', 'finished');
INSERT INTO users (id, company_id, email, display_name) VALUES ('00000000-0000-0000-0000-0000000000a1', '{company}', 'rieke@praxis-muster.example', 'Rieke');
INSERT INTO customers (id, company_id, name, phone) VALUES ('00000000-0000-0000-0000-0000000000c1', '{company}', 'Jürgen Groß', '+4915112345678'),
    ('00000000-0000-0000-0000-0000000000c2', '{company}', 'Erika Musterfrau', '+4915112345679');
INSERT INTO calls (id, company_id, number, retell_call_id, branch_id, customer_id, status, started_at, ended_at, name_given, name_source, name_agreement)
    VALUES ('00000000-0000-0000-0000-0000000000d1', '{company}', 1, 'call_1', '{branch}', '00000000-0000-0000-0000-0000000000c1', 'ended', now(), now(), NULL, NULL, NULL),
           ('00000000-0000-0000-0000-0000000000d2', '{company}', 2, 'call_2', '{branch}', '00000000-0000-0000-0000-0000000000c2', 'analyzed', now(), now(), 'Lena Musterfrau', 'function_argument', 'different');
INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, staff_id, call_id, status, starts_at, ends_at, time_zone, name_given, name_agreement, calcom_uid,
    rescheduled_count, created_by, booking_source, booked_by_user_id, rescheduled_at, rescheduled_by, rescheduled_by_user_id, reschedule_source, previous_starts_at,
    cancelled_at, cancelled_by, cancelled_by_user_id, cancellation_source, cancellation_reason, import_run_id)
SELECT ('00000000-0000-0000-0000-0000000001' || lpad(v.number::text, 2, '0'))::uuid, '{company}', v.number, '{branch}', v.customer::uuid, '{service}', v.staff::uuid, v.call::uuid, v.status,
    v.day::timestamptz, v.day::timestamptz + interval '30 min', 'Europe/Berlin', v.name, v.agreement, v.uid,
    v.moves, v.made_by, v.made_through, CASE WHEN v.made_through = 'crm_admin' THEN '00000000-0000-0000-0000-0000000000a1'::uuid END,
    CASE WHEN v.moves > 0 THEN '2026-06-02T08:00:00Z'::timestamptz END, CASE WHEN v.moves > 0 THEN v.moved_by END,
    CASE WHEN v.moved_through = 'crm_admin' THEN '00000000-0000-0000-0000-0000000000a1'::uuid END, v.moved_through, CASE WHEN v.moves > 0 THEN v.day::timestamptz - interval '1 day' END,
    CASE WHEN v.status = 'cancelled' THEN '2026-06-03T08:00:00Z'::timestamptz END, v.ended_by, CASE WHEN v.ended_through = 'crm_admin' THEN '00000000-0000-0000-0000-0000000000a1'::uuid END,
    v.ended_through, CASE WHEN v.status = 'cancelled' THEN 'not_given' END, v.run::uuid
FROM (VALUES
  (1, '00000000-0000-0000-0000-0000000000c1', '{staff}', '00000000-0000-0000-0000-0000000000d1', 'booked', '2099-06-08T09:00:00Z', NULL, NULL, 'u1', 0, 'customer', 'retell_phone', NULL, NULL, NULL, NULL, NULL),
  (2, '00000000-0000-0000-0000-0000000000c1', '{staff}', NULL, 'booked', '2099-06-09T09:00:00Z', 'Jürgen Groß ', NULL, 'u2', 1, 'customer', 'calcom_webhook', 'customer', 'calcom_webhook', NULL, NULL, NULL),
  (3, '00000000-0000-0000-0000-0000000000c1', NULL, '00000000-0000-0000-0000-0000000000d1', 'cancelled', '2026-06-10T09:00:00Z', NULL, NULL, 'u3', 0, 'customer', 'retell_phone', NULL, NULL, 'customer', 'retell_api', NULL),
  (4, '00000000-0000-0000-0000-0000000000c2', NULL, NULL, 'cancelled', '2026-06-11T09:00:00Z', NULL, NULL, 'u4', 1, 'staff', 'crm_admin', 'staff', 'crm_admin', 'staff', 'crm_admin', NULL),
  (5, '00000000-0000-0000-0000-0000000000c2', NULL, NULL, 'completed', '2026-06-12T09:00:00Z', NULL, NULL, 'u5', 0, 'customer', 'calcom_webhook', NULL, NULL, NULL, NULL, '00000000-0000-0000-0000-0000000000f1'),
  (6, '00000000-0000-0000-0000-0000000000c2', NULL, '00000000-0000-0000-0000-0000000000d2', 'requested', '2099-06-13T09:00:00Z', NULL, NULL, NULL, 0, 'customer', 'retell_phone', NULL, NULL, NULL, NULL, NULL),
  (7, '00000000-0000-0000-0000-0000000000c2', NULL, '00000000-0000-0000-0000-0000000000d2', 'completed', '2026-06-14T09:00:00Z', 'Lena Musterfrau', 'different', 'u7', 0, 'customer', 'retell_phone', NULL, NULL, NULL, NULL, NULL),
  (8, '00000000-0000-0000-0000-0000000000c2', NULL, NULL, 'no_show', '2026-06-15T09:00:00Z', NULL, NULL, 'u8', 1, 'customer', 'calcom_webhook', 'unknown', 'reconciled', NULL, NULL, NULL),
  (9, '00000000-0000-0000-0000-0000000000c2', NULL, NULL, 'cancelled', '2026-06-16T09:00:00Z', NULL, NULL, 'u9', 1, 'unknown', 'unknown', 'unknown', 'unknown', 'unknown', 'unknown', '00000000-0000-0000-0000-0000000000f1')
) v (number, customer, staff, call, status, day, name, agreement, uid, moves, made_by, made_through, moved_by, moved_through, ended_by, ended_through, run);
INSERT INTO calcom_bookings (company_id, uid, appointment_id, provider_account_id, predecessor_uid, state, placeholder, starts_at, ends_at)
    SELECT a.company_id, a.calcom_uid, a.id, p.id, CASE WHEN a.number IN (2, 8) THEN 'before-' || a.calcom_uid END, CASE a.status WHEN 'cancelled' THEN 'cancelled' ELSE 'accepted' END, false, a.starts_at, a.ends_at
    FROM appointments a, provider_accounts p WHERE p.provider = 'calcom' AND a.calcom_uid IS NOT NULL
    UNION ALL
    SELECT a.company_id, 'before-' || a.calcom_uid, a.id, p.id, NULL, 'superseded', a.number = 8, a.starts_at, a.ends_at
    FROM appointments a, provider_accounts p WHERE p.provider = 'calcom' AND a.number IN (2, 8);
INSERT INTO slot_claims (id, company_id, resource, during, kind, holder, appointment_id)
    SELECT gen_random_uuid(), company_id, 'staff/' || staff_id, tstzrange(starts_at, ends_at), 'external', id, id FROM appointments WHERE status = 'booked';
INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, previous_starts_at, new_starts_at, actor, source, user_id, call_id, reason, import_run_id, occurred_at)
    SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'booked', NULL, coalesce(a.previous_starts_at, a.starts_at), a.created_by, a.booking_source, a.booked_by_user_id, a.call_id, NULL::text,
        a.import_run_id, '2026-06-01T08:00:00Z'::timestamptz FROM appointments a WHERE a.number NOT IN (6, 8)
    UNION ALL
    SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'rescheduled', a.previous_starts_at, a.starts_at, a.rescheduled_by, a.reschedule_source, a.rescheduled_by_user_id, NULL, NULL,
        a.import_run_id, a.rescheduled_at FROM appointments a WHERE a.rescheduled_count > 0
    UNION ALL
    SELECT gen_random_uuid(), a.company_id, a.id, a.customer_id, 'cancelled', a.starts_at, NULL, a.cancelled_by, a.cancellation_source, a.cancelled_by_user_id, a.call_id, a.cancellation_reason,
        a.import_run_id, a.cancelled_at FROM appointments a WHERE a.status = 'cancelled';
";

pub struct Ground {
    name: String,
    /// As superuser: sees every row, and may go around what the schema demands.
    pub db: PgPool,
    pub company_id: Uuid,
    pub url: String,
    _turn: Turn,
}

impl Ground {
    pub async fn in_order() -> Self {
        let turn = Servers::attach().unwrap().use_together().await.unwrap();
        let name = format!("fd_ground_{}_test", Uuid::now_v7().simple());
        servers::create_database(&name).await;
        let url = servers::database_url(&name);
        let db = PgPool::connect(&url).await.unwrap();
        let company_id = companies::create(&db, &company::demo()).await.unwrap().company_id;
        let ground = Self { name, db, company_id, url, _turn: turn };
        ground.fill(company_id).await;
        ground
    }

    /// Puts the rows into a company; their ids are the same in each, so only one company of a database can have them.
    async fn fill(&self, company_id: Uuid) {
        let id = async |table: &str| -> Uuid {
            let statement = format!("SELECT id FROM {table} WHERE company_id = $1 ORDER BY created_at, id LIMIT 1");
            sqlx::query_scalar(AssertSqlSafe(statement)).bind(company_id).fetch_one(&self.db).await.unwrap()
        };
        let mut rows = ROWS.replace("{company}", &company_id.to_string());
        for (slot, table) in [("{branch}", "branches"), ("{service}", "services"), ("{staff}", "staff")] {
            rows = rows.replace(slot, &id(table).await.to_string());
        }
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(&self.db).await.unwrap();
    }

    /// A second company without rows of its own.
    pub async fn neighbour(&self) -> Uuid {
        companies::create(&self.db, &company::other(1)).await.unwrap().company_id
    }

    /// Statements of a hand in psql: no trigger sees them, so no foreign key holds them back; what the schema demands of a row itself still counts.
    pub async fn damage(&self, statements: &str) {
        let all = format!("BEGIN; SET LOCAL session_replication_role = replica; {statements}; COMMIT");
        sqlx::raw_sql(AssertSqlSafe(all)).execute(&self.db).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// As the operator's role, under row-level security.
    pub async fn examine(&self) -> Report {
        self.examine_as("frontdesk_operator", self.company_id, FIRST_ROWS).await
    }

    pub async fn examine_as(&self, role: &str, company_id: Uuid, first_rows: i32) -> Report {
        let pool = store::connect(&self.url, Some(role), 2, "test").unwrap();
        let report = consistency::examine(&pool, company_id, first_rows).await.unwrap();
        pool.close().await;
        report
    }

    pub async fn close(self) {
        self.db.close().await;
        servers::drop_database(&self.name).await;
    }
}

/// What a report found: check, how many rows, the first of them.
pub fn found(report: &Report) -> Vec<(&'static str, i64, Vec<String>)> {
    let told =
        report.checks.iter().map(|checked| (checked.check.name, checked.found.clone().unwrap_or_else(|| panic!("{} ended in time", checked.check.name))));
    told.filter(|(_, found)| found.violations > 0).map(|(name, found)| (name, found.violations, found.first)).collect()
}
