//! The table of wrong states.

use scw_standin::Fault;

use super::{Make, Row};

/// Makes a unit fail. Its command deletes the requests, which otherwise would start the unit again at once.
macro_rules! failing {
    ($unit:literal, $start:literal) => {
        Make::Shell(
            concat!(
                "mkdir -p /run/systemd/system/", $unit, ".d; ",
                "printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"rm -f /run/scw-agent-requests/*/*; false\"\\n' >/run/systemd/system/", $unit, ".d/x.conf; ",
                "systemctl daemon-reload; systemctl ", $start, " ", $unit, " || true"
            ),
            concat!(
                "rm -r /run/systemd/system/", $unit, ".d; systemctl daemon-reload; systemctl reset-failed; ",
                "systemctl start ", $unit, "; rm -f /run/scw-agent-setup/summary.json; ",
                "systemctl start scw-agent-hostkeys-settle.path scw-agent-setup.path; systemctl restart scw-agent.service"
            ),
        )
    };
}

fn script(what: &'static str, key: &'static str, value: &'static str, shows: &'static str) -> Row {
    Row { what, make: Make::Script(key, value), shows, codes: [1; 4], journal: shows }
}

fn shell(
    what: &'static str,
    make: &'static str,
    undo: &'static str,
    shows: &'static str,
    codes: [i32; 4],
    journal: &'static str,
) -> Row {
    Row { what, make: Make::Shell(make, undo), shows, codes, journal }
}

fn answer(
    what: &'static str,
    fault: Fault,
    path: Option<&'static str>,
    method: Option<&'static str>,
    shows: &'static str,
    codes: [i32; 4],
) -> Row {
    Row { what, make: Make::Answer(fault, path, method), shows, codes, journal: shows }
}

pub(super) fn rows() -> Vec<Row> {
    [script_rows(), host_key_rows(), unit_rows(), daemon_rows(), service_rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// Scripts and their records.
fn script_rows() -> Vec<Row> {
    let key = "setup-script";
    vec![
        script("a script that fails", key, "#!/bin/sh\nexit 3\n", "setup-script: exit code 3"),
        script("a script that is killed", key, "#!/bin/sh\nkill -9 $$\n", "setup-script: killed by SIGKILL"),
        script(
            "a script that takes too long",
            key,
            "#!/bin/sh\n# scw-setup: timeout=1s\nsleep 1000\n",
            "timed out",
        ),
        script(
            "a startup script that fails",
            "startup-script",
            "#!/bin/sh\nexit 4\n",
            "startup-script: exit code 4",
        ),
        script("an interpreter that is not there", key, "#!/usr/bin/none\n", "is not on this machine"),
        script("Windows line ends", key, "#!/bin/sh\r\necho\r\n", "Windows line ends"),
        script("a script without `#!`", key, "echo hello\n", "does not start with `#!`"),
        script("an empty script", key, "", "the script is empty"),
        script(
            "a setting that is not known",
            key,
            "#!/bin/sh\n# scw-setup: timeuot=1s\n",
            "did you mean `timeout`?",
        ),
        script(
            "a script's user that is not there",
            key,
            "#!/bin/sh\n# scw-setup: user=nobody-here\n",
            "the user of `user=` does not exist",
        ),
        shell(
            "no room for the records of scripts",
            "mount -t tmpfs -o size=4k,nr_inodes=2,mode=700 tmpfs /var/lib/scw-agent; systemctl start scw-agent-setup.service || true; sleep 0.1",
            "umount /var/lib/scw-agent; systemctl reset-failed; systemctl restart scw-agent.service",
            "scw-agent-setup.service failed: exit-code",
            [1; 4],
            "No space left on device",
        ),
    ]
}

/// Host keys and sshd's configuration.
fn host_key_rows() -> Vec<Row> {
    vec![
        shell(
            "a host key with a passphrase",
            "cp -a /etc/ssh /root/ssh; ssh-keygen -q -p -N secret -f /etc/ssh/ssh_host_ed25519_key",
            "cp -a /root/ssh/. /etc/ssh/; rm -r /root/ssh",
            "passphrase",
            [1; 4],
            "passphrase",
        ),
        shell(
            "a host key that cannot be made",
            "echo 'HostKey /etc/keys/own' >/etc/ssh/sshd_config.d/x.conf",
            "rm /etc/ssh/sshd_config.d/x.conf",
            "/etc/keys/own",
            [1; 4],
            "/etc/keys/own",
        ),
        shell(
            "a configuration that sshd refuses",
            "echo 'Nonsense yes' >/etc/ssh/sshd_config.d/x.conf",
            "rm /etc/ssh/sshd_config.d/x.conf",
            "scw-agent-hostkeys-settle.service failed: exit-code",
            [1, 1, 5, 1],
            "Nonsense",
        ),
    ]
}

/// The agent's units, apart from the daemon's.
fn unit_rows() -> Vec<Row> {
    vec![
        Row {
            what: "scw-agent-hostkeys.service failed",
            make: failing!("scw-agent-hostkeys.service", "restart"),
            shows: "scw-agent-hostkeys.service failed: exit-code",
            codes: [1; 4],
            journal: "Failed to start scw-agent-hostkeys.service",
        },
        Row {
            what: "scw-agent-hostkeys-settle.service failed",
            make: failing!("scw-agent-hostkeys-settle.service", "restart"),
            shows: "scw-agent-hostkeys-settle.service failed: exit-code",
            codes: [1; 4],
            journal: "Failed to start scw-agent-hostkeys-settle.service",
        },
        Row {
            what: "scw-agent-setup.service failed",
            make: failing!("scw-agent-setup.service", "restart"),
            shows: "scw-agent-setup.service failed: exit-code",
            codes: [1; 4],
            journal: "Failed with result 'exit-code'",
        },
        shell(
            "a path unit that was stopped",
            "systemctl stop scw-agent-hostkeys-settle.path",
            "systemctl start scw-agent-hostkeys-settle.path",
            "scw-agent-hostkeys-settle.path is enabled but does not run",
            [1; 4],
            "Stopped scw-agent-hostkeys-settle.path",
        ),
        shell(
            "the unit of shutdown scripts was stopped",
            "systemctl stop scw-agent-shutdown.service",
            "systemctl start scw-agent-shutdown.service",
            "scw-agent-shutdown.service is enabled but does not run",
            [1; 4],
            "Stopped scw-agent-shutdown.service",
        ),
        shell(
            "a script, and its unit is disabled",
            "systemctl disable --now scw-agent-setup.path 2>/dev/null; scw-userdata setup-script '#!/bin/sh'; \
             rm -f /run/scw-agent-setup/summary.json; systemctl restart scw-agent.service",
            "scw-userdata --delete setup-script; systemctl enable --now scw-agent-setup.path 2>/dev/null; \
             systemctl restart scw-agent.service",
            "scw-agent-setup.path, which starts them, is disabled",
            [1; 4],
            "Stopped scw-agent-setup.path",
        ),
    ]
}

/// The daemon and its configuration.
fn daemon_rows() -> Vec<Row> {
    vec![
        shell(
            "no daemon",
            "systemctl stop scw-agent.service",
            "systemctl start scw-agent.service",
            "does not run",
            [1, 1, 5, 1],
            "Stopped scw-agent.service",
        ),
        shell(
            "a daemon that hangs",
            "systemctl kill --signal=STOP scw-agent.service",
            "systemctl kill --signal=CONT scw-agent.service",
            "does not answer",
            [5, 5, 5, 1],
            "",
        ),
        shell(
            "a configuration file with a fault",
            "mkdir -p /etc/scw-agent.toml.d; echo '[setup]\ntimeuot = \"1m\"' >/etc/scw-agent.toml; systemctl reload scw-agent.service",
            "rm /etc/scw-agent.toml; systemctl reload scw-agent.service",
            "did you mean `timeout`?",
            [1; 4],
            "did you mean `timeout`?",
        ),
    ]
}

/// The metadata service.
fn service_rows() -> Vec<Row> {
    let garbage = || Fault::Body { text: "<html>".to_owned() };
    vec![
        Row {
            what: "no way to the metadata service",
            make: Make::Unreachable,
            shows: "metadata service",
            codes: [1, 1, 5, 5],
            journal: "cannot be reached",
        },
        answer(
            "metadata that are not understood",
            garbage(),
            Some("/conf*"),
            None,
            "answer is malformed",
            [1, 1, 5, 6],
        ),
        answer(
            "a list of user data that is not understood",
            garbage(),
            Some("/user_data?*"),
            None,
            "not valid JSON",
            [1, 1, 5, 6],
        ),
        answer(
            "fingerprints that the service does not take",
            Fault::status(500),
            None,
            Some("PATCH"),
            "could not be published",
            [1, 1, 5, 1],
        ),
        answer(
            "a source port that is refused",
            Fault::status(403),
            Some("/user_data*"),
            None,
            "403",
            [1, 1, 5, 4],
        ),
        answer("a service that answers with 500", Fault::status(500), None, None, "500", [1, 1, 5, 6]),
    ]
}
