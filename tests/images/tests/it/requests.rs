//! D3 and H1 with the shipped units: obstacles that the daemon's user or another user makes.

use std::time::Instant;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;
use scw_standin::{Fault, Order};

use crate::common::{
    FINGERPRINTS, LONG, OTHER_INSTANCE, become_instance, failed_units, log_in, published,
    published_instead_of, scanned_keys, without_comment,
};

const HOST_KEYS: &str = "/run/scw-agent-requests/host-keys";
const SETUP: &str = "/run/scw-agent-requests/setup";
const HOSTNAME: &str = "/run/scw-agent-requests/hostname";
const SSH_KEYS: &str = "/run/scw-agent-requests/ssh-keys";
const PENDING: [&str; 4] = [
    "/run/scw-agent-hostkeys/pending",
    "/run/scw-agent-setup/pending",
    "/run/scw-agent-hostname/pending",
    "/run/scw-agent-ssh-keys/pending",
];
const PATHS: [&str; 4] = [
    "scw-agent-hostkeys-settle.path",
    "scw-agent-setup.path",
    "scw-agent-hostname.path",
    "scw-agent-ssh-keys.path",
];
/// How many runs `--paced` permits at once, and the interval between later ones, in seconds.
const BURST: u64 = 5;
const INTERVAL: u64 = 5;

/// What the daemon's user makes instead of a request. `$1` is the request's path.
const HOSTILE: [&str; 8] = [
    // The folders are moved there when they are complete: the service removes an empty one at once.
    "new=$(mktemp -d -p /run/scw-agent); perl -e 'chdir $ARGV[0]; for (1..1500) { mkdir \"d\"; chdir \"d\" or die }' $new; mv -T $new $1",
    "mkfifo $1",
    "ln -s /etc/shadow $1",
    // A path unit with PathExists= on this path stopped here.
    "ln -s ${1##*/} $1; : >${1%/*}/other",
    "ln -s $(printf 'x%.0s' $(seq 300)) $1; : >${1%/*}/other",
    "truncate -s 2G $1",
    "echo 11111111-2222-4333-8444-555555555555 >$1",
    "for n in $(seq 300); do : >$1-$n; done; new=$(mktemp -d -p /run/scw-agent); mkdir $new/x; mv -T $new ${1%/*}/.hidden",
];

/// Tries what the unit's sandbox allows or refuses, and prints `yes` or `no` for each attempt.
const TRIAL: &str = r#"#!/bin/bash
connects() { timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "$1 yes" || echo "$1 no"; }
connects 169.254.42.42 80
connects fd00:42::42 80
connects 192.0.2.10 22
connects 127.0.0.1 22
connects 2001:db8::10 22
may() { "$@" 2>/dev/null >&2 && echo "$* yes" || echo "$* no"; }
may perl -e 'use Socket; socket(my $s, AF_INET, SOCK_STREAM, 0); bind($s, pack_sockaddr_in(600, INADDR_ANY)) or exit 1'
may touch /usr/bin/scw-agent
may cat /root/.profile
"#;

fn daemon_user(machine: &Machine, script: &str, path: &str) -> Ran {
    let user = ["setpriv", "--reuid=scw-agent", "--regid=scw-agent", "--clear-groups", "--"];
    Ran::run(&mut machine.command(&[&user[..], &["bash", "-ec", script, "bash", path]].concat()))
}

#[track_caller]
fn check_path_units(machine: &Machine, what: &str) {
    for path in PATHS {
        let state = machine
            .ok(&format!("systemctl show --property=ActiveState,Result --value {path} | tr '\\n' ' '"));
        assert!(state.contains("active") && state.contains("success"), "{what}: {path}: {state}");
    }
}

/// A shell command that succeeds if these folders have no entries other than hidden ones.
fn is_empty(folders: &[&str]) -> String {
    format!("[ -z \"$(find {} -mindepth 1 -maxdepth 1 -not -name '.*' 2>/dev/null)\" ]", folders.join(" "))
}

