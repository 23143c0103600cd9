//! The daemon under real systemd: its sandbox, and its restart by the watchdog.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{FINGERPRINTS, LONG, SCRIPT, published, script_runs, writes};

/// Tries what the daemon's sandbox allows or refuses, and prints `yes` or `no` for each attempt.
const TRIAL: &str = r#"#!/bin/bash
connects() { timeout 20 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "$1 yes" || echo "$1 no"; }
# In parallel, since a refused connection gets no answer until the timeout.
exec {a}< <(connects 169.254.42.42 80) {b}< <(connects fd00:42::42 80) {c}< <(connects 192.0.2.10 22) \
    {d}< <(connects 127.0.0.1 22) {e}< <(connects 2001:db8::10 22)
cat <&$a; cat <&$b; cat <&$c; cat <&$d; cat <&$e
may() { "$@" 2>/dev/null >&2 && echo "$* yes" || echo "$* no"; }
may cat /etc/ssh/ssh_host_ed25519_key
may touch /etc/of-the-daemon
may touch /usr/bin/scw-agent
may ls /var/lib/scw-agent
may cat /root/.profile
may perl -MSocket -e 'socket(S, 17, SOCK_RAW, 0) || die'
raw() { perl -MSocket -e 'socket(S, PF_INET, SOCK_RAW, 253) && send(S, "x", 0, pack_sockaddr_in(0, inet_aton($ARGV[0]))) || die' $1; }
for address in 169.254.42.42 192.0.2.10 127.0.0.1; do raw $address 2>/dev/null && echo "raw to $address yes" || echo "raw to $address no"; done
# Receives TCP packets of other processes on the loopback interface, if it may.
hears() { timeout 2 perl -MSocket -e 'socket(S, PF_INET, SOCK_RAW, 6) || die; while (recv(S, $_, 4096, 0)) { exit 0 if unpack("x12N", $_) == 0x7f000001 } die'; }
hears 2>/dev/null && echo "hears others yes" || echo "hears others no"
"#;

#[test]
fn d3_daemon_is_confined_on_debian_12() {
    check_confinement(Suite::Bookworm);
}

#[test]
fn d3_daemon_is_confined_on_debian_13() {
    check_confinement(Suite::Trixie);
}

#[test]
fn d3_daemon_is_confined_on_forky() {
    check_confinement(Suite::ForkyImds);
}

/// The output of the trial inside of the unit.
const EXPECTED_INSIDE: [&str; 15] = [
    "169.254.42.42 yes",
    "fd00:42::42 yes",
    "192.0.2.10 no",
    "127.0.0.1 no",
    "2001:db8::10 no",
    "cat /etc/ssh/ssh_host_ed25519_key no",
    "touch /etc/of-the-daemon no",
    "touch /usr/bin/scw-agent no",
    "ls /var/lib/scw-agent no",
    "cat /root/.profile no",
    "perl -MSocket -e socket(S, 17, SOCK_RAW, 0) || die no",
    "raw to 169.254.42.42 yes",
    "raw to 192.0.2.10 no",
    "raw to 127.0.0.1 no",
    "hears others no",
];

fn check_confinement(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        std::fs::write(disk.path("/usr/local/bin/trial"), TRIAL).expect("written");
        let machine = Machine::boot(world, &disk);
        published(world, &machine);
        check_privileges(&machine);
        check_trial(&machine);
        check_source_ports(&machine);
        machine.ok("[ -f /usr/share/scw-agent/metadata.nft ]");
        check_exposure(&machine, suite);
    });
}

/// The daemon's capabilities, user ids and system call filter.
fn check_privileges(machine: &Machine) {
    let status =
        machine.ok("cat /proc/$(systemctl show --property=MainPID --value scw-agent.service)/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim_matches([':', '\t', ' ']).to_owned()
    };
    // CAP_NET_BIND_SERVICE is number 10, CAP_NET_RAW 13.
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000002400", "{set}");
    }
    assert!(!field("Uid").split('\t').any(|id| id == "0"), "{}", field("Uid"));
    assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"));
}

