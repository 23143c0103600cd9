//! Stopping the runner: the signals for it, and how long a running script may go on after them.

use std::future::ready;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::yield_now;

/// The time between the runner's own SIGTERM and the script's. A script whose last line reboots the machine can end in it.
const SCRIPT_GRACE: Duration = Duration::from_secs(5);

/// Receives SIGTERM (the machine goes down) and SIGINT (a person interrupts the command).
pub(crate) struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// How long a script may go on. `None`: no signal has come yet.
    grace: Option<Duration>,
}

impl StopSignal {
    /// Starts to listen. From now on, these signals do not end the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, grace: None })
    }

    /// Waits for a signal, and returns how long a running script may go on. It does not wait if a signal has already come.
    pub(crate) async fn wait(&mut self) -> Duration {
        if let Some(grace) = self.grace {
            return grace;
        }
        let grace = tokio::select! {
            _ = self.terminate.recv() => SCRIPT_GRACE,
            _ = self.interrupt.recv() => Duration::ZERO,
        };
        self.grace = Some(grace);
        grace
    }

    /// Whether a signal has come.
    pub(crate) async fn is_requested(&mut self) -> bool {
        // The event loop must run once to see the signals that the kernel has delivered.
        yield_now().await;
        tokio::select! {
            biased;
            _ = self.wait() => true,
            () = ready(()) => false,
        }
    }
}
