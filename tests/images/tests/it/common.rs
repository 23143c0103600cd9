//! Functions that the tests share: the identity of the Instance, the published fingerprints, and checks of a machine.

use std::time::Duration;

use scw_images::{Kit, Machine, pause};
use scw_stage::{World, consumers};
use serde_json::json;

/// Far longer than any step takes, even on a busy computer.
pub(crate) const LONG: Duration = Duration::from_secs(900);
/// The user data key under which the fingerprints are published.
pub(crate) const FINGERPRINTS: &str = "ssh-host-fingerprints";
/// The Instance of a clone.
pub(crate) const OTHER_INSTANCE: &str = "11111111-2222-4333-8444-555555555555";

/// A setup script that writes one line for each of its runs.
pub(crate) const SCRIPT: &str = "#!/bin/sh\necho \"ran for $SCW_INSTANCE_ID\" >>/var/log/setup-script.log\n";

/// From now on the metadata have this Instance's id.
pub(crate) fn become_instance(world: &World, id: &str) {
    let mut conf = world.standin().conf();
    conf["id"] = json!(id);
    world.standin().set_conf(conf);
}

/// Waits until the published fingerprints are those of the running sshd, which ssh-keyscan reads. Both kinds of consumer must read
/// the same fingerprints from the value. Returns them, sorted.
#[track_caller]
pub(crate) fn published(world: &World, machine: &Machine) -> Vec<String> {
    published_instead_of(world, machine, &[])
}

/// The same, but waits for keys none of which is in `old`. While new keys are made, sshd still serves the old ones, which are still
/// published.
#[track_caller]
pub(crate) fn published_instead_of(world: &World, machine: &Machine, old: &[String]) -> Vec<String> {
    let start = std::time::Instant::now();
    loop {
        let value = world.standin().user_data(FINGERPRINTS).unwrap_or_default();
        let value = String::from_utf8(value).expect("UTF-8");
        let mut stored: Vec<String> = value.lines().map(without_comment).collect();
        stored.sort();
        // A scan makes four connections to sshd, so nothing is scanned before something is stored.
        let mut seen = if stored.is_empty() { Vec::new() } else { scanned_keys(machine) };
        seen.sort();
        let is_new = seen.iter().all(|line| !old.contains(line));
        if !seen.is_empty() && is_new && stored == seen {
            let fingerprints =
                seen.iter().map(|line| line.split(' ').nth(1).expect("one").to_owned()).collect();
            assert_eq!(consumers::read_strictly(&value), fingerprints);
            assert_eq!(consumers::read_by_pattern(&value), fingerprints);
            return stored;
        }
        assert!(start.elapsed() < LONG, "published: {stored:#?}\nserved: {seen:#?}");
        std::thread::sleep(pause(start.elapsed()));
    }
}

/// The keys that sshd offers, as `bits SHA256:… (TYPE)`.
pub(crate) fn scanned_keys(machine: &Machine) -> Vec<String> {
    let seen = machine.sh("ssh-keyscan -T 120 127.0.0.1 2>/dev/null | ssh-keygen -lf -");
    seen.out.lines().map(without_comment).collect()
}

/// A fingerprint line without the comment, which is its third word.
pub(crate) fn without_comment(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    [&words[..2], &words[words.len() - 1..]].concat().join(" ")
}

/// Logs in by ssh as root. ssh trusts only the keys whose fingerprints are published.
#[track_caller]
pub(crate) fn log_in(machine: &Machine, published: &[String]) {
    let list = published.join("\n");
    let words = machine.ok(&format!(
        r#"[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
ssh-keyscan -T 120 127.0.0.1 2>/dev/null >/tmp/offered
: >/tmp/known_hosts
while read -r line; do
    set -- $(printf '%s\n' "$line" | ssh-keygen -lf -)
    case '{list}' in *"$2"*) printf '%s\n' "$line" >>/tmp/known_hosts ;; esac
done </tmp/offered
ssh -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/tmp/known_hosts root@127.0.0.1 echo in as '$USER'"#
    ));
    assert_eq!(words, "in as root");
}

/// The failed units.
pub(crate) fn failed_units(machine: &Machine) -> String {
    machine.ok("systemctl --failed --plain --no-legend")
}

/// Waits until the scripts of this boot have ended, and checks how many times the setup script has run on this disk.
#[track_caller]
pub(crate) fn script_runs(machine: &Machine, times: usize) {
    machine.until("the boot's scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
    let log = machine.ok("cat /var/log/setup-script.log");
    assert_eq!(log.lines().count(), times, "{log}");
}

/// The number of requests that the metadata service received, without GET requests.
pub(crate) fn writes(world: &World) -> usize {
    world.standin().requests().iter().filter(|request| request.method != "GET").count()
}

/// Checks that a document has this table between its marks. With `SCW_WRITE` set, writes it there first.
#[track_caller]
pub(crate) fn write_table(document: &str, test: &str, table: &str) {
    write_between(
        document,
        &format!("the table is written by the test `{test}`"),
        &format!("{table}\n"),
        str::to_owned,
    );
}

/// The same for the output of programs. Numbers may differ, since times and identifiers do.
#[track_caller]
pub(crate) fn write_output(document: &str, test: &str, output: &str) {
    write_between(
        document,
        &format!("what follows is written by the test `{test}`"),
        output,
        without_numbers,
    );
}

fn write_between(document: &str, mark: &str, new: &str, compared: fn(&str) -> String) {
    let begin = format!("<!-- {mark}: begin -->\n");
    let path = Kit::checkout().join(document);
    let text = std::fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(&begin).expect("the first mark");
    let (old, after) = rest.split_once("<!-- end -->\n").expect("the second mark");
    if std::env::var_os("SCW_WRITE").is_some() {
        std::fs::write(path, format!("{before}{begin}{new}<!-- end -->\n{after}")).expect("written");
    }
    assert_eq!(
        compared(old),
        compared(new),
        "{document} is not current: run this test with SCW_WRITE=1, then review the change ({mark})"
    );
}

/// Replaces each number by one `#`, and each duration, too: `2s 6ms` and `13ms` become equal.
fn without_numbers(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            c => masked.push(c),
        }
    }
    ["#ms", "#s", "#m"].iter().fold(masked, |text, unit| text.replace(unit, "#")).replace("# #", "#")
}
