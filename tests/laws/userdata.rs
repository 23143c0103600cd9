//! `scw-userdata` has the same answers and exit codes with and without a daemon.

use std::io::Write;
use std::process::Stdio;

use scw_stage::{Reach, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

/// Runs the same test with and without a daemon.
fn with_and_without_daemon(test: impl Fn(&World) + Sync) {
    for with_daemon in [false, true] {
        World::builder().run(|world| {
            let daemon = with_daemon.then(|| start_daemon(world));
            test(world);
            drop(daemon);
        });
    }
}

#[test]
fn key_list_has_the_format_of_the_api() {
    with_and_without_daemon(|world| {
        world.standin().set_user_data("b", "2");
        world.standin().set_user_data("a", "1");
        let listed = userdata(world, &[]);
        assert_eq!(
            (listed.code, listed.out.trim_end()),
            (0, "USER_DATA=2\nUSER_DATA_0=a\nUSER_DATA_1=b"),
            "{}",
            listed.err
        );
        let listed = userdata(world, &["--json"]);
        assert_eq!(listed.out, "{\"user_data\":[\"a\",\"b\"]}\n");
    });
}

#[test]
fn value_is_unchanged_and_missing_key_is_not_found() {
    with_and_without_daemon(|world| {
        for value in [&b"plain"[..], b"", b"two\nlines\n", b"\xff\x00\x01 not text", &vec![b'x'; 1024 * 1024]]
        {
            world.standin().set_user_data("key", value);
            let output = world.command(userdata_program()).arg("key").output().expect("started");
            assert_eq!((output.status.code(), &*output.stdout), (Some(0), value));
        }
        let missing = userdata(world, &["no-such-key"]);
        assert_eq!((missing.code, &*missing.out), (3, ""));
        assert_eq!(missing.err, "scw-userdata: this key is not set\n");
    });
}

#[test]
fn values_are_set_from_an_argument_a_file_and_standard_input() {
    with_and_without_daemon(|world| {
        assert_eq!(userdata(world, &["key", "a value"]).code, 0);
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"a value"[..]));
        let patch = world.standin().requests().into_iter().rfind(|r| r.method == "PATCH").expect("a PATCH");
        let content_type = patch.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        assert_eq!(content_type.map(|(_, value)| &**value), Some("text/plain"));

        std::fs::write("/run/value", b"from a file\n\xff").expect("written");
        assert_eq!(userdata(world, &["key", "--file", "/run/value"]).code, 0);
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"from a file\n\xff"[..]));

        let mut child = world
            .command(userdata_program())
            .args(["key", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("piped").write_all(b"from a pipe").expect("written");
        assert!(child.wait().expect("waited").success());
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"from a pipe"[..]));
    });
}

#[test]
fn s3_argument_after_the_key_is_always_the_value() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    with_and_without_daemon(|world| {
        std::fs::write("/run/value", "from a file").expect("written");
        for value in [
            "-d",
            "--delete",
            "-f/run/value",
            "--file=/run/value",
            "-h",
            "-V",
            "--json",
            "-5",
            "--",
            "-",
            pem,
        ] {
            let ended = userdata(world, &["key", value]);
            assert_eq!((ended.code, &*ended.out, &*ended.err), (0, "", ""), "{value}");
            assert_eq!(world.standin().user_data("key").as_deref(), Some(value.as_bytes()), "{value}");
        }
    });
}

#[test]
fn value_is_read_from_pipes_up_to_the_limit() {
    with_and_without_daemon(|world| {
        // `-`, a path of standard input, a path of another descriptor, a named pipe.
        for script in [
            "printf %s \"$0\" | USERDATA key --file -",
            "printf %s \"$0\" | USERDATA key --file /dev/stdin",
            "USERDATA key --file <(printf %s \"$0\")",
            "rm -f /run/pipe; mkfifo /run/pipe; printf %s \"$0\" >/run/pipe & USERDATA key -f /run/pipe",
        ] {
            world.standin().set_user_data("key", "old");
            let script = script.replace("USERDATA", userdata_program());
            let ended = run(world.command("bash").args(["-c", &script, "from a pipe"]));
            assert_eq!((ended.code, &*ended.err), (0, ""), "{script}");
            assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"from a pipe"[..]), "{script}");
        }
        // A socket cannot be opened by its path, only read.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("sockets");
        (&ours).write_all(b"from a socket").expect("written");
        drop(ours);
        let mut command = world.command(userdata_program());
        command.args(["key", "--file", "/dev/stdin"]).stdin(std::os::fd::OwnedFd::from(theirs));
        assert!(command.status().expect("started").success());
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"from a socket"[..]));
        for endless in ["/dev/zero", "/run"] {
            assert_eq!(userdata(world, &["key", "--file", endless]).code, 2, "{endless}");
        }
    });
}

