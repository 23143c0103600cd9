//! The cost of a sequence of commands and all their children: elapsed time, CPU time, and the memory of the largest process.
//!
//! The kernel adds these figures up for all children of a process, and they cannot be reset. So this program starts itself again for each
//! measurement, and that second process has no other children. The second process also does the work of PID 1; its own time is not counted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scw_stage::World;

/// The argument that marks the second process.
const WORD: &str = "run-and-tell";
/// The separator of steps in the arguments of the second process.
const NEXT: &str = "--next--";
/// Long enough for any step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cost of a sequence of commands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The peak memory of the largest process, in KiB.
    pub(crate) peak: u64,
}

/// A step of the sequence.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Runs a command, and waits for its end.
    Run(Vec<String>),
    /// Starts a command that runs until all steps are done.
    Start(Vec<String>),
    /// Waits for a file, as PID 1 does for a path unit.
    Until(String),
    /// Waits until the daemon reports that the fingerprints are published.
    UntilPublished,
}

/// Runs the steps one after the other in the world, and measures them. It ignores exit codes; the caller checks that the work was done.
pub(crate) fn of(world: &World, steps: &[Step]) -> Result<Usage, String> {
    let own = std::env::current_exe().map_err(|why| why.to_string())?;
    let mut command = world.command(own);
    command.arg(WORD);
    for step in steps {
        let (kind, words) = match step {
            Step::Run(words) => ("run", &words[..]),
            Step::Start(words) => ("start", &words[..]),
            Step::Until(path) => ("until", std::slice::from_ref(path)),
            Step::UntilPublished => ("published", &[][..]),
        };
        command.arg(kind).args(words).arg(NEXT);
    }
    let output = command.output().map_err(|why| why.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak] = numbers[..] else {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    };
    Ok(Usage { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak })
}

/// The cost so far of this process's children that have ended.
pub(crate) fn of_children() -> Result<Usage, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|why| why.to_string())?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Usage {
        wall: Duration::ZERO,
        cpu: Duration::from_micros(cpu.try_into().unwrap_or_default()),
        peak: usage.max_rss().try_into().unwrap_or_default(),
    })
}

/// Runs the second process; returns `None` in the first one.
pub(crate) fn run_as_second_process() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let words: Vec<_> = words.collect();
    Some(match work(&words) {
        Ok(Usage { wall, cpu, peak }) => {
            println!("{} {} {peak}", wall.as_micros(), cpu.as_micros());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    })
}

fn work(words: &[String]) -> Result<Usage, String> {
    let mut running = Vec::new();
    let start = Instant::now();
    for step in words.split(|word| word == NEXT).filter(|step| !step.is_empty()) {
        let [kind, words @ ..] = step else { continue };
        match kind.as_str() {
            "until" => until(&words[0], Duration::from_micros(100), || Path::new(&words[0]).exists())?,
            // Each status request costs the daemon some time.
            "published" => until("published", Duration::from_millis(20), is_published)?,
            "start" => running.push(spawn(words)?),
            _ => drop(spawn(words)?.wait().map_err(|why| why.to_string())?),
        }
    }
    let wall = start.elapsed();
    for child in &mut running {
        let pid = i32::try_from(child.id()).map_err(|why| why.to_string())?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|why| why.to_string())?;
        child.wait().map_err(|why| why.to_string())?;
    }
    Ok(Usage { wall, ..of_children()? })
}

fn spawn(words: &[String]) -> Result<Child, String> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|why| format!("{}: {why}", words[0]))
}

fn until(what: &str, pause: Duration, is_there: impl Fn() -> bool) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while !is_there() {
        if Instant::now() > end {
            return Err(format!("timed out waiting for {what}"));
        }
        sleep(pause);
    }
    Ok(())
}

fn is_published() -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect("/run/scw-agent/api.sock")?;
        stream.write_all(b"GET /status?check=no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""checked":""#))
}
