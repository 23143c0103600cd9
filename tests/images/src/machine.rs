//! A machine that boots from a disk: a container with the disk's own systemd, in the world's network.
//! It must never start outside of a world. When it is dropped, no process and no control group remains.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_stage::{Daemon, World};

use crate::disk::Disk;
use crate::permit::{Permit, permit};
use crate::ran::Ran;

/// Far longer than any step takes, even on a busy computer. It only keeps a broken test from hanging.
const LONG: Duration = Duration::from_secs(900);

/// Only standard output: the container has no /dev/console.
const NO_CONSOLE: &str = "pipe";

/// Mounts the unified control group hierarchy if necessary, since systemd needs it; enters a new control group; executes systemd-nspawn.
const START: &str = r#"
if [ "$(stat --file-system --format %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount --recursive /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir -p "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
shift
exec systemd-nspawn "$@"
"#;

/// A running machine. Dropping it kills the machine, and prints its journal if the test fails.
#[derive(Debug)]
pub struct Machine<'w> {
    world: &'w World,
    nspawn: Daemon,
    root: PathBuf,
    group: String,
    /// Kernel command line options. In a container, systemd reads them from its own arguments.
    options: Vec<String>,
    /// The value of systemd-nspawn's option `--console`.
    console: &'static str,
    /// The process id, in the world, of the machine's PID 1.
    leader: u32,
    /// Declared last, so that it is dropped after the container has ended.
    _permit: Permit,
}

impl<'w> Machine<'w> {
    /// Boots from a disk, and waits until systemd has finished the boot.
    pub fn boot(world: &'w World, disk: &Disk) -> Machine<'w> {
        let mut machine = Machine::power_on(world, disk);
        machine.wait_for_boot();
        machine
    }

    /// Boots from a disk, with a console, and waits until systemd has finished the boot. Other machines have no console.
    pub fn boot_with_console(world: &'w World, disk: &Disk) -> Machine<'w> {
        let mut machine = Machine::power_on_with(world, disk, &[], "read-only");
        machine.wait_for_boot();
        machine
    }

    /// The lines on the console since the machine was started.
    pub fn console(&self) -> Vec<String> {
        self.nspawn.lines()
    }

    /// Boots from a disk with these kernel command line options, and waits until systemd has finished the boot.
    pub fn boot_with(world: &'w World, disk: &Disk, options: &[&str]) -> Machine<'w> {
        let mut machine = Machine::power_on_with(world, disk, options, NO_CONSOLE);
        machine.wait_for_boot();
        machine
    }

    /// Boots from a disk, and waits until commands can be run. Before that, waits for a permit: the number of machines on this
    /// computer is limited.
    pub fn power_on(world: &'w World, disk: &Disk) -> Machine<'w> {
        Machine::power_on_with(world, disk, &[], NO_CONSOLE)
    }

    fn power_on_with(world: &'w World, disk: &Disk, options: &[&str], console: &'static str) -> Machine<'w> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let group = format!("scw-images-{}-{number}", std::process::id());
        let root = disk.root().to_owned();
        let permit = permit();
        let options: Vec<_> = options.iter().map(|&word| word.to_owned()).collect();
        let nspawn = start(world, &root, &group, &options, console);
        let mut machine =
            Machine { world, nspawn, root, group, options, console, leader: 0, _permit: permit };
        machine.find_leader();
        machine
    }

    /// Finds the container's PID 1, which is the only child of systemd-nspawn.
    fn find_leader(&mut self) {
        let nspawn = self.nspawn.pid();
        let find = || {
            let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
            let leader = children.split_whitespace().next()?.parse().ok()?;
            let is_systemd =
                fs::read_to_string(format!("/proc/{leader}/comm")).is_ok_and(|name| name == "systemd\n");
            is_systemd.then_some(leader)
        };
        let deadline = Instant::now() + LONG;
        self.leader = loop {
            match find() {
                Some(leader) => break leader,
                None => {
                    assert!(Instant::now() < deadline, "the machine did not start: {}", self.nspawn.output())
                }
            }
            sleep(Duration::from_millis(10));
        };
        self.until(
            "systemd answers",
            "systemctl is-system-running >/dev/null || [ $? != 4 ]; test -S /run/systemd/private",
        );
    }

    /// Waits until systemd has no job of the boot.
    pub fn wait_for_boot(&mut self) {
        self.until(
            "the boot has finished",
            "systemctl is-system-running --wait | grep -Eq 'running|degraded'",
        );
    }

    /// A command that runs in the machine as root.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.command("timeout");
        command.args([LONG.as_secs().to_string(), "nsenter".to_owned(), format!("--target={}", self.leader)]);
        command
            .args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--"])
            .args(words)
            .stdin(Stdio::null());
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("HOME", "/root");
        command
    }

    /// Runs a shell script in the machine as root.
    pub fn sh(&self, script: &str) -> Ran {
        Ran::run(&mut self.command(&["sh", "-ec", script]))
    }

    /// Runs a shell script that must succeed; returns its standard output.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        self.sh(script).ok(script)
    }

    /// Runs a shell script repeatedly until it succeeds; returns the standard output of the successful run. `what` is the awaited
    /// event, for the message of a failure.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) -> String {
        let start = Instant::now();
        loop {
            let ran = self.sh(script);
            if ran.is_ok() {
                return ran.out.trim().to_owned();
            }
            assert!(start.elapsed() < LONG, "timed out waiting for: {what}\n{}{}", ran.out, ran.err);
            sleep(pause(start.elapsed()));
        }
    }

