//! S2, S4 and S5 for scripts that misbehave: each has its outcome and its lines in the log, and the other scripts still run.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scw_stage::{Daemon, Journald, World};

use crate::machine::*;

/// Key, script, and text of its outcome. The last script must run, whatever the others do.
const MISBEHAVING: [(&str, &str, &str); 12] = [
    ("setup-script.01-fine", "#!/bin/sh\nexit 0\n", "exit code 0"),
    ("setup-script.02-fails", "#!/bin/sh\nexit 3\n", "exit code 3"),
    ("setup-script.03-killed", "#!/bin/sh\nkill -SEGV $$\n", "killed by SIGSEGV"),
    ("setup-script.04-no-interpreter", "#!/opt/python9\n", "interpreter (line 1) is not on this machine"),
    (
        "setup-script.05-wrong-user",
        "#!/bin/sh\n# scw-setup: user=nobody-here\n",
        "the user of `user=` does not exist",
    ),
    (
        "setup-script.06-stubborn-child",
        "#!/bin/sh\n# scw-setup: timeout=300ms\nsh -c 'trap \"\" TERM; sleep 4713 & wait; sleep 4713' &\nsleep 4713\n",
        "timed out",
    ),
    (
        "setup-script.07-daemon",
        "#!/bin/sh\nsetsid sleep 4714 >/dev/null 2>&1 &\nuntil grep -qx sleep /proc/$!/comm; do sleep 0.02; done\n",
        "exit code 0",
    ),
    ("setup-script.08-removes-itself", "#!/bin/sh\nrm -rf \"$(dirname \"$0\")\"\nexit 0\n", "exit code 0"),
    (
        "setup-script.09-closes-its-output",
        "#!/bin/sh\nexec >&- 2>&-\nsleep 0.3\n: > /var/lib/went-on\n",
        "exit code 0",
    ),
    (
        "setup-script.10-fills-the-disk",
        "#!/bin/sh\ndd if=/dev/zero of=/var/lib/scw-agent/filler bs=64k 2>/dev/null\nrm /var/lib/scw-agent/filler\n",
        "exit code 0",
    ),
    ("setup-script.11-not-utf8-output", "#!/bin/sh\nprintf 'caf\\351\\n'\n", "exit code 0"),
    ("setup-script.99-last", "#!/bin/sh\necho ran > /var/lib/last\n", "exit code 0"),
];

