//! The month: the shipped daemon with libfaketime before its C library, so that its clock runs as much faster as is asked for, and so do
//! its waits. The service, the network and the tools beside it go at their own pace: that makes them slow in its eyes, which is why the settings
//! here give each request more time than usual.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, PathUnit, Programs, World};

use crate::Stop;
use crate::events::Events;
use crate::truth::{self, Truth};
use crate::usage::{self, Usage};

/// Between two looks at what is published, on this machine's clock.
const LOOK: Duration = Duration::from_millis(2);
/// Between two looks at the process, on the daemon's.
const SAMPLE: Duration = Duration::from_secs(1800);
const SETTINGS: &str = "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n[metadata]\nconnect-timeout = \"8m\"\nheaders-timeout = \"8m\"\nbody-timeout = \"8m\"\nwhole-timeout = \"10m\"\n";

/// Where the daemon's user can start it.
const AGENT: &str = "/run/scw-agent-soak";

/// What is to be run.
pub(crate) struct Plan {
    pub(crate) days: f64,
    pub(crate) seed: u64,
    /// How much faster the daemon's clock runs.
    pub(crate) speed: f64,
}

impl Plan {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.days * 86_400.0)
    }
}

/// Runs it, and prints what came of it.
pub(crate) fn run(programs: &Programs, plan: &Plan) -> Result<(), Stop> {
    let library = library()?;
    let real = plan.length().div_f64(plan.speed).as_secs() / 60;
    println!(
        "{} days with seed {}, {} times as fast: {real} minutes and more",
        plan.days, plan.seed, plan.speed
    );
    World::builder().run(|world| {
        fs::create_dir_all("/etc/scw-agent.toml.d")?;
        fs::write("/etc/scw-agent.toml", SETTINGS)?;
        let made = world.command(&programs.agent).args(["host-keys", "ensure"]).output()?;
        if !made.status.success() {
            return Err(Stop::Cannot(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        let notify = Notify::new(world).map_err(|why| Stop::Cannot(why.to_string()))?;
        // The library is for the daemon alone: what it shares, it shares with its own user.
        let mut command = world.agent_command("env");
        fs::copy(&programs.agent, AGENT)?;
        command.arg(format!("LD_PRELOAD={}", library.display())).arg(format!("FAKETIME=+0 x{}", plan.speed));
        command.args([AGENT, "daemon"]).env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "60000000");
        let _path_unit =
            PathUnit::start(world, &programs.agent).map_err(|why| Stop::Cannot(why.to_string()))?;
        let mut daemon = Daemon::spawn(&mut command).map_err(|why| Stop::Cannot(why.to_string()))?;
        let began = Instant::now();
        let mut truth = Truth::new(world, plan.speed)?;
        let mut events = Events::new(world, programs, plan.seed);
        let watched = watch(world, plan, began, &mut daemon, &mut truth, &mut events)?;
        report(plan, &watched, &truth, &events, &daemon, &notify)?;
        usage::judge(&watched.samples)
    })
}

/// What was counted during the month.
#[derive(Default)]
struct Watched {
    samples: Vec<Usage>,
    /// How often the daemon asked for the list of user data.
    looks: usize,
    requests: usize,
}

/// Lets the events happen, and checks the published value, until the month has passed.
fn watch(
    world: &World,
    plan: &Plan,
    began: Instant,
    daemon: &mut Daemon,
    truth: &mut Truth,
    events: &mut Events,
) -> Result<Watched, Stop> {
    let length = plan.length();
    let mut watched = Watched::default();
    let (mut ending, mut next_sample) = (length, SAMPLE);
    loop {
        let now = began.elapsed().mul_f64(plan.speed);
        if now < length {
            events.turn(now, daemon, truth)?;
        } else if ending == length {
            // The effects of the last events must be repaired, too.
            events.mend(now, truth);
            ending = now + SAMPLE * 3;
        } else if now > ending {
            return Ok(watched);
        }
        truth.look(world, now).inspect_err(|_| show_end(daemon))?;
        if now > next_sample {
            next_sample += SAMPLE;
            if let Some(status) = daemon.wait(Duration::ZERO) {
                return Err(Stop::Violated(format!("the daemon ended with {status}: {}", daemon.output())));
            }
            watched.samples.push(Usage::of(daemon.pid())?);
            watched.requests += world.standin().requests().len();
            watched.looks += truth::listed(world);
            world.standin().clear_requests();
        }
        sleep(LOOK);
    }
}

/// Prints the counts, and fails if the daemon's clock did not run fast.
fn report(
    plan: &Plan,
    watched: &Watched,
    truth: &Truth,
    events: &Events,
    daemon: &Daemon,
    notify: &Notify,
) -> Result<(), Stop> {
    for (name, count) in &events.counts {
        println!("{count:>6}  {name}");
    }
    let (lines, fed) = (daemon.lines().len(), count_fed(notify));
    let Watched { looks, requests, .. } = watched;
    println!(
        "{looks} looks at what is published, {requests} requests, {lines} lines in the log, watchdog fed {fed} times"
    );
    let [usual, after] = truth.longest.map(|longest| longest.as_secs_f64() / 60.0);
    println!("published something else {} times, each while the service could be asked:", truth.times);
    println!("  for {usual:.1} minutes at most; after an outage for {after:.1} minutes at most");
    // The daemon looks every 18 minutes at most where there is no outage: fewer looks mean that its clock did not run fast.
    if (*looks as f64) < plan.days * 24.0 {
        return Err(Stop::Violated(format!("{looks} looks in {} days", plan.days)));
    }
    Ok(())
}

/// What the daemon said last, for whoever has to find out why.
fn show_end(daemon: &Daemon) {
    let lines = daemon.lines();
    lines[lines.len().saturating_sub(20)..].iter().for_each(|line| eprintln!("daemon: {line}"));
}

fn count_fed(notify: &Notify) -> usize {
    notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count()
}

/// Where Debian's libfaketime has it; its folder is named after the machine.
fn library() -> Result<PathBuf, Stop> {
    let mut folders = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let found = folders.find_map(|folder| {
        let path = folder.join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    found.ok_or_else(|| Stop::Cannot("libfaketime is missing: apt-get install faketime".to_owned()))
}
