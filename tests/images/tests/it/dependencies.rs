//! The dependencies of the .deb on each Debian release: only the package that has ssh-keygen there.

use scw_images::{Disk, Kit, Suite};
use scw_stage::World;

#[test]
fn h1_deb_depends_on_the_package_with_ssh_keygen() {
    for suite in Suite::ALL {
        check_dependency(suite);
    }
}

fn check_dependency(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        let owner = disk.chroot("dpkg --search $(command -v ssh-keygen)").ok("dpkg --search");
        let owner = owner.split(':').next().unwrap_or_default();
        // In forky, ssh-keygen is in openssh-common, which is enough for openssh-server.
        let expected = if suite == Suite::Forky { "openssh-common" } else { "openssh-client" };
        assert_eq!(owner, expected, "{suite:?}");

        let without = disk.copy();
        let deb = without.bring(kit.deb());
        without.chroot(&format!("dpkg --purge --force-depends {owner} openssh-client")).ok("dpkg --purge");
        let refused = without.chroot(&format!("dpkg --install {deb}"));
        assert!(
            !refused.is_ok() && refused.err.contains("scw-agent depends on openssh-"),
            "{suite:?}: {}",
            refused.err
        );

        // An image that has sshd and ssh-keygen, but no ssh.
        if owner != "openssh-client" {
            disk.chroot("dpkg --purge openssh-client").ok("dpkg --purge");
        }
        disk.install(kit.deb());
        let state = disk.chroot(
            "dpkg --audit; dpkg-query --show --showformat='${Status}' scw-agent; command -v ssh-keygen",
        );
        assert_eq!(state.ok("dpkg-query"), "install ok installed/usr/bin/ssh-keygen", "{suite:?}");
    });
}
