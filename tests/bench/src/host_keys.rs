//! The time to make the host keys of a first boot, compared with `ssh-keygen -A`, and the cost of the role if the keys exist.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scw_stage::{Programs, Reach, World};

use crate::report::{Ratio, Report, Table};
use crate::statistics::Spread;

/// Many runs, in turn, since the time to make an RSA key varies widely.
const FIRST_BOOTS: usize = 15;
const LATER_BOOTS: usize = 50;
const ABOUT: &str = "The keys are ecdsa, ed25519 and RSA. The time of an RSA key is random, so look at the least and the most, too. The row `keys are there` is \
the time that sshd waits at a later boot.";

/// Measures, and adds the results to the report.
pub(crate) fn measure(programs: &Programs, report: &mut Report) -> Result<(), String> {
    let world = World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent);
    let [ours, all, rsa, later, nothing] = world.run(|world| in_world(world, programs))?;
    let mut table = Table::new(&["", "median", "least", "most", "runs"]);
    for (name, spread) in [
        ("a first boot: scw-agent host-keys ensure", &ours),
        ("a first boot: ssh-keygen -A", &all),
        ("ssh-keygen -t rsa, the slowest single key", &rsa),
        ("keys are there: scw-agent host-keys ensure", &later),
        ("/bin/true, the least that a process costs", &nothing),
    ] {
        table.row([name.to_owned()].into_iter().chain(spread.cells()));
    }
    report.add("Making host keys", ABOUT, table);
    report.ratios.push(Ratio {
        what: "making the host keys",
        other: "ssh-keygen -A",
        ours: ours.median_ms(),
        theirs: all.median_ms(),
        unit: "ms",
        aim: None,
    });
    Ok(())
}

fn in_world(world: &World, programs: &Programs) -> Result<[Spread; 5], String> {
    let ensure = || {
        let mut command = world.command(&programs.agent);
        command.args(["host-keys", "ensure"]);
        command
    };
    let keygen = |arguments: &[&str]| {
        let mut command = world.command("ssh-keygen");
        command.args(arguments);
        command
    };
    let (mut ours, mut all, mut rsa) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..FIRST_BOOTS {
        remove_keys()?;
        ours.push(timed(ensure())?);
        remove_keys()?;
        all.push(timed(keygen(&["-A"]))?);
        remove_keys()?;
        rsa.push(timed(keygen(&["-q", "-t", "rsa", "-N", "", "-f", "/etc/ssh/ssh_host_rsa_key"]))?);
    }
    timed(ensure())?;
    let (mut later, mut nothing) = (Vec::new(), Vec::new());
    for _ in 0..LATER_BOOTS {
        later.push(timed(ensure())?);
        nothing.push(timed(world.command("true"))?);
    }
    Ok([ours, all, rsa, later, nothing].map(Spread::of))
}

fn remove_keys() -> Result<(), String> {
    for entry in fs::read_dir("/etc/ssh").map_err(|why| why.to_string())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path()).map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

/// Runs a command; returns the elapsed time.
pub(crate) fn timed(mut command: Command) -> Result<Duration, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|why| why.to_string())?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{:?} failed: {status}", command.get_program())) }
}
