//! The guest commands of Scaleway's images, as names of the agent: what old scripts expect of them, and that a failure never looks like an
//! answer (T1, S3).

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scw_stage::{Reach, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

const CACHE: &str = "/run/scw-metadata.cache";
const KEYS: &str = "/root/.ssh/authorized_keys";
const NAMES: [&str; 7] = [
    "scw-metadata",
    "scw-metadata-json",
    "scw-server-tags",
    "scw-signal-state",
    "scw-set-hostname",
    "scw-generate-ssh-keys",
    "scw-fetch-ssh-keys",
];
/// Another user, without any privilege.
const OTHER: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";

/// The folder with the links.
fn links() -> String {
    let folder = format!("{}/guest-commands-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    for name in NAMES {
        fs::create_dir_all(&folder).expect("made");
        // Several tests make them.
        let _ = symlink(AGENT, format!("{folder}/{name}"));
    }
    folder
}

/// Runs a script of an old user, in which the commands have their bare names.
fn script(world: &World, script: &str) -> Ended {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", links());
    run(world.command("sh").env("PATH", path).args(["-c", script]))
}

fn set_conf(world: &World, fields: serde_json::Value) {
    let mut conf = world.standin().conf();
    for (name, value) in fields.as_object().expect("fields") {
        conf[name] = value.clone();
    }
    world.standin().set_conf(conf);
}

fn fails_with(world: &World, order: Fault, words: &str) -> Ended {
    world.standin().set_orders(vec![Order::new(order)]);
    let ended = script(world, words);
    world.standin().set_orders(vec![]);
    ended
}

#[test]
fn metadata_of_old_scripts_are_printed_as_they_come() {
    World::builder().run(|world| {
        set_conf(world, serde_json::json!({ "name": "my machine", "tags": ["a=b=c", "it's", "web"] }));
        let daemon = start_daemon(world);
        let text = script(world, "curl --silent http://169.254.42.42/conf >/root/text; cat /root/text");
        let id = world.standin().conf()["id"].as_str().expect("an id").to_owned();
        let zone = world.standin().conf()["location"]["zone_id"].as_str().unwrap_or_default().to_owned();
        for (words, expected) in [
            ("scw-metadata", &*text.out),
            ("scw-metadata | cmp - /root/text && echo same", "same\n"),
            ("scw-metadata ID", &format!("{id}\n")),
            ("echo $(scw-metadata --cached ID)", &format!("{id}\n")),
            ("scw-metadata --cached | cmp - /root/text && echo same", "same\n"),
            ("scw-metadata | grep ^ID=", &format!("ID={id}\n")),
            ("eval \"$(scw-metadata | grep ^ID=)\"; echo $ID", &format!("{id}\n")),
            ("scw-metadata NAME", "my machine\n"),
            ("scw-metadata LOCATION_ZONE_ID", &format!("{zone}\n")),
            ("scw-metadata NO_SUCH_KEY; echo $?", "0\n"),
            ("scw-metadata 'TAGS_[0-9]*' | wc -l", "3\n"),
            ("scw-metadata-json | tail -c 1", "\n"),
            (
                "scw-metadata-json",
                &format!("{}\n", script(world, "curl --silent 'http://169.254.42.42/conf?format=json'").out),
            ),
        ] {
            let ended = script(world, words);
            assert_eq!((ended.code, &*ended.out, &*ended.err), (0, expected, ""), "{words}");
        }
        // Without a daemon, the service itself is asked.
        daemon.terminate();
        assert_eq!(script(world, "scw-metadata ID").out, format!("{id}\n"));
    });
}

#[test]
fn s3_cache_of_metadata_is_for_root_alone() {
    World::builder().run(|world| {
        set_conf(world, serde_json::json!({ "tags": ["token:hunter2"] }));
        let ended = script(world, "scw-metadata --cached TAGS_0");
        assert_eq!((ended.code, &*ended.out), (0, "token:hunter2\n"), "{}", ended.err);
        let metadata = fs::metadata(CACHE).expect("made");
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 0));
        make_host_key(world);
        confirm_instance(world);
        // The cache is used until somebody renews it, and an answer without it is a new one.
        set_conf(world, serde_json::json!({ "tags": ["new"] }));
        assert_eq!(script(world, "scw-metadata --cached TAGS_0").out, "token:hunter2\n");
        assert_eq!(script(world, "scw-metadata TAGS_0").out, "new\n");
        // Another user asks the service, and writes nothing. The daemon's socket is closed to that user.
        let daemon = start_daemon(world);
        let ended = script(world, &format!("{OTHER} scw-metadata --cached TAGS_0"));
        assert_eq!((ended.code, &*ended.out, &*ended.err), (0, "new\n", ""));
        assert_eq!(script(world, "scw-fetch-ssh-keys --upgrade; scw-metadata --cached TAGS_0").out, "new\n");
        // A cache that is cut off or unreadable is no answer.
        fs::write(CACHE, "").expect("written");
        assert_eq!(script(world, "scw-metadata --cached TAGS_0").out, "new\n");
        fs::remove_file(CACHE).expect("removed");
        fs::create_dir(CACHE).expect("made");
        let ended = script(world, "scw-metadata --cached TAGS_0");
        assert_eq!((ended.code, &*ended.out), (0, "new\n"));
        assert!(ended.err.contains("cannot write /run/scw-metadata.cache"), "{}", ended.err);
        daemon.terminate();
    });
}

