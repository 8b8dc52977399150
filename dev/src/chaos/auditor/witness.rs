//! Triggers of the auditor's own in the campaign's database, because some things leave no trace: as whom a session wrote, whether row-level security bound it
//! then, when a block of Cal.com was known to our database, and whether a token was taken in spite of it. The product knows nothing of them.
//!
//! [`WITNESS`] is run by the arena right after `migrate`. What it saw is judged by `tenancy` (I7) and `bounds` (I8).

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// As superuser. Rows are only added, and without a key: two sessions must not wait for each other because somebody looks.
/// The sessions' trigger runs as the session itself (that is what it tells); the other one as its owner, because the budget's functions may write nothing else.
pub const WITNESS: &str = "
CREATE TABLE auditor_sessions (at timestamptz NOT NULL DEFAULT clock_timestamp(), role_name text NOT NULL, login_name text NOT NULL, bound boolean NOT NULL);
GRANT INSERT ON auditor_sessions TO PUBLIC;
CREATE FUNCTION auditor_sees_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO auditor_sessions (role_name, login_name, bound) VALUES (current_user, session_user, row_security_active('appointments'));
    RETURN NULL;
END
$$;
CREATE TRIGGER auditor_sees_session AFTER INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION auditor_sees_session();

CREATE TABLE auditor_blocks (at timestamptz NOT NULL DEFAULT clock_timestamp(), credential_id uuid NOT NULL, until timestamptz NOT NULL, disobeyed boolean NOT NULL);
CREATE FUNCTION auditor_sees_block() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO auditor_blocks (credential_id, until, disobeyed) VALUES (NEW.id, NEW.blocked_until, NEW.tokens_taken > OLD.tokens_taken);
    RETURN NULL;
END
$$;
CREATE TRIGGER auditor_sees_block AFTER UPDATE ON credentials FOR EACH ROW
    WHEN (NEW.blocked_until IS DISTINCT FROM OLD.blocked_until AND NEW.blocked_until IS NOT NULL) EXECUTE FUNCTION auditor_sees_block();
CREATE TRIGGER auditor_sees_token AFTER UPDATE ON credentials FOR EACH ROW
    WHEN (NEW.tokens_taken > OLD.tokens_taken AND NEW.blocked_until > clock_timestamp()) EXECUTE FUNCTION auditor_sees_block();
";

/// How sessions wrote, counted.
#[derive(Debug, Clone, FromRow)]
pub struct SessionRow {
    pub role_name: String,
    pub login_name: String,
    pub bound: bool,
    pub times: i64,
}

/// A block that our database knew, or a token that was taken while it held.
#[derive(Debug, Clone, FromRow)]
pub struct BlockRow {
    pub at: DateTime<Utc>,
    pub credential_id: Uuid,
    pub until: DateTime<Utc>,
    pub disobeyed: bool,
}

pub async fn sessions(database: &PgPool) -> sqlx::Result<Vec<SessionRow>> {
    sqlx::query_as("SELECT role_name, login_name, bound, count(*) AS times FROM auditor_sessions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3").fetch_all(database).await
}

pub async fn blocks(database: &PgPool) -> sqlx::Result<Vec<BlockRow>> {
    sqlx::query_as("SELECT at, credential_id, until, disobeyed FROM auditor_blocks ORDER BY at").fetch_all(database).await
}
