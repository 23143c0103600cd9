//! A setup script that changes while the machine runs: `[setup] on-change`.

use std::fs;
use std::path::Path;

use scw_stage::World;

use crate::machine::*;

const FETCHED: &str = "GET /user_data/setup-script";

fn counting_script(comment: &str) -> String {
    format!("#!/bin/sh\n# {comment}\necho ran >> /var/lib/ran\n")
}

fn configure(on_change: &str) {
    let text = format!(
        "[host-keys]\ntypes = [\"ed25519\"]\n[metadata]\nlook-again = \"100ms\"\n[setup]\non-change = {on_change:?}\n"
    );
    fs::write("/etc/scw-agent.toml", text).expect("written");
}

/// As PID 1 does it when the request is there.
fn run_requested(world: &World) {
    until(world, "asked for", || Path::new(SETUP_REQUESTED).exists().then_some(()));
    // The daemon may see the request pending during the run, and repeat it.
    while Path::new(SETUP_REQUESTED).exists() {
        agent(world, &["setup", "run"]);
    }
}

/// The daemon looks a few times.
fn wait_for_rounds(world: &World) {
    let looked =
        || request_lines(world).iter().filter(|line| *line == "GET /user_data/ssh-host-fingerprints").count();
    let before = looked();
    until(world, "looked", || {
        serve_requests(world);
        (looked() >= before + 4).then_some(())
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
        assert!(!Path::new(SETUP_REQUESTED).exists(), "it was asked for once");
        assert_eq!(agent(world, &["status"]).code, 0);

        world.standin().set_user_data("setup-script.new", counting_script("planted-secret-3"));
        run_requested(world);
        assert_eq!(runs(), 3, "one that is new");

        // What ran once for a content does not run again for it; what cannot run is not asked for over and over.
        world.standin().set_user_data("setup-script", counting_script("planted-secret-1"));
        run_requested(world);
        world.standin().set_user_data("setup-script", "no script: planted-secret-4");
        run_requested(world);
        wait_for_rounds(world);
        assert!(!Path::new(SETUP_REQUESTED).exists(), "it was asked for once");
        for content in ["scw-setup: when=once", "scw-setup: when=once timeout=9m"] {
            world.standin().set_user_data("setup-script.once", counting_script(content));
            run_requested(world);
        }
        wait_for_rounds(world);
        assert!(
            !Path::new(SETUP_REQUESTED).exists(),
            "what does not run for a new content is not asked for over and over"
        );
        assert_eq!(runs(), 4);
        assert_eq!(fs::read_to_string("/var/lib/started").expect("read").lines().count(), 1, "once a boot");

        // Without a request, a second start does nothing, whatever changed (law S4).
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
            "the daemon has no business with it"
        );
        // Whoever has become the daemon's user can ask.
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
