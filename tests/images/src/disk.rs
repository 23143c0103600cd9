//! A root file system to be written to: a layer in the world's memory over a cached one. It is gone with its world.

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
    /// What lies below the writable layer, top first.
    below: Vec<PathBuf>,
    layer: PathBuf,
    root: PathBuf,
}

impl Disk {
    /// A fresh disk, as Debian's packages leave it.
    pub fn new(_: &World, kit: &Kit) -> Disk {
        Disk::over(vec![kit.root().to_owned()])
    }

    /// A copy of the disk as it is now. Nothing may write to the original any more.
    pub fn copy(&self) -> Disk {
        Disk::over([std::slice::from_ref(&self.layer), &self.below[..]].concat())
    }

    fn over(below: Vec<PathBuf>) -> Disk {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The world's /run is memory of its own.
        let folder = PathBuf::from(format!("/run/disk-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let [layer, work, root] = ["layer", "work", "root"].map(|name| folder.join(name));
        for folder in [&layer, &work, &root] {
            std::fs::create_dir_all(folder).expect("the world's /run can be written to");
        }
        let lower: Vec<_> = below.iter().map(|path| path.display().to_string()).collect();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), layer.display(), work.display());
        mount(Some("disk"), &root, Some("overlay"), MsFlags::empty(), Some(&*options)).expect("an overlay");
        Disk { below, layer, root }
    }

    /// The folder where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of it is in the world's view.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Whether it has such a file, link or folder.
    pub fn has(&self, inside: &str) -> bool {
        self.path(inside).symlink_metadata().is_ok()
    }

    /// What a file of it holds.
    #[track_caller]
    pub fn read(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).expect(inside)
    }

    /// Runs a script in it as an image's builder does: with nothing running, no /proc and no systemd.
    pub fn chroot(&self, script: &str) -> Ran {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["/bin/sh", "-ec", script]).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        Ran::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Puts a package into the disk's /root and returns its path there.
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