/// How often a unit has started in this boot.
fn starts(machine: &Machine, unit: &str) -> u64 {
    machine.ok("journalctl --sync");
    let count = format!("journalctl --boot --unit={unit} --output=cat --no-pager | grep -c '^Starting '");
    machine.sh(&count).out.trim().parse().expect("a number")
}

/// The machine's uptime in complete seconds.
fn uptime(machine: &Machine) -> u64 {
    machine.ok("cut -d . -f 1 /proc/uptime").parse().expect("seconds")
}

#[test]
fn d3_daemon_user_ends_no_unit_of_root_on_debian_11() {
    daemon_user_ends_no_unit_of_root(Suite::Bullseye);
}

#[test]
fn d3_daemon_user_ends_no_unit_of_root_on_debian_12() {
    daemon_user_ends_no_unit_of_root(Suite::Bookworm);
}

#[test]
fn d3_daemon_user_ends_no_unit_of_root_on_debian_13() {
    daemon_user_ends_no_unit_of_root(Suite::Trixie);
}

#[test]
fn d3_daemon_user_ends_no_unit_of_root_on_forky() {
    daemon_user_ends_no_unit_of_root(Suite::Forky);
}

fn daemon_user_ends_no_unit_of_root(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        std::fs::write(disk.path("/usr/local/bin/trial"), TRIAL).expect("written");
        let machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        check_twenty_edits(world, &machine, keys.len());
        let shadow = machine.ok("sha256sum /etc/shadow");
        for make in HOSTILE {
            for request in [
                format!("{HOST_KEYS}/instance-seen"),
                format!("{SETUP}/setup-requested"),
                format!("{HOSTNAME}/hostname-requested"),
                format!("{SSH_KEYS}/keys-requested"),
            ] {
                daemon_user(&machine, make, &request).ok(make);
            }
            machine.until(make, &is_empty(&[HOST_KEYS, SETUP, HOSTNAME, SSH_KEYS]));
            check_path_units(&machine, make);
        }
        check_flood_of_requests(&machine);
        assert_eq!(machine.ok("sha256sum /etc/shadow"), shadow);
        check_settle_sandbox(&machine);

        // The request folders disappear and appear with the daemon. After that, a change of the configuration is still published.
        machine.ok("systemctl restart scw-agent.service");
        machine.ok("echo 'HostKeyAlgorithms ssh-ed25519' >/etc/ssh/sshd_config.d/50-one.conf");
        wait_for_one_published_key(world, &machine);
        machine.ok("rm /etc/ssh/sshd_config.d/50-one.conf; systemctl reload ssh.service");
        wait_for_published_count(world, keys.len());
        assert_eq!(published(world, &machine), keys, "no key changed");
        machine.until("no request is pending", &is_empty(&PENDING));
        check_path_units(&machine, "at the end");
        assert_eq!(failed_units(&machine), "");
    });
}

/// An administrator edits sshd's configuration twenty times within some seconds.
fn check_twenty_edits(world: &World, machine: &Machine, keys: usize) {
    let before = starts(machine, "scw-agent-hostkeys-settle.service");
    let started = uptime(machine);
    machine.ok(
        "for n in $(seq 20); do
            printf 'HostKeyAlgorithms %s\\n' \"$([ $((n % 2)) = 0 ] && echo ssh-ed25519 || echo ecdsa-sha2-nistp256)\" >/etc/ssh/sshd_config.d/50-one.conf
            sleep 0.7
        done",
    );
    wait_for_one_published_key(world, machine);
    let runs = starts(machine, "scw-agent-hostkeys-settle.service") - before;
    let seconds = uptime(machine) - started;
    println!("20 edits: {runs} runs in {seconds} s");
    assert!(runs <= seconds / 3 + 2, "{runs} runs in {seconds} s");
    check_path_units(machine, "after 20 edits");
    machine.ok("rm /etc/ssh/sshd_config.d/50-one.conf; systemctl reload ssh.service");
    wait_for_published_count(world, keys);
}

