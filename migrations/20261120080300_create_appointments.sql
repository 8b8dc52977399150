-- Customers, calls, appointments with their thirteen audit columns, what changed them, and the Cal.com bookings behind them.
CREATE TABLE import_runs (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished', 'failed', 'undone')),
    report jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(report) = 'object'),
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (company_id, id)
);

CREATE TABLE customers (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    -- never overwritten by a call (incident 48); NULL = not known yet
    name text CHECK (name <> ''),
    phone text CONSTRAINT customers_phone_e164 CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    -- '' is not an address (incident 51)
    email text CONSTRAINT customers_email_not_empty CHECK (email <> ''),
    -- a caller who withheld the number: a customer of its own, never merged (incident 52)
    anonymous boolean NOT NULL DEFAULT false,
    vip_tier text NOT NULL DEFAULT 'none' CHECK (vip_tier IN ('none', 'bronze', 'silver', 'gold', 'platinum')),
    language text NOT NULL DEFAULT 'de',
    source text NOT NULL DEFAULT 'unknown',
    legacy_id text,
    import_run_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, legacy_id),
    FOREIGN KEY (company_id, import_run_id) REFERENCES import_runs (company_id, id)
);
CREATE UNIQUE INDEX customers_phone ON customers (company_id, phone) WHERE phone IS NOT NULL;
-- who has no phone is known by e-mail; with a phone the e-mail may be shared (families)
CREATE UNIQUE INDEX customers_email_only ON customers (company_id, lower(email)) WHERE phone IS NULL AND email IS NOT NULL;
CREATE INDEX customers_email ON customers (company_id, lower(email));

CREATE TABLE customer_preferences (
    company_id uuid NOT NULL REFERENCES companies,
    customer_id uuid NOT NULL,
    preference_type text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    usage_count integer NOT NULL DEFAULT 1 CHECK (usage_count >= 0),
    confidence real NOT NULL DEFAULT 0.5 CHECK (confidence BETWEEN 0 AND 1),
    call_id uuid,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, customer_id, preference_type, key),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id)
);

CREATE TABLE calls (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    number bigint NOT NULL,
    retell_call_id text NOT NULL CHECK (length(retell_call_id) BETWEEN 1 AND 128),
    branch_id uuid NOT NULL,
    phone_number_id uuid,
    customer_id uuid,
    retell_agent_id text,
    retell_agent_version integer,
    direction text NOT NULL DEFAULT 'inbound' CHECK (direction IN ('inbound', 'outbound', 'web')),
    -- the caller as Retell gave it, and in E.164 if it is a number ("anonymous" is not)
    caller_raw text,
    caller text CHECK (caller ~ '^\+[1-9][0-9]{6,14}$'),
    our_number text,
    -- moves forward only: registered < ongoing < ended < analyzed (incident 34)
    status text NOT NULL DEFAULT 'registered' CHECK (status IN ('registered', 'ongoing', 'ended', 'analyzed')),
    connected boolean,
    started_at timestamptz,
    ended_at timestamptz,
    duration_ms bigint CHECK (duration_ms >= 0),
    disconnection_reason text,
    transfer_state text CHECK (transfer_state IN ('started', 'bridged', 'cancelled', 'ended')),
    transfer_destination text,
    transcript text,
    recording_url text,
    summary text,
    sentiment text,
    in_voicemail boolean,
    retell_successful boolean,
    -- what came of it, derived from rows, never from Retell's flag (incident 82)
    outcome text,
    analysis jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(analysis) = 'object'),
    cost_cents double precision,
    name_given text,
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    legacy_id text,
    import_run_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    UNIQUE (company_id, number),
    UNIQUE (company_id, legacy_id),
    CONSTRAINT calls_retell_call UNIQUE (company_id, retell_call_id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id),
    FOREIGN KEY (company_id, phone_number_id) REFERENCES phone_numbers (company_id, id),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, import_run_id) REFERENCES import_runs (company_id, id)
);
CREATE INDEX calls_customer ON calls (company_id, customer_id, started_at);
CREATE INDEX calls_unfinished ON calls (company_id, started_at) WHERE status IN ('registered', 'ongoing');

CREATE TABLE appointment_series (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    customer_id uuid NOT NULL,
    service_id uuid NOT NULL,
    recurrence text NOT NULL CHECK (recurrence IN ('daily', 'weekly', 'biweekly', 'monthly')),
    occurrences integer NOT NULL CHECK (occurrences BETWEEN 1 AND 365),
    all_or_nothing boolean NOT NULL DEFAULT true,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'booked', 'partial', 'compensating', 'compensated', 'cancelled')),
    call_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id)
);

