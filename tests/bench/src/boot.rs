//! The work of a boot without making host keys. It compares the agent with a shell script, written in the style of today's images, and
//! with cloud-init. They run in turn, on the same machine, with the same stand-in.
//!
//! All three read the metadata, check the host keys, and run one script from user data once. The agent and the shell script publish the
//! fingerprints; the shell script and cloud-init also install the owner's SSH keys.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use scw_stage::{Programs, World};
use scw_standin::{Fault, Order};

use crate::cloud_init::{CloudInit, sh};
use crate::report::{Aim, Ratio, Report, Table, figure};
use crate::statistics::Spread;
use crate::usage::{self, Step, Usage};

const RUNS: usize = 15;
/// Fewer runs, since cloud-init takes one second each.
const RUNS_OF_CLOUD_INIT: usize = 7;
const SCRIPT: &str = "#!/bin/sh\necho hello >/root/hello\n";
const FINGERPRINTS: &str = "ssh-host-fingerprints";

/// A shell script that does what `scw-fetch-ssh-keys`, `scw-generate-ssh-keys` and similar programs do, written from a description of
/// them. Each request is one curl.
const SHELL: &str = r#"
get() { curl -sf --local-port 1-1023 --connect-timeout 3 --retry 3 "http://169.254.42.42/$1"; }
curl -sf --connect-timeout 3 http://169.254.42.42/conf >/run/conf || exit 1
for type in ecdsa ed25519 rsa; do
    [ -s /etc/ssh/ssh_host_${type}_key ] || ssh-keygen -q -t $type -N '' -f /etc/ssh/ssh_host_${type}_key
done
for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$key"; done >/run/fingerprints
curl -sf --local-port 1-1023 -X PATCH -H 'Content-Type: text/plain' --data-binary @/run/fingerprints \
    http://169.254.42.42/user_data/ssh-host-fingerprints
mkdir -p /root/.ssh
sed -n "s/^SSH_PUBLIC_KEYS_[0-9]*_KEY='\(.*\)'$/\1/p" /run/conf >/root/.ssh/authorized_keys
[ -e /var/lib/scw-agent/done ] && exit 0
get user_data/setup-script >/run/setup-script && chmod 700 /run/setup-script && /run/setup-script && : >/var/lib/scw-agent/done
"#;

const ABOUT: &str = "The host keys exist already, and sshd is installed. CPU time is that of all processes together; peak memory is that of the largest one. \
`scw-agent` is all its units: host-keys ensure and settle, setup run, and the daemon until it has published the fingerprints and requested \
the runner. `shell and curl` does what images do today: it reads `/conf` with curl, makes missing keys, publishes the fingerprints with \
`ssh-keygen` and one PATCH, writes the authorized keys, and runs the script. cloud-init is the one of Debian 13, with its data source for \
Scaleway and without DHCP. All its stages run in one process, as in its units. The stand-in closes cloud-init's connections. With \
connections that are kept alive, cloud-init finds its own source port in use and sleeps for five seconds, up to three times in a boot.";

const PARTS: &str = "Each step was measured by itself. The last two rows are the least that a start of scw-agent and of any program costs here.";

struct Contender {
    name: &'static str,
    steps: Vec<Step>,
    /// The user data key of its script.
    key: &'static str,
    /// The file that its script writes.
    hello: PathBuf,
    publishes: bool,
}

