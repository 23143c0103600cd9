//! The name of a user data key, from a person, the list or a path. Invariant T1: no name changes the path into which it is inserted.
#![no_main]

use hyper::body::Bytes;
use libfuzzer_sys::fuzz_target;
use scw_agent::metadata::{Request, UserDataKey};
use scw_agent::scripts::ScriptKind;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for key in [UserDataKey::new(text), UserDataKey::from_path_segment(text)].into_iter().flatten() {
        let segment = key.to_path_segment();
        assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        assert!(!matches!(&*segment, "" | "." | ".."));
        assert_eq!(UserDataKey::from_path_segment(&segment).as_ref(), Ok(&key));
        let _ = ScriptKind::of(&key);
        for request in [
            Request::GetUserData(key.clone()),
            Request::SetUserData(key.clone(), Bytes::from_static(b"v")),
            Request::DeleteUserData(key),
        ] {
            let (path, body) = (request.target(), request.body().map(|(_, body)| body).unwrap_or_default());
            assert_eq!(Request::from_http(&request.method(), &path, None, body).as_ref(), Ok(&request));
            let uri: hyper::Uri = path.parse().expect("a path");
            assert_eq!((uri.path(), uri.query()), (&*path, None));
        }
    }
});
