//! The public API, called by the official SDKs for Python and JavaScript. The README has the table of their calls.
//!
//! The SDKs are downloaded once, in locked versions, to the folder for temporary files of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use scw_standin::{OWNER_TOKEN, Options, PublicApi, Rights, Standin};

const READ_KEY: &str = "22222222-2222-4222-8222-222222222222";
const EXPIRED_KEY: &str = "33333333-3333-4333-8333-333333333333";
const BEGIN: &str =
    "<!-- the table is written by the test `official_sdks_can_use_the_public_api`: begin -->\n";
const END: &str = "<!-- end -->\n";

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command, which must succeed; returns its standard output.
fn output(command: &mut Command) -> String {
    let ran = command.output().expect("started");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{command:?}: {}{}", text(&ran.stdout), text(&ran.stderr));
    text(&ran.stdout)
}

/// A folder that `make` fills, unless an earlier run did it from the same lock file.
fn downloaded(name: &str, lock: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (wanted, stamp) = (std::fs::read(lock).expect("the lock file"), folder.join("made-from"));
    if std::fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).expect("a folder");
        make(&folder);
        std::fs::write(stamp, wanted).expect("written");
    }
    folder
}

/// The program that runs the calls with the Python SDK.
fn python() -> Command {
    let requirements = here().join("sdk/python/requirements.txt");
    let folder = downloaded("sdk-python", &requirements, |folder| {
        output(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let mut pip = Command::new(folder.join("bin/pip"));
        output(pip.args(["install", "--quiet", "--require-hashes", "--requirement"]).arg(&requirements));
    });
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(here().join("sdk/python/calls.py"));
    command
}

/// The same with the JavaScript SDK, and the version of Node.js that it needs.
fn javascript() -> Command {
    let source = here().join("sdk/javascript");
    let folder = downloaded("sdk-javascript", &source.join("package-lock.json"), |folder| {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), folder.join(file)).expect("copied");
        }
        let mut npm = Command::new("npm");
        output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder));
    });
    // The modules are found beside the script.
    std::fs::copy(source.join("calls.js"), folder.join("calls.js")).expect("copied");
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let mut command = Command::new(folder.join(format!("node_modules/node-linux-{arch}/bin/node")));
    command.arg(folder.join("calls.js"));
    command
}

/// Runs the calls against a new stand-in. Returns the result of each title, in their order.
fn calls(mut command: Command, name: &str) -> Vec<(String, String)> {
    let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("authority-{name}.pem"));
    let tokens = [(READ_KEY.to_owned(), Rights::Read), (EXPIRED_KEY.to_owned(), Rights::Expired)];
    let local = "127.0.0.1:0".parse().expect("an address");
    let public_api =
        PublicApi { listen: local, authority: Some(authority.clone()), tokens: BTreeMap::from(tokens) };
    let options = Options { listen: vec![local], public_api: Some(public_api), ..Options::default() };
    let standin = Standin::start(options).expect("started");
    let port = standin.addresses()[1].port();
    for variable in ["REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
        command.env(variable, &authority);
    }
    let printed = output(command.envs([
        ("SCW_API_URL", format!("https://localhost:{port}").as_str()),
        ("SCW_CONFIG_PATH", "/nonexistent"),
        ("SCW_ACCESS_KEY", "SCWXXXXXXXXXXXXXXXXX"),
        ("SCW_SECRET_KEY", OWNER_TOKEN),
        ("SCW_DEFAULT_ZONE", "nl-ams-1"),
        ("SCW_DEFAULT_REGION", "nl-ams"),
        ("SCW_DEFAULT_PROJECT_ID", "5a1e0c7d-0000-4000-8000-000000000000"),
        ("SCW_DEFAULT_ORGANIZATION_ID", "5a1e0c7d-0000-4000-8000-000000000000"),
        ("READ_KEY", READ_KEY),
        ("EXPIRED_KEY", EXPIRED_KEY),
        ("SHOWN_ADDRESS", "51.15.68.77"),
    ]));
    // The SDK's last user data are those that the Metadata API serves.
    assert_eq!(standin.user_data("setup-script").as_deref(), Some(&b"#!/bin/sh\n"[..]));
    assert_eq!(standin.user_data("ssh-host-fingerprints"), None);
    let requests = standin.requests();
    assert!(requests.len() > 40 && requests.iter().all(|request| request.status.is_some()), "{requests:?}");
    assert!(requests.iter().all(|request| request.header("x-auth-token").is_some()));
    printed.lines().map(|line| serde_json::from_str(line).expect("a title and a result")).collect()
}

#[test]
fn official_sdks_can_use_the_public_api() {
    let (python, javascript) = (calls(python(), "python"), calls(javascript(), "javascript"));
    let titles: BTreeSet<_> = javascript.iter().map(|(title, _)| title).collect();
    assert!(titles.iter().all(|title| python.iter().any(|(other, _)| other == *title)), "{titles:?}");
    let mut table = "| call | Python | JavaScript |\n|---|---|---|\n".to_owned();
    for (title, result) in &python {
        let other = javascript.iter().find(|(other, _)| other == title);
        let other = other.map_or("the SDK does not have it", |(_, result)| result);
        writeln!(table, "| {title} | {result} | {other} |").expect("text");
    }
    let path = here().join("README.md");
    let text = std::fs::read_to_string(&path).expect("the README");
    let (before, rest) = text.split_once(BEGIN).expect("the first mark");
    let (old, after) = rest.split_once(END).expect("the second mark");
    if std::env::var_os("SCW_WRITE").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
    }
    assert_eq!(
        old, table,
        "README.md is not current: run this test with SCW_WRITE=1, then review the change"
    );
}
