//! S4: when the daemon requests the setup runner, and what the runner does with the request.

use std::fs;
use std::path::Path;

use scw_stage::{Daemon, World};
use scw_standin::{Fault, Order};

use crate::machine::*;

#[test]
fn s4_restarting_the_daemon_runs_no_script() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", COUNTING);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        assert!(Path::new(SETUP_REQUESTED).exists(), "the daemon requests the runner");
        agent(world, &["setup", "run"]);
        assert!(!Path::new(SETUP_REQUESTED).exists(), "the runner removes the request");
        daemon.terminate();
        world.standin().set_user_data("setup-script", format!("{COUNTING}# changed\n"));
        world.standin().clear_requests();
        let daemon = start_daemon(world);
        wait_until_settled(world);
        agent(world, &["setup", "run"]);
        assert_eq!(runs(), 1, "a change waits for the next boot");
        daemon.terminate();
    });
}

#[test]
fn runner_is_requested_when_publishing_is_refused() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", COUNTING);
        world.standin().set_orders(vec![Order::new(Fault::status(400)).method("PATCH")]);
        let daemon = start_daemon(world);
        until(world, "requested", || fs::exists(SETUP_REQUESTED).ok().filter(|there| *there));
        daemon.terminate();
    });
}

#[test]
fn request_for_the_runner_is_removed_in_any_form() {
    World::builder().run(|world| {
        for make in [format!("mkdir -p {SETUP_REQUESTED}/x"), format!("ln -s /etc/passwd {SETUP_REQUESTED}")]
        {
            run(world.command("sh").args(["-c", &make]));
            agent(world, &["setup", "run"]);
            assert!(fs::symlink_metadata(SETUP_REQUESTED).is_err(), "{make}");
        }
        assert!(fs::exists("/etc/passwd").expect("checked"));
    });
}

#[test]
fn runner_asks_the_service_and_not_the_daemon() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", COUNTING);
        // An attacker who has become the daemon's user can listen on the daemon's socket.
        let _listener = std::os::unix::net::UnixListener::bind("/run/scw-agent/api.sock").expect("bound");
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(0), "{}", runner.output());
        assert_eq!(runs(), 1);
    });
}
