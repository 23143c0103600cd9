//! K1 and K3 under trouble: wherever a command that changes root's keys is killed, a call of it fails or the power is lost, root gets in
//! with the keys that it has before and after, no line of a person changes, and the next run reaches the one correct state.
//!
//! What lets root in is read from the files that the real sshd names, by its configuration on the disk and, while it was not reloaded, by the
//! one that it has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use scw_stage::World;

use crate::crash::MAX_CALLS;
use crate::injected::run_without_panic;
use crate::machine::*;
use crate::power::Disk;
use crate::ssh_keys::{LIVE, OFF, OWN_FILE, SETTINGS, let_in, machine, make_keys, public, set_account_keys};

const STRACE_LOG: &str = "/root/strace";
const BEGIN: &str = "# BEGIN keys of scw-agent";
const END: &str = "# END keys of scw-agent\n";
const FORMER: &str =
    "#\n# This file will be erased at every boot\n# Run '/usr/sbin/scw-fetch-ssh-keys --upgrade'\n#\n";
/// System calls that change files or signal sshd.
const CALLS: [&str; 9] = ["write", "fsync", "rename", "unlink", "rmdir", "mkdir", "fchmod", "chown", "kill"];
/// The errors with which they fail.
const ERRORS: [(&str, &[&str]); 8] = [
    ("write", &["ENOSPC", "EIO"]),
    ("fsync", &["EIO"]),
    ("rename", &["ENOSPC", "EROFS"]),
    ("unlink", &["EPERM", "EROFS"]),
    ("mkdir", &["ENOSPC", "EROFS"]),
    ("fchmod", &["EPERM"]),
    ("chown", &["EPERM"]),
    ("kill", &["EPERM"]),
];
/// Calls that each run makes a hundred times.
const FREQUENT: [(&str, &[&str]); 2] = [("openat", &["EROFS"]), ("read", &["EIO"])];

/// A change of root's keys.
#[derive(Clone, Copy)]
struct Change {
    name: &'static str,
    /// The keys of the account that are managed before, and whether they are in the block.
    before: &'static [&'static str],
    is_in_block: bool,
    settings: Settings,
    account: &'static [&'static str],
    words: &'static [&'static str],
    /// The keys with which root gets in at any time, and at the end.
    always: &'static [&'static str],
    end: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Settings {
    OwnFile,
    Block,
    Off,
}

impl Settings {
    fn write(self) {
        let text = match self {
            Self::OwnFile => LIVE.to_owned(),
            Self::Block => LIVE.replace("\"live\"", "\"live\"\nwrite-to = \"authorized-keys\""),
            Self::Off => OFF.to_owned(),
        };
        fs::write(SETTINGS, text).expect("written");
    }
}

const APPLY: &[&str] = &["ssh-keys", "apply", "--paced"];
const CHANGES: [Change; 7] = [
    Change {
        name: "first run",
        before: &[],
        is_in_block: false,
        settings: Settings::OwnFile,
        account: &["a"],
        words: APPLY,
        always: &["stage"],
        end: &["stage", "a"],
    },
    Change {
        name: "another key",
        before: &["a", "b"],
        is_in_block: false,
        settings: Settings::OwnFile,
        account: &["a", "c"],
        words: APPLY,
        always: &["stage", "a"],
        end: &["stage", "a", "c"],
    },
    Change {
        name: "another key in the block",
        before: &["a", "b"],
        is_in_block: true,
        settings: Settings::Block,
        account: &["a", "c"],
        words: APPLY,
        always: &["stage", "a"],
        end: &["stage", "a", "c"],
    },
    Change {
        name: "from the file to the block",
        before: &["a", "b"],
        is_in_block: false,
        settings: Settings::Block,
        account: &["a", "b"],
        words: APPLY,
        always: &["stage", "a", "b"],
        end: &["stage", "a", "b"],
    },
    Change {
        name: "from the block to the file",
        before: &["a", "b"],
        is_in_block: true,
        settings: Settings::OwnFile,
        account: &["a", "b"],
        words: APPLY,
        always: &["stage", "a", "b"],
        end: &["stage", "a", "b"],
    },
    Change {
        name: "the end",
        before: &["a", "b"],
        is_in_block: false,
        settings: Settings::Off,
        account: &["a", "b"],
        words: APPLY,
        always: &["stage", "a", "b"],
        end: &["stage", "a", "b"],
    },
    Change {
        name: "the former package's file",
        before: &["a"],
        is_in_block: false,
        settings: Settings::OwnFile,
        account: &["a"],
        words: &["ssh-keys", "adopt"],
        always: &["a"],
        end: &["a"],
    },
];

impl Change {
    fn is_adoption(&self) -> bool {
        self.words[1] == "adopt"
    }

