//! A world: made for the calling thread, asked for commands to run in it, and gone with everything in it when dropped.
//! The thread stays in its dead world afterwards; it must never get back into the machine's network.

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

/// How a world is to be. By default both families are served, by a stand-in with its own defaults.
#[derive(Debug)]
pub struct Builder {
    ipv4: Reach,
    ipv6: Reach,
    packages: Vec<Package>,
    standin: Options,
}

impl Builder {
    /// What connections to 169.254.42.42 meet.
    pub fn ipv4(mut self, reach: Reach) -> Builder {
        self.ipv4 = reach;
        self
    }

    /// What connections to fd00:42::42 meet.
    pub fn ipv6(mut self, reach: Reach) -> Builder {
        self.ipv6 = reach;
        self
    }

    /// What the stand-in is started with. It can listen on both real addresses, whatever the reach is.
    pub fn standin(mut self, options: Options) -> Builder {
        self.standin = options;
        self
    }

    /// Puts openssh-server into the view, with a plain /etc/ssh/sshd_config; fetches it first if it must.
    pub fn with_sshd(mut self) -> Builder {
        self.packages.push(Package::OpensshServer);
        self
    }

    /// Puts cloud-init into the view, with its package's configuration; fetches it first if it must.
    pub fn with_cloud_init(mut self) -> Builder {
        self.packages.push(Package::CloudInit);
        self
    }

    /// Makes the world, for the calling thread and the children and threads that it starts from now on.
    pub fn build(self) -> Result<World, StageError> {
        if !guard::at_home().step("look at the network namespace")? {
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
            net: NsId::net_here().step("look at the network namespace")?,
            mount: NsId::mount_here().step("look at the mount namespace")?,
            privileges,
            agent,
            standin,
            wire: RefCell::new(wire),
            shown: RefCell::default(),
            thread: PhantomData,
        })
    }

    /// Makes the world on a thread of its own and runs `f` there; a panic of `f` goes on in the caller.
    /// This is the way for tests: it does not matter on which thread their harness runs them.
    pub fn run<T: Send>(self, f: impl FnOnce(&World) -> T + Send) -> T {
        let name = thread::current().name().unwrap_or("world").to_owned();
        let body = || f(&self.build().expect("a world"));
        thread::scope(|scope| {
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, body).expect("a thread");
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A world like a small Instance. The thread that built it is the guest: its file system calls meet the view, its
/// sockets the guest's network. Dropping it kills every process in it.
#[derive(Debug)]
pub struct World {
    net: NsId,
    mount: NsId,
    privileges: Privileges,
    agent: Account,
    standin: Standin,
    wire: RefCell<Wire>,
    /// Programs shown in the view, by their path outside.
    shown: RefCell<BTreeMap<PathBuf, PathBuf>>,
    /// A world belongs to its thread.
    thread: PhantomData<Rc<()>>,
}

impl World {
    /// A world with both families served, to be changed before it is built.
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

    /// What the world can do with user ids.
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

    /// Makes sure that the calling thread is in this world's network and that no default route leads out of it.
    pub fn check_inside(&self) -> Result<(), Outside> {
        guard::check(self.net)
    }

    /// A command that runs `program` in the world, as root. To be spawned from the world's thread, or from threads
    /// that it started.
    ///
    /// Panics if [`World::check_inside`] fails, so that no client can be started on the machine's own network.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.check_inside().expect("a thread inside the world");
        Command::new(program.as_ref())
    }

    /// A command that runs `program` as the daemon's unit does: as its own user, with CAP_NET_BIND_SERVICE,
    /// CAP_NET_RAW and no other capability, with no way to get more, with a clean environment, in `/`. It dies with the world's thread.
    ///
    /// Panics as [`World::command`] does.
    pub fn agent_command(&self, program: impl AsRef<Path>) -> Command {
        self.agent_command_with(program, &["net_bind_service", "net_raw"])
    }

    /// The same with other capabilities, in the words of setpriv.
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

    /// A path in the view for a program, since the daemon's user may have no way to where it was built. A bare name
    /// stays one.
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
        std::fs::create_dir(&folder)
            .and_then(|()| std::fs::write(&path, ""))
            .expect("the view can be written");
        let none = None::<&Path>;
        mount(Some(program), &path, none, MsFlags::MS_BIND, none).expect("the program is there to be shown");
        shown.insert(program.to_owned(), path.clone());
        path
    }

    /// Changes what connections to a family's metadata address meet, while everything runs.
    ///
    /// Panics when the network cannot be changed: a test must not go on as if it had been.
    pub fn set_reach(&self, family: Family, reach: Reach) {
        self.wire.borrow_mut().set_reach(family, reach).expect("the network can be changed");
    }

    /// Pulls the cable of the guest's `eth0`, or plugs it in: addresses and routes go and come with it.
    ///
    /// Panics as [`World::set_reach`] does.
    pub fn set_link(&self, up: bool) {
        self.wire.borrow_mut().set_link(up).expect("the network can be changed");
    }

    /// Gives the guest a default route over IPv4 to where nothing is, or takes it away.
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

    /// Sets what the hypervisor shows as DMI data: the system vendor and the product's UUID; `None` for no such file.
    /// A new world has the vendor of a Scaleway Instance, and no UUID.
    ///
    /// Panics when they cannot be written.
    pub fn set_dmi(&self, vendor: Option<&str>, uuid: Option<&str>) {
        view::set_dmi(vendor, uuid).expect("the DMI data can be written");
    }

    /// Boots the Instance again, after a power cut: every process in the world is killed, /run is empty, the boot has
    /// another id. What was written elsewhere in the view stays, and the network is as it was.
    ///
    /// Panics when that cannot be done: a test must not go on as if it had been.
    pub fn reboot(&self) {
        assert!(guard::kill_all_in(self.net, self.mount), "every process of the world can be killed");
        view::reboot(self.agent).expect("the view can be changed");
    }

    /// The guest's TCP sockets, those in TIME_WAIT included.
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