#[test]
fn t1_failure_of_a_guest_command_is_no_empty_answer() {
    World::builder().run(|world| {
        for fault in [Fault::status(403), Fault::status(404), Fault::status(302)] {
            for words in [
                "scw-metadata",
                "scw-metadata ID",
                "scw-metadata --cached ID",
                "scw-metadata-json",
                "scw-server-tags",
            ] {
                let ended = fails_with(world, fault.clone(), words);
                let code = if words.contains("tags") { 5 } else { 1 };
                assert_eq!((ended.code, &*ended.out), (code, ""), "{words}: {}", ended.err);
                assert!(ended.err.starts_with(words.split(' ').next().expect("a name")), "{}", ended.err);
            }
        }
        assert!(!Path::new(CACHE).exists());
        // A temporary failure is waited for.
        let once = Order::new(Fault::status(503));
        world.standin().set_orders(vec![once.nth("1")]);
        assert_eq!(script(world, "scw-server-tags none").out, "0\n");
    });
    // Where the service cannot be reached, each command ends within about a minute.
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        let all = "for c in scw-metadata 'scw-metadata --cached ID' scw-metadata-json scw-server-tags 'scw-server-tags x' \
            'scw-signal-state booted' scw-fetch-ssh-keys; do { $c >\"/root/$c.out\" 2>\"/root/$c.err\"; echo \"$? $c\"; } & done; wait";
        let ended = script(world, &format!("cd /root; {all}"));
        assert_eq!(ended.out.lines().filter(|line| line.starts_with("1 ") || (line.starts_with("5 ") && line.contains("tags"))).count(), 7, "{}{}", ended.out, ended.err);
        let printed = script(world, "cat /root/*.out; grep -c . /root/*.err | grep ':0$'");
        assert_eq!(printed.out, "", "no output, and each command has said why");
    });
}

#[test]
fn p1_guest_commands_ask_nobody_on_other_machines() {
    World::builder().run(|world| {
        world.set_dmi(Some("QEMU"), None);
        for words in [
            "scw-metadata",
            "scw-metadata-json",
            "scw-server-tags",
            "scw-signal-state booted",
            "scw-fetch-ssh-keys --upgrade",
        ] {
            let ended = script(world, words);
            let code = if words.contains("tags") { 5 } else { 1 };
            assert_eq!((ended.code, &*ended.out), (code, ""), "{words}");
            assert!(ended.err.contains("not a Scaleway Instance"), "{words}: {}", ended.err);
        }
        assert_eq!(world.standin().connections().len(), 0);
    });
}