    /// The state before, in /root/before.
    fn prepare(&self, world: &World) {
        let own = fs::read_to_string(OWN_FILE).expect("read");
        let own = match self.is_adoption() {
            true => format!("{FORMER}{own}{}\n{}\n", public("a"), public("b")),
            false => format!("# mine\n{own}garbage \u{1}\n"),
        };
        fs::write(OWN_FILE, &own).expect("written");
        fs::write("/root/own", own).expect("written");
        if !self.before.is_empty() {
            if self.is_in_block { Settings::Block } else { Settings::OwnFile }.write();
            set_account_keys(world, self.before);
            assert_eq!(agent(world, APPLY).code, 0);
        }
        self.settings.write();
        set_account_keys(world, self.account);
        sh(world, "cp -a /etc/ssh /root/before; cp -a /run/scw-agent-ssh-keys /root/before-run || true");
    }

    fn restore(&self, world: &World) {
        sh(
            world,
            "cp -a /etc/ssh /root/old; find /etc/ssh -mindepth 1 -delete; cp -a /root/before/. /etc/ssh/; rm -rf /root/old /run/scw-agent-ssh-keys
             [ ! -e /root/before-run ] || cp -a /root/before-run /run/scw-agent-ssh-keys",
        );
    }

    /// Root gets in, and no line of a person has changed. `patterns` are those with which sshd was started.
    fn check(&self, world: &World, patterns: &str, what: &str) {
        let now = patterns_of_root(world);
        let is_reloaded = fs::read_to_string(STRACE_LOG).is_ok_and(|log| log.contains("SIGHUP"));
        for patterns in [&*now, patterns].iter().take(if is_reloaded { 1 } else { 2 }) {
            let keys = keys_by(patterns);
            for name in self.always {
                assert!(
                    keys.contains(&identity(&public(name))),
                    "{what}: {name} does not get in by {patterns}"
                );
            }
        }
        let before = fs::read_to_string("/root/own").expect("read");
        let own = fs::read_to_string(OWN_FILE).ok();
        if let Some(own) = &own {
            assert_eq!(without_block(own), before, "{what}: a line of a person");
        } else {
            assert!(self.is_adoption(), "{what}: root's own file is lost");
            let copies = fs::read_dir("/etc/ssh/authorized_keys").expect("listed").flatten();
            let copies =
                copies.filter(|copy| fs::read_to_string(copy.path()).is_ok_and(|text| text == before));
            assert_eq!(copies.count(), 1, "{what}: the copy");
        }
    }

    /// The next run reaches the end.
    fn finish(&self, world: &World, what: &str) {
        let again = run(strace(world, "none", "none").arg(AGENT).args(self.words));
        let is_done = self.is_adoption() && !Path::new(OWN_FILE).exists();
        assert!(again.code == 0 || is_done, "{what}: {}", again.err);
        let keys = keys_by(&patterns_of_root(world));
        let expected: BTreeSet<_> = self.end.iter().map(|name| identity(&public(name))).collect();
        assert_eq!(keys, expected, "{what}: the end");
        self.check(world, &patterns_of_root(world), what);
    }

    fn in_world(&self, try_points: impl Fn(&World, &str) -> usize + Sync) -> usize {
        World::builder().with_sshd().run(|world| {
            let sshd = machine(world);
            make_keys(world, &["a", "b", "c"]);
            self.prepare(world);
            let points = try_points(world, &patterns_of_root(world));
            // The running sshd agrees with what its files say.
            self.restore(world);
            self.finish(world, self.name);
            until(world, "the end", || {
                (let_in(world, &sshd, &["stage", "a", "b", "c"]) == self.end).then_some(())
            });
            sshd.stop();
            println!("{}: {points} points, 0 violations", self.name);
            points
        })
    }
}

/// strace, which changes what a system call does. The 15 seconds between two answers pass at once. The caller adds the program.
fn strace(world: &World, call: &str, injected: &str) -> Command {
    let mut command = world.command("strace");
    let _ = fs::remove_file(STRACE_LOG);
    let sleeps = "?nanosleep,?clock_nanosleep";
    command.args(["-qq", "-o", STRACE_LOG, "-e"]).arg(format!("trace=?kill,{sleeps},?{call}"));
    command.arg("-e").arg(format!("inject={sleeps}:retval=0"));
    if call != "none" {
        command.arg("-e").arg(format!("inject=?{call}:{injected}"));
    }
    command
}

/// The patterns by which sshd finds root's keys.
fn patterns_of_root(world: &World) -> String {
    let printed = run(world.command("/usr/sbin/sshd").args(["-T", "-C", "user=root,host=x,addr=192.0.2.1"]));
    assert_eq!(printed.code, 0, "sshd's configuration: {}", printed.err);
    let line = printed.out.lines().find_map(|line| line.strip_prefix("authorizedkeysfile "));
    line.expect("patterns").to_owned()
}

