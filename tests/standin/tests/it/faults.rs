//! Tests of each fault: the bytes that arrive, and how the connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use scw_standin::{Family, Fault, How, Order, RetryAfter, Side, Standin, StartError};

use crate::client::{Answer, Client, Ending, LONG, eventually, local, start, start_with};

/// Starts a stand-in that makes this fault on each request, with user data `x` = `abcdefgh`. Returns the bytes that a GET of `x`
/// receives, and how the connection ends. If it should stay open, `open_after` is the number of bytes after which it does.
fn with_fault(fault: Fault, open_after: Option<usize>) -> (Standin, Vec<u8>, Ending) {
    let (standin, address) = start(vec![Order::new(fault)]);
    standin.set_user_data("x", "abcdefgh");
    let mut client = Client::connect_low(address);
    client.request("GET", "/user_data/x", b"");
    let (bytes, ending) = match open_after {
        Some(length) => client.rest_after(length),
        None => client.rest(),
    };
    (standin, bytes, ending)
}

/// The head of a normal answer with these headers for the length.
fn head(framing: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n")
}

#[test]
fn each_fault_changes_only_its_bytes() {
    let chunked = head("Transfer-Encoding: chunked");
    let eight = head("Content-Length: 8");
    let many = head("X-Filler-0: x\r\nX-Filler-1: x\r\nContent-Length: 8");
    let huge = |framing: &str| head(framing) + "xxxxx";
    let table = [
        (Fault::CloseInBody, eight.clone() + "abcd", Ending::Fin),
        (Fault::ShortLength, head("Content-Length: 4") + "abcdefgh", Ending::Fin),
        (Fault::LongLength, head("Content-Length: 18") + "abcdefgh", Ending::Fin),
        (Fault::Chunked, chunked.clone() + "8\r\nabcdefgh\r\n0\r\n\r\n", Ending::StillOpen),
        (Fault::ChunkedGarbage, chunked + "this is no chunk size\r\nabcdefgh\r\n0\r\n\r\n", Ending::Fin),
        (Fault::Huge { bytes: 5, length: true }, huge("Content-Length: 5"), Ending::StillOpen),
        (Fault::Huge { bytes: 5, length: false }, huge("Connection: close"), Ending::Fin),
        (Fault::ManyHeaders { count: 2 }, many + "abcdefgh", Ending::StillOpen),
        (
            Fault::HugeHeader { bytes: 3 },
            head("X-Filler: xxx\r\nContent-Length: 8") + "abcdefgh",
            Ending::StillOpen,
        ),
        (Fault::Body { text: "other".to_owned() }, head("Content-Length: 5") + "other", Ending::StillOpen),
        (Fault::CloseAfter, eight.clone() + "abcdefgh", Ending::Fin),
        (
            Fault::CloseToClient,
            head("Content-Length: 8\r\nConnection: close") + "abcdefgh",
            Ending::StillOpen,
        ),
        (Fault::Slow { bytes: 50, ms: 1 }, eight + "abcdefgh", Ending::StillOpen),
        (Fault::Drop, String::new(), Ending::Fin),
        (Fault::Reset, String::new(), Ending::Reset),
        (Fault::Silent, String::new(), Ending::StillOpen),
    ];
    for (fault, bytes, ending) in table {
        let open_after = (ending == Ending::StillOpen).then_some(bytes.len());
        let (_standin, received, how) = with_fault(fault.clone(), open_after);
        assert_eq!((String::from_utf8(received).unwrap(), how), (bytes, ending), "{fault:?}");
    }
}

#[test]
fn record_has_the_fault_and_the_sent_status() {
    let table = [
        (Fault::Drop, None, None),
        (Fault::Reset, None, None),
        (Fault::Silent, Some(0), None),
        (Fault::Garbage, None, None),
        (Fault::CloseInHeaders, None, Some(200)),
        (Fault::status(503), Some(1), Some(503)),
        (Fault::Delay { ms: 1 }, Some(1), Some(200)),
    ];
    for (fault, open_after, status) in table {
        let name = fault.name();
        let (standin, ..) = with_fault(fault, open_after);
        let request = &standin.requests()[0];
        assert_eq!((request.fault.as_deref(), request.status), (Some(name), status));
    }
}

#[test]
fn close_in_headers_ends_after_the_status_line() {
    let (_standin, bytes, ending) = with_fault(Fault::CloseInHeaders, None);
    let text = String::from_utf8(bytes).unwrap();
    let complete = head("Content-Length: 8");
    assert!(complete.starts_with(&text) && text.starts_with("HTTP/1.1 200 OK\r\nContent"), "{text:?}");
    assert!(!text.contains("\r\n\r\n"));
    assert_eq!(ending, Ending::Fin);
}

