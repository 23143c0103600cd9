//! K1 to K3 with the shipped unit and the sshd of each release: the owner's keys let root in, and nobody is locked out.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{failed_units, published};

pub(crate) const LIVE: &str = "[ssh-keys]\nmanage = \"live\"\n[metadata]\nlook-again = \"2s\"\n";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/60-scw-agent.conf";

/// From now on the account has these keys, which the machine made.
pub(crate) fn set_account_keys(world: &World, machine: &Machine, names: &[&str]) {
    let public =
        |name: &&str| serde_json::json!({ "key": machine.ok(&format!("cat /root/keys/{name}.pub")) });
    let mut conf = world.standin().conf();
    conf["ssh_public_keys"] = names.iter().map(public).collect();
    world.standin().set_conf(conf);
}

/// Waits until of the keys a, b and own exactly these let root in.
#[track_caller]
fn wait_for(machine: &Machine, names: &str) {
    let enters = "got=; for key in a b own; do ssh -i /root/keys/$key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
                  -o UserKnownHostsFile=/dev/null root@127.0.0.1 true 2>/dev/null && got=\"$got$key \"; done; ";
    machine.until(&format!("these get in: {names}"), &format!("{enters} [ \"$got\" = '{names} ' ]"));
}

fn keys_follow_the_account(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        std::fs::write(disk.path("/etc/scw-agent.toml"), LIVE).expect("written");
        let mut machine = Machine::boot(world, &disk);
        published(world, &machine);
        machine.ok("mkdir -p /root/keys; for key in a b own; do ssh-keygen -q -t ed25519 -N '' -C $key -f /root/keys/$key; done
                    mkdir -p -m 700 /root/.ssh; cp /root/keys/own.pub /root/.ssh/authorized_keys");
        let own = machine.ok("cat /root/.ssh/authorized_keys");
        set_account_keys(world, &machine, &["a"]);
        wait_for(&machine, "a own");
        set_account_keys(world, &machine, &["a", "b"]);
        wait_for(&machine, "a b own");
        set_account_keys(world, &machine, &["b"]);
        wait_for(&machine, "b own");
        set_account_keys(world, &machine, &[]);
        machine.until("the last key is reported", "scw-agent status | grep 'scw-agent ssh-keys remove SHA256:'");
        wait_for(&machine, "b own");
        // Nobody else gets in by them, and no file of a person changed.
        assert!(!machine.ok("/usr/sbin/sshd -T -C user=nobody,host=x,addr=192.0.2.1").contains("scw-agent"));
        assert_eq!(machine.ok("cat /root/.ssh/authorized_keys"), own);
        assert_eq!(failed_units(&machine), "");

        // Before the network of the next boot, the keys are there.
        machine.reboot();
        wait_for(&machine, "b own");
        machine.ok(&format!("ls {DROP_IN}; dpkg --remove scw-agent"));
        machine.ok(&format!("! ls {DROP_IN} /etc/ssh/scw-agent 2>/dev/null"));
        wait_for(&machine, "b own");
        let left = machine.ok("cat /root/.ssh/authorized_keys");
        assert!(left.starts_with(&format!("{own}\n# BEGIN keys of scw-agent")), "{left}");
    });
}

#[test]
fn k1_k2_k3_keys_follow_the_account_on_debian_11() {
    keys_follow_the_account(Suite::Bullseye);
}

#[test]
fn k1_k2_k3_keys_follow_the_account_on_debian_12() {
    keys_follow_the_account(Suite::Bookworm);
}

#[test]
fn k1_k2_k3_keys_follow_the_account_on_debian_13() {
    keys_follow_the_account(Suite::Trixie);
}

#[test]
fn k1_k2_k3_keys_follow_the_account_on_forky() {
    keys_follow_the_account(Suite::Forky);
}