/// The keys in the files that these patterns name.
fn keys_by(patterns: &str) -> BTreeSet<String> {
    let files = patterns.split(' ').map(|pattern| pattern.replace("%u", "root"));
    let texts = files.map(|file| fs::read_to_string(file).unwrap_or_default());
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| line.starts_with("ssh-")).map(|line| identity(&line)).collect()
}

fn identity(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn without_block(text: &str) -> String {
    match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) => format!("{}{}", &text[..begin], &text[end + END.len()..]),
        _ => text.to_owned(),
    }
}

/// Each change in a world of its own, at the same time.
fn in_each_world(try_points: impl Fn(&Change, &World, &str) -> usize + Sync) -> usize {
    std::thread::scope(|scope| {
        let worlds: Vec<_> = CHANGES
            .iter()
            .map(|change| {
                let try_points = &try_points;
                scope.spawn(move || change.in_world(|world, patterns| try_points(change, world, patterns)))
            })
            .collect();
        worlds.into_iter().map(|world| world.join().expect("no violation")).sum()
    })
}

#[test]
fn k1_k3_root_gets_in_after_a_kill_at_any_step() {
    let points = in_each_world(|change, world, patterns| {
        let mut points = 0;
        for call in CALLS {
            for nth in 1..MAX_CALLS {
                change.restore(world);
                let mut command = strace(world, call, &format!("signal=KILL:when={nth}"));
                let killed = command.arg(AGENT).args(change.words).output().expect("strace (package strace)");
                let what = format!("{}, killed at {call} {nth}", change.name);
                change.check(world, patterns, &what);
                if killed.status.code().is_some() {
                    break;
                }
                change.finish(world, &what);
                points += 1;
            }
        }
        points
    });
    assert!(points > 100, "only {points} points");
}

/// Fails each of these calls, at each time that it is made.
fn fail_each(calls: &[(&str, &[&str])], at_least: usize) {
    let points = in_each_world(|change, world, patterns| {
        let mut points = 0;
        for (call, error) in calls.iter().flat_map(|(call, errors)| errors.iter().map(move |it| (call, it))) {
            for nth in 1..MAX_CALLS {
                change.restore(world);
                let what = format!("{}, {call} {nth} fails with {error}", change.name);
                let mut command = strace(world, call, &format!("error={error}:when={nth}"));
                run_without_panic(&what, command.arg(AGENT).args(change.words));
                let log = fs::read_to_string(STRACE_LOG).unwrap_or_default();
                if !log.contains(&format!("= -1 {error}")) || !log.contains("(INJECTED)") {
                    break;
                }
                change.check(world, patterns, &what);
                change.finish(world, &what);
                points += 1;
            }
        }
        points
    });
    assert!(points >= at_least, "only {points} points");
}

#[test]
fn k1_k3_root_gets_in_after_each_failed_call() {
    fail_each(&ERRORS, 200);
}

#[test]
#[ignore = "a longer run"]
fn k1_k3_root_gets_in_after_each_failed_read() {
    fail_each(&FREQUENT, 1000);
}

#[test]
#[ignore = "a longer run"]
fn k1_k3_root_gets_in_after_power_loss_at_any_step() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        sshd.stop();
        make_keys(world, &["a", "b", "c"]);
        sh(world, "cp -a /etc/ssh /root/etc-ssh; cp -a /var/lib/scw-agent /root/state");
        let disk = Disk::new(world);
        disk.save("empty");
        let mut points = 0;
        for (number, change) in CHANGES.iter().enumerate() {
            sh(world, "find /etc/ssh /var/lib/scw-agent -mindepth 1 -delete; cp -a /root/etc-ssh/. /etc/ssh/; cp -a /root/state/. /var/lib/scw-agent/; rm -rf /root/before*");
            change.prepare(world);
            let name = format!("change-{number}");
            disk.save(&name);
            let patterns = patterns_of_root(world);
            for call in CALLS {
                for nth in 1..MAX_CALLS {
                    disk.restore(&name);
                    sh(world, "rm -rf /run/scw-agent-ssh-keys");
                    let mut command = strace(world, call, &format!("signal=KILL:when={nth}"));
                    let killed = command.arg(AGENT).args(change.words).output().expect("strace (package strace)");
                    disk.cut();
                    let what = format!("{}, power lost at {call} {nth}", change.name);
                    // After a boot, only the configuration on the disk counts.
                    fs::write(STRACE_LOG, "SIGHUP").expect("written");
                    change.check(world, &patterns, &what);
                    if killed.status.code().is_some() {
                        let keys = keys_by(&patterns_of_root(world));
                        assert_eq!(keys.len(), change.end.len(), "{what}: a finished run is lost");
                        break;
                    }
                    change.finish(world, &what);
                    points += 1;
                }
            }
        }
        println!("power lost at {points} points: 0 violations");
        assert!(points > 100, "only {points} points");
    });
}
