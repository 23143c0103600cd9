//! Queries to systemd with `systemctl`. Each has a timeout, so that a manager that hangs blocks neither a script nor a person.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::util::files;

/// The timeout of one query.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The unit that runs the scripts of a boot.
const SETUP_UNIT: &str = "scw-agent-setup.service";
/// This folder exists if systemd is PID 1 (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// The properties of units, as lines `NAME=VALUE`, with an empty line between two units.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] if systemd is not PID 1. Another error if `systemctl` cannot be run, fails, or does not answer in
/// time.
pub(crate) async fn show(units: &[&str], properties: &[&str]) -> io::Result<String> {
    let properties = format!("--property={}", properties.join(","));
    let arguments: Vec<_> = ["show", &properties].into_iter().chain(units.iter().copied()).collect();
    run(&arguments).await
}

/// Resets the failed state of the setup unit, after a person fixed the scripts that failed. Otherwise the unit would stay failed
/// until its next run.
pub(crate) async fn reset_setup_failure() {
    // Inside the unit, its own exit status decides about its state.
    if is_in(SETUP_UNIT) {
        return;
    }
    let shown = show(&[SETUP_UNIT], &["ActiveState"]).await.unwrap_or_default();
    if property(&shown, "ActiveState") == "failed" {
        match run(&["reset-failed", SETUP_UNIT]).await {
            Ok(_) => tracing::info!("{SETUP_UNIT} is no longer failed: all scripts of this boot succeeded"),
            Err(why) => tracing::warn!("{SETUP_UNIT} is still failed (`systemctl reset-failed`): {why}"),
        }
    }
}

/// Whether this process belongs to the unit, by its control group.
fn is_in(unit: &str) -> bool {
    let groups =
        files::read_bounded(Path::new("/proc/self/cgroup"), 64 * 1024).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&groups).split(['/', '\n']).any(|folder| folder == unit)
}

/// Runs `systemctl` with these arguments. Returns its output.
async fn run(arguments: &[&str]) -> io::Result<String> {
    if !Path::new(BOOTED).is_dir() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "systemd is not PID 1 on this machine"));
    }
    let mut command = Command::new("systemctl");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(ANSWER_TIMEOUT, command.output())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "systemctl does not answer"))??;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The value of a property in the output of [`show`]. systemd omits some properties if they are empty; then this is empty, too.
pub(crate) fn property<'a>(shown: &'a str, name: &str) -> &'a str {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}