/// The configuration allows only the ED25519 key. Reloads sshd, which then reads it.
#[track_caller]
fn wait_for_one_published_key(world: &World, machine: &Machine) {
    machine.ok("systemctl reload ssh.service");
    wait_for_published_count(world, 1);
    let keys = published(world, machine);
    assert!(keys.len() == 1 && keys[0].ends_with("(ED25519)"), "{keys:?}");
}

/// Waits until this number of fingerprints is published. It does not connect to sshd: OpenSSH 9.8 and later refuse a client that
/// connects too often.
#[track_caller]
fn wait_for_published_count(world: &World, count: usize) {
    let deadline = Instant::now() + LONG;
    loop {
        let value = world.standin().user_data(FINGERPRINTS).unwrap_or_default();
        if String::from_utf8_lossy(&value).lines().count() == count {
            return;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&value));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn check_flood_of_requests(machine: &Machine) {
    let units = [
        "scw-agent-hostkeys-settle.service",
        "scw-agent-setup.service",
        "scw-agent-hostname.service",
        "scw-agent-ssh-keys.service",
    ];
    let before = units.map(|unit| starts(machine, unit));
    let cpu = || machine.ok("awk '/^cpu /{print $2 + $4}' /proc/stat; cut -d ' ' -f 14,15 /proc/1/stat");
    let (started, cpu_before) = (uptime(machine), cpu());
    let flood = format!(
        "end=$((SECONDS + 15)); while [ $SECONDS -lt $end ]; do : >$1; : >{SETUP}/setup-requested; : >{HOSTNAME}/hostname-requested; : >{SSH_KEYS}/keys-requested; sleep 0.02; done"
    );
    daemon_user(machine, &flood, &format!("{HOST_KEYS}/survey-requested")).ok("a flood of requests");
    let seconds = uptime(machine) - started;
    println!("a flood of {seconds} s; CPU time before and after: {cpu_before:?} {:?}", cpu());
    for (unit, before) in units.into_iter().zip(before) {
        let runs = starts(machine, unit) - before;
        println!("{unit}: {runs} runs");
        assert!(runs <= BURST + seconds / INTERVAL + 2, "{unit}: {runs} runs in {seconds} s");
    }
    machine.until("the requests are served", &is_empty(&[HOST_KEYS, SETUP, HOSTNAME, SSH_KEYS]));
    check_path_units(machine, "after a flood of requests");
}

/// Runs the trial in the unit of the settle pass, instead of its program.
fn check_settle_sandbox(machine: &Machine) {
    machine.ok("sed -e 's|^ExecStart=.*|ExecStart=/bin/bash /usr/local/bin/trial|' -e '/^RuntimeDirectory/d' \
                    /usr/lib/systemd/system/scw-agent-hostkeys-settle.service >/run/systemd/system/trial.service
                systemctl daemon-reload; systemctl start trial.service; journalctl --sync");
    let inside = machine.ok("journalctl --unit=trial.service --output=cat --no-pager | grep -E ' (yes|no)$'");
    let words: Vec<_> =
        inside.lines().filter_map(|line| Some((line.split(' ').next()?, line.rsplit(' ').next()?))).collect();
    let expected = [
        ("169.254.42.42", "yes"),
        ("fd00:42::42", "yes"),
        ("192.0.2.10", "no"),
        ("127.0.0.1", "no"),
        ("2001:db8::10", "no"),
        ("perl", "no"),
        ("touch", "no"),
        ("cat", "no"),
    ];
    assert_eq!(words, expected, "{inside}");
    for unit in ["scw-agent-hostkeys.service", "scw-agent-hostkeys-settle.service"] {
        println!("{}", machine.ok(&format!("systemd-analyze security --no-pager {unit} | tail -n 1")));
    }
}

#[test]
fn h1_obstructed_clone_gets_its_keys_on_debian_11() {
    check_clone_with_obstacles(Suite::Bullseye);
}

#[test]
fn h1_obstructed_clone_gets_its_keys_on_debian_12() {
    check_clone_with_obstacles(Suite::Bookworm);
}

#[test]
fn h1_obstructed_clone_gets_its_keys_on_debian_13() {
    check_clone_with_obstacles(Suite::Trixie);
}

#[test]
fn h1_obstructed_clone_gets_its_keys_on_forky() {
    check_clone_with_obstacles(Suite::Forky);
}

/// Another user holds a lock on /etc/ssh, the service refuses root's first request, and sshd's configuration is invalid.
fn check_clone_with_obstacles(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        let first = published(world, &machine);
        machine.until("recorded", "[ -e /var/lib/scw-agent/instance.json ]");
        machine.power_off();

        let holder = "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=scw-agent-hostkeys.service\n\
                      [Service]\nType=exec\nUser=nobody\nExecStart=flock /etc/ssh sleep infinity\n[Install]\nWantedBy=sysinit.target\n";
        std::fs::write(disk.path("/etc/systemd/system/holder.service"), holder).expect("written");
        disk.chroot("systemctl enable holder.service").ok("systemctl");
        become_instance(world, OTHER_INSTANCE);
        world.set_link(false);
        let machine = Machine::boot(world, &disk);
        machine.ok("systemctl is-active holder.service; ! flock --nonblock /etc/ssh true");
        let offered = || {
            let mut offered = scanned_keys(&machine);
            offered.sort();
            offered
        };
        assert_eq!(offered(), first, "without a network, nothing proves a clone");
        let sshd = machine.ok("systemctl show --property=MainPID --value ssh.service");

        machine.ok("echo 'NoSuchOption yes' >/etc/ssh/sshd_config.d/50-broken.conf");
        // The service answers the daemon's request, and refuses the first one of root.
        world.standin().set_orders(vec![Order::new(Fault::status(403)).path("/conf*").nth("2")]);
        world.set_link(true);
        let started = Instant::now();
        machine.until("the clone's new keys", "[ -d /var/lib/scw-agent/old-host-keys ]");
        println!("{suite:?}: new keys {:?} after the network came", started.elapsed());
        machine.until("the settle pass fails", "systemctl is-failed --quiet scw-agent-hostkeys-settle.service");
        let log = machine.ok("journalctl --sync; journalctl --boot --identifier=scw-agent-hostkeys --no-pager --output=cat");
        assert!(log.contains("trying again later"), "{log}");
        assert!(log.contains("sshd was not reloaded: sshd refuses its configuration") && log.contains("NoSuchOption"), "{log}");
        assert_eq!(machine.ok("systemctl show --property=MainPID --value ssh.service"), sshd);
        assert!(!offered().is_empty(), "sshd runs");
        let value = world.standin().user_data(FINGERPRINTS).expect("the value of the first Instance");
        let value = String::from_utf8(value).expect("UTF-8");
        assert!(value.lines().all(|line| first.contains(&without_comment(line))), "new keys are published before sshd serves them: {value}");

        machine.ok("rm /etc/ssh/sshd_config.d/50-broken.conf");
        machine.until("no request is pending", &is_empty(&PENDING));
        let second = published_instead_of(world, &machine, &first);
        assert_eq!(second.len(), first.len(), "{first:?} {second:?}");
        assert_eq!(machine.ok("systemctl show --property=MainPID --value ssh.service"), sshd, "no restart");
        log_in(&machine, &second);
        check_path_units(&machine, "at the end");
        machine.until("the last settle pass succeeded", "! systemctl is-failed --quiet scw-agent-hostkeys-settle.service");
        machine.ok("systemctl is-active holder.service");
    });
}
