//! K1 to K3 against other users, administrators' configurations, and faults: no key gets in that does not belong, and root stays in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use scw_stage::{Sshd, World};

use crate::machine::*;
use crate::ssh_keys::{
    DROP_IN, FILE, LIVE, OFF, OWN_FILE, SETTINGS, apply, let_in, machine, make_keys, public, set_account_keys,
};

const MAIN: &str = "/etc/ssh/sshd_config";
const PATTERN: &str = "/etc/ssh/scw-agent/%u.keys";

fn in_block() -> String {
    LIVE.replace("\"live\"", "\"live\"\nwrite-to = \"authorized-keys\"")
}

/// Adds lines to sshd's main file, and has sshd read them.
fn configure(world: &World, sshd: &Sshd, lines: &str) {
    let main = fs::read_to_string(MAIN).expect("read");
    fs::write(MAIN, format!("{main}{lines}")).expect("written");
    assert_eq!(run(world.command("/usr/sbin/sshd").arg("-t")).code, 0, "{lines}");
    sshd.daemon().signal(Signal::SIGHUP);
}

#[track_caller]
fn until_in(world: &World, sshd: &Sshd, names: &[&str]) {
    let all = ["stage", "a", "b"];
    until(world, &format!("{names:?}"), || (let_in(world, sshd, &all) == names).then_some(()));
}

/// sshd refuses the file, so a block in it is nobody's word.
#[test]
fn k2_block_that_others_could_write_lets_nobody_in() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a", "b"]);
        fs::write(SETTINGS, in_block()).expect("written");
        assert_eq!(apply(world).code, 0);
        // A block as an attacker would write it: with a valid checksum.
        let text = fs::read_to_string(OWN_FILE).expect("read");
        assert_eq!(agent(world, &["sysprep"]).code, 0);
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        confirm_instance(world);
        fs::write(OWN_FILE, text).expect("written");
        fs::set_permissions(OWN_FILE, fs::Permissions::from_mode(0o666)).expect("changed");
        fs::write(SETTINGS, LIVE).expect("written");
        set_account_keys(world, &["a"]);
        let applied = apply(world);
        assert!(applied.err.contains("others than root could change it"), "{}", applied.err);
        until_in(world, &sshd, &["a"]);
        assert!(!fs::read_to_string(FILE).expect("written").contains(&public("b")));
        sshd.stop();
    });
}

/// The drop-in must not take over what applies to other users only.
#[test]
fn k1_match_of_administrator_keeps_the_drop_in_as_it_is() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        let drop_in = fs::read_to_string(DROP_IN).expect("read");
        fs::write("/etc/ssh/team", public("b")).expect("written");
        configure(world, &sshd, "Match User *,!root\n    AuthorizedKeysFile /etc/ssh/team\n");
        assert_eq!(apply(world).code, 0);
        assert_eq!(fs::read_to_string(DROP_IN).expect("read"), drop_in);
        until_in(world, &sshd, &["stage", "a"]);
        fs::write(SETTINGS, OFF).expect("written");
        assert_eq!(apply(world).code, 0);
        until_in(world, &sshd, &["stage", "a"]);
        sshd.stop();
    });
}

/// The administrator does what the message says. Then the file is in force, keys are removed, and the end locks nobody out.
#[test]
fn k3_pattern_in_a_line_of_the_administrator_is_in_force() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a", "b"]);
        fs::create_dir("/etc/ssh/rk").expect("made");
        fs::copy(OWN_FILE, "/etc/ssh/rk/root").expect("copied");
        configure(world, &sshd, "Match User root\n    AuthorizedKeysFile /etc/ssh/rk/%u\n");
        assert!(apply(world).err.contains("below a Match"));
        let main = fs::read_to_string(MAIN).expect("read");
        fs::write(MAIN, main.replace("/etc/ssh/rk/%u", &format!("/etc/ssh/rk/%u {PATTERN}")))
            .expect("written");
        sshd.daemon().signal(Signal::SIGHUP);
        let applied = apply(world);
        assert!(!applied.err.contains("does not read"), "{}", applied.err);
        until_in(world, &sshd, &["stage", "a", "b"]);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        until_in(world, &sshd, &["stage", "a"]);
        let ended = agent(world, &["ssh-keys", "end"]);
        assert!(ended.out.contains("/etc/ssh/rk/root"), "{}{}", ended.out, ended.err);
        assert!(!Path::new(FILE).exists());
        until_in(world, &sshd, &["stage", "a"]);
        sshd.stop();
    });
}

/// A place that cannot be left has the same keys.
#[test]
fn k2_removed_key_is_gone_from_every_place() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a", "b"]);
        assert_eq!(apply(world).code, 0);
        let edited = format!("{}# mine\nX11Forwarding no\n", fs::read_to_string(DROP_IN).expect("read"));
        fs::write(DROP_IN, &edited).expect("written");
        fs::write(SETTINGS, in_block()).expect("written");
        let applied = apply(world);
        assert!(applied.err.contains("was edited"), "{}", applied.err);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        until_in(world, &sshd, &["stage", "a"]);
        // Nor does it come back.
        assert_eq!(apply(world).code, 0);
        assert!(!fs::read_to_string(OWN_FILE).expect("read").contains(&public("b")));
        let refused = agent(world, &["sysprep"]);
        assert!(refused.code == 1 && refused.err.contains("was edited"), "{}", refused.err);
        assert_eq!(fs::read_to_string(DROP_IN).expect("read"), edited);
        sshd.stop();
    });
}

/// The keys of another Instance, whose disk was copied, must not become keys of root's own file, and are the only way in.
#[test]
fn k3_end_on_a_copy_of_a_disk_locks_nobody_out() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        become_instance(world, "22222222-2222-4222-8222-222222222222");
        confirm_instance(world);
        set_account_keys(world, &[]);
        let refused = agent(world, &["ssh-keys", "end"]);
        assert!(refused.code == 1 && refused.err.contains("another Instance"), "{}", refused.err);
        until_in(world, &sshd, &["stage", "a"]);
        set_account_keys(world, &["b"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(agent(world, &["ssh-keys", "end"]).code, 0);
        until_in(world, &sshd, &["stage", "b"]);
        sshd.stop();
    });
}
