//! One boot as on a real machine: an emulated machine with Debian's own kernel and initrd, disks and a serial console.

mod guest;
mod monitor;
mod volumes;

use std::fs;

use scw_images::{Kit, Suite};
use scw_stage::World;
use scw_standin::Options;

use crate::common::SCRIPT;
use guest::{Guest, until};

/// One of its processes uses more memory than the unit's limit and is killed. The script and the unit continue.
const GREEDY: &str = "#!/bin/sh\nperl -e '$a = \"a\" x 200e6; sleep 1'\necho \"greedy: $?\"\n";

#[test]
fn h1_h3_s1_emulated_debian_13_does_complete_job() {
    let kit = Kit::new(Suite::TrixieKernel);
    let folder = Kit::scratch("emulated");
    fs::create_dir_all(&folder).expect("made");
    let options = Options { public_api: Some(volumes::public_api()), ..Options::default() };
    World::builder().standin(options).run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        world.standin().set_user_data("setup-script.greedy", GREEDY);
        let mut guest = Guest::start(world, &kit, &folder, &volumes::prepare(world, &folder));
        let published = guest.wait_until_published();
        guest.log_in();
        wait_for_scripts(&guest);
        check_units(&guest);
        check_console(&guest, &published);
        volumes::check(&guest);
        guest.ssh("systemctl poweroff");
    });
    fs::remove_dir_all(&folder).expect("removed");
}

fn wait_for_scripts(guest: &Guest) {
    until(&guest.qemu, "script", || {
        guest
            .ssh("ls /run/scw-agent-setup/summary.json 2>/dev/null || true")
            .starts_with("/run")
            .then_some(())
    });
    assert!(guest.ssh("cat /var/log/setup-script.log").starts_with("ran for"));
    until(&guest.qemu, "the unit ended", || {
        (guest.ssh("systemctl show --property=ActiveState --value scw-agent-setup.service") == "inactive")
            .then_some(())
    });
}

fn check_units(guest: &Guest) {
    assert_eq!(guest.ssh("systemctl --failed --plain --no-legend"), "");
    let chain = guest.ssh("systemd-analyze critical-chain ssh.service");
    println!(
        "{}\n{chain}\n{}",
        guest.ssh("uname -r; scw-agent status; systemd-analyze"),
        guest.ssh("systemctl status --no-pager scw-agent.service | head -n 12")
    );
    assert!(!chain.contains("scw-agent.service") && !chain.contains("online"), "{chain}");
    // The limits of a control group, which a container cannot show.
    assert_eq!(
        guest.ssh("cat /sys/fs/cgroup/system.slice/scw-agent.service/memory.max"),
        (64 << 20).to_string()
    );
    let shown = guest.ssh("scw-agent setup show setup-script.greedy");
    assert!(shown.contains("greedy: 137") && shown.contains("exit code 0"), "{shown}");
}

/// The console is a real device here, and the setup unit may write to it.
fn check_console(guest: &Guest, published: &[String]) {
    let console = guest.qemu.output();
    for line in ["setup-script: started (attempt 1)", "setup-script.greedy: exit code 0 after"] {
        assert!(console.contains(&format!("scw-agent: {line}")), "{console}");
    }
    for key in published {
        assert!(console.contains(&format!("scw-agent: host key {key}")), "{console}");
    }
}
