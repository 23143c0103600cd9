//! `cargo measure`: the agent beside other programs, on the same machine, in the same run, against the same stand-in.
//! It prints figures and ratios, and judges nothing. Needs root. Exit code 0: measured; 2: it cannot be done here.
//! `cargo measure idle [SECONDS]` measures only what the daemon costs while nothing happens (a minute, if nothing is said).

mod boot;
mod host_keys;
mod idle;
mod network_event;
mod route_watch;
mod statistics;
mod usage;

use std::process::ExitCode;
use std::time::Duration;

use scw_stage::Programs;

fn main() -> ExitCode {
    if let Some(code) = usage::second() {
        return code;
    }
    match measure(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cannot measure it here: {why}");
            ExitCode::from(2)
        }
    }
}

fn measure(words: &[String]) -> Result<(), String> {
    let window = match words {
        [] => 60,
        [word, rest @ ..] if word == "idle" && rest.len() < 2 => {
            rest.first().map_or(Ok(60), |word| word.parse()).map_err(|why| format!("seconds: {why}"))?
        }
        _ => return Err("cargo measure [idle [SECONDS]]".to_owned()),
    };
    let programs = Programs::build()?;
    if words.is_empty() {
        network_event::measure(&programs)?;
        host_keys::measure(&programs)?;
        boot::measure(&programs)?;
    }
    idle::measure(&programs, Duration::from_secs(window))
}
