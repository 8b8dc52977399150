-- An intent goes only the ways that it can go (shared::domain::intent_state, the same table): recorded → sent → confirmed | failed | unknown. What is confirmed stays
-- confirmed, what failed is at most heard of late; so no race and no repair can bring a settled wish back to life and book it again (faults rule 4).
CREATE FUNCTION refuse_impossible_intent_state() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public
    AS $$
DECLARE
    possible boolean := CASE OLD.state
        -- released by the one before; or never booked, so that nothing is left to change
        WHEN 'waiting' THEN NEW.state IN ('recorded', 'failed')
        -- it waits again when two appointments are joined; confirmed: what was wanted is so already. A look only reads and is never marked as sent
        WHEN 'recorded' THEN NEW.state IN ('waiting', 'confirmed', 'failed') OR NEW.state = CASE WHEN NEW.op = 'look' THEN 'unknown' ELSE 'sent' END
        -- recorded: certainly not done, or to be sent against another uid
        WHEN 'sent' THEN NEW.state IN ('recorded', 'unknown', 'confirmed', 'failed')
        WHEN 'unknown' THEN NEW.state IN ('recorded', 'confirmed', 'failed') OR (NEW.state = 'sent' AND NEW.op <> 'look')
        -- nobody said no, and Cal.com had done it after all
        WHEN 'failed' THEN NEW.state = 'confirmed' AND NEW.sent_count > 0 AND NEW.op <> 'look'
        ELSE false
    END;
BEGIN
    IF NOT possible THEN
        RAISE EXCEPTION 'an intent cannot become % after %', NEW.state, OLD.state USING ERRCODE = 'check_violation', CONSTRAINT = 'intents_transition';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION refuse_impossible_intent_state() FROM PUBLIC;
CREATE TRIGGER intents_transition BEFORE UPDATE OF state ON intents
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION refuse_impossible_intent_state();

-- What is settled says when; what is confirmed as booked says which booking; what failed says why.
ALTER TABLE intents ADD CONSTRAINT intents_settled CHECK ((settled_at IS NOT NULL) = (state IN ('confirmed', 'failed'))) NOT VALID;
ALTER TABLE intents ADD CONSTRAINT intents_booked_has_uid CHECK (op <> 'create' OR state <> 'confirmed' OR uid IS NOT NULL) NOT VALID;
ALTER TABLE intents ADD CONSTRAINT intents_failure_has_class CHECK (state <> 'failed' OR error_class IS NOT NULL) NOT VALID;
-- one token, one wish: two wishes with one token could not tell whose booking it is
ALTER TABLE intents ADD CONSTRAINT intents_token_once UNIQUE (company_id, token);
DROP INDEX intents_token;

-- programs of the version before go no other ways
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120125000, 20261120090000);
