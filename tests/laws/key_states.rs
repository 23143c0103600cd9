//! H1 to H3 as a table: every state of a key's files, for every key type, on the same, another or an unknown Instance, with and
//! without the real cloud-init. The files and `ssh-keygen` are real.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use scw_stage::{Reach, World};

use crate::machine::*;

const TYPES: [&str; 3] = ["ecdsa", "ed25519", "rsa"];

/// What the ensure pass does with a key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The private key stays, and what is wrong around it is fixed.
    Kept,
    /// A new key is made.
    Made,
    /// Nothing is changed, and the command reports it.
    Untouched,
}

/// Brings the files into a state; the arguments are the paths of the private and of the public key.
type Damage = fn(&Path, &Path);

/// State, how the files get into it, and what the ensure pass does with the key.
const STATES: [(&str, Damage, Outcome); 15] = [
    ("all good", |_, _| {}, Outcome::Kept),
    ("missing", |private, public| [private, public].iter().for_each(|path| remove(path)), Outcome::Made),
    ("private missing, old .pub there", |private, _| remove(private), Outcome::Made),
    ("empty", |private, _| write(private, b""), Outcome::Made),
    ("truncated", |private, _| write(private, &fs::read(private).expect("read")[..200]), Outcome::Made),
    ("garbage", |private, _| write(private, b"\x7fELF garbage\n"), Outcome::Made),
    (
        "a folder",
        |private, _| {
            remove(private);
            fs::create_dir(private).expect("made")
        },
        Outcome::Untouched,
    ),
    (".pub missing", |_, public| remove(public), Outcome::Kept),
    (".pub empty", |_, public| write(public, b""), Outcome::Kept),
    (".pub garbage", |_, public| write(public, b"garbage"), Outcome::Kept),
    (
        "another key's .pub",
        |_, public| {
            write(
                public,
                b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB x\n",
            )
        },
        Outcome::Kept,
    ),
    (
        "0644",
        |private, _| fs::set_permissions(private, fs::Permissions::from_mode(0o644)).expect("changed"),
        Outcome::Kept,
    ),
    (
        "owned by another user",
        |private, _| chown(private, Some(1000), Some(1000)).expect("changed"),
        Outcome::Kept,
    ),
    (
        "a link to a key elsewhere",
        |private, _| {
            fs::copy(private, "/var/lib/key").expect("copied");
            remove(private);
            symlink("/var/lib/key", private).expect("linked")
        },
        Outcome::Kept,
    ),
    ("in the older format", |private, _| to_pem(private), Outcome::Kept),
];

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

fn to_pem(private: &Path) {
    // Ed25519 keys have no older format and stay as they are.
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(["-q", "-p", "-N", "", "-m", "PEM", "-f"]).arg(private);
    assert!(command.status().expect("started").success());
}

