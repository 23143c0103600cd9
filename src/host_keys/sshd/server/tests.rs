//! A table of systems, each with or without an OpenSSH server. The systems are files in a temporary folder.

use std::os::unix::fs::symlink;

use SshServer::{Enabled, NotEnabled, Unknown};

use super::*;
use crate::util::random;

const SSH: &str = "[Unit]\nConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n[Service]\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n";
const SSH_SOCKET: &str = "[Socket]\nListenStream=22\n";
const SSHD_IN_A_SHELL: &str = "[Service]\nExecStart=/bin/sh -c 'exec /opt/ssh/sbin/sshd -D'\n";
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";

/// The root of a system with OpenSSH and Dropbear installed, none of them enabled.
struct System(PathBuf);

impl System {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("scw-agent-units-{:x}", random::generator().u64(..)));
        let system = Self(root);
        fs::create_dir_all(system.0.join("run/systemd/system")).expect("made");
        system.unit("ssh.service", SSH);
        system.unit("ssh.socket", SSH_SOCKET);
        system.unit("sshd@.service", "[Service]\nExecStart=-/usr/sbin/sshd -i\n");
        system.unit("sshd-keygen.service", "[Service]\nExecStart=ssh-keygen -A\n");
        system.unit("dropbear.service", "[Service]\nExecStart=/usr/sbin/dropbear -EF -p 22\n");
        system.link("etc/systemd/system/ssh.service.wants", "sshd-keygen.service");
        system.link(WANTS, "dropbear.service");
        system
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn unit(&self, name: &str, text: &str) {
        self.put(&format!("usr/lib/systemd/system/{name}"), text);
    }

    fn link(&self, folder: &str, name: &str) {
        fs::create_dir_all(self.0.join(folder)).expect("made");
        symlink("/usr/lib/systemd/system/any", self.0.join(folder).join(name)).expect("linked");
    }

    fn mask(&self, folder: &str, name: &str) {
        fs::create_dir_all(self.0.join(folder)).expect("made");
        symlink("/dev/null", self.0.join(folder).join(name)).expect("linked");
    }

    fn activate(&self, service: &str) {
        self.link(ACTIVE_SERVICES, &format!("invocation:{service}"));
    }

    fn state(&self) -> SshServer {
        SshServer::read(&self.0)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// The name of the case, the expected state, and how the system is changed for it.
type Case = (&'static str, SshServer, fn(&System));

const CASES: [Case; 23] = [
    ("Dropbear alone", NotEnabled, |_| {}),
    ("the service", Enabled, |s| s.link(WANTS, "ssh.service")),
    ("required", Enabled, |s| s.link("etc/systemd/system/x.target.requires", "ssh.service")),
    ("enabled by the vendor", Enabled, |s| s.link("usr/lib/systemd/system/x.target.wants", "ssh.service")),
    ("the socket", Enabled, |s| s.link("etc/systemd/system/sockets.target.wants", "ssh.socket")),
    ("an instance", Enabled, |s| s.link(WANTS, "sshd@alt.service")),
    ("another name", Enabled, |s| {
        s.unit("remote-login.service", SSHD_IN_A_SHELL);
        s.link(WANTS, "remote-login.service");
    }),
    ("an init script", Enabled, |s| {
        s.put("run/systemd/generator.late/old.service", "[Service]\nExecStart=/etc/init.d/ssh start\n");
        s.link("run/systemd/generator.late/x.target.wants", "old.service");
    }),
    ("an alias only", NotEnabled, |s| s.link("etc/systemd/system", "sshd.service")),
    ("masked", NotEnabled, |s| {
        s.link(WANTS, "ssh.service");
        s.mask("etc/systemd/system", "ssh.service");
    }),
    ("masked on the kernel command line", NotEnabled, |s| {
        s.link(WANTS, "ssh.service");
        s.mask("run/systemd/generator.early", "ssh.service");
    }),
    ("removed, but its link remains", NotEnabled, |s| {
        s.link(WANTS, "ssh.service");
        fs::remove_file(s.0.join("usr/lib/systemd/system/ssh.service")).expect("removed");
    }),
    ("switched off as on Debian", NotEnabled, |s| {
        s.link(WANTS, "ssh.service");
        s.put("etc/ssh/sshd_not_to_be_run", "");
    }),
    ("Dropbear under its name", NotEnabled, |s| {
        s.link(WANTS, "ssh.service");
        s.put("etc/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/dropbear -F\n");
    }),
    ("tinysshd", NotEnabled, |s| {
        s.unit("tinysshd.service", "[Service]\nExecStart=/usr/sbin/tinysshd -- /etc/sshd\n");
        s.link(WANTS, "tinysshd.service");
    }),
    ("sockets for local logins", NotEnabled, |s| {
        let local = "[Socket]\nListenStream=/run/ssh-unix-local/socket\nListenStream=vsock::22\nAccept=yes\n";
        s.put("run/systemd/generator/sshd-unix-local.socket", local);
        s.put("run/systemd/generator/sshd-unix-local@.service", "[Service]\nExecStart=-/usr/sbin/sshd -i\n");
        s.link("run/systemd/generator/sockets.target.wants", "sshd-unix-local.socket");
        s.activate("sshd-unix-local@0-1-2.service");
    }),
    ("started by hand", Enabled, |s| s.activate("ssh.service")),
    ("masked while it runs", Enabled, |s| {
        s.activate("ssh.service");
        s.mask("etc/systemd/system", "ssh.service");
    }),
    ("a socket started by hand", Enabled, |s| {
        fs::create_dir_all(s.0.join("sys/fs/cgroup/system.slice/ssh.socket")).expect("made");
    }),
    ("another service is active", NotEnabled, |s| s.activate("dropbear.service")),
    ("a unit of another name is no unit file", NotEnabled, |s| {
        fs::create_dir_all(s.0.join("etc/systemd/system/odd.service")).expect("made");
        s.link(WANTS, "odd.service");
    }),
    ("sshd's unit is no unit file", Unknown, |s| {
        fs::create_dir_all(s.0.join("etc/systemd/system/ssh.service")).expect("made");
        s.link(WANTS, "ssh.service");
    }),
    ("no systemd", Unknown, |s| fs::remove_dir(s.0.join("run/systemd/system")).expect("removed")),
];

#[test]
fn h3_systems_with_and_without_an_openssh_server() {
    for (what, expected, change) in CASES {
        let system = System::new();
        change(&system);
        assert_eq!(system.state(), expected, "{what}");
    }
}
