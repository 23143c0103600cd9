//! Making the host keys of a first boot beside `ssh-keygen -A`, and what the role costs when they are there.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scw_stage::{Programs, Reach, World};

use crate::statistics::Spread;

/// The time of an RSA key has a long tail: many runs, in turn.
const FIRST_BOOTS: usize = 15;
const LATER_BOOTS: usize = 50;

/// Measures and prints.
pub(crate) fn measure(programs: &Programs) -> Result<(), String> {
    let world = World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent);
    world.run(|world| {
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
        let later = (0..LATER_BOOTS).map(|_| timed(ensure())).collect::<Result<_, _>>()?;
        let nothing = (0..LATER_BOOTS).map(|_| timed(world.command("true"))).collect::<Result<_, _>>()?;

        let [ours, all, rsa, later, nothing] = [ours, all, rsa, later, nothing].map(Spread::of);
        println!("The host keys of a first boot (ecdsa, ed25519, rsa):");
        println!("  scw-agent host-keys ensure                               {ours}");
        println!("  ssh-keygen -A                                            {all}");
        println!("  ssh-keygen -t rsa alone, the slowest single key          {rsa}");
        println!(
            "  ratio to ssh-keygen -A {:.2}, to the slowest key {:.2}",
            ours.ratio(&all),
            ours.ratio(&rsa)
        );
        println!("When the keys are there (what sshd waits for):");
        println!("  scw-agent host-keys ensure                               {later}");
        println!("  /bin/true                                                {nothing}");
        Ok(())
    })
}

fn remove_keys() -> Result<(), String> {
    for entry in fs::read_dir("/etc/ssh").map_err(|why| why.to_string())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path()).map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

fn timed(mut command: Command) -> Result<Duration, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|why| why.to_string())?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{:?} failed: {status}", command.get_program())) }
}
