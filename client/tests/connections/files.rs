//! `setup` and the user's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use crate::desk::*;

const CONFIG: &str = "/root/.ssh/config";
const OWN: &str = "/root/.ssh/scw-known-hosts.config";

fn mode(path: &str) -> u32 {
    fs::metadata(path).expect(path).permissions().mode() & 0o777
}

#[test]
fn setup_is_idempotent_and_removed_without_a_trace() {
    at_desk(|desk| {
        desk.configure("Host a\n    User b\n");
        fs::set_permissions(CONFIG, fs::Permissions::from_mode(0o644)).expect("set");
        desk.client_ok(&["setup", "--host", "Web.Example.com"]);
        let (config, own) = (fs::read_to_string(CONFIG).expect("it"), fs::read_to_string(OWN).expect("it"));
        assert!(
            config.starts_with("Host a\n    User b\n") && own.contains("Match host web.example.com"),
            "{config}{own}"
        );
        assert_eq!((mode(CONFIG), mode(OWN)), (0o644, 0o600));
        let text = desk.client_ok(&["setup"]);
        assert!(text.starts_with("the configuration of ssh is already as wanted\n"), "{text}");
        assert_eq!(
            (fs::read_to_string(CONFIG).expect("it"), fs::read_to_string(OWN).expect("it")),
            (config, own.clone())
        );
        assert_eq!(desk.client_ok(&["setup", "--print"]), own);
        desk.client_ok(&["setup", "--remove"]);
        assert_eq!(fs::read_to_string(CONFIG).expect("it"), "Host a\n    User b\n");
        assert!(fs::metadata(OWN).is_err());
        assert_eq!(desk.client_ok(&["setup", "--remove"]), "there was nothing to remove\n");
    });
}

#[test]
fn setup_keeps_links_and_foreign_content() {
    at_desk(|desk| {
        fs::create_dir_all("/root/.ssh").expect("made");
        fs::write("/root/dotfile", "Host a\n").expect("written");
        symlink("/root/dotfile", CONFIG).expect("made");
        desk.client_ok(&["setup"]);
        assert!(fs::symlink_metadata(CONFIG).expect("it").is_symlink());
        assert!(fs::read_to_string("/root/dotfile").expect("it").contains("Include scw-known-hosts.config"));
        fs::write("/root/dotfile", b"\xff\xfe").expect("written");
        let ran = desk.client(&["setup"]);
        assert!(ran.code == 1 && ran.err.contains("is not UTF-8; it is left as it is"), "{ran:?}");
        assert_eq!(fs::read("/root/dotfile").expect("it"), b"\xff\xfe");
    });
}

#[test]
fn setup_refuses_patterns_that_are_none() {
    at_desk(|desk| {
        for pattern in ["a b", "a,b", "!a", ""] {
            let ran = desk.client(&["setup", "--host", pattern]);
            assert!(ran.code == 2 && ran.err.contains("a host pattern has letters"), "{ran:?}");
        }
        assert!(fs::metadata(CONFIG).is_err());
    });
}

#[test]
fn setup_without_credentials_still_configures_ssh() {
    at_desk(|desk| {
        desk.variables.remove("SCW_SECRET_KEY");
        let ran = desk.client(&["setup"]);
        assert!(ran.code == 4 && ran.err.contains("the Instances cannot be listed"), "{ran:?}");
        assert!(fs::metadata(OWN).is_ok());
    });
}

#[test]
fn credentials_come_from_the_configuration_file() {
    at_desk(|desk| {
        let key = desk.variables.remove("SCW_SECRET_KEY").expect("the key");
        fs::create_dir_all("/root/.config/scw").expect("made");
        let file = format!(
            "secret_key: {POWERLESS}\nactive_profile: work\nprofiles:\n  work:\n    secret_key: {key}\n"
        );
        fs::write("/root/.config/scw/config.yaml", file).expect("written");
        desk.client_ok(&["setup"]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], ADDRESS);
        assert!(is_in, "{err}");
        desk.variables.insert("SCW_PROFILE", "default".to_owned());
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], ADDRESS);
        assert!(!is_in && err.contains("lacks a permission"), "{err}");
    });
}

#[test]
fn s3_secret_key_is_in_no_file_and_no_output() {
    at_desk(|desk| {
        let key = desk.variables["SCW_SECRET_KEY"].clone();
        let mut output =
            desk.client_ok(&["setup"]) + &desk.client_ok(&["show", NAME]) + &desk.client_ok(&["doctor"]);
        output += &desk.is_in(&["StrictHostKeyChecking=yes", "LogLevel=DEBUG3"], ADDRESS).1;
        desk.variables.insert("RUST_LOG", "trace".to_owned());
        output += &desk.client(&["verify", NAME]).out;
        assert!(!output.contains(&key), "{output}");
        let found = run(desk.command("grep").args(["-r", "-l", &key, "/root", "/run", "/var/lib/scw-agent"]));
        assert_eq!(found.out, "");
    });
}

#[test]
fn setup_keeps_owners_and_links_without_a_target() {
    at_desk(|desk| {
        desk.configure("Host a\n");
        chown("/root/.ssh/config", Some(1234), Some(1234)).expect("changed");
        desk.client_ok(&["setup"]);
        let metadata = fs::metadata("/root/.ssh/config").expect("it");
        assert_eq!(metadata.uid(), 1234);
        desk.client_ok(&["setup", "--remove"]);
        fs::remove_file("/root/.ssh/config").expect("removed");
        fs::create_dir("/root/dotfiles").expect("made");
        symlink("../dotfiles/config", "/root/.ssh/config").expect("made");
        desk.client_ok(&["setup"]);
        assert!(fs::symlink_metadata("/root/.ssh/config").expect("it").is_symlink());
        assert!(fs::metadata("/root/dotfiles/config").is_ok());
        desk.client_ok(&["setup", "--remove"]);
        let left: Vec<_> =
            fs::read_dir("/root/.ssh").expect("it").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["config"]);
    });
}

#[test]
fn setup_by_root_for_another_user_gives_them_the_files() {
    at_desk(|desk| {
        fs::create_dir("/root/home").expect("made");
        chown("/root/home", Some(1234), Some(1234)).expect("changed");
        succeed(desk.command(CLIENT).env("HOME", "/root/home").arg("setup"));
        let others = run(desk.command("find").args(["/root/home", "!", "-user", "1234"]));
        assert_eq!(others.out, "");
    });
}
