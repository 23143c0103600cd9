//! `cargo measure`: compares the agent with other programs, on the same machine, in the same run, with the same stand-in. It prints figures
//! and ratios. It needs root. Exit code 0: measured; 2: it cannot run here.
//!
//! With `--write` it also writes them into the documentation (`docs` and the README), with the date and the machine.
//! `cargo measure idle [SECONDS]` measures only the cost of the idle daemon (by default for 60 seconds).
//! `cargo measure client` measures only what scw-known-hosts adds to an ssh connection.

mod boot;
mod client;
mod cloud_init;
mod document;
mod growth;
mod host_keys;
mod idle;
mod machine;
mod minimal;
mod network_event;
mod picture;
mod report;
mod route_watch;
mod statistics;
mod usage;
mod userdata;

use std::process::ExitCode;
use std::time::Duration;

use cloud_init::CloudInit;
use report::Report;
use scw_stage::Programs;

fn main() -> ExitCode {
    if let Some(code) = usage::run_as_second_process().or_else(minimal::run_if_asked) {
        return code;
    }
    match measure(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cannot measure here: {why}");
            ExitCode::from(2)
        }
    }
}

const USAGE: &str = "cargo measure [--write], cargo measure idle [SECONDS], or cargo measure client";

fn measure(words: &[String]) -> Result<(), String> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => everything().map(drop),
        ["--write"] => {
            let (report, machine) = everything()?;
            document::write(&report, &machine)
        }
        ["client"] => client::measure(&Programs::build_released_client()?),
        ["idle"] => idle::measure(&Programs::build()?, Duration::from_secs(60)),
        ["idle", seconds] => {
            let parsed = seconds.parse().ok().filter(|seconds| (1..=366 * 24 * 3600).contains(seconds));
            let seconds = parsed.ok_or_else(|| {
                format!("{seconds:?} is not a number of seconds from 1 to one year; {USAGE}")
            })?;
            idle::measure(&Programs::build()?, Duration::from_secs(seconds))
        }
        _ => Err(USAGE.to_owned()),
    }
}

/// Measures everything; returns the report and a description of the machine.
fn everything() -> Result<(Report, String), String> {
    check_tools()?;
    let programs = Programs::build()?;
    let cloud_init = CloudInit::find()?;
    let machine = machine::description(&cloud_init.version());
    println!("{machine}");
    let mut report = Report::default();
    eprintln!("user data: half a minute");
    userdata::measure(&programs, &mut report)?;
    eprintln!("boots: a minute");
    boot::measure(&programs, &cloud_init, &mut report)?;
    eprintln!("growth: a minute");
    growth::measure(&programs, &mut report)?;
    eprintln!("host keys: a minute");
    host_keys::measure(&programs, &mut report)?;
    eprintln!("the network: half a minute");
    network_event::measure(&programs, &mut report)?;
    println!("{}", report.short());
    Ok((report, machine))
}

/// Checks that all necessary programs are installed, before the measurements take minutes.
fn check_tools() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).exists());
    let tools = [
        ("curl", "curl"),
        ("ssh-keygen", "openssh-client"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
        ("debootstrap", "debootstrap"),
    ];
    let missing: Vec<_> =
        tools.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("missing Debian packages: apt-get install {}", missing.join(" ")))
    }
}
