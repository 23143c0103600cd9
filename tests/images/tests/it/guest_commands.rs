//! The package scw-agent-ecosystem: it replaces Scaleway's present package, and its commands work through the shipped units.
//!
//! The old package is played by one with the files, units, preset and configuration that are known of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::{Family, Reach, World};
use serde_json::json;

use crate::common::{failed_units, published};

const CONTROL: &str = "Package: scaleway-ecosystem\nVersion: 0.0.8-1\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: the present package\n";
const COMMANDS: [&str; 7] = [
    "bin/scw-metadata",
    "bin/scw-metadata-json",
    "bin/scw-server-tags",
    "bin/scw-signal-state",
    "sbin/scw-fetch-ssh-keys",
    "sbin/scw-generate-ssh-keys",
    "sbin/scw-set-hostname",
];
const KEYS: &str = "/etc/ssh/scw-agent/root.keys";
const RENAMED: &str = "scw-renamed";
const HOSTNAME_DONE: &str = "/run/scw-agent-hostname/done";
const STATE_SIGNALLED: &str = "/run/scw-agent/state-signalled";
/// Those of the old package.
const OLD_UNITS: [&str; 3] =
    ["scw-fetch-ssh-keys.service", "scw-set-hostname.service", "scw-signal-booted.service"];

/// What a command of the old package does.
const OLD_COMMAND: &str = "#!/bin/sh\necho old\n";

/// Builds the old package.
fn old_package() -> PathBuf {
    let tree = Kit::scratch("old-ecosystem");
    let put = |path: &str, text: &str| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    put("DEBIAN/control", CONTROL);
    put("DEBIAN/conffiles", "/etc/motd.head\n");
    put("etc/motd.head", "a logo\n");
    for command in COMMANDS.iter().chain(&["bin/scw-userdata"]) {
        put(&format!("usr/{command}"), OLD_COMMAND);
    }
    for unit in OLD_UNITS.iter().chain(&["scw-net-reconfig.path"]) {
        put(
            // Where packages had their units before Debian 13.
            &format!("lib/systemd/system/{unit}"),
            "[Service]\nType=oneshot\nExecStart=/usr/sbin/scw-fetch-ssh-keys\n[Path]\nPathExists=/nowhere\n[Install]\nWantedBy=multi-user.target\n",
        );
    }
    put("usr/lib/systemd/system-preset/90-scw.preset", "enable scw-*\n");
    let file = tree.with_extension("deb");
    let script = r#"chmod 755 "$1"/usr/bin/* "$1"/usr/sbin/*; dpkg-deb --root-owner-group --build "$1" "$2" >/dev/null; rm -rf "$1""#;
    let built = Command::new("sh").args(["-ec", script, "sh"]).args([&tree, &file]).status().expect("sh");
    assert!(built.success());
    file
}

/// Whether the agent sets the hostname, keeps root's keys up to date, and signals the state at boot.
fn set(disk: &Disk) -> String {
    let lines =
        disk.chroot("scw-agent config show | grep -o '^manage = [a-z\"]*\\|^at-boot = \"[a-z]*\"'").out;
    lines.lines().filter_map(|line| Some(line.split_once(" = ")?.1)).collect::<Vec<_>>().join(" ")
}

/// The content of the command, or the file that it is a link to.
fn found(disk: &Disk, command: &str) -> String {
    match disk.path(&format!("/usr/{command}")).read_link() {
        Ok(target) => target.file_name().expect("a name").to_string_lossy().into_owned(),
        Err(_) => disk.read(&format!("/usr/{command}")),
    }
}