#[test]
fn s2_s5_each_misbehaving_script_has_its_outcome() {
    World::builder().run(|world| {
        // A small disk that a script can fill, and a folder from which nothing can be executed.
        let script = "mount -t tmpfs -o size=1m,mode=700 none /var/lib/scw-agent; mkdir -p /run/scw-agent-setup; \
            mount -t tmpfs -o noexec none /run/scw-agent-setup; chmod 755 /run/scw-agent-setup";
        assert_eq!(run(world.command("sh").args(["-ec", script])).code, 0);
        for (key, body, _) in MISBEHAVING {
            world.standin().set_user_data(key, body);
        }
        let daemon = start_daemon(world);
        let mut command = world.command(AGENT);
        let mut runner = Daemon::spawn(command.args(["setup", "run"])).expect("started");
        assert_eq!(runner.wait(LONG).and_then(|status| status.code()), Some(1), "the unit fails");
        let log = runner.output();
        let listed = agent(world, &["setup", "list"]).out;
        let status = agent(world, &["status"]).out;
        for (key, _, outcome) in MISBEHAVING {
            for (name, text) in [("log", &log), ("list", &listed), ("status", &status)] {
                let reported = text.lines().any(|line| line.contains(key) && line.contains(outcome));
                assert!(reported, "{key} with {outcome:?} is not in the {name}: {text}");
            }
        }
        assert!(fs::exists("/var/lib/last").expect("checked") && fs::exists("/var/lib/went-on").expect("checked"));
        // The leftover process is reported and still runs. The processes of the script that timed out have ended, with its stubborn child.
        assert!(log.lines().any(|line| line.contains("07-daemon") && line.contains("leftover processes: sleep (")), "{log}");
        let running = run(world.command("sh").args(["-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])).out;
        assert_eq!((running.contains("sleep 4714"), running.contains("sleep 4713")), (true, false), "{running}");
        daemon.terminate();
    });
}

#[test]
fn s2_large_output_is_complete_and_costs_no_memory() {
    World::builder().run(|world| {
        let script = "#!/bin/sh\nyes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -c 100000000\nhead -c 1000000 /dev/zero | tr '\\0' z\necho\necho the end\n";
        world.standin().set_user_data("setup-script", script);
        let out = fs::File::create("/var/lib/log").expect("made");
        let mut runner = world.command(AGENT).args(["setup", "run"]).stderr(out).spawn().expect("started");
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_memory_kb(runner.id()));
            if let Some(status) = runner.try_wait().expect("waited") {
                break status;
            }
            sleep(Duration::from_millis(20));
        };
        assert!(status.success());
        let log = fs::read_to_string("/var/lib/log").expect("read");
        let zs: usize = log.lines().map(|line| line.bytes().filter(|byte| *byte == b'z').count()).sum();
        let bytes: usize = log.lines().filter(|line| line.contains("0123456789")).map(|line| line.rsplit(' ').next().map_or(0, str::len) + 1).sum();
        assert!(zs >= 1_000_000 && bytes >= 99_999_900, "{zs} {bytes}");
        assert!(log.lines().any(|line| line.ends_with("setup-script: the end")));
        println!("peak memory of the runner: {peak} kB");
        assert!((1000..40_000).contains(&peak), "{peak} kB");
        let kept = agent(world, &["setup", "show", "setup-script"]).out;
        assert!(kept.len() < 10_000 && kept.contains("the end"));
    });
}

/// The peak memory of a process in kB; 0 after it has ended.
fn peak_memory_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn s4_output_of_leftover_processes_is_logged() {
    World::builder().run(|world| {
        let journald = Journald::start(world).expect("journald");
        let script = "#!/bin/sh\n(sleep 2; echo late-word; echo still-alive > /var/lib/alive) &\n";
        world.standin().set_user_data("setup-script", script);
        let ran = run(&mut logging_to_journal(world, "setup run"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        until(world, "written by the leftover process", || fs::exists("/var/lib/alive").ok()?.then_some(()));
        until(world, "in the journal", || {
            let lines = journald.entries(world, &["SCW_SCRIPT=setup-script"]).expect("read");
            lines.iter().any(|line| line.contains("late-word")).then_some(())
        });
    });
}

/// A script that ends at once and leaves a process that prints all the time.
const ENDLESS_OUTPUT: &str = "#!/bin/sh\nyes &\necho $! >/root/flood\n";

fn end_endless_output(world: &World) {
    assert_eq!(run(world.command("sh").args(["-ec", "kill $(cat /root/flood)"])).code, 0);
}

#[test]
fn s5_endless_output_costs_the_runner_no_memory() {
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", ENDLESS_OUTPUT);
        let out = fs::File::create("/var/lib/log").expect("made");
        let mut runner = world.command(AGENT).args(["setup", "run"]).stderr(out).spawn().expect("started");
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_memory_kb(runner.id()));
            if let Some(status) = runner.try_wait().expect("waited") {
                break status;
            }
            sleep(Duration::from_millis(20));
        };
        end_endless_output(world);
        assert!(status.success());
        println!("peak memory of the runner: {peak} kB");
        assert!((1000..40_000).contains(&peak), "{peak} kB");
    });
}

#[test]
fn s5_endless_output_gets_a_thousand_lines_a_second() {
    World::builder().run(|world| {
        let journald = Journald::start(world).expect("journald");
        world.standin().set_user_data("setup-script", ENDLESS_OUTPUT);
        assert_eq!(run(&mut logging_to_journal(world, "setup run")).code, 0);
        let lines = || journald.entries(world, &["SCW_SCRIPT=setup-script"]).expect("read").len();
        let (start, before) = (std::time::Instant::now(), lines());
        // The reader of the output takes up to eight thousand short lines at once, and then waits for as many milliseconds.
        let after = until(world, "more lines", || {
            sleep(Duration::from_secs(6));
            Some(lines()).filter(|after| *after > before)
        });
        let milliseconds = usize::try_from(start.elapsed().as_millis()).expect("a short time");
        end_endless_output(world);
        println!("{} lines in {milliseconds} ms", after - before);
        // The lines that were read at once at the beginning are added.
        assert!(after - before < milliseconds + 40_000, "{before} {after} {milliseconds}");
    });
}

