-- What changed since Cal.com's slots were read. In a file, and so a transaction, of its own: while it is built on a long history nothing else is locked but this table's writes.
CREATE INDEX appointment_modifications_created ON appointment_modifications (company_id, created_at);

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120140100, 20261120090000);
