//! K1 and K3 in booted images: odd configurations, disks that cannot be written, packages that come and go. After each step, it is tried who
//! gets in, and the lines of persons are compared.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;
use scw_standin::{Fault, Order};

use crate::common::{OTHER_INSTANCE, become_instance, published};
use crate::ssh_keys::{LIVE, set_account_keys};

const APPLY: &str = "systemctl start scw-agent-ssh-keys.service";
/// A session that stays open, and its check.
const OPEN: &str = "ssh -i /root/keys/own -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 'echo open; exec sleep 10000' >/tmp/session 2>&1 & sleep 2; grep -q open /tmp/session";
const IS_OPEN: &str = "pgrep -f 'sleep 10000' >/dev/null && echo open";

/// Which of the keys a, b and own let root in now.
fn let_in(machine: &Machine) -> String {
    machine.ok("for key in a b own; do ssh -i /root/keys/$key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
                -o UserKnownHostsFile=/dev/null root@127.0.0.1 true 2>/dev/null && echo -n \"$key \"; done; true").trim().to_owned()
}

/// Waits until exactly these get in: sshd may be restarting.
#[track_caller]
fn until_in(machine: &Machine, names: &str, what: &str) {
    let mut got = let_in(machine);
    for _ in 0..600 {
        if got == names {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        got = let_in(machine);
    }
    assert_eq!(got, names, "{what}");
}

/// A machine with the keys a, b and own, of which root's own file has `own`, with a comment before it.
fn boot<'w>(world: &'w World, disk: &Disk, settings: &str) -> Machine<'w> {
    std::fs::write(disk.path("/etc/scw-agent.toml"), settings).expect("written");
    let machine = Machine::boot(world, disk);
    published(world, &machine);
    machine.ok("mkdir -p /root/keys; for key in a b own; do ssh-keygen -q -t ed25519 -N '' -C $key -f /root/keys/$key; done
                mkdir -p -m 700 /root/.ssh; { echo '# mine'; cat /root/keys/own.pub; } >/root/.ssh/authorized_keys");
    machine
}

/// A state of the machine, what undoes it, who gets in, and what the agent says then.
struct Case {
    name: &'static str,
    prepare: &'static str,
    undo: &'static str,
    /// The keys of the account meanwhile.
    account: &'static [&'static str],
    enter: &'static str,
    said: &'static str,
}

const CASES: [Case; 9] = [
    Case {
        name: "full disk",
        prepare: "cp /etc/ssh/scw-agent/root.keys /tmp/; mount -t tmpfs -o size=8k,mode=755 none /etc/ssh/scw-agent; cp /tmp/root.keys /etc/ssh/scw-agent/; cat /dev/zero >/etc/ssh/scw-agent/full 2>/dev/null || true",
        undo: "umount /etc/ssh/scw-agent",
        account: &["a", "b"],
        enter: "a own",
        said: "No space left",
    },
    Case {
        name: "read-only folder",
        prepare: "mount --bind /etc/ssh/scw-agent /etc/ssh/scw-agent; mount -o remount,bind,ro /etc/ssh/scw-agent",
        undo: "umount /etc/ssh/scw-agent",
        account: &["a", "b"],
        enter: "a own",
        said: "Read-only file system",
    },
    Case {
        name: "read-only /root",
        prepare: "mount --bind /root /root; mount -o remount,bind,ro /root",
        undo: "umount -l /root",
        account: &["a", "b"],
        enter: "a b own",
        said: "",
    },
    Case {
        name: "root's own file is a link",
        prepare: "mv /root/.ssh/authorized_keys /root/elsewhere; ln -s /root/elsewhere /root/.ssh/authorized_keys",
        undo: "mv /root/elsewhere /root/.ssh/authorized_keys",
        account: &["a", "b"],
        enter: "a b own",
        said: "",
    },
    Case {
        name: "another file sets it before, for everybody",
        prepare: "echo 'AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2' >/etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        undo: "rm /etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        account: &["a"],
        enter: "a own",
        said: "",
    },
    Case {
        name: "a command for keys, as of systemd-userdbd",
        prepare: "printf 'AuthorizedKeysCommand /bin/false\\nAuthorizedKeysCommandUser root\\n' >/etc/ssh/sshd_config.d/20-systemd-userdb.conf; systemctl reload ssh",
        undo: "rm /etc/ssh/sshd_config.d/20-systemd-userdb.conf; systemctl reload ssh",
        account: &["a", "b"],
        enter: "a b own",
        said: "",
    },
    Case {
        name: "a Match of the administrator comes first",
        prepare: "printf 'Match User root\\nAuthorizedKeysFile .ssh/authorized_keys\\n' >/etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        undo: "rm /etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        account: &["a"],
        enter: "own",
        said: "another Match of sshd",
    },
    Case {
        name: "root may not log in",
        prepare: "echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        undo: "rm /etc/ssh/sshd_config.d/10-x.conf; systemctl reload ssh",
        account: &["a"],
        enter: "",
        said: "",
    },
    Case {
        name: "a fault in sshd's configuration",
        prepare: "echo 'Frobnicate yes' >/etc/ssh/sshd_config.d/70-x.conf",
        undo: "rm /etc/ssh/sshd_config.d/70-x.conf",
        account: &["a", "b"],
        enter: "a b own",
        said: "Frobnicate",
    },
];

