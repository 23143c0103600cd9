//! H1 and H2 as a table: every state that a key's files can be in, for every type of key, over real files and the real `ssh-keygen`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use scw_stage::{Reach, World};

use crate::machine::*;

const TYPES: [&str; 3] = ["ecdsa", "ed25519", "rsa"];

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The same private key as before, and whatever was wrong around it put right.
    Kept,
    /// A new one.
    Made,
    /// Nothing is touched, and the command says so.
    LeftAlone,
}

type Spoil = fn(&Path, &Path);

/// State, how it comes about (private key's path, public key's path), and what becomes of the key.
const STATES: [(&str, Spoil, Fate); 15] = [
    ("all good", |_, _| {}, Fate::Kept),
    ("missing", |private, public| [private, public].iter().for_each(|path| remove(path)), Fate::Made),
    ("private missing, old .pub there", |private, _| remove(private), Fate::Made),
    ("empty", |private, _| write(private, b""), Fate::Made),
    ("truncated", |private, _| write(private, &fs::read(private).expect("read")[..200]), Fate::Made),
    ("garbage", |private, _| write(private, b"\x7fELF garbage\n"), Fate::Made),
    (
        "a folder",
        |private, _| {
            remove(private);
            fs::create_dir(private).expect("made")
        },
        Fate::LeftAlone,
    ),
    (".pub missing", |_, public| remove(public), Fate::Kept),
    (".pub empty", |_, public| write(public, b""), Fate::Kept),
    (".pub garbage", |_, public| write(public, b"garbage"), Fate::Kept),
    (
        "another key's .pub",
        |_, public| {
            write(
                public,
                b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB x\n",
            )
        },
        Fate::Kept,
    ),
    (
        "0644",
        |private, _| fs::set_permissions(private, fs::Permissions::from_mode(0o644)).expect("changed"),
        Fate::Kept,
    ),
    ("somebody else's", |private, _| chown(private, Some(1000), Some(1000)).expect("changed"), Fate::Kept),
    (
        "a link to a key elsewhere",
        |private, _| {
            fs::copy(private, "/var/lib/key").expect("copied");
            remove(private);
            symlink("/var/lib/key", private).expect("linked")
        },
        Fate::Kept,
    ),
    ("in the older form", |private, _| to_pem(private), Fate::Kept),
];

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

fn to_pem(private: &Path) {
    // Ed25519 keys have no older form, and stay as they are.
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(["-q", "-p", "-N", "", "-m", "PEM", "-f"]).arg(private);
    assert!(command.status().expect("started").success());
}

/// The public key that belongs to a private one, by `ssh-keygen`; nothing where that says no.
fn public_of(world: &World, private: &Path) -> Option<String> {
    let shown = run(world.command("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(private));
    (shown.code == 0).then(|| shown.out.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned())
}

fn paths(name: &str) -> [PathBuf; 2] {
    ["", ".pub"].map(|end| format!("/etc/ssh/ssh_host_{name}_key{end}").into())
}

#[test]
fn h1_h2_in_every_state_of_every_type_the_key_is_kept_or_made_as_promised_and_no_other_is_touched() {
    for name in TYPES {
        World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
            assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
            run(world.command("cp").args(["-a", "/etc/ssh", "/var/lib/good"]));
            for (state, spoil, fate) in STATES {
                run(world.command("sh").args([
                    "-c",
                    "rm -rf /etc/ssh/ssh_host* /var/lib/key && cp -a /var/lib/good/ssh_host* /etc/ssh/",
                ]));
                let [private, public] = paths(name);
                let before = public_of(world, &private).expect("a good key");
                spoil(&private, &public);
                check(world, &format!("{name}: {state}"), name, &before, fate);
            }
        });
    }
}

fn check(world: &World, what: &str, name: &str, before: &str, fate: Fate) {
    let [private, public] = paths(name);
    let others = || -> Vec<_> {
        let others = TYPES.into_iter().filter(|other| *other != name).flat_map(paths);
        others
            .map(|path| (fs::read(&path).expect("read"), fs::metadata(&path).expect("there").mode()))
            .collect()
    };
    let others_before = others();
    let ensured = agent(world, &["host-keys", "ensure"]);
    assert_eq!(others(), others_before, "{what}: another key was touched");
    assert_eq!(ensured.code, i32::from(fate == Fate::LeftAlone), "{what}: {}", ensured.err);
    if fate == Fate::LeftAlone {
        assert!(private.is_dir() && ensured.err.contains("left alone"), "{what}: {}", ensured.err);
        return;
    }
    let after = public_of(world, &private).unwrap_or_default();
    assert_ne!(after, "", "{what}: ssh-keygen refuses the key");
    assert_eq!(after == before, fate == Fate::Kept, "{what}: {}", ensured.err);
    let shown = fs::read_to_string(&public).expect("read");
    assert!(shown.starts_with(&after) && shown.ends_with('\n'), "{what}: the public key is another: {shown}");
    let (private, public) = (fs::metadata(&private).expect("there"), fs::metadata(&public).expect("there"));
    assert_eq!((private.mode() & 0o777, private.uid(), public.mode() & 0o777), (0o600, 0, 0o644), "{what}");

    // What is mended stays mended, and is mentioned once.
    let again = agent(world, &["host-keys", "ensure"]);
    assert!(again.code == 0 && again.err.contains("kept ecdsa, ed25519, rsa"), "{what}: {}", again.err);
}

#[test]
fn h1_a_key_that_is_no_key_is_kept_under_another_name() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        fs::write("/etc/ssh/ssh_host_ed25519_key", "my precious notes").expect("written");
        let made = agent(world, &["host-keys", "ensure"]);
        assert!(made.err.contains("ssh_host_ed25519_key.broken-"), "{}", made.err);
        let aside = fs::read_dir("/etc/ssh")
            .expect("listed")
            .flatten()
            .find(|e| e.file_name().to_string_lossy().contains(".broken-"));
        assert_eq!(fs::read_to_string(aside.expect("kept").path()).expect("read"), "my precious notes");
    });
}

#[test]
fn h1_a_key_behind_a_passphrase_is_left_alone_and_named() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        one_key_type();
        let mut command = world.command("ssh-keygen");
        run(command.args(["-q", "-t", "ed25519", "-N", "secret", "-f", "/etc/ssh/ssh_host_ed25519_key"]));
        let before = fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read");
        let ensured = agent(world, &["host-keys", "ensure"]);
        assert_eq!(ensured.code, 1);
        assert!(ensured.err.contains("passphrase"), "{}", ensured.err);
        assert_eq!(fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read"), before);
    });
}

#[test]
fn where_the_system_has_a_group_for_key_readers_its_members_can_read_new_keys() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        let groups = fs::read_to_string("/etc/group").expect("read");
        fs::write("/etc/group", format!("{groups}ssh_keys:x:4711:\n")).expect("written");
        make_host_key(world);
        let key = fs::metadata("/etc/ssh/ssh_host_ed25519_key").expect("there");
        assert_eq!((key.mode() & 0o777, key.gid()), (0o640, 4711));
    });
}
