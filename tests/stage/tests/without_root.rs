//! A world made by an ordinary user, in a user namespace. Run as root, this program runs itself again as somebody
//! without any privilege; it has no test harness, because that has threads.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use scw_stage::{Daemon, Package, Privileges, Sshd, World, enter_user_namespace_if_needed};

/// Nobody's user id on any machine.
const SOMEBODY: &str = "54321";

fn main() {
    let uid = fs::read_to_string("/proc/self/status").expect("readable");
    let uid = uid.lines().find_map(|line| line.strip_prefix("Uid:\t")).expect("there");
    if uid.starts_with("0\t") {
        return run_as_somebody();
    }
    enter_user_namespace_if_needed().expect("a user namespace");
    World::builder().with_sshd().run(|world| {
        assert_eq!(world.privileges(), Privileges::UserNamespace);
        the_view_can_be_written(world);
        the_metadata_service_answers();
        the_daemon_has_its_capabilities(world);
        sshd_lets_somebody_in(world);
    });
    println!("test a_world_can_be_made_without_root ... ok");
}

fn run_as_somebody() {
    // Fetched as root, if it must be: somebody may not write there.
    Package::OpensshServer.find().expect("openssh-server");
    // The program comes as an open file, because somebody may have no way to its folder.
    let program = File::open("/proc/self/exe").expect("there");
    let ids = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}")];
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

fn the_view_can_be_written(world: &World) {
    for path in
        ["/etc/scw-agent.toml", "/etc/ssh/x", "/var/lib/scw-agent/x", "/var/log/x", "/run/x", "/root/x"]
    {
        fs::write(path, "only here").expect(path);
    }
    assert!(world.command("ssh-keygen").arg("-A").output().expect("run").status.success());
}

fn the_metadata_service_answers() {
    let address = SocketAddr::from((Ipv4Addr::new(169, 254, 42, 42), 80));
    TcpStream::connect_timeout(&address, Duration::from_secs(300)).expect("connected");
}

fn the_daemon_has_its_capabilities(world: &World) {
    let output = world.agent_command("cat").arg("/proc/self/status").output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(text.contains(&format!("{set}:\t0000000000002400")), "{text}");
    }
    // One user id is all there is, so this is another user's process only by its capabilities.
    let daemon = Daemon::spawn(world.agent_command("sleep").arg("1000")).expect("started");
    daemon.terminate();
}

fn sshd_lets_somebody_in(world: &World) {
    let sshd = Sshd::start(world).expect("up");
    let known = sshd.keyscan(world).output().expect("run").stdout;
    fs::write("/run/known_hosts", known).expect("written");
    let output = sshd.ssh(world, "/run/known_hosts".as_ref()).args(["echo", "in"]).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{}", sshd.daemon().output());
}