#[test]
fn guest_commands_replace_those_of_the_present_package() {
    let kit = Kit::new(Suite::Bookworm);
    let [ecosystem, _] = &Kit::build().ecosystem;
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        let old = old_package();
        disk.install(&old);
        disk.chroot("systemctl preset-all --preset-mode=enable-only >/dev/null 2>&1; systemctl disable scw-set-hostname.service")
            .ok("systemctl");
        disk.chroot("echo changed >/etc/motd.head").ok("sh");
        disk.install(kit.deb());
        disk.install(ecosystem);
        assert!(!disk.chroot("dpkg --status scaleway-ecosystem | grep '^Status:.* installed$'").is_ok());
        for command in COMMANDS {
            assert_eq!(found(&disk, command), "scw-agent", "{command}");
        }
        let as_before = "false \"live\" \"booted\"";
        assert_eq!(set(&disk), as_before);
        assert_eq!(disk.read("/etc/motd.head"), "changed\n", "its configuration stays until the purge");
        // Nothing of the removed package takes files or links of this one.
        disk.chroot("dpkg --purge scaleway-ecosystem").ok("dpkg --purge");
        assert_eq!(set(&disk), as_before, "after the purge");
        // And back: the old package takes its commands again.
        disk.chroot("dpkg --remove scw-agent-ecosystem").ok("dpkg --remove");
        assert_eq!(set(&disk), "false \"off\" \"\"");
        disk.install(&old);
        for command in COMMANDS {
            assert_eq!(found(&disk, command), OLD_COMMAND, "{command}");
        }
        assert_eq!(found(&disk, "bin/scw-userdata"), "scw-agent", "the agent's own command stays");
        disk.chroot("dpkg --purge scw-agent-ecosystem").ok("dpkg --purge");
        assert_eq!(disk.chroot("find /etc/scw-agent.toml.d ! -type d").out, "");
        // apt removes the old package first. Then only the links of its enabled units are left.
        disk.chroot("systemctl disable scw-signal-booted.service scw-fetch-ssh-keys.service").ok("systemctl");
        disk.chroot("systemctl enable scw-set-hostname.service").ok("systemctl");
        disk.chroot("dpkg --remove scaleway-ecosystem").ok("dpkg --remove");
        disk.install(ecosystem);
        assert_eq!(set(&disk), "true \"off\" \"\"", "the links decide");
        disk.chroot("dpkg --purge scw-agent-ecosystem").ok("dpkg --purge");
        disk.install(&old);
        // The agent alone stands beside the old package.
        assert!(disk.chroot("dpkg --status scw-agent | grep '^Status: install ok installed'").is_ok());
    });
}

/// The hostname is set and the state signalled, once a boot.
fn check_boot_tasks(world: &World, machine: &Machine) {
    for file in [HOSTNAME_DONE, STATE_SIGNALLED] {
        machine.until(file, &format!("ls {file}"));
    }
    assert_eq!(failed_units(machine), "");
    assert_eq!(machine.ok("hostname; grep -c scw-renamed /etc/hosts"), "scw-renamed\n1");
    // Once a boot, also if the daemon restarts, or if its user requests it.
    machine
        .ok("hostnamectl set-hostname by-hand; systemctl restart scw-agent.service; scw-agent status --wait");
    machine.ok("setpriv --reuid=scw-agent --regid=scw-agent --clear-groups touch /run/scw-agent-requests/hostname/hostname-requested");
    machine.until("served", "[ -z \"$(ls /run/scw-agent-requests/hostname)\" ] && echo served");
    machine.until(
        "ended",
        "systemctl show --property=ActiveState --value scw-agent-hostname.service | grep -x inactive",
    );
    assert_eq!(machine.ok("hostname"), "by-hand");
    let signalled = world.standin().requests().iter().filter(|request| request.target == "/state").count();
    assert_eq!(signalled, 1, "once a boot");
}

/// The metadata have another hostname than the image.
fn rename(world: &World) {
    let mut conf = world.standin().conf();
    conf["hostname"] = json!(RENAMED);
    world.standin().set_conf(conf);
}

/// A public key of this name, of which nobody has the private half.
fn ed25519_key(beside: &Path, name: &str) -> String {
    let path = beside.with_extension(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status();
    assert!(made.expect("ssh-keygen").success());
    std::fs::remove_file(&path).expect("removed");
    let public = format!("{}.pub", path.display());
    let text = std::fs::read_to_string(&public).expect("read");
    std::fs::remove_file(public).expect("removed");
    text.trim().to_owned()
}

fn tag(key: &str) -> String {
    format!("AUTHORIZED_KEY={}", key.replace(' ', "_"))
}

#[track_caller]
fn check_commands(suite: Suite) {
    let kit = Kit::new(suite);
    let [ecosystem, _] = &Kit::build().ecosystem;
    World::builder().run(|world| {
        let key = Kit::scratch("account-key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen").success());
        let public = std::fs::read_to_string(key.with_extension("pub")).expect("read");
        let mut conf = world.standin().conf();
        conf["ssh_public_keys"] = json!([{ "key": public.trim() }]);
        let [ci, new] = ["ci", "new"].map(|name| ed25519_key(&key, name));
        conf["tags"] = json!(["role=db", tag(&ci)]);
        world.standin().set_conf(conf);
        rename(world);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.install(ecosystem);
        std::fs::create_dir_all(disk.path("/root/.ssh")).expect("made");
        std::fs::copy(&key, disk.path("/root/account-key")).expect("copied");
        std::fs::write(disk.path("/root/.ssh/authorized_keys"), "# mine\n").expect("written");
        let machine = Machine::boot(world, &disk);
        published(world, &machine);
        // The file is written in one step.
        machine.until(KEYS, &format!("ls {KEYS}"));
        check_boot_tasks(world, &machine);
        let id = world.standin().conf()["id"].as_str().expect("an id").to_owned();
        for (words, expected) in [
            ("echo $(scw-metadata --cached ID)", &*id),
            ("scw-metadata | grep ^ID=", &format!("ID={id}")),
            ("eval \"$(scw-metadata | grep ^ID=)\"; echo $ID", &id),
            ("scw-server-tags role", "db"),
            ("scw-signal-state booted", "booted signal sent!"),
            ("scw-userdata DATABASE_URI postgres://db; echo $(scw-userdata DATABASE_URI)", "postgres://db"),
            ("scw-generate-ssh-keys 2>/dev/null; echo $?", "0"),
            ("stat -c %a /run/scw-metadata.cache /etc/ssh/scw-agent/root.keys", "600\n600"),
            ("setpriv --reuid=65534 --regid=65534 --clear-groups scw-metadata ID", &id),
            ("scw-metadata-json | tr -d '\\n' | head -c 1", "{"),
        ] {
            assert_eq!(machine.ok(words), expected, "{words}");
        }
        // The account's key gives access, and fetches the keys that were added since. A tag that was removed is.
        let mut conf = world.standin().conf();
        conf["tags"] = json!([tag(&new)]);
        world.standin().set_conf(conf);
        let ssh = "ssh -i /root/account-key -o StrictHostKeyChecking=no -o BatchMode=yes root@127.0.0.1 /usr/sbin/scw-fetch-ssh-keys --upgrade";
        machine.until("sshd reads the file", &ssh.replace("/usr/sbin/scw-fetch-ssh-keys --upgrade", "true"));
        machine.ok(ssh);
        let keys = machine.ok(&format!("grep -v ^# {KEYS}"));
        assert_eq!(keys, format!("{}\n{new}", public.trim()));
        assert_eq!(machine.ok("cat /root/.ssh/authorized_keys"), "# mine");
        for file in [key.with_extension("pub"), key] {
            std::fs::remove_file(file).expect("removed");
        }
    });
}