fn nobody_is_locked_out(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = boot(world, &disk, LIVE);
        let own = machine.ok("cat /root/.ssh/authorized_keys");
        machine.ok(OPEN);
        for case in CASES {
            set_account_keys(world, &machine, &["a"]);
            machine.ok(APPLY);
            until_in(&machine, "a own", case.name);
            machine.ok(case.prepare);
            set_account_keys(world, &machine, case.account);
            machine.sh(APPLY);
            until_in(&machine, case.enter, case.name);
            if !case.said.is_empty() {
                for command in ["scw-agent ssh-keys show", "scw-agent status"] {
                    let said = machine.sh(command);
                    assert!(said.out.contains(case.said), "{}, {command}: {}{}", case.name, said.out, said.err);
                }
            }
            assert_eq!(machine.ok("cat /root/.ssh/authorized_keys"), own, "{}", case.name);
            machine.ok(case.undo);
        }
        // Answers that remove and add nothing.
        set_account_keys(world, &machine, &["a"]);
        machine.ok(APPLY);
        until_in(&machine, "a own", "before the answers");
        for fault in [Fault::status(500), Fault::CloseInBody] {
            set_account_keys(world, &machine, &["b"]);
            world.standin().set_orders(vec![Order::new(fault.clone()).path("/conf")]);
            machine.sh(APPLY);
            assert_eq!(let_in(&machine), "a own", "{fault:?}");
            set_account_keys(world, &machine, &["a"]);
            world.standin().set_orders(vec![]);
        }
        // The end, where root's own file cannot be changed, and where it can.
        let ends = [
            ("mount --bind /root /root; mount -o remount,bind,ro /root", "umount -l /root"),
            ("mv /root/.ssh/authorized_keys /root/elsewhere; ln -s /root/elsewhere /root/.ssh/authorized_keys", "mv /root/elsewhere /root/.ssh/authorized_keys"),
        ];
        for (prepare, undo) in ends {
            machine.ok(prepare);
            assert!(machine.sh("scw-agent ssh-keys end").err.contains("goes on reading"), "{prepare}");
            assert_eq!(let_in(&machine), "a own", "{prepare}");
            machine.ok(undo);
        }
        machine.ok("dpkg --purge scw-agent");
        assert_eq!(machine.ok("ls -d /etc/ssh/scw-agent /etc/ssh/sshd_config.d/60-scw-agent.conf 2>/dev/null || true"), "");
        until_in(&machine, "a own", "after the purge");
        assert!(machine.ok("cat /root/.ssh/authorized_keys").starts_with(&own));
        assert_eq!(machine.ok(IS_OPEN), "open", "a session from before");
    });
}

#[test]
fn k1_k3_nobody_is_locked_out_on_debian_11() {
    nobody_is_locked_out(Suite::Bullseye);
}

#[test]
fn k1_k3_nobody_is_locked_out_on_debian_12() {
    nobody_is_locked_out(Suite::Bookworm);
}

#[test]
fn k1_k3_nobody_is_locked_out_on_debian_13() {
    nobody_is_locked_out(Suite::Trixie);
}

#[test]
fn k1_k3_nobody_is_locked_out_on_forky() {
    nobody_is_locked_out(Suite::Forky);
}

/// A disk with managed keys becomes an image, by a snapshot and by `sysprep`, and `boot` follows the account once in a boot.
#[test]
fn k2_k3_snapshot_of_a_disk_with_managed_keys() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = boot(world, &disk, LIVE);
        set_account_keys(world, &machine, &["a"]);
        until_in(&machine, "a own", "the first Instance");
        set_account_keys(world, &machine, &["b"]);
        machine.power_off();

        // The snapshot is taken before the first Instance has seen that a was removed.
        become_instance(world, OTHER_INSTANCE);
        let mut machine = Machine::boot(world, &disk);
        published(world, &machine);
        until_in(&machine, "b own", "the second Instance");

        machine.ok("sed -i 's/\"live\"/\"boot\"/' /etc/scw-agent.toml; systemctl restart scw-agent.service");
        set_account_keys(world, &machine, &["a", "b"]);
        published(world, &machine);
        machine.reboot();
        until_in(&machine, "a b own", "after a boot");
        let before = machine.ok("cat /run/scw-agent-ssh-keys/report.json");
        set_account_keys(world, &machine, &["a"]);
        let looks = || {
            world
                .standin()
                .requests()
                .iter()
                .filter(|it| it.target.ends_with("ssh-host-fingerprints"))
                .count()
        };
        let now = looks();
        machine.until("a few looks", "sleep 10; echo slept");
        assert!(
            looks() > now && machine.ok("cat /run/scw-agent-ssh-keys/report.json") == before,
            "only at boot"
        );
        machine.ok("scw-agent sysprep");
        until_in(&machine, "own", "an image has no key of the owner");
        assert_eq!(machine.ok("head -n 1 /root/.ssh/authorized_keys"), "# mine");
    });
}
