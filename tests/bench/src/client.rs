//! The time that scw-known-hosts adds to an ssh connection.
//!
//! The stand-in delays its answers, but not the connections and the TLS handshakes, which also take round trips in a real network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scw_stage::{Sshd, World};
use scw_standin::{Fault, OWNER_TOKEN, Options, Order, PublicApi};

use crate::host_keys::timed;
use crate::machine;
use crate::report::{Section, Table, figure};
use crate::statistics::Spread;

/// Runs of each kind, in turn.
const RUNS: usize = 15;
/// The latency of a slow answer.
const LATENCY_MS: u64 = 100;

const API: &str = "169.254.42.42:443";
const AUTHORITY: &str = "/run/api-authority.pem";
/// The address of the stand-in's Instance, and one that no Instance has.
const ADDRESS: &str = "51.15.68.77";
const OTHER_ADDRESS: &str = "51.15.99.99";
/// The configurations of ssh: without the client, for a listed host, and for a declared one.
const PLAIN: &str = "/run/plain.config";
const ANY_COMMAND: &str = "/run/any-command.config";
const LISTED: &str = "/run/listed.config";
const DECLARED: &str = "/run/declared.config";
const KNOWN_HOSTS: &str = "/run/known-hosts";
/// The local list of Instances, and the same when it is not there.
const LIST: &str = "/run/cache/scw-known-hosts.json";
const LIST_ASIDE: &str = "/run/cache/aside";

const ABOUT: &str = "The first rows are complete connections to an sshd on the same machine. `added` is the difference to the median of plain ssh, which has the key in \
known_hosts. With a hint, the local list says which Instance has the address. Without one, the ten zones are asked at the same time. In the \
rows with a latency, each answer of the API comes after 100 ms. The last rows are the program alone, beside the least that a process costs.";

/// A kind of run: its name, the latency of the API, whether the list is there, and the command.
struct Kind<'a> {
    name: &'static str,
    latency: u64,
    has_list: bool,
    command: Box<dyn Fn() -> Command + 'a>,
}

/// Measures, and prints the table.
pub(crate) fn measure(client: &Path) -> Result<(), String> {
    let public_api = PublicApi {
        listen: API.parse().map_err(|_| "no address")?,
        authority: Some(AUTHORITY.into()),
        tokens: BTreeMap::new(),
    };
    let options = Options { public_api: Some(public_api), ..Options::default() };
    let table = World::builder().with_sshd().standin(options).run(|world| -> Result<Table, String> {
        let sshd = prepare(world, client)?;
        let kinds = kinds(world, client, &sshd);
        let mut runs = vec![Vec::new(); kinds.len()];
        for _ in 0..RUNS {
            for (kind, runs) in kinds.iter().zip(&mut runs) {
                runs.push(run(world, kind)?);
            }
        }
        Ok(table(&kinds, runs))
    })?;
    println!("{}", machine::description("not used"));
    println!("{}", Section { title: "Connections with scw-known-hosts", about: ABOUT, table });
    Ok(())
}

/// Makes the addresses, the host keys, what is published, and the configurations of ssh.
fn prepare(world: &World, client: &Path) -> Result<Sshd, String> {
    let error = |error: std::io::Error| error.to_string();
    for address in [ADDRESS, OTHER_ADDRESS] {
        output(world.command("ip").args(["address", "add", address, "dev", "lo"]))?;
    }
    output(world.command("ssh-keygen").arg("-A"))?;
    let sshd = Sshd::start(world).map_err(|error| error.to_string())?;
    let key = "/etc/ssh/ssh_host_ed25519_key.pub";
    let published = output(world.command("ssh-keygen").args(["-lf", key]))?;
    world.standin().set_user_data("ssh-host-fingerprints", published.trim_end());
    let key = fs::read_to_string(key).map_err(error)?;
    fs::write(KNOWN_HOSTS, format!("{ADDRESS} {key}{OTHER_ADDRESS} {key}")).map_err(error)?;
    fs::write(PLAIN, "").map_err(error)?;
    fs::write(ANY_COMMAND, "KnownHostsCommand /bin/true\n").map_err(error)?;
    for (file, options) in [(LISTED, &[][..]), (DECLARED, &["--host", ADDRESS])] {
        let config = output(with_api(&mut world.command(client)).args(["setup", "--print"]).args(options))?;
        fs::write(file, config).map_err(error)?;
    }
    output(with_api(&mut world.command(client)).args(["show", ADDRESS]))?;
    Ok(sshd)
}

