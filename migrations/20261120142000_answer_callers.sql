-- What desk answers from: who is put through whereto and when, how many functions a call and a company may use, who calls with a number without its country.

-- Where a call is put through to and in which hours; a branch's own come before the company's (issue 4: from configuration, never from code). Form of the hours as in opening_hours.
ALTER TABLE companies
    ADD COLUMN transfer_number text CONSTRAINT companies_transfer_number CHECK (transfer_number ~ '^\+[1-9][0-9]{6,14}$'),
    ADD COLUMN transfer_hours jsonb CHECK (jsonb_typeof(transfer_hours) = 'object'),
    -- against a model that loops, not against callers (domain reference 4.10)
    ADD COLUMN functions_per_call_minute integer NOT NULL DEFAULT 60 CHECK (functions_per_call_minute BETWEEN 0 AND 100000),
    ADD COLUMN vip_functions_per_call_minute integer NOT NULL DEFAULT 30 CHECK (vip_functions_per_call_minute BETWEEN 0 AND 100000),
    ADD COLUMN functions_per_minute integer NOT NULL DEFAULT 600 CHECK (functions_per_minute BETWEEN 0 AND 1000000);
ALTER TABLE branches ADD COLUMN transfer_hours jsonb CHECK (jsonb_typeof(transfer_hours) = 'object');
-- somebody's own extension: who is asked for by name is put through there or not at all
ALTER TABLE staff ADD COLUMN transfer_number text CONSTRAINT staff_transfer_number CHECK (transfer_number ~ '^\+[1-9][0-9]{6,14}$');

-- A column of its own: an expression index is of no use under row-level security.
ALTER TABLE customers ADD COLUMN phone_suffix text GENERATED ALWAYS AS (right(phone, 8)) STORED;
CREATE INDEX customers_phone_suffix ON customers (company_id, phone_suffix) WHERE phone_suffix IS NOT NULL;

-- the functions of the last minute
CREATE INDEX function_calls_created ON function_calls (company_id, created_at);

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120142000, 20261120090000);
