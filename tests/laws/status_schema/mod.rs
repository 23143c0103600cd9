//! docs/reference/status.schema.json describes the status document: the real documents of the daemon and of `status --json`, in several
//! states, have no field that it does not describe, and together they have each field and each form that it does.

mod json_pages;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use scw_agent::status::Status;
use scw_stage::{Daemon, Reach, World};
use serde_json::{Value, json};

use crate::machine::*;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/status.schema.json");
const VALIDATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/laws/status_schema/validate.py");
/// The time in documents that a test makes.
const TIME: &str = "2026-11-29T12:00:00.000Z";

/// The errors that a standard validator finds, and the fields that no document has.
fn errors_in(documents: &[Value]) -> String {
    let mut command = Command::new("/usr/bin/python3");
    command.args([VALIDATOR, SCHEMA]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut validator = command.spawn().expect("python3 with jsonschema (package python3-jsonschema)");
    let input = serde_json::to_vec(documents).expect("JSON");
    validator.stdin.take().expect("its input").write_all(&input).expect("written");
    let output = validator.wait_with_output().expect("ended");
    let errors = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), errors.is_empty(), "the validator failed: {errors}");
    errors
}

/// The document that the daemon's socket serves.
fn served(world: &World) -> Value {
    let mut curl = world.command("curl");
    let got = run(curl.args(["-sf", "--unix-socket", "/run/scw-agent/api.sock", "http://x/status"]));
    serde_json::from_str(&got.out).expect("JSON")
}

/// What `scw-agent status --json` prints.
fn printed(world: &World) -> Value {
    serde_json::from_str(&agent(world, &["status", "--json"]).out).expect("JSON")
}

#[test]
fn status_documents_have_what_the_schema_describes() {
    let mut documents = vec![serde_json::to_value(Status::unknown()).expect("JSON")];
    documents.extend(of_an_instance_without_network());
    documents.extend(of_another_machine());
    documents.extend(of_an_instance());
    documents.extend(of_made_states());
    let errors = errors_in(&documents);
    assert!(errors.is_empty(), "docs/reference/status.schema.json and the documents differ:\n{errors}");
}

/// A key that sshd cannot load, and no way to the metadata service.
fn of_an_instance_without_network() -> Vec<Value> {
    World::builder().ipv4(Reach::Absent).ipv6(Reach::Absent).run(|world| {
        one_key_type();
        let mut keygen = world.command("ssh-keygen");
        run(keygen.args(["-q", "-t", "ed25519", "-N", "secret", "-f", "/etc/ssh/ssh_host_ed25519_key"]));
        agent(world, &["host-keys", "ensure"]);
        let daemon = start_daemon(world);
        until(world, "unreachable", || (served(world)["metadata"]["state"] == "unreachable").then_some(()));
        let documents = vec![served(world), printed(world)];
        daemon.terminate();
        documents
    })
}

fn of_another_machine() -> Vec<Value> {
    World::builder().run(|world| {
        world.set_dmi(Some("QEMU"), None);
        make_host_key(world);
        let daemon = start_daemon(world);
        let documents = vec![served(world), printed(world)];
        daemon.terminate();
        documents
    })
}

/// Scripts that end in every way, while they run and after them; then a machine with problems of every kind.
fn of_an_instance() -> Vec<Value> {
    World::builder().run(|world| {
        for (key, value) in [
            ("setup-script.1", "#!/bin/sh\n"),
            ("setup-script.2", "#!/bin/sh\nkill -9 $$\n"),
            ("setup-script.3", "#!/bin/sh\n# scw-setup: timeout=1s\nexec sleep 1000\n"),
            ("setup-script.4", "no script"),
            ("setup-script.5", "#!/bin/sh\n"),
            ("setup-script.6", "#!/bin/sh\nuntil [ -e /run/go-on ]; do sleep 0.1; done\n"),
            ("startup-script", "#!/bin/sh\nexit 3\n"),
            ("setup_script", "a key that is nearly a script's"),
            ("cloud-init", "#cloud-config\n"),
        ] {
            world.standin().set_user_data(key, value);
        }
        make_host_key(world);
        fs::create_dir_all("/etc/scw-agent.toml.d").expect("made");
        fs::write("/etc/scw-agent.toml.d/50-slip.toml", "[setup]\ntimeuot = \"1m\"\n").expect("written");
        let daemon = start_daemon(world);
        wait_until_settled(world);
        let with_state = |state: &str| {
            until(world, state, || {
                Some(printed(world)).filter(|status| status["fingerprints"]["state"] == state)
            })
        };
        let mut documents = vec![served(world), with_state("published"), with_state("not-checked")];
        lose_record("setup-script.5");
        let mut runner = Daemon::spawn(world.command(AGENT).args(["setup", "run"])).expect("started");
        until(world, "running", || (served(world)["running"]["key"] == "setup-script.6").then_some(()));
        documents.push(served(world));
        // Without sshd, nothing reads the keys. With a fault in the configuration, no key is changed.
        sh(world, "printf '[ssh-keys]\\nmanage = \"boot\"\\n' >>/etc/scw-agent.toml; mv /etc/scw-agent.toml.d /root/d");
        assert_eq!(agent(world, &["ssh-keys", "apply", "--paced"]).code, 0);
        sh(world, "mv /root/d /etc/scw-agent.toml.d");
        documents.push(served(world));
        fs::write("/run/go-on", "").expect("written");
        assert!(runner.wait(LONG).is_some(), "the runner has not ended");
        documents.push(served(world));
        documents.extend(with_problems(world));
        daemon.terminate();
        documents
    })
}

