//! The waits of a process, seen by strace: what ended each of them, a timer or an event.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::World;

/// The system calls that wait.
const WAITS: [&str; 9] = [
    "epoll_wait",
    "epoll_pwait",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "futex",
    "nanosleep",
    "clock_nanosleep",
];

/// How many waits ended, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// The time was up.
    pub timers: usize,
    /// Something arrived: at a socket, or in another thread or process.
    pub events: usize,
}

/// A command that runs a program as the daemon's user, and writes its system calls to `trace`. Its arguments follow.
pub fn traced(world: &World, trace: &Path) -> Command {
    let mut command = world.command("strace");
    command.args(["-f", "--absolute-timestamps=format:unix,precision:ms", "--output"]).arg(trace);
    command
}

/// The number of system calls in `trace` that have ended.
pub fn calls(trace: &Path) -> usize {
    fs::read_to_string(trace).unwrap_or_default().lines().filter(|line| line.contains(" = ")).count()
}

/// The lines of `trace` that are the end of a wait, or set a timer of the kernel. tokio's event for itself is not the end of a wait: it is
/// signalled before the wait begins. Neither is a look with a timeout of zero.
pub fn ended_waits(trace: &Path) -> Vec<String> {
    let own = |line: &&str| line.contains("[{events=EPOLLIN, data={u32=0, u64=0}}]");
    let trace = fs::read_to_string(trace).unwrap_or_default();
    let waits =
        |line: &&str| is_wait(line) && line.contains(" = ") && !own(line) && !line.contains(", 0) = ");
    trace.lines().filter(waits).map(str::to_owned).collect()
}

impl Waits {
    /// Counts these lines.
    pub fn of(lines: &[String]) -> Self {
        let set: Vec<_> = lines.iter().filter_map(|line| KernelTimer::parse(line)).collect();
        let end = lines.last().map_or(0.0, |line| time(line));
        let is_ended_early = |timer: &KernelTimer| {
            let next = set.iter().find(|next| next.file == timer.file && next.set > timer.set);
            timer.end > next.map_or(end, |next| next.set)
        };
        let of_kernel = set.iter().filter(|timer| !is_ended_early(timer)).count();
        let expired = lines.iter().filter(|line| is_timer(line)).count();
        // The end of a wait for a timer of the kernel looks like an event.
        let events = (lines.len() - set.len() - expired).saturating_sub(of_kernel);
        Self { timers: expired + of_kernel, events }
    }
}

/// A timer of the kernel that was set. Its program may close it before its end, and then set another with the same number of a file.
struct KernelTimer {
    file: String,
    /// In seconds, as the trace has it.
    set: f64,
    end: f64,
}

impl KernelTimer {
    fn parse(line: &str) -> Option<Self> {
        let arguments = line.split_once("timerfd_settime(")?.1;
        let file = arguments.split_once(',')?.0.to_owned();
        let value = |name: &str| -> Option<f64> {
            let text = arguments.split_once("it_value={")?.1.split_once(name)?.1;
            text.split([',', '}']).next()?.parse().ok()
        };
        let set = time(line);
        Some(Self { file, set, end: set + value("tv_sec=")? + value("tv_nsec=")? / 1e9 })
    }
}

/// When this line was written: its second word.
fn time(line: &str) -> f64 {
    line.split_whitespace().nth(1).and_then(|time| time.parse().ok()).unwrap_or_default()
}

fn is_wait(line: &str) -> bool {
    let call =
        |name: &&str| line.contains(&format!(" {name}(")) || line.contains(&format!("<... {name} resumed>"));
    call(&"timerfd_settime") || WAITS.iter().any(call)
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
            "12 1790.123 timerfd_settime(8, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=60, tv_nsec=0}}, NULL) = 0",
            "12 1790.123 timerfd_settime(9, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=47, tv_nsec=1}}, NULL) = 0",
            "12  1837.124 epoll_wait(3, [{events=EPOLLIN, data={u32=9, u64=9}}], 1024, 57234) = 1",
            "12 1837.124 timerfd_settime(8, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=60, tv_nsec=0}}, NULL) = 0",
            "12  1837.124 timerfd_settime(9, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=47, tv_nsec=1}}, NULL) = 0",
            "12 1837.124 poll([{fd=5, events=POLLIN}], 1, 1000) = 0 (Timeout)",
            "12 1837.124 poll([{fd=5, events=POLLIN}], 1, 1000) = 1 ([{fd=5, revents=POLLIN}])",
            "12 1837.124 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL) = 0",
            "12 1837.124 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, {tv_sec=1}) = -1 ETIMEDOUT (Connection timed out)",
        ];
        assert_eq!(Waits::of(&lines.map(str::to_owned)), Waits { timers: 5, events: 3 });
    }
}
