//! The schema: applied by `frontdesk migrate`, checked by every process at boot.
//!
//! Not the meaning of the tables (that is `migrations/`). Called by the CLI, `cargo dev`, tests and every `main`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::str::FromStr;

use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgExecutor, PgPool};

use crate::protection::Protection;
use crate::store::{StoreError, failed};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The newest migration that this program was built with: taken from the embedded files, so nobody can forget to raise it.
pub const NEEDED: i64 = match &MIGRATIONS.migrations {
    Cow::Borrowed(migrations) => newest(migrations),
    Cow::Owned(_) => panic!("migrate! embeds borrowed migrations"),
};

/// Days for which partitions are made ahead (architecture section 7).
pub const PARTITION_DAYS_AHEAD: i32 = 14;

const fn newest(migrations: &[Migration]) -> i64 {
    let mut newest = 0;
    let mut index = 0;
    while index < migrations.len() {
        if migrations[index].version > newest {
            newest = migrations[index].version;
        }
        index += 1;
    }
    newest
}

/// What `migrate` found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Version before; `None` on an empty database.
    pub from: Option<i64>,
    pub to: i64,
    /// Day partitions made in this run, besides those that a migration made itself.
    pub partitions_made: i32,
    /// Days after today for which every partition is there now.
    pub partition_days_ahead: i32,
}

/// Applies what is missing, as the owner that the URL logs in as, and makes the day partitions. Can be repeated at will; two at once wait for each other.
///
/// # Errors
/// The database cannot be reached, an applied migration was edited afterwards, or a statement fails.
pub async fn migrate(owner_url: &str) -> Result<Migrated, StoreError> {
    let options = PgConnectOptions::from_str(owner_url).map_err(StoreError::Url)?.application_name("frontdesk migrate");
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed("connect to migrate"))?;
    let from = version(&mut connection).await?.map(|found| found.version);
    MIGRATIONS.run_direct(None, &mut connection, false).await.map_err(StoreError::Migrate)?;
    let partitions_made = sqlx::query_scalar("SELECT create_day_partitions($1)")
        .bind(PARTITION_DAYS_AHEAD)
        .fetch_one(&mut connection)
        .await
        .map_err(failed("make the day partitions"))?;
    let partition_days_ahead = partition_days_ahead(&mut connection).await?;
    let to = version(&mut connection).await?.map_or(0, |found| found.version);
    // the work is committed; a goodbye that fails changes nothing
    let _ = connection.close().await;
    Ok(Migrated { from, to, partitions_made, partition_days_ahead })
}

/// A schema's version, and the oldest program that may still work with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    pub version: i64,
    pub oldest_compatible: i64,
}

/// The boot check: the schema is one that this program can work with, and this session is bound by row-level security.
///
/// # Errors
/// A missing, too old or too new schema, or one with a gap; a role that passes row-level security; Postgres is away ([`StoreError::is_unavailable`]: try again).
pub async fn check(pool: &PgPool) -> Result<SchemaVersion, StoreError> {
    let mut connection = pool.acquire().await.map_err(failed("connect for the schema check"))?;
    let (role, powerful): (String, bool) = sqlx::query_as("SELECT current_user::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read the role's rights"))?;
    if powerful && !Protection::Rls.is_off() {
        return Err(StoreError::RoleTooPowerful { role });
    }
    let found = version(&mut connection).await?.ok_or(StoreError::SchemaMissing)?;
    judge(found, NEEDED)?;
    let recorded: BTreeSet<i64> = sqlx::query_scalar("SELECT version FROM schema_versions")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read which migrations were applied"))?
        .into_iter()
        .collect();
    left_out(&recorded).map_or(Ok(found), |missing| Err(StoreError::SchemaIncomplete { found: found.version, missing }))
}

/// The first migration of this program that the schema does not have, whatever newer ones it has: two branches were merged, and only one of them had been deployed.
fn left_out(recorded: &BTreeSet<i64>) -> Option<i64> {
    // the oldest record stands for those before it, which made the table of the records
    let first = *recorded.first()?;
    MIGRATIONS.iter().map(|migration| migration.version).find(|version| *version > first && !recorded.contains(version))
}

/// May a program of version `needed` work with this schema?
fn judge(found: SchemaVersion, needed: i64) -> Result<(), StoreError> {
    if found.version < needed {
        Err(StoreError::SchemaTooOld { found: found.version, needed })
    } else if found.oldest_compatible > needed {
        Err(StoreError::SchemaTooNew { found: found.version, needed })
    } else {
        Ok(())
    }
}

/// Days from today (UTC) for which every partitioned table has its own partition, today included; -1 if today's is missing.
///
/// # Errors
/// When Postgres is away.
pub async fn partition_days_ahead(db: impl PgExecutor<'_>) -> Result<i32, StoreError> {
    sqlx::query_scalar(
        "SELECT coalesce(min(day), 61)::int - 1 FROM generate_series(0, 60) AS day
         WHERE EXISTS (SELECT 1 FROM unnest(ARRAY['events', 'attempts', 'api_calls']) AS parent
                       WHERE to_regclass(format('public.%I', parent || to_char(current_date + day, '_YYYYMMDD'))) IS NULL)",
    )
    .fetch_one(db)
    .await
    .map_err(failed("look for the day partitions"))
}

async fn version(connection: &mut PgConnection) -> Result<Option<SchemaVersion>, StoreError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('public.schema_versions') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("look for the schema"))?;
    if !there {
        return Ok(None);
    }
    let (version, oldest_compatible): (Option<i64>, Option<i64>) = sqlx::query_as("SELECT max(version), max(oldest_compatible) FROM schema_versions")
        .fetch_one(connection)
        .await
        .map_err(failed("read the schema's version"))?;
    Ok(version.zip(oldest_compatible).map(|(version, oldest_compatible)| SchemaVersion { version, oldest_compatible }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: i64, oldest_compatible: i64, needed: i64) -> &'static str {
        match judge(SchemaVersion { version, oldest_compatible }, needed) {
            Ok(()) => "ok",
            Err(StoreError::SchemaTooOld { .. }) => "too old",
            Err(StoreError::SchemaTooNew { .. }) => "too new",
            Err(_) => "other",
        }
    }

    #[test]
    fn a_newer_schema_is_accepted_until_it_no_longer_supports_this_program() {
        assert_eq!(verdict(5, 5, 5), "ok");
        assert_eq!(verdict(7, 5, 5), "ok");
        assert_eq!(verdict(4, 4, 5), "too old");
        assert_eq!(verdict(7, 6, 5), "too new");
    }

    #[test]
    fn every_migration_records_itself_and_the_newest_is_the_one_that_this_program_needs() {
        assert_eq!(MIGRATIONS.iter().map(|migration| migration.version).max(), Some(NEEDED));
        let records = |migration: &&Migration| {
            migration.sql.as_str().contains(&format!("INSERT INTO schema_versions (version, oldest_compatible) VALUES ({}, ", migration.version))
        };
        let first = MIGRATIONS.iter().find(records).unwrap().version;
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > first) {
            assert!(records(&migration), "{} inserts its row into schema_versions", migration.version);
        }
    }

    #[test]
    fn a_migration_that_was_passed_over_is_found_whatever_newer_ones_there_are() {
        let mut recorded: BTreeSet<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(left_out(&recorded), None);
        // those before the first record have none
        recorded.pop_first();
        assert_eq!(left_out(&recorded), None);
        let one = *recorded.iter().nth(3).unwrap();
        recorded.remove(&one);
        recorded.insert(NEEDED + 1);
        assert_eq!(left_out(&recorded), Some(one));
    }
}
