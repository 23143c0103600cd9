//! Where openssh-server comes from: the machine itself, or else its distribution's packages, unpacked into a folder
//! under the target folder. It must never install anything on the machine, nor change its package lists.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{StageError, Step};
use crate::privileges::Privileges;

/// The path of sshd in a view.
pub(crate) const SSHD: &str = "/usr/sbin/sshd";

/// An openssh-server that a world can have.
#[derive(Debug)]
pub struct SshdTools {
    /// The folder that the packages were unpacked into; `None` if the machine has them installed.
    unpacked: Option<PathBuf>,
}

impl SshdTools {
    pub(crate) fn unpacked(&self) -> Option<&Path> {
        self.unpacked.as_deref()
    }

    /// Writes a plain `sshd_config`, with the host keys that sshd takes by itself, and a place for drop-ins.
    pub(crate) fn configure(privileges: Privileges) -> std::io::Result<()> {
        fs::create_dir_all("/etc/ssh/sshd_config.d")?;
        fs::create_dir_all("/etc/ssh/authorized_keys")?;
        // Without root, the path to the keys seems to belong to nobody, which sshd takes for an attack.
        let user_namespace =
            if privileges == Privileges::UserNamespace { "Port 2222\nStrictModes no\n" } else { "" };
        let text = format!(
            "Include /etc/ssh/sshd_config.d/*.conf\n{user_namespace}\
             AuthorizedKeysFile /etc/ssh/authorized_keys/%u\n\
             PermitRootLogin prohibit-password\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             UsePAM no\n\
             PidFile none\n"
        );
        fs::write("/etc/ssh/sshd_config", text)
    }
}

/// Finds openssh-server, and fetches it the first time if the machine has none. To be called outside of any world,
/// where there is a network.
pub fn sshd_tools() -> Result<SshdTools, StageError> {
    if Path::new(SSHD).exists() {
        return Ok(SshdTools { unpacked: None });
    }
    let cache = target_folder().ok_or_else(|| missing("no cargo target folder to unpack it into"))?;
    let unpacked = cache.join(format!("openssh-server-{}", distribution()));
    if !unpacked.exists() {
        // Tests run in parallel: one fetches, the others wait.
        let file = File::create(cache.join("openssh-server.lock")).step("make a lock file")?;
        let _lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .step("lock the folder of openssh-server")?;
        if !unpacked.exists() {
            fetch(&cache, &unpacked)?;
        }
    }
    Ok(SshdTools { unpacked: Some(unpacked) })
}

fn missing(reason: impl Into<String>) -> StageError {
    StageError::NoSshd { reason: reason.into() }
}

/// Cargo marks its target folder, and the running program is in it.
fn target_folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).map(Path::to_owned)
}

/// A word for the distribution and its version, so that an upgrade of the machine fetches anew.
fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap_or("unknown");
    let word = format!("{}-{}-{}", field("ID="), field("VERSION_ID="), std::env::consts::ARCH);
    word.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect()
}

/// Downloads openssh-server and what it needs beyond what is installed, and unpacks it all into `unpacked`.
fn fetch(cache: &Path, unpacked: &Path) -> Result<(), StageError> {
    eprintln!("fetching openssh-server into {}, once; nothing is installed", unpacked.display());
    let work = cache.join("openssh-server.new");
    if work.exists() {
        fs::remove_dir_all(&work).step("clear away an old attempt")?;
    }
    let tree = work.join("tree");
    fs::create_dir_all(&tree).step("make a folder for openssh-server")?;
    let mut apt = Apt { work: work.clone(), own_lists: false };
    if apt.download().is_err() {
        // The machine's lists are missing or old: fetch some of our own, and leave the machine's alone.
        apt.own_lists = true;
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(work.join(folder)).step("make a folder for package lists")?;
        }
        apt.run(&["update"])?;
        apt.download()?;
    }
    for entry in fs::read_dir(&work).step("list the packages")?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(&tree))?;
        }
    }
    if !tree.join("usr/sbin/sshd").exists() {
        return Err(missing("the package has no /usr/sbin/sshd"));
    }
    merge_usr(&tree).step("unpack openssh-server")?;
    fs::rename(&tree, unpacked).step("put openssh-server in its place")?;
    fs::remove_dir_all(&work).step("clear away the packages")
}

/// Moves what a package still has under /lib, /bin or /sbin to /usr, as the machine has it.
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

/// apt-get, which downloads into `work`.
struct Apt {
    work: PathBuf,
    own_lists: bool,
}

impl Apt {
    /// Downloads what an installation of openssh-server would.
    fn download(&self) -> Result<(), StageError> {
        let plan = self.run(&["--simulate", "--no-install-recommends", "install", "openssh-server"])?;
        let names: Vec<&str> =
            plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
        if names.is_empty() {
            return Err(missing("apt-get has no plan to install it"));
        }
        self.run(&[&["download"], names.as_slice()].concat()).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Result<String, StageError> {
        let mut command = Command::new("apt-get");
        command.current_dir(&self.work).env("LC_ALL", "C");
        // As root, apt would read and write as a user who may have no way into the target folder.
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]);
        if self.own_lists {
            for (key, folder) in [("Dir::State::lists=", "lists"), ("Dir::Cache=", "cache")] {
                let mut option = OsString::from(key);
                option.push(self.work.join(folder));
                command.arg("-o").arg(option);
            }
        }
        run(command.args(arguments))
    }
}

fn run(command: &mut Command) -> Result<String, StageError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| missing(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(missing(format!("{program}: {}", said.lines().last().unwrap_or("failed"))))
}
