-- Which contact the booking forms of a Cal.com account demand (calcom reference 3.3): phone-only accounts hide the e-mail field.
ALTER TABLE provider_accounts
    ADD COLUMN contact_rule text NOT NULL DEFAULT 'email_required' CHECK (contact_rule IN ('email_required', 'phone_required', 'either'));

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120143100, 20261120090000);
