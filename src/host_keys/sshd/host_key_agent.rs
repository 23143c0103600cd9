//! Asks sshd's `HostKeyAgent` which keys it has, by the protocol of ssh-agent (draft-ietf-sshm-ssh-agent). If sshd has only the public
//! half of a key, it serves the key only if that agent signs for it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The timeout for the complete query. An agent answers at once. One that does not accept the connection, or answers byte by byte, must
/// not keep sshd from starting.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer of an agent that ssh accepts.
const MAX_BYTES: u32 = 256 * 1024;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

/// The public keys of the agent at this socket, in binary form.
///
/// # Errors
/// When the agent cannot be reached, or its answer is malformed.
pub(crate) fn agent_keys(socket: &str) -> io::Result<Vec<Vec<u8>>> {
    if !socket.starts_with('/') {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the socket's path is known only in sshd's environment",
        ));
    }
    let (sender, answer) = channel();
    let socket = socket.to_owned();
    thread::Builder::new().spawn(move || sender.send(fetch_keys(&socket)))?;
    let timed_out = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within five seconds"));
    answer.recv_timeout(TIMEOUT).unwrap_or_else(timed_out)
}

fn fetch_keys(socket: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_BYTES {
        return Err(malformed());
    }
    let mut answer = Vec::new();
    stream.take(length.into()).read_to_end(&mut answer)?;
    keys(&answer).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed answer")
}

fn keys(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (count, mut rest) = answer.strip_prefix(&[IDENTITIES_ANSWER])?.split_first_chunk::<4>()?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (key, after) = crate::host_keys::key::public_key::split_string(rest)?;
        let (_comment, after) = crate::host_keys::key::public_key::split_string(after)?;
        keys.push(key.to_vec());
        rest = after;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::util::random;

    #[test]
    fn h3_agent_answer_is_read_within_bounds() {
        let answer = b"\x0c\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x02bc\0\0\0\x01x";
        assert_eq!(keys(answer), Some(vec![b"a".to_vec(), b"bc".to_vec()]));
        for length in 0..answer.len() {
            assert_eq!(keys(&answer[..length]), None, "cut to {length} bytes");
        }
        assert_eq!(keys(b"\x0c\xff\xff\xff\xff"), None);
        assert_eq!(keys(b"\x05"), None);
        assert!(agent_keys("SSH_AUTH_SOCK").is_err());
    }

    #[test]
    fn h3_query_of_an_endless_agent_times_out() {
        let folder = std::env::temp_dir().join(format!("scw-agent-held-{:x}", random::generator().u64(..)));
        std::fs::create_dir(&folder).expect("made");
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).expect("bound");
        let drips = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            stream.write_all(&[0, 1, 0, 0, IDENTITIES_ANSWER]).expect("sent");
            // Until the other end is closed, by the end of the test at the latest.
            for _ in 0..60 {
                if stream.write_all(&[0]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(200));
            }
        });
        let why = agent_keys(socket.to_str().expect("a path")).expect_err("no answer");
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        drips.join().expect("ended");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