#[test]
fn empty_value_is_refused_with_a_hint_to_delete() {
    with_and_without_daemon(|world| {
        world.standin().set_user_data("key", "value");
        for words in [&["key", ""][..], &["key", "--file", "/dev/null"]] {
            let refused = userdata(world, words);
            assert_eq!((refused.code, &*refused.out), (2, ""), "{}", refused.err);
            assert!(refused.err.contains("`scw-userdata --delete KEY`"), "{}", refused.err);
        }
        assert_eq!(world.standin().user_data("key").as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn delete_reports_the_answer_of_the_service() {
    with_and_without_daemon(|world| {
        world.standin().set_user_data("key", "value");
        assert_eq!(userdata(world, &["--delete", "key"]).code, 0);
        assert_eq!(world.standin().user_data("key"), None);
        assert_eq!(
            userdata(world, &["--delete", "key"]).code,
            0,
            "the service answers 204 for a missing key, too"
        );
        world.standin().set_orders(vec![Order::new(Fault::status(404)).method("DELETE")]);
        assert_eq!(userdata(world, &["--delete", "key"]).code, 3);
    });
}

#[test]
fn key_never_changes_the_request_path() {
    with_and_without_daemon(|world| {
        world.standin().set_user_data("a/../b c?d", "value");
        assert_eq!(userdata(world, &["a/../b c?d"]).out, "value");
        world.standin().clear_requests();
        let refused = userdata(world, &[".."]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(!request_lines(world).iter().any(|line| line.contains("..")), "{:#?}", request_lines(world));
    });
}

#[test]
fn d3_only_root_may_ask_the_daemon() {
    World::builder().run(|world| {
        world.standin().set_user_data("key", "value");
        let daemon = start_daemon(world);
        let mut nobody = world.command("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        // Other users may have no access to the build folder.
        copy_program(world, userdata_program(), "/run/scw-userdata");
        nobody.args(["/run/scw-userdata", "key"]);
        let got = run(&mut nobody);
        assert_eq!((got.code, &*got.out), (4, ""), "{}", got.err);
        assert!(got.err.contains("only root") && got.err.contains("`read-group`"), "{}", got.err);
        // The mode of the socket is one protection. The client's user id from the kernel is another, and is enough alone.
        run(world.command("chmod").args(["0666", "/run/scw-agent/api.sock"]));
        let got = run(&mut nobody);
        assert_eq!((got.code, &*got.out), (4, ""), "{}", got.err);
        assert!(got.err.contains("only root") && got.err.contains("[local-api]"), "{}", got.err);
        assert_eq!(request_lines(world).iter().filter(|line| line.ends_with("/key")).count(), 0);
        daemon.terminate();
    });
}

#[test]
fn socket_serves_the_paths_of_the_api_and_status() {
    World::builder().ipv6(Reach::Absent).run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let curl = |path: &str| {
            let url = format!("http://x{path}");
            let mut command = world.command("curl");
            run(command.args(["-s", "-w", " %{http_code}", "--unix-socket", "/run/scw-agent/api.sock", &url]))
                .out
        };
        assert!(curl("/").contains("api-metadata"));
        assert!(
            curl("/conf").contains("COMMERCIAL_TYPE=")
                && curl("/conf?format=json").contains("\"commercial_type\"")
        );
        assert!(curl("/user_data/ssh-host-fingerprints").ends_with("(ED25519) 200"));
        assert_eq!(curl("/user_data/none").rsplit(' ').next(), Some("404"));
        assert_eq!(curl("/elsewhere"), "no such path\n 404");
        let status = curl("/status");
        let status: serde_json::Value = serde_json::from_str(status.trim_end_matches(" 200")).expect("JSON");
        assert_eq!((&status["version"], &status["metadata"]["family"]), (&1.into(), &"ipv4".into()));
        daemon.terminate();
        assert!(!std::path::Path::new("/run/scw-agent/api.sock").exists());
    });
}
