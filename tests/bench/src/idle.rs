//! The cost of the idle daemon, compared at the same time on the same machine with `qemu-ga` (Debian's qemu-guest-agent, if installed) and
//! with the least that its requests can cost ([`crate::minimal`]); and the time until the daemon is ready.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, PathUnit, Programs, Reach, Waits, World, waits};

use crate::minimal;
use crate::statistics::Spread;

const STARTS: usize = 20;
/// Long enough even for a slow computer.
const PATIENCE: Duration = Duration::from_secs(30);
const QEMU_GA: &str = "/usr/sbin/qemu-ga";

/// The kernel's figures for a process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// KiB
    resident: u64,
    /// KiB; the peak so far.
    pub(crate) peak: u64,
    /// KiB; memory shared with other processes is counted in proportion.
    proportional: u64,
    pub(crate) on_cpu: Duration,
}

/// Measures for the time `window`, and prints the results. At the same time, strace counts the waits of other processes of the same
/// programs, because it makes them slower.
pub(crate) fn measure(programs: &Programs, window: Duration) -> Result<(), String> {
    let waits = std::thread::scope(|scope| {
        let counting = scope.spawn(|| count_waits(programs, window));
        let live = scope.spawn(|| measure_live(programs, window));
        measure_usage(programs, window)?;
        let ended = |_| "a measuring thread ended".to_owned();
        let ((before, after), live_waits) = live.join().map_err(ended)??;
        row(LIVE, before, after, window);
        let mut waits = counting.join().map_err(ended)??;
        waits.push((LIVE, live_waits));
        Ok::<_, String>(waits)
    })?;
    let minutes = window.as_secs_f64() / 60.0;
    println!("Ends of waits a minute:            expired timers   socket events");
    for (name, Waits { timers, events }) in waits {
        println!("  {name:<25}{:>22.1} {:>15.1}", timers as f64 / minutes, events as f64 / minutes);
    }
    Ok(())
}

/// The daemon that also looks for other keys of root.
const LIVE: &str = "with [ssh-keys] live";

/// The usage of such a daemon before and after, and then, for as long again, its waits.
fn measure_live(programs: &Programs, window: Duration) -> Result<((Usage, Usage), Waits), String> {
    World::builder().ipv6(Reach::Absent).run(|world| {
        prepare(world, programs)?;
        fs::write("/etc/scw-agent.toml", "[ssh-keys]\nmanage = \"live\"\n").map_err(|why| why.to_string())?;
        let applied = world.command(&programs.agent).args(["ssh-keys", "apply", "--paced"]).output();
        applied.map_err(|why| why.to_string())?;
        let notify = Notify::new(world).map_err(|why| why.to_string())?;
        let watched = |command: &mut std::process::Command| {
            command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "120000000");
            Daemon::spawn(command).map_err(|why| why.to_string())
        };
        let daemon = watched(&mut world.agent_command(&programs.agent))?;
        sleep(Duration::from_secs(5));
        let before = usage(daemon.pid())?;
        sleep(window);
        let after = usage(daemon.pid())?;
        daemon.terminate();
        let trace = Path::new("/run/stage/live-waits");
        let mut command = waits::traced(world, trace);
        let _daemon = watched(command.arg(&programs.agent))?;
        sleep(Duration::from_secs(5));
        let earlier = waits::ended_waits(trace).len();
        sleep(window);
        Ok(((before, after), Waits::of(&waits::ended_waits(trace).split_off(earlier))))
    })
}

/// Makes the host keys, and has the Instance confirmed.
fn prepare(world: &World, programs: &Programs) -> Result<(), String> {
    let made = world.command(&programs.agent).args(["host-keys", "ensure"]).output();
    made.map_err(|why| why.to_string())?;
    PathUnit::once(world, &programs.agent).map_err(|why| why.to_string())
}

/// Counts the waits that end in the time `window`.
fn count_waits(programs: &Programs, window: Duration) -> Result<Vec<(&'static str, Waits)>, String> {
    World::builder().ipv6(Reach::Absent).run(|world| {
        prepare(world, programs)?;
        let notify = Notify::new(world).map_err(|why| why.to_string())?;
        let [agent_trace, other_trace] = ["agent", "other"].map(|name| format!("/run/stage/{name}-waits"));
        let mut command = waits::traced(world, Path::new(&agent_trace));
        command.arg(&programs.agent).arg("daemon");
        command.env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "120000000");
        let _agent = Daemon::spawn(&mut command).map_err(|why| why.to_string())?;
        let mut programs = vec![("scw-agent daemon", Path::new(&agent_trace))];
        let mut command = waits::traced(world, Path::new(&other_trace));
        command.args([QEMU_GA, "-m", "unix-listen", "-p", "/run/qga.sock"]);
        let _other = Path::new(QEMU_GA).exists().then(|| Daemon::spawn(&mut command)).transpose();
        if Path::new(QEMU_GA).exists() {
            programs.push(("qemu-ga", Path::new(&other_trace)));
        }
        sleep(Duration::from_secs(5));
        let before: Vec<_> = programs.iter().map(|(_, trace)| waits::ended_waits(trace).len()).collect();
        sleep(window);
        let counted = programs.iter().zip(before);
        Ok(counted
            .map(|((name, trace), before)| (*name, Waits::of(&waits::ended_waits(trace).split_off(before))))
            .collect())
    })
}

