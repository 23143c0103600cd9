//! `scw-agent status`: the daemon's document, or what can be seen without a daemon.

use std::io;
use std::path::Path;

use super::exit::Exit;
use super::help::AGENT;
use super::process::{block_on, print};
use super::rows::colours_wanted;
use super::status_view;
use crate::local_api::{self, SocketClient};
use crate::metadata::{Limits, TransportError};

pub(super) fn show(json: bool) -> Exit {
    block_on(async {
        let socket = Path::new(local_api::SOCKET);
        let status = match SocketClient::connect(socket, &Limits::default()).await {
            Ok(mut daemon) => daemon.status().await,
            Err(why) => Err(TransportError::Socket(why)),
        };
        let status = match status {
            Ok(status) => status,
            Err(TransportError::Socket(why))
                if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return AGENT.failed(
                    &"the daemon does not run: `systemctl status scw-agent` tells why",
                    Exit::Failure,
                );
            }
            Err(why) => return AGENT.failed(&why, why.kind().into()),
        };
        let text = if json {
            serde_json::to_string_pretty(&status).unwrap_or_default() + "\n"
        } else {
            status_view::text(&status, colours_wanted())
        };
        match print(&text) {
            Exit::Success if !status.problems.is_empty() => Exit::Failure,
            exit => exit,
        }
    })
}
