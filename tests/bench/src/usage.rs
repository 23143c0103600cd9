//! What a command and all that it started cost: time by the clock, time on the processors, the largest process's memory.
//!
//! The kernel counts that for the children of a process only, and never forgets: so this program starts itself once more for each
//! measurement, and the second one has no other children.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use scw_stage::World;

/// The word by which this program knows that it is the second one.
const WORD: &str = "run-and-tell";

/// The cost of one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Of the largest process, in KiB.
    pub(crate) peak: u64,
}

/// Runs a shell script in the world, whatever its exit code, and counts.
pub(crate) fn of(world: &World, script: &str) -> Result<Usage, String> {
    let own = std::env::current_exe().map_err(|why| why.to_string())?;
    let output = world.command(own).args([WORD, script]).output().map_err(|why| why.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().rev().map(str::parse::<u64>);
    let mut next = || numbers.next().and_then(Result::ok).ok_or_else(|| format!("no figures: {text}"));
    let (peak, cpu, wall) = (next()?, next()?, next()?);
    Ok(Usage { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak })
}

/// The second program's part; `None` for the first one.
pub(crate) fn second() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let script = words.next()?;
    let start = Instant::now();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ran = command.status();
    let wall = start.elapsed();
    let (Ok(_), Ok(usage)) = (ran, getrusage(UsageWho::RUSAGE_CHILDREN)) else {
        return Some(ExitCode::FAILURE);
    };
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    println!(
        "{} {} {}",
        wall.as_micros(),
        micros(usage.user_time()) + micros(usage.system_time()),
        usage.max_rss()
    );
    Some(ExitCode::SUCCESS)
}
