//! Causes of vulnerabilities that were published for other agents, each tried here. SECURITY.md has the table.

use std::fs;

use scw_stage::World;

use crate::machine::*;

/// Runs a program under strace with the umask 0. Returns also the system calls, one in each line.
fn run_traced(world: &World, calls: &str, program: &str, words: &[&str]) -> (Ended, String) {
    const LOG: &str = "/run/trace";
    let mut command = world.command("sh");
    command.args(["-c", "umask 0; exec strace -f -qq -o \"$0\" -e trace=\"$@\"", LOG, calls, program]);
    let ended = run(command.args(words));
    let trace = fs::read_to_string(LOG).expect("a trace");
    assert!(!trace.is_empty(), "{}", ended.err);
    (ended, trace)
}

/// In 2021, DHCP packets could take over virtual machines: they made the metadata server's name resolve to another machine.
/// This agent resolves no name and reads nothing that DHCP can set.
#[test]
fn t1_forged_names_have_no_effect() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("colour", "blue");
        world.standin().set_user_data("setup-script", "#!/bin/sh\n:\n");
        fs::write("/etc/hosts", "192.0.2.66 metadata metadata.internal 169.254.42.42 fd00:42::42\n")
            .expect("written");
        let resolver = run(world
            .command("sh")
            .args(["-c", "rm -f /etc/resolv.conf; echo nameserver 192.0.2.66 >/etc/resolv.conf"]));
        assert_eq!(resolver.code, 0, "{}", resolver.err);
        for (program, words) in [
            (userdata_program(), &["colour"][..]),
            (AGENT, &["doctor"]),
            (AGENT, &["setup", "run"]),
            (AGENT, &["host-keys", "settle"]),
        ] {
            let (ended, trace) = run_traced(world, "openat,connect,sendto", program, words);
            assert_eq!(ended.code, 0, "{words:?}: {}", ended.err);
            for line in trace.lines().filter(|line| line.contains(" connect(") || line.contains(" sendto(")) {
                let known = [
                    "169.254.42.42",
                    "fd00:42::42",
                    "AF_UNIX",
                    "AF_NETLINK",
                    "AF_UNSPEC",
                    "NULL, 0)",
                    "NULL, 0 <unfinished",
                ];
                assert!(known.iter().any(|known| line.contains(known)), "{words:?}: {line}");
            }
            let ours =
                trace.lines().filter(|line| line.contains("/etc/hosts") || line.contains("/etc/resolv.conf"));
            assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new(), "{words:?}");
        }
    });
}

/// Other users could read temporary files before their mode was set (CVE-2019-0804 and similar). Here a file is created with the
/// mode that its content needs, independent of the umask.
#[test]
fn s3_no_file_is_created_too_open() {
    /// Files that everybody may read.
    const PUBLIC: [&str; 8] = [
        ".pub",
        "summary.json",
        "running.json",
        "served.json",
        "found.json",
        "instance-seen",
        "-requested",
        "/dev/null",
    ];
    /// The folders in which new keys are made, for root only.
    const KEYS_BESIDE: &str = "/.scw-agent-new.";
    World::builder().run(|world| {
        one_key_type();
        world.standin().set_user_data("setup-script", "#!/bin/sh\n# scw-setup: user=nobody\n:\n");
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho TOKEN=hunter2\n");
        let mut created = 0;
        for words in [&["host-keys", "ensure"][..], &["host-keys", "settle"], &["setup", "run"]] {
            let (ended, trace) = run_traced(world, "openat,mkdir,mkdirat", AGENT, words);
            assert_eq!(ended.code, 0, "{words:?}: {}", ended.err);
            let is_created =
                |line: &&str| !line.contains("= -1") && (line.contains("O_CREAT") || line.contains(" mkdir"));
            for line in trace.lines().filter(is_created) {
                // ssh-keygen sets its own umask, which the arguments of its calls do not show. It writes into a folder that only root can open.
                if line.contains(KEYS_BESIDE) && !line.contains(" mkdir") {
                    continue;
                }
                let mode = created_mode(line).unwrap_or_else(|| unreachable!("no mode in {line}"));
                let public = PUBLIC.iter().any(|name| line.contains(name)) || line.contains(" mkdir");
                let forbidden = if public { 0o022 } else { 0o077 };
                assert_eq!(mode & forbidden, 0, "{words:?}: other users could read or write it: {line}");
                created += 1;
            }
        }
        assert!(
            created >= 6,
            "expected the keys, the identity record, two scripts and their records: {created}"
        );
    });
}

/// The mode argument in a line like `openat(AT_FDCWD, "…", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3`.
fn created_mode(line: &str) -> Option<u32> {
    let before = &line[..line.rfind(") = ")?];
    u32::from_str_radix(before.rsplit(", 0").next()?, 8).ok()
}
