//! The work of a boot, the making of keys left out: ours beside a shell script in the manner of the images of today and beside cloud-init, on
//! the same machine, against the same stand-in.
//!
//! All three: learn which machine this is, see to host keys, publish fingerprints or tell them, run one script from user data.
//! cloud-init has its data from a folder (its source for Scaleway wants a DHCP server), which spares it the network.

use std::fs;
use std::time::Duration;

use scw_stage::{Programs, World};

use crate::statistics::Spread;
use crate::usage::{self, Usage};

const RUNS: usize = 7;
const SCRIPT: &str = "#!/bin/sh\necho hello >/root/hello\n";

/// As `scw-fetch-ssh-keys`, `scw-generate-ssh-keys` and the like do it, from a description of what they do: one curl a question.
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
get user_data/setup-script >/run/setup-script && { chmod 700 /run/setup-script; /run/setup-script; }
"#;

/// cloud-init's four stages, as its units start them.
const CLOUD_INIT: &str = "cloud-init init --local; cloud-init init; cloud-init modules --mode=config; cloud-init modules --mode=final";

/// Measures and prints.
pub(crate) fn measure(programs: &Programs) -> Result<(), String> {
    World::builder().with_cloud_init().run(|world| {
        world.standin().set_user_data("setup-script", SCRIPT);
        let agent = programs.agent.display();
        // The daemon lives on; its work is done when it has published and asked for the runner.
        let ours = format!(
            "{agent} host-keys ensure; {agent} daemon & \
             while [ ! -e /run/scw-agent/setup-requested ]; do sleep 0.002; done; \
             {agent} setup run; {agent} host-keys settle; kill $!; wait"
        );
        let programs = [("scw-agent", ours.as_str()), ("shell and curl", SHELL), ("cloud-init", CLOUD_INIT)];
        prepare(world)?;
        for (what, later) in [("first", false), ("later", true)] {
            println!("The work of a {what} boot, median of {RUNS} runs (keys are there):");
            let mut first = None;
            for (name, script) in programs {
                let mut runs = Vec::new();
                for _ in 0..RUNS {
                    reset(world)?;
                    if later {
                        usage::of(world, script)?;
                        world.reboot();
                    }
                    runs.push(usage::of(world, script)?);
                }
                row(name, &runs, &mut first);
            }
        }
        Ok(())
    })
}

fn row(name: &str, runs: &[Usage], first: &mut Option<(Duration, Duration)>) {
    let wall = Spread::of(runs.iter().map(|usage| usage.wall).collect());
    let cpu = Spread::of(runs.iter().map(|usage| usage.cpu).collect());
    let peak = runs.iter().map(|usage| usage.peak).max().unwrap_or_default();
    let (our_wall, our_cpu) = *first.get_or_insert((wall.median(), cpu.median()));
    let ratio = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "  {name:<16} wall {:9.1} ms ({:6.1})   cpu {:9.1} ms ({:6.1})   peak {:7.1} MiB",
        wall.median().as_secs_f64() * 1e3,
        ratio(wall.median(), our_wall),
        cpu.median().as_secs_f64() * 1e3,
        ratio(cpu.median(), our_cpu),
        peak as f64 / 1024.0
    );
}

/// Keys, and cloud-init's data.
fn prepare(world: &World) -> Result<(), String> {
    let settings = "datasource_list: [NoCloud]\nssh_deletekeys: false\n";
    fs::write("/etc/cloud/cloud.cfg.d/99-bench.cfg", settings).map_err(|why| why.to_string())?;
    sh(
        world,
        "ssh-keygen -A >/dev/null; mkdir -p /root/seed; cp -a /etc/ssh /root/ssh
        printf 'instance-id: daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86\n' >/root/seed/meta-data",
    )?;
    fs::write("/root/seed/user-data", SCRIPT).map_err(|why| why.to_string())
}

/// As before the first boot.
fn reset(world: &World) -> Result<(), String> {
    world.reboot();
    world.standin().delete_user_data("ssh-host-fingerprints");
    sh(world, "rm -rf /var/lib/scw-agent/* /var/lib/cloud /root/hello /var/log/cloud-init*; mkdir -p /var/lib/cloud/seed
        cp -a /root/seed /var/lib/cloud/seed/nocloud")
}

fn sh(world: &World, script: &str) -> Result<(), String> {
    let status = world.command("sh").args(["-ec", script]).status().map_err(|why| why.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}")) }
}
