#!/bin/bash
# One login user per kind of process, each a member of its role, the workers' of frontdesk_backfill as well (the migrations give the roles their rights).
# Runs once, when the Postgres container makes its database; elsewhere run the same statements by hand as a superuser.
# Reads lines "name password" from the secret; names: ingress, worker, operator.
set -euo pipefail

while read -r name password; do
    case "$name" in ingress | worker | operator) ;; *) echo "unknown login user in the secret: $name" >&2; exit 1 ;; esac
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "role=frontdesk_$name" --set "login=frontdesk_${name}_login" --set "password=$password" \
        --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SELECT format('CREATE ROLE %I NOLOGIN', :'role') WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'role') \gexec
CREATE ROLE :"login" LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
GRANT :"role" TO :"login";
-- a worker carries chunks of the backfill out as the role that alone may link a change to its call
SELECT 'CREATE ROLE frontdesk_backfill NOLOGIN' WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'frontdesk_backfill') \gexec
SELECT format('GRANT frontdesk_backfill TO %I', :'login') WHERE :'role' = 'frontdesk_worker' \gexec
SQL
done < "${LOGIN_PASSWORDS_FILE:-/run/secrets/postgres_login_passwords}"
