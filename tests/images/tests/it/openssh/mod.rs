//! Host keys under all legal configurations, checked by OpenSSH itself. Each row of a table is a configuration or the state of a key
//! file. It is tried with the sshd, ssh-keygen and ssh-keyscan of four releases.
//!
//! In a root file system of each release, one row after the other, the agent's real program runs as its units run it at a boot. The test
//! checks that the published fingerprints are those of the keys that sshd offers to a client, and which keys were kept. It also checks
//! that neither a clone nor a disk prepared by `sysprep` serves a key of the first Instance.

mod rows;
mod rows_files;
mod rows_odd;
mod seen;
mod table;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use scw_images::{Disk, Kit, Suite};
use scw_stage::{Daemon, World};

use crate::common::{FINGERPRINTS, LONG, OTHER_INSTANCE, become_instance};
use seen::Seen;

/// The shell functions that run in the root file system.
const SCRIPT: &str = include_str!("judge.sh");
/// The Instance to which the disk belongs first.
const FIRST_INSTANCE: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";

/// A row of the table.
struct Row {
    what: &'static str,
    /// The script that makes the row's state on a machine with all default keys.
    script: &'static str,
    expected: Expected,
    /// The expectations for releases that differ.
    exceptions: &'static [(&'static [&'static str], Expected)],
    /// A clone cannot replace all keys, and reports that.
    clone_fails: bool,
}

/// The keys after a boot. `DEFAULTS` means all keys that the release has by default, `DEFAULTS-NAME` all but one.
#[derive(Clone, Copy)]
struct Expected {
    kept: &'static str,
    made: &'static str,
    served: &'static str,
    /// The unit fails, so that the administrator notices.
    fails: bool,
}

const fn expect(kept: &'static str, made: &'static str, served: &'static str) -> Expected {
    Expected { kept, made, served, fails: false }
}

const fn row(
    what: &'static str,
    script: &'static str,
    kept: &'static str,
    made: &'static str,
    served: &'static str,
) -> Row {
    Row { what, script, expected: expect(kept, made, served), exceptions: &[], clone_fails: false }
}

impl Expected {
    const fn failing(mut self) -> Expected {
        self.fails = true;
        self
    }
}

impl Row {
    const fn failing(mut self) -> Row {
        self.expected.fails = true;
        self
    }

    const fn clone_fails(mut self) -> Row {
        self.clone_fails = true;
        self
    }
}

/// Adds exceptions to a row. A method cannot do this, since the slice in a constant must be a constant itself.
macro_rules! except {
    ($row:expr, $($releases:expr => $expected:expr),+) => {{
        const EXCEPTIONS: &[(&[&str], crate::openssh::Expected)] = &[$(($releases, $expected)),+];
        crate::openssh::Row { exceptions: EXCEPTIONS, ..$row }
    }};
}
pub(crate) use except;

fn all_rows() -> impl Iterator<Item = &'static Row> {
    rows::CONFIGURATION.iter().chain(rows_files::FILES).chain(rows_odd::ODD)
}

/// A release of OpenSSH.
struct Release {
    version: &'static str,
    suite: Suite,
    defaults: &'static [&'static str],
    /// The key types that its ssh-keyscan supports.
    scanned: &'static str,
}

const THREE: &[&str] = &["ecdsa", "ed25519", "rsa"];
const RELEASES: [Release; 4] = [
    Release { version: "8.4", suite: Suite::Bullseye, defaults: THREE, scanned: "dsa,rsa,ecdsa,ed25519" },
    Release { version: "9.2", suite: Suite::Bookworm, defaults: THREE, scanned: "dsa,rsa,ecdsa,ed25519" },
    Release { version: "10.0", suite: Suite::Trixie, defaults: THREE, scanned: "rsa,ecdsa,ed25519" },
    Release {
        version: "10.6",
        suite: Suite::Forky,
        defaults: &["ecdsa", "ed25519", "mldsa44_ed25519", "rsa"],
        scanned: "rsa,ecdsa,ed25519,mldsa44-ed25519",
    },
];

