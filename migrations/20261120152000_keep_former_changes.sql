-- A change that was taken over from the former system keeps what that system said of it: the evidence from which the backfill fills the audit columns and the call (domain reference 1.6, 6.2).
ALTER TABLE appointment_modifications
    ADD COLUMN legacy_id text,
    -- call_id (Retell's text, not our key), original_time, new_time, rescheduled_via, cancelled_via, hours_notice, calcom_synced, and the former columns modified_by_type and modified_by_id
    ADD COLUMN legacy_metadata jsonb CHECK (jsonb_typeof(legacy_metadata) = 'object'),
    ADD CONSTRAINT appointment_modifications_legacy UNIQUE (company_id, legacy_id),
    -- what our own programs write has columns for everything
    ADD CONSTRAINT appointment_modifications_former CHECK (import_run_id IS NOT NULL OR num_nonnulls(legacy_id, legacy_metadata) = 0);

-- programs of the version before work unchanged: they import nothing
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120152000, 20261120090000);