/// Measures, and adds the results to the report.
pub(crate) fn measure(
    programs: &Programs,
    cloud_init: &CloudInit,
    report: &mut Report,
) -> Result<(), String> {
    let [first, later, parts] = World::builder().with_sshd().run(|world| {
        // The kernel here does not reboot, so sockets in TIME_WAIT would remain. cloud-init would sleep for five seconds for each port that
        // the shell script used.
        sh(world, "ssh-keygen -A >/dev/null; echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets", &[])?;
        let mut first = vec![Vec::new(); 3];
        let mut later = first.clone();
        let contenders = contenders(programs);
        for round in 0..RUNS {
            eprintln!("boots: round {} of {RUNS}", round + 1);
            for (number, contender) in contenders.iter().enumerate() {
                if round >= RUNS_OF_CLOUD_INIT && !contender.publishes {
                    continue;
                }
                first[number].push(first_boot(world, contender, cloud_init)?);
                reboot(world)?;
                later[number].push(boot(world, contender)?);
            }
        }
        Ok::<_, String>([first, later, parts(world, programs, cloud_init)?])
    })?;
    let whats = ["CPU time of a first boot", "peak memory of a first boot"];
    add(report, "The work of a first boot", ABOUT, whats, &first);
    let whats = ["CPU time of a later boot", "peak memory of a later boot"];
    add(report, "The work of a later boot", "The same work when nothing is left to do.", whats, &later);
    let mut table = Table::new(&["", "CPU time", "least", "peak memory"]);
    for ((name, _), runs) in parts_of(programs).iter().zip(&parts) {
        let [median, least, ..] = Spread::of(runs.iter().map(|usage| usage.cpu).collect()).cells();
        let peak = runs.iter().map(|usage| usage.peak).max().unwrap_or_default() as f64 / 1024.0;
        table.row([(*name).to_owned(), median, least, format!("{} MiB", figure(peak))]);
    }
    report.add("Where the work of our first boot goes", PARTS, table);
    Ok(())
}

/// The steps of the agent's boot, one by one. For comparison also the parts of them that are not the agent's own work.
fn parts_of(programs: &Programs) -> Vec<(&'static str, Vec<Step>)> {
    let agent = programs.agent.display().to_string();
    let run =
        |words: &str| Step::Run(words.replace("scw-agent", &agent).split(' ').map(str::to_owned).collect());
    let daemon = Step::Start(vec![agent.clone(), "daemon".to_owned()]);
    let asked = Step::Until("/run/scw-agent-requests/setup/setup-requested".to_owned());
    vec![
        ("host-keys ensure", vec![run("scw-agent host-keys ensure")]),
        ("daemon, to its end", vec![daemon, asked]),
        ("host-keys settle", vec![run("scw-agent host-keys settle")]),
        ("in a first boot: sshd -T", vec![run("/usr/sbin/sshd -T")]),
        ("setup run", vec![run("scw-agent setup run")]),
        ("in it: the script", vec![run("/bin/sh /root/script")]),
        ("scw-agent --version", vec![run("scw-agent --version")]),
        ("true", vec![run("true")]),
    ]
}

fn parts(world: &World, programs: &Programs, cloud_init: &CloudInit) -> Result<Vec<Vec<Usage>>, String> {
    let parts = parts_of(programs);
    let mut usages = vec![Vec::new(); parts.len()];
    for _ in 0..RUNS {
        fresh(world, cloud_init)?;
        world.standin().set_user_data("setup-script", SCRIPT);
        fs::write("/root/script", SCRIPT).map_err(|why| why.to_string())?;
        for ((_, steps), usages) in parts.iter().zip(&mut usages) {
            usages.push(usage::of(world, steps)?);
        }
    }
    Ok(usages)
}

