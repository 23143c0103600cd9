//! `cargo measure`: the agent beside other programs, on the same machine, in the same run, against the same stand-in.
//! It prints figures and ratios, and judges nothing. Needs root. Exit code 0: measured; 2: it cannot be done here.

mod boot;
mod host_keys;
mod network_event;
mod route_watch;
mod statistics;
mod usage;

use std::process::ExitCode;

use scw_stage::Programs;

fn main() -> ExitCode {
    if let Some(code) = usage::second() {
        return code;
    }
    let measured = Programs::build().and_then(|programs| {
        network_event::measure(&programs)?;
        host_keys::measure(&programs)?;
        boot::measure(&programs)
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cannot measure it here: {why}");
            ExitCode::from(2)
        }
    }
}
