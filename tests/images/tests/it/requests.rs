//! D3 and H1 through the shipped units: what the daemon's user, or any other, puts in their way.

use std::time::Instant;

use scw_images::{Disk, Kit, Machine, Ran, Suite};
use scw_stage::World;
use scw_standin::{Fault, Order};

use crate::common::{
    FINGERPRINTS, LONG, OTHER_INSTANCE, become_instance, failed, log_in, published, published_instead_of,
    scanned, without_comment,
};

const HOST_KEYS: &str = "/run/scw-agent-requests/host-keys";
const SETUP: &str = "/run/scw-agent-requests/setup";
const PENDING: [&str; 2] = ["/run/scw-agent-hostkeys/pending", "/run/scw-agent-setup/pending"];
const PATHS: [&str; 2] = ["scw-agent-hostkeys-settle.path", "scw-agent-setup.path"];
/// How many runs `--paced` lets begin at once, and the time between later ones, in seconds.
const BURST: u64 = 5;
const INTERVAL: u64 = 5;

/// What stands in a request's place, made by the daemon's user: `$1` is its path.
const HOSTILE: [&str; 8] = [
    "mkdir $1; perl -e 'chdir $ARGV[0]; for (1..1500) { mkdir \"d\"; chdir \"d\" or die }' $1",
    "mkfifo $1",
    "ln -s /etc/shadow $1",
    // With PathExists= on this path, the path unit ended here.
    "ln -s ${1##*/} $1; : >${1%/*}/other",
    "ln -s $(printf 'x%.0s' $(seq 300)) $1; : >${1%/*}/other",
    "truncate -s 2G $1",
    "echo 11111111-2222-4333-8444-555555555555 >$1",
    "for n in $(seq 300); do : >$1-$n; done; mkdir -p ${1%/*}/.hidden/x",
];

/// A program that tries what the unit lets through, in one word each.
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
fn paths_are_alive(machine: &Machine, what: &str) {
    for path in PATHS {
        let state = machine
            .ok(&format!("systemctl show --property=ActiveState,Result --value {path} | tr '\\n' ' '"));
        assert!(state.contains("active") && state.contains("success"), "{what}: {path}: {state}");
    }
}

/// A script that succeeds if these folders have no entry but hidden ones.
fn is_empty(folders: &[&str]) -> String {
    format!("[ -z \"$(find {} -mindepth 1 -maxdepth 1 -not -name '.*' 2>/dev/null)\" ]", folders.join(" "))
}

/// How often a unit was started in this boot.
fn starts(machine: &Machine, unit: &str) -> u64 {
    machine.ok("journalctl --sync");
    let count = format!("journalctl --boot --unit={unit} --output=cat --no-pager | grep -c '^Starting '");
    machine.sh(&count).out.trim().parse().expect("a number")
}

/// Whole seconds.
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
        twenty_edits_are_published(world, &machine, keys.len());
        let shadow = machine.ok("sha256sum /etc/shadow");
        for make in HOSTILE {
            for request in [format!("{HOST_KEYS}/instance-seen"), format!("{SETUP}/setup-requested")] {
                daemon_user(&machine, make, &request).ok(make);
            }
            machine.until(make, &is_empty(&[HOST_KEYS, SETUP]));
            paths_are_alive(&machine, make);
        }
        requests_without_end_cost_little(&machine);
        assert_eq!(machine.ok("sha256sum /etc/shadow"), shadow);
        settle_reaches_the_service_only(&machine);

        // The folders go and come with the daemon; a change is served as ever.
        machine.ok("systemctl restart scw-agent.service");
        machine.ok("echo 'HostKeyAlgorithms ssh-ed25519' >/etc/ssh/sshd_config.d/50-one.conf");
        one_key_is_published(world, &machine);
        machine.ok("rm /etc/ssh/sshd_config.d/50-one.conf; systemctl reload ssh.service");
        published_count(world, keys.len());
        assert_eq!(published(world, &machine), keys, "no key changed");
        machine.until("no request is left", &is_empty(&PENDING));
        paths_are_alive(&machine, "at the end");
        assert_eq!(failed(&machine), "");
    });
}

/// An administrator tries this and that within some seconds.
fn twenty_edits_are_published(world: &World, machine: &Machine, keys: usize) {
    let before = starts(machine, "scw-agent-hostkeys-settle.service");
    let started = uptime(machine);
    machine.ok(
        "for n in $(seq 20); do
            printf 'HostKeyAlgorithms %s\\n' \"$([ $((n % 2)) = 0 ] && echo ssh-ed25519 || echo ecdsa-sha2-nistp256)\" >/etc/ssh/sshd_config.d/50-one.conf
            sleep 0.7
        done",
    );
    one_key_is_published(world, machine);
    let runs = starts(machine, "scw-agent-hostkeys-settle.service") - before;
    let seconds = uptime(machine) - started;
    println!("20 edits: {runs} runs in {seconds} s");
    assert!(runs <= seconds / 3 + 2, "{runs} runs in {seconds} s");
    paths_are_alive(machine, "after 20 edits");
    machine.ok("rm /etc/ssh/sshd_config.d/50-one.conf; systemctl reload ssh.service");
    published_count(world, keys);
}

