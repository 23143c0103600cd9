//! What must be fetched and built before a world is entered, since no packet leaves one: root file systems and packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::ran::Ran;

/// A root file system that tests/images/rootfs makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: systemd 252, glibc 2.36.
    Bookworm,
    /// Debian 13: systemd 257, glibc 2.41.
    Trixie,
    /// Debian 13 with cloud-init.
    TrixieCloudInit,
    /// Debian 13 with a kernel.
    TrixieKernel,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
            Suite::TrixieCloudInit => "trixie-cloud-init",
            Suite::TrixieKernel => "trixie-kernel",
        }
    }
}

/// A root file system and the packages, as they are in this checkout.
#[derive(Debug)]
pub struct Kit {
    root: PathBuf,
    deb: PathBuf,
}

impl Kit {
    /// Makes what is not there yet; the first time, this takes minutes.
    pub fn new(suite: Suite) -> Kit {
        let root = script("tests/images/rootfs", &[suite.name()]);
        Kit { root, deb: built("deb") }
    }

    /// The root file system, for reading only.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The .deb of this checkout.
    pub fn deb(&self) -> &Path {
        &self.deb
    }

    /// The same package under another version, as a stand-in for the build before this one or after it.
    pub fn deb_as(&self, version: &str) -> PathBuf {
        let folder = Kit::target().join("tmp").join(format!("deb-{version}-{}", std::process::id()));
        let file = folder.with_extension("deb");
        let script = r#"rm -rf "$2"; mkdir -p "${2%/*}"; dpkg-deb --raw-extract "$1" "$2"
            sed -i "s/^Version: .*/Version: $4/" "$2/DEBIAN/control"
            dpkg-deb --root-owner-group -Znone --build "$2" "$3" >/dev/null; rm -rf "$2""#;
        let mut command = Command::new("sh");
        command.args(["-ec", script, "sh"]).args([self.deb(), &folder, &file]).arg(version);
        Ran::run(&mut command).ok("dpkg-deb");
        file
    }

    /// The .rpm of this checkout.
    pub fn rpm() -> PathBuf {
        built("rpm")
    }

    /// The .deb and the .rpm of this checkout for aarch64.
    pub fn aarch64() -> (PathBuf, PathBuf) {
        let build = |kind| script("packaging/build", &[kind, "aarch64"]);
        (build("deb"), build("rpm"))
    }

    /// The repository.
    pub fn checkout() -> &'static Path {
        // This crate is two folders down.
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    /// Cargo's target folder.
    pub fn target() -> PathBuf {
        // Cargo marks it, and the running program is in it.
        let program = std::env::current_exe().expect("the path of this program");
        let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        marked.expect("a program in cargo's target folder").to_owned()
    }
}

/// Builds a package once in this process.
fn built(kind: &'static str) -> PathBuf {
    static DEB: OnceLock<PathBuf> = OnceLock::new();
    static RPM: OnceLock<PathBuf> = OnceLock::new();
    let cell = if kind == "deb" { &DEB } else { &RPM };
    cell.get_or_init(|| script("packaging/build", &[kind])).clone()
}

/// Runs a script of the repository that prints a path.
fn script(name: &str, words: &[&str]) -> PathBuf {
    let mut command = Command::new(Kit::checkout().join(name));
    command.args(words).env("CARGO_TARGET_DIR", Kit::target()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect(name);
    assert!(output.status.success(), "{name} {words:?} failed: see above");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
