//! What the first script of a boot waits for, with real systemd and real apt.

use std::net::UdpSocket;
use std::thread::{sleep, spawn};
use std::time::Duration;

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::failed_units;

/// A unit that wants network-online.target, and a unit that delays the target.
const WANTS: &str = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n[Service]\nExecStart=/bin/sleep infinity\n\
                     [Install]\nWantedBy=multi-user.target\n";
const DELAYS: &str = "[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                     ExecStart=/bin/sh -c 'until [ -e /run/online ]; do sleep 0.1; done'\n[Install]\nWantedBy=network-online.target\n";
const SCRIPT: &str = "#!/bin/sh\necho ran >>/var/log/ran\n";

fn write(disk: &Disk, path: &str, text: &str) {
    let path = disk.path(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// The field `network` of the summary, once the scripts have ended.
fn network(machine: &Machine) -> String {
    machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
    let status: serde_json::Value =
        serde_json::from_str(&machine.ok("cat /run/scw-agent-setup/summary.json")).expect("JSON");
    status["network"].to_string()
}

#[test]
fn s1_script_waits_for_network_online_target_or_a_resolver() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        check_wait_for_network(suite);
    }
}

fn check_wait_for_network(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("startup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        write(&disk, "/etc/scw-agent.toml.d/90-wait.toml", "[setup]\nnetwork-wait = \"1h\"\n");
        let still_waits = |machine: &Machine| {
            machine.until("it waits", "journalctl --boot --output=cat | grep 'waiting for the network'");
            sleep(Duration::from_secs(2));
            assert!(!disk.has("/var/log/ran"), "{suite:?}");
            assert_eq!(failed_units(machine), "", "{suite:?}");
        };

        // No unit wants the target: the script waits for a route and a resolver, which come later.
        let machine = Machine::boot(world, &disk);
        still_waits(&machine);
        assert_eq!(
            machine.ok("systemctl show --property=ActiveState --value network-online.target"),
            "inactive"
        );
        write(&disk, "/etc/resolv.conf", "nameserver 192.0.2.10\n");
        let resolver = UdpSocket::bind("192.0.2.10:53").expect("the port is free");
        spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = resolver.recv_from(&mut question) {
                question[2] |= 0x80;
                let _ = resolver.send_to(&question[..length], from);
            }
        });
        world.set_default_route(true);
        assert_eq!(
            network(&machine),
            r#"{"resolver":"192.0.2.10","state":"resolver-answered"}"#,
            "{suite:?}"
        );
        machine.power_off();
        world.set_default_route(false);

        // A unit wants the target: the script waits for the target alone.
        std::fs::remove_file(disk.path("/var/log/ran")).expect("it ran");
        write(&disk, "/etc/systemd/system/wants.service", WANTS);
        write(&disk, "/etc/systemd/system/delays.service", DELAYS);
        disk.chroot("systemctl enable wants.service delays.service").ok("systemctl");
        let machine = Machine::power_on(world, &disk);
        still_waits(&machine);
        machine.ok("touch /run/online");
        assert_eq!(network(&machine), r#"{"state":"online"}"#, "{suite:?}");
        machine.power_off();
    });
}

/// Makes a package repository with two packages: `slow`, whose installation waits for a file, and `probe`.
pub(crate) const REPOSITORY: &str = r#"
mkdir -p /srv/repository; cd /srv/repository
package() {
    mkdir -p $1/DEBIAN
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: test\n' $1 >$1/DEBIAN/control
    [ -z "$2" ] || { printf '#!/bin/sh\n%s\n' "$2" >$1/DEBIAN/postinst; chmod 755 $1/DEBIAN/postinst; }
    dpkg-deb --root-owner-group --build $1 $1.deb >/dev/null
    { cat $1/DEBIAN/control; echo "Filename: ./$1.deb"; echo "Size: $(stat -c %s $1.deb)"; echo "SHA256: $(sha256sum $1.deb | cut -d ' ' -f 1)"; echo; } >>Packages
}
package slow 'touch /run/slow; until [ -e /run/go ]; do sleep 0.1; done'
package probe
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list
rm -rf /etc/apt/sources.list.d/*
"#;
/// Makes apt's daily job wait for a file while it holds its locks. The update of a script does not wait.
const APT: &str = "APT::Periodic::Enable \"1\";\nAPT::Periodic::Update-Package-Lists \"always\";\nAPT::Update::Pre-Invoke { \
    \"test x$SCW_SCRIPT != x || { touch /run/daily; until [ -e /run/daily-may-end ]; do sleep 0.1; done; }\"; };\n";
/// A script during which the daily job becomes due and another process holds dpkg's lock for a while.
const INSTALLS: &str = "#!/bin/sh -ex\nrm /run/daily /run/daily-may-end\nsystemctl start --no-block apt-daily.service\n\
    until pgrep -x flock; do sleep 0.1; done\n[ ! -e /run/daily ]\napt-get update\n\
    systemd-run apt-get install -y slow\nuntil [ -e /run/slow ]; do sleep 0.1; done\n(sleep 3; touch /run/go) &\n\
    apt-get install -y probe\n[ ! -e /run/daily ]\ntouch /run/daily-may-end\n";

#[test]
fn s1_script_and_apts_daily_job_keep_apart() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        check_apart_from_apt(suite);
    }
}

fn check_apart_from_apt(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", INSTALLS);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot(REPOSITORY).ok("a repository");
        write(&disk, "/etc/apt/apt.conf.d/90test", APT);
        // The runner starts when the daily job is already running.
        world.set_link(false);
        let machine = Machine::boot(world, &disk);
        machine.ok("systemctl start --no-block apt-daily.service");
        machine.until("the daily job runs", "[ -e /run/daily ]");
        world.set_link(true);
        machine.until(
            "the runner waits",
            "journalctl --boot --output=cat | grep \"waiting for apt's daily job\"",
        );
        machine.ok("touch /run/daily-may-end");
        machine.until("the script is done", "[ -e /run/scw-agent-setup/summary.json ]");
        println!(
            "{}",
            machine.ok("journalctl --boot --no-pager --output=cat SYSLOG_IDENTIFIER=scw-agent-setup")
        );
        let shown = machine.ok("scw-agent setup show setup-script");
        assert!(shown.contains("exit code 0"), "{suite:?}: {shown}");
        machine.ok("dpkg --status probe");
        machine.until(
            "the daily job is done",
            "[ -e /run/daily ] && ! systemctl is-active --quiet apt-daily.service",
        );
        assert_eq!(failed_units(&machine), "", "{suite:?}");
    });
}
