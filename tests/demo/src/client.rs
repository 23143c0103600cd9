//! What a user does from outside: ssh, which asks `scw-known-hosts` about the host key.

use std::path::Path;
use std::process::Command;

use scw_stage::Sshd;
use scw_standin::OWNER_TOKEN;

use crate::guest::{Guest, Ran, run};
use crate::owner;
use crate::story::{Seen, ensure};

/// The port of the second server.
const OTHER_PORT: &str = "2200";
const OTHER_KEY: &str = "/run/other-key";

/// A program on the user's machine.
fn command(guest: &Guest, program: &Path) -> Command {
    let mut command = guest.world.command(program);
    let address = owner::ADDRESS.map(|part| part.to_string()).join(".");
    command.env("SCW_API_URL", format!("https://{address}")).env("SCW_SECRET_KEY", OWNER_TOKEN);
    command
        .env("SSL_CERT_FILE", owner::AUTHORITY)
        .env("HOME", "/root")
        .env("SCW_CONFIG_PATH", "/nonexistent");
    command
}

/// The public address of the Instance, which this network has from now on.
fn address(guest: &Guest) -> Result<String, String> {
    let server =
        owner::ask(guest.world, "GET", &format!("servers/{}", guest.id()?), None)?.unwrap_or_default();
    let server: serde_json::Value = serde_json::from_str(&server).map_err(|error| error.to_string())?;
    let address =
        server["server"]["public_ips"][0]["address"].as_str().ok_or("the Instance has no address")?;
    // `replace` also succeeds if it is there already.
    let mut ip = guest.world.command("ip");
    run(ip.args(["address", "replace", &format!("{address}/32"), "dev", "lo"]))?.succeeded()?;
    Ok(address.to_owned())
}

/// Connects with the user's configuration, which asks no question.
fn ssh(guest: &Guest, address: &str, options: &[&str]) -> Result<Ran, String> {
    let sshd = guest.sshd()?;
    let mut ssh = command(guest, "ssh".as_ref());
    // The first value of an option counts.
    ssh.args(options)
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-l", sshd.user(), "-i"])
        .arg(sshd.identity());
    run(ssh.args(["-p", &sshd.port().to_string(), address, "echo in as $(id -un)"]))
}

pub(crate) fn checked_login(guest: &mut Guest) -> Seen {
    let address = address(guest)?;
    let setup = run(command(guest, &guest.client).arg("setup"))?.succeeded()?;
    let ran = ssh(guest, &address, &[])?.succeeded()?;
    ensure(ran.stdout.starts_with("in as "), format!("it printed {:?}", ran.stdout))?;
    ensure(!Path::new("/root/.ssh/known_hosts").exists(), "ssh stored a key")?;
    let mut seen: Vec<_> =
        setup.stdout.lines().map(|line| format!("scw-known-hosts setup: {line}")).collect();
    seen.push(format!("ssh {address}: {}", ran.stdout.trim()));
    Ok(seen)
}

pub(crate) fn other_server(guest: &mut Guest) -> Seen {
    let address = address(guest)?;
    guest.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", OTHER_KEY])?.succeeded()?;
    let key = format!("HostKey={OTHER_KEY}");
    let options = ["-p", OTHER_PORT, "-o", &key, "-o", "PidFile=none"];
    let other = Sshd::start_with(guest.world, &options).map_err(|error| error.to_string())?;
    let ran = ssh(guest, &address, &["-o", "StrictHostKeyChecking=no", "-p", OTHER_PORT]);
    other.stop();
    let ran = ran?;
    ensure(ran.code == Some(255), format!("exit code {:?}: {}{}", ran.code, ran.stdout, ran.stderr))?;
    let line = ran.stderr.lines().find(|line| line.starts_with("scw-known-hosts: refused"));
    let line = line.ok_or_else(|| format!("it says {}", ran.stderr))?;
    Ok(vec![format!("ssh -o StrictHostKeyChecking=no -p {OTHER_PORT} {address}:"), format!("  {line}")])
}
