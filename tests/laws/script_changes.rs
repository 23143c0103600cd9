//! The setting `[setup] on-change`: a setup script changes while the machine runs.

use std::fs;
use std::path::Path;

use scw_stage::World;

use crate::machine::*;

const FETCHED: &str = "GET /user_data/setup-script";

/// A script that adds a line to the file that [`runs`] counts, with this comment.
fn counting_script(comment: &str) -> String {
    format!("#!/bin/sh\n# {comment}\necho ran >> /var/lib/ran\n")
}

fn configure(on_change: &str) {
    let text = format!(
        "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"100ms\"\n[setup]\non-change = {on_change:?}\n"
    );
    fs::write("/etc/scw-agent.toml", text).expect("written");
}

/// Waits for the request, and runs the setup runner as systemd does.
fn run_requested(world: &World) {
    until(world, "requested", || Path::new(SETUP_REQUESTED).exists().then_some(()));
    // The daemon may see the request pending during the run, and repeat it.
    while Path::new(SETUP_REQUESTED).exists() {
        agent(world, &["setup", "run"]);
    }
}

/// Waits for rounds of the daemon, of which one in sixteen looks for changed scripts.
fn wait_for_rounds(world: &World) {
    let rounds =
        || request_lines(world).iter().filter(|line| *line == "GET /user_data/ssh-host-fingerprints").count();
    let before = rounds();
    until(world, "through its rounds", || {
        serve_requests(world);
        (rounds() >= before + 20).then_some(())
    });
}

#[test]
fn s1_on_change_now_runs_a_changed_script_once() {
    World::builder().run(|world| {
        configure("now");
        agent(world, &["host-keys", "ensure"]);
        world.standin().set_user_data("setup-script", counting_script("planted-secret-1"));
        world.standin().set_user_data("startup-script", "#!/bin/sh\necho ran >> /var/lib/started\n");
        let daemon = start_daemon(world);
        run_requested(world);
        assert_eq!(runs(), 1);
        wait_for_rounds(world);
        assert!(!Path::new(SETUP_REQUESTED).exists(), "nothing changed");

        world.standin().set_user_data("setup-script", counting_script("planted-secret-2"));
        run_requested(world);
        assert_eq!(runs(), 2);
        wait_for_rounds(world);
        assert!(!Path::new(SETUP_REQUESTED).exists(), "the runner is requested once");
        assert_eq!(agent(world, &["status"]).code, 0);

        world.standin().set_user_data("setup-script.new", counting_script("planted-secret-3"));
        run_requested(world);
        assert_eq!(runs(), 3, "a new key");

        // A content that has run does not run again. A value that cannot run is requested only once.
        world.standin().set_user_data("setup-script", counting_script("planted-secret-1"));
        run_requested(world);
        world.standin().set_user_data("setup-script", "no script: planted-secret-4");
        run_requested(world);
        wait_for_rounds(world);
        assert!(!Path::new(SETUP_REQUESTED).exists(), "the runner is requested once");
        for content in ["scw-setup: when=once", "scw-setup: when=once timeout=9m"] {
            world.standin().set_user_data("setup-script.once", counting_script(content));
            run_requested(world);
        }
        wait_for_rounds(world);
        assert!(
            !Path::new(SETUP_REQUESTED).exists(),
            "a script with `when=once` is not requested again and again"
        );
        assert_eq!(runs(), 4);
        assert_eq!(fs::read_to_string("/var/lib/started").expect("read").lines().count(), 1, "once a boot");

        // Without a request, a second start runs nothing, whatever has changed (invariant S4).
        let (_, logged) = daemon.terminate();
        assert!(!logged.contains("planted-secret"), "{logged}");
        world.standin().set_user_data("setup-script", counting_script("planted-secret-5"));
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 4);
    });
}

#[test]
fn by_default_a_changed_script_waits_for_the_next_boot() {
    World::builder().run(|world| {
        configure("next-boot");
        agent(world, &["host-keys", "ensure"]);
        world.standin().set_user_data("setup-script", counting_script("one"));
        let daemon = start_daemon(world);
        run_requested(world);
        world.standin().set_user_data("setup-script", counting_script("two"));
        world.standin().clear_requests();
        wait_for_rounds(world);
        assert!(
            !request_lines(world).iter().any(|line| line == FETCHED),
            "the daemon does not read the script"
        );
        // An attacker who has become the daemon's user can write the request.
        fs::write(SETUP_REQUESTED, "").expect("written");
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1);
        daemon.terminate();
        world.reboot();
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 2);
    });
}

#[test]
fn on_change_never_runs_only_scripts_with_when_change() {
    World::builder().run(|world| {
        configure("never");
        for (content, expected) in
            [("one", 1), ("two", 1), ("scw-setup: when=change", 2), ("scw-setup: when=change timeout=9m", 3)]
        {
            world.standin().set_user_data("setup-script", counting_script(content));
            assert_eq!((agent(world, &["setup", "run"]).code, runs()), (0, expected), "{content}");
            world.reboot();
        }
    });
}
