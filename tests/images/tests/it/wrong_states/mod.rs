//! Wrong states of a machine, one after the other in a booted image: whoever asks is told, and nothing says that all is well.
//!
//! Each row makes one state, looks at what every command says, and undoes it; then all must be well again. docs/states.md has the table.

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
    /// In words, for the document.
    what: &'static str,
    make: Make,
    /// A part of what `scw-agent status` says of it.
    shows: &'static str,
    /// The exit codes of `status`, `status --json`, `status --wait` with a short `--timeout`, and `doctor`.
    codes: [i32; 4],
    /// A part of what the journal has.
    journal: &'static str,
}

/// How a state is made.
enum Make {
    /// A value of this key is run.
    Script(&'static str, &'static str),
    /// A shell script makes it, and another undoes it.
    Shell(&'static str, &'static str),
    /// The service answers so to requests of this path, or of this method.
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
fn s2_no_wrong_state_is_called_well() {
    let kit = Kit::new(Suite::Trixie);
    let only = std::env::var("SCW_ROW").unwrap_or_default();
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot_with_console(world, &disk);
        published(world, &machine);
        well(&machine, "before");
        let rows: Vec<_> = rows::rows().into_iter().filter(|row| row.what.contains(&only)).collect();
        assert!(rows.len() >= 20 || !only.is_empty(), "{}", rows.len());
        let wrong: Vec<_> = rows.iter().filter_map(|row| try_row(world, &machine, row).err()).collect();
        assert!(wrong.is_empty(), "{} of {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    });
}

fn try_row(world: &World, machine: &Machine, row: &Row) -> Result<(), String> {
    let console = machine.console().len();
    let begin = machine.ok("journalctl --boot --no-pager -n 1 --show-cursor | sed -n 's/^-- cursor: //p'");
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
            reach(world, Reach::Refused);
            machine.ok(RESTART);
        }
    }
    let mut wrong = Vec::new();
    // The daemon needs a moment to see some of them.
    let deadline = Instant::now() + LONG;
    let said = |command: &str| {
        let ran = machine.sh(&format!("exec scw-agent {command}"));
        (ran.code, ran.out + &ran.err)
    };
    while !said("status").1.contains(row.shows) && Instant::now() < deadline {
        sleep(Duration::from_millis(100));
    }
    let commands = ["status", "status --json", "status --wait --timeout 1s", "doctor"];
    for (command, code) in commands.into_iter().zip(row.codes) {
        let (ended, said) = said(command);
        // The doctor has words of its own for the way to the service.
        let tells = said.contains(row.shows) || command == "doctor" && code > 1;
        // That something is left to do, the daemon may see a moment later than what is wrong.
        let is_early = code == 5 && ended == Some(1);
        if !(ended == Some(code) || is_early) || code == 0 || !tells {
            wrong.push(format!("{command} ends with {ended:?}:\n{said}"));
        }
    }
    let journal =
        machine.ok(&format!("journalctl --boot --no-pager --output=cat --after-cursor={}", quoted(&begin)));
    if !journal.contains(row.journal) {
        wrong.push(format!("the journal has no `{}`:\n{journal}", row.journal));
    }
    if let Make::Script(key, _) = &row.make {
        let says =
            |line: &String| line.contains(&format!("scw-agent: {key}: ")) && !line.contains("exit code 0");
        let lines = || machine.console().split_off(console);
        // It comes by way of systemd-nspawn.
        let mut tries = 0..100;
        while !lines().iter().any(says) && tries.next().is_some() {
            sleep(Duration::from_millis(100));
        }
        if !lines().iter().any(says) {
            wrong.push(format!("the console has no line of {key}: {:#?}", lines()));
        }
    }
    match &row.make {
        Make::Script(key, _) => {
            world.standin().delete_user_data(key);
            machine.ok(FORGET_SCRIPTS);
        }
        Make::Shell(_, undo) => _ = machine.ok(undo),
        Make::Answer(..) | Make::Unreachable => {
            world.standin().set_orders(vec![]);
            reach(world, Reach::Served);
            machine.ok(FORGET_SCRIPTS);
        }
    }
    well(machine, row.what);
    if wrong.is_empty() { Ok(()) } else { Err(format!("- {}: {}", row.what, wrong.join("\n    "))) }
}

fn reach(world: &World, reach: Reach) {
    for family in [Family::Ipv4, Family::Ipv6] {
        world.set_reach(family, reach);
    }
}

/// All is well, by every command.
#[track_caller]
fn well(machine: &Machine, what: &str) {
    machine.until(&format!("well after: {what}"), "scw-agent status --wait --timeout 5s && scw-agent doctor");
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
