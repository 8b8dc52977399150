//! `cargo dev`: private servers on this machine, stand-ins for Cal.com and Retell, the story; also a library for tests.
//! Not part of the product: nothing here is deployed.
pub mod bench;
pub mod calcom_stand_in;
mod cargo;
pub mod chaos;
pub mod demo;
pub mod down;
mod env_file;
pub mod history;
pub mod install;
pub mod progress;
pub mod retell_stand_in;
pub mod servers;
mod signals;
pub mod stand_in;
pub mod test_command;
pub mod up;

/// Exit code of a negative verdict.
pub const NEGATIVE: u8 = 1;
/// Exit code when the command could not be run.
pub const CANNOT_RUN: u8 = 2;
