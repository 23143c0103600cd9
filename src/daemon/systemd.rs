//! Notifies systemd: READY, STATUS, STOPPING and the watchdog. Without systemd nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::shared_status::SharedStatus;

pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Reports that a reload begins; [`ready`] ends it. The time is for `Type=notify-reload`, and older versions
/// of systemd ignore it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Keeps `STATUS=` current, and notifies the watchdog while no heartbeat is overdue: at the end of each round, and
/// otherwise twice per watchdog interval. So an idle daemon needs no other timer than that of its rounds. Runs
/// until it is dropped.
pub(crate) async fn notify_changes(
    shared_status: SharedStatus,
    rounds_heartbeat: &Heartbeat,
    connection_heartbeat: &Heartbeat,
) {
    let mut changes = shared_status.watch();
    // Without a watchdog the interval is a year, since the tick has no effect.
    let limit = sd_notify::watchdog_enabled();
    let mut ticks = interval(limit.map_or(Duration::from_secs(365 * 24 * 3600), |limit| limit / 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = rounds_heartbeat.done() => ticks.reset(),
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let line = changes.borrow_and_update().summary_line();
                notify(&[NotifyState::Status(&line)]);
                continue;
            }
        }
        match rounds_heartbeat.overdue_task().or(connection_heartbeat.overdue_task()) {
            None if limit.is_some() => notify(&[NotifyState::Watchdog]),
            None => {}
            Some(name) => {
                tracing::error!("{name} is stuck; restart the agent if systemd's watchdog does not")
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!("cannot notify systemd: {why}");
    }
}
