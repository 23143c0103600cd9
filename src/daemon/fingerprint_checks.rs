//! What is known about the published value, and when the next check is due (invariant H4).
//!
//! The metadata task shows each answer of the service to it, so an answer to another program counts, too. The rounds task makes the
//! checks. The local API requests a check for each status document, and describes what is known then. A document says "published"
//! only if the value was read after the document was requested. This module sends no request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::daemon::check_state::{CheckState, PATIENCE};
use crate::daemon::evidence::{ValueEvidence, evidence};
use crate::daemon::shared_status::SharedStatus;
use crate::host_keys::published_value::Published;
use crate::metadata::api::request::Request;
use crate::metadata::api::response::Response;
use crate::metadata::error::{ErrorKind, MetadataError, TransportError};
use crate::status::document::Status;
use crate::status::states::{CHECK_DISTANCE, Fingerprints};
use crate::util::log_once::LogOnce;
use crate::util::time::Moment;

/// The longest time for which the service's own wish delays a check.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(3600);

/// The state, shared by the tasks.
#[derive(Clone)]
pub(crate) struct FingerprintChecks {
    shared_status: SharedStatus,
    state: watch::Sender<CheckState>,
    log: Arc<LogOnce>,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestOrigin {
    /// The rounds of the daemon.
    Rounds,
    /// A program, through the local API.
    Program,
}

fn is_success(answer: &Result<Response, TransportError>) -> bool {
    answer.as_ref().is_ok_and(|answer| matches!(answer.status, 200..=299 | 404))
}

/// When a request was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentAt {
    moment: Moment,
    instant: Instant,
}

impl FingerprintChecks {
    /// Nothing is known.
    pub(crate) fn new(shared_status: SharedStatus) -> Self {
        Self { shared_status, state: watch::Sender::default(), log: Arc::default() }
    }

    /// Sets the value that should be published. If it is another one than before, it is not known to be published.
    pub(crate) fn set_right_value(&self, value: Option<&Published>) {
        self.state.send_if_modified(|state| {
            if state.right_value.as_ref() != value {
                state.right_value = value.cloned();
                self.shared_status.set_outdated();
            }
            false
        });
    }

    /// Notes that a request to the service begins.
    pub(crate) fn begin_request(&self) -> SentAt {
        SentAt { moment: Moment::now(), instant: Instant::now() }
    }

    /// Takes the answer to a request that was sent then.
    pub(crate) fn take_answer(
        &self,
        from: RequestOrigin,
        sent: SentAt,
        request: &Request,
        answer: &Result<Response, TransportError>,
    ) {
        self.state.send_if_modified(|state| {
            let shown = state.right_value.as_ref().map(|value| evidence(value, request, answer));
            match shown {
                Some(ValueEvidence::Right) => {
                    self.shared_status.set_published(sent.moment);
                    state.found_right = Some(sent.instant);
                    state.failure = None;
                    // The service answers, so what an earlier refusal asked for is over.
                    let at_the_latest = Some(sent.instant + CHECK_DISTANCE);
                    state.request_allowed = state.request_allowed.min(at_the_latest);
                    true
                }
                Some(ValueEvidence::Wrong) => {
                    let was_published = self.shared_status.set_outdated();
                    // The rounds themselves write after a read, but not after a list.
                    let is_list = was_published && matches!(request, Request::ListUserData(_));
                    let is_news = from == RequestOrigin::Program || is_list;
                    state.is_contradicted |= is_news;
                    is_news
                }
                // The last round failed, and now the service answers.
                Some(ValueEvidence::Nothing) | None
                    if state.failure.is_some() && from == RequestOrigin::Program && is_success(answer) =>
                {
                    state.is_requested = true;
                    true
                }
                Some(ValueEvidence::Nothing) | None => false,
            }
        });
    }

    /// Notes that a round begins, which makes every check that is requested.
    pub(crate) fn begin_round(&self) {
        let now = Instant::now();
        self.state.send_modify(|state| {
            if std::mem::take(&mut state.is_contradicted) {
                state.contradiction_allowed = Some(now + CHECK_DISTANCE);
            }
            state.serves_request = std::mem::take(&mut state.is_requested);
            state.round_began = Some(now);
        });
    }

    /// Notes the result of a round, and the time until the next one.
    pub(crate) fn end_round<T>(&self, result: &Result<T, MetadataError>, wait: Duration) {
        let now = Instant::now();
        let failed = result.as_ref().err().filter(|why| why.kind() != ErrorKind::Unreachable);
        let failed = failed.filter(|_| self.shared_status.is_published());
        self.log.warn(failed.map(|why| format!("the published fingerprints cannot be checked: {why}")));
        self.state.send_modify(|state| {
            state.complete_round_began = state.round_began.take();
            let at_the_latest = Some(now + CHECK_DISTANCE);
            if state.serves_request {
                state.request_allowed = state.request_allowed.max(at_the_latest);
            }
            state.failure = None;
            if result.is_ok() {
                // What an earlier refusal asked for is over.
                state.request_allowed = state.request_allowed.min(at_the_latest);
                state.contradiction_allowed = state.contradiction_allowed.min(at_the_latest);
            }
            if let Err(why) = result {
                state.failure = Some(format!("{why}; the next check is at {}", Moment::now().after(wait)));
                if let Some(asked) = why.retry_after() {
                    let allowed = Some(now + asked.min(MAX_REQUESTED_WAIT));
                    state.request_allowed = state.request_allowed.max(allowed);
                    state.contradiction_allowed = state.contradiction_allowed.max(allowed);
                }
            }
        });
    }

