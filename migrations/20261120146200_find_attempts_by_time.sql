-- In a file, and so a transaction, of its own: the index reads every partition.

-- How long the messages waited that were handled in the last minute, without a look at the whole day. Rows come in the order of `at`, and nobody changes them.
CREATE INDEX attempts_at ON attempts USING brin (at) WITH (autosummarize = on);

INSERT INTO schema_versions (version, oldest_compatible) VALUES (20261120146200, 20261120090000);