/// Starts `setup run` with one script, and reads its log: `bytes` at a time, with `pause` in between. `on_read` is called before each read.
/// Returns the numbers of the lines of [`NUMBERED_LINES`] that the log got.
fn read_log_slowly(world: &World, bytes: usize, pause: Duration, mut on_read: impl FnMut(u32)) -> Vec<usize> {
    world.standin().set_user_data("setup-script", NUMBERED_LINES);
    let mut command = world.command(AGENT);
    let mut runner = command.args(["setup", "run"]).stderr(Stdio::piped()).spawn().expect("started");
    let mut log = runner.stderr.take().expect("a pipe");
    let (mut text, mut piece) = (Vec::new(), vec![0; bytes]);
    loop {
        on_read(runner.id());
        match log.read(&mut piece).expect("read") {
            0 => break,
            count => text.extend_from_slice(&piece[..count]),
        }
        sleep(pause);
    }
    runner.wait().expect("ended");
    let text = String::from_utf8(text).expect("UTF-8");
    let numbers = text.lines().filter_map(|line| line.split_once("setup-script: line ")?.1.strip_suffix('.'));
    numbers.map(|number| number.parse().expect("a number")).collect()
}

const NUMBERED_LINES: &str = "#!/bin/sh\nseq -f 'line %.0f.' 10000\n: >/var/lib/printed\n";

/// The last 64 KiB of the output take longer than any wait for output.
#[test]
fn s2_slow_log_gets_every_line_whole_and_in_order() {
    World::builder().run(|world| {
        let lines = read_log_slowly(world, 4096, Duration::from_millis(50), |_| {});
        let differs = lines.iter().zip(1..).position(|(number, expected)| *number != expected);
        assert_eq!((lines.len(), differs), (10_000, None));
        let kept = agent(world, &["setup", "show", "setup-script"]).out;
        assert!(kept.contains("line 10000.") && kept.contains("exit code 0"), "{kept}");
    });
}

/// The log would take minutes for the rest. The outcome must be recorded before systemd kills the runner.
#[test]
fn s1_stop_while_a_slow_log_is_behind_keeps_the_outcome() {
    World::builder().run(|world| {
        let mut is_stopped = false;
        let fast_then_slow = |runner| {
            if !fs::exists("/var/lib/printed").expect("looked up") {
                return;
            }
            if !is_stopped {
                kill(Pid::from_raw(i32::try_from(runner).expect("an id")), Signal::SIGTERM).expect("sent");
                is_stopped = true;
            }
            sleep(Duration::from_millis(200));
        };
        let lines = read_log_slowly(world, 1024, Duration::from_millis(1), fast_then_slow);
        assert!((1..10_000).contains(&lines.len()), "the runner does not wait for the log: {}", lines.len());
        let kept = agent(world, &["setup", "list"]).out;
        assert!(kept.contains("exit code 0"), "{kept}");
    });
}

#[test]
fn s2_hanging_journal_does_not_extend_a_timeout() {
    World::builder().run(|world| {
        let journald = Journald::start(world).expect("journald");
        world.standin().set_user_data(
            "setup-script",
            "#!/bin/sh\n# scw-setup: timeout=1s\n: > /var/lib/began\nexec yes\n",
        );
        let runner = Daemon::spawn(&mut logging_to_journal(world, "setup run")).expect("started");
        until(world, "began", || fs::exists("/var/lib/began").ok()?.then_some(()));
        journald.daemon().signal(Signal::SIGSTOP);
        until(world, "ended", || {
            let running = run(world.command("sh").args(["-c", "cat /proc/[0-9]*/comm"])).out;
            (!running.lines().any(|name| name == "yes")).then_some(())
        });
        journald.daemon().signal(Signal::SIGCONT);
        drop(runner);
    });
}
