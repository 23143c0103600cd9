//! How often the idle daemon wakes the processor. A wake-up is the end of a wait: a timer, or an event at a socket.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use scw_budgets::{EVENTS, SYSTEM_CALLS, TIMERS};
use scw_stage::{Daemon, Notify, Programs, Waits, World, waits};

/// The published value is checked two to four times in it, because the checks are 15 to 20 s apart here, and not 40 to 55.
const WINDOW: Duration = Duration::from_secs(50);
const CONFIGURATION: &str = "[metadata]\nlook-again = \"20s\"\n";

/// `WatchdogSec=` of the unit.
fn watchdog() -> Duration {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd/scw-agent.service");
    let unit = fs::read_to_string(unit).expect("the unit");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("WatchdogSec=")?.strip_suffix('s'));
    Duration::from_secs(seconds.expect("a watchdog").parse().expect("seconds"))
}

#[test]
fn t5_idle_daemon_has_less_than_five_timers_a_minute() {
    let programs = Programs::build().expect("built");
    World::builder().run(|world| {
        let made = world.command(&programs.agent).args(["host-keys", "ensure"]).status().expect("started");
        assert!(made.success());
        fs::write("/etc/scw-agent.toml", CONFIGURATION).expect("written");
        let notify = Notify::new(world).expect("a socket");
        let trace = Path::new("/run/stage/waits");
        let mut command = waits::traced(world, trace);
        command.arg(&programs.agent).arg("daemon").env("NOTIFY_SOCKET", notify.path());
        command.env("WATCHDOG_USEC", watchdog().as_micros().to_string());
        let daemon = Daemon::spawn(&mut command).expect("started");
        assert!(notify.wait_for("READY=1", Duration::from_secs(600)), "{}", daemon.output());
        let ended_waits = || waits::ended_waits(trace);
        // Do the work of PID 1: the daemon repeats a request until it is served.
        let served = || {
            fs::read_dir("/run/scw-agent-requests/host-keys")
                .is_ok_and(|mut entries| entries.next().is_none())
        };
        let start = std::time::Instant::now();
        let serve = || {
            assert!(start.elapsed() < Duration::from_secs(600), "{}", daemon.output());
            while !served() {
                world.command(&programs.agent).args(["host-keys", "settle"]).output().expect("started");
            }
        };
        // On a busy machine, the second request can come long after the first one.
        while world.standin().user_data("ssh-host-fingerprints").is_none() {
            serve();
            sleep(Duration::from_millis(50));
        }
        // During its first round the daemon is not idle. The round has ended when there was no wake-up for a while.
        let mut before = ended_waits().len();
        loop {
            sleep(Duration::from_secs(8));
            serve();
            let now = ended_waits().len();
            if std::mem::replace(&mut before, now) == now {
                break;
            }
        }
        let checks_before = world.standin().requests().len();
        let calls_before = waits::calls(trace);
        sleep(WINDOW);
        let calls = waits::calls(trace) - calls_before;
        let ended = ended_waits().split_off(before);
        println!("{}", ended.join("\n"));
        let checks = world.standin().requests().len() - checks_before;
        let Waits { timers, events } = Waits::of(&ended);
        println!("{checks} checks of the published value");
        assert!(checks >= 2, "the daemon is idle, and checks all the same");
        TIMERS.check((timers as u64).div_ceil(checks as u64));
        EVENTS.check((events as u64).div_ceil(checks as u64));
        SYSTEM_CALLS.check((calls as u64).div_ceil(checks as u64));
        let fed = notify.messages().iter().filter(|message| message.contains("WATCHDOG=1")).count();
        assert!(fed > 0, "the daemon must feed the watchdog");
        // strace ignores SIGTERM; the end of the world kills both.
        drop(daemon);
    });
}
