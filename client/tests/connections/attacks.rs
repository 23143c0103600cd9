//! C1, C2: what an attacker, another account or another process could do to have a key trusted that is not published.

use std::fs;

use scw_stage::Sshd;
use scw_standin::{Fault, Order};

use crate::desk::*;

const LIST: &str = "/root/.cache/scw/scw-known-hosts.json";
const TRUSTING: [&str; 2] = ["StrictHostKeyChecking=accept-new", "StrictHostKeyChecking=no"];

fn assert_refused(desk: &Desk, options: &[&str], host: &str) {
    for trusting in TRUSTING {
        desk.forget();
        let (is_in, err) = desk.is_in(&[&[trusting], options].concat(), host);
        assert!(!is_in && err.contains("scw-known-hosts: refused"), "{host} {trusting}: {err}");
    }
}

#[test]
fn c1_certificate_that_cannot_be_used_is_refused() {
    at_desk(|desk| {
        let ssh_keygen = |arguments: &[&str]| succeed(desk.world.command("ssh-keygen").args(arguments));
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "/run/ca"]);
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "/run/wrong"]);
        ssh_keygen(&["-q", "-s", "/run/ca", "-I", &"a".repeat(60_000), "-h", "-n", "x", "/run/wrong.pub"]);
        let options = ["HostKey=/run/wrong", "HostCertificate=/run/wrong-cert.pub", "PidFile=none"];
        let options: Vec<_> =
            options.iter().flat_map(|option| ["-o", option]).chain(["-p", "2222"]).collect();
        let sshd = Sshd::start_with(desk.world, &options).expect("sshd");
        desk.client_ok(&["setup"]);
        assert_refused(desk, &["Port=2222"], ADDRESS);
        sshd.stop();
        // A type that this program does not know: `new-cert-v01@openssh.com`.
        let key = "AAAAGG5ldy1jZXJ0LXYwMUBvcGVuc3NoLmNvbQAAAAF4AAAAAXg=";
        for key in [key, "AAAA", "not base64"] {
            let ran = desk.client(&[
                "check",
                "HOSTNAME",
                ADDRESS,
                ADDRESS,
                ADDRESS,
                "22",
                "new-cert-v01@openssh.com",
                key,
            ]);
            assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("refused"), "{key}: {ran:?}");
        }
    });
}

#[test]
fn c1_name_of_another_instance_gives_no_trust() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        let list = fs::read_to_string(LIST).expect("the list");
        let other = list.replace(ID, "11111111-2222-4333-8444-555555555555").replace(NAME, "other");
        let other = other.replace(ADDRESS, "51.15.99.1");
        let entry = other.split_once('[').and_then(|(_, rest)| rest.strip_suffix("]}")).expect("an entry");
        fs::write(LIST, list.replace("]}", &format!(",{entry}]}}"))).expect("written");
        resolve(&[(ADDRESS, "other")]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], "other");
        assert!(!is_in && err.contains("the name is that of other"), "{err}");
        desk.publish_another();
        assert_refused(desk, &[], "other");
    });
}

#[test]
fn c1_address_that_is_no_longer_ours_stays_a_candidate() {
    at_desk(|desk| {
        desk.client_ok(&["setup", "--unknown", "refuse"]);
        let conf = desk.world.standin().conf().to_string().replace(ADDRESS, "51.15.68.78");
        desk.world.standin().set_conf(serde_json::from_str(&conf).expect("JSON"));
        for _ in 0..2 {
            desk.forget();
            let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=accept-new"], ADDRESS);
            assert!(!is_in && err.contains(&format!("has the address {ADDRESS}")), "{err}");
        }
        // A complete list of Instances ends it.
        desk.client_ok(&["setup", "--unknown", "refuse"]);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=accept-new"], ADDRESS);
        assert!(is_in && !err.contains("scw-known-hosts"), "{err}");
    });
}