CREATE TABLE group_bookings (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    primary_customer_id uuid NOT NULL,
    participants integer NOT NULL CHECK (participants BETWEEN 2 AND 100),
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'booked', 'partial', 'compensating', 'compensated', 'cancelled')),
    call_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, primary_customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id)
);

CREATE TABLE appointments (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    number bigint NOT NULL,
    branch_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    service_id uuid,
    staff_id uuid,
    -- the call that booked it
    call_id uuid,
    -- requested: our wish, Cal.com has not answered · pending: held in Cal.com, the host must confirm · booked · reschedule_requested: the host asked for
    -- another time · cancelled · rejected · failed: Cal.com refused our wish · completed · no_show
    status text NOT NULL CHECK (status IN ('requested', 'pending', 'booked', 'reschedule_requested', 'cancelled', 'rejected', 'failed', 'completed', 'no_show')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    time_zone text NOT NULL,
    -- the attendee's name as given for this appointment; the customer's own name is not touched by it
    name_given text,
    notes text,
    -- the newest uid of the chain in calcom_bookings
    calcom_uid text,
    -- raised by every change; a stored answer names the revision it was true for
    revision integer NOT NULL DEFAULT 1,
    rescheduled_count integer NOT NULL DEFAULT 0 CHECK (rescheduled_count >= 0),
    series_id uuid,
    group_booking_id uuid,

    -- the thirteen audit columns (domain reference 1.1); written by store::appointments only, derived from Provenance in one function
    created_by text CONSTRAINT appointments_created_by CHECK (created_by IN ('customer', 'staff', 'system', 'unknown')),
    booking_source text CONSTRAINT appointments_booking_source CHECK (booking_source IN
        ('retell_phone', 'retell_webhook', 'retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'backfill_from_calcom', 'unknown')),
    booked_by_user_id uuid,
    rescheduled_at timestamptz,
    rescheduled_by text CONSTRAINT appointments_rescheduled_by CHECK (rescheduled_by IN ('customer', 'staff', 'system', 'retell_ai', 'unknown')),
    rescheduled_by_user_id uuid,
    reschedule_source text CONSTRAINT appointments_reschedule_source CHECK (reschedule_source IN
        ('retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'unknown')),
    previous_starts_at timestamptz,
    cancelled_at timestamptz,
    cancelled_by text CONSTRAINT appointments_cancelled_by CHECK (cancelled_by IN ('customer', 'staff', 'system', 'unknown')),
    cancelled_by_user_id uuid,
    cancellation_source text CONSTRAINT appointments_cancellation_source CHECK (cancellation_source IN
        ('retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'unknown')),
    cancellation_reason text CONSTRAINT appointments_cancellation_reason CHECK (cancellation_reason <> ''),

    import_run_id uuid,
    legacy_id text,
    legacy_metadata jsonb CHECK (jsonb_typeof(legacy_metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    UNIQUE (company_id, id),
    UNIQUE (company_id, number),
    UNIQUE (company_id, legacy_id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id),
    FOREIGN KEY (company_id, staff_id) REFERENCES staff (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, series_id) REFERENCES appointment_series (company_id, id),
    FOREIGN KEY (company_id, group_booking_id) REFERENCES group_bookings (company_id, id),
    FOREIGN KEY (company_id, booked_by_user_id) REFERENCES users (company_id, id),
    FOREIGN KEY (company_id, rescheduled_by_user_id) REFERENCES users (company_id, id),
    FOREIGN KEY (company_id, cancelled_by_user_id) REFERENCES users (company_id, id),
    FOREIGN KEY (company_id, import_run_id) REFERENCES import_runs (company_id, id),
    CONSTRAINT appointments_ends_after_start CHECK (ends_at > starts_at),
    -- audit complete, or taken over from history (and then the backfill's work)
    CONSTRAINT appointments_booking_audit CHECK (
        import_run_id IS NOT NULL
        OR (created_by IS NOT NULL AND booking_source IS NOT NULL AND (booked_by_user_id IS NOT NULL) = (booking_source = 'crm_admin'))),
    CONSTRAINT appointments_reschedule_audit CHECK (
        import_run_id IS NOT NULL
        OR (rescheduled_count = 0 AND num_nonnulls(rescheduled_at, rescheduled_by, reschedule_source, previous_starts_at, rescheduled_by_user_id) = 0)
        OR (rescheduled_count > 0 AND num_nulls(rescheduled_at, rescheduled_by, reschedule_source, previous_starts_at) = 0
            AND (rescheduled_by_user_id IS NOT NULL) = (reschedule_source = 'crm_admin'))),
    CONSTRAINT appointments_cancellation_audit CHECK (
        import_run_id IS NOT NULL
        OR (status <> 'cancelled' AND num_nonnulls(cancelled_at, cancelled_by, cancellation_source, cancellation_reason, cancelled_by_user_id) = 0)
        OR (status = 'cancelled' AND num_nulls(cancelled_at, cancelled_by, cancellation_source, cancellation_reason) = 0
            AND (cancelled_by_user_id IS NOT NULL) = (cancellation_source = 'crm_admin'))),
    -- what Cal.com holds has a uid
    CONSTRAINT appointments_held_has_uid CHECK (import_run_id IS NOT NULL OR status NOT IN ('pending', 'booked') OR calcom_uid IS NOT NULL)
);
CREATE INDEX appointments_customer ON appointments (company_id, customer_id, starts_at);
CREATE INDEX appointments_starts ON appointments (company_id, starts_at);
CREATE UNIQUE INDEX appointments_calcom_uid ON appointments (company_id, calcom_uid) WHERE calcom_uid IS NOT NULL;
CREATE INDEX appointments_sources ON appointments (company_id, booking_source, created_by);

-- Every Cal.com uid ever seen, chained by moves. The state of an appointment is a projection of its chain (architecture section 7, Convergence).
CREATE TABLE calcom_bookings (
    company_id uuid NOT NULL REFERENCES companies,
    uid text NOT NULL CHECK (length(uid) BETWEEN 1 AND 128),
    appointment_id uuid NOT NULL,
    provider_account_id uuid NOT NULL REFERENCES provider_accounts,
    -- the uid that this one replaced
    predecessor_uid text CHECK (predecessor_uid <> uid),
    -- pending 0 < accepted 1 < superseded, rejected, cancelled 2
    state text NOT NULL CHECK (state IN ('pending', 'accepted', 'superseded', 'rejected', 'cancelled', 'reschedule_requested')),
    rank smallint NOT NULL GENERATED ALWAYS AS (CASE state WHEN 'pending' THEN 0 WHEN 'accepted' THEN 1 ELSE 2 END) STORED,
    -- heard of (as a predecessor), but its own event has not come yet
    placeholder boolean NOT NULL DEFAULT false,
    sequence integer NOT NULL DEFAULT 0,
    provider_updated_at timestamptz,
    -- of the newest fact that was merged: breaks ties between facts of equal rank, sequence and time
    fact_hash text NOT NULL DEFAULT '',
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    event_type_id bigint,
    booking_id bigint,
    host_user_id bigint,
    seats_per_slot integer,
    no_show boolean NOT NULL DEFAULT false,
    -- who brought this uid into being, and who ended it: the audit of a move or a cancellation, kept per uid so that any order of facts gives the same row
    requested_at timestamptz,
    accepted_at timestamptz,
    opened_at timestamptz,
    opened_by text,
    opened_source text,
    opened_by_user_id uuid,
    opened_call_id uuid,
    closed_at timestamptz,
    closed_by text,
    closed_source text,
    closed_by_user_id uuid,
    closed_call_id uuid,
    closed_reason text,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, uid),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id)
);
CREATE INDEX calcom_bookings_appointment ON calcom_bookings (company_id, appointment_id);
CREATE INDEX calcom_bookings_uid ON calcom_bookings (uid);

CREATE TABLE slot_claims (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    -- 'staff/<uuid>', or 'event_type/<id>' with seats 1..k where Cal.com chooses the host
    resource text NOT NULL CHECK (resource ~ '^(staff|event_type)/'),
    seat smallint NOT NULL DEFAULT 1 CHECK (seat >= 1),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    -- promise: ours, guarded · external: made in Cal.com, checked by us, never refused
    kind text NOT NULL CHECK (kind IN ('promise', 'external')),
    -- who may overlap with itself: the appointment, or before there is one the call
    holder uuid NOT NULL,
    appointment_id uuid,
    call_id uuid,
    -- a hold while the caller thinks ends by itself
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- checked at commit: the time is claimed before the appointment's row is written, so that a lost race writes nothing
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    CONSTRAINT slot_claims_no_overlap EXCLUDE USING gist (company_id WITH =, resource WITH =, seat WITH =, during WITH &&, holder WITH <>) WHERE (kind = 'promise')
);
CREATE INDEX slot_claims_resource ON slot_claims (company_id, resource, lower(during));
CREATE INDEX slot_claims_appointment ON slot_claims (company_id, appointment_id);
CREATE INDEX slot_claims_call ON slot_claims (company_id, call_id) WHERE call_id IS NOT NULL;

-- Each change that we want in Cal.com, and the queue of calcom-sync.
CREATE TABLE intents (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    credential_id uuid NOT NULL REFERENCES credentials,
    appointment_id uuid NOT NULL,
    op text NOT NULL CHECK (op IN ('create', 'reschedule', 'cancel', 'look')),
    -- waiting: an earlier intent of the appointment is open · recorded → sent → confirmed | failed | unknown (outcome not known: search before repeat)
    state text NOT NULL DEFAULT 'recorded' CHECK (state IN ('waiting', 'recorded', 'sent', 'unknown', 'confirmed', 'failed')),
    lane text NOT NULL CHECK (lane IN ('live', 'bulk')),
    -- times a request that changes something was sent
    sent_count integer NOT NULL DEFAULT 0,
    -- times the outcome was looked for since the last send
    looked_count integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    sent_at timestamptz,
    lease_holder uuid,
    lease_until timestamptz,
    -- random, carried in the booking's metadata: the proof that a booking is ours (incidents 7, 10)
    token uuid NOT NULL,
    -- the uid this intent was sent against (reschedule, cancel, look)
    uid text,
    event_type_id bigint,
    starts_at timestamptz,
    ends_at timestamptz,
    -- provenance of the change
    actor text NOT NULL CHECK (actor IN ('customer', 'staff', 'system', 'unknown')),
    channel text NOT NULL,
    call_id uuid,
    user_id uuid,
    reason text,
    function_call_id uuid,
    request jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(request) = 'object'),
    error_class text,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, user_id) REFERENCES users (company_id, id)
);
CREATE UNIQUE INDEX intents_one_open ON intents (company_id, appointment_id) WHERE state IN ('recorded', 'sent', 'unknown') AND op <> 'look';
CREATE UNIQUE INDEX intents_one_look ON intents (company_id, appointment_id) WHERE state IN ('recorded', 'sent', 'unknown') AND op = 'look';
CREATE INDEX intents_due ON intents (credential_id, lane, due_at) WHERE state IN ('recorded', 'sent', 'unknown');
CREATE INDEX intents_appointment ON intents (company_id, appointment_id, created_at);
CREATE INDEX intents_token ON intents (company_id, token);

-- Append-only. What was done to an appointment, by whom, through which channel and in which call.
CREATE TABLE appointment_modifications (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    appointment_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('booked', 'rescheduled', 'cancelled', 'confirmed', 'rejected', 'no_show', 'reschedule_requested')),
    previous_starts_at timestamptz,
    new_starts_at timestamptz,
    actor text NOT NULL CHECK (actor IN ('customer', 'staff', 'system', 'retell_ai', 'unknown')),
    source text NOT NULL CHECK (source IN
        ('retell_phone', 'retell_webhook', 'retell_api', 'calcom_webhook', 'customer_portal', 'crm_admin', 'reconciled', 'backfill_from_calcom', 'unknown')),
    user_id uuid,
    call_id uuid,
    intent_id uuid,
    -- the message that told us (its identity in inbox, events and logs)
    message_id text,
    calcom_uid text,
    within_policy boolean NOT NULL DEFAULT true,
    fee_minor bigint NOT NULL DEFAULT 0 CHECK (fee_minor >= 0),
    reason text CHECK (reason <> ''),
    import_run_id uuid,
    -- when it happened at the provider
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, user_id) REFERENCES users (company_id, id),
    FOREIGN KEY (company_id, import_run_id) REFERENCES import_runs (company_id, id),
    CONSTRAINT appointment_modifications_call CHECK (
        import_run_id IS NOT NULL OR source NOT IN ('retell_phone', 'retell_webhook', 'retell_api') OR call_id IS NOT NULL),
    CONSTRAINT appointment_modifications_user CHECK (import_run_id IS NOT NULL OR (user_id IS NOT NULL) = (source = 'crm_admin')),
    CONSTRAINT appointment_modifications_times CHECK (
        import_run_id IS NOT NULL OR kind <> 'rescheduled' OR (previous_starts_at IS NOT NULL AND new_starts_at IS NOT NULL))
);
-- one row per thing that happened to a uid, however often and by whichever way we hear of it
CREATE UNIQUE INDEX appointment_modifications_once ON appointment_modifications (company_id, calcom_uid, kind) WHERE calcom_uid IS NOT NULL;
CREATE INDEX appointment_modifications_appointment ON appointment_modifications (company_id, appointment_id, occurred_at);
CREATE INDEX appointment_modifications_call ON appointment_modifications (company_id, call_id, kind, created_at);

-- One row per wish that a caller uttered through a function: its result, and what the caller was told.
CREATE TABLE function_calls (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    call_id uuid NOT NULL,
    function text NOT NULL,
    -- the tool call, or the hash of the arguments where Retell names none
    dedup_key text NOT NULL,
    -- the wish itself: function and normalised arguments; the same wish in one call gets the same answer while it is true
    wish_hash bytea NOT NULL,
    message_id text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'final')),
    success boolean,
    result jsonb CHECK (jsonb_typeof(result) = 'object'),
    appointment_id uuid,
    -- the stored answer holds while the appointment is at this revision
    appointment_revision integer,
    -- 'result': the answer reached the caller · 'missed': the caller heard the fallback sentence
    told text CHECK (told IN ('result', 'missed')),
    told_sentence text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (company_id, id),
    CONSTRAINT function_calls_once UNIQUE (company_id, call_id, dedup_key),
    CHECK ((state = 'final') = (result IS NOT NULL)),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id)
);
CREATE INDEX function_calls_message ON function_calls (company_id, message_id);
CREATE INDEX function_calls_wish ON function_calls (company_id, call_id, wish_hash);
ALTER TABLE intents ADD FOREIGN KEY (company_id, function_call_id) REFERENCES function_calls (company_id, id);

-- Who waits for a function's result: whoever makes it final replies to all of them after the commit.
CREATE TABLE reply_waiters (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    function_call_id uuid NOT NULL,
    reply_queue text NOT NULL,
    correlation_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (company_id, function_call_id) REFERENCES function_calls (company_id, id)
);
CREATE INDEX reply_waiters_function_call ON reply_waiters (company_id, function_call_id);

CREATE TABLE policies (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    branch_id uuid,
    service_id uuid,
    staff_id uuid,
    policy_type text NOT NULL CHECK (policy_type IN ('booking', 'cancellation', 'reschedule', 'recurring')),
    rules jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- one level per row: staff, service, branch, or none of them = company
    CHECK (num_nonnulls(branch_id, service_id, staff_id) <= 1),
    UNIQUE NULLS NOT DISTINCT (company_id, policy_type, branch_id, service_id, staff_id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id),
    FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id),
    FOREIGN KEY (company_id, staff_id) REFERENCES staff (company_id, id)
);

