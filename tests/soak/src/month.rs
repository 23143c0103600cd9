//! The month: the release build of the daemon with libfaketime preloaded, so that its clock and its timers run faster by a given factor.
//! The service, the network and the other programs run at normal speed. So they appear slow to the daemon, and the settings here give
//! each request more time than usual.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Notify, PathUnit, Programs, World};

use crate::Stop;
use crate::events::Events;
use crate::truth::{self, Truth};
use crate::usage::{self, Usage};

/// The time between two checks of the published value, on this computer's clock.
const LOOK: Duration = Duration::from_millis(2);
/// The time between two samples of the process, on the daemon's clock.
const SAMPLE: Duration = Duration::from_secs(1800);
const SETTINGS: &str = "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n[metadata]\nconnect-timeout = \"8m\"\nheaders-timeout = \"8m\"\nbody-timeout = \"8m\"\nwhole-timeout = \"10m\"\n";

/// A path that the daemon's user can access.
const AGENT: &str = "/run/scw-agent-soak";

/// The parameters of a run.
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

/// Runs the month, and prints the results.
pub(crate) fn run(programs: &Programs, plan: &Plan) -> Result<(), Stop> {
    let library = library()?;
    let real = plan.length().div_f64(plan.speed).as_secs() / 60;
    println!(
        "{} days with seed {}, {} times as fast: at least {real} minutes",
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
        // Only the daemon gets the library. It shares memory between processes of one user, and the daemon has its own user.
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
    /// How often the daemon checked the published value.
    looks: usize,
    requests: usize,
}

/// Makes the events, and checks the published value, until the month has passed.
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
            events.end_fault(now, truth);
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
        "{looks} checks of the published value, {requests} requests, {lines} lines in the log, {fed} watchdog messages"
    );
    let [usual, after] = truth.longest.map(|longest| longest.as_secs_f64() / 60.0);
    println!("the published value was wrong {} times while the service was reachable:", truth.times);
    println!("  for {usual:.1} minutes at most; after an outage for {after:.1} minutes at most");
    // Without an outage the daemon checks at least every 55 seconds. Much fewer checks mean that its clock did not run fast.
    if (*looks as f64) < plan.days * 24.0 * 20.0 {
        return Err(Stop::Violated(format!("{looks} checks in {} days", plan.days)));
    }
    Ok(())
}

/// Prints the last lines of the daemon, to help find the cause.
fn show_end(daemon: &Daemon) {
    let lines = daemon.lines();
    lines[lines.len().saturating_sub(20)..].iter().for_each(|line| eprintln!("daemon: {line}"));
}

fn count_fed(notify: &Notify) -> usize {
    notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count()
}

/// The path of Debian's libfaketime. Its folder has the name of the architecture.
fn library() -> Result<PathBuf, Stop> {
    let mut folders = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let found = folders.find_map(|folder| {
        let path = folder.join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    found.ok_or_else(|| Stop::Cannot("libfaketime is missing: apt-get install faketime".to_owned()))
}
