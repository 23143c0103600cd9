//! Wrong states of a machine, one after the other in a booted image: every command reports the problem.
//!
//! Each row makes one state, checks the output of every command, and undoes the state. After that no command may report a problem.
//! docs/reference/states.md has the table.

mod rows;
mod table;

use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::{Family, Reach, World};
use scw_standin::{Fault, Order};

use crate::common::{FINGERPRINTS, LONG, published};

/// A wrong state.
struct Row {
    /// A description for the document.
    what: &'static str,
    make: Make,
    /// A part of the output of `scw-agent status`.
    shows: &'static str,
    /// The exit codes of `status`, `status --json`, `status --wait` with a short `--timeout`, and `doctor`.
    codes: [i32; 4],
    /// A part of a line in the journal.
    journal: &'static str,
}

/// How to make a state.
enum Make {
    /// Runs a script: user data key and value.
    Script(&'static str, &'static str),
    /// A shell script that makes the state, and another that undoes it.
    Shell(&'static str, &'static str),
    /// The service answers requests with this path or method with a fault.
    Answer(Fault, Option<&'static str>, Option<&'static str>),
    /// The service cannot be reached.
    Unreachable,
}

const RUN_SCRIPTS: &str = "rm -f /run/scw-agent-setup/summary.json; systemctl restart scw-agent.service; \
                           systemctl start scw-agent-setup.service || true";
const FORGET_SCRIPTS: &str = "rm -f /run/scw-agent-setup/summary.json; systemctl reset-failed scw-agent-setup.service \
                              2>/dev/null || true; systemctl restart scw-agent.service";
const RESTART: &str = "systemctl restart scw-agent.service";

#[test]
fn s2_every_command_reports_each_wrong_state() {
    let kit = Kit::new(Suite::Trixie);
    let only = std::env::var("SCW_ROW").unwrap_or_default();
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot_with_console(world, &disk);
        published(world, &machine);
        wait_until_healthy(&machine, "before");
        let rows: Vec<_> = rows::rows().into_iter().filter(|row| row.what.contains(&only)).collect();
        assert!(rows.len() >= 20 || !only.is_empty(), "{}", rows.len());
        let wrong: Vec<_> = rows.iter().filter_map(|row| try_row(world, &machine, row).err()).collect();
        assert!(wrong.is_empty(), "{} of {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    });
}

/// Makes a row's state, checks it and undoes it. The error lists what differs from the row.
fn try_row(world: &World, machine: &Machine, row: &Row) -> Result<(), String> {
    let console = machine.console().len();
    let begin = machine.ok("journalctl --boot --no-pager -n 1 --show-cursor | sed -n 's/^-- cursor: //p'");
    make_state(world, machine, row);
    let mut wrong = Vec::new();
    check_commands(machine, row, &mut wrong);
    let journal =
        machine.ok(&format!("journalctl --boot --no-pager --output=cat --after-cursor={}", quoted(&begin)));
    if !journal.contains(row.journal) {
        wrong.push(format!("the journal has no `{}`:\n{journal}", row.journal));
    }
    if let Make::Script(key, _) = &row.make {
        check_console(machine, key, console, &mut wrong);
    }
    undo_state(world, machine, row);
    wait_until_healthy(machine, row.what);
    if wrong.is_empty() { Ok(()) } else { Err(format!("- {}: {}", row.what, wrong.join("\n    "))) }
}

fn make_state(world: &World, machine: &Machine, row: &Row) {
    match &row.make {
        Make::Script(key, value) => {
            world.standin().set_user_data(key, *value);
            machine.ok(RUN_SCRIPTS);
        }
        Make::Shell(make, _) => _ = machine.ok(make),
        Make::Answer(fault, path, method) => {
            let order = Order::new(fault.clone());
            let order = path.map_or(order.clone(), |path| order.path(path));
            let order = method.map_or(order.clone(), |method| order.method(method));
            world.standin().set_orders(vec![order]);
            world.standin().delete_user_data(FINGERPRINTS);
            machine.ok(RESTART);
        }
        Make::Unreachable => {
            set_reach(world, Reach::Refused);
            machine.ok(RESTART);
        }
    }
}

fn undo_state(world: &World, machine: &Machine, row: &Row) {
    match &row.make {
        Make::Script(key, _) => {
            world.standin().delete_user_data(key);
            machine.ok(FORGET_SCRIPTS);
        }
        Make::Shell(_, undo) => _ = machine.ok(undo),
        Make::Answer(..) | Make::Unreachable => {
            world.standin().set_orders(vec![]);
            set_reach(world, Reach::Served);
            machine.ok(FORGET_SCRIPTS);
        }
    }
}

/// Compares the output and the exit code of each command with the row.
fn check_commands(machine: &Machine, row: &Row, wrong: &mut Vec<String>) {
    let run = |command: &str| {
        let ran = machine.sh(&format!("exec scw-agent {command}"));
        (ran.code, ran.out + &ran.err)
    };
    // The daemon notices some of the states only after a moment.
    let deadline = Instant::now() + LONG;
    while !run("status").1.contains(row.shows) && Instant::now() < deadline {
        sleep(Duration::from_millis(100));
    }
    let commands = ["status", "status --json", "status --wait --timeout 1s", "doctor"];
    for (command, code) in commands.into_iter().zip(row.codes) {
        let (mut ended, mut output) = run(command);
        // On a busy machine a second is too short for the check of the published value.
        while ended == Some(5) && code != 5 && Instant::now() < deadline {
            (ended, output) = run(command);
        }
        // `doctor` describes the connection to the service in its own words.
        let is_shown = output.contains(row.shows) || command == "doctor" && code > 1;
        // The daemon may notice a problem first, and a moment later that work remains (exit code 5).
        let is_early = code == 5 && ended == Some(1);
        if !(ended == Some(code) || is_early) || code == 0 || !is_shown {
            wrong.push(format!("{command} ends with {ended:?}:\n{output}"));
        }
    }
}

/// Waits for a line of this key on the console, after the first `before` lines.
fn check_console(machine: &Machine, key: &str, before: usize, wrong: &mut Vec<String>) {
    let is_expected =
        |line: &String| line.contains(&format!("scw-agent: {key}: ")) && !line.contains("exit code 0");
    let lines = || machine.console().split_off(before);
    // systemd-nspawn passes the lines on, which takes a moment.
    let mut tries = 0..100;
    while !lines().iter().any(is_expected) && tries.next().is_some() {
        sleep(Duration::from_millis(100));
    }
    if !lines().iter().any(is_expected) {
        wrong.push(format!("the console has no line of {key}: {:#?}", lines()));
    }
}

fn set_reach(world: &World, reach: Reach) {
    for family in [Family::Ipv4, Family::Ipv6] {
        world.set_reach(family, reach);
    }
}

/// Waits until no command reports a problem.
#[track_caller]
fn wait_until_healthy(machine: &Machine, what: &str) {
    machine.until(
        &format!("no problem after: {what}"),
        "scw-agent status --wait --timeout 5s && scw-agent doctor",
    );
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
