-- The former system's word on a call for the booking that came of it, found by the booking's uid. Generated, because an index over an expression is of no use under row-level security.
ALTER TABLE calls ADD COLUMN booked_uid text GENERATED ALWAYS AS (metadata #>> '{booking_details,calcom_booking,uid}') STORED;
CREATE INDEX calls_booked_uid ON calls (company_id, booked_uid) WHERE booked_uid IS NOT NULL;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120153100, 20261120090000);
