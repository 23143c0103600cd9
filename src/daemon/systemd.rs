//! Notifies systemd: READY, STATUS, STOPPING and the watchdog. Without systemd nothing is sent.

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::shared_status::SharedStatus;
use crate::daemon::wake_timer::wait_until;

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
    let limit = sd_notify::watchdog_enabled();
    let interval = limit.unwrap_or_default() / 2;
    let mut last_tick = Instant::now();
    loop {
        let is_tick = tokio::select! {
            // First, so that the end of a round and the change that it made are one message.
            biased;
            () = rounds_heartbeat.done() => true,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                changes.mark_changed();
                false
            }
            () = wait_until(last_tick + interval), if limit.is_some() => true,
        };
        let is_changed = changes.has_changed().unwrap_or_default();
        let line = is_changed.then(|| changes.borrow_and_update().summary_line());
        let mut states: Vec<_> = line.iter().map(|line| NotifyState::Status(line)).collect();
        if is_tick {
            last_tick = Instant::now();
            match rounds_heartbeat.overdue_task().or(connection_heartbeat.overdue_task()) {
                None if limit.is_some() => states.push(NotifyState::Watchdog),
                None => {}
                Some(name) => {
                    tracing::error!("{name} is stuck; restart the agent if systemd's watchdog does not")
                }
            }
        }
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
