-- Messages: what came in, what goes out, what a human must decide; and the records of deliveries and outgoing calls.

-- One row per (role, message): the claim that makes a redelivery harmless. Not partitioned: a partitioned table cannot enforce the key. Kept 35 days.
CREATE TABLE inbox (
    role text NOT NULL,
    message_id text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (role, message_id)
);
CREATE INDEX inbox_claimed ON inbox USING brin (claimed_at);

-- Messages to publish, written in the transaction that causes them; deleted when the broker has confirmed.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    -- the queue, reached through frontdesk.work
    queue text NOT NULL,
    message_id text NOT NULL,
    kind text NOT NULL,
    endpoint_id uuid,
    attempt integer NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL,
    traceparent text,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_created ON outbox (created_at);

-- What a human must decide: no role could or may handle it. The company may be unknown, so no row-level security.
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    message_id text,
    kind text,
    role text,
    queue text NOT NULL,
    endpoint_id uuid,
    company_id uuid,
    schema_version integer,
    attempt integer NOT NULL DEFAULT 1,
    -- poison, unknown_kind, newer_schema, unknown_number, unknown_event_type, tenant_disagrees, attempts_exhausted, delivery_limit, unrouted, unreadable, …
    reason text NOT NULL,
    -- the class of the error, never its data
    detail text NOT NULL DEFAULT '',
    body bytea NOT NULL,
    received_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'discarded')),
    retried_count integer NOT NULL DEFAULT 0,
    settled_at timestamptz
);
CREATE INDEX dead_letters_open ON dead_letters (created_at) WHERE state = 'open';
CREATE INDEX dead_letters_message ON dead_letters (message_id);
-- a redelivery of the same delivery to the crash net is the same dead letter
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (queue, message_id, attempt, retried_count) WHERE state = 'open' AND message_id IS NOT NULL;

-- Raw webhooks as they came: replay, audit, backfill evidence. A day per partition, dropped by retention.
CREATE TABLE events (
    message_id text NOT NULL,
    kind text NOT NULL,
    endpoint_id uuid,
    company_id uuid,
    received_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    encoding text NOT NULL DEFAULT 'identity' CHECK (encoding IN ('identity', 'zstd')),
    body bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX events_message ON events (message_id);
CREATE INDEX events_company ON events (company_id, received_at);

-- One row per delivery to a role.
CREATE TABLE attempts (
    role text NOT NULL,
    lane text NOT NULL,
    message_id text NOT NULL,
    kind text NOT NULL,
    company_id uuid,
    attempt integer NOT NULL,
    outcome text NOT NULL,
    error_class text,
    traceparent text,
    queued_ms integer,
    took_ms integer,
    at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (at);
CREATE INDEX attempts_message ON attempts (message_id);

-- One row per outgoing call to a provider, redacted: no body, no uid in a path, no personal data.
CREATE TABLE api_calls (
    company_id uuid NOT NULL REFERENCES companies,
    intent_id uuid,
    credential_id uuid NOT NULL,
    provider text NOT NULL,
    operation text NOT NULL,
    lane text NOT NULL,
    status integer,
    error_class text,
    provider_request_id text,
    took_ms integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (at);
CREATE INDEX api_calls_intent ON api_calls (company_id, intent_id);

CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
CREATE TABLE api_calls_default PARTITION OF api_calls DEFAULT;

-- Makes the day partitions from yesterday to `days_ahead` days from now; called by migrate and by the scheduler. Rows that came before their partition
-- stay in the DEFAULT one (a partition whose day already has such rows is left out).
CREATE FUNCTION create_day_partitions(days_ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
    AS $$
DECLARE
    parent text;
    day date;
    made integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'attempts', 'api_calls']
    LOOP
        FOR day IN SELECT generate_series(current_date - 1, current_date + least(days_ahead, 60), interval '1 day')::date
        LOOP
            CONTINUE WHEN to_regclass(format('public.%I', parent || to_char(day, '_YYYYMMDD'))) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                    parent || to_char(day, '_YYYYMMDD'), parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
                made := made + 1;
            EXCEPTION WHEN check_violation THEN NULL;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
SELECT create_day_partitions(14);

-- Schedules and runs.
CREATE TABLE jobs (
    name text PRIMARY KEY,
    cron text NOT NULL,
    time_zone text NOT NULL DEFAULT 'Europe/Berlin',
    catch_up text NOT NULL DEFAULT 'skip' CHECK (catch_up IN ('skip', 'once', 'all')),
    paused boolean NOT NULL DEFAULT false,
    next_run_at timestamptz,
    last_run_at timestamptz,
    last_result text
);

-- Leadership: a lease row with an epoch, expiry by the database's clock. A lost peer cannot keep it.
CREATE TABLE leases (
    name text PRIMARY KEY,
    holder uuid NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE backfill_runs (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    state text NOT NULL CHECK (state IN ('planned', 'running', 'paused', 'finished', 'cancelled', 'undone')),
    plan jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(plan) = 'object'),
    progress jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(progress) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (company_id, id)
);

-- Every value that a run filled, with its evidence: reversible by run.
CREATE TABLE backfill_changes (
    company_id uuid NOT NULL REFERENCES companies,
    run_id uuid NOT NULL,
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    column_name text NOT NULL,
    value jsonb NOT NULL,
    method text NOT NULL,
    evidence jsonb NOT NULL CHECK (jsonb_typeof(evidence) = 'object'),
    confidence real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, run_id, table_name, row_id, column_name),
    FOREIGN KEY (company_id, run_id) REFERENCES backfill_runs (company_id, id)
);

CREATE TABLE check_runs (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    check_name text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    violations bigint NOT NULL CHECK (violations >= 0),
    examined bigint NOT NULL CHECK (examined >= 0),
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    ran_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX check_runs_name ON check_runs (company_id, check_name, ran_at);