fn measure_usage(programs: &Programs, window: Duration) -> Result<(), String> {
    World::builder().ipv6(Reach::Absent).run(|world| {
        prepare(world, programs)?;
        let starts = (0..STARTS).map(|_| ready(world, programs)).collect::<Result<Vec<_>, _>>()?;
        println!("From the daemon's start to READY=1:");
        println!("  scw-agent daemon                                         {}", Spread::of(starts));

        let notify = Notify::new(world).map_err(|why| why.to_string())?;
        let mut command = world.agent_command(&programs.agent);
        // With a watchdog, as in its unit.
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "120000000");
        let agent = Daemon::spawn(&mut command).map_err(|why| why.to_string())?;
        let this = std::env::current_exe().map_err(|why| why.to_string())?;
        let mut command = world.agent_command(this);
        let minimal = Daemon::spawn(command.arg(minimal::ARGUMENT)).map_err(|why| why.to_string())?;
        let other = Path::new(QEMU_GA).exists().then(|| {
            Daemon::spawn(world.command(QEMU_GA).args(["-m", "unix-listen", "-p", "/run/qga.sock"]))
        });
        let other = other.transpose().map_err(|why| why.to_string())?;
        // During its first rounds the daemon is not idle.
        sleep(Duration::from_secs(5));
        let usage = |daemon: &Daemon| usage(daemon.pid());
        let before = (usage(&agent)?, usage(&minimal)?, other.as_ref().map(usage).transpose()?);
        sleep(window);
        println!(
            "Idle for {} s:                     RSS       PSS    CPU time  CPU time a day",
            window.as_secs()
        );
        row("scw-agent daemon", before.0, usage(&agent)?, window);
        row("one request, nothing else", before.1, usage(&minimal)?, window);
        match (before.2, &other) {
            (Some(before), Some(other)) => row("qemu-ga", before, usage(other)?, window),
            _ => println!("  qemu-ga                  not installed (Debian package qemu-guest-agent)"),
        }
        Ok(())
    })
}

fn ready(world: &World, programs: &Programs) -> Result<Duration, String> {
    let notify = Notify::new(world).map_err(|why| why.to_string())?;
    let start = Instant::now();
    let mut command = world.agent_command(&programs.agent);
    let daemon = Daemon::spawn(command.arg("daemon").env("NOTIFY_SOCKET", notify.path()));
    let daemon = daemon.map_err(|why| why.to_string())?;
    if !notify.wait_for("READY=1", PATIENCE) {
        return Err(format!("the daemon did not become ready: {}", daemon.output()));
    }
    let took = start.elapsed();
    daemon.terminate();
    Ok(took)
}

fn row(name: &str, before: Usage, after: Usage, window: Duration) {
    let on_cpu = (after.on_cpu - before.on_cpu).as_secs_f64();
    println!(
        "  {name:<25}{:>8} KiB {:>6} KiB {:>8.2} ms  {:.2} s",
        after.resident,
        after.proportional,
        on_cpu * 1000.0,
        on_cpu / window.as_secs_f64() * 86_400.0,
    );
}

/// The figures of a process with all its threads.
pub(crate) fn usage(pid: impl std::fmt::Display) -> Result<Usage, String> {
    let read = |path: String| fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"));
    let field = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let status = read(format!("/proc/{pid}/status"))?;
    let rollup = read(format!("/proc/{pid}/smaps_rollup"))?;
    let mut usage = Usage {
        resident: field(&status, "VmRSS:").unwrap_or_default(),
        peak: field(&status, "VmHWM:").unwrap_or_default(),
        proportional: field(&rollup, "Pss:").unwrap_or_default(),
        ..Usage::default()
    };
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(|why| why.to_string())?.flatten() {
        let of = |name: &str| read(task.path().join(name).display().to_string());
        let ran = of("schedstat")?.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
        usage.on_cpu += Duration::from_nanos(ran);
    }
    Ok(usage)
}
