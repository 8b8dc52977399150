-- As 20261120155000, of the time that was given up; a transaction of its own, so that writers wait for one index at a time.
CREATE INDEX appointment_modifications_previous_starts ON appointment_modifications (company_id, previous_starts_at, created_at) WHERE previous_starts_at IS NOT NULL;

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120155100, 20261120090000);
