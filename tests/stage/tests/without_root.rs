//! A world made by an ordinary user, in a user namespace. If root runs this program, it runs itself again as a user without
//! privileges. It has no test harness, because the harness starts threads.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use scw_stage::{Daemon, Package, Privileges, Sshd, World, enter_user_namespace_if_needed};

/// A user id that no machine assigns.
const ORDINARY_USER: &str = "54321";

fn main() {
    let uid = fs::read_to_string("/proc/self/status").expect("readable");
    let uid = uid.lines().find_map(|line| line.strip_prefix("Uid:\t")).expect("there");
    if uid.starts_with("0\t") {
        return run_as_ordinary_user();
    }
    enter_user_namespace_if_needed().expect("a user namespace");
    World::builder().with_sshd().run(|world| {
        assert_eq!(world.privileges(), Privileges::UserNamespace);
        check_view_is_writable(world);
        check_metadata_service_answers();
        check_daemon_capabilities(world);
        check_ssh_login(world);
    });
    println!("test a_world_can_be_made_without_root ... ok");
}

fn run_as_ordinary_user() {
    // Fetch the package as root if necessary, since the ordinary user may not write to the target folder.
    Package::OpensshServer.find().expect("openssh-server");
    // Pass the program as an open file, because the ordinary user may have no access to its folder.
    let program = File::open("/proc/self/exe").expect("there");
    let ids = [format!("--reuid={ORDINARY_USER}"), format!("--regid={ORDINARY_USER}")];
    let mut command = Command::new("setpriv");
    command.args(ids).args([
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--",
        "/proc/self/fd/0",
    ]);
    let status = command.stdin(program).current_dir("/").status().expect("run");
    assert!(status.success(), "{status}");
}

fn check_view_is_writable(world: &World) {
    for path in
        ["/etc/scw-agent.toml", "/etc/ssh/x", "/var/lib/scw-agent/x", "/var/log/x", "/run/x", "/root/x"]
    {
        fs::write(path, "only here").expect(path);
    }
    assert!(world.command("ssh-keygen").arg("-A").output().expect("run").status.success());
}

fn check_metadata_service_answers() {
    let address = SocketAddr::from((Ipv4Addr::new(169, 254, 42, 42), 80));
    TcpStream::connect_timeout(&address, Duration::from_secs(300)).expect("connected");
}

fn check_daemon_capabilities(world: &World) {
    let output = world.agent_command("cat").arg("/proc/self/status").output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(text.contains(&format!("{set}:\t0000000000002400")), "{text}");
    }
    // Only one user id exists, so the daemon differs from this process only by its capabilities.
    let daemon = Daemon::spawn(world.agent_command("sleep").arg("1000")).expect("started");
    daemon.terminate();
}

fn check_ssh_login(world: &World) {
    let sshd = Sshd::start(world).expect("up");
    let known = sshd.keyscan(world).output().expect("run").stdout;
    fs::write("/run/known_hosts", known).expect("written");
    let output = sshd.ssh(world, "/run/known_hosts".as_ref()).args(["echo", "in"]).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{}", sshd.daemon().output());
}
