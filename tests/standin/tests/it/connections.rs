//! Tests of connections: keep-alive, which side closes first, invalid requests, and the record.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use scw_standin::{Connection, Fault, How, Options, Order, Side, Standin, StartError};
use socket2::SockRef;

use crate::client::{Client, Ending, LONG, SHORT, eventually, local, start, start_with};

fn end_of(standin: &Standin) -> (Side, How) {
    let find = || standin.connections().first().and_then(|connection| connection.closed);
    eventually("the connection to be closed", || find().is_some());
    let closed = find().expect("it was closed before");
    (closed.by, closed.how)
}

#[test]
fn connection_is_kept_for_further_requests() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    client.get("/");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /conf HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((client.answer().status, client.answer().status), (200, 200));
    let connections = standin.connections();
    assert_eq!((connections.len(), connections[0].requests, connections[0].closed), (1, 3, None));
    drop(client);
    assert_eq!(end_of(&standin), (Side::Client, How::Fin));
}

#[test]
fn server_closes_first_on_request() {
    for head in ["GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"] {
        let (standin, address) = start(vec![]);
        let mut client = Client::connect(address);
        client.send(head);
        assert_eq!(client.answer().header("Connection"), Some("close"));
        assert_eq!(client.rest(), (vec![], Ending::Fin));
        assert_eq!(end_of(&standin), (Side::Server, How::Fin));
    }
}

#[test]
fn http_1_0_connection_needs_keep_alive() {
    let (_standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("keep-alive"));
    assert_eq!(client.get("/").header("Connection"), None);
}

#[test]
fn server_closes_an_idle_connection() {
    // Longer than the time between connection and request on a busy computer.
    let keep_alive = Duration::from_secs(3);
    let (standin, address) = start_with(Options { keep_alive, ..local() });
    let mut client = Client::connect(address);
    client.get("/");
    assert_eq!(client.rest(), (vec![], Ending::Fin));
    assert_eq!(end_of(&standin), (Side::Server, How::Fin));
}

#[test]
fn reset_by_the_client_differs_from_a_normal_close() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    client.get("/");
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(end_of(&standin), (Side::Client, How::Rst));
}

#[test]
fn invalid_request_is_refused_and_recorded() {
    let table = [
        ("hello\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
        ("PATCH /state HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    ];
    for (bytes, status) in table {
        let (standin, address) = start(vec![]);
        let mut client = Client::connect(address);
        client.send(bytes);
        assert_eq!(client.answer().status, status, "{bytes:?}");
        assert_eq!(client.rest(), (vec![], Ending::Fin));
        let Connection { error, requests, .. } = standin.connections().remove(0);
        assert!(error.is_some() && requests == 0, "{bytes:?}");
    }
    let (standin, address) = start(vec![]);
    let mut client = Client::connect(address);
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(66_000)));
    assert_eq!(client.answer().status, 431);
    let mut client = Client::connect(address);
    client.send("PATCH /state HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    drop(client);
    eventually("the connection", || standin.connections().len() == 2);
    eventually("the error to be recorded", || {
        standin.connections().iter().all(|connection| connection.error.is_some())
    });
}

#[test]
fn expect_continue_is_answered() {
    let (_standin, address) = start(vec![]);
    let mut client = Client::connect_low(address);
    client
        .send("PATCH /user_data/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().head, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("v");
    assert_eq!(client.answer().status, 204);
}

#[test]
fn each_request_is_recorded_unchanged() {
    let (standin, address) = start(vec![]);
    let mut client = Client::connect_low(address);
    client.send("PATCH /user_data/a%41 HTTP/1.1\r\nHost: x\r\ncontent-type: text/plain\r\nContent-Length: 2\r\n\r\n\u{e9}");
    client.answer();
    Client::connect(address).get("/nothing?");
    let requests = standin.requests();
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("PATCH", "/user_data/a%41"));
    assert_eq!(first.header("Content-Type"), Some("text/plain"));
    assert_eq!(first.headers[1], ("content-type".to_owned(), "text/plain".to_owned()));
    assert_eq!((first.peer, first.local), (client.stream.local_addr().unwrap(), address));
    assert_eq!((first.status, &first.fault, first.connection), (Some(204), &None, 1));
    let second = &requests[1];
    assert_eq!((second.target.as_str(), second.status, second.connection), ("/nothing?", Some(404), 2));
    assert!(first.at <= second.at);
    standin.clear_requests();
    client.get("/");
    let requests = standin.requests();
    assert_eq!((requests.len(), requests[0].status), (1, Some(200)));
}

#[test]
fn answer_to_cleared_request_is_not_recorded() {
    let (standin, address) = start(vec![Order::new(Fault::Delay { ms: 500 }).path("/nothing")]);
    let mut slow = Client::connect(address);
    slow.request("GET", "/nothing", b"");
    assert!(standin.wait_for(LONG, |requests| requests.len() == 1));
    standin.clear_requests();
    Client::connect(address).get("/");
    assert_eq!(slow.answer().status, 404);
    let requests = standin.requests();
    assert_eq!((requests.len(), requests[0].status), (1, Some(200)));
}

#[test]
fn answer_is_complete_while_the_client_still_sends() {
    let bytes = 3_000_000;
    let (_standin, address) = start(vec![Order::new(Fault::Huge { bytes, length: true })]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned() + &"x".repeat(50_000));
    assert_eq!(client.answer().body.len() as u64, bytes);
    assert_eq!(client.rest(), (vec![], Ending::Fin));
}

#[test]
fn wait_for_requests_ends_on_arrival_or_timeout() {
    let (standin, address) = start(vec![]);
    assert!(!standin.wait_for(SHORT, |requests| !requests.is_empty()));
    let client = std::thread::spawn(move || Client::connect(address).get("/").status);
    assert!(standin.wait_for(LONG, |requests| requests.iter().any(|r| r.status == Some(200))));
    assert_eq!(client.join().unwrap(), 200);
}

#[test]
fn several_addresses_are_served_and_released() {
    let mut options = local();
    options.listen.push(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    let standin = Standin::start(options).unwrap();
    let addresses = standin.addresses();
    let mut clients: Vec<_> = addresses.iter().map(|address| Client::connect(*address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    drop(standin);
    for (client, address) in clients.iter_mut().zip(addresses) {
        assert_eq!(client.rest(), (vec![], Ending::Fin));
        // A child of another test keeps the listener open between fork and exec.
        eventually("the address to be free", || TcpListener::bind(address).is_ok());
    }
}

#[test]
fn used_or_missing_address_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // 192.0.2.0/24 is reserved for documentation, so no machine has this address.
    for address in [taken.local_addr().unwrap(), "192.0.2.1:80".parse().unwrap()] {
        let error = Standin::start(Options { listen: vec![address], ..local() }).unwrap_err();
        assert!(matches!(error, StartError::Listen { address: a, .. } if a == address));
        assert!(error.to_string().contains(&address.to_string()));
    }
}
