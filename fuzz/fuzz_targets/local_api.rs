//! Any bytes that a client of the local API can send to the daemon's server. Invariant D3: a client with the right to read never writes, and a
//! client without rights gets no data.
//!
//! The first byte chooses the client's right.
#![no_main]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::HeaderMap;
use libfuzzer_sys::fuzz_target;
use scw_agent::local_api::{Backend, Groups, Right, serve_client};
use scw_agent::metadata::{Request, Response, TransportError};
use scw_agent::settings::Settings;
use scw_agent::status::Status;
use scw_agent_fuzz::runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const VALUE: &str = "the-services-own-words";

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<Request>>>);

impl Backend for Service {
    async fn ask(&self, request: Request) -> Result<Response, TransportError> {
        self.0.lock().expect("not poisoned").push(request);
        Ok(Response { status: 200, headers: HeaderMap::new(), body: VALUE.into() })
    }

    async fn status(&self, _: bool) -> Status {
        Status { agent: VALUE.to_owned(), ..Status::unknown() }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first().filter(|(_, bytes)| bytes.len() < 65536) else { return };
    let right = [Right::Nothing, Right::Read, Right::Write][usize::from(choice % 3)];
    let service = Service::default();
    let answers = runtime().block_on(async {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let groups = Groups::of(&Settings::default());
        let server = serve_client(ours, service.clone(), right, &groups, Duration::from_secs(5));
        let client = async {
            let _ = theirs.write_all(bytes).await;
            let _ = theirs.shutdown().await;
            let mut answers = Vec::new();
            let _ = theirs.read_to_end(&mut answers).await;
            answers
        };
        tokio::join!(server, client).1
    });
    let requests = service.0.lock().expect("not poisoned");
    let text = String::from_utf8_lossy(&answers);
    assert!(answers.is_empty() || text.starts_with("HTTP/1."), "{text}");
    match right {
        Right::Nothing => assert!(requests.is_empty() && !text.contains(VALUE), "{requests:?}: {text}"),
        Right::Read => assert!(!requests.iter().any(Request::writes), "{requests:?}"),
        Right::Write => {}
    }
    for request in requests.iter() {
        let body = request.body().map(|(_, body)| body).unwrap_or_default();
        let target = request.target();
        let (path, query) =
            target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        assert_eq!(Request::from_http(&request.method(), path, query, body).as_ref(), Ok(request));
        assert!(!path.contains("..") || !path.split('/').any(|step| step == ".."));
    }
});
