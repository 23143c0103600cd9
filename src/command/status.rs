//! `scw-agent status`: the daemon's document with what systemd says of the units, at once or when this boot's work is done.

use crate::scripts::model::likely_key::hint;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{block_on, complain, print_json, print_rows, script_of_this_process};
use crate::command::rows::colours_wanted;
use crate::command::status_view;
use crate::local_api;
use crate::local_api::client::SocketClient;
use crate::metadata::error::{ErrorKind, TransportError};
use crate::metadata::transport::exchange::Limits;
use crate::status::document::{Problem, Status};
use crate::system::cloud_init;
use crate::system::units;
use crate::util::printable;

/// Between two looks while it waits.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the daemon or systemd may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for something that nobody asked for.
const FOR_A_HINT: Duration = Duration::from_secs(1);
/// systemd is asked at one look of so many.
const LOOKS_PER_QUESTION: u32 = 8;

/// Shows the status; with `wait`, once nothing is left to do, or after so long.
pub(crate) fn status(json: bool, wait: Option<Duration>) -> Exit {
    if let (Some(waits_for), Some(_)) = (script_of_this_process(), wait) {
        return AGENT.failed(
            &format!("{waits_for} does not end before this command does, so --wait would wait for itself: use `systemd-run scw-agent status --wait`"),
            Exit::Usage,
        );
    }
    with_status(wait, true, &|asked| match asked {
        Ok(status) => show(&status, json),
        Err(why) if is_absent(&why) => {
            AGENT.failed(&"the daemon does not run: `systemctl status scw-agent` tells why", Exit::Failure)
        }
        Err(why) => AGENT.failed(&why, why.kind().into()),
    })
}

/// Names the keys that are likely mistakes on standard error, as far as the daemon knows of them.
pub(crate) fn tell_suspect_keys() {
    with_status(None, false, &|asked| {
        let keys = asked.map(|status| status.suspect_keys).unwrap_or_default();
        keys.iter().for_each(|key| complain(&AGENT, &hint(key)));
        Exit::Success
    });
}

/// One event loop for all of them: each costs the program kilobytes. `units`: systemd is asked, too.
fn with_status(
    wait: Option<Duration>,
    units: bool,
    then: &dyn Fn(Result<Status, TransportError>) -> Exit,
) -> Exit {
    block_on(async {
        then(match wait {
            None if units => ask(PATIENCE).await.map(|status| status.with_units(units::look(PATIENCE))),
            None => ask(FOR_A_HINT).await,
            Some(limit) => match when_done(limit).await {
                Ok(WaitResult::Yes(status)) => Ok(*status),
                Ok(WaitResult::NotInTime(left, problems)) => {
                    let limit = humantime::format_duration(limit);
                    AGENT.failed(&format!("not done after {limit}: {left}"), Exit::Unreachable);
                    for Problem { what, remedy } in problems {
                        complain(&AGENT, &format!("{what}; {remedy}"));
                    }
                    return Exit::Unreachable;
                }
                Err(why) => Err(why),
            },
        })
    })
}

async fn ask(within: Duration) -> Result<Status, TransportError> {
    let socket = Path::new(local_api::SOCKET);
    let mut daemon =
        SocketClient::connect(socket, &Limits::default()).await.map_err(TransportError::Socket)?;
    Ok(Status { cloud_init: cloud_init::progress(Path::new("/")), ..daemon.status(within).await? })
}

fn is_absent(why: &TransportError) -> bool {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    matches!(why, TransportError::Socket(why) if absent.contains(&why.kind()))
}

fn show(status: &Status, json: bool) -> Exit {
    let printed = if json {
        print_json(&serde_json::to_string_pretty(status).unwrap_or_default())
    } else {
        print_rows(&status_view::rows(status, colours_wanted()))
    };
    match printed {
        Exit::Success if !status.problems.is_empty() => Exit::Failure,
        exit => exit,
    }
}

/// What came of waiting.
enum WaitResult {
    Yes(Box<Status>),
    /// What was left to do, and what is wrong.
    NotInTime(String, Vec<Problem>),
}

/// Waits; for the daemon, too, which may not have been started yet or be starting anew.
async fn when_done(limit: Duration) -> Result<WaitResult, TransportError> {
    let deadline = Instant::now() + limit;
    let mut progress = Progress::new();
    let mut looks = (0..LOOKS_PER_QUESTION).cycle();
    loop {
        let is_last = Instant::now() >= deadline;
        let asks_systemd = looks.next() == Some(0) || is_last;
        // A moment for the last look, too.
        let within = deadline.saturating_duration_since(Instant::now()).clamp(FOR_A_HINT, PATIENCE);
        let (left, problems) = match ask(within).await {
            Ok(status) => {
                let asks_systemd = asks_systemd || status.left_to_do().is_none();
                let status = match asks_systemd {
                    true => status.with_units(units::look(within)),
                    false => status,
                };
                match status.left_to_do() {
                    None => return Ok(WaitResult::Yes(Box::new(status))),
                    Some(left) => (left, status.problems),
                }
            }
            Err(why) if why.kind() == ErrorKind::NotPermitted => return Err(why),
            Err(why) if is_absent(&why) => ("the daemon does not run".to_owned(), Vec::new()),
            Err(why) => (why.to_string(), Vec::new()),
        };
        if is_last {
            return Ok(WaitResult::NotInTime(left, problems));
        }
        progress.show(&left);
        sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// One line on a terminal, which goes away by itself; nothing anywhere else.
struct Progress {
    terminal: bool,
    shown: String,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), shown: String::new() }
    }

    fn show(&mut self, left: &str) {
        if self.terminal && left != self.shown {
            let line: String = printable::line(left).to_string().chars().take(70).collect();
            let _ = write!(io::stderr(), "\r\x1b[K… {line}");
            left.clone_into(&mut self.shown);
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
