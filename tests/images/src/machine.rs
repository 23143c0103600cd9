//! A machine that runs from a disk: a container with the disk's own systemd, in the world's network.
//! It must never be started outside of a world, and leaves no process and no control group behind.

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

/// Far more than anything takes, on a busy machine as well: it only keeps a broken test from hanging.
const LONG: Duration = Duration::from_secs(900);

/// Standard output alone: there is no /dev/console then.
const NO_CONSOLE: &str = "pipe";

/// Prepares the world for a systemd that wants the unified hierarchy, takes a control group of its own, and becomes systemd-nspawn.
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

/// A running machine. Dropping it kills it, and shows its journal if the test fails.
#[derive(Debug)]
pub struct Machine<'w> {
    world: &'w World,
    nspawn: Daemon,
    root: PathBuf,
    group: String,
    /// Words for the kernel command line, which a container's systemd takes from its own.
    options: Vec<String>,
    /// How systemd-nspawn makes its console.
    console: &'static str,
    /// Its first process, as the world counts.
    leader: u32,
    /// The last to be dropped, when the container is gone.
    _permit: Permit,
}

impl<'w> Machine<'w> {
    /// Boots from a disk, and waits until systemd has done all it wanted to do at the boot.
    pub fn boot(world: &'w World, disk: &Disk) -> Machine<'w> {
        let mut machine = Machine::power_on(world, disk);
        machine.wait_for_boot();
        machine
    }

    /// Boots from a disk, with a console, and waits until systemd has done all it wanted to do. Other machines have none.
    pub fn boot_with_console(world: &'w World, disk: &Disk) -> Machine<'w> {
        let mut machine = Machine::power_on_with(world, disk, &[], "read-only");
        machine.wait_for_boot();
        machine
    }

    /// What was written to its console since it was started.
    pub fn console(&self) -> Vec<String> {
        self.nspawn.lines()
    }

    /// Boots from a disk with these words on the kernel command line, and waits until systemd has done all it wanted to do.
    pub fn boot_with(world: &'w World, disk: &Disk, options: &[&str]) -> Machine<'w> {
        let mut machine = Machine::power_on_with(world, disk, options, NO_CONSOLE);
        machine.wait_for_boot();
        machine
    }

    /// Boots from a disk, and waits until commands can be run; before that, until few enough other machines run on this computer.
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

    /// The container's first process is systemd-nspawn's only child.
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
                None => assert!(Instant::now() < deadline, "never started: {}", self.nspawn.output()),
            }
            sleep(Duration::from_millis(10));
        };
        self.until(
            "systemd answers",
            "systemctl is-system-running >/dev/null || [ $? != 4 ]; test -S /run/systemd/private",
        );
    }

    /// Waits until no job of the boot is left.
    pub fn wait_for_boot(&mut self) {
        self.until("the boot is over", "systemctl is-system-running | grep -Eq 'running|degraded'");
    }

    /// A command in the machine, as root.
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

    /// Runs a script in the machine, as root.
    pub fn sh(&self, script: &str) -> Ran {
        Ran::run(&mut self.command(&["sh", "-ec", script]))
    }

    /// The same for one that must succeed: what it printed.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        self.sh(script).ok(script)
    }

    /// Runs a script again and again until it succeeds: what it printed then.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            let ran = self.sh(script);
            if ran.is_ok() {
                return ran.out.trim().to_owned();
            }
            assert!(Instant::now() < deadline, "never: {what}\n{}{}", ran.out, ran.err);
            sleep(Duration::from_millis(50));
        }
    }

    /// Reboots it in good order, and waits until the boot is over.
    pub fn reboot(&mut self) {
        self.sh("systemctl reboot");
        self.reboots();
        self.wait_for_boot();
    }

    /// Waits until it has gone down by itself, starts it again, and waits until commands can be run.
    pub fn reboots(&mut self) {
        assert!(self.nspawn.wait(LONG).is_some(), "never down: {}", self.nspawn.output());
        // The container's reboot is the end of systemd-nspawn where it runs outside of a unit.
        self.nspawn = start(self.world, &self.root, &self.group, &self.options, self.console);
        self.find_leader();
    }

    /// Shuts it down in good order.
    pub fn power_off(mut self) {
        self.sh("systemctl poweroff");
        assert!(self.nspawn.wait(LONG).is_some(), "never off: {}", self.nspawn.output());
    }
}

/// Starts the container.
fn start(world: &World, root: &Path, group: &str, options: &[String], console: &str) -> Daemon {
    let mut command = world.command("sh");
    command.args(["-ec", START, "sh", group]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    // All the rights that PID 1 of a real machine has: the units give them up themselves. `bpf` is what IPAddressDeny= needs.
    command.args(["--boot", "--register=no", "--keep-unit", "--capability=all", "--system-call-filter=bpf"]);
    command.arg(format!("--console={console}"));
    command.args(["--link-journal=no", "--resolv-conf=off", "--timezone=off"]);
    // Containers show the host's DMI data, if it has any: this shows those of the world.
    command.arg("--overlay-ro=/sys/class:/run/stage/class:/sys/class");
    command.arg("--bind-ro=/run/stage/dmi:/sys/class/dmi/id");
    // The world's own settings hold in its machines, too.
    command.arg("--bind-ro=/run/scw-agent.toml.d");
    command.arg(format!("--machine={group}")).arg("--directory").arg(root);
    // It takes the right to load modules at its word.
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
        // systemd-nspawn takes the container with it.
        self.nspawn.signal(nix::sys::signal::Signal::SIGKILL);
        self.nspawn.wait(LONG);
        let script = format!("find /sys/fs/cgroup/{} -depth -type d -exec rmdir {{}} +", self.group);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !Ran::run(self.world.command("sh").args(["-c", &script])).is_ok() && Instant::now() < deadline {
            sleep(Duration::from_millis(50));
        }
    }
}
