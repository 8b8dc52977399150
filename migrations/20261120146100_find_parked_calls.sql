-- In a file, and so a transaction, of its own: calls are written while this reads dead letters.

-- Which calls a parked event of Retell's names. Found in the bytes, whatever their shape: what is parked may be no JSON and no text at all.
ALTER TABLE dead_letters ADD COLUMN retell_call_ids text[];
CREATE FUNCTION retell_call_ids(body bytea) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT array_agg(DISTINCT named[1]) FROM regexp_matches(encode(body, 'escape'), '"call_id"\s*:\s*"([^"]{1,200})"', 'g') AS named);
END
$$;
CREATE FUNCTION note_retell_call_ids() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
BEGIN
    NEW.retell_call_ids := retell_call_ids(NEW.body);
    RETURN NEW;
END
$$;
-- programs of the version before write dead letters, too: hence a trigger
CREATE TRIGGER note_retell_call_ids BEFORE INSERT ON dead_letters FOR EACH ROW WHEN (NEW.kind LIKE 'retell.call\_%') EXECUTE FUNCTION note_retell_call_ids();
-- nobody looks further back than four days
UPDATE dead_letters SET retell_call_ids = retell_call_ids(body) WHERE kind LIKE 'retell.call\_%' AND created_at > now() - interval '5 days';
CREATE INDEX dead_letters_calls ON dead_letters USING gin (retell_call_ids) WHERE retell_call_ids IS NOT NULL;

-- programs of the version before neither read nor write the column
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120146100, 20261120090000);
