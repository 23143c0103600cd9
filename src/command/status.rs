//! `scw-agent status`: prints the daemon's status document together with systemd's answer about the units, at
//! once or when this boot's work is done.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{block_on, print_error, print_json, print_rows, script_of_this_process};
use crate::command::rows::colours_wanted;
use crate::command::status_view;
use crate::local_api;
use crate::local_api::client::SocketClient;
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::exchange::Limits;
use crate::scripts::model::likely_key::suspect_key_hint;
use crate::status::document::{Problem, Status};
use crate::status::states::{CHECK_DISTANCE, Fingerprints};
use crate::system::cloud_init;
use crate::system::units;
use crate::util::printable;

/// The interval between two checks while it waits.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait for an answer of the daemon, which includes its check, or of systemd.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for the last answer after the time limit of a wait.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a hint that the user did not ask for.
const HINT_TIMEOUT: Duration = Duration::from_secs(1);
/// systemd is queried at one of this many checks.
const CHECKS_PER_SYSTEMD_QUERY: u32 = 8;

/// Prints the status; with `wait`, when no work is left or the time limit is reached.
pub(crate) fn status(json: bool, wait: Option<Duration>) -> Exit {
    if let (Some(script), Some(_)) = (script_of_this_process(), wait) {
        return AGENT.fail(
            &format!("{script} does not end before this command does, so --wait would wait for itself: use `systemd-run scw-agent status --wait`"),
            Exit::Usage,
        );
    }
    with_status(wait, true, &|result| match result {
        Ok(status) => show(&status, json),
        Err(why) if is_not_running(&why) => {
            AGENT.fail(&"the daemon does not run; see `systemctl status scw-agent`", Exit::Failure)
        }
        Err(why) => AGENT.fail(&why, why.kind().into()),
    })
}

/// Prints the keys that are probably mistakes to standard error, as far as the daemon knows them.
pub(crate) fn print_suspect_keys() {
    with_status(None, false, &|result| {
        let keys = result.map(|status| status.suspect_keys).unwrap_or_default();
        keys.iter().for_each(|key| print_error(&AGENT, &suspect_key_hint(key)));
        Exit::Success
    });
}

/// Gets the status and calls `then` with it. All callers share this one event loop, because each costs the
/// program kilobytes. With `units`, systemd is queried, too.
fn with_status(
    wait: Option<Duration>,
    units: bool,
    then: &dyn Fn(Result<Status, TransportError>) -> Exit,
) -> Exit {
    block_on(async {
        then(match wait {
            None if units => {
                query_daemon(ANSWER_TIMEOUT, true).await.map(|status| add_units(status, ANSWER_TIMEOUT))
            }
            None => query_daemon(HINT_TIMEOUT, false).await,
            Some(limit) => match wait_until_done(limit).await {
                Ok(WaitResult::Done(status)) => Ok(*status),
                Ok(WaitResult::NotInTime(pending, problems)) => {
                    let limit = humantime::format_duration(limit);
                    AGENT.fail(&format!("not done after {limit}: {pending}"), Exit::Unreachable);
                    for Problem { what, remedy } in problems {
                        print_error(&AGENT, &format!("{what}; {remedy}"));
                    }
                    return Exit::Unreachable;
                }
                Err(why) => Err(why),
            },
        })
    })
}

/// The daemon's status. With `check`, it reads the published value again first.
pub(crate) async fn query_daemon(limit: Duration, check: bool) -> Result<Status, TransportError> {
    let socket = Path::new(local_api::SOCKET);
    let mut daemon =
        SocketClient::connect(socket, &Limits::default()).await.map_err(TransportError::Socket)?;
    Ok(Status { cloud_init: cloud_init::progress(Path::new("/")), ..daemon.status(limit, check).await? })
}

/// Adds what systemd knows about the units. The progress of cloud-init is read again after that: when systemd says
/// that cloud-init's last unit has ended, an earlier progress may be out of date.
fn add_units(status: Status, limit: Duration) -> Status {
    let units = units::query(limit);
    Status { cloud_init: cloud_init::progress(Path::new("/")), ..status }.with_units(units)
}

