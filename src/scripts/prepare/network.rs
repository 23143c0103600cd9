//! Waiting for the network before the first script of a boot, within a bound.
//!
//! The unit is not ordered after network-online.target: that would pull minutes of waiting into the boot of a machine without a public address.
//! Where something else wants that target, it decides; otherwise a default route and a resolver that answers.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::scripts::history::summary::Network;
use crate::scripts::prepare::resolver;
use crate::scripts::prepare::resolver::DnsQuery;
use crate::system::systemctl::{property, show};
use crate::util::files;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a resolver has for its answer before it is asked again.
const ANSWER: Duration = Duration::from_secs(2);
const TARGET: &str = "network-online.target";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const LARGEST_TABLE: u64 = 16 * 1024 * 1024;

/// Waits until the network is there, for at most `limit`.
pub(crate) async fn wait(limit: Duration) -> Network {
    if limit.is_zero() {
        return Network::NotAwaited;
    }
    let deadline = Instant::now() + limit;
    loop {
        match target().await {
            Ok(Target::Active) => return Network::Online,
            Ok(Target::Starting) => {}
            // Nobody wants it on this machine, or systemd does not say.
            Ok(Target::Inactive) | Err(_) => break,
        }
        if Instant::now() >= deadline {
            return Network::NotReady { why: format!("{TARGET} is still starting") };
        }
        sleep_until(deadline.min(Instant::now() + PAUSE)).await;
    }
    let question = DnsQuery::new().await;
    loop {
        let why = match look(&question, deadline).await {
            Ok(network) => return network,
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Network::NotReady { why };
        }
        sleep(PAUSE.min(deadline - Instant::now())).await;
    }
}

/// One look without systemd: what is there, or what is missing.
async fn look(question: &DnsQuery, deadline: Instant) -> Result<Network, String> {
    if !has_default_route(Path::new("/proc/net")) {
        return Err("there is no default route".to_owned());
    }
    let resolvers = resolver::configured(Path::new(RESOLV_CONF));
    if resolvers.is_empty() {
        return Err(format!("there is no nameserver in {RESOLV_CONF}"));
    }
    match question.ask(&resolvers, deadline.min(Instant::now() + ANSWER)).await {
        Some(resolver) => Ok(Network::ResolverAnswered { resolver: resolver.to_string() }),
        None => {
            let addresses: Vec<_> = resolvers.iter().map(|resolver| resolver.ip().to_string()).collect();
            Err(format!("no nameserver of {RESOLV_CONF} answers ({})", addresses.join(", ")))
        }
    }
}

/// What becomes of network-online.target.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Active,
    Starting,
    Inactive,
}

async fn target() -> io::Result<Target> {
    Ok(target_in(&show(&[TARGET], &["ActiveState", "Job"]).await?))
}

fn target_in(shown: &str) -> Target {
    match (property(shown, "ActiveState"), property(shown, "Job")) {
        ("active", _) => Target::Active,
        (_, "" | "0") => Target::Inactive,
        _ => Target::Starting,
    }
}

/// Whether packets to anywhere have a way, over either family. `folder` is `/proc/net`.
fn has_default_route(folder: &Path) -> bool {
    let lines = |name: &str, is_default: fn(&[&str]) -> bool| {
        let table = files::read_bounded(&folder.join(name), LARGEST_TABLE).ok().flatten().unwrap_or_default();
        let table = String::from_utf8_lossy(&table);
        table.lines().any(|line| is_default(&line.split_ascii_whitespace().collect::<Vec<_>>()))
    };
    lines("route", is_default_ipv4) || lines("ipv6_route", is_default_ipv6)
}

/// RTF_UP, and not RTF_REJECT, of <linux/route.h>.
fn is_usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x0001 != 0 && flags & 0x0200 == 0)
}

/// Interface, destination, gateway, flags, three more, mask.
fn is_default_ipv4(fields: &[&str]) -> bool {
    matches!(fields, [_, "00000000", _, flags, _, _, _, "00000000", ..] if is_usable(flags))
}

/// Destination and its length, source and its length, next hop, three more, flags, interface.
fn is_default_ipv6(fields: &[&str]) -> bool {
    matches!(fields, ["00000000000000000000000000000000", "00", _, _, _, _, _, _, flags, name] if is_usable(flags) && *name != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_counts_while_it_is_active_or_has_a_job() {
        for (shown, target) in [
            ("Job=0\nActiveState=inactive\n", Target::Inactive),
            ("ActiveState=inactive\n", Target::Inactive),
            ("Job=71\nActiveState=inactive\n", Target::Starting),
            ("ActiveState=active\n", Target::Active),
            ("", Target::Inactive),
        ] {
            assert_eq!(target_in(shown), target, "{shown}");
        }
    }

    #[test]
    fn a_default_route_is_known_in_the_kernels_tables() {
        let ipv4 = |line: &str| is_default_ipv4(&line.split_ascii_whitespace().collect::<Vec<_>>());
        assert!(ipv4("eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"));
        for line in [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
            "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
            // Half of everything, and a route that refuses.
            "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0",
            "*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0",
        ] {
            assert!(!ipv4(line), "{line}");
        }
        let zero = "0".repeat(32);
        let ipv6 = |flags: &str, name: &str, length: &str| {
            let line = format!(
                "{zero} {length} {zero} 00 fe80000000000000dc0000fffe123456 00000400 00000001 00000000 {flags} {name}"
            );
            is_default_ipv6(&line.split_ascii_whitespace().collect::<Vec<_>>())
        };
        assert!(ipv6("00450003", "eth0", "00"));
        // The kernel's own entry for "no route", and a longer prefix.
        assert!(!ipv6("00200200", "lo", "00") && !ipv6("00450003", "eth0", "01"));
    }
}
