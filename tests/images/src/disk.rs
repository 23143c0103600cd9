//! A writable root file system: an overlay, kept in the world's memory, over a cached read-only one.
//! It disappears with its world.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MsFlags, mount};
use scw_stage::World;

use crate::kit::Kit;
use crate::ran::Ran;

/// The disk of an image, or of a machine that boots from it.
#[derive(Debug)]
pub struct Disk {
    /// The layers below the writable one, the topmost first.
    below: Vec<PathBuf>,
    layer: PathBuf,
    root: PathBuf,
}

impl Disk {
    /// A new disk, with the files that Debian's packages install.
    pub fn new(_: &World, kit: &Kit) -> Disk {
        Disk::over(vec![kit.root().to_owned()])
    }

    /// A copy of the disk in its present state. After this call nothing may write to the original.
    pub fn copy(&self) -> Disk {
        Disk::over([std::slice::from_ref(&self.layer), &self.below[..]].concat())
    }

    fn over(below: Vec<PathBuf>) -> Disk {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The world's /run is a tmpfs that only this world sees.
        let folder = PathBuf::from(format!("/run/disk-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let [layer, work, root] = ["layer", "work", "root"].map(|name| folder.join(name));
        for folder in [&layer, &work, &root] {
            std::fs::create_dir_all(folder).expect("the world's /run is writable");
        }
        let lower: Vec<_> = below.iter().map(|path| path.display().to_string()).collect();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), layer.display(), work.display());
        mount(Some("disk"), &root, Some("overlay"), MsFlags::empty(), Some(&*options)).expect("an overlay");
        Disk { below, layer, root }
    }

    /// The folder where the disk is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path, in the world's view, of a file on this disk.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Whether the disk has this file, link or folder.
    pub fn has(&self, inside: &str) -> bool {
        self.path(inside).symlink_metadata().is_ok()
    }

    /// The content of a file on this disk.
    #[track_caller]
    pub fn read(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).expect(inside)
    }

    /// Runs a script in a chroot, as an image builder does: no process runs there, and /proc and systemd are absent.
    pub fn chroot(&self, script: &str) -> Ran {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["/bin/sh", "-ec", script]).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        Ran::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Copies a package into the disk's /root; returns its path on the disk.
    pub fn bring(&self, file: &Path) -> String {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        std::fs::copy(file, self.path("/root").join(&name)).expect("copied");
        format!("/root/{name}")
    }

    /// Installs a .deb as an image's builder does.
    #[track_caller]
    pub fn install(&self, deb: &Path) {
        let deb = self.bring(deb);
        self.chroot(&format!("dpkg --install {deb} && rm {deb}")).ok("dpkg --install");
    }
}
