-- What a live call is about: which of its holds the caller was asked to confirm (incident 80), and whether the name that was told is the customer's (incidents 47 to 50).

ALTER TABLE slot_claims
    -- of a hold: the service it was offered for; a confirmation books it without a model repeating anything
    ADD COLUMN service_id uuid,
    -- of a hold: the caller was asked "shall I book it?"; at most one of a call, the newest
    ADD COLUMN asked boolean NOT NULL DEFAULT false,
    -- of a hold: for whom; gone with it
    ADD COLUMN name_told text CHECK (length(name_told) BETWEEN 1 AND 200),
    ADD CONSTRAINT slot_claims_service FOREIGN KEY (company_id, service_id) REFERENCES services (company_id, id),
    ADD CONSTRAINT slot_claims_asked CHECK (NOT asked OR (expires_at IS NOT NULL AND service_id IS NOT NULL));

-- The name stands in calls.name_given and appointments.name_given; beside it how it agrees with the customer's own, which no call overwrites (incident 48, queries Q5 and Q7).
ALTER TABLE calls
    ADD COLUMN name_source text CHECK (name_source IN ('function_argument', 'analysis', 'transcript')),
    ADD COLUMN name_agreement text CHECK (name_agreement IN ('unknown', 'same', 'sounds_alike', 'part_of', 'different')),
    ADD COLUMN name_likeness real CHECK (name_likeness BETWEEN 0 AND 1);
ALTER TABLE appointments
    ADD COLUMN name_agreement text CHECK (name_agreement IN ('unknown', 'same', 'sounds_alike', 'part_of', 'different'));

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120143000, 20261120090000);
