-- Row-level security on every table of a company, and what each role may do. A test reads the catalogue, so a new table cannot slip by.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname = 'company_id' AND a.attnotnull
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_the_company ON %I USING (company_id = current_company()) WITH CHECK (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT ON %I TO frontdesk_worker, frontdesk_backfill, frontdesk_portal', name);
    END LOOP;
END
$$;
ALTER TABLE companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
CREATE POLICY of_the_company ON companies USING (id = current_company()) WITH CHECK (id = current_company());

-- ingress reads endpoints and their sealed secrets, nothing else
GRANT SELECT ON endpoints, endpoint_secrets, schema_versions TO frontdesk_ingress;

-- workers
GRANT SELECT ON schema_versions, clock_shift, companies, provider_accounts, endpoints, credentials, jobs, leases TO frontdesk_worker, frontdesk_backfill, frontdesk_portal;
GRANT UPDATE (availability_version) ON companies TO frontdesk_worker;
GRANT UPDATE (tokens, refilled_at, blocked_until, failures_in_a_row) ON credentials TO frontdesk_worker;
GRANT INSERT, UPDATE ON customers, customer_preferences, calls, appointments, calcom_bookings, intents, function_calls, callback_requests, reviews,
    appointment_series, group_bookings, availability_slots TO frontdesk_worker;
GRANT INSERT, UPDATE, DELETE ON slot_claims, reply_waiters TO frontdesk_worker;
GRANT DELETE ON availability_slots TO frontdesk_worker;
-- append-only
GRANT INSERT ON appointment_modifications, audit_log, api_calls, check_runs TO frontdesk_worker;
GRANT INSERT ON audit_log TO frontdesk_portal;
GRANT SELECT, INSERT, DELETE ON inbox, outbox TO frontdesk_worker, frontdesk_backfill;
GRANT UPDATE ON outbox TO frontdesk_worker, frontdesk_backfill;
GRANT SELECT, INSERT ON events, attempts TO frontdesk_worker, frontdesk_backfill;
GRANT SELECT, INSERT, UPDATE ON dead_letters TO frontdesk_worker, frontdesk_backfill;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs, leases TO frontdesk_worker;

-- functions that act with their owner's rights: for whom they are made, and nobody else
REVOKE ALL ON FUNCTION create_day_partitions(integer), next_number(text, uuid), create_number_sequences() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_day_partitions(integer) TO frontdesk_worker;
GRANT EXECUTE ON FUNCTION next_number(text, uuid) TO frontdesk_worker, frontdesk_backfill, frontdesk_operator;

-- backfill fills history; it alone may link a modification to its call
GRANT UPDATE ON appointments, calls, customers TO frontdesk_backfill;
GRANT UPDATE (call_id) ON appointment_modifications TO frontdesk_backfill;
GRANT INSERT, UPDATE, DELETE ON backfill_runs, backfill_changes, import_runs TO frontdesk_backfill;
GRANT INSERT ON reviews, check_runs TO frontdesk_backfill;

-- the operator's command: set-up and dead letters; tenant rows under their company like everybody else
GRANT SELECT, INSERT, UPDATE ON companies, branches, services, staff, phone_numbers, agents, users, policies, customers TO frontdesk_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON service_staff TO frontdesk_operator;
GRANT SELECT, INSERT, UPDATE ON provider_accounts, endpoints, endpoint_secrets, credentials TO frontdesk_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters, outbox, jobs TO frontdesk_operator;
GRANT SELECT ON schema_versions, clock_shift, events, attempts, calls, appointments, appointment_modifications, calcom_bookings, intents, slot_claims,
    function_calls, callback_requests, reviews, audit_log, api_calls, check_runs, backfill_runs, backfill_changes, import_runs TO frontdesk_operator;
GRANT INSERT ON audit_log TO frontdesk_operator;

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120080600, 20261120080600);
