//! Integration tests against real Postgres and RabbitMQ, the real binaries and stateful stand-ins: one binary, one file per feature. Run by `cargo dev test`.
// every function here is a test's; clippy knows only those that are marked as one
#![allow(clippy::unwrap_used)]

mod agent_export;
mod alone;
mod api_answers;
mod audit_columns;
mod auditor;
mod availability;
mod backlogs;
mod call_reconcile;
mod change_rules;
mod convergence;
mod crash_matrix;
mod dead_letters;
mod deploy_files;
mod desk_reads;
mod duplicates;
mod edges_of_ingress;
mod fixture_table;
mod function_table;
mod go_live;
mod grouped_facts;
mod hearing;
mod holds;
mod intent_outcomes;
mod lanes;
mod left_out;
mod looks;
mod operated_jobs;
mod outbox_relay;
mod phone_booking;
mod phone_edges;
mod privacy;
mod protections;
mod reconcile;
mod retell_order;
mod room_rules;
mod runbook;
mod scheduler;
mod schema_and_cli;
mod signature_vectors;
mod silence;
mod spool_drain;
mod sweep_turns;
mod tenant_isolation;
mod wishes_end;
