//! A world: it is made for the calling thread, makes commands that run in it, and disappears with all its processes when it is dropped.
//! The thread remains in the namespaces of its world. It must never return to the machine's network.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use scw_standin::{Family, Options, Standin};

use crate::accounts::Account;
use crate::error::{StageError, Step};
use crate::guard::{self, NOWHERE, Outside};
use crate::netns::{self, NsId};
use crate::packages::Package;
use crate::privileges::Privileges;
use crate::tcp::{self, TcpEntry};
use crate::view;
use crate::wire::{Reach, Wire};

/// The configuration of a new world. By default a stand-in with its own default options serves both families.
#[derive(Debug)]
pub struct Builder {
    ipv4: Reach,
    ipv6: Reach,
    packages: Vec<Package>,
    standin: Options,
}

impl Builder {
    /// What happens to connections to 169.254.42.42.
    pub fn ipv4(mut self, reach: Reach) -> Builder {
        self.ipv4 = reach;
        self
    }

    /// What happens to connections to fd00:42::42.
    pub fn ipv6(mut self, reach: Reach) -> Builder {
        self.ipv6 = reach;
        self
    }

    /// The options of the stand-in. It can listen on both real addresses, whatever the reach is.
    pub fn standin(mut self, options: Options) -> Builder {
        self.standin = options;
        self
    }

    /// Adds openssh-server to the view, with a simple /etc/ssh/sshd_config. Fetches the package first if necessary.
    pub fn with_sshd(mut self) -> Builder {
        self.packages.push(Package::OpensshServer);
        self
    }

    /// Adds cloud-init to the view, with its package's configuration. Fetches the package first if necessary.
    pub fn with_cloud_init(mut self) -> Builder {
        self.packages.push(Package::CloudInit);
        self
    }

