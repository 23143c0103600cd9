//! Which units of the agent and of cloud-init are not as they should be, so that no status says that all is well beside them.
//!
//! A person's command asks systemd; the daemon does not.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;
use serde::Serialize;

use crate::system::systemctl;
use crate::system::systemctl::property;
use crate::util::program;

/// These run from the boot or the installation on, where they are enabled.
const LASTING: [&str; 2] = [DAEMON, "scw-agent-hostkeys-settle.path"];
const DAEMON: &str = "scw-agent.service";
/// These run from the boot on, and an installation does not start them: it runs no script (invariant S4).
const FROM_BOOT: [&str; 2] = [SETUP_PATH, SHUTDOWN];
/// The other units of the package.
const OTHERS: [&str; 4] = [
    "scw-agent-hostkeys.service",
    "scw-agent-hostkeys-settle.service",
    SETUP,
    r"run-scw\x2dagent\x2dsetup-scripts.mount",
];
const SETUP_PATH: &str = "scw-agent-setup.path";
const SETUP: &str = "scw-agent-setup.service";
const SHUTDOWN: &str = "scw-agent-shutdown.service";
/// cloud-init's, of all its versions.
const CLOUD_INIT: [&str; 6] = [
    "cloud-init-local.service",
    "cloud-init-main.service",
    "cloud-init-network.service",
    "cloud-init.service",
    "cloud-config.service",
    CLOUD_FINAL,
];
/// The last one, of all versions: the owner's script runs before it has started.
const CLOUD_FINAL: &str = "cloud-final.service";
const PROPERTIES: &str = "--property=Id,ActiveState,SubState,Result,UnitFileState,\
                          ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,Job";

/// What systemd says of the units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Those that are not as they should be.
    pub problems: Vec<UnitProblem>,
    /// Whether the unit that starts the runner of scripts is disabled or masked.
    pub starts_no_script: bool,
    /// Whether cloud-init's last unit is being started, or will be. `None` where systemd cannot be asked.
    pub cloud_init_goes_on: Option<bool>,
}

/// A unit that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitProblem {
    /// Its name.
    pub unit: String,
    /// What is wrong with it, behind its name: `failed: exit-code`, with systemd's word for what happened.
    pub what: String,
}

impl UnitProblem {
    /// Whether it is the unit that runs the scripts of a boot.
    pub fn runs_scripts(&self) -> bool {
        self.unit == SETUP
    }

    /// Whether it is one of cloud-init's.
    pub fn is_cloud_inits(&self) -> bool {
        CLOUD_INIT.contains(&&*self.unit)
    }
}

/// systemd listens here wherever it is PID 1.
const SOCKET: &str = "/run/systemd/private";

/// Asks systemd, within this time at most; nothing is wrong where it is not PID 1.
///
/// # Errors
/// When it cannot be asked, or does not answer in time.
pub(crate) fn look(within: Duration) -> io::Result<Units> {
    if !Path::new(SOCKET).exists() {
        return Ok(Units::default());
    }
    match ask(within.min(systemctl::PATIENCE)) {
        // systemd answers root without a message bus, and nobody else.
        Err(_) if !Uid::effective().is_root() => Ok(Units::default()),
        shown => units(&shown?),
    }
}

