//! The steps of the demo, in the order of an Instance's life. Each step checks its result, and reports what it found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use scw_standin::Request;
use serde_json::json;

use crate::client;
use crate::fingerprint::Fingerprint;
use crate::guest::{Guest, PATIENCE, run};
use crate::metadata;
use crate::owner;
use crate::screen::Screen;

/// The owner's script, which is set before the first boot. Each run adds a line to a file.
pub(crate) const SCRIPT: &str = "#!/bin/sh\n\
    echo \"hello from $(id -un)'s setup script\"\n\
    echo ran >>/root/setup-script-was-here\n";
const SCRIPT_MARK: &str = "/root/setup-script-was-here";
const SCRIPT_SAYS: &str = "hello from root's setup script";

const FINGERPRINTS: &str = "ssh-host-fingerprints";
/// CAP_NET_BIND_SERVICE and CAP_NET_RAW.
const CAPABILITIES: &str = "0000000000002400";
const KNOWN_HOSTS: &str = "/run/known_hosts";

/// What a step found, or why it failed.
pub(crate) type Seen = Result<Vec<String>, String>;
type Step = (&'static str, fn(&mut Guest) -> Seen);

const STEPS: [Step; 13] = [
    ("an owner creates an Instance through the API, with a volume and a setup script", create),
    ("the machine boots without host keys, and gets them", host_keys),
    ("sshd starts with them", sshd),
    ("the daemon is ready, with two capabilities", daemon),
    ("the fingerprints that the API has are those of the running sshd", fingerprints),
    ("a first ssh login, where only keys with a published fingerprint are trusted", login),
    ("ssh with nothing but `scw-known-hosts setup` connects without a question", client::checked_login),
    ("a server with another key at the same address is refused", client::other_server),
    ("the owner's setup script runs", setup_script),
    ("programs on the machine list, read and set user data", user_data),
    ("programs on the machine learn what the Instance is, by old and new commands", metadata::metadata),
    ("\"set all user data\" deletes the fingerprints, and they are published again", set_all),
    ("a second boot makes no key, writes nothing, runs no script", second_boot),
];

/// Runs all steps, even after a failed one; returns whether all succeeded.
pub(crate) fn run_steps(guest: &mut Guest, screen: &mut Screen) -> bool {
    let mut held = 0;
    for (what, step) in STEPS {
        match step(guest) {
            Ok(seen) => {
                held += 1;
                screen.step(true, what, &seen);
            }
            Err(reason) => screen.step(false, what, &lines(&reason)),
        }
    }
    screen.verdict(held, STEPS.len());
    held == STEPS.len()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

pub(crate) fn ensure(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The host keys of the view: file names and contents.
fn key_files() -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut keys = BTreeMap::new();
    for entry in fs::read_dir("/etc/ssh").map_err(|error| error.to_string())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("ssh_host_") {
            keys.insert(name, fs::read(entry.path()).map_err(|error| error.to_string())?);
        }
    }
    Ok(keys)
}

fn create(guest: &mut Guest) -> Seen {
    let wanted = json!({
        "name": "web-1", "commercial_type": "DEV1-S", "image": "debian_trixie", "tags": ["web"],
        "volumes": {"1": {"name": "data", "volume_type": "sbs_volume", "size": 5_000_000_000_u64}},
    });
    let created = owner::document(guest.world, "POST", "servers", &wanted)?;
    let server = &created["server"];
    let id = server["id"].as_str().ok_or("the answer has no id")?.to_owned();
    ensure(server["state"] == "stopped", format!("it is {}", server["state"]))?;
    owner::ask(guest.world, "PATCH", &format!("servers/{id}/user_data/setup-script"), Some(SCRIPT))?;
    let action = json!({"action": "poweron"});
    owner::document(guest.world, "POST", &format!("servers/{id}/action"), &action)?;
    let volumes = server["volumes"].as_object().map(|volumes| volumes.len()).unwrap_or_default();
    let seen = vec![
        format!("POST /instance/v1/zones/nl-ams-1/servers: {id}, {volumes} volumes, debian_trixie on DEV1-S"),
        format!("PATCH …/servers/{id}/user_data/setup-script; POST …/action: poweron"),
    ];
    guest.id = Some(id);
    Ok(seen)
}

fn host_keys(guest: &mut Guest) -> Seen {
    ensure(key_files()?.is_empty(), "there are host keys before the first boot")?;
    let ran = guest.agent(&["host-keys", "ensure"])?.succeeded()?;
    let keys = key_files()?;
    let private: Vec<&String> = keys.keys().filter(|name| name.ends_with("_key")).collect();
    ensure(!private.is_empty(), "no host key was made")?;
    for name in &private {
        let mode = fs::metadata(Path::new("/etc/ssh").join(name)).map_err(|error| error.to_string())?;
        let mode = mode.permissions().mode() & 0o777;
        ensure(mode == 0o600, format!("{name} has mode {mode:o}"))?;
        ensure(keys.contains_key(&format!("{name}.pub")), format!("{name} has no .pub"))?;
    }
    let names: Vec<&str> = private.iter().map(|name| name.as_str()).collect();
    Ok(vec![format!("scw-agent host-keys ensure: {} in {}", names.join(", "), ms(ran.took))])
}

fn sshd(guest: &mut Guest) -> Seen {
    guest.start_sshd()?;
    Ok(vec![format!("it listens on port {}", guest.sshd()?.port())])
}

fn daemon(guest: &mut Guest) -> Seen {
    let ready = guest.start_daemon()?;
    let status = fs::read_to_string(format!("/proc/{}/status", guest.daemon()?.pid()));
    let status = status.map_err(|error| format!("cannot read its status: {error}"))?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let uid = field("Uid:").unwrap_or_default();
    ensure(uid == guest.world.agent_uid().to_string(), format!("its user id is {uid}"))?;
    let capabilities = field("CapEff:").unwrap_or_default();
    ensure(capabilities == CAPABILITIES, format!("its capabilities are {capabilities}"))?;
    Ok(vec![
        format!("READY=1 after {}; user id {uid}; only CAP_NET_BIND_SERVICE and CAP_NET_RAW", ms(ready.took)),
        format!("STATUS={}", ready.status),
    ])
}

fn is_user_data_write(request: &Request) -> bool {
    request.method != "GET" && request.target.starts_with("/user_data")
}

fn fingerprints(guest: &mut Guest) -> Seen {
    guest.daemon()?;
    let published = |requests: &[Request]| {
        requests.iter().any(|request| is_user_data_write(request) && request.status.is_some())
    };
    ensure(guest.world.standin().wait_for(PATIENCE, published), "nothing was published")?;
    let waited = guest.started.map(|started| started.elapsed()).unwrap_or_default();
    let text = guest.userdata(&[FINGERPRINTS])?.succeeded()?.stdout;
    let read = owner::user_data(guest.world, guest.id()?, FINGERPRINTS)?.unwrap_or_default();
    ensure(text.trim_end() == read, "scw-userdata prints another value than the API has")?;

    let scanned = scan(guest)?;
    let (ours, theirs) = (Fingerprint::set(&text)?, Fingerprint::set(&fingerprints_of(guest, &scanned)?)?);
    ensure(!ours.is_empty() && ours == theirs, format!("published: {ours:?}\nof sshd: {theirs:?}"))?;
    let mut seen = vec![format!(
        "published within {} of the daemon's start; GET …/user_data/{FINGERPRINTS}:",
        ms(waited)
    )];
    seen.extend(text.lines().map(|line| format!("  {line}")));
    seen.push(format!("ssh-keyscan | ssh-keygen -lf -: the same {}", theirs.len()));
    Ok(seen)
}

/// The keys that sshd offers to any client, as lines of known_hosts.
fn scan(guest: &Guest) -> Result<String, String> {
    Ok(run(&mut guest.sshd()?.keyscan(guest.world))?.succeeded()?.stdout)
}

/// The fingerprints of lines of known_hosts, in the format of `ssh-keygen -l`.
fn fingerprints_of(guest: &Guest, keys: &str) -> Result<String, String> {
    let file = "/run/scanned";
    fs::write(file, keys).map_err(|error| error.to_string())?;
    Ok(guest.run("ssh-keygen", &["-l", "-f", file])?.succeeded()?.stdout)
}

fn login(guest: &mut Guest) -> Seen {
    let published = owner::user_data(guest.world, guest.id()?, FINGERPRINTS)?.unwrap_or_default();
    let published = Fingerprint::set(&published)?;
    let mut known = String::new();
    for key in scan(guest)?.lines() {
        if Fingerprint::set(&fingerprints_of(guest, key)?)?.is_subset(&published) {
            known += &format!("{key}\n");
        }
    }
    fs::write(KNOWN_HOSTS, &known).map_err(|error| error.to_string())?;
    let mut ssh = guest.sshd()?.ssh(guest.world, KNOWN_HOSTS.as_ref());
    let ran = run(ssh.arg("echo in as $(id -un)"))?.succeeded()?;
    ensure(ran.stdout.starts_with("in as "), format!("it printed {:?}", ran.stdout))?;
    Ok(vec![format!(
        "ssh -o StrictHostKeyChecking=yes, {} keys trusted: {}",
        known.lines().count(),
        ran.stdout.trim()
    )])
}

fn setup_script(guest: &mut Guest) -> Seen {
    let ran = guest.agent(&["setup", "run"])?.succeeded()?;
    ensure(script_runs() == 1, format!("the script ran {} times", script_runs()))?;
    let shown = guest.agent(&["setup", "show", "setup-script"])?.succeeded()?.stdout;
    ensure(shown.lines().any(|line| line == SCRIPT_SAYS), format!("its output is not shown: {shown}"))?;
    let mut seen =
        vec![format!("scw-agent setup run: exit code 0 in {}; setup show setup-script:", ms(ran.took))];
    seen.extend(shown.lines().map(|line| format!("  {line}")));
    Ok(seen)
}

/// How often the owner's script has run to its end.
fn script_runs() -> usize {
    fs::read_to_string(SCRIPT_MARK).unwrap_or_default().lines().count()
}

fn user_data(guest: &mut Guest) -> Seen {
    guest.userdata(&["colour", "blue"])?.succeeded()?;
    ensure(
        guest.world.standin().user_data("colour").as_deref() == Some(b"blue"),
        "the API does not have the value",
    )?;
    let value = guest.userdata(&["colour"])?.succeeded()?.stdout;
    ensure(value.trim_end() == "blue", format!("it prints {value:?}"))?;
    let list = guest.userdata(&[])?.succeeded()?.stdout;
    for key in ["colour", "setup-script", FINGERPRINTS] {
        ensure(list.contains(key), format!("{key} is missing in the list: {list}"))?;
    }
    let missing = guest.userdata(&["no-such-key"])?;
    ensure(missing.code.is_some_and(|code| code != 0), "reading a key that is not set does not fail")?;
    Ok(vec![
        "scw-userdata colour blue; scw-userdata colour: blue".to_owned(),
        format!("scw-userdata: {}", list.lines().collect::<Vec<_>>().join(" ")),
        format!("scw-userdata no-such-key: exit code {}", missing.code.unwrap_or_default()),
    ])
}

fn set_all(guest: &mut Guest) -> Seen {
    let id = guest.id()?.to_owned();
    let before = owner::user_data(guest.world, &id, FINGERPRINTS)?;
    ensure(before.is_some(), "nothing is published")?;
    let deleted = owner::set_all_user_data(guest.world, &id, &[("setup-script", SCRIPT)])?;
    ensure(deleted.iter().any(|key| key == FINGERPRINTS), format!("deleted: {deleted:?}"))?;
    let mut seen =
        vec![format!("deleted: {}; scw-agent status has the daemon look at once:", deleted.join(", "))];
    let ran = guest.agent(&["status"])?.succeeded()?;
    ensure(ran.stdout.contains("✓ fingerprints"), format!("the status is: {}", ran.stdout))?;
    seen.extend(ran.stdout.lines().map(|line| format!("  {line}")));
    let after = owner::user_data(guest.world, &id, FINGERPRINTS)?;
    ensure(after == before, format!("the API has {after:?}"))?;
    seen.push(format!("GET …/user_data/{FINGERPRINTS}: the same as before"));
    Ok(seen)
}

fn second_boot(guest: &mut Guest) -> Seen {
    guest.reboot()?;
    let keys = key_files()?;
    let standin = guest.world.standin();
    standin.clear_requests();
    let ensured = guest.agent(&["host-keys", "ensure"])?.succeeded()?;
    guest.start_sshd()?;
    let ready = guest.start_daemon()?;
    guest.agent(&["setup", "run"])?.succeeded()?;
    let looked = |requests: &[Request]| {
        let path = format!("/user_data/{FINGERPRINTS}");
        requests.iter().any(|request| request.target.starts_with(&path) && request.status.is_some())
    };
    ensure(standin.wait_for(PATIENCE, looked), "the daemon did not check the published value")?;
    // Wait for a write that must not happen. On a slow computer the wait may be too short to notice it, but never fails wrongly.
    standin.wait_for(Duration::from_secs(1), |requests| requests.iter().any(is_user_data_write));

    ensure(key_files()? == keys, "host keys were changed")?;
    ensure(script_runs() == 1, format!("the script ran {} times in all", script_runs()))?;
    let requests = standin.requests();
    let writes: Vec<String> = requests
        .iter()
        .filter(|request| is_user_data_write(request))
        .map(|request| format!("{} {}", request.method, request.target))
        .collect();
    ensure(writes.is_empty(), format!("user data was written: {}", writes.join(", ")))?;
    Ok(vec![
        format!("host-keys ensure in {}, READY=1 after {}", ms(ensured.took), ms(ready.took)),
        format!("the API was asked {} times, and told nothing", requests.len()),
    ])
}
