//! Another program sets all user data, as Terraform does: it deletes every key that it does not list, the fingerprints too. How long are
//! they gone, and does a document say "published" meanwhile? At real speed, over each family alone.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use scw_stage::{Daemon, Family, Notify, PathUnit, Programs, Reach, World};
use serde_json::Value;

use crate::Stop;
use crate::truth::FINGERPRINTS;

/// The time between two looks at the stored value and at the documents.
const LOOK: Duration = Duration::from_millis(50);
/// More than any check takes, on a busy computer, too.
const PATIENCE: Duration = Duration::from_secs(900);

/// The results over one family.
#[derive(Default)]
struct Measured {
    /// Until the value was right again by itself.
    unasked: Vec<Duration>,
    /// Until it was right again when somebody asked for the status soon afterwards, from the question on.
    asked: Vec<Duration>,
    /// The documents that were read while the value was gone.
    documents: u64,
}

/// Sets all user data so many times over each family, and prints a table.
pub(crate) fn run(programs: &Programs, times: u16, look_again: f64) -> Result<(), Stop> {
    println!("Another program sets all user data, {times} times over each family, at random moments.");
    let [ipv4, ipv6] = std::thread::scope(|scope| {
        [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)]
            .map(|(family, absent)| {
                scope.spawn(move || over(programs, times, look_again, absent, family as u64 + 1))
            })
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Stop::Cannot("a thread ended".to_owned()))))
    });
    println!("| until the value is right again | median | longest |\n|---|---:|---:|");
    let mut documents = 0;
    for (family, measured) in [("IPv4", ipv4?), ("IPv6", ipv6?)] {
        for (what, mut times) in [
            ("at the next check", measured.unasked),
            ("when `scw-agent status` is asked, from the question on", measured.asked),
        ] {
            times.sort_unstable();
            let seconds = |time: Option<&Duration>| time.copied().unwrap_or_default().as_secs_f64();
            let (median, longest) = (seconds(times.get(times.len() / 2)), seconds(times.last()));
            println!("| {family}, {what} | {median:.2} s | {longest:.2} s |");
        }
        documents += measured.documents;
    }
    println!("{documents} documents were read while the value was gone; none said that it was published.");
    Ok(())
}

fn over(
    programs: &Programs,
    times: u16,
    look_again: f64,
    absent: Family,
    seed: u64,
) -> Result<Measured, Stop> {
    World::builder().run(|world| {
        world.set_reach(absent, Reach::Absent);
        let settings =
            format!("[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"{look_again}s\"\n");
        fs::write("/etc/scw-agent.toml", settings)?;
        let made = world.command(&programs.agent).args(["host-keys", "ensure"]).output()?;
        let notify = Notify::new(world).map_err(|why| Stop::Cannot(why.to_string()))?;
        let _path_unit =
            PathUnit::start(world, &programs.agent).map_err(|why| Stop::Cannot(why.to_string()))?;
        let mut command = world.agent_command(&programs.agent);
        command.arg("daemon").env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "120000000");
        let daemon = Daemon::spawn(&mut command).map_err(|why| Stop::Cannot(why.to_string()))?;
        let value = || world.standin().user_data(FINGERPRINTS);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let right = wait(value).ok_or_else(|| Stop::Violated(format!("never published: {said}")))?;
        let is_right = || value().as_ref() == Some(&right);
        let (mut random, mut measured) = (Rng::with_seed(seed), Measured::default());
        for at in 0..times * 2 {
            sleep(Duration::from_secs_f64(random.f64() * look_again));
            world.standin().delete_user_data(FINGERPRINTS);
            world.standin().set_user_data("cloud-init", format!("#cloud-config\n# {at}\n"));
            let is_asked = at % 2 == 1;
            // A person or a program may ask at any time, also directly after another one.
            sleep(Duration::from_secs_f64(if is_asked { random.f64() * 6.0 } else { 0.0 }));
            let start = Instant::now();
            let corrected = wait(|| {
                let before = is_right();
                let document = document(world, programs, is_asked)?;
                let says_published = document["fingerprints"]["state"] == "published";
                measured.documents += u64::from(!before);
                if says_published && !is_right() {
                    return Some(Err(Stop::Violated(format!("a document says: {document}"))));
                }
                is_right().then_some(Ok(start.elapsed()))
            });
            let time = corrected
                .ok_or_else(|| Stop::Violated(format!("never corrected: {}", daemon.output())))??;
            if is_asked { measured.asked.push(time) } else { measured.unasked.push(time) }
        }
        daemon.terminate();
        Ok(measured)
    })
}

/// The status: with a question, as a person asks for it; otherwise one that causes no check.
fn document(world: &World, programs: &Programs, is_asked: bool) -> Option<Value> {
    let output = if is_asked {
        world.command(&programs.agent).args(["status", "--json"]).output()
    } else {
        let mut curl: Command = world.command("curl");
        curl.args(["--silent", "--unix-socket", "/run/scw-agent/api.sock", "http://x/status?check=no"])
            .output()
    };
    serde_json::from_slice(&output.ok()?.stdout).ok()
}

fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(seen) = look() {
            return Some(seen);
        }
        sleep(LOOK);
    }
    None
}
