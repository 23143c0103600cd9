//! When the runner is told to stop, and how long a script may go on then.

use std::future::ready;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::yield_now;

/// Between the runner's own SIGTERM and that for the script. A script whose last line reboots the machine comes to its end meanwhile.
const GRACE: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT: the machine goes down, or a person has had enough.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// How long a script may go on, once one of them came.
    grace: Option<Duration>,
}

impl Stop {
    /// From now on these signals do not end the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, grace: None })
    }

    /// Waits for one of them: how long a script that runs may go on. Where one came already, it does not wait.
    pub(crate) async fn asked(&mut self) -> Duration {
        if let Some(grace) = self.grace {
            return grace;
        }
        let grace = tokio::select! {
            _ = self.terminate.recv() => GRACE,
            _ = self.interrupt.recv() => Duration::ZERO,
        };
        self.grace = Some(grace);
        grace
    }

    /// Whether one of them came.
    pub(crate) async fn was_asked(&mut self) -> bool {
        // What the kernel has delivered is seen once the event loop has looked.
        yield_now().await;
        tokio::select! {
            biased;
            _ = self.asked() => true,
            () = ready(()) => false,
        }
    }
}
