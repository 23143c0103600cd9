//! How the costs grow with the number of user data keys, the size of a value, the number of scripts, and the number of clients of the local
//! socket.
//!
//! Each row has the exponent of the growth since the row before: 1 is linear, less is better.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use scw_stage::{Daemon, Programs, World};

use crate::idle;
use crate::report::{Report, Table, figure};
use crate::statistics::Spread;
use crate::usage::{self, Step, Usage};

const RUNS: usize = 5;
const SOCKET: &str = "/run/scw-agent/api.sock";
const ABOUT: &str = "Medians of five runs. `grows` is the exponent of the growth since the row before: 1 is linear, and less is better. Small \
numbers are mostly the fixed cost of a start. Memory is the peak of the largest process, or the daemon's own peak where the daemon is asked.";

/// Measures, and adds the results to the report.
pub(crate) fn measure(programs: &Programs, report: &mut Report) -> Result<(), String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|why| why.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|why| why.to_string())?;
    let run = |f: fn(&World, &Programs, u32) -> Result<Usage, String>, sizes: &[u32]| {
        World::builder().run(|world| {
            world
                .command(&programs.agent)
                .args(["host-keys", "ensure"])
                .output()
                .map_err(|why| why.to_string())?;
            sizes
                .iter()
                .map(|size| Ok((*size, f(world, programs, *size)?)))
                .collect::<Result<Vec<_>, String>>()
        })
    };
    let keys = run(keys, &[1, 10, 100, 1000])?;
    report.add("Growth: keys of user data", ABOUT, table("keys", "daemon and setup run", &keys));
    let values = run(values, &[100, 1_000, 10_000, 100_000, 1_048_576])?;
    report.add(
        "Growth: the size of a value",
        "One call of `scw-userdata KEY` through the daemon. The figures are those of both processes together.",
        table("bytes", "one call", &values),
    );
    let scripts = run(scripts, &[1, 10, 100])?;
    let about =
        "The scripts do nothing, and all are due. Each costs two synced writes of its record, and a shell.";
    report.add("Growth: scripts", about, table("scripts", "setup run", &scripts));
    let callers = run(callers, &[1, 10, 100, 1000])?;
    let about = "All callers connect to the daemon's socket at once and read a value. The time ends when the last one has it. The CPU time is the daemon's.";
    report.add("Growth: callers of the local socket", about, table("callers", "all of them", &callers));
    Ok(())
}

fn table(what: &str, work: &str, rows: &[(u32, Usage)]) -> Table {
    let mut table =
        Table::new(&[what, &format!("time of {work}"), "grows", "CPU time", "grows", "peak memory", "grows"]);
    let mut before: Option<(f64, [f64; 3])> = None;
    for (size, usage) in rows {
        let size = f64::from(*size);
        let values =
            [usage.wall.as_secs_f64() * 1e3, usage.cpu.as_secs_f64() * 1e3, usage.peak as f64 / 1024.0];
        let grows = |at: usize| {
            before.map_or_else(String::new, |(less, then)| {
                format!("{:.2}", (values[at] / then[at]).ln().max(0.0) / (size / less).ln())
            })
        };
        let text = |at: usize, unit: &str| format!("{} {unit}", figure(values[at]));
        let head = crate::report::rounded(size);
        table.row([head, text(0, "ms"), grows(0), text(1, "ms"), grows(1), text(2, "MiB"), grows(2)]);
        before = Some((size, values));
    }
    table
}

/// The medians of the times, and the maximum of memory.
fn median(runs: &[Usage]) -> Usage {
    let of = |what: fn(&Usage) -> Duration| Spread::of(runs.iter().map(what).collect()).median();
    let peak = runs.iter().map(|usage| usage.peak).max().unwrap_or_default();
    Usage { wall: of(|usage| usage.wall), cpu: of(|usage| usage.cpu), peak }
}

fn keys(world: &World, programs: &Programs, count: u32) -> Result<Usage, String> {
    for number in 0..count {
        world.standin().set_user_data(&format!("key-{number}"), "value");
    }
    let agent = programs.agent.display().to_string();
    let words = |words: &[&str]| [&[&*agent], words].concat().into_iter().map(str::to_owned).collect();
    // One script, so that the daemon requests the setup runner.
    world.standin().set_user_data("startup-script", "#!/bin/sh\n");
    let steps = [
        Step::Start(words(&["daemon"])),
        Step::Until("/run/scw-agent-requests/setup/setup-requested".to_owned()),
        Step::Run(words(&["setup", "run"])),
    ];
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        world.reboot();
        runs.push(usage::of(world, &steps)?);
    }
    Ok(median(&runs))
}

fn values(world: &World, programs: &Programs, bytes: u32) -> Result<Usage, String> {
    world.standin().set_user_data("value", vec![b'x'; bytes as usize]);
    world.reboot();
    let daemon = daemon(world, programs)?;
    let userdata = programs.userdata.display().to_string();
    let step = Step::Run(vec![userdata, "value".to_owned()]);
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let before = idle::usage(daemon.pid())?;
        let run = usage::of(world, std::slice::from_ref(&step))?;
        let after = idle::usage(daemon.pid())?;
        runs.push(Usage {
            cpu: run.cpu + (after.on_cpu - before.on_cpu),
            peak: run.peak.max(after.peak),
            ..run
        });
    }
    Ok(median(&runs))
}

fn scripts(world: &World, programs: &Programs, count: u32) -> Result<Usage, String> {
    for number in 0..count {
        world.standin().set_user_data(&format!("setup-script.{number:03}"), "#!/bin/sh\n");
    }
    let step =
        Step::Run([&*programs.agent.display().to_string(), "setup", "run"].map(str::to_owned).to_vec());
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        world.reboot();
        let _ = fs::remove_dir_all("/var/lib/scw-agent/setup");
        runs.push(usage::of(world, std::slice::from_ref(&step))?);
    }
    Ok(median(&runs))
}

fn callers(world: &World, programs: &Programs, count: u32) -> Result<Usage, String> {
    world.standin().set_user_data("colour", "blue");
    world.reboot();
    let daemon = daemon(world, programs)?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let before = idle::usage(daemon.pid())?;
        let start = Instant::now();
        let callers =
            (0..count).map(|_| call()).collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
        for mut caller in callers {
            let mut answer = String::new();
            caller.read_to_string(&mut answer).map_err(|why| why.to_string())?;
            if !answer.ends_with("blue") {
                return Err(format!("one of {count} clients received {answer:?}"));
            }
        }
        let wall = start.elapsed();
        let after = idle::usage(daemon.pid())?;
        runs.push(Usage { wall, cpu: after.on_cpu - before.on_cpu, peak: after.peak });
    }
    Ok(median(&runs))
}

fn call() -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.write_all(b"GET /user_data/colour HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// Starts a daemon, and waits until its first round has requested the host-keys role.
fn daemon(world: &World, programs: &Programs) -> Result<Daemon, String> {
    let daemon =
        Daemon::spawn(world.agent_command(&programs.agent).arg("daemon")).map_err(|why| why.to_string())?;
    usage::of(world, &[Step::Until("/run/scw-agent-requests/host-keys/instance-seen".to_owned())])?;
    Ok(daemon)
}
