//! Root file systems and packages for the tests. They are fetched and built before a world is entered, since no packet leaves a world.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ran::Ran;

/// A root file system that the script tests/images/rootfs makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 11: systemd 247, glibc 2.31, OpenSSH 8.4.
    Bullseye,
    /// Debian 12: systemd 252, glibc 2.36.
    Bookworm,
    /// Debian 13: systemd 257, glibc 2.41.
    Trixie,
    /// Debian 13 with cloud-init.
    TrixieCloudInit,
    /// Debian 13 with Dropbear beside OpenSSH.
    TrixieDropbear,
    /// Debian 13 with a kernel.
    TrixieKernel,
    /// Debian's testing release: systemd 262, glibc 2.43, OpenSSH 10.6.
    Forky,
    /// Debian's testing release with systemd-imds: systemd 262.
    ForkyImds,
}

impl Suite {
    /// Each release once, without additional packages, the oldest first.
    pub const ALL: [Suite; 4] = [Suite::Bullseye, Suite::Bookworm, Suite::Trixie, Suite::Forky];

    fn name(self) -> &'static str {
        match self {
            Suite::Bullseye => "bullseye",
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
            Suite::TrixieCloudInit => "trixie-cloud-init",
            Suite::TrixieDropbear => "trixie-dropbear",
            Suite::TrixieKernel => "trixie-kernel",
            Suite::Forky => "forky",
            Suite::ForkyImds => "forky-imds",
        }
    }
}

/// A root file system, and the packages built from this checkout.
#[derive(Debug)]
pub struct Kit {
    root: PathBuf,
}

/// The packages of one build.
#[derive(Debug)]
pub struct Build {
    /// Those of scw-agent.
    pub agent: Packages,
    /// Those of scw-known-hosts.
    pub client: Packages,
    /// scw-agent-ecosystem as .deb and as .rpm. It has no program.
    pub ecosystem: [PathBuf; 2],
}

/// The packages of one program, which all have the program or its debug information.
#[derive(Debug)]
pub struct Packages {
    /// The name of the program, and of its packages.
    pub program: &'static str,
    /// The .deb.
    pub deb: PathBuf,
    /// The .deb with the debug information.
    pub dbgsym: PathBuf,
    /// The .rpm.
    pub rpm: PathBuf,
    /// The .rpm with the debug information.
    pub debuginfo: PathBuf,
}

impl Kit {
    /// Makes whatever is missing, which takes minutes the first time. A test must have only one `Kit` at a time.
    pub fn new(suite: Suite) -> Kit {
        let root = PathBuf::from(script("tests/images/rootfs", &[suite.name()]));
        Kit::packages();
        Kit { root }
    }

    /// The root file system. Nothing may write to it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The .deb of this checkout.
    pub fn deb(&self) -> &'static Path {
        &Kit::packages().deb
    }

    /// The same package with another version number, in place of an older or a newer build.
    pub fn deb_as(&self, version: &str) -> PathBuf {
        let folder = Kit::scratch("deb");
        let file = folder.with_extension("deb");
        let script = r#"rm -rf "$2"; mkdir -p "${2%/*}"; dpkg-deb --raw-extract "$1" "$2"
            sed -i "s/^Version: .*/Version: $4/" "$2/DEBIAN/control"
            dpkg-deb --root-owner-group -Znone --build "$2" "$3" >/dev/null; rm -rf "$2""#;
        let mut command = Command::new("sh");
        command.args(["-ec", script, "sh"]).args([self.deb(), &folder, &file]).arg(version);
        Ran::run(&mut command).ok("dpkg-deb");
        file
    }

    /// A path below `target` that no other call returns, since tests run at the same time.
    pub fn scratch(name: &str) -> PathBuf {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        Kit::target().join(format!("tmp/{name}-{}-{call}", std::process::id()))
    }

    /// The .rpm of this checkout.
    pub fn rpm() -> &'static Path {
        &Kit::packages().rpm
    }

    /// The agent's packages of this checkout, for this machine.
    pub fn packages() -> &'static Packages {
        &Kit::build().agent
    }

    /// All packages of this checkout for this machine, built once in this process.
    pub fn build() -> &'static Build {
        static BUILT: OnceLock<Build> = OnceLock::new();
        BUILT.get_or_init(|| build(&["all"]))
    }

    /// All packages of this checkout for aarch64.
    pub fn aarch64() -> Build {
        build(&["all", "aarch64"])
    }

    /// The root folder of the repository.
    pub fn checkout() -> &'static Path {
        // This crate's folder is two levels below the root.
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    /// Cargo's target folder.
    pub fn target() -> PathBuf {
        // Cargo marks the folder with CACHEDIR.TAG, and the running program is inside of it.
        let program = std::env::current_exe().expect("the path of this program");
        let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        marked.expect("a program in cargo's target folder").to_owned()
    }
}

/// Builds all packages, with the default maintainer.
fn build(words: &[&str]) -> Build {
    let printed = script("packaging/build", words);
    let mut paths = printed.lines().map(PathBuf::from);
    let mut packages = |program| {
        let mut next = || paths.next().expect("ten paths");
        Packages { program, deb: next(), dbgsym: next(), rpm: next(), debuginfo: next() }
    };
    let (agent, client) = (packages("scw-agent"), packages("scw-known-hosts"));
    let mut next = || paths.next().expect("ten paths");
    Build { agent, client, ecosystem: [next(), next()] }
}

impl Build {
    /// The packages of both programs.
    pub fn each(&self) -> [&Packages; 2] {
        [&self.agent, &self.client]
    }
}

/// Runs a script of the repository; returns its standard output.
fn script(name: &str, words: &[&str]) -> String {
    let mut command = Command::new(Kit::checkout().join(name));
    command
        .args(words)
        .env("CARGO_TARGET_DIR", Kit::target())
        .env_remove("PACKAGE_MAINTAINER")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().expect(name);
    assert!(output.status.success(), "{name} {words:?} failed: see above");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