#[test]
fn garbage_is_not_http() {
    let (_standin, bytes, ending) = with_fault(Fault::Garbage, None);
    let mut headers = [httparse::EMPTY_HEADER; 8];
    assert!(httparse::Response::new(&mut headers).parse(&bytes).is_err());
    assert_eq!(ending, Ending::Fin);
}

#[test]
fn status_can_have_body_retry_after_and_location() {
    let status = |retry_after, location: Option<&str>| Fault::Status {
        code: 307,
        body: "later".to_owned(),
        retry_after,
        location: location.map(str::to_owned),
    };
    let date = RetryAfter::Date("Fri, 31 Dec 1999 23:59:59 GMT".to_owned());
    let table = [
        (status(Some(RetryAfter::Seconds(3)), None), Some("3"), None),
        (status(Some(date), None), Some("Fri, 31 Dec 1999 23:59:59 GMT"), None),
        (status(None, Some("http://127.0.0.1/")), None, Some("http://127.0.0.1/")),
    ];
    for (fault, retry_after, location) in table {
        let (_standin, address) = start(vec![Order::new(fault)]);
        let answer = Client::connect(address).get("/");
        assert_eq!((answer.status, answer.text()), (307, "later"));
        assert_eq!((answer.header("Retry-After"), answer.header("Location")), (retry_after, location));
    }
}

