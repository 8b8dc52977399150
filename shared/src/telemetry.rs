//! Seen from outside: logs, metrics, traces, health. Every process sets these up first.
//!
//! Not what is logged or counted (each room owns its own messages and metrics); no globals but the log subscriber itself.

pub mod health;
pub mod logging;
pub mod mask;
pub mod metrics;
pub mod trace;

pub use mask::Masked;

/// What can go wrong while a process makes itself visible.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log level is not a list of target=level directives")]
    LogLevel(#[source] tracing_subscriber::filter::ParseError),
    #[error("a log subscriber is already installed in this process")]
    AlreadyInstalled(#[source] tracing_subscriber::util::TryInitError),
    #[error("this process is asked to run without a protection, and cannot")]
    Protection(#[source] crate::protection::BreakError),
    #[error("cannot listen on {address} for metrics and health")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
}
