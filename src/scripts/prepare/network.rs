//! Waits for the network before the first script of a boot, with a timeout.
//!
//! The unit is not ordered after network-online.target: on a machine without a public address, this would delay the boot by minutes.
//! If another unit wants that target, the network is ready when the target is active. Otherwise, it is ready when there is a default route and
//! a resolver answers.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::scripts::history::summary::Network;
use crate::scripts::prepare::resolver::{self, DnsQuery};
use crate::system::systemctl::{property, show};
use crate::util::files;

/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait for a resolver's answer before it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const TARGET: &str = "network-online.target";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The limit for one of the kernel's routing tables, in bytes.
const MAX_TABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Waits until the network is ready, for at most `limit`.
pub(crate) async fn wait(limit: Duration) -> Network {
    if limit.is_zero() {
        return Network::NotAwaited;
    }
    let deadline = Instant::now() + limit;
    loop {
        match target_state().await {
            Ok(Target::Active) => return Network::Online,
            Ok(Target::Starting) => {}
            // No unit of this machine wants the target, or systemd does not answer.
            Ok(Target::Inactive) | Err(_) => break,
        }
        if Instant::now() >= deadline {
            return Network::NotReady { why: format!("{TARGET} is still starting") };
        }
        sleep_until(deadline.min(Instant::now() + CHECK_INTERVAL)).await;
    }
    let query = DnsQuery::new().await;
    loop {
        let why = match check(&query, deadline).await {
            Ok(network) => return network,
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Network::NotReady { why };
        }
        sleep(CHECK_INTERVAL.min(deadline - Instant::now())).await;
    }
}

/// Checks once without systemd whether the network is ready. The error is what is missing.
async fn check(query: &DnsQuery, deadline: Instant) -> Result<Network, String> {
    if !has_default_route(Path::new("/proc/net")) {
        return Err("there is no default route".to_owned());
    }
    let resolvers = resolver::configured(Path::new(RESOLV_CONF));
    if resolvers.is_empty() {
        return Err(format!("there is no nameserver in {RESOLV_CONF}"));
    }
    match query.ask(&resolvers, deadline.min(Instant::now() + ANSWER_TIMEOUT)).await {
        Some(resolver) => Ok(Network::ResolverAnswered { resolver: resolver.to_string() }),
        None => {
            let addresses: Vec<_> = resolvers.iter().map(|resolver| resolver.ip().to_string()).collect();
            Err(format!("no nameserver of {RESOLV_CONF} answers ({})", addresses.join(", ")))
        }
    }
}

/// The state of network-online.target.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Active,
    Starting,
    /// It is not active, and no job is about to change that.
    Inactive,
}

async fn target_state() -> io::Result<Target> {
    Ok(parse_target_state(&show(&[TARGET], &["ActiveState", "Job"]).await?))
}

fn parse_target_state(shown: &str) -> Target {
    match (property(shown, "ActiveState"), property(shown, "Job")) {
        ("active", _) => Target::Active,
        (_, "" | "0") => Target::Inactive,
        _ => Target::Starting,
    }
}

/// Whether there is a default route for IPv4 or for IPv6. `folder` is `/proc/net`.
fn has_default_route(folder: &Path) -> bool {
    let has_line = |name: &str, is_default: fn(&[&str]) -> bool| {
        let table =
            files::read_bounded(&folder.join(name), MAX_TABLE_BYTES).ok().flatten().unwrap_or_default();
        let table = String::from_utf8_lossy(&table);
        table.lines().any(|line| is_default(&line.split_ascii_whitespace().collect::<Vec<_>>()))
    };
    has_line("route", is_default_ipv4) || has_line("ipv6_route", is_default_ipv6)
}

/// Whether a route has the flag RTF_UP and not RTF_REJECT (see <linux/route.h>).
fn is_usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x0001 != 0 && flags & 0x0200 == 0)
}

/// The fields are: interface, destination, gateway, flags, three others, mask.
fn is_default_ipv4(fields: &[&str]) -> bool {
    matches!(fields, [_, "00000000", _, flags, _, _, _, "00000000", ..] if is_usable(flags))
}

/// The fields are: destination and its prefix length, source and its prefix length, next hop, three others, flags, interface.
fn is_default_ipv6(fields: &[&str]) -> bool {
    matches!(fields, ["00000000000000000000000000000000", "00", _, _, _, _, _, _, flags, name] if is_usable(flags) && *name != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_state_is_read_from_its_properties() {
        for (shown, target) in [
            ("Job=0\nActiveState=inactive\n", Target::Inactive),
            ("ActiveState=inactive\n", Target::Inactive),
            ("Job=71\nActiveState=inactive\n", Target::Starting),
            ("ActiveState=active\n", Target::Active),
            ("", Target::Inactive),
        ] {
            assert_eq!(parse_target_state(shown), target, "{shown}");
        }
    }

    #[test]
    fn default_route_is_found_in_the_kernels_tables() {
        let ipv4 = |line: &str| is_default_ipv4(&line.split_ascii_whitespace().collect::<Vec<_>>());
        assert!(ipv4("eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"));
        for line in [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
            "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
            // A route to half of all addresses, and a route that rejects packets.
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
        // The kernel's own entry for "no route", and a route with a longer prefix.
        assert!(!ipv6("00200200", "lo", "00") && !ipv6("00450003", "eth0", "01"));
    }
}