    /// Reboots the machine with `systemctl reboot`, and waits until the boot has finished.
    pub fn reboot(&mut self) {
        self.sh("systemctl reboot");
        self.reboots();
        self.wait_for_boot();
    }

    /// Waits until the machine has shut down by itself, starts it again, and waits until commands can be run.
    pub fn reboots(&mut self) {
        assert!(self.nspawn.wait(LONG).is_some(), "the machine did not shut down: {}", self.nspawn.output());
        // systemd-nspawn that runs outside of a unit exits when the container reboots.
        self.nspawn = start(self.world, &self.root, &self.group, &self.options, self.console);
        self.find_leader();
    }

    /// Shuts the machine down with `systemctl poweroff`.
    pub fn power_off(mut self) {
        self.sh("systemctl poweroff");
        assert!(self.nspawn.wait(LONG).is_some(), "the machine did not power off: {}", self.nspawn.output());
    }
}

/// The pause between two tries of something awaited for this long. A try starts five processes, so frequent tries would slow down the
/// machine that they wait for.
pub fn pause(waited: Duration) -> Duration {
    (waited / 5).clamp(Duration::from_millis(20), Duration::from_millis(500))
}

/// Starts the container.
fn start(world: &World, root: &Path, group: &str, options: &[String], console: &str) -> Daemon {
    let mut command = world.command("sh");
    command.args(["-ec", START, "sh", group]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    // All capabilities that PID 1 of a real machine has; the units drop them. IPAddressDeny= needs `bpf`.
    command.args(["--boot", "--register=no", "--keep-unit", "--capability=all", "--system-call-filter=bpf"]);
    command.arg(format!("--console={console}"));
    command.args(["--link-journal=no", "--resolv-conf=off", "--timezone=off"]);
    // A container shows the host's DMI data, if there is any. This mount shows the world's.
    command.arg("--overlay-ro=/sys/class:/run/stage/class:/sys/class");
    command.arg("--bind-ro=/run/stage/dmi:/sys/class/dmi/id");
    // The world's settings apply in its machines, too.
    command.arg("--bind-ro=/run/scw-agent.toml.d");
    command.arg(format!("--machine={group}")).arg("--directory").arg(root);
    // The container has CAP_SYS_MODULE, so this unit would run in it.
    command.arg("systemd.mask=systemd-modules-load.service").args(options);
    Daemon::spawn(&mut command).expect("systemd-nspawn (package systemd-container)")
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                self.sh("journalctl --boot --no-pager --output=short-monotonic | tail -n 150").out
            );
        }
        // When systemd-nspawn dies, the container dies, too.
        self.nspawn.signal(nix::sys::signal::Signal::SIGKILL);
        self.nspawn.wait(LONG);
        let script = format!("find /sys/fs/cgroup/{} -depth -type d -exec rmdir {{}} +", self.group);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !Ran::run(self.world.command("sh").args(["-c", &script])).is_ok() && Instant::now() < deadline {
            sleep(Duration::from_millis(50));
        }
    }
}