#[test]
fn h1_h3_table_of_keys_and_configurations_with_openssh_8_4() {
    judge(&RELEASES[0]);
}

#[test]
fn h1_h3_table_of_keys_and_configurations_with_openssh_9_2() {
    judge(&RELEASES[1]);
}

#[test]
fn h1_h3_table_of_keys_and_configurations_with_openssh_10_0() {
    judge(&RELEASES[2]);
}

#[test]
fn h1_h3_table_of_keys_and_configurations_with_openssh_10_6() {
    judge(&RELEASES[3]);
}

fn judge(release: &Release) {
    let kit = Kit::new(release.suite);
    let only = std::env::var("SCW_ROW").unwrap_or_default();
    World::builder().run(|world| {
        let bench = Bench::new(world, &kit, release);
        let rows: Vec<_> = all_rows().filter(|row| row.what.contains(&only)).collect();
        let wrong: Vec<_> = rows.iter().filter_map(|row| bench.try_row(row).err()).collect();
        println!("OpenSSH {}: {} rows, {} wrong", release.version, rows.len(), wrong.len());
        assert!(wrong.is_empty(), "OpenSSH {}\n{}", release.version, wrong.join("\n"));
    });
}

/// A root file system in which the rows are tried.
struct Bench<'w> {
    world: &'w World,
    disk: Disk,
    release: &'w Release,
    /// The fingerprints of the first Instance's keys.
    donors: BTreeSet<String>,
    /// The fingerprints that the first Instance offered. Empty while the disk belongs to the first Instance.
    first: RefCell<BTreeSet<String>>,
}

impl<'w> Bench<'w> {
    fn new(world: &'w World, kit: &Kit, release: &'w Release) -> Bench<'w> {
        let disk = Disk::new(world, kit);
        let bind = |path: &str| {
            let none = None::<&str>;
            mount(Some(path), &disk.path(path), none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
                .expect("mounted");
        };
        ["/proc", "/dev", "/sys"].into_iter().for_each(bind);
        disk.install(kit.deb());
        std::fs::write(disk.path("/root/judge.sh"), SCRIPT).expect("written");
        let mut bench = Bench { world, disk, release, donors: BTreeSet::new(), first: RefCell::default() };
        bench.donors = bench.run("prepare").set("donor");
        assert!(bench.donors.len() > 8, "{:?}", bench.donors);
        bench
    }

    /// Runs functions of judge.sh.
    #[track_caller]
    fn run(&self, functions: &str) -> Seen {
        let ran = self.disk.chroot(&format!(". /root/judge.sh\n{functions}"));
        Seen::parse(&ran.ok(functions))
    }

    fn try_row(&self, row: &Row) -> Result<(), String> {
        let set_up = self.run(&format!("reset\n{}", row.script));
        let donors: BTreeSet<_> = self.donors.union(&set_up.set("donor")).cloned().collect();
        let mut wrong = Vec::new();
        become_instance(self.world, FIRST_INSTANCE);
        self.first.borrow_mut().clear();
        let first = self.boot(row, &mut wrong);
        *self.first.borrow_mut() = first.set("scanned");
        self.compare(row, &first, &donors, &mut wrong);
        self.try_clone(row, &first, &mut wrong);
        self.try_sysprep(row, &first, &mut wrong);
        self.run("stop");
        if wrong.is_empty() { Ok(()) } else { Err(format!("- {}: {}", row.what, wrong.join("\n    "))) }
    }

