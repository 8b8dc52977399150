//! Integration tests against real Postgres and RabbitMQ, the real binaries and stateful stand-ins: one binary, one file per feature. Run by `cargo dev test`.
// every function here is a test's; clippy knows only those that are marked as one
#![allow(clippy::unwrap_used)]

mod alone;
mod api_answers;
mod audit_columns;
mod convergence;
mod crash_points;
mod dead_letters;
mod deploy_files;
mod duplicates;
mod edges_of_ingress;
mod fixture_table;
mod grouped_facts;
mod lanes;
mod phone_booking;
mod phone_edges;
mod privacy;
mod room_rules;
mod schema_and_cli;
mod signature_vectors;
mod tenant_isolation;
