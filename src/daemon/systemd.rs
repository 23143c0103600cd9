//! Talking to systemd: READY, STATUS, STOPPING and the watchdog. Without systemd all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::shared_status::SharedStatus;

pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A reload begins; [`ready`] ends it. The time is for `Type=notify-reload`, and older versions pass over it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Keeps `STATUS=` current, and feeds the watchdog for as long as the loop turns and the work in it moves. Runs for ever.
pub(crate) async fn task(board: SharedStatus, pulses: &[Heartbeat]) {
    let mut changes = board.watch();
    // Twice in the time allowed: each is a wake-up of an idle machine. Without a watchdog, a tick that never comes to matter.
    let limit = sd_notify::watchdog_enabled();
    let mut ticks = interval(limit.map_or(Duration::from_secs(365 * 24 * 3600), |limit| limit / 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => match pulses.iter().find_map(Heartbeat::overdue) {
                None if limit.is_some() => tell(&[NotifyState::Watchdog]),
                None => {}
                Some(name) => tracing::error!("{name} does not move any more; without a watchdog's restart, restart the agent"),
            },
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
