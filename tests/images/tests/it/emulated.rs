//! One boot as on a real machine: an emulated machine with Debian's own kernel and initrd, a disk and a serial console.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use scw_images::{Disk, Kit, Ran, Suite};
use scw_stage::{Daemon, World};

use crate::common::{FINGERPRINTS, SCRIPT, without_comment};

/// Emulation is slow.
const LONG: Duration = Duration::from_secs(1800);
/// The MAC address that the platform's end of the wire expects.
const MAC: &str = "02:00:00:00:00:10";
/// Connects the machine to the wire, and gives this side an address, too.
const WIRE: &str = "ip addr flush dev eth0
ip link set eth0 down
ip link set eth0 address 02:00:00:00:00:77
ip link add br0 type bridge
ip link set eth0 master br0 up
ip tuntap add dev tap0 mode tap
ip link set tap0 master br0 up
ip link set br0 up
ip addr add 192.0.2.77/24 dev br0";
const NETWORK: &str = "[Match]\nType=ether\n[Network]\nAddress=192.0.2.10/24\nAddress=2001:db8::10/64\nIPv6AcceptRA=no\n\
    [Route]\nDestination=169.254.42.42/32\nScope=link\n[Route]\nDestination=fd00:42::42/128\n";

/// One of its processes uses more memory than the unit's limit and is killed. The script and the unit continue.
const GREEDY: &str = "#!/bin/sh\nperl -e '$a = \"a\" x 200e6; sleep 1'\necho \"greedy: $?\"\n";

#[test]
fn h1_h3_s1_emulated_debian_13_does_complete_job() {
    let kit = Kit::new(Suite::TrixieKernel);
    let folder = Kit::target().join(format!("tmp/emulated-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("made");
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        world.standin().set_user_data("setup-script.greedy", GREEDY);
        let guest = Guest::start(world, &kit, &folder);
        let published = guest.wait_until_published();
        guest.wait_for_scripts();
        guest.check_units();
        guest.check_console(&published);
        guest.ssh("systemctl poweroff");
    });
    fs::remove_dir_all(&folder).expect("removed");
}

/// The emulated machine.
struct Guest<'a> {
    world: &'a World,
    /// The disk image and the files of ssh.
    folder: &'a Path,
    qemu: Daemon,
}

/// Runs a script on the host's side of the wire.
fn sh(world: &World, folder: &Path, script: &str) -> Ran {
    Ran::run(world.command("sh").args(["-ec", script]).current_dir(folder))
}

/// A disk with the agent, a network configuration, a login key and a memory limit of the setup unit.
fn prepare_disk(world: &World, kit: &Kit, folder: &Path) -> Disk {
    let disk = Disk::new(world, kit);
    disk.install(kit.deb());
    fs::write(disk.path("/etc/systemd/network/eth.network"), NETWORK).expect("written");
    fs::create_dir_all(disk.path("/root/.ssh")).expect("made");
    fs::copy(folder.join("identity.pub"), disk.path("/root/.ssh/authorized_keys")).expect("copied");
    let limit = disk.path("/etc/systemd/system/scw-agent-setup.service.d");
    fs::create_dir_all(&limit).expect("made");
    fs::write(limit.join("memory.conf"), "[Service]\nMemoryMax=60M\n").expect("written");
    disk.chroot("systemctl enable systemd-networkd.service; chmod 700 /root/.ssh").ok("systemctl");
    disk
}

impl<'a> Guest<'a> {
    /// Boots, and waits for a prompt on the serial console.
    fn start(world: &'a World, kit: &Kit, folder: &'a Path) -> Guest<'a> {
        sh(world, folder, WIRE).ok("the wire");
        sh(world, folder, "ssh-keygen -q -t ed25519 -N '' -f identity").ok("ssh-keygen");
        let disk = prepare_disk(world, kit, folder);
        let boot = |name: &str| {
            let found = disk.chroot(&format!("ls /boot/{name}-*")).ok("ls");
            disk.path(&found)
        };
        let image = folder.join("disk.img");
        let mut make = Command::new("mke2fs");
        make.args(["-q", "-F", "-t", "ext4", "-d"]).arg(disk.root()).arg(&image).arg("1500M");
        Ran::run(&mut make).ok("mke2fs");

