//! A script with `user=` and the shipped units: the place of its file, its user and its environment (D3, S3, S4).

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::failed_units;

/// It prints what it sees, starts itself again, and waits for a file before it ends.
const SCRIPT: &str = r#"#!/bin/sh
# scw-setup: user=deploy env=COLOUR=blue
# This text may not be on a disk.
while [ "$1" != again ] && [ ! -e /home/deploy/noexec ]; do : >/home/deploy/began; sleep 0.1; done
if [ "$1" = again ]; then echo "again as $(id -un)"; exit 0; fi
env | sed 's/=.*//' | sort | tr '\n' ' '; echo
echo "$COLOUR $(id -u) $(id -Gn) $(umask) $(pwd) $(stat -c '%a %U' "$0") $(stat -c '%a %U' "$(dirname "$0")")"
grep -E '^(CapInh|CapPrm|CapEff|CapAmb|SigIgn|SigBlk):' /proc/self/status
readlink /proc/self/fd/0
"$0" again
while [ ! -e /home/deploy/go-on ]; do sleep 0.1; done
"#;
const MOUNT: &str = r"run-scw\x2dagent\x2dsetup-scripts.mount";

#[test]
fn d3_user_script_in_images_gains_no_root_rights() {
    for suite in Suite::ALL {
        check_user_script(suite);
    }
}

fn check_user_script(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot("useradd --create-home --shell /bin/sh deploy; groupadd extra; usermod -aG extra deploy").ok("useradd");
        let machine = Machine::power_on(world, &disk);
        machine.until("the script runs", "[ -e /home/deploy/began ]");
        // Hardened images mount /run with noexec.
        machine.ok("mount -o remount,noexec /run && : >/home/deploy/noexec");
        let options = machine.ok("findmnt -no FSTYPE,OPTIONS /run/scw-agent-setup/scripts");
        for option in ["tmpfs", "nosuid", "nodev", "mode=711"] {
            assert!(options.contains(option), "{suite:?}: {option}: {options}");
        }
        assert!(!options.contains("noexec"), "{suite:?}: {options}");
        assert_eq!(machine.ok(&format!("systemctl is-active '{MOUNT}'")), "active");
        let found = machine.ok("grep -rl 'may not be on a disk' /var /etc /root /home 2>/dev/null || true");
        assert_eq!(found, "", "{suite:?}");
        let list = machine.sh("setpriv --reuid=deploy --regid=deploy --clear-groups ls /run/scw-agent-setup/scripts");
        assert!(!list.is_ok(), "{suite:?}: the user cannot list the folder: {}", list.out);

        // An upgrade does not disturb the running script (S4).
        let newer = disk.bring(&kit.deb_as("9.9.9-1"));
        machine.ok(&format!("dpkg --install {newer}"));
        machine.ok("pgrep -u deploy -f scw-agent-setup/scripts && : >/home/deploy/go-on");
        machine.until("the boot's scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        let shown = machine.ok("scw-agent setup show setup-script");
        for line in [
            "APT_CONFIG COLOUR HOME LANG LOGNAME PATH PWD SCW_HOSTNAME SCW_INSTANCE_ID SCW_SCRIPT SCW_SETUP_ATTEMPT SCW_SETUP_RUN SCW_ZONE SHELL USER ",
            "blue 1000 deploy extra 0022 / 500 deploy 711 root",
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "SigBlk:\t0000000000000000",
            "/dev/null",
            "again as deploy",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{suite:?}: {line:?} is not in {shown}");
        }
        let ignored = shown.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("the ignored signals");
        let ignored = u64::from_str_radix(ignored, 16).expect("a number");
        assert_eq!(ignored & (1 << (13 - 1)), 0, "{suite:?}: SIGPIPE is not ignored");
        assert!(shown.contains("exit code 0"), "{suite:?}: {shown}");
        assert_eq!(machine.ok("ls -A /run/scw-agent-setup/scripts"), "", "{suite:?}");
        assert_eq!(failed_units(&machine), "", "{suite:?}");
        machine.power_off();
    });
}
