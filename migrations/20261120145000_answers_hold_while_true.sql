-- A stored answer tells a state and a time: it holds while the appointment has both. The revision rose with every echo that taught the chain something else (a sequence number),
-- and the caller who repeated the wish after it was told another story.
ALTER TABLE function_calls
    ADD COLUMN appointment_status text,
    ADD COLUMN appointment_starts_at timestamptz;
COMMENT ON COLUMN function_calls.appointment_revision IS 'which revision the answer was given at; 0 = given about an appointment that was joined into another one, so it holds no more';

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120145000, 20261120090000);
