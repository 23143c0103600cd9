//! S2, S3: what the machine's console shows, and that no program waits for the console.

use std::fs;
use std::path::Path;

use scw_stage::{Console, Daemon, Family, Reach, World};

use crate::machine::*;

/// The lines that the agent has written since the last call, without their prefix.
fn new_lines(console: &mut Console) -> Vec<String> {
    let written = console.written();
    let own: Option<Vec<_>> = written.lines().map(|line| line.strip_prefix("scw-agent: ")).collect();
    own.expect("lines of the agent only").into_iter().map(str::to_owned).collect()
}

fn is_key_line(line: &str) -> bool {
    line.starts_with("host key 256 SHA256:") && line.ends_with(" (ED25519)")
}

#[test]
fn s2_console_shows_start_and_outcome_of_scripts() {
    World::builder().run(|world| {
        let mut console = Console::new(world).expect("a console");
        let long = format!("setup-script.{}\u{202e}", "n".repeat(220));
        world.standin().set_user_data(
            "setup-script",
            "#!/bin/sh\n# scw-setup: env=A=hunter2 retries=1 retry-delay=1ms\necho hunter2\nexit 3\n",
        );
        world.standin().set_user_data("setup-script.a\u{202e}b", "hunter2\n");
        world.standin().set_user_data(&long, "#!/bin/sh\n");
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        let lines = new_lines(&mut console);
        let expected = [
            "setup-script: started (attempt 1)",
            "setup-script: exit code 3 after ",
            "setup-script: started (attempt 2)",
            "setup-script: exit code 3 after ",
            "setup-script.a\\u{202e}b: not run: the script does not start with `#!`",
            "setup-script.nnn",
            "setup-script.nnn",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, begin) in lines.iter().zip(expected) {
            assert!(line.starts_with(begin) && line.len() <= 200 && !line.contains("hunter2"), "{lines:#?}");
        }
        // A script that has run is not shown again.
        agent(world, &["setup", "run"]);
        assert_eq!(new_lines(&mut console), Vec::<String>::new());

        fs::write("/etc/scw-agent.toml", "[console]\nenabled = false\n").expect("written");
        agent(world, &["setup", "run", "setup-script", "--again"]);
        assert_eq!(new_lines(&mut console), Vec::<String>::new(), "switched off");
    });
}

#[test]
fn h3_console_shows_fingerprints_of_a_known_instance() {
    World::builder().run(|world| {
        let mut console = Console::new(world).expect("a console");
        make_host_key(world);
        // Without the metadata service, the Instance is unknown.
        for reach in [Reach::Absent, Reach::Served] {
            world.set_reach(Family::Ipv4, reach);
            world.set_reach(Family::Ipv6, reach);
            assert_eq!(new_lines(&mut console), Vec::<String>::new());
            fs::write(INSTANCE_SEEN, "").expect("written");
            let settled = agent(world, &["host-keys", "settle"]);
            assert_eq!(settled.code, 0, "{}", settled.err);
        }
        let first = new_lines(&mut console);
        assert!(first.len() == 1 && is_key_line(&first[0]), "{first:?}");
        let shown = agent(world, &["host-keys", "show"]).out;
        assert!(shown.contains(first[0].split(' ').nth(3).expect("a fingerprint")), "{first:?}\n{shown}");

        confirm_instance(world);
        let mut daemon = start_daemon(world);
        wait_until_settled(world);
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        daemon.wait(LONG).expect("ended");
        assert_eq!(new_lines(&mut console), Vec::<String>::new(), "once in a boot");

        fs::remove_file("/etc/ssh/ssh_host_ed25519_key").expect("removed");
        make_host_key(world);
        confirm_instance(world);
        let changed = new_lines(&mut console);
        assert!(changed.len() == 1 && is_key_line(&changed[0]) && changed != first, "{changed:?}");

        world.reboot();
        make_host_key(world);
        confirm_instance(world);
        assert_eq!(new_lines(&mut console), changed, "in each boot");
        // After a reboot nothing is shown until the metadata service has confirmed the Instance: the disk may be a clone's.
        world.reboot();
        make_host_key(world);
        assert_eq!(agent(world, &["host-keys", "settle"]).code, 0);
        assert_eq!(new_lines(&mut console), Vec::<String>::new(), "not known yet");
    });
}

#[test]
fn s2_full_console_delays_nothing() {
    World::builder().run(|world| {
        let mut console = Console::new(world).expect("a console");
        console.fill();
        make_host_key(world);
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        fs::write(INSTANCE_SEEN, "").expect("written");
        for words in [["setup", "run"], ["host-keys", "settle"]] {
            let mut command = world.command(AGENT);
            let mut running = Daemon::spawn(command.args(words)).expect("started");
            let ended = running.wait(LONG).expect("the program ends although the console is full");
            assert_eq!(ended.code(), Some(0), "{words:?}: {}", running.output());
        }
        assert!(!console.written().contains("scw-agent"), "it was full");
    });
}

#[test]
fn s2_file_instead_of_the_console_is_not_written() {
    World::builder().run(|world| {
        fs::write("/run/console", "").expect("written");
        Console::put(Path::new("/run/console")).expect("put");
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, fs::read("/run/console").expect("read")), (0, vec![]), "{}", ran.err);
    });
}
