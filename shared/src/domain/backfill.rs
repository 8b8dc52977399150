//! What the backfill may write into rows of history: from evidence to values, by one table of rules in their order of trust (domain reference 6.2).
//!
//! Pure. Only empty cells are filled; two witnesses of the same rank that contradict each other fill nothing and become a review; where nothing is known the actor and the
//! source are `unknown`, and a time or a person stays empty. The evidence is read for one company at a time (`store::backfill`), so nothing here can mix companies.
//! Map: `evidence` is what the rows say · `rules` the table · `links` the rules of calls and staff · `vocabulary` maps the three former vocabularies (1.2) · `payload`
//! and `notes` read what the former system left as JSON and as text. Used by the role `backfill` and, to predict a run, by `frontdesk backfill plan`.

mod evidence;
mod links;
mod notes;
mod payload;
mod rules;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

pub use evidence::{AppointmentEvidence, CallEvidence, CallWindow, Cells, ModificationEvidence, ModificationRow};
pub use links::{CALL_RULES, MODIFICATION_RULES};
pub use rules::APPOINTMENT_RULES;

/// Whose rows a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    Appointments,
    Modifications,
    Calls,
}

impl Subject {
    pub const ALL: [Self; 3] = [Self::Calls, Self::Modifications, Self::Appointments];

    /// The table's name, in messages, chunks, provenance and metrics.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Appointments => "appointments",
            Self::Modifications => "appointment_modifications",
            Self::Calls => "calls",
        }
    }

    /// The subject of that table.
    #[must_use]
    pub fn parse(table: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.table() == table)
    }
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Word(&'static str),
    Text(String),
    Time(DateTime<Utc>),
    Row(Uuid),
}

impl Value {
    /// As it stands in the statement that writes it, and in its provenance.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Self::Word(word) => json!(word),
            Self::Text(text) => json!(text),
            Self::Time(at) => json!(at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            Self::Row(id) => json!(id),
        }
    }
}

/// What a rule found: the value, and where it stands (names of keys and ids of rows; never a person's data).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub value: Value,
    pub evidence: Json,
}

/// One line of a table: which column, from what, how far it is to be trusted.
pub struct Rule<E> {
    /// By which provenance, counts and people know it; unique within its table.
    pub name: &'static str,
    /// The column that it fills.
    pub column: &'static str,
    /// The order of trust of the reference: 1 before 2 before 3; [`NOTHING_KNOWN`] is the word for "nobody can tell".
    pub rank: u8,
    /// Of a value that it filled, 0 to 1.
    pub confidence: f32,
    /// What must be there, for people.
    pub needs: &'static str,
    pub(crate) find: fn(&E) -> Option<Found>,
}

/// The rank of the words for "nobody can tell": no evidence, so they contradict nobody.
pub const NOTHING_KNOWN: u8 = 9;

/// A value that is to be written, and by which rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    pub column: &'static str,
    pub rule: &'static str,
    pub confidence: f32,
    pub found: Found,
}

/// What a human must decide: two witnesses of the same rank disagree, or (without rules) nobody can tell what must be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub column: &'static str,
    pub rules: Vec<&'static str>,
}

/// What becomes of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub filled: Vec<Filled>,
    pub questions: Vec<Question>,
}

impl Decision {
    /// Nothing to write and nothing to ask.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.questions.is_empty()
    }

    /// Column → value, rule, confidence and evidence: the row of provenance.
    #[must_use]
    pub fn provenance(&self) -> Json {
        let of = |filled: &Filled| json!({"value": filled.found.value.json(), "rule": filled.rule, "confidence": filled.confidence, "evidence": filled.found.evidence});
        Json::Object(self.filled.iter().map(|filled| (filled.column.to_owned(), of(filled))).collect())
    }
}

/// Evidence of one row.
pub trait Evidence {
    /// Whether the cell is empty and may have a value at all (a reschedule column of a row that was never moved may not).
    fn is_open(&self, column: &str) -> bool;

