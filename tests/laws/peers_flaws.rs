//! Causes of flaws that were published for other agents, each tried here. SECURITY.md has the table.

use std::fs;

use scw_stage::World;

use crate::machine::*;

/// Runs a program under strace with an umask that hides nothing; every call that was made, one a line.
fn run_traced(world: &World, calls: &str, program: &str, words: &[&str]) -> (Ended, String) {
    const LOG: &str = "/run/trace";
    let mut command = world.command("sh");
    command.args(["-c", "umask 0; exec strace -f -qq -o \"$0\" -e trace=\"$@\"", LOG, calls, program]);
    let ended = run(command.args(words));
    let trace = fs::read_to_string(LOG).expect("a trace");
    assert!(!trace.is_empty(), "{}", ended.err);
    (ended, trace)
}

/// The 2021 takeover of virtual machines by DHCP packets, which made the agent's name resolve to another machine: no name is
/// looked up here, and nothing that DHCP can set is read.
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
            (USERDATA, &["colour"][..]),
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

/// Temporary files that others could read before their mode was set (CVE-2019-0804 and its like): whatever the umask is, a file
/// is created with the mode that its content needs.
#[test]
fn s3_no_file_is_created_too_open() {
    /// What is made for everybody to read.
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
    /// Where new keys are made, for root alone.
    const KEYS_BESIDE: &str = "/.scw-agent-new.";
    World::builder().run(|world| {
        one_key_type();
        world.standin().set_user_data("setup-script", "#!/bin/sh\n# scw-setup: user=nobody\n:\n");
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho TOKEN=hunter2\n");
        let mut created = 0;
        for words in [&["host-keys", "ensure"][..], &["host-keys", "settle"], &["setup", "run"]] {
            let (ended, trace) = run_traced(world, "openat,mkdir,mkdirat", AGENT, words);
            assert_eq!(ended.code, 0, "{words:?}: {}", ended.err);
            let made =
                |line: &&str| !line.contains("= -1") && (line.contains("O_CREAT") || line.contains(" mkdir"));
            for line in trace.lines().filter(made) {
                // ssh-keygen sets its own umask, which the arguments of its calls do not show. It works in a folder of root's.
                if line.contains(KEYS_BESIDE) && !line.contains(" mkdir") {
                    continue;
                }
                let mode = created_mode(line).unwrap_or_else(|| unreachable!("no mode in {line}"));
                let public = PUBLIC.iter().any(|name| line.contains(name)) || line.contains(" mkdir");
                let too_much = if public { 0o022 } else { 0o077 };
                assert_eq!(mode & too_much, 0, "{words:?}: others could read or write it: {line}");
                created += 1;
            }
        }
        assert!(
            created >= 6,
            "the keys, the record of the Instance, two scripts and their records: {created}"
        );
    });
}

/// The mode in `openat(AT_FDCWD, "…", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3`.
fn created_mode(line: &str) -> Option<u32> {
    let before = &line[..line.rfind(") = ")?];
    u32::from_str_radix(before.rsplit(", 0").next()?, 8).ok()
}
