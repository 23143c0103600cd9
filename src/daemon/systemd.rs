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

/// Keeps `STATUS=` current, and notifies the watchdog while no heartbeat is overdue. Runs until it is
/// dropped.
pub(crate) async fn notify_changes(shared_status: SharedStatus, heartbeats: &[Heartbeat]) {
    let mut changes = shared_status.watch();
    // Twice per watchdog interval and not more often, because each notification wakes an idle machine. A change of
    // the status notifies the watchdog, too, so that an idle daemon needs no timer for it but that of its checks.
    // Without a watchdog the interval is a year, since the tick has no effect.
    let limit = sd_notify::watchdog_enabled();
    let mut ticks = interval(limit.map_or(Duration::from_secs(365 * 24 * 3600), |limit| limit / 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut status = None;
        tokio::select! {
            _ = ticks.tick() => {}
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                ticks.reset();
                status = Some(changes.borrow_and_update().summary_line());
            }
        }
        let overdue = heartbeats.iter().find_map(Heartbeat::overdue_task);
        if let Some(name) = overdue {
            tracing::error!("{name} is stuck; restart the agent if systemd's watchdog does not");
        }
        let watchdog = (limit.is_some() && overdue.is_none()).then_some(NotifyState::Watchdog);
        let states: Vec<_> = status.as_deref().map(NotifyState::Status).into_iter().chain(watchdog).collect();
        if !states.is_empty() {
            notify(&states);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!("cannot notify systemd: {why}");
    }
}