#[test]
fn c1_answers_that_are_not_the_apis_empty_no_list() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        let list = fs::read_to_string(LIST).expect("the list");
        desk.publish_another();
        desk.world.standin().set_orders(vec![Order::new(Fault::status(404)).path("*")]);
        let ran = desk.client(&["setup"]);
        assert!(ran.code == 6 && ran.err.contains("this 404 is not one of the API"), "{ran:?}");
        // Another account sees other Instances.
        desk.world.standin().set_orders(Vec::new());
        let key = desk.variables.insert("SCW_SECRET_KEY", POWERLESS.to_owned()).expect("the key");
        assert_ne!(desk.client(&["setup"]).code, 0);
        desk.variables.insert("SCW_SECRET_KEY", key);
        assert_eq!(fs::read_to_string(LIST).expect("the list"), list);
        assert_refused(desk, &[], ADDRESS);
    });
}

#[test]
fn c1_other_forms_of_an_address_and_a_name_are_checked() {
    at_desk(|desk| {
        resolve(&[(ADDRESS, "www.example.com"), (ADDRESS, "www.example.com.")]);
        desk.client_ok(&["setup", "--host", "www.example.com"]);
        assert!(desk.is_in(&["CanonicalizeHostname=yes"], "www.example.com").0);
        desk.publish_another();
        assert_refused(desk, &[], &format!("::ffff:{ADDRESS}"));
        assert_refused(desk, &[], "www.example.com.");
        assert_refused(desk, &["CanonicalizeHostname=yes"], "www.example.com");
    });
}

#[test]
fn c2_list_that_hangs_or_is_locked_stops_no_ssh() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        // A check that changes the list, while another process has the lock.
        fs::write(LIST, fs::read_to_string(LIST).expect("it").replace(NAME, "old-name")).expect("written");
        let lock = "/root/.cache/scw/.scw-known-hosts.json.lock";
        let mut holder = desk.command("flock").args([lock, "sleep", "infinity"]).spawn().expect("started");
        while run(desk.command("flock").args(["--nonblock", lock, "true"])).code == 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=yes"], ADDRESS);
        assert!(is_in && holder.try_wait().expect("asked").is_none(), "{err}");
        holder.kill().expect("killed");
        holder.wait().expect("ended");
        for file in [LIST, lock] {
            fs::remove_file(file).expect("removed");
            succeed(desk.command("mkfifo").arg(file));
        }
        assert!(desk.is_in(&["StrictHostKeyChecking=accept-new"], OTHER_ADDRESS).0);
    });
}

#[test]
fn c1_error_for_one_address_of_a_name_hides_no_contradiction() {
    at_desk(|desk| {
        // The private address cannot be looked up.
        resolve(&[(ADDRESS, "www.example.com"), ("10.7.7.7", "www.example.com")]);
        desk.client_ok(&["setup", "--all-hosts"]);
        desk.world.standin().set_orders(vec![Order::new(Fault::status(403)).path("/ipam/*")]);
        desk.publish_another();
        let options = ["StrictHostKeyChecking=no", "ConnectTimeout=300"];
        let (is_in, err) = desk.is_in(&options, "www.example.com");
        assert!(!is_in && err.contains("scw-known-hosts: refused"), "{err}");
    });
}

#[test]
fn c3_declared_host_is_refused_whatever_ssh_would_do() {
    at_desk(|desk| {
        desk.client_ok(&["setup", "--host", "51.15.*"]);
        desk.world.standin().delete_user_data(FINGERPRINTS);
        // An option of the command line counts before the configuration, which has no file of known hosts.
        let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/run/hosts"];
        let (is_in, err) = desk.is_in(&options, ADDRESS);
        assert!(
            !is_in && err.contains("has published no fingerprints") && err.contains("; refused"),
            "{err}"
        );
    });
}

#[test]
fn huge_published_value_is_handled() {
    at_desk(|desk| {
        desk.client_ok(&["setup"]);
        let line = |number: u32| format!("256 SHA256:{number:0>42}A x (ED25519)\n");
        let value: String = (0..60_000).map(line).collect();
        desk.world.standin().set_user_data(FINGERPRINTS, value);
        let (is_in, err) = desk.is_in(&["StrictHostKeyChecking=no"], ADDRESS);
        assert!(!is_in && err.contains("56 more"), "{}", err.len());
    });
}
