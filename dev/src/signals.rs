//! Ctrl-C, TERM and a closed terminal as one future. Called by the commands.
use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the user or `cargo dev down` wants us to end. From the first call on, none of them ends the process by
/// itself.
pub struct Interruption {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interruption {
    /// Takes the signals over.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup: signal(SignalKind::hangup())? })
    }

    /// Any of them.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// TERM alone: Ctrl-C on a terminal reaches a foreground child by itself.
    pub async fn terminate(&mut self) {
        self.terminate.recv().await;
    }
}