/// Puts a file that is no record in the place of a record.
fn lose_record(key: &str) {
    let folder = "/var/lib/scw-agent/setup";
    fs::create_dir_all(folder).expect("made");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("private");
    fs::write(format!("{folder}/{key}.json"), "no record").expect("written");
}

/// Problems of the kernel's settings and of units, and each state of cloud-init.
fn with_problems(world: &World) -> Vec<Value> {
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "80").expect("written");
    let mut documents = vec![printed(world)];
    fs::create_dir_all("/run/cloud-init").expect("made");
    let write = |name: &str, text: &str| fs::write(format!("/run/cloud-init/{name}"), text).expect("written");
    write("enabled", "");
    documents.push(printed(world));
    write("status.json", r#"{"v1": {"stage": "modules-config"}}"#);
    documents.push(printed(world));
    write("status.json", r#"{"v1": {"stage": null, "modules-final": {"errors": ["x"]}}}"#);
    write("result.json", "{}");
    documents.push(printed(world));
    write("status.json", "not JSON");
    documents.push(printed(world));
    documents.push(with_failed_units(world));
    documents
}

/// What `scw-agent status --json` prints where systemd says that every unit failed.
fn with_failed_units(world: &World) -> Value {
    let text = "#!/bin/sh\nshift 2\nfor unit; do printf 'Id=%s\\nActiveState=failed\\nResult=exit-code\\n\\n' \"$unit\"; done\n";
    fs::write("/run/systemctl", text).expect("written");
    sh(
        world,
        "chmod 755 /run/systemctl; mkdir -p /run/systemd/private; mount --bind /run/systemctl /usr/bin/systemctl",
    );
    printed(world)
}

/// States that are not made here for real. The program reads and writes each of them unchanged.
fn of_made_states() -> Vec<Value> {
    let passed_over = json!({"key": "cloud-init.x", "what": "#include", "by_earlier_version": true});
    let setup = |network: Value| json!({"ended": TIME, "scripts": [], "passed_over": [passed_over], "network": network});
    [
        json!({"metadata": {"state": "reachable", "family": null, "since": TIME}}),
        json!({"fingerprints": {"state": "no-keys"}}),
        json!({"ssh_server": {"state": "enabled"}}),
        json!({"ssh_server": {"state": "not-enabled"}}),
        json!({"unusable_answer": "why"}),
        json!({"setup": setup(json!({"state": "online"}))}),
        json!({"setup": setup(json!({"state": "resolver-answered", "resolver": "192.0.2.10"}))}),
        json!({"setup": setup(json!({"state": "not-ready", "why": "why"}))}),
    ]
    .into_iter()
    .map(|fields| {
        let mut document = serde_json::to_value(Status::unknown()).expect("JSON");
        for (name, value) in fields.as_object().expect("an object") {
            document[name] = value.clone();
        }
        let read: Status = serde_json::from_value(document.clone()).expect("a status");
        assert_eq!(serde_json::to_value(read).expect("JSON"), document);
        document
    })
    .collect()
}

#[test]
fn examples_of_the_status_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/status.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documents: Vec<Value> = blocks.map(|block| serde_json::from_str(block).expect("JSON")).collect();
    assert!(documents.len() >= 2);
    let errors = errors_in(&documents);
    let wrong: Vec<_> = errors.lines().filter(|error| !error.starts_with("no document has")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