        let started = Instant::now();
        let qemu = emulate(world, &image, &boot("vmlinuz"), &boot("initrd.img"));
        let is_up = |line: &String| line.contains("scw-example ttyS0") || line.contains("end trace");
        assert!(qemu.wait_for(LONG, |lines| lines.iter().any(is_up)), "{}", qemu.output());
        println!("a prompt on the serial console after {:?}", started.elapsed());
        Guest { world, folder, qemu }
    }

    /// Runs a script in the guest, and checks the guest's host key against those that were scanned.
    #[track_caller]
    fn ssh(&self, script: &str) -> String {
        let mut command = self.world.command("timeout");
        command.args([
            "600",
            "ssh",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "UserKnownHostsFile=known_hosts",
        ]);
        Ran::run(command.args(["-i", "identity", "root@192.0.2.10", script]).current_dir(self.folder))
            .ok(script)
    }

    /// Waits until the published fingerprints are those of the keys that sshd offers; returns them.
    fn wait_until_published(&self) -> Vec<String> {
        let scan =
            "ssh-keyscan -T 30 192.0.2.10 2>/dev/null >known_hosts || true; ssh-keygen -lf known_hosts";
        let published = until(&self.qemu, "published and served", || {
            let stored = self.world.standin().user_data(FINGERPRINTS)?;
            let mut stored: Vec<_> =
                std::str::from_utf8(&stored).ok()?.lines().map(without_comment).collect();
            let offered = sh(self.world, self.folder, scan);
            let mut offered: Vec<_> = offered.out.lines().map(without_comment).collect();
            stored.sort();
            offered.sort();
            (stored == offered).then_some(stored)
        });
        assert_eq!(published.len(), 3, "{published:?}");
        published
    }

    fn wait_for_scripts(&self) {
        until(&self.qemu, "script", || {
            self.ssh("ls /run/scw-agent-setup/summary.json 2>/dev/null || true")
                .starts_with("/run")
                .then_some(())
        });
        assert!(self.ssh("cat /var/log/setup-script.log").starts_with("ran for"));
        until(&self.qemu, "the unit ended", || {
            (self.ssh("systemctl show --property=ActiveState --value scw-agent-setup.service") == "inactive")
                .then_some(())
        });
    }

    fn check_units(&self) {
        assert_eq!(self.ssh("systemctl --failed --plain --no-legend"), "");
        let chain = self.ssh("systemd-analyze critical-chain ssh.service");
        println!(
            "{}\n{chain}\n{}",
            self.ssh("uname -r; scw-agent status; systemd-analyze"),
            self.ssh("systemctl status --no-pager scw-agent.service | head -n 12")
        );
        assert!(!chain.contains("scw-agent.service") && !chain.contains("online"), "{chain}");
        // The limits of a control group, which a container cannot show.
        assert_eq!(
            self.ssh("cat /sys/fs/cgroup/system.slice/scw-agent.service/memory.max"),
            (64 << 20).to_string()
        );
        let shown = self.ssh("scw-agent setup show setup-script.greedy");
        assert!(shown.contains("greedy: 137") && shown.contains("exit code 0"), "{shown}");
    }

    /// The console is a real device here, and the setup unit may write to it.
    fn check_console(&self, published: &[String]) {
        let console = self.qemu.output();
        for line in ["setup-script: started (attempt 1)", "setup-script.greedy: exit code 0 after"] {
            assert!(console.contains(&format!("scw-agent: {line}")), "{console}");
        }
        for key in published {
            assert!(console.contains(&format!("scw-agent: host key {key}")), "{console}");
        }
    }
}

fn emulate(world: &World, image: &Path, kernel: &Path, initrd: &Path) -> Daemon {
    let mut command = world.command("qemu-system-x86_64");
    // Without cmpxchg16b: on some hosts its emulation damages the flags, and the kernel panics sooner or later.
    command.args(["-machine", "q35", "-accel", "tcg", "-cpu", "Nehalem,-cx16", "-smp", "1", "-m", "768"]);
    command.args([
        "-nographic",
        "-nodefaults",
        "-serial",
        "stdio",
        "-no-reboot",
        "-device",
        "virtio-rng-pci",
    ]);
    command.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", image.display()));
    command.args(["-netdev", "tap,id=wire,ifname=tap0,script=no,downscript=no"]);
    command.args(["-device", &format!("virtio-net-pci,netdev=wire,mac={MAC}")]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    // The DMI data that the hypervisor of a Scaleway Instance provides.
    command.args(["-smbios", "type=1,manufacturer=Scaleway"]);
    // On a busy computer a device or a unit of the guest takes longer than systemd's limit of 90 seconds.
    let patience = "systemd.default_device_timeout_sec=1800 systemd.default_timeout_start_sec=1800";
    // The kernel's tracing modifies its own code while it runs, which fails under this emulation.
    let options = "root=/dev/vda rw console=ttyS0 quiet systemd.mask=sys-kernel-tracing.mount";
    command.arg("-append").arg(format!("{options} {patience}"));
    Daemon::spawn(&mut command).expect("qemu-system-x86_64 (package qemu-system-x86)")
}

#[track_caller]
fn until<T>(machine: &Daemon, what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}: {}", machine.output());
        std::thread::sleep(Duration::from_millis(500));
    }
}