#[test]
fn guest_commands_work_in_a_booted_debian_11() {
    check_commands(Suite::Bullseye);
}

#[test]
fn guest_commands_work_in_a_booted_debian_12() {
    check_commands(Suite::Bookworm);
}

#[test]
fn guest_commands_work_in_a_booted_debian_13() {
    check_commands(Suite::Trixie);
}

#[test]
fn guest_commands_work_in_a_booted_forky() {
    check_commands(Suite::Forky);
}

/// Where /etc/hosts cannot be replaced, the name is set nevertheless. It is not set again over that of an administrator.
#[test]
fn s4_hostname_changes_at_a_boot_and_only_once() {
    let kit = Kit::new(Suite::Trixie);
    let [ecosystem, _] = &Kit::build().ecosystem;
    World::builder().run(|world| {
        rename(world);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let ecosystem = disk.bring(ecosystem);
        let mut machine = Machine::boot(world, &disk);
        published(world, &machine);
        let before = machine.ok("hostname");
        assert_ne!(before, RENAMED);
        machine.ok(&format!("dpkg --install {ecosystem}; systemctl restart scw-agent.service"));
        machine.until("the daemon has the new settings", &format!("ls {STATE_SIGNALLED}"));
        assert_eq!(
            machine.ok("scw-agent status --wait >/dev/null; hostname"),
            before,
            "the machine was running"
        );
        machine.ok("echo '/etc/hosts /etc/hosts none bind' >>/etc/fstab");
        machine.reboot();
        machine.until(HOSTNAME_DONE, &format!("ls {HOSTNAME_DONE}"));
        assert_eq!(machine.ok("hostname"), RENAMED);
        assert!(failed_units(&machine).contains("scw-agent-hostname.service"));
        machine.ok(
            "hostnamectl set-hostname by-hand; systemctl reload scw-agent.service; scw-agent status || true",
        );
        assert_eq!(machine.ok("hostname"), "by-hand");
        assert_eq!(machine.ok("ls /run/scw-agent-requests/hostname"), "", "and it is not requested again");
    });
}

#[test]
fn boot_without_the_service_waits_for_no_guest_command() {
    let kit = Kit::new(Suite::Bookworm);
    let [ecosystem, _] = &Kit::build().ecosystem;
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        rename(world);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.install(ecosystem);
        disk.chroot("mkdir -p -m 700 /root/.ssh; echo 'ssh-rsa by-hand' >/root/.ssh/authorized_keys")
            .ok("sh");
        let machine = Machine::boot(world, &disk);
        machine.until("started", "systemctl is-active multi-user.target scw-agent.service");
        assert_eq!(failed_units(&machine), "");
        assert_eq!(machine.ok("cat /root/.ssh/authorized_keys"), "ssh-rsa by-hand");
        // The daemon does the rest when the service answers at last.
        world.set_reach(Family::Ipv4, Reach::Served);
        for file in [HOSTNAME_DONE, STATE_SIGNALLED] {
            machine.until(file, &format!("ls {file}"));
        }
        assert_eq!(machine.ok("hostname"), RENAMED);
    });
}
