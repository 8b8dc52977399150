-- What a live call offers: Cal.com's free slots for a minute, and our claim on what was offered while the caller thinks (architecture section 9, incidents 30 and 71).

-- Keyed by service: an event type's id is unique in its account only, and a company may have two. Valid for a minute, and only while no appointment of the day has changed
-- since: appointment_modifications says so. A version on the company's row, raised by every change, would queue all bookings of a company behind one row.
DROP TABLE availability_slots;
ALTER TABLE companies DROP COLUMN availability_version;
CREATE UNLOGGED TABLE availability_slots (
    company_id uuid NOT NULL REFERENCES companies,
    service_id uuid NOT NULL,
    -- in UTC
    day date NOT NULL,
    starts timestamptz[] NOT NULL,
    -- when Cal.com was asked, by the database's clock
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, service_id, day),
    FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id)
);
ALTER TABLE availability_slots ENABLE ROW LEVEL SECURITY;
ALTER TABLE availability_slots FORCE ROW LEVEL SECURITY;
CREATE POLICY of_the_company ON availability_slots USING (company_id = current_company()) WITH CHECK (company_id = current_company());
GRANT SELECT ON availability_slots TO frontdesk_worker, frontdesk_backfill, frontdesk_portal;
GRANT INSERT, UPDATE, DELETE ON availability_slots TO frontdesk_worker;

-- A hold: an offered time, by the call that heard it, until it ends by itself.
ALTER TABLE companies
    ADD COLUMN hold_seconds integer NOT NULL DEFAULT 300 CHECK (hold_seconds BETWEEN 30 AND 1800),
    -- held at once by all calls of the company: 0 = nothing is held
    ADD COLUMN holds_max integer NOT NULL DEFAULT 50 CHECK (holds_max BETWEEN 0 AND 10000);
ALTER TABLE slot_claims ADD CONSTRAINT slot_claims_hold CHECK (expires_at IS NULL OR (appointment_id IS NULL AND call_id = holder));
CREATE INDEX slot_claims_holds ON slot_claims (company_id, expires_at) WHERE expires_at IS NOT NULL;

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120140000, 20261120090000);