#[test]
fn status_204_sends_no_body() {
    let mut fault = Fault::status(204);
    if let Fault::Status { body, .. } = &mut fault {
        body.push_str("not sent");
    }
    let expected = "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n";
    let (_standin, bytes, _) = with_fault(fault, Some(expected.len()));
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn huge_body_arrives_completely() {
    let bytes = 20_000_000;
    let (_standin, address) = start(vec![Order::new(Fault::Huge { bytes, length: true })]);
    let answer = Client::connect(address).get("/");
    assert_eq!(answer.body.len() as u64, bytes);
}

#[test]
fn slow_answer_is_sent_in_pieces() {
    let (_standin, address) = start(vec![Order::new(Fault::Slow { bytes: 20, ms: 20 })]);
    let begin = Instant::now();
    let Answer { status, head, body } = Client::connect(address).get("/");
    let pieces = (head.len() + body.len()).div_ceil(20) as u64;
    assert_eq!(status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(20 * (pieces - 1)), "{pieces} pieces");
}

#[test]
fn delay_is_followed_by_answer_or_later_order() {
    let orders = vec![
        Order::new(Fault::Delay { ms: 50 }),
        Order::new(Fault::status(503)).nth("2"),
        Order::new(Fault::status(500)).nth("2-"),
    ];
    let (standin, address) = start(orders);
    let mut client = Client::connect(address);
    let begin = Instant::now();
    let statuses = [(); 3].map(|()| client.get("/").status);
    assert_eq!(statuses, [200, 503, 500]);
    assert!(begin.elapsed() >= Duration::from_millis(150));
    let names: Vec<_> = standin.requests().into_iter().filter_map(|request| request.fault).collect();
    assert_eq!(names, ["delay", "delay+status", "delay+status"]);
}

#[test]
fn client_close_during_delay_is_recorded() {
    let (standin, address) = start(vec![Order::new(Fault::Delay { ms: 60_000 })]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(standin.wait_for(LONG, |requests| requests.len() == 1));
    drop(client);
    eventually("the end to be recorded", || standin.connections()[0].closed.is_some());
    assert_eq!(standin.connections()[0].closed.unwrap().by, Side::Client);
}

#[test]
fn client_closes_first_only_on_order() {
    for (fault, by) in [(Fault::CloseToClient, Side::Client), (Fault::CloseAfter, Side::Server)] {
        let (standin, address) = start(vec![Order::new(fault)]);
        let mut client = Client::connect(address);
        client.get("/");
        if by == Side::Client {
            assert_eq!(client.rest_after(0), (vec![], Ending::StillOpen));
        }
        drop(client);
        eventually("the end to be recorded", || standin.connections()[0].closed.is_some());
        let closed = standin.connections()[0].closed.unwrap();
        assert_eq!((closed.by, closed.how), (by, How::Fin));
    }
}

#[test]
fn endless_answer_ends_when_the_client_closes() {
    let (standin, address) = start(vec![Order::new(Fault::Endless)]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut bytes = vec![0; 4 << 20];
    stream.read_exact(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("Connection: close\r\n") && text.ends_with("xxxx"));
    drop(stream);
    eventually("the end to be recorded", || standin.connections()[0].closed.is_some());
    assert_eq!(standin.connections()[0].closed.unwrap().by, Side::Client);
}

#[test]
fn fault_decides_whether_a_write_is_carried_out() {
    let table = [
        (Fault::ApplyThenDrop, true),
        (Fault::CloseInHeaders, true),
        (Fault::CloseInBody, true),
        (Fault::CloseAfter, true),
        (Fault::Delay { ms: 1 }, true),
        (Fault::Drop, false),
        (Fault::Reset, false),
        (Fault::Garbage, false),
        (Fault::status(500), false),
        (Fault::Body { text: "ok".to_owned() }, false),
    ];
    for (fault, expected) in table {
        let (standin, address) = start(vec![Order::new(fault.clone())]);
        standin.set_user_data("old", "");
        for request in ["PATCH /user_data/new", "DELETE /user_data/old"] {
            let mut client = Client::connect_low(address);
            client.send(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            client.rest();
        }
        assert_eq!(standin.user_data("new").is_some(), expected, "{fault:?}");
        assert_eq!(standin.user_data("old").is_none(), expected, "{fault:?}");
    }
}

#[test]
fn answer_without_a_body_can_have_a_wrong_length() {
    let table = [
        (Fault::CloseInBody, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (Fault::LongLength, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        (Fault::ShortLength, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsurplus"),
        (Fault::Chunked, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    for (fault, expected) in table {
        let (_standin, address) = start(vec![Order::new(fault.clone())]);
        let mut client = Client::connect_low(address);
        client.request("PATCH", "/user_data/x", b"v");
        let bytes = client.rest_after(expected.len()).0;
        assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{fault:?}");
    }
}

#[test]
fn order_applies_to_requests_that_meet_its_conditions() {
    let orders = vec![
        Order::new(Fault::status(500)).path("/user_data/*").method("PATCH"),
        Order::new(Fault::status(501)).path("/conf").nth("2-3"),
        Order::new(Fault::status(502)).path("/conf").nth("3"),
        Order::new(Fault::status(504)).family(Family::Ipv6),
    ];
    let (standin, address) = start(orders);
    let mut client = Client::connect_low(address);
    assert_eq!(client.call("PATCH", "/user_data/x", b"").status, 500);
    assert_eq!(client.get("/user_data/x").status, 404);
    let statuses = [(); 4].map(|()| client.get("/conf").status);
    assert_eq!(statuses, [200, 501, 501, 200]);
    standin.set_orders(vec![Order::new(Fault::status(501)).nth("1")]);
    assert_eq!((client.get("/").status, client.get("/").status), (501, 200));
}

#[test]
fn refused_connections_affect_one_family() {
    let mut options = local();
    options.listen.push(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    options.orders = vec![Order::new(Fault::Refuse).family(Family::Ipv4)];
    let (standin, v4) = start_with(options);
    let v6 = standin.addresses()[1];
    let is_refused = |address: SocketAddr| match TcpStream::connect(address) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    };
    // A child of another test keeps the listeners open between fork and exec.
    let refused = |expected| {
        let what = format!("refusals: {expected:?}");
        eventually(&what, || (is_refused(v4), is_refused(v6)) == expected);
    };
    refused((true, false));
    standin.set_orders(vec![Order::new(Fault::Refuse).family(Family::Ipv6)]);
    refused((false, true));
    standin.set_orders(vec![Order::new(Fault::Refuse)]);
    refused((true, true));
    standin.set_orders(vec![]);
    assert_eq!(Client::connect(v4).get("/").status, 200);
    assert_eq!(Client::connect(v6).get("/").status, 200);
}

#[test]
fn connection_is_ignored_or_reset_before_any_byte() {
    let orders = vec![Order::new(Fault::AcceptSilent).nth("1"), Order::new(Fault::AcceptReset).nth("2")];
    let (standin, address) = start(orders);
    let mut silent = Client::connect(address);
    silent.request("GET", "/", b"");
    assert_eq!(silent.rest_after(0), (vec![], Ending::StillOpen));
    assert_eq!(Client::connect(address).rest(), (vec![], Ending::Reset));
    assert_eq!(Client::connect(address).get("/").status, 200);
    let connections = standin.connections();
    assert_eq!(connections[0].fault.as_deref(), Some("accept-silent"));
    let closed = connections[1].closed.unwrap();
    assert_eq!((closed.by, closed.how), (Side::Server, How::Rst));
    assert_eq!(standin.requests().len(), 1);
}

#[test]
fn contradictory_orders_are_refused() {
    let table = [
        Order::new(Fault::Refuse).path("/conf"),
        Order::new(Fault::AcceptReset).method("GET"),
        Order::new(Fault::Refuse).nth("1"),
        Order::new(Fault::Drop).method("get"),
        Order::new(Fault::status(100)),
        Order::new(Fault::Slow { bytes: 0, ms: 1 }),
    ];
    for order in table {
        let orders = vec![Order::new(Fault::Drop), order];
        let error = Standin::start(scw_standin::Options { orders, ..local() }).unwrap_err();
        assert!(matches!(error, StartError::Orders(_)));
        assert!(error.to_string().starts_with("order 2: "), "{error}");
    }
}