    /// Waits until a check that is requested may be made.
    pub(crate) async fn due(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let due = changes.borrow_and_update().due(Instant::now());
            tokio::select! {
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return,
                _ = changes.changed() => {}
            }
        }
    }

    /// Requests a check, and waits for it if it can be made soon. Returns when it was requested.
    pub(crate) async fn request(&self) -> Instant {
        let requested = Instant::now();
        let end = requested + PATIENCE;
        let mut changes = self.state.subscribe();
        loop {
            let must_ask = {
                let state = changes.borrow_and_update();
                let is_in_round = state.round_began.is_some();
                let is_too_late = !is_in_round && state.request_allowed.is_some_and(|allowed| allowed > end);
                if state.is_checked_since(requested) || is_too_late {
                    return requested;
                }
                !is_in_round && !state.is_requested
            };
            if must_ask {
                self.state.send_modify(|state| state.is_requested = true);
            }
            if timeout_at(end, changes.changed()).await.is_err() {
                return requested;
            }
        }
    }

    /// The status for a document: it says "published" only if the value was read after a check was `requested`.
    pub(crate) fn describe(&self, mut status: Status, requested: Option<Instant>) -> Status {
        let state = self.state.borrow();
        if let Fingerprints::Published { checked } = status.fingerprints {
            let read = state.found_right;
            if requested.is_none() || read < requested {
                let age = read.map(|read| read.elapsed()).unwrap_or_default();
                status.fingerprints = Fingerprints::NotChecked {
                    checked,
                    age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                    why: state.why_not_checked(requested),
                };
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::body::Bytes;

    use super::*;
    use crate::host_keys::key::public_key::PublicKey;
    use crate::host_keys::published_value::published_value;
    use crate::metadata::api::refusal::Refusal;
    use crate::metadata::api::user_data_key::UserDataKey;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbatW6deZ5lBPqVQrgZ5m5azJVn84DsrzVkjUxxOf0X x";
    const SECOND: Duration = Duration::from_secs(1);

    fn value() -> Published {
        published_value([&PublicKey::parse(KEY).expect("a key")]).expect("one key")
    }

    fn checks() -> FingerprintChecks {
        let checks = FingerprintChecks::new(SharedStatus::new());
        checks.set_right_value(Some(&value()));
        checks
    }

    /// The service answers a read of the value.
    fn read(checks: &FingerprintChecks, from: RequestOrigin, sent: SentAt, status: u16) {
        let body = Bytes::from(value().as_str().to_owned());
        let answer = Ok(Response { status, headers: HeaderMap::new(), body });
        checks.take_answer(from, sent, &Request::GetUserData(UserDataKey::fingerprints()), &answer);
    }

    /// A round that finds the right value.
    fn round(checks: &FingerprintChecks) {
        checks.begin_round();
        read(checks, RequestOrigin::Rounds, checks.begin_request(), 200);
        checks.end_round(&Ok(()), 50 * SECOND);
    }

    /// The rounds task: a round whenever one is due. Returns the time of each.
    async fn rounds(checks: FingerprintChecks, times: std::rc::Rc<std::cell::RefCell<Vec<Instant>>>) {
        loop {
            checks.due().await;
            times.borrow_mut().push(Instant::now());
            round(&checks);
        }
    }

    fn document(checks: &FingerprintChecks, requested: Option<Instant>) -> Fingerprints {
        checks.describe(checks.shared_status.read(), requested).fingerprints
    }

    #[tokio::test(start_paused = true)]
    async fn h4_document_says_published_only_after_a_check() {
        let (checks, times) = (checks(), std::rc::Rc::default());
        round(&checks);
        tokio::time::advance(SECOND).await;
        let asked = async {
            let none = document(&checks, None);
            let first = document(&checks, Some(checks.request().await));
            tokio::time::advance(SECOND).await;
            let second = document(&checks, Some(checks.request().await));
            tokio::time::advance(3 * SECOND).await;
            let third = document(&checks, Some(checks.request().await));
            [none, first, second, third]
        };
        let [none, first, second, third] = tokio::select! {
            documents = asked => documents,
            () = rounds(checks.clone(), std::rc::Rc::clone(&times)) => unreachable!(),
        };
        let not_checked = |state: &Fingerprints| match state {
            Fingerprints::NotChecked { age_ms, why, .. } => (*age_ms, why.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(not_checked(&none), (1_000, "no check was requested".to_owned()));
        assert!(
            matches!(first, Fingerprints::Published { .. }),
            "a scheduled check delays no document: {first:?}"
        );
        assert_eq!(
            not_checked(&second),
            (1_000, "another question caused a check less than 5 s ago".to_owned())
        );
        assert!(matches!(third, Fingerprints::Published { .. }), "it waited one second: {third:?}");
        let times = times.borrow();
        assert_eq!(times.len(), 2);
        assert_eq!(times[1] - times[0], CHECK_DISTANCE);
    }

    #[tokio::test(start_paused = true)]
    async fn h4_many_documents_share_one_check() {
        let (checks, times) = (checks(), std::rc::Rc::default());
        let ask = || async { document(&checks, Some(checks.request().await)) };
        let asked = async { tokio::join!(ask(), ask(), ask()) };
        let (one, two, three) = tokio::select! {
            documents = asked => documents,
            () = rounds(checks.clone(), std::rc::Rc::clone(&times)) => unreachable!(),
        };
        assert!([one, two, three].iter().all(|state| matches!(state, Fingerprints::Published { .. })));
        assert_eq!(times.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn h4_document_without_an_answer_is_bounded_and_says_why() {
        let checks = checks();
        round(&checks);
        tokio::time::advance(10 * SECOND).await;
        let start = Instant::now();
        let state = document(&checks, Some(checks.request().await));
        assert_eq!(start.elapsed(), PATIENCE);
        let Fingerprints::NotChecked { age_ms: 12_000, why, .. } = state else { panic!("{state:?}") };
        assert_eq!(why, "the metadata service did not answer within 2 s");

        let refusal = MetadataError::Refused(Refusal::TooManyRequests(Some(60 * SECOND)));
        checks.begin_round();
        checks.end_round::<()>(&Err(refusal), 90 * SECOND);
        let requested = checks.request().await;
        assert_eq!(start.elapsed(), PATIENCE, "what the service asked for is kept");
        let Fingerprints::NotChecked { why, .. } = document(&checks, Some(requested)) else { panic!() };
        assert!(why.contains("429") && why.contains("; the next check is at 20"), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn h4_contradiction_causes_a_check_at_once() {
        let checks = checks();
        round(&checks);
        let start = Instant::now();
        for (at, from, status, due_after) in [
            (0, RequestOrigin::Program, 404, Some(0)),
            // A fight with another program is limited.
            (1, RequestOrigin::Program, 404, Some(5)),
            (60, RequestOrigin::Program, 404, Some(60)),
            // The round itself is already going to write.
            (120, RequestOrigin::Rounds, 404, None),
            (160, RequestOrigin::Program, 403, None),
        ] {
            tokio::time::advance((start + at * SECOND).saturating_duration_since(Instant::now())).await;
            read(&checks, from, checks.begin_request(), status);
            let published =
                matches!(checks.shared_status.read().fingerprints, Fingerprints::Published { .. });
            assert_eq!(published, status != 404, "{at}");
            let due = tokio::time::timeout(30 * SECOND, checks.due()).await.is_ok();
            assert_eq!(due.then(|| start.elapsed().as_secs()), due_after, "{at}");
            round(&checks);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn h4_answer_to_a_program_ends_a_long_wait() {
        let checks = checks();
        let why = MetadataError::Refused(Refusal::ServerError(503, None));
        checks.begin_round();
        checks.end_round::<()>(&Err(why), 3600 * SECOND);
        let start = Instant::now();
        let answer = |status| Ok(Response { status, headers: HeaderMap::new(), body: Bytes::new() });
        for (status, is_due) in [(503, false), (200, true)] {
            checks.take_answer(
                RequestOrigin::Program,
                checks.begin_request(),
                &Request::Probe,
                &answer(status),
            );
            let due = tokio::time::timeout(60 * SECOND, checks.due()).await.is_ok();
            assert_eq!(due, is_due, "{status}");
        }
        assert!(start.elapsed() < 70 * SECOND);
        // A list that the daemon itself requests shows the loss only after its read of the value.
        round(&checks);
        let list = Request::ListUserData(crate::metadata::api::request::Format::Json);
        checks.take_answer(RequestOrigin::Rounds, checks.begin_request(), &list, &answer(200));
        assert!(tokio::time::timeout(60 * SECOND, checks.due()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn h4_value_of_other_keys_is_not_known_to_be_published() {
        let checks = checks();
        round(&checks);
        let other = PublicKey::parse(&KEY.replace(" x", " y")).expect("a key");
        checks.set_right_value(published_value([&other]).as_ref());
        assert_eq!(checks.shared_status.read().fingerprints, Fingerprints::Waiting);
        // An answer that was sent before is compared with the new value.
        read(&checks, RequestOrigin::Rounds, checks.begin_request(), 200);
        assert_eq!(checks.shared_status.read().fingerprints, Fingerprints::Waiting);
    }
}
