//! Units of the agent and of cloud-init that are not in the expected state, so that the status does not hide them.
//!
//! Commands that a person runs ask systemd; the daemon does not.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;
use serde::Serialize;

use crate::system::systemctl::{self, property};
use crate::util::program;

/// If enabled, these units run from the boot or from the installation on.
const FROM_INSTALLATION: [&str; 2] = [DAEMON, "scw-agent-hostkeys-settle.path"];
const DAEMON: &str = "scw-agent.service";
/// If enabled, these units run from the boot on. An installation does not start them, because it runs no script (invariant S4) and sets no
/// hostname and no key.
const FROM_BOOT: [&str; 4] = [SETUP_PATH, SHUTDOWN, "scw-agent-hostname.path", "scw-agent-ssh-keys.path"];
/// The other units of the package.
const OTHERS: [&str; 6] = [
    "scw-agent-hostkeys.service",
    "scw-agent-hostkeys-settle.service",
    "scw-agent-hostname.service",
    "scw-agent-ssh-keys.service",
    SETUP,
    r"run-scw\x2dagent\x2dsetup-scripts.mount",
];
const SETUP_PATH: &str = "scw-agent-setup.path";
const SETUP: &str = "scw-agent-setup.service";
const SHUTDOWN: &str = "scw-agent-shutdown.service";
/// The units of cloud-init, of all its versions.
const CLOUD_INIT: [&str; 6] = [
    "cloud-init-local.service",
    "cloud-init-main.service",
    "cloud-init-network.service",
    "cloud-init.service",
    "cloud-config.service",
    CLOUD_FINAL,
];
/// The last unit of cloud-init, in all its versions. The owner's script runs while this unit is starting.
const CLOUD_FINAL: &str = "cloud-final.service";
const PROPERTIES: &str = "--property=Id,ActiveState,SubState,Result,UnitFileState,\
                          ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,Job";

/// What systemd reports about the units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The units that are not in the expected state.
    pub problems: Vec<UnitProblem>,
    /// Whether the unit that starts the setup runner is disabled or masked.
    pub setup_path_is_disabled: bool,
    /// Whether cloud-init's last unit is starting or will start. `None` if systemd was not asked.
    pub cloud_init_will_finish: Option<bool>,
}

/// A unit that is not in the expected state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitProblem {
    /// The name of the unit.
    pub unit: String,
    /// The problem, as a text that follows the name, such as `failed: exit-code` with systemd's `Result`.
    pub what: String,
}

impl UnitProblem {
    /// Whether it is the unit that runs the scripts of a boot.
    pub fn is_setup_unit(&self) -> bool {
        self.unit == SETUP
    }

    /// Whether it is a unit of cloud-init.
    pub fn is_cloud_init_unit(&self) -> bool {
        CLOUD_INIT.contains(&&*self.unit)
    }
}

/// systemd listens on this socket if it is PID 1.
const SOCKET: &str = "/run/systemd/private";

/// Asks systemd, with this timeout. There are no problems if systemd is not PID 1.
///
/// # Errors
/// If `systemctl` cannot be run, fails, or does not answer in time.
pub(crate) fn query(timeout: Duration) -> io::Result<Units> {
    if !Path::new(SOCKET).exists() {
        return Ok(Units::default());
    }
    match show(timeout.min(systemctl::ANSWER_TIMEOUT)) {
        // Without a message bus, systemd answers root only.
        Err(_) if !Uid::effective().is_root() => Ok(Units::default()),
        shown => parse(&shown?),
    }
}

/// The output of `systemctl show` for all units.
fn show(timeout: Duration) -> io::Result<String> {
    let mut arguments = vec!["show", PROPERTIES];
    arguments.extend(all());
    let output = program::start("systemctl", program::words(&arguments), b"", timeout)?.finish()?;
    if !output.status.success() {
        return Err(io::Error::other(output.messages));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// All units, the daemon first.
fn all() -> impl Iterator<Item = &'static str> {
    FROM_INSTALLATION.into_iter().chain(FROM_BOOT).chain(OTHERS).chain(CLOUD_INIT)
}

/// Parses the output of `systemctl show`.
fn parse(shown: &str) -> io::Result<Units> {
    let mut units = Units::default();
    let mut daemon_since = 0;
    for unit in all() {
        let has_id = |shown: &&str| property(shown, "Id") == unit;
        let Some(shown) = shown.split("\n\n").find(has_id) else {
            return Err(io::Error::other(format!("systemctl does not report {unit}")));
        };
        if unit == DAEMON {
            daemon_since = timestamp(shown, "ActiveEnterTimestampMonotonic");
        }
        let what = problem(unit, shown, daemon_since);
        units.problems.extend(what.map(|what| UnitProblem { unit: unit.to_owned(), what }));
        let state = property(shown, "ActiveState");
        let file = property(shown, "UnitFileState");
        units.setup_path_is_disabled |= unit == SETUP_PATH
            && state == "inactive"
            && ["disabled", "masked", "masked-runtime"].contains(&file);
        if unit == CLOUD_FINAL {
            let has_job = !matches!(property(shown, "Job"), "" | "0");
            units.cloud_init_will_finish = Some(has_job || state == "activating");
        }
    }
    Ok(units)
}

/// A timestamp in microseconds since the boot; 0 if the event did not happen.
fn timestamp(shown: &str, name: &str) -> u64 {
    property(shown, name).parse().unwrap_or_default()
}

/// The problem of the unit with these properties.
///
/// If a unit of [`FROM_BOOT`] was stopped before the daemon started, a removal of the package stopped it. An installation does not
/// start it again, so this is not a problem.
fn problem(unit: &str, shown: &str, daemon_since: u64) -> Option<String> {
    let was_stopped = timestamp(shown, "InactiveEnterTimestampMonotonic") > daemon_since;
    let should_run = FROM_INSTALLATION.contains(&unit) || FROM_BOOT.contains(&unit) && was_stopped;
    match property(shown, "ActiveState") {
        "failed" => Some(format!("failed: {}", property(shown, "Result"))),
        // The service failed, and systemd will start it again.
        "activating" if property(shown, "SubState") == "auto-restart" => {
            Some(format!("ended and is being restarted: {}", property(shown, "Result")))
        }
        "inactive" if should_run && property(shown, "UnitFileState") == "enabled" => {
            Some("is enabled but does not run".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_units_by_their_properties() {
        let not_running = Some("is enabled but does not run");
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
                Some("ended and is being restarted: timeout"),
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
    fn systemd_must_report_every_unit() {
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
        for (path, last, setup_path_is_disabled, goes_on) in [
            ("enabled", "ActiveState=inactive\nJob=0", false, false),
            ("disabled", "ActiveState=inactive\nJob=17", true, true),
            ("masked", "ActiveState=activating", true, true),
            ("enabled", "ActiveState=active\nJob=", false, false),
        ] {
            let units = parse(&shown(path, last)).expect("all units");
            let flags = (units.setup_path_is_disabled, units.cloud_init_will_finish);
            assert_eq!(
                (flags, units.problems),
                ((setup_path_is_disabled, Some(goes_on)), vec![]),
                "{path} {last}"
            );
        }
        assert!(parse("").is_err());
        assert!(parse("Running in chroot, ignoring command 'show'").is_err());
    }
}