fn contenders(programs: &Programs) -> [Contender; 3] {
    let agent = programs.agent.display().to_string();
    let ours = |words: &str| [&*agent].into_iter().chain(words.split(' ')).map(str::to_owned).collect();
    let steps = vec![
        Step::Run(ours("host-keys ensure")),
        Step::Start(ours("daemon")),
        Step::Until("/run/scw-agent-requests/host-keys/instance-seen".to_owned()),
        Step::Run(ours("host-keys settle")),
        Step::UntilPublished,
        Step::Until("/run/scw-agent-requests/setup/setup-requested".to_owned()),
        Step::Run(ours("setup run")),
    ];
    let shell = ["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec();
    let here = PathBuf::from("/root/hello");
    [
        Contender { name: "scw-agent", steps, key: "setup-script", hello: here.clone(), publishes: true },
        Contender {
            name: "shell and curl",
            steps: vec![Step::Run(shell)],
            key: "setup-script",
            hello: here,
            publishes: true,
        },
        Contender {
            name: "cloud-init",
            steps: CloudInit::steps(),
            key: "cloud-init",
            hello: CloudInit::path("/root/hello"),
            publishes: false,
        },
    ]
}

/// Resets the disk, /run and the user data to the state before a first boot.
fn fresh(world: &World, cloud_init: &CloudInit) -> Result<(), String> {
    reboot(world)?;
    sh(world, "rm -rf /var/lib/scw-agent/* /root/hello", &[])?;
    cloud_init.fresh(world)?;
    CloudInit::boot(world)?;
    for key in ["setup-script", "cloud-init", FINGERPRINTS] {
        world.standin().delete_user_data(key);
    }
    Ok(())
}

fn first_boot(world: &World, contender: &Contender, cloud_init: &CloudInit) -> Result<Usage, String> {
    fresh(world, cloud_init)?;
    world.standin().set_user_data(contender.key, SCRIPT);
    let usage = boot(world, contender)?;
    if fs::read_to_string(&contender.hello).ok().as_deref() != Some("hello\n") {
        return Err(format!("{} did not run its script\n{}", contender.name, CloudInit::warnings()));
    }
    // Another run of the script would replace this content, which `boot` detects.
    fs::write(&contender.hello, "once\n").map_err(|why| why.to_string())?;
    Ok(usage)
}

/// Boots, and checks that the work was done.
fn boot(world: &World, contender: &Contender) -> Result<Usage, String> {
    // With keep-alive, a connection of cloud-init occupies the source port that cloud-init tries next, and it sleeps for five seconds.
    let orders = if contender.publishes { Vec::new() } else { vec![Order::new(Fault::CloseToClient)] };
    world.standin().set_orders(orders);
    world.standin().clear_requests();
    let usage = usage::of(world, &contender.steps)?;
    if world.standin().requests().is_empty() {
        return Err(format!("{} sent no request", contender.name));
    }
    if contender.publishes && world.standin().user_data(FINGERPRINTS).is_none() {
        return Err(format!("{} did not publish the fingerprints", contender.name));
    }
    if fs::read_to_string(&contender.hello).is_ok_and(|text| !["hello\n", "once\n"].contains(&&*text)) {
        return Err(format!("{} ran its script a second time", contender.name));
    }
    Ok(usage)
}

fn reboot(world: &World) -> Result<(), String> {
    world.reboot();
    if CloudInit::path("/run").exists() { CloudInit::boot(world) } else { Ok(()) }
}

fn add(
    report: &mut Report,
    title: &'static str,
    about: &'static str,
    whats: [&'static str; 2],
    runs: &[Vec<Usage>],
) {
    let spread = |runs: &[Usage], what: fn(&Usage) -> Duration| Spread::of(runs.iter().map(what).collect());
    let mut table = Table::new(&["", "CPU time", "", "least", "most", "peak memory", "", "time", "runs"]);
    let mut first: Option<[f64; 2]> = None;
    for (name, runs) in ["scw-agent", "shell and curl", "cloud-init"].into_iter().zip(runs) {
        let (wall, cpu) = (spread(runs, |usage| usage.wall), spread(runs, |usage| usage.cpu));
        let peak = runs.iter().map(|usage| usage.peak).max().unwrap_or_default() as f64 / 1024.0;
        let theirs = [cpu.median_ms(), peak];
        let ours = *first.get_or_insert(theirs);
        let times = |at: usize| format!("{}×", figure(theirs[at] / ours[at]));
        let [median, least, most, count] = cpu.cells();
        let [wall, ..] = wall.cells();
        table.row([
            name.to_owned(),
            median,
            times(0),
            least,
            most,
            format!("{} MiB", figure(peak)),
            times(1),
            wall,
            count,
        ]);
        let aim = match name {
            "scw-agent" => continue,
            "cloud-init" => 100.0,
            _ => 5.0,
        };
        for (at, unit, aim) in [(0, "ms", Aim::Times(aim)), (1, "MiB", Aim::AtMost(5.0))] {
            let (what, ours, theirs, aim) = (whats[at], ours[at], theirs[at], Some(aim));
            report.ratios.push(Ratio { what, other: name, ours, theirs, unit, aim });
        }
    }
    report.add(title, about, table);
}
