-- Who may touch what: group roles without login (an operator's login user is a member of one of them), and the database's own clock.
--
-- Roles belong to the cluster, so several databases may run this at the same moment: "already there" is fine.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['frontdesk_ingress', 'frontdesk_worker', 'frontdesk_backfill', 'frontdesk_portal', 'frontdesk_operator']
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    -- Owner of the resolve_*() functions: the only one that sees all companies, and nobody can log in as it.
    BEGIN
        CREATE ROLE frontdesk_resolver NOLOGIN NOSUPERUSER BYPASSRLS NOCREATEDB NOCREATEROLE;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO frontdesk_ingress, frontdesk_worker, frontdesk_backfill, frontdesk_portal, frontdesk_operator, frontdesk_resolver;

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Which schema is here, and the oldest binary that may still work with it. Boot compares (shared::store::schema).
CREATE TABLE schema_versions (
    version bigint PRIMARY KEY,
    oldest_compatible bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CHECK (oldest_compatible <= version)
);

-- Leases, budgets, holds and blocks compare with this clock, never with a process's. A test may shift it; production leaves the one row at 0.
CREATE TABLE clock_shift (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    shift interval NOT NULL DEFAULT '0'
);
INSERT INTO clock_shift DEFAULT VALUES;

CREATE FUNCTION frontdesk_now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT statement_timestamp() + (SELECT shift FROM public.clock_shift) $$;

-- The company of the current transaction; NULL (and so no row at all) when it is not set.
CREATE FUNCTION current_company() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.company_id', true), '')::uuid $$;