/// Runs the trial outside of the unit, and inside of it.
fn check_trial(machine: &Machine) {
    // Outside of the unit each attempt of root succeeds, so that a refusal inside shows the sandbox.
    let loopback = "while sleep 0.05; do ssh-keyscan -t ed25519 127.0.0.1 >/dev/null 2>&1; done";
    machine.ok(&format!("systemd-run --quiet --unit=traffic bash -c '{loopback}'"));
    let outside = machine.ok("bash /usr/local/bin/trial; rm /etc/of-the-daemon");
    assert!(!outside.lines().any(|line| line.ends_with(" no")), "{outside}");
    // The same unit, which starts the trial instead of the daemon.
    machine.ok(
        "sed -e 's|^ExecStart=.*|ExecStart=/bin/bash /usr/local/bin/trial|' -e 's|^Type=.*|Type=oneshot|' \
                -e '/^Restart/d' -e '/^WatchdogSec/d' -e '/^RuntimeDirectory/d' \
                /usr/lib/systemd/system/scw-agent.service >/run/systemd/system/trial.service
                systemctl daemon-reload; systemctl start trial.service; journalctl --sync",
    );
    let inside = machine.ok("journalctl --unit=trial.service --output=cat --no-pager | grep -E ' (yes|no)$'");
    assert_eq!(inside.lines().collect::<Vec<_>>(), EXPECTED_INSIDE);
}

/// From inside its unit, the daemon sees the kernel setting that gives low source ports to other users.
fn check_source_ports(machine: &Machine) {
    let normal = machine.sh("scw-agent status --json");
    for (first, said) in
        [("80", "ip_unprivileged_port_start is 80,"), ("1024", "\"unprivileged_ports_from\": null")]
    {
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", first).expect("written");
        let status = machine.sh("scw-agent status --json");
        assert!(status.out.contains(said), "{}", status.out);
        assert_eq!(status.code, if first == "80" { Some(1) } else { normal.code }, "{}", status.out);
    }
}

/// The exposure level of `systemd-analyze security` is at most 1.4.
fn check_exposure(machine: &Machine, suite: Suite) {
    let exposure = machine.ok("systemd-analyze security --no-pager scw-agent.service | tail -n 1");
    println!("{suite:?}: {exposure}");
    let words: Vec<_> = exposure.split(' ').collect();
    let at = words.iter().position(|word| *word == "scw-agent.service:").expect("an exposure level");
    assert!(words[at + 1].parse::<f32>().expect("a number") <= 1.4, "{exposure}");
}

#[test]
fn h4_s4_watchdog_restarts_hanging_daemon() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        script_runs(&machine, 1);
        let sshd = machine.ok("systemctl show --property=MainPID --value ssh.service");

        world.standin().clear_requests();
        machine.ok("kill -STOP $(systemctl show --property=MainPID --value scw-agent.service)");
        // While the daemon hangs, the published value disappears and another value changes.
        world.standin().delete_user_data(FINGERPRINTS);
        world.standin().set_user_data("colour", "blue");
        machine.until(
            "the watchdog",
            "[ $(systemctl show --property=NRestarts --value scw-agent.service) = 1 ]",
        );
        machine.until("ready again", "systemctl is-active --quiet scw-agent.service");
        assert_eq!(machine.ok("scw-userdata colour"), "blue");
        assert_eq!(published(world, &machine), keys);
        script_runs(&machine, 1);
        assert_eq!(writes(world), 1, "only the lost value is written again");
        assert_eq!(machine.ok("systemctl show --property=MainPID --value ssh.service"), sshd);
        let said = machine.ok("journalctl --boot --unit=scw-agent.service --no-pager --output=cat");
        assert!(said.contains("Watchdog timeout"), "{said}");
        assert!(world.standin().wait_for(LONG, |requests| !requests.is_empty()));
    });
}
