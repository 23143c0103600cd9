//! The waits of a process, seen by strace: what ended each of them, a timer or an event.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::World;

/// How many waits ended, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// The time was up.
    pub timers: usize,
    /// Something arrived: at a socket, or in another thread or process.
    pub events: usize,
}

/// A command that runs a program as the daemon's user, and writes its waits to `trace`. Its arguments follow.
pub fn traced(world: &World, trace: &Path) -> Command {
    let mut command = world.command("strace");
    command.args(["-f", "--absolute-timestamps=format:unix,precision:ms", "--output"]).arg(trace);
    command.arg("--trace=timerfd_settime,epoll_wait,epoll_pwait,poll,ppoll,select,pselect6,futex,nanosleep,clock_nanosleep");
    command
}

/// The lines of `trace` that are the end of a wait. tokio's event for itself is not one: it is signalled before the wait begins, so that
/// the program does not wait. Neither is a look without a wait, with a timeout of zero.
pub fn ended_waits(trace: &Path) -> Vec<String> {
    let own = |line: &&str| line.contains("[{events=EPOLLIN, data={u32=0, u64=0}}]");
    let trace = fs::read_to_string(trace).unwrap_or_default();
    let waits = |line: &&str| line.contains(" = ") && !own(line) && !line.contains(", 0) = ");
    trace.lines().filter(waits).map(str::to_owned).collect()
}

impl Waits {
    /// Counts these lines. A timer of the kernel that was set is one that expires: its end looks like an event.
    pub fn of(lines: &[String]) -> Self {
        let kernel_timers = lines.iter().filter(|line| line.contains("timerfd_settime(")).count();
        let expired = lines.iter().filter(|line| is_timer(line)).count();
        let events = (lines.len() - expired).saturating_sub(kernel_timers * 2);
        Self { timers: expired + kernel_timers, events }
    }
}

/// Whether the time was up: the result is 0 without a wake-up by another, or `ETIMEDOUT`.
fn is_timer(line: &str) -> bool {
    line.contains(" = 0 (Timeout)")
        || line.contains("ETIMEDOUT")
        || line.contains("sleep(") && line.ends_with(" = 0")
        || line.contains("epoll") && line.ends_with(" = 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_and_events_are_counted_apart() {
        let lines = [
            "12 1790.123 epoll_wait(3, [], 1024, 46234) = 0",
            "12 1790.123 <... epoll_wait resumed>[], 1024, 5) = 0",
            "12 1790.123 epoll_wait(3, [{events=EPOLLIN, data={u32=7, u64=7}}], 1024, 46234) = 1",
            "12 1790.123 timerfd_settime(9, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=47, tv_nsec=1}}, NULL) = 0",
            "12 1790.123 epoll_wait(3, [{events=EPOLLIN, data={u32=9, u64=9}}], 1024, 57234) = 1",
            "12 1790.123 poll([{fd=5, events=POLLIN}], 1, 1000) = 0 (Timeout)",
            "12 1790.123 poll([{fd=5, events=POLLIN}], 1, 1000) = 1 ([{fd=5, revents=POLLIN}])",
            "12 1790.123 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL) = 0",
            "12 1790.123 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, {tv_sec=1}) = -1 ETIMEDOUT (Connection timed out)",
        ];
        assert_eq!(Waits::of(&lines.map(str::to_owned)), Waits { timers: 5, events: 3 });
    }
}
