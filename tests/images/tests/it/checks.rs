//! The published value after another program changed it, with the shipped unit and its default settings.

use scw_images::{Disk, Kit, Machine, Suite, pause};
use scw_stage::World;
use scw_standin::{Fault, Order};

use crate::common::{FINGERPRINTS, LONG, published};

/// Waits until the stand-in has received so many more requests of this kind.
fn wait_for_requests(world: &World, method: &str, more: usize) {
    let target = format!("/user_data/{FINGERPRINTS}");
    let count = |requests: &[scw_standin::Request]| {
        requests.iter().filter(|request| request.method == method && request.target == target).count()
    };
    let before = count(&world.standin().requests());
    assert!(world.standin().wait_for(LONG, |requests| count(requests) >= before + more), "{method}");
}

#[test]
fn h4_deleted_value_returns_by_itself_on_debian_13() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let machine = Machine::boot(world, &disk);
        let keys = published(world, &machine);
        let right = world.standin().user_data(FINGERPRINTS).expect("published");

        // Nobody asks the daemon. What systemd shows meanwhile names the time of the last check.
        let start = std::time::Instant::now();
        world.standin().delete_user_data(FINGERPRINTS);
        world.standin().set_user_data("colour", "blue");
        while world.standin().user_data(FINGERPRINTS).as_ref() != Some(&right) {
            let text = machine.ok("systemctl show --property=StatusText scw-agent.service");
            assert!(!text.contains("published") || text.contains(", last checked 20"), "{text}");
            assert!(start.elapsed() < LONG, "never published again");
            std::thread::sleep(pause(start.elapsed()));
        }
        println!("deleted, and published again after {:?}", start.elapsed());
        assert_eq!(published(world, &machine), keys);

        // The same lines in another order, as Scaleway's own script writes them, are left alone.
        let text = String::from_utf8(right).expect("UTF-8");
        let reversed = text.lines().rev().collect::<Vec<_>>().join("\n");
        world.standin().set_user_data(FINGERPRINTS, &*reversed);
        wait_for_requests(world, "GET", 2);
        machine.until("published", "scw-agent host-keys show");
        assert_eq!(world.standin().user_data(FINGERPRINTS).as_deref(), Some(reversed.as_bytes()));

        // It cannot be published: every command says so.
        world.standin().set_orders(vec![Order::new(Fault::status(503)).method("PATCH")]);
        world.standin().delete_user_data(FINGERPRINTS);
        machine.until("the failure is shown", "scw-agent status | grep '✗ fingerprints'");
        let shown = machine.sh("scw-agent host-keys show || echo \"exit code $?\"").out;
        assert!(shown.contains("✗ not published") && shown.ends_with("exit code 1\n"), "{shown}");
        assert!(!machine.sh("scw-agent status --wait --timeout 10s").is_ok());
        assert!(!machine.sh("scw-agent doctor").is_ok());

        world.standin().set_orders(vec![]);
        let waited = machine.sh("scw-agent status --wait");
        assert!(waited.out.contains("✓ fingerprints  published"), "{waited:?}");
        assert_eq!(world.standin().user_data(FINGERPRINTS).as_deref(), Some(text.as_bytes()));
    });
}
