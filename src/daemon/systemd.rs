//! Talking to systemd: READY, STATUS, STOPPING and the watchdog. Without systemd all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;

pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Keeps `STATUS=` current, and feeds the watchdog for as long as the loop turns. Runs for ever.
pub(super) async fn task(board: Board) {
    let mut changes = board.watch();
    // Without a watchdog, a tick that never comes to matter.
    let limit = sd_notify::watchdog_enabled();
    let mut ticks = interval(limit.map_or(Duration::from_secs(365 * 24 * 3600), |limit| limit / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => if limit.is_some() { tell(&[NotifyState::Watchdog]) },
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let line = changes.borrow_and_update().line();
                tell(&[NotifyState::Status(&line)]);
            }
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!("systemd could not be told: {why}");
    }
}
