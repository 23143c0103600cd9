//! Questions to systemd, through `systemctl`, each within a bound: a manager that hangs must not hold a script back,
//! nor a person.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::util::files;

/// How long one answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The unit that runs the scripts of a boot.
const SETUP_UNIT: &str = "scw-agent-setup.service";
/// Where systemd is PID 1, this folder exists (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// The properties of units, as lines `NAME=VALUE`, with an empty line between two units.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where systemd is not PID 1; or it cannot be asked, or does not answer in time.
pub(crate) async fn show(units: &[&str], properties: &[&str]) -> io::Result<String> {
    let properties = format!("--property={}", properties.join(","));
    let words: Vec<_> = ["show", &properties].into_iter().chain(units.iter().copied()).collect();
    run(&words).await
}

/// Takes the mark of failure from the setup unit, for a person who cured what failed: nothing else would, until the unit runs again.
pub(crate) async fn clear_failure() {
    // Within the unit, its own end tells.
    if is_in(SETUP_UNIT) {
        return;
    }
    let shown = show(&[SETUP_UNIT], &["ActiveState"]).await.unwrap_or_default();
    if property(&shown, "ActiveState") == "failed" {
        match run(&["reset-failed", SETUP_UNIT]).await {
            Ok(_) => tracing::info!("{SETUP_UNIT} is no longer failed: all scripts of this boot are well"),
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

/// Runs `systemctl` with these words: what it prints.
async fn run(words: &[&str]) -> io::Result<String> {
    if !Path::new(BOOTED).is_dir() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "systemd does not run this machine"));
    }
    let mut command = Command::new("systemctl");
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "systemctl does not answer"))??;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The value of a property in what [`show`] gave; systemd leaves some out where they are empty.
pub(crate) fn property<'a>(shown: &'a str, name: &str) -> &'a str {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}
