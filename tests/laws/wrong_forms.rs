//! Values that contain a script but are not a script, because a tool encoded, packed or marked them. Each fails with its own message, in
//! every key, in the real runner (S5). An upgrade runs none of them (S4).

use std::fs;

use scw_agent::scripts::Digest;
use scw_stage::World;

use crate::cloud_init_forms::{base64, gzip, utf16};
use crate::machine::*;

const CLOUD_INIT: &str = "cloud-init";
const SECRET: &str = "planted-secret";
const VALUES: &str = "/var/lib/scw-agent/setup-values.json";

/// A script that adds a word to [`WORDS`], with the secret in a comment.
fn secret_script_writing(word: &str) -> String {
    format!(
        "#!/bin/sh
# {SECRET}
echo {word} >> {WORDS}
"
    )
}

/// Values of a wrong form, each with its message.
fn wrong_forms() -> Vec<(Vec<u8>, &'static str)> {
    let script = secret_script_writing("wrong");
    vec![
        (base64(script.as_bytes()).into(), "the value is base64: set it decoded"),
        (base64(&gzip(script.as_bytes())).into(), "the value is base64 of gzip"),
        (utf16(&format!("\u{feff}{script}"), u16::to_le_bytes), "the value is UTF-16 text"),
        (format!("\u{feff}{script}").into(), "the value begins with a byte order mark"),
        (format!("\n{script}").into(), "an empty line before `#!`"),
        (format!("@{SECRET}.sh").into(), "the value is `@` and a file's name"),
    ]
}

/// Runs the scripts of a boot, a wrong one and a good one, and checks every output that reports the wrong one.
fn assert_fails(world: &World, key: &str, value: &[u8], why: &str) {
    let _ = fs::remove_file(WORDS);
    world.standin().set_user_data(key, value);
    let ran = agent(world, &["setup", "run"]);
    assert_eq!((ran.code, &*written_words()), (1, "good"), "{key}, {why}: {}", ran.err);
    let daemon = start_daemon(world);
    let status = agent(world, &["status"]);
    let (_, logged) = daemon.terminate();
    assert_eq!(status.code, 1, "{}", status.out);
    let row = status.out.lines().find(|line| line.contains(why)).expect(&status.out);
    assert!(row.starts_with('✗') && row.contains(key), "{row}");
    assert!(ran.err.lines().any(|line| line.contains(key) && line.contains(why)), "{}", ran.err);

    let outcome = world.standin().user_data("outcome").expect("published");
    let outcome = String::from_utf8(outcome).expect("UTF-8");
    let document: serde_json::Value = serde_json::from_str(&outcome).expect("JSON");
    assert_eq!(document["success"], false, "{outcome}");
    let scripts = document["scripts"].as_array().expect("a list");
    let script = scripts.iter().find(|script| script["key"] == key).expect(&outcome);
    assert!(script["outcome"]["not-run"].as_str().expect(&outcome).contains(why), "{outcome}");

    let file = format!("/root/{key}");
    fs::write(&file, value).expect("written");
    let validated = agent(world, &["setup", "validate", &file]);
    assert!(validated.code == 1 && validated.out.contains(why), "{key}: {}", validated.out);
    let start = base64(format!("#!/bin/sh\n# {SECRET}").as_bytes());
    for text in [&ran.err, &status.out, &logged, &outcome, &validated.out] {
        assert!(!text.contains(SECRET) && !text.contains(&start[..20]), "{text}");
    }
    world.standin().delete_user_data(key);
    world.reboot();
}

fn prepare(world: &World) {
    fs::write("/etc/scw-agent.toml", "[setup]\noutcome-key = \"outcome\"\n").expect("written");
    world.standin().set_user_data("startup-script.good", script_writing("good"));
}

#[test]
fn s5_wrong_form_in_cloud_init_is_reported_by_name() {
    World::builder().run(|world| {
        prepare(world);
        let packed = gzip(secret_script_writing("wrong").as_bytes());
        let of_type = "Content-Type: text/html\nMIME-Version: 1.0\n\n";
        let mut forms = wrong_forms();
        forms.extend([
            (gzip(&packed), "the value is packed with gzip twice"),
            (SECRET.into(), "neither a script nor a format of cloud-init"),
            (
                format!("{of_type}{}", secret_script_writing("wrong")).into(),
                "cloud-init does not support the part's Content-Type",
            ),
        ]);
        for (value, why) in forms {
            let key = if value.starts_with(of_type.as_bytes()) { "cloud-init.part-001" } else { CLOUD_INIT };
            if key == CLOUD_INIT {
                assert_fails(world, key, &value, why);
            } else {
                world.standin().set_user_data(CLOUD_INIT, value);
                let ran = agent(world, &["setup", "run"]);
                assert!(ran.code == 1 && ran.err.contains(why) && ran.err.contains(key), "{}", ran.err);
            }
        }
    });
}

#[test]
fn s5_wrong_form_in_a_script_key_is_reported() {
    World::builder().run(|world| {
        prepare(world);
        let mut forms = wrong_forms();
        forms.push((gzip(secret_script_writing("wrong").as_bytes()), "the value is packed with gzip"));
        for (number, (value, why)) in forms.iter().enumerate() {
            let key = ["setup-script", "startup-script"][number % 2];
            assert_fails(world, key, value, why);
            world.standin().set_user_data("shutdown-script", value.clone());
            let ran = agent(world, &["setup", "run", "shutdown-script", "--again"]);
            assert!(ran.code == 1 && ran.err.contains(why), "{}", ran.err);
        }
        assert!(!written_words().contains("wrong"));
    });
}

#[test]
fn s4_upgrade_runs_no_value_of_the_first_version() {
    World::builder().run(|world| {
        let part = |word: &str| {
            let script = base64(&gzip(secret_script_writing(word).as_bytes()));
            let headers = "MIME-Version: 1.0\nContent-Transfer-Encoding: base64";
            format!("Content-Type: application/x-gunzip\n{headers}\n\n{script}\n")
        };
        for (value, code, message) in [
            (part("new"), 0, "cloud-init.part-001: not run: an earlier version of the agent"),
            // A value that no version could run.
            (
                part("new").replace("base64", "7bit"),
                1,
                "cloud-init.part-001: not run: the part is declared as gzip",
            ),
            (base64(secret_script_writing("new").as_bytes()), 1, "the value is base64"),
        ] {
            // The file that the first version of the agent writes.
            let digest = Digest::of(value.as_bytes());
            let instance = "daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86";
            let read = format!("{{\"key\":\"cloud-init\",\"digest\":\"{digest}\",\"reading\":1}}");
            fs::create_dir_all("/var/lib/scw-agent/setup").expect("made");
            fs::write(VALUES, format!("{{\"version\":1,\"instance\":\"{instance}\",\"values\":[{read}]}}"))
                .expect("written");
            world.standin().set_user_data(CLOUD_INIT, value);
            for boot in 1..3 {
                let ran = agent(world, &["setup", "run"]);
                assert_eq!((ran.code, &*written_words()), (code, ""), "boot {boot}: {}", ran.err);
                assert!(ran.err.contains(message), "boot {boot}: {}", ran.err);
                world.reboot();
            }
        }
        world.standin().set_user_data(CLOUD_INIT, part("changed"));
        let ran = agent(world, &["setup", "run"]);
        assert_eq!((ran.code, &*written_words()), (0, "changed"), "{}", ran.err);
    });
}