    /// A boot: the ensure pass, sshd, the settle pass and the daemon. The published fingerprints must be those of the keys that sshd offers
    /// to a client.
    fn boot(&self, row: &Row, wrong: &mut Vec<String>) -> Seen {
        self.world.standin().delete_user_data(FINGERPRINTS);
        let scan = self.scan(row);
        let seen = self.run(&format!("stop\nensure\nstart\nsettle\n{scan}"));
        let published = self.publish();
        let scanned = seen.set("scanned");
        // Nothing is published while keys of the first Instance are offered in another one.
        let withheld = published.is_empty() && !self.first.borrow().is_disjoint(&scanned);
        if seen.one("up") == "yes" && published != scanned && !withheld {
            wrong.push(format!("published {published:?}, offered {scanned:?}: {:#?}", seen.all("said")));
        }
        seen
    }

    /// The command that scans. ssh-keyscan asks for one ECDSA curve only; each other curve needs its own connection.
    fn scan(&self, row: &Row) -> String {
        let curves = if row.script.contains("p521") { "ecdsa-sha2-nistp521" } else { "" };
        format!("scan {} {curves}", self.release.scanned)
    }

    /// Runs the daemon until it has tried to publish. Returns the published fingerprints.
    fn publish(&self) -> BTreeSet<String> {
        let mut command = self.world.command("chroot");
        command.arg(self.disk.root()).args(["scw-agent", "daemon"]);
        let daemon = Daemon::spawn(&mut command).expect("started");
        let deadline = Instant::now() + LONG;
        loop {
            let status = self.disk.chroot("scw-agent status --json").out;
            let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
            let state = status["fingerprints"]["state"].as_str().unwrap_or_default().to_owned();
            // The daemon requests the list of user data after the attempt to publish.
            let has_looked = !status["has_scripts"].is_null();
            if has_looked || ["published", "not-checked", "no-keys", "failed"].contains(&&*state) {
                break;
            }
            assert!(Instant::now() < deadline, "{status:#?}\n{}", daemon.output());
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.terminate();
        let value = self.world.standin().user_data(FINGERPRINTS).unwrap_or_default();
        let value = String::from_utf8(value).expect("UTF-8");
        value.lines().map(|line| line.split(' ').nth(1).expect("a fingerprint").to_owned()).collect()
    }

    fn compare(&self, row: &Row, seen: &Seen, donors: &BTreeSet<String>, wrong: &mut Vec<String>) {
        let expected = row.expected_with(self.release.version);
        let (mut kept, mut made) = (BTreeSet::new(), BTreeSet::new());
        for (name, private, _) in seen.keys("key") {
            match private {
                Some(key) if donors.contains(&key) => _ = kept.insert(name),
                Some(_) => _ = made.insert(name),
                None => {}
            }
        }
        let keys = seen.keys("settled");
        let name_of = |key: &String| {
            let holds = |(_, private, public): &&(String, Option<String>, String)| {
                private.as_ref().unwrap_or(public) == key
            };
            keys.iter().find(holds).map_or_else(|| format!("unknown {key}"), |(name, ..)| name.clone())
        };
        let served: BTreeSet<_> = seen.set("scanned").iter().map(name_of).collect();
        let expands = |names: &str| self.names(names);
        for (what, found, expected) in [
            ("kept", kept, expands(expected.kept)),
            ("made", made, expands(expected.made)),
            ("served", served, expands(expected.served)),
        ] {
            if found != expected {
                wrong.push(format!("{what} {found:?}, expected {expected:?}: {:#?}", seen.all("said")));
            }
        }
        let is_up = seen.one("up") == "yes";
        if is_up == expected.served.is_empty() && !(is_up && expected.served.is_empty()) {
            wrong.push(format!("sshd runs: {is_up}: {:#?}", seen.all("said")));
        }
        if (seen.one("ensure") != "0") != expected.fails {
            wrong.push(format!("the unit ends with {}: {:#?}", seen.one("ensure"), seen.all("said")));
        }
    }

    /// The names of keys in a text of the table.
    fn names(&self, text: &str) -> BTreeSet<String> {
        let defaults = || self.release.defaults.iter().map(|name| (*name).to_owned());
        if let Some(rest) = text.strip_prefix("DEFAULTS") {
            let without = rest.strip_prefix('-').unwrap_or_default();
            return defaults().filter(|name| name != without).collect();
        }
        // One path contains a space.
        let text = text.replace("of ours", "of\u{a0}ours");
        text.split(' ').filter(|name| !name.is_empty()).map(|name| name.replace('\u{a0}', " ")).collect()
    }

    /// Boots the disk in another Instance: no key of the first one is served. Otherwise the unit fails and the identity record stays.
    fn try_clone(&self, row: &Row, first: &Seen, wrong: &mut Vec<String>) {
        become_instance(self.world, OTHER_INSTANCE);
        let clone = self.boot(row, wrong);
        let (before, after) = (first.set("scanned"), clone.set("scanned"));
        let common: Vec<_> = before.intersection(&after).collect();
        let said = clone.all("said");
        if row.clone_fails {
            if clone.one("settle") == "0" || clone.one("recorded") != FIRST_INSTANCE {
                wrong.push(format!("a clone that cannot replace all keys: {said:#?}"));
            }
            return;
        }
        if !common.is_empty() || before.len() > after.len() {
            wrong.push(format!("a clone serves {after:?}, the first {before:?}: {said:#?}"));
        }
        // If sshd did not start, it is unknown which keys were to be replaced.
        if !before.is_empty()
            && (clone.one("recorded") != OTHER_INSTANCE || clone.one("settle") != first.one("settle"))
        {
            wrong.push(format!(
                "a clone ends with {} for {}: {said:#?}",
                clone.one("settle"),
                clone.one("recorded")
            ));
        }
    }

    /// Runs `sysprep`: no private key that sshd served remains, and the next boot serves as many new keys. Otherwise `sysprep` reports it.
    fn try_sysprep(&self, row: &Row, first: &Seen, wrong: &mut Vec<String>) {
        let cleared = self.run(&format!("reset\n{}\nensure\nsysprep", row.script));
        let loaded = |word: &str| -> BTreeSet<_> {
            cleared.keys(word).into_iter().filter_map(|(_, key, _)| key).collect()
        };
        let (before, remaining) = (loaded("before"), loaded("remaining"));
        let said = cleared.all("said");
        // `sysprep` reports each key that it cannot remove, and removes the others.
        let is_reported = |name: &String| {
            said.iter().any(|line| line.contains("cannot clear") && line.contains(&**name)) && row.clone_fails
        };
        let unreported = cleared.keys("remaining").into_iter().filter(|(name, ..)| !is_reported(name));
        if unreported.filter_map(|(_, key, _)| key).any(|key| before.contains(&key)) {
            wrong.push(format!("sysprep leaves {remaining:?}: {said:#?}"));
        }
        // It warns about a key that it could not remove, and about sshd not reporting all keys.
        let is_said = ["warning", "refuses", "not UTF-8"]
            .iter()
            .any(|word| said.iter().any(|line| line.contains(word)));
        if (cleared.one("sysprep") == "0") == row.clone_fails && !is_said {
            wrong.push(format!("sysprep ends with {}: {said:#?}", cleared.one("sysprep")));
        }
        let next = self.run("ensure\nstart\nstop");
        let after: BTreeSet<_> = next.keys("key").into_iter().filter_map(|(_, key, _)| key).collect();
        let is_enough = first.set("scanned").len() <= after.len() && next.one("up") == first.one("up");
        let is_as_before = before.is_disjoint(&after) && is_enough;
        if !row.clone_fails && !is_as_before {
            wrong.push(format!(
                "after sysprep, {after:?} instead of {before:?}: {said:#?} {:#?}",
                next.all("said")
            ));
        }
    }
}

impl Row {
    fn expected_with(&self, release: &str) -> Expected {
        let exception = self.exceptions.iter().find(|(releases, _)| releases.contains(&release));
        exception.map_or(self.expected, |(_, expected)| *expected)
    }
}