/// The public key that `ssh-keygen` derives from a private key; `None` if it refuses the file.
fn derived_public_key(world: &World, private: &Path) -> Option<String> {
    let shown = run(world.command("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(private));
    (shown.code == 0).then(|| shown.out.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned())
}

fn key_paths(name: &str) -> [PathBuf; 2] {
    ["", ".pub"].map(|end| format!("/etc/ssh/ssh_host_{name}_key{end}").into())
}

/// The Instance that the disk is attached to, as far as the agent can know.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Same,
    Another,
    /// No metadata, and no id from the hypervisor.
    Unknown,
}

const FIRST: &str = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
const OTHER: &str = "11111111-2222-4333-8444-555555555555";

/// One boot in the table.
struct Row<'a> {
    world: &'a World,
    /// The key type whose files are damaged, and the other one.
    names: [&'static str; 2],
    state: &'static str,
    damage: Damage,
    outcome: Outcome,
    owner: Owner,
    cloud_init: bool,
}

#[test]
fn h1_h2_h3_each_key_file_state_ends_as_expected() {
    let counts = std::thread::scope(|scope| {
        TYPES
            .map(|name| scope.spawn(move || check_key_type(name)))
            .map(|count| count.join().expect("no panic"))
    });
    let rows: usize = counts.iter().sum();
    println!("{rows} rows");
    assert_eq!(rows, TYPES.len() * STATES.len() * 6);
}

/// Checks the rows of one key type. Returns their number.
fn check_key_type(name: &'static str) -> usize {
    let mut rows = 0;
    World::builder().with_cloud_init().run(|world| {
            // An RSA key takes a second to make, so it is used only in the rows of its own type.
            let names = [name, if name == "ed25519" { "ecdsa" } else { "ed25519" }];
            let types = format!("[\"{}\", \"{}\"]", names[0], names[1]);
            fs::write("/etc/scw-agent.toml", format!("[host-keys]\ntypes = {types}\n")).expect("written");
            let only_ssh = format!(
                "datasource_list: [NoCloud]\ncloud_init_modules: [ssh]\nssh_genkeytypes: {types}\nssh_deletekeys: true\n"
            );
            fs::write("/etc/cloud/cloud.cfg.d/99-only-ssh.cfg", only_ssh).expect("written");
            // The disk after its first boot in the first Instance.
            cloud_init(world, Some(FIRST));
            assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
            request_instance(world, FIRST);
            assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
            sh(world, "mkdir /root/good && cp -a /etc/ssh /var/lib/cloud /var/lib/scw-agent /root/good");
            for (state, damage, outcome) in STATES {
                for owner in [Owner::Same, Owner::Another, Owner::Unknown] {
                    for cloud_init in [false, true] {
                        Row { world, names, state, damage, outcome, owner, cloud_init }.check();
                        rows += 1;
                    }
                }
            }
        });
    rows
}

/// Runs the first two stages of the real cloud-init, which include its ssh module. Without an id it finds no data.
fn cloud_init(world: &World, instance: Option<&str>) {
    let seed = Path::new("/var/lib/cloud/seed/nocloud");
    let _ = fs::remove_dir_all(seed);
    if let Some(instance) = instance {
        fs::create_dir_all(seed).expect("made");
        fs::write(seed.join("meta-data"), format!("instance-id: {instance}\n")).expect("written");
        fs::write(seed.join("user-data"), "#cloud-config\n{}\n").expect("written");
    }
    for stage in [&["init", "--local"][..], &["init"]] {
        run(world.command("cloud-init").args(stage));
    }
}

impl Row<'_> {
    fn check(&self) {
        let Self { world, names: [name, other], state, owner, .. } = *self;
        let what = format!("{name}, {state}; Instance {owner:?}; cloud-init {}", self.cloud_init);
        world.reboot();
        sh(
            world,
            "rm -rf /etc/ssh/ssh_host* /var/lib/cloud /var/lib/scw-agent /var/lib/key && cp -a /root/good/ssh/ssh_host* /etc/ssh/ \
             && cp -a /root/good/cloud /root/good/scw-agent /var/lib/",
        );
        let [private, public] = key_paths(name);
        let [other_private, _] = key_paths(other);
        let keys = || [&private, &other_private].map(|path| derived_public_key(world, path));
        let before = keys();
        (self.damage)(&private, &public);

        let ensured = agent(world, &["host-keys", "ensure"]);
        assert_eq!(ensured.code, i32::from(self.outcome == Outcome::Untouched), "{what}: {}", ensured.err);
        let at_first = keys();
        assert_eq!(at_first[1], before[1], "{what}: the other key was changed");
        assert_eq!(at_first[0] == before[0], self.outcome == Outcome::Kept, "{what}: {}", ensured.err);
        assert_eq!(at_first[0].is_none(), self.outcome == Outcome::Untouched, "{what}: {}", ensured.err);

        let instance = match owner {
            Owner::Same => Some(FIRST),
            Owner::Another => Some(OTHER),
            Owner::Unknown => None,
        };
        if self.cloud_init {
            cloud_init(world, instance);
        }
        let by_cloud_init = keys();
        let is_untouched =
            |keys: &[Option<String>; 2]| self.outcome == Outcome::Untouched && keys[0].is_none();
        if self.cloud_init && owner == Owner::Another {
            assert!(by_cloud_init[1] != at_first[1], "{what}: cloud-init made no keys");
        } else {
            assert_eq!(by_cloud_init, at_first, "{what}: cloud-init changed keys");
        }
        let Some(instance) = instance else { return };
        self.settle_and_publish(&what, instance);
        let at_end = keys();
        match (owner, self.cloud_init) {
            (Owner::Another, false) => {
                let all_new = at_end[0] != at_first[0] && at_end[1] != at_first[1];
                assert!(all_new || is_untouched(&at_end), "{what}: keys of another Instance are in use");
            }
            _ => assert_eq!(at_end, by_cloud_init, "{what}: a key was replaced without need"),
        }
        self.check_published(&what, &at_end);
    }

    /// The daemon requests the settle pass, which runs as systemd starts it; then the fingerprints are published.
    fn settle_and_publish(&self, what: &str, instance: &str) {
        let standin = self.world.standin();
        let mut conf = standin.conf();
        conf["id"] = instance.into();
        standin.set_conf(conf);
        standin.delete_user_data(FINGERPRINTS);
        let daemon = start_daemon(self.world);
        until(self.world, "requested", || fs::exists(INSTANCE_SEEN).ok()?.then_some(()));
        let settled = agent(self.world, &["host-keys", "settle"]);
        // A folder instead of a key cannot be replaced, and the settle pass reports it.
        let expected = self.outcome == Outcome::Untouched && self.owner == Owner::Another && !self.cloud_init;
        assert_eq!(settled.code, i32::from(expected), "{what}: {}", settled.err);
        until(self.world, &format!("published: {what}"), || {
            let value = String::from_utf8(standin.user_data(FINGERPRINTS)?).ok()?;
            (value.lines().count() == self.fingerprints().len()
                && self.fingerprints().iter().all(|key| value.contains(key)))
            .then_some(())
        });
        daemon.terminate();
    }

    /// The fingerprints of all existing keys, computed by `ssh-keygen`.
    fn fingerprints(&self) -> Vec<String> {
        let of = |name: &&str| {
            let [private, public] = key_paths(name);
            let listed = run(self.world.command("ssh-keygen").arg("-lf").arg(public)).out;
            private.is_file().then(|| listed.split(' ').nth(1).expect("a fingerprint").to_owned())
        };
        self.names.iter().filter_map(of).collect()
    }

    fn check_published(&self, what: &str, keys: &[Option<String>; 2]) {
        assert_eq!(self.fingerprints().len(), keys.iter().flatten().count(), "{what}");
        for name in self.names {
            let [private, public] = key_paths(name);
            let Some(derived) = derived_public_key(self.world, &private) else { continue };
            assert!(
                fs::read_to_string(&public).expect("read").starts_with(&derived),
                "{what}: the public key is another key's"
            );
            let (private, public) =
                (fs::metadata(private).expect("there"), fs::metadata(public).expect("there"));
            assert_eq!(
                (private.mode() & 0o777, private.uid(), public.mode() & 0o777),
                (0o600, 0, 0o644),
                "{what}"
            );
        }
    }
}

