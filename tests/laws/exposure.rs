//! Kernel settings that let other users than root write user data: they have that effect, they are reported, and the packet filter prevents it.

use std::fs;

use scw_agent::doctor::{FindingName, Report};
use scw_agent::system::FILTER;
use scw_stage::World;

use crate::machine::*;

const ADDRESSES: [&str; 2] = ["169.254.42.42", "[fd00:42::42]"];
const BECOMES_ROOT: &str = "#!/bin/sh\nid -u > /var/lib/became\n";

/// Sets a kernel setting in the network namespace of the world.
fn set_sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect("written");
}

/// Loads the packet filter of the packages.
fn load_filter(world: &World) {
    let file = format!("{}/packaging{FILTER}", env!("CARGO_MANIFEST_DIR"));
    // Twice: loading it again replaces it.
    sh(world, &format!("nft --file {file}; nft --file {file}"));
}

/// Whether a command with this prefix can set a key from a privileged source port, over IPv4 and over IPv6.
fn can_set_script(world: &World, prefix: &str) -> [bool; 2] {
    ADDRESSES.map(|address| {
        world.standin().delete_user_data("setup-script");
        let url = format!("http://{address}/user_data/setup-script");
        let mut command = world.command("sh");
        let script = format!(
            "exec {prefix} curl -sgf --max-time 30 --local-port 600-1023 -X PATCH -H 'Content-Type: text/plain' --data-binary \"$1\" \"$2\""
        );
        let code = run(command.args(["-c", &script, "sh", BECOMES_ROOT, &url])).code;
        let is_set = world.standin().user_data("setup-script").as_deref() == Some(BECOMES_ROOT.as_bytes());
        assert_eq!(is_set, code == 0, "{address}: curl ended with {code}");
        is_set
    })
}

/// Runs a command as an unprivileged user without capabilities.
const NOBODY: &str =
    "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --";

/// The findings of `doctor` and its exit code; the problems in `status` and its exit code.
fn doctor_and_status(world: &World) -> (Vec<FindingName>, i32, String, i32) {
    let doctor = agent(world, &["doctor", "--json"]);
    let report: Report = serde_json::from_str(&doctor.out).expect("a report");
    let status = agent(world, &["status", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    let findings = report.findings.into_iter().map(|finding| finding.finding).collect();
    (findings, doctor.code, document["problems"].to_string() + &document["exposure"].to_string(), status.code)
}

#[test]
fn user_with_low_ports_becomes_root_and_is_reported() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        for (first, open) in [("1024", false), ("80", true), ("0", true), ("1023", true), ("1024", false)] {
            set_sysctl("ipv4/ip_unprivileged_port_start", first);
            // With 1023 there is one such port, so only one connection at a time.
            if first != "1023" {
                assert_eq!(can_set_script(world, NOBODY), [open; 2], "from port {first} on");
            }
            let (findings, doctor, status, code) = doctor_and_status(world);
            let expected = if open { vec![FindingName::UnprivilegedPorts] } else { vec![] };
            assert_eq!(
                (findings, doctor, code),
                (expected, i32::from(open), i32::from(open)),
                "{first}: {status}"
            );
            assert_eq!(status.contains(&format!("ip_unprivileged_port_start is {first},")), open, "{status}");
            for words in ["status", "doctor"] {
                let output = agent(world, &[words]).out;
                assert_eq!(output.contains("=1024` and remove the setting"), open, "{words}: {output}");
            }
        }
        // A user who can set the key gets root's rights.
        set_sysctl("ipv4/ip_unprivileged_port_start", "80");
        assert_eq!(can_set_script(world, NOBODY), [true; 2]);
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        assert_eq!(fs::read_to_string("/var/lib/became").expect("the script ran"), "0\n");

        load_filter(world);
        assert_eq!(can_set_script(world, NOBODY), [false; 2], "behind the filter");
        assert_eq!(can_set_script(world, "env"), [true; 2], "root");
        assert_eq!(userdata(world, &["setup-script"]).out, BECOMES_ROOT, "the daemon");
        daemon.terminate();
    });
}

#[test]
fn closed_route_for_users_is_no_finding() {
    World::builder().ipv6(scw_stage::Reach::Absent).run(|world| {
        set_sysctl("ipv4/ip_unprivileged_port_start", "80");
        assert_eq!(doctor_findings(world), [FindingName::UnprivilegedPorts]);
        // The lock of the metadata service in systemd 261.
        sh(world, "ip rule add not fwmark 0x7fff0815 lookup 66 pref 10; ip route add prohibit 169.254.42.42 table 66");
        assert_eq!(can_set_script(world, NOBODY), [false; 2]);
        assert_eq!(doctor_findings(world), []);
        sh(world, "ip rule del pref 10; ip route replace blackhole 169.254.42.42");
        assert_eq!(doctor_findings(world), []);
    });
}

fn doctor_findings(world: &World) -> Vec<FindingName> {
    let report: Report = serde_json::from_str(&agent(world, &["doctor", "--json"]).out).expect("a report");
    report.findings.into_iter().map(|finding| finding.finding).collect()
}

#[test]
fn packet_filter_stops_containers_behind_translation() {
    World::builder().run(|world| {
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        // A container as container engines make it: its own network namespace, and masquerading.
        sh(
            world,
            "ip netns add box
            ip link add box0 type veth peer name eth0 netns box
            ip addr add 198.51.100.1/24 dev box0; ip -6 addr add 2001:db8:1::1/64 dev box0 nodad; ip link set box0 up
            ip -n box addr add 198.51.100.2/24 dev eth0; ip -n box -6 addr add 2001:db8:1::2/64 dev eth0 nodad
            ip -n box link set eth0 up
            ip -n box route add 169.254.42.42 via 198.51.100.1; ip -n box -6 route add fd00:42::42 via 2001:db8:1::1
            nft 'table inet engine { chain post { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }'",
        );
        let in_container = "ip netns exec box";
        assert_eq!(doctor_and_status(world).0, []);
        assert_eq!(can_set_script(world, "timeout 1 ip netns exec box"), [false; 2], "not forwarded");

        set_sysctl("ipv4/ip_forward", "1");
        set_sysctl("ipv6/conf/all/forwarding", "1");
        assert_eq!(can_set_script(world, in_container), [true; 2], "forwarded");
        let (findings, doctor, status, code) = doctor_and_status(world);
        assert_eq!((findings, doctor, code), (vec![FindingName::Forwarding], 0, 0), "{status}");
        assert!(status.contains("\"forwarding\":true"), "{status}");
        let output = agent(world, &["doctor"]).out;
        assert!(output.contains("… containers") && output.contains(FILTER), "{output}");

        load_filter(world);
        assert_eq!(can_set_script(world, in_container), [false; 2], "behind the filter");
        assert_eq!(can_set_script(world, "env"), [true; 2], "root");
        set_sysctl("ipv4/ip_forward", "0");
        assert_eq!(doctor_and_status(world).0, [FindingName::Forwarding], "IPv6 alone");
        set_sysctl("ipv6/conf/all/forwarding", "0");
        assert_eq!(doctor_and_status(world).0, []);
        // Some tools enable forwarding for one interface.
        set_sysctl("ipv4/conf/box0/forwarding", "1");
        assert_eq!(doctor_and_status(world).0, [FindingName::Forwarding], "one interface");
        daemon.terminate();
    });
}