fn ask(within: Duration) -> io::Result<String> {
    let mut words = vec!["show", PROPERTIES];
    words.extend(all());
    let output = program::start("systemctl", program::words(&words), b"", within)?.finish()?;
    if !output.status.success() {
        return Err(io::Error::other(output.messages));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn all() -> impl Iterator<Item = &'static str> {
    LASTING.into_iter().chain(FROM_BOOT).chain(OTHERS).chain(CLOUD_INIT)
}

fn units(shown: &str) -> io::Result<Units> {
    let mut units = Units::default();
    let mut daemon_since = 0;
    for wanted in all() {
        let is_it = |shown: &&str| property(shown, "Id") == wanted;
        let Some(shown) = shown.split("\n\n").find(is_it) else {
            return Err(io::Error::other(format!("systemctl says nothing of {wanted}")));
        };
        if wanted == DAEMON {
            daemon_since = time(shown, "ActiveEnterTimestampMonotonic");
        }
        let what = problem(wanted, shown, daemon_since);
        units.problems.extend(what.map(|what| UnitProblem { unit: wanted.to_owned(), what }));
        let state = property(shown, "ActiveState");
        let file = property(shown, "UnitFileState");
        units.starts_no_script |= wanted == SETUP_PATH
            && state == "inactive"
            && ["disabled", "masked", "masked-runtime"].contains(&file);
        if wanted == CLOUD_FINAL {
            let has_job = !matches!(property(shown, "Job"), "" | "0");
            units.cloud_init_goes_on = Some(has_job || state == "activating");
        }
    }
    Ok(units)
}

/// Microseconds since the boot; 0 for what did not happen.
fn time(shown: &str, name: &str) -> u64 {
    property(shown, name).parse().unwrap_or_default()
}

/// What is wrong with the unit of these properties. What was stopped before the daemon was started, a removal of the package stopped: an
/// installation does not start it again.
fn problem(unit: &str, shown: &str, daemon_since: u64) -> Option<String> {
    let was_stopped = time(shown, "InactiveEnterTimestampMonotonic") > daemon_since;
    let should_run = LASTING.contains(&unit) || FROM_BOOT.contains(&unit) && was_stopped;
    match property(shown, "ActiveState") {
        "failed" => Some(format!("failed: {}", property(shown, "Result"))),
        // Between two starts of a service that fails again and again.
        "activating" if property(shown, "SubState") == "auto-restart" => {
            Some(format!("ended and is started again: {}", property(shown, "Result")))
        }
        "inactive" if should_run && property(shown, "UnitFileState") == "enabled" => {
            Some("is enabled and does not run".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_are_not_as_they_should_be() {
        let not_running = Some("is enabled and does not run");
        for (unit, state, file, stopped, what) in [
            ("scw-agent.service", "active", "enabled", "0", None),
            ("scw-agent.service", "inactive", "enabled", "0", not_running),
            ("scw-agent.service", "inactive", "disabled", "5", None),
            ("scw-agent.service", "activating\nSubState=start", "enabled", "5", None),
            (
                "scw-agent.service",
                "activating\nSubState=auto-restart",
                "enabled",
                "5",
                Some("ended and is started again: timeout"),
            ),
            ("scw-agent-hostkeys-settle.path", "inactive", "enabled", "0", not_running),
            (SETUP_PATH, "inactive", "enabled", "0", None),
            (SETUP_PATH, "inactive", "enabled", "3", None),
            (SETUP_PATH, "inactive", "enabled", "5", not_running),
            (SHUTDOWN, "inactive", "enabled", "0", None),
            (SHUTDOWN, "inactive", "enabled", "5", not_running),
            (SETUP, "inactive", "static", "5", None),
            ("scw-agent-hostkeys.service", "failed", "enabled", "5", Some("failed: timeout")),
            (CLOUD_FINAL, "failed", "enabled", "5", Some("failed: timeout")),
            (CLOUD_FINAL, "inactive", "enabled", "0", None),
        ] {
            let shown = format!(
                "Result=timeout\nUnitFileState={file}\nInactiveEnterTimestampMonotonic={stopped}\nActiveState={state}"
            );
            assert_eq!(problem(unit, &shown, 4).as_deref(), what, "{unit}: {shown}");
        }
    }

    #[test]
    fn what_systemd_must_say_of_every_unit() {
        let shown = |path: &str, last: &str| {
            all()
                .map(|unit| match unit {
                    SETUP_PATH => format!("Id={unit}\nActiveState=inactive\nUnitFileState={path}"),
                    CLOUD_FINAL => format!("Id={unit}\n{last}"),
                    _ => format!("Id={unit}\nActiveState=active"),
                })
                .collect::<Vec<_>>()
                .join("\n\n")
        };
        for (path, last, starts_no_script, goes_on) in [
            ("enabled", "ActiveState=inactive\nJob=0", false, false),
            ("disabled", "ActiveState=inactive\nJob=17", true, true),
            ("masked", "ActiveState=activating", true, true),
            ("enabled", "ActiveState=active\nJob=", false, false),
        ] {
            let units = units(&shown(path, last)).expect("all units");
            let found = (units.starts_no_script, units.cloud_init_goes_on);
            assert_eq!((found, units.problems), ((starts_no_script, Some(goes_on)), vec![]), "{path} {last}");
        }
        assert!(units("").is_err());
        assert!(units("Running in chroot, ignoring command 'show'").is_err());
    }
}
