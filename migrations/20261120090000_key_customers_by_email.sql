-- lower() is not leakproof: under row-level security an index on it serves no look-up, and every booking with an e-mail read all customers of its company.
-- The lower-case form becomes a column of its own, which an index finds.

ALTER TABLE customers ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) STORED;

DROP INDEX customers_email_only;
DROP INDEX customers_email;
-- who has no phone is known by e-mail; with a phone the e-mail may be shared (families)
CREATE UNIQUE INDEX customers_email_only ON customers (company_id, email_key) WHERE phone IS NULL AND email IS NOT NULL;
CREATE INDEX customers_email ON customers (company_id, email_key);

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120090000, 20261120090000);
