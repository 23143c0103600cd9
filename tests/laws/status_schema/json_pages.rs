//! docs/reference/json.md names every field that the other commands print with `--json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scw_stage::World;
use serde_json::Value;

use crate::machine::*;

/// Fields whose types docs/reference/status.md describes.
const TYPES_OF_THE_STATUS: [&str; 2] = ["outcome", "platform"];

/// Adds the names of all fields in a value.
fn add_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                names.insert(name.clone());
                if !TYPES_OF_THE_STATUS.contains(&&**name) {
                    add_names(field, names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_names(item, names)),
        _ => {}
    }
}

/// The section of the page with this heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let found = page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n")));
    found.expect("a section with this heading in json.md")
}

#[test]
fn every_json_field_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/json.md");
    let page = fs::read_to_string(page).expect("the page");
    World::builder().run(|world| {
        world.standin().set_user_data("setup-script", "#!/bin/sh\nsleep 1000 &\necho a line\n");
        world.standin().set_user_data("cloud-init", "#cloud-config\n");
        fs::create_dir_all("/etc/scw-agent.toml.d").expect("made");
        fs::write("/etc/scw-agent.toml.d/50-slip.toml", "[setup]\ntimeuot = \"1m\"\n").expect("written");
        fs::write("/run/other.sh", "#!/bin/sh\n# scw-setup: timeuot=1m\n").expect("written");
        fs::write("/run/cloud-init.yaml", "#cloud-config\n").expect("written");
        let mut conf = world.standin().conf();
        conf["private_nics"] = serde_json::json!([{"id": "n"}]);
        conf["placement_group"] = serde_json::json!({"id": "g"});
        world.standin().set_conf(conf);
        make_disk(world);
        make_host_key(world);
        let daemon = start_daemon(world);
        wait_until_settled(world);
        assert_eq!(agent(world, &["setup", "run"]).code, 0);
        fs::write("/run/setup-script", "#!/bin/sh\n").expect("written");
        let validate =
            ["setup", "validate", "--json", "/run/setup-script", "/run/other.sh", "/run/cloud-init.yaml"];
        for (heading, words) in [
            ("`scw-agent doctor --json`", &["doctor", "--json"][..]),
            ("`scw-agent instance --json`", &["instance", "--json"]),
            ("`scw-agent volumes --json`", &["volumes", "--json"]),
            ("`scw-agent setup list --json`", &["setup", "list", "--json"]),
            ("`scw-agent setup show KEY --json`", &["setup", "show", "setup-script", "--json"]),
            ("`scw-agent setup validate FILE… --json`", &validate),
            ("`scw-agent config check --json`", &["config", "check", "--json"]),
            ("`scw-agent host-keys show --json`", &["host-keys", "show", "--json"]),
        ] {
            check(&page, heading, &agent(world, words).out);
        }
        for words in [&["--json"][..], &["--json", "setup-script"]] {
            check(&page, "`scw-userdata --json`", &userdata(world, words).out);
        }
        daemon.terminate();
    });
}

/// Replaces the disks of the test's machine by one with a partition that is the root file system.
fn make_disk(world: &World) {
    sh(
        world,
        "mount -t tmpfs stage /sys/block
        mkdir -p /sys/block/sda/device /sys/block/sda/sda1
        echo volume-76d8ae14-0000-4000-8000-000000000000 >/sys/block/sda/serial
        echo 1 >/sys/block/sda/sda1/partition",
    );
}

/// Checks that the section names every field of the output. The keys of scripts are names that a user chose.
fn check(page: &str, heading: &str, output: &str) {
    let section = section(page, heading);
    let value: Value = serde_json::from_str(output).expect(heading);
    let mut names = BTreeSet::new();
    add_names(&value, &mut names);
    assert!(!names.is_empty(), "{heading}: {output}");
    for name in names.iter().filter(|name| *name != "setup-script") {
        assert!(section.contains(&format!("`{name}`")), "{heading}: the field `{name}` is not documented");
    }
}