    /// Whether a human is asked where no rule finds anything for this open cell.
    fn is_owed(&self, _column: &str) -> bool {
        false
    }
}

/// Applies a table to a row.
pub fn decide<E: Evidence>(rules: &[Rule<E>], evidence: &E) -> Decision {
    let mut decision = Decision::default();
    let mut columns: Vec<&'static str> = rules.iter().map(|rule| rule.column).collect();
    columns.dedup();
    for column in columns.into_iter().filter(|column| evidence.is_open(column)) {
        let of_column = || rules.iter().filter(move |rule| rule.column == column);
        let best = best(rules, evidence, column);
        let Some((first, found)) = best.first() else {
            decision.questions.extend(evidence.is_owed(column).then(|| Question { column, rules: Vec::new() }));
            continue;
        };
        if best.iter().all(|(_, other)| agree(&found.value, &other.value)) {
            decision.filled.push(filled(first, found.clone()));
            continue;
        }
        decision.questions.push(Question { column, rules: best.iter().map(|(rule, _)| rule.name).collect() });
        // nobody can tell, and a word for that keeps the row whole; the review tells a human
        let last = of_column().find(|rule| rule.rank == NOTHING_KNOWN);
        decision.filled.extend(last.and_then(|rule| (rule.find)(evidence).map(|found| filled(rule, found))));
    }
    decision
}

/// What the rules of a column find, those of the first rank that finds anything.
fn best<'r, E>(rules: &'r [Rule<E>], evidence: &E, column: &str) -> Vec<(&'r Rule<E>, Found)> {
    let mut best: Vec<(&Rule<E>, Found)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.column == column) {
        if best.first().is_some_and(|(first, _)| first.rank < rule.rank) {
            break;
        }
        best.extend((rule.find)(evidence).map(|found| (rule, found)));
    }
    best
}

fn filled<E>(rule: &Rule<E>, found: Found) -> Filled {
    Filled { column: rule.column, rule: rule.name, confidence: rule.confidence, found }
}

/// The former system kept whole seconds, and wrote its own row a moment after the provider's time (1.3): within a minute two times are the same event.
fn agree(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Time(one), Value::Time(other)) => (*one - *other).num_seconds().abs() <= 60,
        _ => one == other,
    }
}

/// How many values each rule filled: (table, column, rule) → values; and what a human must decide under the rule `review`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<(String, String, String), u64>);

/// The name under which what a human must decide is counted.
pub const QUESTION: &str = "review";

impl Counts {
    /// Adds what was decided about a row.
    pub fn add(&mut self, subject: Subject, decision: &Decision) {
        let names =
            decision.filled.iter().map(|filled| (filled.column, filled.rule)).chain(decision.questions.iter().map(|question| (question.column, QUESTION)));
        for (column, rule) in names {
            *self.0.entry((subject.table().to_owned(), column.to_owned(), rule.to_owned())).or_default() += 1;
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (key, values) in &other.0 {
            *self.0.entry(key.clone()).or_default() += values;
        }
    }

    /// Values in all; a question is none.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.0.iter().filter(|((.., rule), _)| rule != QUESTION).map(|(_, values)| values).sum()
    }

    /// As it is stored: `{"table.column.rule": values}`.
    #[must_use]
    pub fn json(&self) -> Json {
        Json::Object(self.0.iter().map(|((table, column, rule), values)| (format!("{table}.{column}.{rule}"), json!(values))).collect())
    }

    /// Reads what [`Self::json`] made; foreign keys are left out.
    #[must_use]
    pub fn parse(stored: &Json) -> Self {
        let read = |(key, values): (&String, &Json)| {
            let [table, column, rule] = key.splitn(3, '.').collect::<Vec<_>>().try_into().ok()?;
            Some(((str::to_owned(table), str::to_owned(column), str::to_owned(rule)), values.as_u64()?))
        };
        Self(stored.as_object().into_iter().flatten().filter_map(read).collect())
    }
}
