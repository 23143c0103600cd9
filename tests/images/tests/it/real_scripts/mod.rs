//! Scripts as owners write them, in booted images (S1, S2, S4, S5): the outcome of each in the records, the journal, the status and the
//! unit's exit code; and the outcome of the same scripts with cloud-init.

mod rows;
mod table;

use std::fmt::Write;

use base64ct::{Base64, Encoding};
use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::setup_waits::REPOSITORY;
use rows::{CloudInit, ROWS, Row};

/// The base64 of a compressed archive with one file, `word`.
const ARCHIVE: &str = "H4sIAAAAAAAAA+3OOwqEQBCE4Y49xRyhG3vmPqIbCTsyKl7fR7iBsoGI8H9JBVVBLbl0cjPdJPcjN7+paiYWa7WkMXktauoeJejdx3bzODUlBCk5T2e7q/6l5u/QtP2nq54+AgAAAAAAAAAAAAAAAAD4ywquKDVMACgAAA==";

/// The user data key and the script of a row.
fn value(number: usize, row: &Row) -> (String, Vec<u8>) {
    let mut script = row.script.as_bytes().to_vec();
    if let Some(text) = row.script.strip_suffix("@ARCHIVE@") {
        script = [text.as_bytes(), &Base64::decode_vec(ARCHIVE).expect("base64")].concat();
    }
    (format!("setup-script.{:02}", number + 1), script)
}

/// The rows with their keys, in the order of the table. The last one reboots.
fn values() -> impl Iterator<Item = (String, &'static Row)> {
    ROWS.iter().enumerate().map(|(number, row)| (value(number, row).0, row))
}

#[test]
fn s1_s2_s5_real_scripts_end_as_the_table_says_on_debian_12() {
    real_scripts(Suite::Bookworm);
}

#[test]
fn s1_s2_s5_real_scripts_end_as_the_table_says_on_debian_13() {
    real_scripts(Suite::Trixie);
}

fn real_scripts(suite: Suite) {
    let kit = Kit::new(suite);
    World::builder().run(|world| {
        for (number, row) in ROWS.iter().enumerate() {
            let (key, script) = value(number, row);
            world.standin().set_user_data(&key, script);
        }
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        disk.chroot(REPOSITORY).ok("a repository");
        disk.chroot(
            "mkdir -p /var/log/journal; printf '[setup]\\nnetwork-wait = \"2s\"\\n' >/etc/scw-agent.toml",
        )
        .ok("prepared");
        let mut machine = Machine::power_on(world, &disk);
        let last = format!("setup-script.{:02}", ROWS.len());
        machine.until("the last one runs", &format!("scw-agent setup list | grep '^{last} .*running'"));
        check_first_boot(&machine, suite, &last);

        machine.sh("touch /run/go");
        machine.reboots();
        machine.until("the scripts are done", "[ -e /run/scw-agent-setup/summary.json ]");
        check_second_boot(&machine, suite);
        machine.power_off();
    });
}

/// Compares records, journal and effects with the table, while the last script still runs.
fn check_first_boot(machine: &Machine, suite: Suite, last: &str) {
    let listed = machine.ok("scw-agent setup list");
    let status = machine.sh("scw-agent status").out;
    assert!(status.contains(&format!("{last}: running since")), "{status}");
    machine.ok("journalctl --sync");
    let mut wrong = String::new();
    for (key, row) in values().filter(|(key, _)| *key != last) {
        let Row { what, outcome, logged, check, .. } = row;
        let record = listed.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or_default();
        let journal = machine
            .ok(&format!("journalctl --no-pager --output=cat SCW_SCRIPT={key} | grep -v ': line ' || true"));
        if !record.contains(outcome) {
            writeln!(wrong, "{key} {what}: {record}\n{journal}").expect("text");
        }
        let is_logged = machine.sh(&format!(
            "journalctl --no-pager --output=cat SCW_SCRIPT={key} | grep -F '{key}: ' | grep -qF '{logged}'"
        ));
        if !is_logged.is_ok() || !journal.contains(outcome) {
            writeln!(wrong, "{key} {what}: the journal has {journal}").expect("text");
        }
        let checked = machine.sh(check);
        if !checked.is_ok() {
            writeln!(wrong, "{key} {what}: `{check}` failed: {} {}", checked.out, checked.err).expect("text");
        }
    }
    assert_eq!(wrong, "", "{suite:?}");
}