/// The configuration allows the ED25519 key alone. sshd reads it when it is told to.
#[track_caller]
fn one_key_is_published(world: &World, machine: &Machine) {
    machine.ok("systemctl reload ssh.service");
    published_count(world, 1);
    let keys = published(world, machine);
    assert!(keys.len() == 1 && keys[0].ends_with("(ED25519)"), "{keys:?}");
}

/// Waits until so many fingerprints are published. This asks no sshd: OpenSSH 9.8 and later refuse a client that comes too often.
#[track_caller]
fn published_count(world: &World, count: usize) {
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

fn requests_without_end_cost_little(machine: &Machine) {
    let units = ["scw-agent-hostkeys-settle.service", "scw-agent-setup.service"];
    let before = units.map(|unit| starts(machine, unit));
    let cpu = || machine.ok("awk '/^cpu /{print $2 + $4}' /proc/stat; cut -d ' ' -f 14,15 /proc/1/stat");
    let (started, cpu_before) = (uptime(machine), cpu());
    let flood = format!(
        "end=$((SECONDS + 15)); while [ $SECONDS -lt $end ]; do : >$1; : >{SETUP}/setup-requested; sleep 0.02; done"
    );
    daemon_user(machine, &flood, &format!("{HOST_KEYS}/survey-requested")).ok("a flood of requests");
    let seconds = uptime(machine) - started;
    println!("a flood of {seconds} s; CPU time before and after: {cpu_before:?} {:?}", cpu());
    for (unit, before) in units.into_iter().zip(before) {
        let runs = starts(machine, unit) - before;
        println!("{unit}: {runs} runs");
        assert!(runs <= BURST + seconds / INTERVAL + 2, "{unit}: {runs} runs in {seconds} s");
    }
    machine.until("served", &is_empty(&[HOST_KEYS, SETUP]));
    paths_are_alive(machine, "after a flood of requests");
}

/// The unit itself, with a trial in its program's place.
fn settle_reaches_the_service_only(machine: &Machine) {
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
fn h1_clone_in_trouble_gets_its_keys_on_debian_11() {
    clone_in_trouble(Suite::Bullseye);
}

#[test]
fn h1_clone_in_trouble_gets_its_keys_on_debian_12() {
    clone_in_trouble(Suite::Bookworm);
}

#[test]
fn h1_clone_in_trouble_gets_its_keys_on_debian_13() {
    clone_in_trouble(Suite::Trixie);
}

#[test]
fn h1_clone_in_trouble_gets_its_keys_on_forky() {
    clone_in_trouble(Suite::Forky);
}

/// Another user holds a lock on sshd's folder, the service does not answer root at first, and sshd's configuration is broken.
fn clone_in_trouble(suite: Suite) {
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
            let mut offered = scanned(&machine);
            offered.sort();
            offered
        };
        assert_eq!(offered(), first, "without a network, nothing proves a clone");
        let sshd = machine.ok("systemctl show --property=MainPID --value ssh.service");

        machine.ok("echo 'NoSuchOption yes' >/etc/ssh/sshd_config.d/50-broken.conf");
        // The daemon's question is answered, the first one of root is not.
        world.standin().set_orders(vec![Order::new(Fault::status(403)).path("/conf*").nth("2")]);
        world.set_link(true);
        let started = Instant::now();
        machine.until("keys of its own", "[ -d /var/lib/scw-agent/old-host-keys ]");
        println!("{suite:?}: new keys {:?} after the network came", started.elapsed());
        machine.until("sshd's own words", "systemctl is-failed --quiet scw-agent-hostkeys-settle.service");
        let said = machine.ok("journalctl --sync; journalctl --boot --identifier=scw-agent-hostkeys --no-pager --output=cat");
        assert!(said.contains("trying again later"), "{said}");
        assert!(said.contains("old host keys: sshd refuses its configuration") && said.contains("NoSuchOption"), "{said}");
        assert_eq!(machine.ok("systemctl show --property=MainPID --value ssh.service"), sshd);
        assert!(!offered().is_empty(), "sshd is up");
        let value = world.standin().user_data(FINGERPRINTS).expect("what the other Instance published");
        let value = String::from_utf8(value).expect("UTF-8");
        assert!(value.lines().all(|line| first.contains(&without_comment(line))), "new keys that nobody serves: {value}");

        machine.ok("rm /etc/ssh/sshd_config.d/50-broken.conf");
        machine.until("all is served", &is_empty(&PENDING));
        let second = published_instead_of(world, &machine, &first);
        assert_eq!(second.len(), first.len(), "{first:?} {second:?}");
        assert_eq!(machine.ok("systemctl show --property=MainPID --value ssh.service"), sshd, "no restart");
        log_in(&machine, &second);
        paths_are_alive(&machine, "at the end");
        machine.until("the last run is well", "! systemctl is-failed --quiet scw-agent-hostkeys-settle.service");
        machine.ok("systemctl is-active holder.service");
    });
}
