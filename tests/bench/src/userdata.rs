//! `scw-userdata KEY` compared with `curl --local-port 1-1023`, in turn, with the same stand-in: through the daemon, as on an Instance, and
//! without a daemon. `true` shows the minimum cost of a process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, Programs, World};

use crate::report::{Aim, Ratio, Report, Table, figure};
use crate::statistics::Spread;
use crate::usage::{self, Step};

const CALLS: usize = 200;
const KEY: &str = "colour";
const VALUE: &str = "blue";
/// Only keeps the measurement from hanging.
const LONG: Duration = Duration::from_secs(60);

const ABOUT: &str = "The programs read a value of four bytes, 200 times each, in turn. Each call is a whole process, from its start to its end. `true` shows \
the least that a process costs on this machine; the rest is the cost of the request.";

struct Calls {
    name: &'static str,
    wall: Spread,
    cpu: Spread,
    peak: f64,
}

/// Measures, and adds the results to the report.
pub(crate) fn measure(programs: &Programs, report: &mut Report) -> Result<(), String> {
    let ours = programs.userdata.display().to_string();
    let curl: Vec<_> = "curl -sf --local-port 1-1023 http://169.254.42.42/user_data/colour"
        .split(' ')
        .map(str::to_owned)
        .collect();
    let direct = [
        ("scw-userdata, without a daemon", vec![ours.clone(), KEY.to_owned()]),
        ("curl --local-port 1-1023", curl.clone()),
        ("true", vec!["true".to_owned()]),
    ];
    let through =
        [("scw-userdata, through the daemon", vec![ours, KEY.to_owned()]), ("curl beside the daemon", curl)];
    let direct = World::builder().run(|world| calls(world, direct))?;
    let through = World::builder().run(|world| {
        let notify = Notify::new(world).map_err(|why| why.to_string())?;
        let mut command = world.agent_command(&programs.agent);
        let command = command.arg("daemon").env("NOTIFY_SOCKET", notify.path());
        let daemon = Daemon::spawn(command).map_err(|why| why.to_string())?;
        if !notify.wait_for("STATUS=", LONG) {
            return Err(format!("the daemon did not become ready: {}", daemon.output()));
        }
        calls(world, through)
    })?;
    let mut table = Table::new(&["", "time", "least", "most", "calls", "CPU time", "peak memory"]);
    for calls in through.iter().chain(&direct) {
        let (cpu, peak) = (figure(calls.cpu.median_ms()), figure(calls.peak));
        let more = [format!("{cpu} ms"), format!("{peak} MiB")];
        table.row([calls.name.to_owned()].into_iter().chain(calls.wall.cells()).chain(more));
    }
    report.add("One value of user data", ABOUT, table);
    for (calls, what, cpu) in [
        (&through, "time of scw-userdata KEY", Some("CPU time of scw-userdata KEY")),
        (&direct, "the same without a daemon", None),
    ] {
        let [ours, theirs, ..] = &calls[..] else { continue };
        let other = "curl --local-port";
        let (unit, aim) = ("ms", Some(Aim::Times(3.0)));
        report.ratios.push(Ratio {
            what,
            other,
            ours: ours.wall.median_ms(),
            theirs: theirs.wall.median_ms(),
            unit,
            aim,
        });
        if let Some(what) = cpu {
            let (ours, theirs) = (ours.cpu.median_ms(), theirs.cpu.median_ms());
            report.ratios.push(Ratio { what, other, ours, theirs, unit, aim: None });
        }
    }
    Ok(())
}

/// Calls all programs in turn, and each one once more to measure its memory.
fn calls<const N: usize>(
    world: &World,
    programs: [(&'static str, Vec<String>); N],
) -> Result<Vec<Calls>, String> {
    world.standin().set_user_data(KEY, VALUE);
    let mut figures = vec![(Vec::new(), Vec::new()); N];
    for _ in 0..CALLS {
        for ((name, words), (wall, cpu)) in programs.iter().zip(&mut figures) {
            let mut command = world.command(&words[0]);
            let (took, cost) = once(command.args(&words[1..]), if *name == "true" { "" } else { VALUE })?;
            wall.push(took);
            cpu.push(cost);
        }
    }
    programs
        .into_iter()
        .zip(figures)
        .map(|((name, words), (wall, cpu))| {
            let peak = usage::of(world, &[Step::Run(words)])?.peak as f64 / 1024.0;
            Ok(Calls { name, wall: Spread::of(wall), cpu: Spread::of(cpu), peak })
        })
        .collect()
}

fn once(command: &mut Command, said: &str) -> Result<(Duration, Duration), String> {
    command.stdin(Stdio::null());
    let before = usage::of_children()?.cpu;
    let start = Instant::now();
    let output = command.output().map_err(|why| why.to_string())?;
    let took = start.elapsed();
    if output.stdout != said.as_bytes() {
        return Err(format!("{:?}: {}: {}", command, output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok((took, usage::of_children()?.cpu.saturating_sub(before)))
}
