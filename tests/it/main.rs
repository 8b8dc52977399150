//! Integration tests against real Postgres and RabbitMQ, the real binaries and stateful stand-ins: one binary, one file per feature. Run by `cargo dev test`.

mod deploy_files;
mod duplicates;
mod phone_booking;
mod room_rules;
mod schema_and_cli;
