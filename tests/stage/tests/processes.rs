//! Tests of processes in a world: none survives it, their output and messages are kept, and signals arrive.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, Journald, Notify, World};

const LONG: Duration = Duration::from_secs(300);

/// Waits until a process has ended; returns whether it has.
fn has_ended(pid: &str) -> bool {
    let proc = PathBuf::from("/proc").join(pid.trim());
    let deadline = Instant::now() + LONG;
    // A killed process remains as a zombie until its new parent has waited for it.
    let alive = || fs::read_to_string(proc.join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
    }
    !alive()
}

#[test]
fn daemonised_grandchild_does_not_survive_its_world() {
    // The second one has left the world's network, but sees its files.
    let pids = World::builder().run(|world| {
        ["setsid", "setsid unshare --net"].map(|way| {
            let script =
                format!("({way} sh -c 'echo $$ >/run/pid; exec sleep 1000' &) </dev/null >/dev/null 2>&1");
            assert!(world.command("sh").args(["-c", &script]).status().expect("run").success());
            let deadline = Instant::now() + LONG;
            loop {
                let pid = fs::read_to_string("/run/pid").unwrap_or_default();
                if pid.ends_with('\n') {
                    fs::remove_file("/run/pid").expect("removed");
                    assert!(PathBuf::from("/proc").join(pid.trim()).exists());
                    return pid;
                }
                assert!(Instant::now() < deadline, "{way} does not start");
                sleep(Duration::from_millis(2));
            }
        })
    });
    for pid in pids {
        assert!(has_ended(&pid), "{pid} still runs");
    }
}

#[test]
fn daemon_dies_when_dropped_and_when_a_test_fails() {
    let pid = World::builder().run(|world| {
        let daemon = Daemon::spawn(world.agent_command("sleep").arg("1000")).expect("started");
        daemon.pid().to_string()
    });
    assert!(has_ended(&pid));

    let pid = std::sync::Mutex::new(String::new());
    let result = std::panic::catch_unwind(|| {
        World::builder().run(|world| {
            let daemon = Daemon::spawn(world.command("sleep").arg("1000")).expect("started");
            *pid.lock().expect("not poisoned") = daemon.pid().to_string();
            // This simulates a failing test. resume_unwind does not call the panic hook.
            std::panic::resume_unwind(Box::new("a failed test"));
        })
    });
    assert!(result.is_err());
    assert!(has_ended(&pid.into_inner().expect("not poisoned")));
}

#[test]
fn output_is_kept_and_a_signal_ends_the_daemon() {
    World::builder().run(|world| {
        let script = "trap 'echo bye >&2; exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let daemon = Daemon::spawn(world.command("sh").args(["-c", script])).expect("started");
        assert!(daemon.wait_for(LONG, |lines| lines == ["up"]));
        let (status, output) = daemon.terminate();
        assert_eq!((status.code(), output.as_str()), (Some(7), "up\nbye\n"));

        let mut daemon = Daemon::spawn(world.command("sleep").arg("1000")).expect("started");
        assert_eq!(daemon.wait(Duration::from_millis(20)), None);
        // Not SIGINT: a process that a shell started in the background ignores SIGINT.
        daemon.signal(nix::sys::signal::Signal::SIGUSR1);
        assert_eq!(daemon.wait(LONG).expect("ended").signal(), Some(10));
        // The child has ended, so no process receives this signal.
        daemon.signal(nix::sys::signal::Signal::SIGKILL);
    });
}

#[test]
fn notify_socket_receives_every_message() {
    World::builder().run(|world| {
        let notify = Notify::new(world).expect("made");
        let other = Notify::new(world).expect("made");
        assert!(!notify.wait_for("READY=1", Duration::from_millis(10)));
        let script = "import os, socket\n\
                      s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                      for i in range(100): s.sendto(b'STATUS=%d' % i, os.environ['NOTIFY_SOCKET'])\n\
                      s.sendto(b'READY=1\\nSTATUS=serving', os.environ['NOTIFY_SOCKET'])\n";
        let mut command = world.agent_command("python3");
        let status = command.args(["-c", script]).env("NOTIFY_SOCKET", notify.path()).status().expect("run");
        assert!(status.success());
        assert!(notify.wait_for("STATUS=serving", LONG));
        assert!(notify.wait_for("READY=1", Duration::ZERO));
        assert_eq!(notify.messages().len(), 101);
        assert!(other.messages().is_empty());
    });
}

#[test]
fn real_journald_returns_the_logged_fields() {
    if !Journald::is_there() {
        eprintln!("systemd-journald is missing: not tested");
        return;
    }
    World::builder().run(|world| {
        let journald = Journald::start(world).expect("up");
        let script = "printf 'MESSAGE=hello\\nSCW_SCRIPT=setup-script\\nSYSLOG_IDENTIFIER=stage-test\\n' | logger --journald";
        let status = world.command("sh").args(["-c", script]).status().expect("run");
        assert!(status.success());
        let entries = journald.entries(world, &["SYSLOG_IDENTIFIER=stage-test"]).expect("read");
        let [entry] = entries.as_slice() else { panic!("one entry: {entries:?}") };
        let entry: serde_json::Value = serde_json::from_str(entry).expect("JSON");
        assert_eq!((&entry["MESSAGE"], &entry["SCW_SCRIPT"]), (&"hello".into(), &"setup-script".into()));
    });
}
