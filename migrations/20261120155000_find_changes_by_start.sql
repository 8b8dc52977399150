-- Which days have changed since Cal.com's slots were read, found by the days that are asked about: by the time of the change it was everything that happened in a minute, and beside a
-- backlog of webhooks that is thousands of rows for each day of each question of a caller. `appointment_modifications_created` serves programs of the version before; a later release drops it.
CREATE INDEX appointment_modifications_new_starts ON appointment_modifications (company_id, new_starts_at, created_at) WHERE new_starts_at IS NOT NULL;

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120155000, 20261120090000);
