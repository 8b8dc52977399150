-- Set-up: companies, what they offer, who works there, the provider accounts they share, and the secrets of both providers.
CREATE TABLE companies (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    time_zone text NOT NULL DEFAULT 'Europe/Berlin',
    -- feature switches of this company, by name
    features jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(features) = 'object'),
    -- raised by every change that can free or take a slot; cached availability of an older version is void
    availability_version bigint NOT NULL DEFAULT 0,
    legacy_id text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

-- Short numbers for people (call #830, appointment #672): one sequence per company and noun, so that two transactions of a company never wait
-- for each other's commit. Gaps are fine, repeats are not.
CREATE SCHEMA numbers;
CREATE FUNCTION create_number_sequences() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    EXECUTE format('CREATE SEQUENCE numbers.%I', 'call_' || replace(NEW.id::text, '-', ''));
    EXECUTE format('CREATE SEQUENCE numbers.%I', 'appointment_' || replace(NEW.id::text, '-', ''));
    RETURN NULL;
END
$$;
CREATE TRIGGER companies_create_number_sequences AFTER INSERT ON companies FOR EACH ROW EXECUTE FUNCTION create_number_sequences();
CREATE FUNCTION next_number(noun text, company uuid) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT nextval(('numbers.' || quote_ident(noun || '_' || replace(company::text, '-', '')))::regclass) $$;

CREATE TABLE branches (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'Europe/Berlin',
    opening_hours jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(opening_hours) = 'object'),
    transfer_number text CHECK (transfer_number ~ '^\+[1-9][0-9]{6,14}$'),
    legacy_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, legacy_id)
);

-- An account at a provider; several companies may share one (one Retell workspace serves many shops).
CREATE TABLE provider_accounts (
    id uuid PRIMARY KEY,
    provider text NOT NULL CHECK (provider IN ('retell', 'calcom')),
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, provider),
    UNIQUE (provider, label)
);

-- Where a provider sends to; the id stands in the URL and is not a secret.
CREATE TABLE endpoints (
    id uuid PRIMARY KEY,
    provider_account_id uuid NOT NULL,
    provider text NOT NULL CHECK (provider IN ('retell', 'calcom')),
    label text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    FOREIGN KEY (provider_account_id, provider) REFERENCES provider_accounts (id, provider)
);

-- Live secrets of an endpoint, several at once while one is rotated. Ciphertext bound to its row: AAD = 'endpoint_secrets/<id>'.
CREATE TABLE endpoint_secrets (
    id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES endpoints,
    key_id text NOT NULL,
    nonce bytea NOT NULL CHECK (length(nonce) = 24),
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- honoured until then; NULL = without end
    not_after timestamptz
);
CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint_id);

CREATE FUNCTION notify_endpoints_changed() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_notify('endpoints_changed', ''); RETURN NULL; END $$;
CREATE TRIGGER endpoints_changed AFTER INSERT OR UPDATE OR DELETE ON endpoints FOR EACH STATEMENT EXECUTE FUNCTION notify_endpoints_changed();
CREATE TRIGGER endpoint_secrets_changed AFTER INSERT OR UPDATE OR DELETE ON endpoint_secrets FOR EACH STATEMENT EXECUTE FUNCTION notify_endpoints_changed();

