//! What really was, row by row: written beside the database and never into it. One JSON object per line.
//!
//! `{"table":"appointments","id":"…","company":"…","damage":["source_left"],"columns":{"created_by":{"is":"customer","by":"source"}}}`
//! - A column that is not named is really empty.
//! - `by` names the evidence in the database from which the value follows; `filled`: the import took the value over as it was.
//! - `by` null: nothing tells it. Whoever fills such a cell with what it `is` was lucky and is right; anything else but `unknown` is wrong.
//!
//! Tables: `appointments` (the thirteen columns, `call_id`, `staff_id`), `appointment_modifications` (`call_id`), `calls` (`customer_id`), and `reviews` for rows that the schema refused.
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::damage::Damage;

/// Taken over as it was.
pub const FILLED: &str = "filled";

/// What a column really was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub is: Value,
    /// The evidence that tells it, if any does.
    pub by: Option<String>,
}

/// A line of the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub table: String,
    pub id: Uuid,
    pub company: Uuid,
    pub damage: Vec<String>,
    pub columns: BTreeMap<String, Cell>,
}

/// The truth of one row, while its row is made.
#[derive(Debug, Default)]
pub struct Truth {
    pub damage: Vec<Damage>,
    columns: BTreeMap<&'static str, (Value, Option<&'static str>)>,
}

impl Truth {
    pub fn of(damage: Vec<Damage>) -> Self {
        Self { damage, columns: BTreeMap::new() }
    }

    /// The column was that; `by` tells it.
    pub fn tell(&mut self, column: &'static str, is: impl Into<Value>, by: Option<&'static str>) {
        self.columns.insert(column, (is.into(), by));
    }

    /// Nobody can know it any more.
    pub fn forget(&mut self, column: &'static str) {
        if let Some((_, by)) = self.columns.get_mut(column) {
            *by = None;
        }
    }

    /// Something tells that column.
    pub fn tells(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|(_, by)| by.is_some())
    }

    /// Appends the line.
    pub fn write(&self, table: &'static str, id: Uuid, company: Uuid, lines: &mut String) {
        let columns: serde_json::Map<String, Value> =
            self.columns.iter().map(|(column, (is, by))| ((*column).to_owned(), serde_json::json!({ "is": is, "by": by }))).collect();
        let damage: Vec<&str> = self.damage.iter().map(|damage| damage.name()).collect();
        let line = serde_json::json!({ "table": table, "id": id, "company": company, "damage": damage, "columns": columns });
        // writing into a string cannot fail
        let _ = writeln!(lines, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_it_was_told() {
        let mut truth = Truth::of(vec![Damage::SourceLeft]);
        truth.tell("created_by", "customer", Some("source"));
        truth.tell("call_id", Uuid::nil().to_string(), Some("retell_call_id"));
        truth.forget("call_id");
        let mut lines = String::new();
        truth.write("appointments", Uuid::nil(), Uuid::max(), &mut lines);
        let line: Line = serde_json::from_str(&lines).expect("a line");
        assert_eq!((line.table.as_str(), line.damage.as_slice()), ("appointments", ["source_left".to_owned()].as_slice()));
        assert_eq!(line.columns["created_by"], Cell { is: "customer".into(), by: Some("source".into()) });
        assert_eq!(line.columns["call_id"].by, None);
    }
}
