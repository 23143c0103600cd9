//! A client that sees every byte. It must not correct or hide errors of the server that it checks.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use scw_standin::{Options, Order, Standin};
use socket2::{Domain, Socket, Type};

/// Only keeps a broken test from hanging.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// If nothing arrives for this time, nothing will arrive.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Options for a stand-in on the loopback interface.
pub(crate) fn local() -> Options {
    Options { listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], ..Options::default() }
}

/// A stand-in on the loopback interface with these orders, and its address.
pub(crate) fn start(orders: Vec<Order>) -> (Standin, SocketAddr) {
    start_with(Options { orders, ..local() })
}

/// A stand-in with these options, and its first address.
pub(crate) fn start_with(options: Options) -> (Standin, SocketAddr) {
    let standin = Standin::start(options).expect("a stand-in on loopback");
    let address = standin.addresses()[0];
    (standin, address)
}

/// Waits until `f` is true.
pub(crate) fn eventually(what: &str, f: impl Fn() -> bool) {
    let start = Instant::now();
    while !f() {
        assert!(start.elapsed() < LONG, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// An answer whose body has the length in Content-Length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Fin,
    Reset,
    StillOpen,
}

impl Client<TcpStream> {
    /// Connects from any port, which is 1024 or higher.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Client::of(TcpStream::connect(address).expect("a connection"))
    }

    /// Connects from a port below 1024, which needs root.
    pub(crate) fn connect_low(address: SocketAddr) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        for _ in 0..400 {
            let port = 600 + NEXT.fetch_add(1, Ordering::Relaxed) % 400;
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
            socket.set_reuse_address(true).expect("an option");
            let bound = socket.bind(&SocketAddr::new(address.ip(), port).into());
            match bound.and_then(|()| socket.connect(&address.into())) {
                Ok(()) => return Client::of(socket.into()),
                Err(error) => {
                    let is_taken = matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable);
                    assert!(is_taken, "no connection from port {port}: {error}");
                }
            }
        }
        unreachable!("400 ports below 1024 are taken");
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).expect("an option");
        Client::new(stream)
    }

    /// The remaining bytes, and how the connection ends.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, Ending) {
        let ending = match self.stream.read_to_end(&mut self.buffer) {
            Ok(_) => Ending::Fin,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ending::StillOpen,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                Ending::Reset
            }
        };
        (std::mem::take(&mut self.buffer), ending)
    }

    /// The same if the connection should stay open after this number of bytes. Then it waits only for [`SHORT`].
    pub(crate) fn rest_after(&mut self, bytes: usize) -> (Vec<u8>, Ending) {
        while self.buffer.len() < bytes {
            self.fill();
        }
        self.stream.set_read_timeout(Some(SHORT)).expect("an option");
        self.rest()
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Client { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends a request with the headers that every request needs.
    pub(crate) fn request(&mut self, method: &str, target: &str, body: &[u8]) {
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{length}\r\n"));
        self.send(body);
    }

    pub(crate) fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Answer {
        self.request(method, target, body);
        self.answer()
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.call("GET", target, b"")
    }

    /// Reads one answer, and keeps further bytes for the next.
    pub(crate) fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill();
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("a head of text");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("Content-Length").map_or(0, |value| value.parse().expect("a length"));
        while self.buffer.len() < length {
            self.fill();
        }
        answer.body = self.buffer.drain(..length).collect();
        answer
    }

    fn fill(&mut self) {
        let mut block = [0; 16 * 1024];
        let read = self.stream.read(&mut block).expect("more of the answer");
        assert!(read > 0, "closed in the middle of an answer");
        self.buffer.extend_from_slice(&block[..read]);
    }
}
