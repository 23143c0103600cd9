//! Machines with only one address family, and without a network.

use std::thread::sleep;
use std::time::Duration;

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::{Reach, World};

use crate::common::{SCRIPT, failed_units, log_in, published, script_runs};

#[test]
fn t3_image_does_complete_job_over_ipv6_alone() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().ipv4(Reach::Absent).run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        log_in(&machine, &published(world, &machine));
        script_runs(&machine, 1);
        assert_eq!(failed_units(&machine), "");
        assert!(world.standin().requests().iter().all(|request| request.local.is_ipv6()));
    });
}

#[test]
fn t5_t6_sshd_up_without_network_job_done_when_it_comes() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        world.set_link(false);
        world.standin().set_user_data("setup-script", SCRIPT);
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::power_on(world, &disk);
        machine.until("sshd listens", "ssh-keyscan 127.0.0.1 2>/dev/null | grep -q ssh-ed25519");
        machine.until("the daemon is ready", "systemctl is-active --quiet scw-agent.service");
        sleep(Duration::from_secs(20));
        assert_eq!(failed_units(&machine), "");
        assert_eq!(world.standin().requests().len(), 0);
        let log = machine.ok(
            "journalctl --boot --identifier=scw-agent --identifier=scw-agent-setup --no-pager --output=cat",
        );
        println!("{log}");
        assert!(log.lines().count() <= 6, "{log}");

        world.set_link(true);
        log_in(&machine, &published(world, &machine));
        script_runs(&machine, 1);
    });
}