#[test]
fn h2_fixed_key_stays_fixed_and_is_reported_once() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        fs::write("/etc/scw-agent.toml", "[host-keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n").expect("written");
        assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0);
        sh(world, "cp -a /etc/ssh /root/good");
        for (state, damage, outcome) in STATES {
            let [private, public] = key_paths("ecdsa");
            if outcome == Outcome::Untouched {
                continue;
            }
            sh(world, "rm -rf /etc/ssh/ssh_host* /var/lib/key && cp -a /root/good/ssh_host* /etc/ssh/");
            damage(&private, &public);
            assert_eq!(agent(world, &["host-keys", "ensure"]).code, 0, "{state}");
            let again = agent(world, &["host-keys", "ensure"]);
            assert!(again.code == 0 && again.err.contains("kept ecdsa, ed25519"), "{state}: {}", again.err);
        }
    });
}

#[test]
fn h1_invalid_key_file_is_kept_under_another_name() {
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
fn h1_h3_key_with_passphrase_is_kept_and_not_published() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).with_sshd().run(|world| {
        one_key_type();
        let mut command = world.command("ssh-keygen");
        run(command.args(["-q", "-t", "ed25519", "-N", "secret", "-f", "/etc/ssh/ssh_host_ed25519_key"]));
        let before = fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read");
        let ensured = agent(world, &["host-keys", "ensure"]);
        assert_eq!(ensured.code, 1);
        assert!(ensured.err.contains("passphrase"), "{}", ensured.err);
        let shown = agent(world, &["host-keys", "show"]).out;
        assert!(shown.contains("not served"), "sshd cannot load the key, so it is not published: {shown}");
        assert_eq!(fs::read("/etc/ssh/ssh_host_ed25519_key").expect("read"), before);
    });
}

#[test]
fn h1_key_is_group_readable_where_sshd_accepts_that() {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        let groups = fs::read_to_string("/etc/group").expect("read");
        fs::write("/etc/group", format!("{groups}ssh_keys:x:4711:\n")).expect("written");
        let mode = || {
            let key = fs::metadata("/etc/ssh/ssh_host_ed25519_key").expect("there");
            (key.mode() & 0o777, key.gid())
        };
        // A group of this name alone changes nothing: Debian's sshd refuses a key that others than root may read.
        make_host_key(world);
        assert_eq!(mode(), (0o600, 0));
        sh(world, "chgrp 4711 /etc/ssh/ssh_host_ed25519_key; chmod 640 /etc/ssh/ssh_host_ed25519_key");
        make_host_key(world);
        assert_eq!(mode(), (0o600, 4711), "sshd accepts the key again");
        // On RHEL and related distributions, the program that uses this group belongs to it.
        sh(
            world,
            "cp /usr/lib/openssh/ssh-keysign /run/keysign; chgrp 4711 /run/keysign; chmod 2755 /run/keysign
             mount --bind /run/keysign /usr/lib/openssh/ssh-keysign; rm /etc/ssh/ssh_host_*",
        );
        make_host_key(world);
        assert_eq!(mode(), (0o640, 4711));
        make_host_key(world);
        assert_eq!(mode(), (0o640, 4711), "the mode stays");
    });
}
