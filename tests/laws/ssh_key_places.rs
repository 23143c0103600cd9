//! K1 and K3: the agent's own file, a block of root's own file, and the file of Scaleway's former package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use scw_stage::World;

use crate::machine::*;
use crate::ssh_keys::{
    DROP_IN, FILE, LIVE, OFF, OWN_FILE, SETTINGS, apply, fingerprint, let_in, machine, make_keys, public,
    set_account_keys, set_tags,
};

/// An administrator's sshd includes no drop-in, so the keys are in root's own file by choice.
#[test]
fn k1_k3_keys_in_a_block_of_roots_own_file() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "b"]);
        let all = ["stage", "a", "b"];
        let main = fs::read_to_string("/etc/ssh/sshd_config").expect("read");
        fs::write("/etc/ssh/sshd_config", main.replace("Include", "# Include")).expect("written");
        let in_block = LIVE.replace("\"live\"", "\"live\"\nwrite-to = \"authorized-keys\"");
        fs::write(SETTINGS, &in_block).expect("written");
        let own = format!("# mine\n{}", fs::read_to_string(OWN_FILE).expect("read"));
        fs::write(OWN_FILE, &own).expect("written");
        set_account_keys(world, &["a", "b"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), all);
        let read = || fs::read_to_string(OWN_FILE).expect("read");
        assert!(read().starts_with(&own) && !Path::new(FILE).exists() && !Path::new(DROP_IN).exists());
        fs::write(OWN_FILE, format!("{}# below\n", read())).expect("written");
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        assert!(read().starts_with(&own) && read().ends_with("# below\n"), "{}", read());

        // Somebody writes a key of their own into the block.
        let before = read();
        let edited = before.replace("# END", &format!("{}\n# END", public("b")));
        fs::write(OWN_FILE, &edited).expect("written");
        let refused = apply(world);
        assert!(refused.code == 1 && refused.err.contains("was edited"), "{}", refused.err);
        assert_eq!(read(), edited);
        fs::write(OWN_FILE, &before).expect("written");
        // Nobody but root may be able to change it.
        fs::set_permissions(OWN_FILE, fs::Permissions::from_mode(0o666)).expect("changed");
        assert!(apply(world).err.contains("others than root could change it"));
        fs::set_permissions(OWN_FILE, fs::Permissions::from_mode(0o644)).expect("changed");
        sshd.stop();
    });
}

#[test]
fn k1_k3_keys_move_from_one_place_to_the_other() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a"]);
        let all = ["stage", "a"];
        let in_block = LIVE.replace("\"live\"", "\"live\"\nwrite-to = \"authorized-keys\"");
        let own = format!("# mine\n{}# below\n", fs::read_to_string(OWN_FILE).expect("read"));
        fs::write(OWN_FILE, &own).expect("written");
        let read = || fs::read_to_string(OWN_FILE).expect("read");
        set_account_keys(world, &["a"]);
        fs::write(SETTINGS, &in_block).expect("written");
        assert_eq!(apply(world).code, 0);
        assert!(read().starts_with(&own) && read() != own, "{}", read());
        fs::write(SETTINGS, LIVE).expect("written");
        assert_eq!(apply(world).code, 0);
        until(world, "by the drop-in", || (let_in(world, &sshd, &all) == ["stage", "a"]).then_some(()));
        assert_eq!(read(), own);
        fs::write(SETTINGS, &in_block).expect("written");
        assert_eq!(apply(world).code, 0);
        assert!(!Path::new(FILE).exists() && !Path::new(DROP_IN).exists());
        until(world, "by the block", || (let_in(world, &sshd, &all) == ["stage", "a"]).then_some(()));
        let a = fingerprint(world, "a");
        assert_eq!(agent(world, &["ssh-keys", "remove", &a]).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage"]);
        assert_eq!(apply(world).code, 0);
        // The end leaves the keys, and an image has none.
        fs::write(SETTINGS, OFF).expect("written");
        assert_eq!(apply(world).code, 0);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        let planned = agent(world, &["sysprep", "--dry-run"]);
        assert!(planned.out.contains("would remove the agent's SSH keys"), "{}", planned.out);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        assert_eq!(agent(world, &["sysprep"]).code, 0);
        assert_eq!(read(), own);
        sshd.stop();
    });
}

#[test]
fn k1_k3_file_of_former_package_is_set_aside_on_request() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a", "gone"]);
        let all = ["stage", "a", "gone"];
        let adopt = || agent(world, &["ssh-keys", "adopt"]);
        let header = "#\n# This file will be erased at every boot\n# Run '/usr/sbin/scw-fetch-ssh-keys --upgrade'\n#\n";
        let stage = fs::read_to_string(OWN_FILE).expect("read");
        let former = format!("{header}{stage}\n{}\n{}\n", public("a"), public("gone"));
        fs::write(OWN_FILE, &former).expect("written");
        let refused = adopt();
        assert!(refused.code == 1 && refused.err.contains("locked out"), "{}", refused.err);
        set_account_keys(world, &["a"]);
        set_tags(world, &["stage"]);
        let applied = apply(world);
        assert!(applied.code == 0 && applied.err.contains("scw-agent ssh-keys adopt"), "{}", applied.err);
        let gone = fingerprint(world, "gone");
        let shown = agent(world, &["ssh-keys", "show"]).out;
        assert!(shown.contains(&gone) && shown.contains("still in"), "{shown}");
        assert_eq!(let_in(world, &sshd, &all), all);
        // The file of a person is not touched.
        fs::write(OWN_FILE, &stage).expect("written");
        assert!(adopt().err.contains("former package"));
        fs::write(OWN_FILE, &former).expect("written");
        let adopted = adopt();
        assert!(adopted.code == 0 && adopted.out.contains(&gone), "{}{}", adopted.out, adopted.err);
        assert_eq!(let_in(world, &sshd, &all), ["stage", "a"]);
        let copy = adopted.out.split_whitespace().nth(3).expect("a path");
        assert_eq!(fs::read_to_string(copy).expect("kept"), former);
        assert!(!Path::new(OWN_FILE).exists());
        sshd.stop();
    });
}

#[test]
fn k3_edited_drop_in_is_not_lost_at_the_end() {
    World::builder().with_sshd().run(|world| {
        let sshd = machine(world);
        make_keys(world, &["a"]);
        set_account_keys(world, &["a"]);
        assert_eq!(apply(world).code, 0);
        let edited = format!("{}X11Forwarding no\n", fs::read_to_string(DROP_IN).expect("read"));
        fs::write(DROP_IN, &edited).expect("written");
        let refused = agent(world, &["ssh-keys", "end"]);
        assert!(refused.code == 1 && refused.err.contains("was edited"), "{}", refused.err);
        assert_eq!(fs::read_to_string(DROP_IN).expect("read"), edited);
        assert_eq!(let_in(world, &sshd, &["stage", "a"]), ["stage", "a"]);
        sshd.stop();
    });
}
