//! Scripts as owners write them, and the outcome of each with the agent and with cloud-init.

/// One script.
pub(super) struct Row {
    /// A description for the documentation.
    pub(super) what: &'static str,
    pub(super) script: &'static str,
    /// The outcome that `setup list` shows.
    pub(super) outcome: &'static str,
    /// A part of one of its lines in the journal.
    pub(super) logged: &'static str,
    /// A shell script that must succeed after all scripts have ended.
    pub(super) check: &'static str,
    /// The outcome with cloud-init.
    pub(super) cloud_init: CloudInit,
}

/// The outcome of a script that is a part of cloud-init's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloudInit {
    /// It ran and ended with this code.
    Exit(u32),
    /// Its start failed, since no program could execute it.
    NoProgram,
    /// cloud-init ignored it.
    Ignored,
    /// Not tried: cloud-init has no such setting, or would wait for ever.
    NotTried(&'static str),
}

use CloudInit::{Exit, Ignored, NoProgram, NotTried};

const NO_SETTING: CloudInit = NotTried("has no such setting");

/// In the order in which they run. Some prepare the state that a later one needs.
pub(super) const ROWS: &[Row] = &[
    Row {
        what: "waits for the end of the boot (`systemctl is-system-running --wait`)",
        script: "#!/bin/sh\ntimeout 20 systemctl is-system-running --wait\n[ $? -lt 124 ] && echo booted\n",
        outcome: "exit code 0",
        logged: "booted",
        check: "true",
        cloud_init: Exit(1),
    },
    Row {
        what: "installs a package while apt's daily job is due",
        script: "#!/bin/sh -ex\nsystemctl start --no-block apt-daily.service\napt-get update\napt-get install -y probe\n",
        outcome: "exit code 0",
        logged: "Setting up probe (1) ...",
        check: "dpkg --status probe",
        cloud_init: Exit(0),
    },
    Row {
        what: "starts a service that is ordered after multi-user.target",
        script: "#!/bin/sh -e\nprintf '[Unit]\\nAfter=multi-user.target\\n[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/touch /run/late\\n' >/etc/systemd/system/late.service\nsystemctl daemon-reload\ntimeout 20 systemctl start late.service\necho late\n",
        outcome: "exit code 0",
        logged: "late",
        check: "[ -e /run/late ]",
        cloud_init: Exit(0),
    },
    Row {
        what: "has a binary archive behind its last line, as makeself writes it",
        script: "#!/bin/sh -e\nmkdir -p /opt/unpacked\ntail -n +5 \"$0\" | tar -xz -C /opt/unpacked\nexit 0\n@ARCHIVE@",
        outcome: "exit code 0",
        logged: "",
        check: "grep -qx unpacked /opt/unpacked/word",
        cloud_init: Ignored,
    },
    Row {
        what: "locks itself with flock and starts itself again",
        script: "#!/bin/sh\n[ \"$LOCKED\" = yes ] || exec env LOCKED=yes flock --exclusive --nonblock \"$0\" \"$0\" \"$@\"\necho locked\n",
        outcome: "exit code 0",
        logged: "locked",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "writes its output to a file as well (`exec > >(tee …) 2>&1`)",
        script: "#!/bin/bash\nexec > >(tee /var/log/tee.log) 2>&1\necho to both\n",
        outcome: "exit code 0",
        logged: "to both",
        check: "grep -qx 'to both' /var/log/tee.log",
        cloud_init: Exit(0),
    },
    Row {
        what: "makes a user",
        script: "#!/bin/sh -e\nuseradd --create-home --shell /bin/sh deploy\n",
        outcome: "exit code 0",
        logged: "",
        check: "id deploy",
        cloud_init: Exit(0),
    },
    Row {
        what: "runs as that user (`user=deploy`)",
        script: "#!/bin/sh\n# scw-setup: user=deploy\necho \"as $(id -un) in $HOME\"\n",
        outcome: "exit code 0",
        logged: "as deploy in /home/deploy",
        check: "true",
        cloud_init: NO_SETTING,
    },
    Row {
        what: "becomes that user by `su`",
        script: "#!/bin/sh\nsu - deploy -c 'echo su: $(id -un)'\n",
        outcome: "exit code 0",
        logged: "su: deploy",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "enables lingering for that user, over D-Bus",
        script: "#!/bin/sh -e\nloginctl enable-linger deploy\n",
        outcome: "exit code 0",
        logged: "",
        check: "[ -e /var/lib/systemd/linger/deploy ]",
        cloud_init: Exit(0),
    },
    Row {
        what: "prints 100,000 lines",
        script: "#!/bin/sh\nseq -f 'line %.0f' 100000\n",
        outcome: "exit code 0",
        logged: "line 100000",
        check: "[ $(journalctl --boot --output=cat SCW_SCRIPT=setup-script.11 | grep -c ': line ') = 100000 ]",
        cloud_init: Exit(0),
    },
    Row {
        what: "leaves a process in the background",
        script: "#!/bin/sh\nsleep 5801 &\necho left\n",
        outcome: "exit code 0",
        logged: "left",
        check: "pgrep -x -f 'sleep 5801'",
        cloud_init: Exit(0),
    },
    Row {
        what: "leaves a daemon in a session of its own",
        script: "#!/bin/sh\nsetsid --fork sleep 5802 </dev/null >/dev/null 2>&1\n",
        outcome: "exit code 0",
        logged: "",
        check: "pgrep -x -f 'sleep 5802'",
        cloud_init: Exit(0),
    },
    Row {
        what: "starts a transient unit (`systemd-run`)",
        script: "#!/bin/sh -e\nsystemd-run --unit=transient --quiet sleep 5803\nsystemctl is-active transient.service\n",
        outcome: "exit code 0",
        logged: "active",
        check: "systemctl is-active transient.service",
        cloud_init: Exit(0),
    },
    Row {
        what: "enables and starts a unit of its own (`systemctl enable --now`)",
        script: "#!/bin/sh -e\nprintf '[Service]\\nExecStart=/bin/sleep 5804\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/own.service\ntimeout 20 systemctl enable --now own.service\n",
        outcome: "exit code 0",
        logged: "",
        check: "systemctl is-active own.service && systemctl is-enabled own.service",
        cloud_init: Exit(0),
    },
    Row {
        what: "restarts the journal, and goes on printing",
        script: "#!/bin/sh\necho before\nsystemctl restart systemd-journald.service\necho behind\n",
        outcome: "exit code 0",
        logged: "behind",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "restarts the agent's daemon",
        script: "#!/bin/sh -e\nsystemctl restart scw-agent.service\necho restarted\n",
        outcome: "exit code 0",
        logged: "restarted",
        check: "systemctl is-active scw-agent.service",
        cloud_init: NotTried("the agent was not there"),
    },
    Row {
        what: "mounts a file system that all are to see",
        script: "#!/bin/sh -e\nmkdir -p /mnt/data\nmount -t tmpfs none /mnt/data\n",
        outcome: "exit code 0",
        logged: "",
        check: "mountpoint -q /mnt/data",
        cloud_init: Exit(0),
    },
    Row {
        what: "changes the host name (`hostnamectl`)",
        script: "#!/bin/sh -e\ntimeout 20 hostnamectl set-hostname web-1\n",
        outcome: "exit code 0",
        logged: "",
        check: "[ $(cat /etc/hostname) = web-1 ]",
        cloud_init: Exit(0),
    },
    Row {
        what: "reads its standard input",
        script: "#!/bin/sh\nread -r line || echo nothing to read\n",
        outcome: "exit code 0",
        logged: "nothing to read",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "cleans up behind itself (`trap … EXIT`)",
        script: "#!/bin/bash\nset -euo pipefail\ntrap 'echo cleaned up' EXIT\nfalse\n",
        outcome: "exit code 1",
        logged: "cleaned up",
        check: "true",
        cloud_init: Exit(1),
    },
    Row {
        what: "calls a program that is not there",
        script: "#!/bin/sh -e\nno-such-program\n",
        outcome: "exit code 127",
        logged: "",
        check: "true",
        cloud_init: Exit(127),
    },
    Row {
        what: "is written for another shell, by `env`",
        script: "#!/usr/bin/env -S bash -e\n[[ -n $BASH_VERSION ]] && echo bash\n",
        outcome: "exit code 0",
        logged: "bash",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "is written in Perl",
        script: "#!/usr/bin/perl\nuse strict;\nprint \"perl $0\\n\" if -x $0;\nexit 7;\n",
        outcome: "exit code 7",
        logged: "perl /run/",
        check: "true",
        cloud_init: Exit(7),
    },
    Row {
        what: "needs an interpreter that is not installed",
        script: "#!/usr/bin/ruby\nputs 1\n",
        outcome: "not run: the script's interpreter /usr/bin/ruby is not on this machine",
        logged: "",
        check: "true",
        cloud_init: NoProgram,
    },
    Row {
        what: "has Windows line ends",
        script: "#!/bin/sh\r\necho hello\r\n",
        outcome: "not run: the script has Windows line ends (CRLF)",
        logged: "",
        check: "true",
        cloud_init: Exit(0),
    },
    Row {
        what: "has no `#!`",
        script: "echo hello\n",
        outcome: "not run: the script does not start with `#!`",
        logged: "",
        check: "true",
        cloud_init: NoProgram,
    },
    Row {
        what: "runs past its timeout (`timeout=2s`), with a process in another session",
        script: "#!/bin/sh\n# scw-setup: timeout=2s\nsetsid sleep 5805 &\nsleep 5805\n",
        outcome: "timed out",
        logged: "",
        check: "! pgrep -x -f 'sleep 5805'",
        cloud_init: NotTried("waits for ever, and the boot with it"),
    },
    Row {
        what: "fails at first (`retries=2 retry-delay=1s`)",
        script: "#!/bin/sh\n# scw-setup: retries=2 retry-delay=1s\n[ \"$SCW_SETUP_ATTEMPT\" = 3 ] || exit 9\necho third\n",
        outcome: "exit code 0",
        logged: "third",
        check: "true",
        cloud_init: NO_SETTING,
    },
    Row {
        what: "gets a secret as a variable (`env=`)",
        script: "#!/bin/sh\n# scw-setup: env=TOKEN=hunter2\n[ \"$TOKEN\" = hunter2 ] && echo got it\n",
        outcome: "exit code 0",
        logged: "got it",
        check: "! grep -rl hunter2 /run/scw-agent-setup /var/lib/scw-agent /var/log 2>/dev/null",
        cloud_init: NO_SETTING,
    },
    Row {
        what: "breaks the user database: it does not answer any more",
        script: "#!/bin/sh -e\ncp -p /etc/passwd /root/passwd\nrm /etc/passwd\nmkfifo /etc/passwd\n",
        outcome: "exit code 0",
        logged: "",
        check: "true",
        cloud_init: NotTried("a database that hangs"),
    },
    Row {
        what: "is for a user whom that database does not tell (`user=deploy`)",
        script: "#!/bin/sh\n# scw-setup: user=deploy\necho deployed\n",
        outcome: "not run: the user database does not answer within 30 s",
        logged: "",
        check: "true",
        cloud_init: NO_SETTING,
    },
    Row {
        what: "repairs it",
        script: "#!/bin/sh -e\nrm /etc/passwd\nmv /root/passwd /etc/passwd\nid deploy\n",
        outcome: "exit code 0",
        logged: "(deploy)",
        check: "true",
        cloud_init: NotTried("a database that hangs"),
    },
    Row {
        what: "reboots as its last line",
        script: "#!/bin/sh\n: >/run/began\nuntil [ -e /run/go ]; do sleep 0.1; done\nreboot\n",
        outcome: "exit code 0",
        logged: "",
        check: "true",
        cloud_init: NotTried("the boot was looked at to its end"),
    },
];
