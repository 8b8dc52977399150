-- A run of the backfill: one identity over all companies, a row per company; its chunks are rows that anybody may take up again; every value that it filled can be taken back.

-- nobody wrote either of them before this version
DROP TABLE backfill_changes;
ALTER TABLE backfill_runs
    DROP CONSTRAINT backfill_runs_pkey,
    DROP CONSTRAINT backfill_runs_company_id_id_key,
    DROP CONSTRAINT backfill_runs_state_check,
    DROP COLUMN plan,
    DROP COLUMN progress;
ALTER TABLE backfill_runs
    -- the same id in every company: a run is one thing for people
    ADD PRIMARY KEY (company_id, id),
    ADD CONSTRAINT backfill_runs_state CHECK (state IN ('planned', 'running', 'paused', 'finished', 'cancelled', 'undoing', 'undone')),
    -- full, gently (one chunk at a time), stopped: and why, as a sentence for people
    ADD COLUMN pace text NOT NULL DEFAULT 'full' CHECK (pace IN ('full', 'gently', 'stopped')),
    ADD COLUMN pace_reason text NOT NULL DEFAULT '',
    ADD COLUMN paced_at timestamptz NOT NULL DEFAULT now(),
    -- how often the pace was not full
    ADD COLUMN throttled_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN throttled_reason text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX backfill_runs_one_open ON backfill_runs (company_id) WHERE state IN ('running', 'paused', 'undoing');

-- Rows after one key up to another. Done in one transaction with what it fills, so that a kill leaves it done or not begun.
CREATE TABLE backfill_chunks (
    company_id uuid NOT NULL REFERENCES companies,
    run_id uuid NOT NULL,
    table_name text NOT NULL CHECK (table_name IN ('appointments', 'appointment_modifications', 'calls')),
    number integer NOT NULL,
    after_id uuid NOT NULL,
    until_id uuid NOT NULL,
    row_count integer NOT NULL CHECK (row_count > 0),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'published', 'done')),
    -- a message may be lost with its worker: whoever feeds publishes it again after a while, as another message
    sent_count integer NOT NULL DEFAULT 0,
    published_at timestamptz,
    done_at timestamptz,
    -- table.column.rule → values
    counts jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counts) = 'object'),
    PRIMARY KEY (company_id, run_id, table_name, number),
    FOREIGN KEY (company_id, run_id) REFERENCES backfill_runs (company_id, id)
);

-- What a run filled into one row: column → value, rule, confidence, evidence. The cell was empty before, always. One row here per row there: a row per value costs five times
-- the time of the update itself. No foreign key to the run: its lock would be taken a million times; runs are never deleted.
CREATE TABLE backfill_changes (
    company_id uuid NOT NULL REFERENCES companies,
    run_id uuid NOT NULL,
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    filled jsonb NOT NULL CHECK (jsonb_typeof(filled) = 'object'),
    changed_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    PRIMARY KEY (company_id, table_name, row_id, run_id)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['backfill_chunks', 'backfill_changes']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_the_company ON %I USING (company_id = current_company()) WITH CHECK (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT ON %I TO frontdesk_worker, frontdesk_backfill, frontdesk_portal, frontdesk_operator, frontdesk_resolver', name);
    END LOOP;
END
$$;
GRANT INSERT, UPDATE, DELETE ON backfill_chunks, backfill_changes TO frontdesk_backfill;
-- people begin, pause, cancel and undo; what is filled is the worker's
GRANT INSERT, UPDATE ON backfill_runs, backfill_chunks TO frontdesk_operator;
GRANT SELECT ON backfill_runs TO frontdesk_resolver;
-- one of the processes with the role feeds the others
GRANT INSERT, UPDATE, DELETE ON leases TO frontdesk_backfill;

-- The values one by one, for people: which, by which rule, how sure, from what. Values that were taken back are not among them.
CREATE VIEW backfill_values WITH (security_invoker = true) AS
    SELECT c.company_id, c.run_id, c.table_name, c.row_id, v.key AS column_name, v.value -> 'value' AS value, v.value ->> 'rule' AS method,
        (v.value ->> 'confidence')::real AS confidence, v.value -> 'evidence' AS evidence, c.changed_at
    FROM backfill_changes c, jsonb_each(c.filled) v WHERE c.undone_at IS NULL;
GRANT SELECT ON backfill_values TO frontdesk_worker, frontdesk_backfill, frontdesk_portal, frontdesk_operator;

-- The former system's word on a call for the appointment that came of it. Generated, because an index over an expression is of no use under row-level security.
ALTER TABLE calls ADD COLUMN converted_appointment text GENERATED ALWAYS AS (metadata ->> 'converted_appointment_id') STORED;
CREATE INDEX calls_converted_appointment ON calls (company_id, converted_appointment) WHERE converted_appointment IS NOT NULL;

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

-- How far runs have come: those that are open, or the one that is asked for. Counts without a company's data.
CREATE FUNCTION resolve_backfill_progress(wanted uuid)
    RETURNS TABLE (company_id uuid, run_id uuid, state text, created_at timestamptz, finished_at timestamptz, pace text, pace_reason text, throttled_count bigint,
                   throttled_reason text, chunks bigint, chunks_done bigint, chunks_in_flight bigint, rows_all bigint, rows_done bigint, rows_recent bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
BEGIN
    RETURN QUERY
        SELECT r.company_id, r.id, r.state, r.created_at, r.finished_at, r.pace, r.pace_reason, r.throttled_count, r.throttled_reason,
            k.chunks, k.done, k.in_flight, k.rows_all, k.rows_done, k.rows_recent
        FROM backfill_runs r
        CROSS JOIN LATERAL (
            SELECT count(*) AS chunks, count(*) FILTER (WHERE c.state = 'done') AS done,
                count(*) FILTER (WHERE c.state = 'published' AND c.published_at > at_now - interval '60 seconds') AS in_flight,
                coalesce(sum(c.row_count), 0)::bigint AS rows_all, coalesce(sum(c.row_count) FILTER (WHERE c.state = 'done'), 0)::bigint AS rows_done,
                coalesce(sum(c.row_count) FILTER (WHERE c.state = 'done' AND c.done_at > at_now - interval '10 seconds'), 0)::bigint AS rows_recent
            FROM backfill_chunks c WHERE c.company_id = r.company_id AND c.run_id = r.id) k
        WHERE CASE WHEN wanted IS NULL THEN r.state IN ('running', 'paused', 'undoing') ELSE r.id = wanted END
        ORDER BY r.created_at, r.company_id;
END
$$;
ALTER FUNCTION resolve_backfill_progress(uuid) OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION resolve_backfill_progress(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_backfill_progress(uuid) TO frontdesk_worker, frontdesk_backfill, frontdesk_operator;

-- The newest run, whatever its state: what people mean if they name none.
CREATE FUNCTION resolve_newest_backfill() RETURNS uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    RETURN (SELECT r.id FROM backfill_runs r ORDER BY r.created_at DESC, r.id DESC LIMIT 1);
END
$$;
ALTER FUNCTION resolve_newest_backfill() OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION resolve_newest_backfill() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_newest_backfill() TO frontdesk_worker, frontdesk_backfill, frontdesk_operator;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged: they have no backfill
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120153000, 20261120090000);