/// Compares the status and the number of starts with the table, after the reboot.
fn check_second_boot(machine: &Machine, suite: Suite) {
    let status = machine.sh("scw-agent status");
    assert!(!status.is_ok(), "{suite:?}");
    for (key, row) in values() {
        // A script that could not be started is tried again; the user of this one exists now.
        let outcome = if row.outcome.contains("user database") { "exit code 0" } else { row.outcome };
        assert!(
            status.out.lines().any(|line| line.contains(&format!("{key}: ")) && line.contains(outcome)),
            "{key}: {}",
            status.out
        );
        let starts = machine.ok(&format!(
            "journalctl --no-pager --output=cat SCW_SCRIPT={key} | grep -c '{key}: started' || true"
        ));
        if row.outcome.starts_with("not run") {
            continue;
        }
        let expected = if row.script.contains("retries=2") { "3" } else { "1" };
        assert_eq!(starts, expected, "{suite:?}: {key} {}", row.what);
    }
    machine.until("the unit failed", "systemctl is-failed scw-agent-setup.service");
    assert_eq!(machine.ok("systemctl show --property=ExecMainStatus --value scw-agent-setup.service"), "1");
}

#[test]
fn real_scripts_end_as_the_table_says_with_cloud_init() {
    let kit = Kit::new(Suite::TrixieCloudInit);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.chroot(REPOSITORY).ok("a repository");
        std::fs::create_dir_all(disk.path("/var/lib/cloud/seed/nocloud")).expect("made");
        let meta = "instance-id: daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86\nlocal-hostname: scw-example\n";
        for (name, text) in [("meta-data", meta), ("user-data", &multipart())] {
            std::fs::write(disk.path("/var/lib/cloud/seed/nocloud").join(name), text).expect("written");
        }
        let machine = Machine::power_on(world, &disk);
        let scripts = "/var/lib/cloud/instance/scripts";
        machine.until(
            "all have ended",
            "cloud-init status --wait >/dev/null || true; ! cloud-init status | grep -q running",
        );
        let log = machine.ok("cat /var/log/cloud-init.log");
        let mut wrong = String::new();
        for (number, row) in ROWS.iter().enumerate() {
            let name = format!("{:02}", number + 1);
            let failed = log.split_once(&format!("Command: ['{scripts}/{name}']\nExit code: "));
            let seen = match failed.and_then(|(_, rest)| rest.lines().next()) {
                _ if matches!(row.cloud_init, CloudInit::NotTried(_)) => row.cloud_init,
                Some(code) => code.parse().map_or(CloudInit::NoProgram, CloudInit::Exit),
                None if log.contains(&format!("Running command ['{scripts}/{name}']")) => CloudInit::Exit(0),
                None => CloudInit::Ignored,
            };
            if seen != row.cloud_init {
                writeln!(wrong, "{name} {}: {seen:?} instead of {:?}", row.what, row.cloud_init)
                    .expect("text");
            }
        }
        assert_eq!(wrong, "");
    });
}

/// All scripts that cloud-init runs, as one value.
fn multipart() -> String {
    let mut text = "Content-Type: multipart/mixed; boundary=\"=next=\"\nMIME-Version: 1.0\n\n".to_owned();
    for (number, row) in
        ROWS.iter().enumerate().filter(|(_, row)| !matches!(row.cloud_init, CloudInit::NotTried(_)))
    {
        let script = Base64::encode_string(&value(number, row).1);
        let name = number + 1;
        write!(text, "--=next=\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"{name:02}\"\n\n{script}\n\n").expect("text");
    }
    text + "--=next=--\n"
}
