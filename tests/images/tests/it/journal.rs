//! The journal has the complete output of scripts, however large, and their outcomes, and explains them.

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

/// More lines than journald accepts from one unit in 30 seconds by default.
const LINES: usize = 100_000;

#[test]
fn s2_journal_keeps_every_line_and_outcome() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        check_every_line(suite);
    }
}

fn check_every_line(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world
            .standin()
            .set_user_data("setup-script.1", format!("#!/bin/sh\nseq -f 'line %.0f' {LINES}\nexit 3\n"));
        world.standin().set_user_data("setup-script.2", "#!/bin/sh\necho the other one\n");
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        let count = |matches: &str| {
            machine.ok(&format!("journalctl --boot --output=cat --no-pager {matches} | wc -l"))
        };
        check_catalog(&machine, suite);
        // On a busy machine, the last lines arrive after the summary.
        machine.until(
            "every line is in the journal",
            &format!(
                "journalctl --sync; lines=$(journalctl --boot --output=cat --no-pager SCW_SCRIPT=setup-script.1 | grep -c ': line [0-9]')
                 echo $lines; [ $lines = {LINES} ]"
            ),
        );
        for (what, matches) in [
            ("failed", "MESSAGE_ID=cd5e62b229694a7f869732ff08735d16 SCW_SCRIPT=setup-script.1"),
            (
                "the other one succeeded",
                "MESSAGE_ID=f4dcd7b7e98848b98537e8fb91c2c774 SCW_SCRIPT=setup-script.2",
            ),
        ] {
            assert_eq!(count(matches), "1", "{suite:?}: {what}");
        }
        let suppressed = machine.ok("journalctl --boot --no-pager | grep -c 'Suppressed' || true");
        assert_eq!(suppressed, "0", "{suite:?}");
    });
}

/// The package's message catalog explains a failure.
fn check_catalog(machine: &Machine, suite: Suite) {
    let explain = "journalctl --boot --catalog --no-pager MESSAGE_ID=cd5e62b229694a7f869732ff08735d16";
    machine.until(
        "the failure is in the journal",
        &format!("journalctl --sync; {explain} | grep setup-script.1"),
    );
    let explained = machine.ok(explain);
    for words in [
        "Subject: Script setup-script.1 failed",
        "Defined-By: scw-agent",
        "\"scw-agent setup show setup-script.1\"",
    ] {
        assert!(explained.contains(words), "{suite:?}: {explained}");
    }
}
