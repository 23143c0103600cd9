//! The real cloud-init, for comparison: Debian 13's package in a root file system that `tests/images/rootfs` makes. It uses its data source
//! for Scaleway and the commands of its units. It has no DHCP client, so that it contacts the metadata service directly over IPv6.
//!
//! It runs only in the world's network, sees no device of the machine, and cannot change the machine's hostname.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scw_stage::World;

use crate::usage::Step;

/// Its root folder in the world's view.
const ROOT: &str = "/mnt/cloud-init/root";

/// Makes a new disk as an overlay over the root file system `$1`.
const FRESH: &str = r#"
umount --recursive --lazy /mnt 2>/dev/null || true
mount -t tmpfs bench /mnt
cd /mnt; mkdir -p cloud-init/upper cloud-init/work cloud-init/root; cd cloud-init
mount -t overlay -o "lowerdir=$1,upperdir=upper,workdir=work" overlay root
cd root
cp -a /etc/ssh/ssh_host_* etc/ssh/
rm -f etc/cloud/cloud.cfg.d/90-test.cfg usr/sbin/dhcpcd usr/sbin/dhclient usr/bin/udhcpc
printf 'datasource_list: [Scaleway]\nssh_deletekeys: false\n' >etc/cloud/cloud.cfg.d/99-bench.cfg
"#;

/// Mounts the file systems of a new boot. From the file /run/scaleway, cloud-init recognises an Instance.
const BOOT: &str = r#"
cd /mnt/cloud-init/root
for folder in run dev sys proc; do umount --recursive --lazy $folder 2>/dev/null || true; done
mount -t tmpfs run run; mount -t tmpfs dev dev; mount -t proc proc proc; mount -t sysfs sysfs sys
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 dev/${node%:*} c 1 ${node#*:}; done
mkdir run/lock; : >run/scaleway
"#;

/// The root file system with cloud-init.
pub(crate) struct CloudInit {
    lower: PathBuf,
}

impl CloudInit {
    /// Finds the root file system, or makes it, which takes minutes. Call this outside of a world, where there is a network.
    pub(crate) fn find() -> Result<Self, String> {
        let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let program = std::env::current_exe().map_err(|why| why.to_string())?;
        // Cargo marks its target folder with CACHEDIR.TAG, and the running program is inside of it.
        let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        let mut command = Command::new(checkout.join("tests/images/rootfs"));
        command.arg("trixie-cloud-init").stdin(Stdio::null()).stderr(Stdio::inherit());
        if let Some(target) = target {
            command.env("CARGO_TARGET_DIR", target);
        }
        let output = command.output().map_err(|why| format!("tests/images/rootfs: {why}"))?;
        if !output.status.success() {
            return Err("there is no root file system with cloud-init: see above".to_owned());
        }
        Ok(Self { lower: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) })
    }

    /// The package's version.
    pub(crate) fn version(&self) -> String {
        let mut command = Command::new("chroot");
        command.arg(&self.lower).args(["dpkg-query", "-W", "-f", "${Version}", "cloud-init"]);
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Resets the disk to the state before a first boot.
    pub(crate) fn fresh(&self, world: &World) -> Result<(), String> {
        sh(world, FRESH, &[&self.lower])
    }

    /// Resets /run and the mounts to the state at the beginning of a boot.
    pub(crate) fn boot(world: &World) -> Result<(), String> {
        sh(world, BOOT, &[])
    }

    /// The path of one of its files in the world's view.
    pub(crate) fn path(inside: &str) -> PathBuf {
        Path::new(ROOT).join(inside.trim_start_matches('/'))
    }

    /// The warnings in its log.
    pub(crate) fn warnings() -> String {
        let log = std::fs::read_to_string(Self::path("/var/log/cloud-init.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("[WARNING]")).collect::<Vec<_>>().join("\n")
    }

    /// The commands of the package's five units: one process runs all stages, and a short process for each stage starts it and waits.
    pub(crate) fn steps() -> Vec<Step> {
        let inside = |words: &[&str]| {
            let way = ["unshare", "--uts", "chroot", ROOT];
            way.iter().chain(words).map(|&word| word.to_owned()).collect::<Vec<_>>()
        };
        let mut steps = vec![Step::Start(inside(&["cloud-init", "--all-stages"]))];
        for stage in ["local", "network", "config", "final"] {
            let socket = format!("/run/cloud-init/share/{stage}");
            steps.push(Step::Until(format!("{ROOT}{socket}.sock")));
            let word = format!("echo start | nc -Uu -W1 {socket}.sock -s {socket}-return.sock | sh");
            steps.push(Step::Run(inside(&["sh", "-c", &word])));
        }
        steps
    }
}

pub(crate) fn sh(world: &World, script: &str, words: &[&Path]) -> Result<(), String> {
    let mut command = world.command("sh");
    command.args(["-ec", script, "sh"]).args(words).stdin(Stdio::null());
    let output = command.output().map_err(|why| why.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{script}: {}: {said}", output.status)) }
}
