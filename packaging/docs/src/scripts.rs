//! The text of the manual about scripts in user data: keys, header settings, environment, and cloud-init. A test compares the names with
//! those that the agent accepts and sets.

use crate::man::Rows;

pub(crate) const KEYS: Rows<'_> = &[
    (
        "setup-script, setup-script.NAME",
        "A script, run once for this Instance, and again at the next boot when its content has changed; see on-change in scw-agent.toml(5).",
    ),
    ("startup-script, startup-script.NAME", "A script, run at every boot."),
    ("shutdown-script, shutdown-script.NAME", "A script, run when the machine goes down."),
    (
        "cloud-init",
        "The value of cloud-init. Where cloud-init is not active, the agent runs the scripts in it.",
    ),
    (
        "ssh-host-fingerprints",
        "The fingerprints of the host keys. The agent writes this key, and no other unless outcome-key in scw-agent.toml(5) names one.",
    ),
];

pub(crate) const ABOUT: &[&str] = &[
    "A script begins with #! and its interpreter. Scripts run one after the other, in the byte order of their keys. One that fails does not stop the others, but scw-agent-setup.service fails, and the status names the script. Standard input is empty, the working directory is /, and output goes to the journal.",
    "A script has its settings in the comments at its beginning, on lines such as",
];

pub(crate) const EXAMPLE: &[&str] = &[
    "#!/bin/sh",
    "# scw-setup: timeout=10m retries=2 retry-delay=30s",
    "# scw-setup: user=deploy env=COLOUR=blue",
];

pub(crate) const WRONG: &str = "An unknown or wrong setting is an error, and the script is not run. The error has the number of the line and of the word behind `scw-setup:`, and never quotes the word.";

pub(crate) const SETTINGS: Rows<'_> = &[
    (
        "timeout=TIME",
        "How long one attempt may take, such as 90s, 10m, 1h30m or 2d. Then the script and all that it started get SIGTERM, and SIGKILL ten seconds later. Default: timeout in section [setup] of scw-agent.toml(5); at shutdown shutdown-timeout.",
    ),
    (
        "retries=NUMBER",
        "How many times a failed script is started again in the same boot, at most 10. A timeout is a failure. Default: 0",
    ),
    ("retry-delay=TIME", "The pause before each retry. Default: 10s"),
    (
        "user=NAME",
        "The user that it runs as, with that user's groups and home. It must exist when the script starts. Default: root",
    ),
    ("when=once", "Run once for this Instance, even if its content changes."),
    ("when=change", "Run once for this Instance and this content. The default of setup scripts."),
    ("when=boot", "Run once in every boot. The default of startup scripts."),
    (
        "delete-after-success",
        "Delete the user data key once the script succeeded. A value that was set while it ran stays.",
    ),
    (
        "env=NAME=VALUE",
        "Set a variable of its environment. The value has no blanks, and quotes are a part of it. May be given several times.",
    ),
];

pub(crate) const VARIABLES: Rows<'_> = &[
    ("SCW_INSTANCE_ID", "The id of the Instance."),
    ("SCW_ZONE", "Its zone; empty where the metadata service does not name it."),
    ("SCW_HOSTNAME", "Its host name; empty where the metadata service does not name it."),
    ("SCW_SCRIPT", "The user data key of the script."),
    ("SCW_SETUP_ATTEMPT", "The number of the attempt: 1, and more after a failure, a crash or a reboot."),
    ("SCW_SETUP_RUN", "A random identifier of this attempt."),
    (
        "APT_CONFIG",
        "/usr/share/scw-agent/apt.conf, so that apt waits for dpkg's locks. Only where there is apt.",
    ),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LANG", "C.UTF-8"),
    ("HOME, USER, LOGNAME, SHELL", "As the user database has them for the user that it runs as."),
];

pub(crate) const CLOUD_INIT: &[&str] = &[
    "Where cloud-init is active, the agent never reads the key cloud-init: what is there is cloud-init's. Scripts under the agent's own keys run beside it.",
    "Where cloud-init is not installed or is disabled, the scripts in that value run as setup scripts: a script with #!, or the scripts of a MIME multipart message, packed with gzip or not. A part of the type text/x-shellscript-per-boot runs at every boot. What needs cloud-init itself, such as #cloud-config or #include, is not run; the status names it, and that is no failure.",
];
