//! Whether a company's rows are consistent, and that it is noticed when they are not (issue 5, "Consistency"; the fifteen queries of domain reference 5).
//!
//! `ground` is a small company in order · `broken_rows`: one test per check, each breaks one row and demands that this check names it and no other does ·
//! `scores`, `runs`: what is counted and kept · `end_to_end`: rows that real processes wrote · `script`: `tests/run-crm-consistency-tests.sh`.

mod broken_rows;
mod end_to_end;
mod ground;
mod runs;
mod scores;
mod script;
