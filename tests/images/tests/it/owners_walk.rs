//! Five ways in which a script fails, from its owner's view. docs/guide/failed-scripts.md shows the output of this test, which boots an image
//! of Debian 13.

use std::fmt::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scw_images::{Disk, Kit, Machine, Suite};
use scw_stage::World;

use crate::common::{LONG, published, write_output};

/// One way to fail.
struct Way {
    title: &'static str,
    /// How the owner set the value, and what the reader must know about it.
    set: &'static str,
    key: &'static str,
    /// A shell script that prints the value as the metadata service stores it.
    value: &'static str,
    /// A part of the line in the status that shows the failure.
    sees: &'static str,
}

const WAYS: [Way; 5] = [
    Way {
        title: "A command in it fails",
        set: "```console\n$ cat setup.sh\n#!/bin/sh -e\necho \"setting up\"\nls /srv/data\n$ scw instance user-data set server-id=$ID key=setup-script content=@setup.sh\n```\n",
        key: "setup-script",
        value: "printf '#!/bin/sh -e\\necho \"setting up\"\\nls /srv/data\\n'",
        sees: "setup-script: exit code 2",
    },
    Way {
        title: "It never ends",
        set: "```hcl\nresource \"scaleway_instance_server\" \"web\" {\n  # …\n  user_data = {\n    setup-script = <<-EOT\n      #!/bin/sh\n      # scw-setup: timeout=2s\n      echo \"waiting for the database\"\n      until [ -e /run/database ]; do sleep 1; done\n    EOT\n  }\n}\n```\n",
        key: "setup-script",
        value: "printf '#!/bin/sh\\n# scw-setup: timeout=2s\\necho \"waiting for the database\"\\nuntil [ -e /run/database ]; do sleep 1; done\\n'",
        sees: "setup-script: timed out",
    },
    Way {
        title: "It was written on Windows",
        set: "```console\n$ file setup.sh\nsetup.sh: POSIX shell script, ASCII text executable, with CRLF line terminators\n$ scw instance user-data set server-id=$ID key=setup-script content=@setup.sh\n```\n",
        key: "setup-script",
        value: "printf '#!/bin/sh\\r\\necho hello\\r\\n'",
        sees: "setup-script: not run: the script has Windows line ends",
    },
    Way {
        title: "Terraform packed it",
        set: "`cloudinit_config` packs with gzip and base64 unless it is told otherwise (`gzip = false`, `base64_encode = false`):\n\n```hcl\ndata \"cloudinit_config\" \"web\" {\n  part {\n    content_type = \"text/x-shellscript\"\n    content      = file(\"setup.sh\")\n  }\n}\n\nresource \"scaleway_instance_server\" \"web\" {\n  # …\n  user_data = { cloud-init = data.cloudinit_config.web.rendered }\n}\n```\n",
        key: "cloud-init",
        value: "printf 'Content-Type: multipart/mixed; boundary=\"MIMEBOUNDARY\"\\nMIME-Version: 1.0\\r\\n\\r\\n--MIMEBOUNDARY\\r\\nContent-Transfer-Encoding: 7bit\\r\\nContent-Type: text/x-shellscript\\r\\nMime-Version: 1.0\\r\\n\\r\\n#!/bin/sh\\necho hello\\n\\r\\n--MIMEBOUNDARY--\\r\\n' | gzip | base64 -w 0",
        sees: "cloud-init: not run:",
    },
    Way {
        title: "Its key is not quite right",
        set: "```hcl\n  user_data = { setup_script = file(\"setup.sh\") }\n```\n\nNothing failed, so nothing ends with an error; the key may be meant for something else.\n",
        key: "setup_script",
        value: "printf '#!/bin/sh\\necho hello\\n'",
        sees: "did you mean `setup-script`?",
    },
];

#[test]
fn owners_walk_is_what_the_guide_shows() {
    let kit = Kit::new(Suite::Trixie);
    World::builder().run(|world| {
        let disk = Disk::new(world, &kit);
        disk.install(kit.deb());
        let mut machine = Machine::boot_with_console(world, &disk);
        published(world, &machine);
        let mut guide = String::new();
        for (number, way) in (1..).zip(&WAYS) {
            world.standin().set_user_data(way.key, machine.ok(way.value).into_bytes());
            if number == 3 {
                // `ok` removes the last line end.
                world.standin().set_user_data(way.key, &b"#!/bin/sh\r\necho hello\r\n"[..]);
            }
            machine.reboot();
            machine.until("the status shows it", &format!("scw-agent status | grep -F '{}'", way.sees));
            published(world, &machine);
            if way.key != "setup_script" {
                machine.until(
                    "it is in the journal",
                    "journalctl --boot --identifier=scw-agent-setup | grep 'scripts run;'",
                );
                let deadline = Instant::now() + LONG;
                let is_end = |line: &String| line.contains(" after ") || line.contains("not run:");
                while !machine.console().iter().any(is_end) && Instant::now() < deadline {
                    sleep(Duration::from_millis(50));
                }
            }
            writeln!(guide, "\n## {number}. {}\n\n{}", way.title, way.set).expect("text");
            show(&mut guide, &machine, way);
            world.standin().delete_user_data(way.key);
        }
        write_output("docs/guide/failed-scripts.md", "owners_walk_is_what_the_guide_shows", &guide);
    });
}

fn show(guide: &mut String, machine: &Machine, way: &Way) {
    let prefix = format!("scw-agent: {}", way.key);
    // A login prompt may precede the line.
    let line = |line: String| Some(format!("{}\n", line.trim_end().get(line.find(&prefix)?..)?));
    let console: String = machine.console().into_iter().filter_map(line).collect();
    if !console.is_empty() {
        writeln!(guide, "On the serial console, from outside:\n\n```text\n{console}```\n").expect("text");
    }
    let mut command = |line: &str| {
        // The test itself has just asked for the status, and the daemon checks the published value once in five seconds.
        let deadline = Instant::now() + LONG;
        let ran = loop {
            let ran = machine.sh(&format!("exec 2>&1; {line}"));
            let is_checked = line != "scw-agent status" || ran.out.contains("✓ fingerprints");
            if is_checked || Instant::now() > deadline {
                break ran;
            }
            sleep(Duration::from_secs(1));
        };
        let code = ran.code.map_or_else(|| "?".to_owned(), |code| code.to_string());
        let shown: String = ran
            .out
            .lines()
            .filter(|line| !line.contains("host key "))
            .map(|line| format!("{line}\n"))
            .collect();
        writeln!(guide, "```console\n# {line}\n{shown}```\n\nExit status {code}.\n").expect("text");
    };
    command("scw-agent status");
    command("scw-agent status --wait >/dev/null");
    if way.key == "setup-script" && !way.sees.contains("not run") {
        command("scw-agent setup show setup-script");
    }
    command(
        "journalctl --boot --output=cat --identifier=scw-agent-setup --identifier=scw-agent --grep 'script|user data|cloud-init'",
    );
}
