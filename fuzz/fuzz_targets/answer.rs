//! The meaning of an answer: `/conf`, the list of user data, values, writes. Invariants T1 and T5: only a status of success makes a value.
//!
//! The first line is the status and, after a space, `Retry-After`. The remaining lines are the body.
#![no_main]

use std::collections::BTreeSet;

use hyper::HeaderMap;
use hyper::header::{HeaderValue, RETRY_AFTER};
use libfuzzer_sys::fuzz_target;
use scw_agent::metadata::retry::{Budget, Failure, Retry, RetryDecision};
use scw_agent::metadata::{Ask, Instance, MetadataError, Request, Response, TransportError, UserDataKey};
use scw_agent_fuzz::runtime;

struct Canned(Response);

impl Ask for Canned {
    async fn ask(&mut self, _: Request) -> Result<Response, TransportError> {
        Ok(self.0.clone())
    }
}

fuzz_target!(|data: &[u8]| {
    let (head, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let Some((status, after)) = head.split_first_chunk::<3>() else { return };
    let Some(status) = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok()) else { return };
    let mut headers = HeaderMap::new();
    if let Ok(after) = HeaderValue::from_bytes(after.trim_ascii()) {
        headers.insert(RETRY_AFTER, after);
    }
    let body = body.get(1..).unwrap_or_default();
    let mut service = Canned(Response { status, headers, body: body.to_vec().into() });
    runtime().block_on(async {
        match service.instance().await {
            Ok(instance) => check_instance(status, &instance),
            Err(why) => check_error(&why),
        }
        match service.list().await {
            Ok(keys) => check_list(status, body, &keys),
            Err(why) => check_error(&why),
        }
        let key = UserDataKey::cloud_init();
        match service.get(&key).await {
            Ok(Some(value)) => assert!(matches!(status, 200 | 204) && (status == 204 || value == body)),
            Ok(None) => assert_eq!(status, 404),
            Err(why) => check_error(&why),
        }
        assert_eq!(service.set(&key, "v".into()).await.is_ok(), matches!(status, 200 | 204));
        assert_eq!(service.delete(&key).await.is_ok(), matches!(status, 200 | 204 | 404));
    });
});

fn check_instance(status: u16, instance: &Instance) {
    assert_eq!(status, 200);
    let id = instance.id.as_str();
    assert!(id.len() == 36 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')));
    let json = serde_json::to_vec(instance).expect("JSON");
    assert_eq!(serde_json::from_slice::<Instance>(&json).expect("the same shape"), *instance);
}

/// The list has exactly the valid names of the body.
fn check_list(status: u16, body: &[u8], keys: &[UserDataKey]) {
    assert_eq!(status, 200);
    // In a field that the agent ignores, a string need not be UTF-8.
    let document: serde_json::Value = serde_json::from_str(&String::from_utf8_lossy(body)).expect("JSON");
    let names = document["user_data"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let expected: BTreeSet<_> = names.filter(|name| UserDataKey::new(name).is_ok()).collect();
    // serde also reads the structure from an array in which three fields are missing.
    if document.is_object() {
        assert_eq!(keys.iter().map(UserDataKey::as_str).collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}

/// Whatever Retry-After requests, the wait is bounded. The message has one line.
fn check_error(why: &MetadataError) {
    let mut random = Default::default();
    if let RetryDecision::Wait(wait) = Retry::new(Budget::Unlimited).decide(Failure::of(why), &mut random) {
        assert!(wait.as_secs() <= 3630, "{wait:?}");
    }
    assert!(!why.to_string().contains('\n'), "{why}");
}
