//! Any bytes that a service can answer, read through the client's own connection. Invariant T1: an answer is complete, and within its limits.
//!
//! The first byte chooses the request. The stream is a pair of Unix sockets, so that no packet is sent.
#![no_main]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use scw_agent::metadata::{Connection, Family, Format, Limits, Request, UserDataKey};
use scw_agent_fuzz::runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first().filter(|(_, bytes)| bytes.len() < 65536) else { return };
    let request = match choice % 4 {
        0 => Request::Conf(Format::Json),
        1 => Request::GetUserData(UserDataKey::cloud_init()),
        2 => Request::SetUserData(UserDataKey::fingerprints(), "value".into()),
        _ => Request::ListUserData(Format::Json),
    };
    let closing = choice & 0x80 == 0;
    runtime().block_on(async {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        theirs.set_nonblocking(true).expect("set");
        let stream = TcpStream::from_std(OwnedFd::from(ours).into()).expect("a stream");
        let mut theirs = tokio::net::UnixStream::from_std(theirs).expect("a stream");
        let service = async {
            // One read returns the complete request.
            let _ = theirs.read(&mut [0; 4096]).await;
            let _ = theirs.write_all(bytes).await;
            let _ = theirs.shutdown().await;
        };
        let limits = Limits::default();
        let ask = async {
            let mut connection = Connection::open(Family::Ipv4, stream).await.ok()?;
            connection.ask(&request, &limits, closing).await.ok()
        };
        let Some(answer) = tokio::join!(service, ask).1 else { return };
        assert!((100..=999).contains(&answer.status) && answer.body.len() <= request.max_answer_bytes());
        let codings: Vec<_> = answer.headers.get_all("transfer-encoding").iter().collect();
        let known = |coding: &&hyper::header::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        assert!(codings.iter().all(known), "a value in an unknown coding: {codings:?}");
        let chunked = answer.headers.contains_key("transfer-encoding");
        // Answers with these statuses have no body, so their announced length is ignored.
        let without_body = matches!(answer.status, 100..=199 | 204 | 304);
        if let Some(length) = answer.headers.get("content-length").filter(|_| !chunked && !without_body) {
            let length: usize = length.to_str().expect("digits").parse().expect("a number");
            assert!(answer.body.len() == length, "an incomplete body was accepted");
            if closing && !request.writes() && answer.status == 200 {
                assert!(bytes.ends_with(&answer.body), "more bytes than announced were not noticed");
            }
        }
        if chunked && !answer.body.is_empty() {
            let last = |line: &[u8]| line.starts_with(b"0");
            assert!(
                bytes.split(|byte| *byte == b'\n').any(last),
                "chunks without an end were accepted as complete"
            );
        }
    });
});
