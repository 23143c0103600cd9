//! The story: what an Instance's life must show, step by step. Each step looks for itself, and says what it saw.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use scw_standin::Request;

use crate::fingerprint::Fingerprint;
use crate::guest::{Guest, PATIENCE, run};
use crate::screen::Screen;

/// The owner's script, in user data before the first boot. Each run adds a line to a file.
pub(crate) const SCRIPT: &str = "#!/bin/sh\n\
    echo \"hello from $(id -un)'s setup script\"\n\
    echo ran >>/root/setup-script-was-here\n";
const SCRIPT_MARK: &str = "/root/setup-script-was-here";
const SCRIPT_SAYS: &str = "hello from root's setup script";

const FINGERPRINTS: &str = "ssh-host-fingerprints";
/// CAP_NET_BIND_SERVICE and CAP_NET_RAW.
const CAPABILITIES: &str = "0000000000002400";
const KNOWN_HOSTS: &str = "/run/known_hosts";

/// What a step saw, or why it does not hold.
type Seen = Result<Vec<String>, String>;
type Step = (&'static str, fn(&mut Guest) -> Seen);

const STEPS: [Step; 9] = [
    ("the machine boots without host keys, and gets them", host_keys),
    ("sshd starts with them", sshd),
    ("the daemon is ready, with two capabilities", daemon),
    ("the fingerprints that are published are those of the running sshd", fingerprints),
    ("a first ssh login, where only keys with a published fingerprint are trusted", login),
    ("the owner's setup script runs", setup_script),
    ("programs on the machine list, read and set user data", user_data),
    ("the status is sound", status),
    ("a second boot makes no key, writes nothing, runs no script", second_boot),
];

/// Tells the story, to its end even where a step does not hold; returns whether all do.
pub(crate) fn tell(guest: &mut Guest, screen: &mut Screen) -> bool {
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

fn that(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The host keys of the view, name to content.
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

fn host_keys(guest: &mut Guest) -> Seen {
    that(key_files()?.is_empty(), "there are host keys before the first boot")?;
    let ran = guest.agent(&["host-keys", "ensure"])?.well()?;
    let keys = key_files()?;
    let private: Vec<&String> = keys.keys().filter(|name| name.ends_with("_key")).collect();
    that(!private.is_empty(), "no host key was made")?;
    for name in &private {
        let mode = fs::metadata(Path::new("/etc/ssh").join(name)).map_err(|error| error.to_string())?;
        let mode = mode.permissions().mode() & 0o777;
        that(mode == 0o600, format!("{name} has mode {mode:o}"))?;
        that(keys.contains_key(&format!("{name}.pub")), format!("{name} has no .pub"))?;
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
    let status = status.map_err(|error| format!("it cannot be looked at: {error}"))?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let uid = field("Uid:").unwrap_or_default();
    that(uid == guest.world.agent_uid().to_string(), format!("its user id is {uid}"))?;
    let capabilities = field("CapEff:").unwrap_or_default();
    that(capabilities == CAPABILITIES, format!("its capabilities are {capabilities}"))?;
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
    that(guest.world.standin().wait_for(PATIENCE, published), "nothing was published")?;
    let waited = guest.started.map(|started| started.elapsed()).unwrap_or_default();
    let text = guest.userdata(&[FINGERPRINTS])?.well()?.stdout;
    let kept = guest.world.standin().user_data(FINGERPRINTS).unwrap_or_default();
    that(text.trim_end().as_bytes() == kept, "scw-userdata prints something else than the API keeps")?;

    let scanned = scan(guest)?;
    let (ours, theirs) = (Fingerprint::set(&text)?, Fingerprint::set(&fingerprints_of(guest, &scanned)?)?);
    that(!ours.is_empty() && ours == theirs, format!("published: {ours:?}\nof sshd: {theirs:?}"))?;
    let mut seen =
        vec![format!("published within {} of the daemon's start; scw-userdata {FINGERPRINTS}:", ms(waited))];
    seen.extend(text.lines().map(|line| format!("  {line}")));
    seen.push(format!("ssh-keyscan | ssh-keygen -lf -: the same {}", theirs.len()));
    Ok(seen)
}

/// The keys that sshd shows to a stranger, as known_hosts lines.
fn scan(guest: &Guest) -> Result<String, String> {
    Ok(run(&mut guest.sshd()?.keyscan(guest.world))?.well()?.stdout)
}

/// The fingerprints of known_hosts lines, in the words of `ssh-keygen -l`.
fn fingerprints_of(guest: &Guest, keys: &str) -> Result<String, String> {
    let file = "/run/scanned";
    fs::write(file, keys).map_err(|error| error.to_string())?;
    Ok(guest.run("ssh-keygen", &["-l", "-f", file])?.well()?.stdout)
}

fn login(guest: &mut Guest) -> Seen {
    let published = guest.world.standin().user_data(FINGERPRINTS).unwrap_or_default();
    let published = Fingerprint::set(&String::from_utf8_lossy(&published))?;
    let mut known = String::new();
    for key in scan(guest)?.lines() {
        if Fingerprint::set(&fingerprints_of(guest, key)?)?.is_subset(&published) {
            known += &format!("{key}\n");
        }
    }
    fs::write(KNOWN_HOSTS, &known).map_err(|error| error.to_string())?;
    let mut ssh = guest.sshd()?.ssh(guest.world, KNOWN_HOSTS.as_ref());
    let ran = run(ssh.arg("echo in as $(id -un)"))?.well()?;
    that(ran.stdout.starts_with("in as "), format!("it printed {:?}", ran.stdout))?;
    Ok(vec![format!(
        "ssh -o StrictHostKeyChecking=yes, {} keys trusted: {}",
        known.lines().count(),
        ran.stdout.trim()
    )])
}

fn setup_script(guest: &mut Guest) -> Seen {
    let ran = guest.agent(&["setup", "run"])?.well()?;
    that(script_runs() == 1, format!("the script ran {} times", script_runs()))?;
    let shown = guest.agent(&["setup", "show", "setup-script"])?.well()?.stdout;
    that(shown.lines().any(|line| line == SCRIPT_SAYS), format!("its output is not shown: {shown}"))?;
    let mut seen =
        vec![format!("scw-agent setup run: exit code 0 in {}; setup show setup-script:", ms(ran.took))];
    seen.extend(shown.lines().map(|line| format!("  {line}")));
    Ok(seen)
}

/// How often the owner's script ran to its end.
fn script_runs() -> usize {
    fs::read_to_string(SCRIPT_MARK).unwrap_or_default().lines().count()
}

fn user_data(guest: &mut Guest) -> Seen {
    guest.userdata(&["colour", "blue"])?.well()?;
    that(
        guest.world.standin().user_data("colour").as_deref() == Some(b"blue"),
        "the API does not have the value",
    )?;
    let value = guest.userdata(&["colour"])?.well()?.stdout;
    that(value.trim_end() == "blue", format!("it prints {value:?}"))?;
    let list = guest.userdata(&[])?.well()?.stdout;
    for key in ["colour", "setup-script", FINGERPRINTS] {
        that(list.contains(key), format!("the list is without {key}: {list}"))?;
    }
    let missing = guest.userdata(&["no-such-key"])?;
    that(missing.code.is_some_and(|code| code != 0), "a key that is not set is no failure")?;
    Ok(vec![
        "scw-userdata colour blue; scw-userdata colour: blue".to_owned(),
        format!("scw-userdata: {}", list.lines().collect::<Vec<_>>().join(" ")),
        format!("scw-userdata no-such-key: exit code {}", missing.code.unwrap_or_default()),
    ])
}

fn status(guest: &mut Guest) -> Seen {
    let ran = guest.agent(&["status"])?.well()?;
    that(!ran.stdout.trim().is_empty(), "it prints nothing")?;
    Ok(lines(&ran.stdout))
}

fn second_boot(guest: &mut Guest) -> Seen {
    guest.reboot()?;
    let keys = key_files()?;
    let standin = guest.world.standin();
    standin.clear_requests();
    let ensured = guest.agent(&["host-keys", "ensure"])?.well()?;
    guest.start_sshd()?;
    let ready = guest.start_daemon()?;
    guest.agent(&["setup", "run"])?.well()?;
    let looked = |requests: &[Request]| {
        let path = format!("/user_data/{FINGERPRINTS}");
        requests.iter().any(|request| request.target.starts_with(&path) && request.status.is_some())
    };
    that(standin.wait_for(PATIENCE, looked), "the daemon did not look at what is published")?;
    // Time for a write that must not come. A slow machine makes this blind, not wrong.
    standin.wait_for(Duration::from_secs(1), |requests| requests.iter().any(is_user_data_write));

    that(key_files()? == keys, "host keys were changed")?;
    that(script_runs() == 1, format!("the script ran {} times in all", script_runs()))?;
    let requests = standin.requests();
    let writes: Vec<String> = requests
        .iter()
        .filter(|request| is_user_data_write(request))
        .map(|request| format!("{} {}", request.method, request.target))
        .collect();
    that(writes.is_empty(), format!("user data was written: {}", writes.join(", ")))?;
    Ok(vec![
        format!("host-keys ensure in {}, READY=1 after {}", ms(ensured.took), ms(ready.took)),
        format!("the API was asked {} times, and told nothing", requests.len()),
    ])
}