    /// Makes the world for the calling thread, and for the children and threads that it starts from now on.
    pub fn build(self) -> Result<World, StageError> {
        if !guard::at_home().step("read the network namespace")? {
            return Err(StageError::SecondWorld);
        }
        let privileges = Privileges::of_this_process()?;
        let packages = self.packages.iter().map(|package| package.find()).collect::<Result<Vec<_>, _>>()?;

        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).step("make namespaces for the thread")?;
        let agent = view::make(privileges, &packages)?;
        for package in &packages {
            package.configure(privileges).step("configure a package")?;
        }
        let mut wire = Wire::new()?;
        let options = self.standin;
        let standin = wire.platform().within(|| Standin::start(options).map_err(StageError::Standin))?;
        wire.open(self.ipv4, self.ipv6)?;
        Ok(World {
            net: NsId::net_here().step("read the network namespace")?,
            mount: NsId::mount_here().step("read the mount namespace")?,
            privileges,
            agent,
            standin,
            wire: RefCell::new(wire),
            shown: RefCell::default(),
            thread: PhantomData,
        })
    }

    /// Makes the world on a new thread and runs `f` there. A panic of `f` continues in the caller.
    /// Tests use this method, since it does not depend on the thread on which the harness runs them.
    pub fn run<T: Send>(self, f: impl FnOnce(&World) -> T + Send) -> T {
        let name = thread::current().name().unwrap_or("world").to_owned();
        let body = || f(&self.build().expect("a world"));
        thread::scope(|scope| {
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, body).expect("a thread");
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A world that resembles a small Instance. The thread that built it is the guest: it sees the view of the file system, and its sockets
/// use the guest's network. Dropping the world kills every process in it.
#[derive(Debug)]
pub struct World {
    net: NsId,
    mount: NsId,
    privileges: Privileges,
    agent: Account,
    standin: Standin,
    wire: RefCell<Wire>,
    /// The programs that are mounted in the view, by their path outside.
    shown: RefCell<BTreeMap<PathBuf, PathBuf>>,
    /// A world belongs to its thread.
    thread: PhantomData<Rc<()>>,
}

impl World {
    /// A builder for a world in which both families are served.
    pub fn builder() -> Builder {
        Builder {
            ipv4: Reach::Served,
            ipv6: Reach::Served,
            packages: Vec::new(),
            standin: Options::default(),
        }
    }

    /// The metadata service.
    pub fn standin(&self) -> &Standin {
        &self.standin
    }

    /// The user ids that the world has.
    pub fn privileges(&self) -> Privileges {
        self.privileges
    }

    /// The daemon's user id in this world.
    pub fn agent_uid(&self) -> u32 {
        self.agent.uid
    }

    /// The daemon's group id in this world.
    pub fn agent_gid(&self) -> u32 {
        self.agent.gid
    }

    /// Checks that the calling thread is in this world's network, and that no default route leads out of it.
    pub fn check_inside(&self) -> Result<(), Outside> {
        guard::check(self.net)
    }

    /// A command that runs `program` in the world as root. Spawn it from the world's thread, or from a thread that this one started.
    ///
    /// Panics if [`World::check_inside`] fails, so that no client can be started on the machine's own network.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.check_inside().expect("a thread inside the world");
        Command::new(program.as_ref())
    }

    /// A command that runs `program` as the daemon's unit does: as its own user, in `/`, with a clean environment. It has
    /// CAP_NET_BIND_SERVICE and CAP_NET_RAW, and cannot acquire other capabilities. It dies with the world's thread.
    ///
    /// Panics as [`World::command`] does.
    pub fn agent_command(&self, program: impl AsRef<Path>) -> Command {
        self.agent_command_with(program, &["net_bind_service", "net_raw"])
    }

    /// The same with other capabilities, in the syntax of setpriv.
    ///
    /// Panics as [`World::command`] does.
    pub fn agent_command_with(&self, program: impl AsRef<Path>, capabilities: &[&str]) -> Command {
        let mut command = self.command("setpriv");
        if self.privileges == Privileges::Root {
            command.arg(format!("--reuid={}", self.agent.uid)).arg(format!("--regid={}", self.agent.gid));
            command.arg("--clear-groups");
        }
        let held: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        for set in ["bounding-set", "inh-caps", "ambient-caps"] {
            command.arg(format!("--{set}=-all{held}"));
        }
        command.args(["--no-new-privs", "--pdeathsig=KILL", "--"]).arg(self.show(program.as_ref()));
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// The path of a program in the view, since the daemon's user may have no access to the folder in which it was built. A name without
    /// a slash is returned unchanged.
    fn show(&self, program: &Path) -> PathBuf {
        if program.components().count() < 2 {
            return program.to_owned();
        }
        let mut shown = self.shown.borrow_mut();
        if let Some(path) = shown.get(program) {
            return path.clone();
        }
        let folder = Path::new(view::OWN).join(format!("bin-{}", shown.len()));
        let path = folder.join(program.file_name().unwrap_or_default());
        std::fs::create_dir(&folder).and_then(|()| std::fs::write(&path, "")).expect("the view is writable");
        let none = None::<&Path>;
        mount(Some(program), &path, none, MsFlags::MS_BIND, none).expect("the program exists");
        shown.insert(program.to_owned(), path.clone());
        path
    }

    /// Changes what happens to connections to a family's metadata address, while programs run.
    ///
    /// Panics if the network cannot be changed, since the test would be meaningless.
    pub fn set_reach(&self, family: Family, reach: Reach) {
        self.wire.borrow_mut().set_reach(family, reach).expect("the network can be changed");
    }

    /// Unplugs the cable of the guest's `eth0`, or plugs it in. Addresses and routes disappear and reappear with it.
    ///
    /// Panics as [`World::set_reach`] does.
    pub fn set_link(&self, up: bool) {
        self.wire.borrow_mut().set_link(up).expect("the network can be changed");
    }

    /// Adds an IPv4 default route of the guest that leads nowhere, or removes it.
    ///
    /// Panics as [`World::set_reach`] does.
    pub fn set_default_route(&self, there: bool) {
        let lines = if there {
            format!(
                "link add {NOWHERE} type veth peer name {NOWHERE}-end\nlink set {NOWHERE} addrgenmode none up\n\
                 link set {NOWHERE}-end addrgenmode none up\nroute add default dev {NOWHERE}\n"
            )
        } else {
            format!("link del {NOWHERE}\n")
        };
        netns::ip(&lines).expect("the network can be changed");
    }

    /// Sets the DMI data that the hypervisor shows: the system vendor and the product UUID. `None` removes the file.
    /// A new world has the vendor of a Scaleway Instance, and no UUID.
    ///
    /// Panics if the data cannot be written.
    pub fn set_dmi(&self, vendor: Option<&str>, uuid: Option<&str>) {
        view::set_dmi(vendor, uuid).expect("the DMI data can be written");
    }

    /// Boots the Instance again, as after a power cut: every process in the world is killed, /run is empty, and the boot id is new. Other
    /// files in the view remain, and the network does not change.
    ///
    /// Panics if that fails, since the test would be meaningless.
    pub fn reboot(&self) {
        assert!(guard::kill_all_in(self.net, self.mount), "every process of the world can be killed");
        view::reboot(self.agent).expect("the view can be changed");
    }

    /// The guest's TCP sockets, including those in TIME_WAIT.
    pub fn tcp_table(&self) -> Vec<TcpEntry> {
        self.check_inside().expect("a thread inside the world");
        tcp::table().expect("the kernel's tables are readable")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !guard::kill_all_in(self.net, self.mount) {
            eprintln!("some processes of a world could not be killed");
        }
    }
}
