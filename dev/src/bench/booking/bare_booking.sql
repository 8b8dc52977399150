-- The bare peers' transaction: what workers booking does with a booking that was made in Cal.com, as one function call. The same rows in the same tables
-- with the same reads before, under the same role and row-level security; written as plainly as PL/pgSQL allows, without the product's fold.
CREATE SCHEMA bench;
GRANT USAGE ON SCHEMA bench TO frontdesk_worker;

CREATE FUNCTION bench.book(p_endpoint uuid, p_message_id text, p_received_at timestamptz, p_body bytea, p_uid text, p_event_type bigint, p_booking_id bigint,
    p_sequence integer, p_host bigint, p_starts_at timestamptz, p_ends_at timestamptz, p_email text, p_name text, p_occurred_at timestamptz) RETURNS text
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    place record;
    known uuid;
    v_staff uuid;
    v_customer uuid;
    v_appointment uuid := gen_random_uuid();
BEGIN
    -- the proof of the tenant, then row-level security and the lock on the uid
    SELECT * INTO STRICT place FROM resolve_event_type(p_endpoint, p_event_type);
    PERFORM set_config('app.company_id', place.company_id::text, true);
    PERFORM pg_advisory_xact_lock(hashtextextended(p_uid, 0));

    INSERT INTO inbox (role, message_id) VALUES ('booking', p_message_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'duplicate';
    END IF;
    INSERT INTO events (message_id, kind, endpoint_id, company_id, received_at, body)
        VALUES (p_message_id, 'calcom.booking_created', p_endpoint, place.company_id, p_received_at, p_body);

    -- the chain that the uid leads to, locked; and the host among the staff
    SELECT a.id INTO known FROM calcom_bookings k JOIN appointments a ON a.company_id = k.company_id AND a.id = k.appointment_id
        WHERE k.company_id = place.company_id AND k.uid = p_uid FOR UPDATE OF a;
    IF FOUND THEN
        RETURN 'known';
    END IF;
    SELECT id INTO v_staff FROM staff WHERE company_id = place.company_id AND calcom_user_id = p_host ORDER BY id LIMIT 1;

    -- the customer by e-mail, else a new one
    SELECT id INTO v_customer FROM customers WHERE company_id = place.company_id AND email_key = lower(p_email) ORDER BY created_at, id LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO customers (id, company_id, email, name, source) VALUES (gen_random_uuid(), place.company_id, p_email, p_name, 'calcom_webhook')
            ON CONFLICT (company_id, email_key) WHERE phone IS NULL AND email IS NOT NULL DO UPDATE SET name = coalesce(customers.name, excluded.name)
            RETURNING id INTO v_customer;
    END IF;

    INSERT INTO appointments (id, company_id, number, branch_id, customer_id, service_id, staff_id, status, starts_at, ends_at, time_zone, name_given, calcom_uid,
            created_by, booking_source)
        VALUES (v_appointment, place.company_id, next_number('appointment', place.company_id), place.branch_id, v_customer, place.service_id, v_staff, 'booked',
            p_starts_at, p_ends_at, place.time_zone, p_name, p_uid, 'customer', 'calcom_webhook');
    INSERT INTO calcom_bookings (company_id, uid, appointment_id, provider_account_id, state, sequence, fact_hash, starts_at, ends_at, event_type_id, booking_id,
            host_user_id, accepted_at, opened_at, opened_by, opened_source)
        VALUES (place.company_id, p_uid, v_appointment, place.provider_account_id, 'accepted', p_sequence, left(p_message_id, 32), p_starts_at, p_ends_at, p_event_type,
            p_booking_id, p_host, p_occurred_at, p_occurred_at, 'customer', 'calcom_webhook');
    INSERT INTO appointment_modifications (id, company_id, appointment_id, customer_id, kind, new_starts_at, actor, source, message_id, calcom_uid, occurred_at)
        VALUES (gen_random_uuid(), place.company_id, v_appointment, v_customer, 'booked', p_starts_at, 'customer', 'calcom_webhook', p_message_id, p_uid, p_occurred_at);
    INSERT INTO slot_claims (id, company_id, resource, during, kind, holder, appointment_id)
        VALUES (gen_random_uuid(), place.company_id, 'staff/' || v_staff, tstzrange(p_starts_at, p_ends_at), 'external', v_appointment, v_appointment);
    INSERT INTO reviews (id, company_id, subject, reason, appointment_id, details, dedup_key)
        SELECT gen_random_uuid(), place.company_id, 'appointment', 'overlap', v_appointment, jsonb_build_object('other_appointment_id', c.appointment_id),
               'overlap/' || least(v_appointment::text, c.appointment_id::text) || '/' || greatest(v_appointment::text, c.appointment_id::text)
        FROM slot_claims c
        WHERE c.company_id = place.company_id AND c.resource = 'staff/' || v_staff AND c.appointment_id <> v_appointment
          AND c.starts_at < p_ends_at AND c.starts_at > p_starts_at - interval '1 day' AND upper(c.during) > p_starts_at
        ON CONFLICT (company_id, dedup_key) DO NOTHING;

    INSERT INTO attempts (role, lane, message_id, kind, company_id, attempt, outcome, queued_ms, took_ms)
        VALUES ('booking', 'bulk', p_message_id, 'calcom.booking_created', place.company_id, 1, 'done',
            (extract(epoch FROM clock_timestamp() - p_received_at) * 1000)::integer, 1);
    RETURN 'done';
END
$$;

-- The same messages for pgbench, taken apart beforehand; each client takes the next one. Those with higher numbers are the company's history.
CREATE TABLE bench.raw (n integer PRIMARY KEY, message_id text NOT NULL, body bytea NOT NULL);
CREATE SEQUENCE bench.turn;
CREATE FUNCTION bench.take_apart(p_endpoint uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    CREATE TABLE bench.input AS
        SELECT r.n, p_endpoint AS endpoint, r.message_id, r.body, p ->> 'uid' AS uid, (p ->> 'eventTypeId')::bigint AS event_type, (p ->> 'bookingId')::bigint AS booking_id,
               (p ->> 'iCalSequence')::integer AS sequence, (p -> 'organizer' ->> 'id')::bigint AS host, (p ->> 'startTime')::timestamptz AS starts_at,
               (p ->> 'endTime')::timestamptz AS ends_at, p -> 'attendees' -> 0 ->> 'email' AS email, p -> 'attendees' -> 0 ->> 'name' AS name,
               (j ->> 'createdAt')::timestamptz AS occurred_at
        FROM bench.raw r, LATERAL (SELECT convert_from(r.body, 'UTF8')::jsonb AS j) event, LATERAL (SELECT j -> 'payload' AS p) payload;
    ALTER TABLE bench.input ADD PRIMARY KEY (n);
    DROP TABLE bench.raw;
    GRANT SELECT ON bench.input TO frontdesk_worker;
    GRANT USAGE ON SEQUENCE bench.turn TO frontdesk_worker;
END
$$;

-- Books the messages from n to below m: history, so that no plan is made for empty tables.
CREATE FUNCTION bench.book_history(n_from integer, n_below integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM bench.book(i.endpoint, i.message_id, now(), i.body, i.uid, i.event_type, i.booking_id, i.sequence, i.host, i.starts_at, i.ends_at, i.email, i.name, i.occurred_at)
        FROM bench.input i WHERE i.n >= n_from AND i.n < n_below;
END
$$;