CREATE TABLE callback_requests (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    branch_id uuid,
    customer_id uuid,
    call_id uuid,
    appointment_id uuid,
    phone text CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    reason text NOT NULL,
    priority text NOT NULL DEFAULT 'normal' CHECK (priority IN ('normal', 'high', 'urgent')),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'assigned', 'contacted', 'completed', 'expired', 'cancelled')),
    notes text,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    UNIQUE (company_id, id),
    FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id),
    FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id)
);
-- exactly one open promise to call back per call
CREATE UNIQUE INDEX callback_requests_one_open ON callback_requests (company_id, call_id) WHERE call_id IS NOT NULL AND state IN ('open', 'assigned');
CREATE INDEX callback_requests_due ON callback_requests (company_id, due_at) WHERE state IN ('open', 'assigned');

CREATE TABLE reviews (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    subject text NOT NULL,
    reason text NOT NULL,
    appointment_id uuid,
    call_id uuid,
    intent_id uuid,
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    -- the same finding is one review
    dedup_key text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved', 'dismissed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    UNIQUE (company_id, dedup_key),
    FOREIGN KEY (company_id, appointment_id) REFERENCES appointments (company_id, id),
    FOREIGN KEY (company_id, call_id) REFERENCES calls (company_id, id),
    FOREIGN KEY (company_id, intent_id) REFERENCES intents (company_id, id)
);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    company_id uuid NOT NULL REFERENCES companies,
    user_id uuid,
    actor text NOT NULL,
    action text NOT NULL,
    entity text NOT NULL,
    entity_id text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    occurred_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (company_id, user_id) REFERENCES users (company_id, id)
);
CREATE INDEX audit_log_entity ON audit_log (company_id, entity, entity_id, occurred_at);

-- Cal.com's free slots, valid while the company's availability_version stands. Lost at a crash of Postgres, which costs one request.
CREATE UNLOGGED TABLE availability_slots (
    company_id uuid NOT NULL REFERENCES companies,
    event_type_id bigint NOT NULL,
    day date NOT NULL,
    availability_version bigint NOT NULL,
    slots timestamptz[] NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, event_type_id, day)
);
