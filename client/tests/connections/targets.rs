//! The ways in which a host is named: port, alias, jump, DNS name, IPv6; and what the server offers.

use std::fs;
use std::process::Child;

use scw_stage::Sshd;

use crate::desk::*;

/// A child that ends with the test.
pub(crate) struct Background(pub(crate) Child);

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn dns_name() -> String {
    format!("{ID}.pub.instances.scw.cloud")
}

#[test]
fn c1_instance_is_found_by_each_of_its_names() {
    at_desk(|desk| {
        let dns = dns_name();
        resolve(&[(ADDRESS, &dns), (ADDRESS, "www.example.com"), (ADDRESS, NAME)]);
        desk.configure(&format!("Host short\n    HostName {ADDRESS}\nHost aliased\n    HostName {OTHER_ADDRESS}\n    HostKeyAlias {ID}\n"));
        desk.client_ok(&["setup", "--host", "www.example.com"]);
        let strict = ["StrictHostKeyChecking=yes"];
        for host in [ADDRESS, &dns, "www.example.com", NAME, "short", "aliased"] {
            let (is_in, err) = desk.is_in(&strict, host);
            assert!(is_in && err.is_empty(), "{host}: {err}");
        }
        desk.publish_another();
        for host in [ADDRESS, &dns, "www.example.com", NAME, "short", "aliased"] {
            let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=no"], host);
            assert!(!is_in && err.contains("is not one that"), "{host}: {err}");
        }
    });
}

#[test]
fn c1_other_port_and_ipv6_literal_are_checked() {
    at_desk(|desk| {
        let mut conf = desk.world.standin().conf();
        let ipv6 = serde_json::json!({"address": "2001:db8::77", "id": "b3c9f1d2-0000-4000-8000-000000000077", "family": "inet6",
            "netmask": "64", "gateway": "fe80::1", "state": "attached", "dynamic": false, "tags": [], "provisioning_mode": "slaac"});
        conf["public_ips"].as_array_mut().expect("a list").push(ipv6);
        desk.world.standin().set_conf(conf);
        desk.publish();
        succeed(desk.world.command("ip").args(["address", "add", "2001:db8::77/128", "dev", "lo", "nodad"]));
        let sshd = Sshd::start_with(desk.world, &["-p", "2222", "-o", "PidFile=none"]).expect("sshd");
        desk.client_ok(&["setup"]);
        for (host, port) in [(ADDRESS, "2222"), ("2001:db8::77", "22"), ("2001:db8::77", "2222")] {
            let ran = run(desk.ssh(&["StrictHostKeyChecking=yes"]).args(["-p", port, host, "echo in"]));
            assert_eq!(ran.code, 0, "{host} {port}: {ran:?}");
        }
        sshd.stop();
    });
}

#[test]
fn c1_jump_host_and_target_are_both_checked() {
    at_desk(|desk| {
        resolve(&[(ADDRESS, &dns_name())]);
        desk.client_ok(&["setup"]);
        // The jump is a second ssh: it reads the configuration, but not the options.
        let identity = fs::read_to_string("/root/.ssh/config").expect("it");
        let more = "Host *\n    IdentityFile /run/stage/identity\n    IdentitiesOnly yes\n    BatchMode yes\n    User root\n";
        desk.configure(&format!("{more}{identity}"));
        let jump = |desk: &Desk| {
            run(desk.ssh(&["StrictHostKeyChecking=yes"]).args(["-J", &dns_name(), ADDRESS, "echo in"]))
        };
        let ran = jump(desk);
        assert_eq!(ran.code, 0, "{ran:?}");
        desk.publish_another();
        let ran = jump(desk);
        assert!(ran.code == 255 && ran.err.contains("is not one that"), "{ran:?}");
    });
}

#[test]
fn c1_second_session_of_a_master_asks_nothing() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        let path = "ControlPath=/run/master";
        let master = desk.ssh(&[path, "ControlMaster=yes"]).args(["-N", ADDRESS]).spawn().expect("started");
        let _master = Background(master);
        while fs::metadata("/run/master").is_err() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        desk.world.standin().clear_requests();
        let ran = run(desk.ssh(&[path]).args([ADDRESS, "echo in"]));
        assert_eq!((ran.code, desk.asked().len()), (0, 0), "{ran:?}");
    });
}

#[test]
fn c1_address_with_a_key_of_an_earlier_machine_connects() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        succeed(desk.world.command("ssh-keygen").args([
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            "/run/earlier",
        ]));
        let key = fs::read_to_string("/run/earlier.pub").expect("the key");
        let key: Vec<_> = key.split(' ').take(2).collect();
        fs::write("/root/.ssh/known_hosts", format!("{ADDRESS} {}\n", key.join(" "))).expect("written");
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], ADDRESS);
        assert!(is_in, "{err}");
    });
}

#[test]
fn c1_host_certificate_is_checked_by_its_key() {
    at_desk(|desk| {
        let ssh_keygen = |arguments: &[&str]| succeed(desk.world.command("ssh-keygen").args(arguments));
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "/run/ca"]);
        for key in key_files("pub") {
            ssh_keygen(&[
                "-q",
                "-s",
                "/run/ca",
                "-I",
                "host",
                "-h",
                "-n",
                ADDRESS,
                &key.display().to_string(),
            ]);
        }
        let options: Vec<String> =
            key_files("-cert.pub").iter().map(|file| format!("HostCertificate={}", file.display())).collect();
        assert!(options.len() > 1, "{options:?}");
        let mut arguments = vec!["-p", "2222", "-o", "PidFile=none"];
        arguments.extend(options.iter().flat_map(|option| ["-o", option]));
        let sshd = Sshd::start_with(desk.world, &arguments).expect("sshd");
        desk.client_ok(&["setup"]);
        let connect = |algorithm: &str| {
            let algorithm = format!("HostKeyAlgorithms={algorithm}");
            run(desk.ssh(&["StrictHostKeyChecking=yes", &algorithm]).args(["-p", "2222", ADDRESS, "echo in"]))
        };
        for algorithm in [
            "ssh-ed25519-cert-v01@openssh.com",
            "rsa-sha2-512-cert-v01@openssh.com",
            "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "ssh-ed25519",
        ] {
            let ran = connect(algorithm);
            assert_eq!(ran.code, 0, "{algorithm}: {ran:?}");
        }
        desk.publish_another();
        let ran = connect("ssh-ed25519-cert-v01@openssh.com");
        assert!(ran.code == 255 && ran.err.contains("the ED25519 key"), "{ran:?}");
        sshd.stop();
    });
}

#[test]
fn c1_checked_address_with_checkhostip_connects() {
    at_desk(|desk| {
        resolve(&[(ADDRESS, &dns_name())]);
        desk.client_ok(&["setup"]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes", "CheckHostIP=yes"], &dns_name());
        assert!(is_in, "{err}");
        desk.publish_another();
        assert!(!desk.is_in(&["StrictHostKeyChecking=no", "CheckHostIP=yes"], &dns_name()).0);
    });
}

#[test]
fn c3_name_that_leads_elsewhere_is_said() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        resolve(&[(OTHER_ADDRESS, NAME)]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], NAME);
        assert!(!is_in && err.contains(&format!("has the address {OTHER_ADDRESS}")), "{err}");
        // It resolves nowhere on this side of the jump.
        resolve(&[]);
        let proxy = "ProxyCommand=ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/run/hosts -i /run/stage/identity \
                     -W 127.0.0.1:22 127.0.0.1";
        let (_, err) = desk.is_in(&[proxy], NAME);
        assert!(err.contains("set HostKeyAlias to the Instance's id"), "{err}");
    });
}