fn with_api(command: &mut Command) -> &mut Command {
    command.env_clear().envs([
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("SCW_API_URL", "https://169.254.42.42"),
        ("SCW_SECRET_KEY", OWNER_TOKEN),
        ("SCW_CONFIG_PATH", "/nonexistent"),
        ("SCW_CACHE_DIR", "/run/cache"),
        ("SSL_CERT_FILE", AUTHORITY),
    ])
}

fn kinds<'a>(world: &'a World, client: &'a Path, sshd: &'a Sshd) -> Vec<Kind<'a>> {
    let ssh = |config: &'static str, known_hosts: &'static str, host: &'static str| {
        Box::new(move || {
            let mut command = world.command("ssh");
            with_api(&mut command).args(["-F", config, "-i"]).arg(sshd.identity());
            for option in ["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes"] {
                command.args(["-o", option]);
            }
            command.args(["-o", &format!("UserKnownHostsFile={known_hosts}"), "-l", sshd.user()]);
            command.args(["-p", &sshd.port().to_string(), host, "true"]);
            command
        })
    };
    let check = move || {
        let mut command = world.command(client);
        let tokens = ["HOSTNAME", OTHER_ADDRESS, OTHER_ADDRESS, OTHER_ADDRESS, "22", "ssh-ed25519", "AAAA"];
        with_api(&mut command).args(["check", "--unknown=ask"]).args(tokens);
        command
    };
    let kind = |name, latency, has_list, command| Kind { name, latency, has_list, command };
    vec![
        kind("plain ssh", 0, true, ssh(PLAIN, KNOWN_HOSTS, ADDRESS)),
        kind("KnownHostsCommand /bin/true", 0, true, ssh(ANY_COMMAND, KNOWN_HOSTS, OTHER_ADDRESS)),
        kind("the host is no candidate", 0, true, ssh(LISTED, KNOWN_HOSTS, OTHER_ADDRESS)),
        kind("with a hint, no latency", 0, true, ssh(LISTED, "none", ADDRESS)),
        kind("with a hint, 100 ms", LATENCY_MS, true, ssh(LISTED, "none", ADDRESS)),
        kind("without a hint, ten zones, 100 ms", LATENCY_MS, false, ssh(DECLARED, "none", ADDRESS)),
        kind("/bin/true", 0, true, Box::new(move || world.command("/bin/true"))),
        kind("check: no candidate", 0, true, Box::new(check)),
    ]
}

/// Runs a command of this kind; returns the elapsed time.
fn run(world: &World, kind: &Kind) -> Result<Duration, String> {
    let delay = Order::new(Fault::Delay { ms: kind.latency }).path("/instance/*");
    world.standin().set_orders(if kind.latency > 0 { vec![delay] } else { Vec::new() });
    if kind.has_list {
        return timed((kind.command)());
    }
    // The run writes a new list, which the old one replaces.
    fs::rename(LIST, LIST_ASIDE).map_err(|error| error.to_string())?;
    let took = timed((kind.command)());
    fs::rename(LIST_ASIDE, LIST).map_err(|error| error.to_string())?;
    took
}

fn table(kinds: &[Kind], runs: Vec<Vec<Duration>>) -> Table {
    let mut table = Table::new(&["", "median", "least", "most", "runs", "added", "ratio"]);
    let spreads: Vec<_> = runs.into_iter().map(Spread::of).collect();
    // The program alone is compared with /bin/true.
    let alone = kinds.iter().position(|kind| kind.name == "/bin/true").unwrap_or_default();
    for (n, (kind, spread)) in kinds.iter().zip(&spreads).enumerate() {
        let base = spreads[if n < alone { 0 } else { alone }].median_ms();
        let median = spread.median_ms();
        let added = format!("{} ms", figure((median - base).max(0.0)));
        let ratio = format!("{}×", figure(median / base));
        table.row([kind.name.to_owned()].into_iter().chain(spread.cells()).chain([added, ratio]));
    }
    table
}

/// Runs a program, which must succeed. Returns its standard output.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
