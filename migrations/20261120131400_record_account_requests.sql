-- A sweep's request belongs to an account and to no company of it: it is recorded like every other outgoing call, without a company, so that no tenant sees it
-- and the policy of the table stays as it is. Written through a function, because that policy lets nobody else write such a row.
ALTER TABLE api_calls ALTER COLUMN company_id DROP NOT NULL;
GRANT INSERT ON api_calls TO frontdesk_resolver;

-- CREATE only while ownership is handed over; taken back at the end of this file
GRANT CREATE ON SCHEMA public TO frontdesk_resolver;

CREATE FUNCTION record_account_request(credential uuid, provider text, operation text, lane text, status integer, error_class text, provider_request_id text, took_ms integer)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
BEGIN
    INSERT INTO api_calls (company_id, credential_id, provider, operation, lane, status, error_class, provider_request_id, took_ms)
        VALUES (NULL, credential, provider, operation, lane, status, error_class, provider_request_id, took_ms);
END
$$;
ALTER FUNCTION record_account_request(uuid, text, text, text, integer, text, text, integer) OWNER TO frontdesk_resolver;
REVOKE ALL ON FUNCTION record_account_request(uuid, text, text, text, integer, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_account_request(uuid, text, text, text, integer, text, text, integer) TO frontdesk_worker;
REVOKE CREATE ON SCHEMA public FROM frontdesk_resolver;

-- programs of the version before work unchanged
INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120131400, 20261120090000);