#[test]
fn d3_answer_of_the_daemon_gives_nobody_access_as_root() {
    World::builder().run(|world| {
        // A daemon under foreign control, which answers every request.
        fs::create_dir_all("/run/scw-agent").expect("made");
        let socket = UnixListener::bind("/run/scw-agent/api.sock").expect("bound");
        let asked = Arc::new(AtomicBool::new(false));
        let was_asked = Arc::clone(&asked);
        std::thread::spawn(move || {
            let body = r#"{"id":"evil","ssh_public_keys":[{"key":"ssh-rsa EVILEVILEVILEVIL evil"}],"hostname":"evil"}"#;
            for client in socket.incoming().flatten() {
                was_asked.store(true, Ordering::SeqCst);
                let _ = write!(&client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        make_host_key(world);
        confirm_instance(world);
        let account = public_key(world, "account");
        set_conf(world, serde_json::json!({ "ssh_public_keys": [{ "key": account }] }));
        let ended = script(world, "scw-fetch-ssh-keys --upgrade; scw-metadata --cached ID; scw-server-tags; scw-metadata-json");
        let keys = fs::read_to_string(KEYS).expect("written");
        assert!(keys.contains(&account) && !keys.contains("EVIL"), "{keys}");
        assert!(!ended.out.contains("evil") && !asked.load(Ordering::SeqCst), "{}{}", ended.out, ended.err);
    });
}

#[test]
fn tags_are_listed_and_looked_up() {
    World::builder().run(|world| {
        set_conf(world, serde_json::json!({ "tags": ["web", "role=db=main", "it's \"odd\"", null] }));
        for (words, code, out) in [
            ("scw-server-tags", 0, "web\nrole=db=main\nit's \"odd\"\n"),
            ("scw-server-tags role", 0, "db=main\n"),
            ("scw-server-tags web", 0, "1\n"),
            ("scw-server-tags none", 1, "0\n"),
            ("scw-server-tags | grep ^role=", 0, "role=db=main\n"),
        ] {
            let ended = script(world, words);
            assert_eq!((ended.code, &*ended.out, &*ended.err), (code, out, ""), "{words}");
        }
        set_conf(world, serde_json::json!({ "tags": null }));
        assert_eq!(script(world, "scw-server-tags").out, "");
    });
}

#[test]
fn state_is_signalled_by_every_user() {
    World::builder().run(|world| {
        let sent = |world: &World| -> Vec<String> {
            let requests = world.standin().requests();
            let states = requests.iter().filter(|request| request.target == "/state");
            states
                .map(|request| {
                    format!(
                        "{} {}",
                        request.header("content-type").unwrap_or_default(),
                        String::from_utf8_lossy(&request.body)
                    )
                })
                .collect()
        };
        let expected = "application/json {\"state_detail\":\"booted\"}";
        let ended = script(world, "scw-signal-state booted");
        assert_eq!((ended.code, &*ended.out), (0, "booted signal sent!\n"), "{}", ended.err);
        let daemon = start_daemon(world);
        assert_eq!(script(world, "scw-signal-state booted").code, 0);
        assert_eq!(script(world, &format!("{OTHER} scw-signal-state booted")).code, 0);
        assert_eq!(sent(world), [expected; 3]);
        let refused = fails_with(world, Fault::status(400), "scw-signal-state booted");
        assert_eq!((refused.code, &*refused.out), (1, ""));
        assert!(refused.err.contains("Can't send booted signal"), "{}", refused.err);
        for words in
            ["scw-signal-state", "scw-signal-state ''", "scw-signal-state 'a\"b'", "scw-signal-state a b"]
        {
            assert_eq!(script(world, words).code, 2, "{words}");
        }
        daemon.terminate();
    });
}

/// A login key with this name, of which nobody has the private half.
fn public_key(world: &World, name: &str) -> String {
    let path = format!("/root/{name}");
    keygen(world, "ed25519", name, &path);
    fs::read_to_string(format!("{path}.pub")).expect("made").trim().to_owned()
}

/// Without OpenSSH's server and without the management, the keys are in a block of root's own file.
#[test]
fn k1_keys_of_the_owner_are_written_in_one_step() {
    World::builder().run(|world| {
        make_host_key(world);
        confirm_instance(world);
        let [account, tag, own] = ["account", "tag", "own"].map(|name| public_key(world, name));
        let conf = serde_json::json!({
            "ssh_public_keys": [{ "key": account }, { "key": "ssh-rsa X\nssh-rsa EVIL" }],
            "tags": [format!("AUTHORIZED_KEY={}", tag.replace(' ', "_"))],
        });
        set_conf(world, conf.clone());
        sh(world, &format!("mkdir -p -m 700 /root/.ssh; echo '{own}' >/root/.ssh/instance_keys; echo 'by hand' >/root/.ssh/authorized_keys; chmod 600 /root/.ssh/*"));
        let ended = script(world, "scw-fetch-ssh-keys --upgrade");
        assert_eq!((ended.code, &*ended.out), (0, ""), "{}", ended.err);
        assert!(ended.err.contains("key 2 of the account"), "{}", ended.err);
        let text = fs::read_to_string(KEYS).expect("read");
        let keys: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(keys, ["by hand", &account, &tag, &own]);
        assert_eq!(fs::metadata(KEYS).expect("there").permissions().mode() & 0o7777, 0o600);
        assert_eq!(script(world, "scw-fetch-ssh-keys").code, 0);
        assert_eq!(fs::read_to_string(KEYS).expect("read"), text, "a second time");

        // A failure and an answer without keys leave the file as it is.
        let refused = fails_with(world, Fault::status(403), "scw-fetch-ssh-keys");
        assert_eq!((refused.code, fs::read_to_string(KEYS).expect("read")), (1, text.clone()));
        set_conf(world, serde_json::json!({ "ssh_public_keys": [], "tags": [] }));
        sh(world, "rm /root/.ssh/instance_keys");
        let empty = script(world, "scw-fetch-ssh-keys");
        assert_eq!(empty.code, 0, "{}", empty.err);
        let kept = fs::read_to_string(KEYS).expect("read");
        assert!([&account, &tag, &own].iter().any(|key| kept.contains(*key)) && kept.contains(&account), "{kept}");
        // A full disk does, too.
        set_conf(world, conf);
        sh(world, "cp /root/.ssh/authorized_keys /root/saved; mount -t tmpfs -o size=4k tmpfs /root/.ssh; head -c 9000 /dev/zero >/root/.ssh/full 2>/dev/null || true; : >/root/.ssh/authorized_keys");
        let full = script(world, "scw-fetch-ssh-keys");
        assert_eq!((full.code, &*fs::read_to_string(KEYS).expect("read")), (1, ""), "{}", full.err);
        sh(world, "umount /root/.ssh");
        for words in ["scw-fetch-ssh-keys", "scw-set-hostname"] {
            let other = script(world, &format!("{OTHER} {words}"));
            assert_eq!(other.code, 4, "{words}: {}", other.err);
        }
    });
}

#[test]
fn generated_keys_are_published_when_the_command_ends() {
    World::builder().run(|world| {
        one_key_type();
        let alone = script(world, "timeout 5 scw-generate-ssh-keys; ls /etc/ssh/ssh_host_ed25519_key");
        assert_eq!(alone.out, "/etc/ssh/ssh_host_ed25519_key\n", "{}", alone.err);
        let daemon = start_daemon(world);
        wait_until_published(world);
        world.standin().delete_user_data(FINGERPRINTS);
        let ended = script(world, "scw-generate-ssh-keys");
        assert_eq!((ended.code, &*ended.out), (0, ""), "{}", ended.err);
        assert!(world.standin().user_data(FINGERPRINTS).is_some());
        daemon.terminate();
    });
}

#[test]
fn every_guest_command_has_help_and_refuses_unknown_options() {
    World::builder().run(|world| {
        for name in NAMES {
            let help = script(world, &format!("{name} --help"));
            assert!(
                help.code == 0 && help.out.contains(&format!("Usage:\n  {name}")),
                "{name}: {}{}",
                help.out,
                help.err
            );
            assert_eq!(
                script(world, &format!("{name} --version")).out,
                format!("{name} {}\n", env!("CARGO_PKG_VERSION"))
            );
            let refused = script(world, &format!("{name} --hunter2"));
            assert_eq!((refused.code, &*refused.out), (2, ""), "{name}");
            assert!(!refused.err.contains("hunter2"), "{}", refused.err);
        }
    });
}
