//! The least that the periodic check can cost on this machine: a process without a library, a runtime or a log, which sleeps, asks the metadata
//! service for one value on a connection of its own, and reads the answer. It looks at nothing else, and knows no error.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

/// The argument with which this program is the minimal one.
pub(crate) const ARGUMENT: &str = "--minimal-checks";
/// The mean time between two checks of the daemon.
const PAUSE: Duration = Duration::from_millis(47_500);
const REQUEST: &[u8] =
    b"GET /user_data/ssh-host-fingerprints HTTP/1.1\r\nHost: 169.254.42.42\r\nConnection: close\r\n\r\n";

/// Runs until it is killed, if this process was started for it.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    if std::env::args().nth(1)? != ARGUMENT {
        return None;
    }
    for port in (600..1000).cycle() {
        if let Err(why) = check(port) {
            eprintln!("the minimal check failed: {why}");
            return Some(ExitCode::FAILURE);
        }
        sleep(PAUSE);
    }
    None
}

fn check(port: u16) -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    connect(socket.as_raw_fd(), &SockaddrIn::new(169, 254, 42, 42, 80))?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(REQUEST)?;
    let mut answer = [0; 4096];
    while stream.read(&mut answer)? > 0 {}
    Ok(())
}
