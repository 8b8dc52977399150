//! The one table of checks: what each finds, how bad that is, who mends it and how, and the SQL that lists the rows.
//!
//! The fifteen queries of the requirement (domain reference 5, Q1 to Q15) and what the schema allows beyond them. Many are impossible for rows that our programs write:
//! the schema has a constraint against them. Such a check stays. It finds what came around the constraint (an import, a hand in psql, a trigger that was switched off),
//! and `constraint_missing` looks in the catalogue whether the constraint is there: see [`Check::guards`].
//!
//! Rules for a statement: it gives `id` and `label` of each row that is wrong, once; `$1` is the company, named for every table, so that it means the same whoever
//! runs it; it reads what one scan and hashes can do, since a company may have a million appointments.

pub(super) mod cells;
mod history;
mod links;

use crate::domain::consistency::{Owner, Severity};

/// Which rows a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Appointments,
    Modifications,
    Calls,
    /// What all companies share.
    Schema,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// By which metrics, rows and people know it.
    pub name: &'static str,
    /// Its number in the requirement, if it has one.
    pub query: Option<&'static str>,
    pub severity: Severity,
    pub owner: Owner,
    pub subject: Subject,
    /// What is wrong with the rows, as a sentence about them.
    pub finds: &'static str,
    pub remedy: &'static str,
    /// What in the schema keeps new rows from it: a constraint, a unique index, or `table.column` that is NOT NULL. Empty: our own care alone.
    pub guards: &'static [&'static str],
    pub(super) rows: Rows,
}

/// How the rows are listed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows {
    Sql(&'static str),
    /// The guards of all checks that are not there.
    MissingGuards,
}

/// Every check, in the order in which people read them.
pub fn all() -> impl Iterator<Item = &'static Check> {
    cells::CHECKS.iter().chain(links::CHECKS).chain(history::CHECKS).chain(std::iter::once(&CONSTRAINT_MISSING))
}

/// The check of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Check> {
    all().find(|check| check.name == name)
}

static CONSTRAINT_MISSING: Check = Check {
    name: "constraint_missing",
    query: None,
    severity: Severity::Critical,
    owner: Owner::Engineering,
    subject: Subject::Schema,
    finds: "a constraint that keeps wrong rows out is gone, not validated or switched off",
    remedy: "put it back as the migrations have it (ALTER TABLE … ADD CONSTRAINT, VALIDATE CONSTRAINT, ENABLE TRIGGER ALL), and find out who took it away",
    guards: &[],
    rows: Rows::MissingGuards,
};

impl Check {
    /// The statement that lists the rows.
    pub(super) fn sql(&self) -> String {
        match self.rows {
            Rows::Sql(sql) => sql.to_owned(),
            Rows::MissingGuards => missing_guards(),
        }
    }
}

/// Every guard of every check, once.
pub(super) fn guards() -> Vec<&'static str> {
    let mut guards: Vec<_> = all().flat_map(|check| check.guards).copied().collect();
    guards.sort_unstable();
    guards.dedup();
    guards
}

fn missing_guards() -> String {
    // names of ours (the test below holds their form): nothing in this text comes from outside
    let names = guards().iter().map(|guard| format!("('{guard}')")).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT $1::uuid AS id, g.name AS label FROM (VALUES {names}) g (name)
         WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.connamespace = 'public'::regnamespace AND k.conname = g.name AND k.convalidated
                           AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled = 'D'))
           AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                           WHERE c.relnamespace = 'public'::regnamespace AND c.relname = g.name AND i.indisunique AND i.indisvalid)
           AND NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                           WHERE c.relnamespace = 'public'::regnamespace AND c.relname || '.' || a.attname = g.name AND a.attnotnull)"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::provenance::{Actor, Channel};

    #[test]
    fn every_check_has_a_name_of_its_own_and_says_what_it_finds_and_what_to_do() {
        let mut names = BTreeSet::new();
        for check in all() {
            assert!(names.insert(check.name), "{} stands there twice", check.name);
            assert!(check.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", check.name);
            for text in [check.finds, check.remedy] {
                assert!(text.len() > 20 && !text.ends_with('.'), "{}: {text}", check.name);
            }
            assert!(std::ptr::eq(by_name(check.name).unwrap(), check));
        }
        assert!(by_name("nothing").is_none());
    }

    #[test]
    fn the_fifteen_queries_of_the_requirement_are_all_there() {
        let queries: BTreeSet<_> = all().filter_map(|check| check.query).collect();
        assert_eq!(queries, (1..=15).map(|n| format!("Q{n}")).collect::<Vec<_>>().iter().map(String::as_str).collect());
        assert!(all().count() > 30);
    }

    #[test]
    fn each_of_the_fifteen_is_critical_but_the_two_that_a_person_must_judge() {
        for check in all().filter(|check| check.query.is_some()) {
            let judged = matches!(check.query, Some("Q5" | "Q7"));
            assert_eq!(check.severity == Severity::Critical, !judged, "{}", check.name);
        }
    }

    #[test]
    fn every_statement_names_the_company_for_each_of_its_tables() {
        for check in all().filter(|check| check.subject != Subject::Schema) {
            let sql = check.sql();
            let tables = sql.matches("FROM ").count() + sql.matches("JOIN ").count()
                - sql.matches("FROM (").count()
                - sql.matches("JOIN (").count()
                - sql.matches("DISTINCT FROM").count();
            let named = sql.matches("company_id = $1").count();
            assert!(named >= tables, "{}: {named} of {tables}: {sql}", check.name);
            assert!(!sql.contains(';') && !sql.to_uppercase().contains("UPDATE "), "{}", check.name);
        }
    }

    #[test]
    fn a_guard_is_a_plain_name() {
        let guards = guards();
        assert!(guards.len() > 25, "{}", guards.len());
        for guard in guards {
            assert!(guard.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.'), "{guard}");
        }
    }

    #[test]
    fn the_vocabulary_of_a_check_is_the_programs() {
        let sql = by_name("vocabulary_foreign").unwrap().sql();
        for channel in Channel::ALL {
            assert!(sql.contains(&format!("'{}'", channel.booking_source())) && sql.contains(&format!("'{}'", channel.change_source())), "{channel:?}");
        }
        for actor in [Actor::Customer, Actor::Staff, Actor::System, Actor::Unknown] {
            assert!(sql.contains(&format!("'{}'", actor.literal())), "{actor:?}");
        }
    }

    #[test]
    fn what_the_schema_makes_impossible_says_so() {
        for name in ["appointment_without_customer", "appointment_call_missing", "modification_without_appointment", "uid_twice"] {
            assert!(!by_name(name).unwrap().guards.is_empty(), "{name}");
        }
    }
}
