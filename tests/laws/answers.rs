//! An unusable answer of the metadata service is reported in the status, once in the log, and by exit codes. Limits apply to the
//! size of all scripts together, to file descriptors, and to lines in the log.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use scw_stage::{Daemon, World};

use crate::machine::*;

fn status(world: &World) -> serde_json::Value {
    serde_json::from_str(&agent(world, &["status", "--json"]).out).unwrap_or_default()
}

fn lines_with(daemon: &Daemon, text: &str) -> usize {
    daemon.lines().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn s2_unusable_answer_is_a_problem() {
    World::builder().run(|world| {
        make_host_key(world);
        world.standin().set_user_data("setup-script", "#!/bin/sh\n");
        let good = world.standin().conf();
        let mut conf = good.clone();
        conf["id"] = "daa2ea5a 0ee6-4cdc-9f1a-e0d1cb4e6d86".into();
        world.standin().set_conf(conf);
        let daemon = start_daemon(world);
        let why = "the metadata service's answer is malformed: ";
        let problem = until(world, "a problem", || status(world)["problems"].get(0).cloned());
        assert!(problem["what"].as_str().is_some_and(|what| what.starts_with(why)), "{problem}");
        assert!(status(world)["unusable_answer"].as_str().is_some_and(|text| text.starts_with(why)));
        assert_eq!(agent(world, &["status"]).code, 1);
        let waited = agent(world, &["status", "--wait", "--timeout", "1s"]);
        assert!(
            waited.code == 5
                && waited.err.contains(&format!("the fingerprints are not published yet: {why}")),
            "{}",
            waited.err
        );
        // The same answer again is not logged again.
        let requests_before = request_lines(world).len();
        daemon.signal(Signal::SIGHUP);
        until(world, "requested again", || (request_lines(world).len() >= requests_before + 2).then_some(()));
        assert_eq!(lines_with(&daemon, why), 1, "{}", daemon.output());

        let ran = agent(world, &["setup", "run"]);
        assert!(ran.code == 6 && ran.err.contains(&format!("no script was run: {why}")), "{}", ran.err);

        world.standin().set_conf(good);
        daemon.signal(Signal::SIGHUP);
        wait_until_published(world);
        let has_no_problem = |status: serde_json::Value| {
            status["has_scripts"] == true
                && status["unusable_answer"].is_null()
                && status["problems"] == serde_json::json!([])
        };
        until(world, "without problems", || has_no_problem(status(world)).then_some(()));
        assert_eq!(lines_with(&daemon, "are usable again"), 1, "{}", daemon.output());
        daemon.terminate();
    });
}

#[test]
fn t5_daemon_out_of_descriptors_does_not_flood_the_log() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("listed").count();
        daemon.terminate();
        // The daemon's user may have no access to the build folder.
        copy_program(world, AGENT, "/run/limited-agent");
        let mut command = world.agent_command("prlimit");
        command.arg(format!("--nofile={0}:{0}", open + 2)).args(["--", "/run/limited-agent", "daemon"]);
        let daemon = Daemon::spawn(&mut command).expect("started");
        wait_until_settled(world);
        let mut held: Vec<_> =
            (0..30).map(|_| UnixStream::connect("/run/scw-agent/api.sock").expect("connected")).collect();
        until(world, "out of descriptors", || (lines_with(&daemon, "cannot accept") > 0).then_some(()));
        // Silent clients are disconnected after five seconds; then the next ones use up the descriptors.
        // A few descriptors were free, so the end of the tenth client shows that this happened several times.
        let _ = held[9].read(&mut [0]);
        assert_eq!(lines_with(&daemon, "cannot accept"), 1, "{}", daemon.output());
        drop(held);
        until(world, "served again", || (agent(world, &["status"]).code == 0).then_some(()));
        daemon.terminate();
    });
}

#[test]
fn s5_sum_of_fetched_scripts_is_bounded() {
    World::builder().run(|world| {
        let body = format!("#!/bin/sh\necho >>/var/lib/ran\nexit\n{}", "#".repeat(1 << 20));
        for number in 10..44 {
            world.standin().set_user_data(&format!("setup-script.{number}"), &body[..1 << 20]);
        }
        let ran = agent(world, &["setup", "run"]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert_eq!(fs::read_to_string("/var/lib/ran").expect("read").lines().count(), 32);
        for key in ["setup-script.42", "setup-script.43"] {
            let expected =
                format!("{key}: not run: this script and those before it have more than 32 MiB together");
            assert!(ran.err.contains(&expected), "{expected}: {}", ran.err);
        }
        assert!(
            !request_lines(world).contains(&"GET /user_data/setup-script.43".to_owned()),
            "a script beyond the limit is not fetched"
        );
    });
}