fn is_not_running(why: &TransportError) -> bool {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    matches!(why, TransportError::Socket(why) if absent.contains(&why.kind()))
}

fn show(status: &Status, json: bool) -> Exit {
    let printed = if json {
        print_json(&serde_json::to_string_pretty(status).unwrap_or_default())
    } else {
        print_rows(&status_view::rows(status, colours_wanted()))
    };
    printed.or(if status.problems.is_empty() { Exit::Success } else { Exit::Failure })
}

/// The result of waiting.
enum WaitResult {
    Done(Box<Status>),
    /// The work that was not done, and the problems.
    NotInTime(String, Vec<Problem>),
}

/// Waits until this boot's work is done. Also waits for the daemon, which may not have started yet or may be
/// restarting.
async fn wait_until_done(limit: Duration) -> Result<WaitResult, TransportError> {
    let start = Instant::now();
    let deadline = start + limit;
    let mut progress = Progress::new();
    let mut checks = (0..CHECKS_PER_SYSTEMD_QUERY).cycle();
    let mut check_value = true;
    loop {
        let mut is_last = Instant::now() >= deadline;
        let queries_systemd = checks.next() == Some(0) || is_last;
        // Leaves some time for the last check, too.
        let limit_of_check =
            deadline.saturating_duration_since(Instant::now()).clamp(LAST_ANSWER_TIMEOUT, ANSWER_TIMEOUT);
        let waited = start.elapsed();
        let (pending, problems) = match query_daemon(limit_of_check, check_value).await {
            Ok(status) => {
                let status = accept_check_within(status, waited);
                let queries_systemd = queries_systemd || status.pending_work().is_none();
                let status = match queries_systemd {
                    true => add_units(status, limit_of_check),
                    false => status,
                };
                // Only with systemd's answer it is known whether scripts will run at all.
                check_value = !status.waits_for_scripts_only();
                // Another question was answered moments ago: a check is possible again soon.
                is_last &= !status.waits_for_check_only() || start.elapsed() > limit + CHECK_DISTANCE * 2;
                match status.pending_work() {
                    None => return Ok(WaitResult::Done(Box::new(status))),
                    Some(pending) => (pending, status.problems),
                }
            }
            Err(why) if why.kind() == ErrorKind::NotPermitted => return Err(why),
            Err(why) if is_not_running(&why) => ("the daemon does not run".to_owned(), Vec::new()),
            Err(why) => (why.to_string(), Vec::new()),
        };
        if is_last {
            return Ok(WaitResult::NotInTime(pending, problems));
        }
        progress.show(&pending);
        let left = deadline.saturating_duration_since(Instant::now());
        sleep(if left.is_zero() { POLL_INTERVAL } else { POLL_INTERVAL.min(left) }).await;
    }
}

/// Takes a check that was made during the wait, a few seconds ago, for one that was made now, because the daemon limits
/// the checks. `waited` is how long the wait was when the document was requested, so that a slow answer does not make
/// an older check one of the wait.
fn accept_check_within(status: Status, waited: Duration) -> Status {
    match status.fingerprints {
        Fingerprints::NotChecked { checked, age_ms, .. }
            if Duration::from_millis(age_ms + 1) <= waited.min(CHECK_DISTANCE) =>
        {
            Status { fingerprints: Fingerprints::Published { checked }, ..status }
        }
        _ => status,
    }
}

/// One line on a terminal that is removed at the end; nothing elsewhere.
struct Progress {
    terminal: bool,
    shown: String,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), shown: String::new() }
    }

    fn show(&mut self, pending: &str) {
        if self.terminal && pending != self.shown {
            let line: String = printable::line(pending).to_string().chars().take(70).collect();
            let _ = write!(io::stderr(), "\r\x1b[K… {line}");
            pending.clone_into(&mut self.shown);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
