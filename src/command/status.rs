//! `scw-agent status`: the daemon's document, at once or when this boot's work is done.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::Exit;
use super::help::AGENT;
use super::process::{block_on, print_json, print_rows};
use super::rows::colours_wanted;
use super::status_view;
use crate::local_api::{self, SocketClient};
use crate::metadata::{ErrorKind, Limits, TransportError};
use crate::printable;
use crate::status::Status;

/// Between two looks while it waits.
const PAUSE: Duration = Duration::from_millis(250);

/// Shows the status; with `wait`, once nothing is left to do, or after so long.
pub(super) fn status(json: bool, wait: Option<Duration>) -> Exit {
    block_on(async {
        let asked = match wait {
            None => ask().await,
            Some(limit) => match when_done(limit).await {
                Ok(Done::Yes(status)) => Ok(*status),
                Ok(Done::NotInTime(left)) => {
                    let limit = humantime::format_duration(limit);
                    return AGENT.failed(&format!("not done after {limit}: {left}"), Exit::Unreachable);
                }
                Err(why) => Err(why),
            },
        };
        match asked {
            Ok(status) => show(&status, json),
            Err(why) if is_absent(&why) => AGENT
                .failed(&"the daemon does not run: `systemctl status scw-agent` tells why", Exit::Failure),
            Err(why) => AGENT.failed(&why, why.kind().into()),
        }
    })
}

async fn ask() -> Result<Status, TransportError> {
    let socket = Path::new(local_api::SOCKET);
    let mut daemon =
        SocketClient::connect(socket, &Limits::default()).await.map_err(TransportError::Socket)?;
    daemon.status().await
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
enum Done {
    Yes(Box<Status>),
    /// What was left to do.
    NotInTime(String),
}

/// Waits; for the daemon, too, which may not have been started yet or be starting anew.
async fn when_done(limit: Duration) -> Result<Done, TransportError> {
    let deadline = Instant::now() + limit;
    let mut progress = Progress::new();
    loop {
        let left = match ask().await {
            Ok(status) => match status.left_to_do() {
                None => return Ok(Done::Yes(Box::new(status))),
                Some(left) => left,
            },
            Err(why) if why.kind() == ErrorKind::NotPermitted => return Err(why),
            Err(why) if is_absent(&why) => "the daemon does not run".to_owned(),
            Err(why) => why.to_string(),
        };
        let now = Instant::now();
        if now >= deadline {
            return Ok(Done::NotInTime(left));
        }
        progress.show(&left);
        sleep(PAUSE.min(deadline - now)).await;
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
