//! The events of a month: changes by others, and faults. They are chosen one at a time, at random from the seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use scw_stage::{Daemon, Family, Programs, Reach, World};
use scw_standin::{Fault, Order};

use crate::Stop;
use crate::truth::{FINGERPRINTS, Truth};

/// The average time between two events, on the daemon's clock.
const PAUSE: Duration = Duration::from_secs(3600);
/// The longest duration of a fault.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
const BROKEN: &str = "/etc/scw-agent.toml.d/50-broken.toml";

/// All events, with equal probability.
const EVENTS: [(&str, Event); 13] = [
    ("the published value deleted", Event::Delete),
    ("the published value overwritten", Event::Overwrite),
    ("a host key remade by another tool", Event::Remake),
    ("a host key deleted, and made by host-keys ensure", Event::Lose),
    ("other user data changed", Event::UserData),
    ("the metadata changed", Event::Metadata),
    ("writes refused for a time", Event::Refuse),
    ("errors, closed connections or silence for a time", Event::Fail),
    ("one family unreachable for a time", Event::OneFamily),
    ("no network for a time", Event::NoNetwork),
    ("settings changed and reloaded", Event::Settings),
    ("invalid settings reloaded", Event::Broken),
    ("scw-userdata and status called", Event::Ask),
];

#[derive(Clone, Copy, PartialEq)]
enum Event {
    Delete,
    Overwrite,
    Remake,
    Lose,
    UserData,
    Metadata,
    Refuse,
    Fail,
    OneFamily,
    NoNetwork,
    Settings,
    Broken,
    Ask,
}

/// Chooses and makes the events.
pub(crate) struct Events<'a> {
    world: &'a World,
    programs: &'a Programs,
    random: Rng,
    next: Duration,
    /// When the fault in force ends, and whether it is an outage.
    fault: Option<(Duration, bool)>,
    /// The number of each event.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(world: &'a World, programs: &'a Programs, seed: u64) -> Self {
        let random = Rng::with_seed(seed);
        Self { world, programs, random, next: PAUSE, fault: None, counts: BTreeMap::new() }
    }

    /// Makes the events that are due.
    pub(crate) fn turn(&mut self, now: Duration, daemon: &Daemon, truth: &mut Truth) -> Result<(), Stop> {
        if self.fault.is_some_and(|(end, _)| end <= now) {
            self.end_fault(now, truth);
        }
        if now < self.next {
            return Ok(());
        }
        self.next = now + PAUSE.mul_f64(self.random.f64() * 2.0);
        let (name, event) = EVENTS[self.random.usize(..EVENTS.len())];
        // One fault at a time.
        let is_fault = matches!(event, Event::Refuse | Event::Fail | Event::OneFamily | Event::NoNetwork);
        if is_fault && self.fault.is_some() {
            return Ok(());
        }
        *self.counts.entry(name).or_default() += 1;
        if is_fault {
            let outage = event != Event::OneFamily;
            self.fault = Some((now + LONGEST.mul_f64(self.random.f64()), outage));
            if outage {
                truth.outage_begins(now);
            }
        }
        self.make(event, daemon)?;
        if matches!(event, Event::Remake | Event::Lose) {
            truth.read_keys(self.world)?;
        }
        Ok(())
    }

    /// Ends the fault: the service is reachable again and makes no faults.
    pub(crate) fn end_fault(&mut self, now: Duration, truth: &mut Truth) {
        self.world.standin().set_orders(Vec::new());
        for family in [Family::Ipv4, Family::Ipv6] {
            self.world.set_reach(family, Reach::Served);
        }
        if let Some((_, true)) = self.fault.take() {
            truth.outage_ends(now);
        }
    }

    fn make(&mut self, event: Event, daemon: &Daemon) -> Result<(), Stop> {
        let standin = self.world.standin();
        match event {
            Event::Delete => standin.delete_user_data(FINGERPRINTS),
            Event::Overwrite => standin.set_user_data(FINGERPRINTS, "a value of somebody else"),
            Event::Remake => self.remake_key()?,
            Event::Lose => {
                fs::remove_file("/etc/ssh/ssh_host_ecdsa_key")?;
                self.run(Path::new(&self.programs.agent), &["host-keys", "ensure"])?;
            }
            Event::UserData => self.change_user_data(),
            Event::Metadata => {
                let mut conf = standin.conf();
                conf["hostname"] = format!("scw-{}", self.random.u16(..)).into();
                standin.set_conf(conf);
            }
            Event::Refuse => {
                let code = [403, 429, 500, 503][self.random.usize(..4)];
                standin.set_orders(vec![Order::new(Fault::status(code)).method("PATCH")]);
            }
            Event::Fail => standin.set_orders(vec![Order::new(self.any_fault())]),
            Event::OneFamily => {
                let family = [Family::Ipv4, Family::Ipv6][self.random.usize(..2)];
                self.world.set_reach(
                    family,
                    [Reach::Absent, Reach::Refused, Reach::Silent][self.random.usize(..3)],
                );
            }
            Event::NoNetwork => {
                let reach = [Reach::Absent, Reach::Refused, Reach::Silent][self.random.usize(..3)];
                self.world.set_reach(Family::Ipv4, reach);
                self.world.set_reach(Family::Ipv6, reach);
            }
            Event::Settings => {
                let look_again = self.random.u64(45..=55);
                fs::write(
                    "/etc/scw-agent.toml.d/40-changed.toml",
                    format!("[metadata]\nlook-again = \"{look_again}s\"\n"),
                )?;
                daemon.signal(Signal::SIGHUP);
            }
            Event::Broken => {
                fs::write(BROKEN, "[metadata]\nlook-agian = \"1s\"\n")?;
                daemon.signal(Signal::SIGHUP);
                fs::remove_file(BROKEN)?;
            }
            Event::Ask => {
                // The output depends on the fault in force, so it is not checked. The calls must not harm the daemon.
                self.world.command(&self.programs.userdata).output()?;
                self.world.command(&self.programs.agent).args(["status", "--json"]).output()?;
            }
        }
        Ok(())
    }

    /// Writes or deletes one of 40 keys.
    fn change_user_data(&mut self) {
        let standin = self.world.standin();
        let key = format!("key-{}", self.random.u8(..40));
        if self.random.bool() {
            standin.set_user_data(&key, "x".repeat(self.random.usize(..100_000)));
        } else {
            standin.delete_user_data(&key);
        }
    }

    fn any_fault(&mut self) -> Fault {
        let faults = [
            Fault::status(500),
            Fault::status(429),
            Fault::Silent,
            Fault::Drop,
            Fault::CloseInBody,
            Fault::Garbage,
            Fault::AcceptReset,
            Fault::Huge { bytes: 9_000_000, length: true },
        ];
        faults[self.random.usize(..faults.len())].clone()
    }

    /// Makes a new key under another name and then renames it, as a careful tool does.
    fn remake_key(&self) -> Result<(), Stop> {
        let (new, path) = ("/etc/ssh/new", "/etc/ssh/ssh_host_ed25519_key");
        self.run(Path::new("ssh-keygen"), &["-q", "-t", "ed25519", "-N", "", "-C", "soak", "-f", new])?;
        fs::rename(new, path)?;
        fs::rename(format!("{new}.pub"), format!("{path}.pub"))?;
        Ok(())
    }

    fn run(&self, program: &Path, words: &[&str]) -> Result<(), Stop> {
        let output = self.world.command(program).args(words).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Stop::Violated(format!("{} {words:?}: {said}", program.display())))
    }
}
