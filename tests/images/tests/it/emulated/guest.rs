//! The emulated machine: its disk, its devices, its network, and commands in it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use scw_images::{Disk, Kit, Ran};
use scw_stage::{Daemon, World};

use crate::common::{FINGERPRINTS, without_comment};

/// Emulation is slow: on a busy machine, a boot has taken more than half an hour.
pub(super) const LONG: Duration = Duration::from_secs(7200);
/// The size of the disk with the root file system, in bytes.
pub(super) const ROOT_SIZE: u64 = 10_000_000_000;
/// The UUID of the root file system.
const ROOT_UUID: &str = "0f1d7e65-6f4b-4b9f-9f5e-2d1b1c1f0a11";
/// The socket of qemu's monitor. Only the world sees it.
pub(super) const MONITOR: &str = "/run/emulated-monitor.sock";
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

/// The address of the public API.
pub(super) const API: &str = "169.254.42.42:443";
/// A socket on this side that is connected with the public API.
pub(super) const API_SOCKET: &str = "/run/emulated-api.sock";
/// The arguments of ssh that log in.
const LOGIN: [&str; 9] = [
    "-S",
    "/run/emulated-ssh.sock",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "UserKnownHostsFile=known_hosts",
    "-i",
    "identity",
    "root@192.0.2.10",
];

/// What a machine has beside its root disk and its network.
pub(super) struct Devices {
    /// Arguments of qemu.
    pub(super) arguments: Vec<String>,
    /// Lines of /etc/fstab.
    pub(super) fstab: String,
}

/// The emulated machine.
pub(super) struct Guest<'a> {
    pub(super) world: &'a World,
    /// The disk images and the files of ssh.
    pub(super) folder: &'a Path,
    pub(super) qemu: Daemon,
    /// The connection that all commands share.
    connection: Option<Daemon>,
}

/// Runs a script on the host's side of the wire.
fn sh(world: &World, folder: &Path, script: &str) -> Ran {
    Ran::run(world.command("sh").args(["-ec", script]).current_dir(folder))
}

/// A disk with the agent, a network configuration, a login key, a memory limit of the setup unit, and these lines of /etc/fstab.
fn prepare_disk(world: &World, kit: &Kit, folder: &Path, fstab: &str) -> Disk {
    let disk = Disk::new(world, kit);
    disk.install(kit.deb());
    fs::write(disk.path("/etc/systemd/network/eth.network"), NETWORK).expect("written");
    fs::create_dir_all(disk.path("/root/.ssh")).expect("made");
    fs::copy(folder.join("identity.pub"), disk.path("/root/.ssh/authorized_keys")).expect("copied");
    let limit = disk.path("/etc/systemd/system/scw-agent-setup.service.d");
    fs::create_dir_all(&limit).expect("made");
    fs::write(limit.join("memory.conf"), "[Service]\nMemoryMax=60M\n").expect("written");
    fs::write(disk.path("/etc/fstab"), fstab).expect("written");
    // Some units of systemd have a limit of their own, which a busy computer exceeds.
    let patience = disk.path("/etc/systemd/system/service.d");
    fs::create_dir_all(&patience).expect("made");
    fs::write(patience.join("patience.conf"), "[Service]\nTimeoutStartSec=7200\n").expect("written");
    disk.chroot("systemctl enable systemd-networkd.service; chmod 700 /root/.ssh").ok("systemctl");
    disk
}

impl<'a> Guest<'a> {
    /// Boots, and waits for a prompt on the serial console.
    pub(super) fn start(world: &'a World, kit: &Kit, folder: &'a Path, devices: &Devices) -> Guest<'a> {
        sh(world, folder, WIRE).ok("the wire");
        sh(world, folder, "ssh-keygen -q -t ed25519 -N '' -f identity").ok("ssh-keygen");
        let disk = prepare_disk(world, kit, folder, &devices.fstab);
        let boot = |name: &str| {
            let found = disk.chroot(&format!("ls /boot/{name}-*")).ok("ls");
            disk.path(&found)
        };
        let image = folder.join("disk.img");
        make_file(&image, ROOT_SIZE);
        let mut make = Command::new("mke2fs");
        make.args(["-q", "-F", "-t", "ext4", "-L", "root", "-U", ROOT_UUID, "-d"])
            .arg(disk.root())
            .arg(&image);
        Ran::run(&mut make).ok("mke2fs");

        let started = Instant::now();
        let mut command = world.command("qemu-system-x86_64");
        set_machine(&mut command, &image, &boot("vmlinuz"), &boot("initrd.img"));
        command.args(&devices.arguments).current_dir(folder);
        let qemu = Daemon::spawn(&mut command).expect("qemu-system-x86_64 (package qemu-system-x86)");
        let is_up = |line: &String| line.contains("scw-example ttyS0") || line.contains("end trace");
        assert!(qemu.wait_for(LONG, |lines| lines.iter().any(is_up)), "{}", qemu.output());
        println!("a prompt on the serial console after {:?}", started.elapsed());
        Guest { world, folder, qemu, connection: None }
    }

    /// Runs a script in the guest. The login checks the guest's host key against those that were scanned.
    #[track_caller]
    pub(super) fn ssh(&self, script: &str) -> String {
        let mut command = self.world.command("timeout");
        Ran::run(command.args(["3600", "ssh"]).args(LOGIN).arg(script).current_dir(self.folder)).ok(script)
    }

    /// Logs in once for all later commands, since that is slow. Connects `API_SOCKET` with the public API, which only the guest reaches.
    pub(super) fn log_in(&mut self) {
        let mut command = self.world.command("ssh");
        command.args(["-N", "-M", "-L", &format!("{API_SOCKET}:{API}")]).args(LOGIN);
        self.connection = Some(Daemon::spawn(command.current_dir(self.folder)).expect("ssh"));
        until(&self.qemu, "the connection", || Path::new(API_SOCKET).exists().then_some(()));
    }

    /// Waits until the published fingerprints are those of the keys that sshd offers; returns them.
    pub(super) fn wait_until_published(&self) -> Vec<String> {
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
}

/// Makes an empty file of this size, which needs no room.
pub(super) fn make_file(path: &Path, size: u64) {
    fs::File::create(path).and_then(|file| file.set_len(size)).expect("made");
}

/// Sets the arguments of qemu that do not depend on the test.
fn set_machine(command: &mut Command, image: &Path, kernel: &Path, initrd: &Path) {
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
    let patience = "systemd.default_device_timeout_sec=7200 systemd.default_timeout_start_sec=7200";
    // The kernel's tracing modifies its own code while it runs, which fails under this emulation. And on a busy computer, the emulated timer
    // is too late for the kernel's check, which then panics.
    let options = "no_timer_check rw console=ttyS0 quiet systemd.mask=sys-kernel-tracing.mount";
    command.arg("-append").arg(format!("root=UUID={ROOT_UUID} {options} {patience}"));
    command.args(["-qmp", &format!("unix:{MONITOR},server=on,wait=off")]);
}

/// Waits until `look` returns something.
#[track_caller]
pub(super) fn until<T>(machine: &Daemon, what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}: {}", machine.output());
        std::thread::sleep(Duration::from_millis(500));
    }
}
