//! Programs for a world that the machine need not have. They come from the machine if it has them. Otherwise the distribution's packages
//! are unpacked into a folder below the target folder. This module must never install anything on the machine, nor change its package
//! lists.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{StageError, Step};
use crate::privileges::Privileges;

/// A package whose programs a world can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// sshd.
    OpensshServer,
    /// cloud-init, with its configuration in /etc/cloud.
    CloudInit,
}

impl Package {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpensshServer => "openssh-server",
            Self::CloudInit => "cloud-init",
        }
    }

    /// A program of the package. If it exists, the package is installed.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::OpensshServer => "/usr/sbin/sshd",
            Self::CloudInit => "/usr/bin/cloud-init",
        }
    }

    /// Finds the package; fetches it the first time if it is not installed. Call this outside of a world, where there is a network.
    ///
    /// # Errors
    /// If the package is not installed and cannot be fetched.
    pub fn find(self) -> Result<Unpacked, StageError> {
        if Path::new(self.program()).exists() {
            return Ok(Unpacked { package: self, folder: None });
        }
        let missing = |reason: &str| missing(self, reason);
        let cache = target_folder().ok_or_else(|| missing("no cargo target folder to unpack it into"))?;
        let unpacked = cache.join(format!("{}-{}", self.name(), distribution()));
        if !unpacked.exists() {
            // Tests run in parallel: one fetches the package, the others wait.
            let file = File::create(cache.join(format!("{}.lock", self.name()))).step("make a lock file")?;
            let _lock = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| errno)
                .step("lock the folder of packages")?;
            if !unpacked.exists() {
                fetch(self, &cache, &unpacked)?;
            }
        }
        Ok(Unpacked { package: self, folder: Some(unpacked) })
    }
}

/// A package that is available for a world.
#[derive(Debug)]
pub struct Unpacked {
    package: Package,
    /// The folder with the unpacked package; `None` if it is installed on the machine.
    folder: Option<PathBuf>,
}

impl Unpacked {
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Writes the configuration that the package needs in the view's /etc.
    pub(crate) fn configure(&self, privileges: Privileges) -> std::io::Result<()> {
        match (self.package, &self.folder) {
            (Package::OpensshServer, _) => configure_sshd(privileges),
            (Package::CloudInit, Some(folder)) => {
                copy_tree(&folder.join("etc/cloud"), Path::new("/etc/cloud"))
            }
            (Package::CloudInit, None) => Ok(()),
        }
    }
}

/// Writes a simple `sshd_config` with sshd's default host keys and a folder for drop-ins.
fn configure_sshd(privileges: Privileges) -> std::io::Result<()> {
    fs::create_dir_all("/etc/ssh/sshd_config.d")?;
    fs::create_dir_all("/etc/ssh/authorized_keys")?;
    // In a user namespace, the folders of the keys appear to belong to nobody, which sshd refuses as unsafe.
    let user_namespace = if privileges == Privileges::UserNamespace {
        "Port 2222\nStrictModes no\nPidFile none\n"
    } else {
        ""
    };
    let text = format!(
        "Include /etc/ssh/sshd_config.d/*.conf\n{user_namespace}\
         AuthorizedKeysFile /etc/ssh/authorized_keys/%u\n\
         PermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         UsePAM no\n"
    );
    fs::write("/etc/ssh/sshd_config", text)
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn missing(package: Package, reason: impl Into<String>) -> StageError {
    StageError::NoPackage { package: package.name(), reason: reason.into() }
}

/// Cargo's target folder: the parent of the running program that has the file CACHEDIR.TAG.
fn target_folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).map(Path::to_owned)
}

/// A name for the distribution and its version. After an upgrade of the machine the name differs, so packages are fetched again.
fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap_or("unknown");
    let word = format!("{}-{}-{}", field("ID="), field("VERSION_ID="), std::env::consts::ARCH);
    word.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect()
}

/// Downloads a package and those dependencies that are not installed; unpacks them into `unpacked`.
fn fetch(package: Package, cache: &Path, unpacked: &Path) -> Result<(), StageError> {
    eprintln!("fetching {} into {}, once; nothing is installed", package.name(), unpacked.display());
    let work = cache.join(format!("{}.new", package.name()));
    if work.exists() {
        fs::remove_dir_all(&work).step("remove an old attempt")?;
    }
    let tree = work.join("tree");
    fs::create_dir_all(&tree).step("make a folder for packages")?;
    let mut apt = Apt { package, work: work.clone(), own_lists: false };
    if apt.download().is_err() {
        // The machine's package lists are missing or old. Download separate lists, and do not change the machine's.
        apt.own_lists = true;
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(work.join(folder)).step("make a folder for package lists")?;
        }
        apt.run(&["update"])?;
        apt.download()?;
    }
    for entry in fs::read_dir(&work).step("list the packages")?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            run(package, Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(&tree))?;
        }
    }
    merge_usr(&tree).step("unpack the packages")?;
    if !tree.join(package.program().trim_start_matches('/')).exists() {
        return Err(missing(package, format!("the package has no {}", package.program())));
    }
    compile_python(&tree);
    fs::rename(&tree, unpacked).step("move the unpacked package to its folder")?;
    fs::remove_dir_all(&work).step("remove the packages")
}

/// Compiles Python modules, as the package's installation does. Without that, each start takes twice as long.
fn compile_python(tree: &Path) {
    let modules = tree.join("usr/lib/python3/dist-packages");
    if modules.exists() {
        let _ = Command::new("/usr/bin/python3").args(["-m", "compileall", "-q"]).arg(modules).output();
    }
}

/// Moves files that a package has in /lib, /bin or /sbin to /usr, where the machine has them.
fn merge_usr(tree: &Path) -> std::io::Result<()> {
    for name in ["lib", "bin", "sbin"] {
        if tree.join(name).is_dir() {
            merge(&tree.join(name), &tree.join("usr").join(name))?;
        }
    }
    Ok(())
}

fn merge(from: &Path, to: &Path) -> std::io::Result<()> {
    if !to.is_dir() {
        return fs::rename(from, to);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_dir() {
            merge(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::rename(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// apt-get with the folder `work` for its downloads.
struct Apt {
    package: Package,
    work: PathBuf,
    own_lists: bool,
}

impl Apt {
    /// Downloads the packages that an installation would download.
    fn download(&self) -> Result<(), StageError> {
        let plan = self.run(&["--simulate", "--no-install-recommends", "install", self.package.name()])?;
        let names: Vec<&str> =
            plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
        if names.is_empty() {
            return Err(missing(self.package, "apt-get would install no package"));
        }
        self.run(&[&["download"], names.as_slice()].concat()).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Result<String, StageError> {
        let mut command = Command::new("apt-get");
        command.current_dir(&self.work).env("LC_ALL", "C");
        // By default, root's apt downloads as an unprivileged user, who may have no access to the target folder.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]);
        if self.own_lists {
            for (key, folder) in [("Dir::State::lists=", "lists"), ("Dir::Cache=", "cache")] {
                let mut option = OsString::from(key);
                option.push(self.work.join(folder));
                command.arg("-o").arg(option);
            }
        }
        run(self.package, command.args(arguments))
    }
}

fn run(package: Package, command: &mut Command) -> Result<String, StageError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| missing(package, format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(missing(package, format!("{program}: {}", said.lines().last().unwrap_or("failed"))))
}
