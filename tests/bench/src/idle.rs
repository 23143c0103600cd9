//! The cost of the idle daemon, compared with `qemu-ga` (Debian's qemu-guest-agent, if installed) on the same machine at the same time, and
//! the time until the daemon is ready.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, PathUnit, Programs, Reach, World};

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
    wake_ups: u64,
}

/// Measures for the time `window`, and prints the results.
pub(crate) fn measure(programs: &Programs, window: Duration) -> Result<(), String> {
    World::builder().ipv6(Reach::Absent).run(|world| {
        let made = world.command(&programs.agent).args(["host-keys", "ensure"]).output();
        made.map_err(|why| why.to_string())?;
        PathUnit::once(world, &programs.agent).map_err(|why| why.to_string())?;
        let starts = (0..STARTS).map(|_| ready(world, programs)).collect::<Result<Vec<_>, _>>()?;
        println!("From the daemon's start to READY=1:");
        println!("  scw-agent daemon                                         {}", Spread::of(starts));

        let notify = Notify::new(world).map_err(|why| why.to_string())?;
        let mut command = world.agent_command(&programs.agent);
        // With a watchdog, as in its unit.
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "120000000");
        let agent = Daemon::spawn(&mut command).map_err(|why| why.to_string())?;
        let other = Path::new(QEMU_GA).exists().then(|| {
            Daemon::spawn(world.command(QEMU_GA).args(["-m", "unix-listen", "-p", "/run/qga.sock"]))
        });
        let other = other.transpose().map_err(|why| why.to_string())?;
        // During its first rounds the daemon is not idle.
        sleep(Duration::from_secs(5));
        let usage = |daemon: &Daemon| usage(daemon.pid());
        let before = (usage(&agent)?, other.as_ref().map(usage).transpose()?);
        sleep(window);
        println!(
            "Idle for {} s:                     RSS       PSS    CPU time  wake-ups a minute",
            window.as_secs()
        );
        row("scw-agent daemon", before.0, usage(&agent)?, window);
        match (before.1, &other) {
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
    println!(
        "  {name:<25}{:>8} KiB {:>6} KiB {:>8.2} ms  {:.1}",
        after.resident,
        after.proportional,
        (after.on_cpu - before.on_cpu).as_secs_f64() * 1000.0,
        (after.wake_ups - before.wake_ups) as f64 / window.as_secs_f64() * 60.0,
    );
}

/// The figures of a process with all its threads. A voluntary context switch begins a wait, and the end of each wait is a wake-up.
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
        usage.wake_ups += field(&of("status")?, "voluntary_ctxt_switches:").unwrap_or_default();
        let ran = of("schedstat")?.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
        usage.on_cpu += Duration::from_nanos(ran);
    }
    Ok(usage)
}