-- API keys, and with each the one budget that all processes share (architecture section 8). AAD = 'credentials/<id>'.
CREATE TABLE credentials (
    id uuid PRIMARY KEY,
    provider_account_id uuid NOT NULL,
    provider text NOT NULL CHECK (provider IN ('retell', 'calcom')),
    label text NOT NULL DEFAULT '',
    -- base URL with path prefix, without a trailing slash; self-hosted Cal.com has its own
    base_url text NOT NULL CHECK (base_url ~ '^https?://' AND base_url !~ '/$'),
    key_id text NOT NULL,
    nonce bytea NOT NULL CHECK (length(nonce) = 24),
    ciphertext bytea NOT NULL,
    -- requests a minute that we allow ourselves (Cal.com allows 120 by default and blocks for 60 s above it) and the bucket's depth
    rate_per_minute integer NOT NULL DEFAULT 114 CHECK (rate_per_minute BETWEEN 1 AND 100000),
    burst integer NOT NULL DEFAULT 5 CHECK (burst BETWEEN 1 AND 10000),
    -- tokens that bulk work never takes
    live_reserve integer NOT NULL DEFAULT 2 CHECK (live_reserve >= 0),
    in_flight_max integer NOT NULL DEFAULT 4 CHECK (in_flight_max BETWEEN 1 AND 1000),
    tokens double precision NOT NULL DEFAULT 5,
    refilled_at timestamptz NOT NULL DEFAULT now(),
    -- a 429 or an outage: nothing is sent before
    blocked_until timestamptz,
    failures_in_a_row integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    FOREIGN KEY (provider_account_id, provider) REFERENCES provider_accounts (id, provider),
    CHECK (live_reserve < burst)
);
-- one live key per account: the budget belongs to the key
CREATE UNIQUE INDEX credentials_one_live ON credentials (provider_account_id) WHERE disabled_at IS NULL;

CREATE TABLE services (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    branch_id uuid,
    name text NOT NULL,
    synonyms text[] NOT NULL DEFAULT '{}',
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1440),
    price_minor bigint CHECK (price_minor >= 0),
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    -- the Cal.com account and event type that carry this service
    provider_account_id uuid REFERENCES provider_accounts,
    calcom_event_type_id bigint,
    seats_per_slot integer NOT NULL DEFAULT 1 CHECK (seats_per_slot BETWEEN 1 AND 1000),
    minimum_notice_minutes integer NOT NULL DEFAULT 15 CHECK (minimum_notice_minutes >= 0),
    is_default boolean NOT NULL DEFAULT false,
    active boolean NOT NULL DEFAULT true,
    legacy_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, legacy_id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id)
);
-- an event type proves its company: it belongs to one service of one company within its account
CREATE UNIQUE INDEX services_event_type ON services (provider_account_id, calcom_event_type_id) WHERE calcom_event_type_id IS NOT NULL;

CREATE TABLE staff (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    branch_id uuid,
    name text NOT NULL,
    email text CHECK (email <> ''),
    calcom_user_id bigint,
    active boolean NOT NULL DEFAULT true,
    legacy_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, legacy_id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id)
);
CREATE INDEX staff_calcom_user ON staff (company_id, calcom_user_id);

CREATE TABLE service_staff (
    company_id uuid NOT NULL REFERENCES companies,
    service_id uuid NOT NULL,
    staff_id uuid NOT NULL,
    PRIMARY KEY (company_id, service_id, staff_id),
    FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id),
    FOREIGN KEY (company_id, staff_id) REFERENCES staff (company_id, id)
);

-- Exact E.164 → (company, branch): the proof of a Retell call's tenant (incident 42).
CREATE TABLE phone_numbers (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    branch_id uuid NOT NULL,
    provider_account_id uuid NOT NULL REFERENCES provider_accounts,
    e164 text NOT NULL CONSTRAINT phone_numbers_e164 CHECK (e164 ~ '^\+[1-9][0-9]{6,14}$'),
    label text NOT NULL DEFAULT '',
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    CONSTRAINT phone_numbers_unique UNIQUE (e164),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id)
);
CREATE INDEX phone_numbers_company ON phone_numbers (company_id);

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    provider_account_id uuid NOT NULL REFERENCES provider_accounts,
    retell_agent_id text NOT NULL,
    version integer,
    variant text NOT NULL DEFAULT 'default',
    name text NOT NULL DEFAULT '',
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, provider_account_id, retell_agent_id, variant)
);
CREATE INDEX agents_retell_agent ON agents (provider_account_id, retell_agent_id);

-- People of a company who may change appointments by hand; the *_by_user_id columns point here.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    email text NOT NULL CHECK (email <> ''),
    display_name text NOT NULL,
    role text NOT NULL DEFAULT 'staff' CHECK (role IN ('staff', 'manager', 'admin')),
    staff_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, staff_id) REFERENCES staff (company_id, id)
);
CREATE UNIQUE INDEX users_email ON users (company_id, lower(email));
