//! Done 1 of issue 3: the same facts in any order and any number end in the same rows, which are those of a model written apart from the fold (faults E1).

mod bench;
mod once_failed;
mod pure;
mod store;
