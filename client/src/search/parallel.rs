//! The same call in several zones or regions, side by side. A call that does not end in time is left behind: the run
//! ends, and it with it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::api::error::ApiError;
use crate::util::deadline::Deadline;

/// The results, in the order of their arrival.
pub(crate) struct Results<T> {
    receiver: Receiver<Result<T, ApiError>>,
    left: usize,
    deadline: Deadline,
}

/// Starts the call for each of these.
pub(crate) fn each<I, T, F>(items: Vec<I>, deadline: Deadline, call: F) -> Results<T>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Fn(&I) -> Result<T, ApiError> + Send + Sync + 'static,
{
    let (sender, receiver) = channel();
    let (call, left) = (Arc::new(call), items.len());
    for item in items {
        let (to_us, call) = (sender.clone(), Arc::clone(&call));
        if thread::Builder::new().spawn(move || drop(to_us.send(call(&item)))).is_err() {
            drop(sender.send(Err(ApiError::Unreachable("no thread can be started".to_owned()))));
        }
    }
    Results { receiver, left, deadline }
}

impl<T> Iterator for Results<T> {
    type Item = Result<T, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let left = self.deadline.left().unwrap_or_default();
        let received = self.receiver.recv_timeout(left);
        if received.is_err() {
            self.left = 0;
        }
        Some(received.unwrap_or(Err(ApiError::Timeout)))
    }
}

/// The first hit. Without one, a call that failed is an error: the hit may be there.
pub(crate) fn first<T>(
    results: impl Iterator<Item = Result<Option<T>, ApiError>>,
) -> Result<Option<T>, ApiError> {
    let mut failed = None;
    for result in results {
        match result {
            Ok(Some(hit)) => return Ok(Some(hit)),
            Ok(None) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// All results, or the first error.
pub(crate) fn all<T>(results: impl Iterator<Item = Result<Vec<T>, ApiError>>) -> Result<Vec<T>, ApiError> {
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn hit_counts_before_errors_and_errors_before_nothing() {
        let error = || Err(ApiError::Timeout);
        for (results, expected) in [
            (vec![Ok(None), error(), Ok(Some(1))], Ok(Some(1))),
            (vec![Ok(None), error()], error()),
            (vec![Ok(None), Ok(None)], Ok(None)),
            (vec![], Ok(None)),
        ] {
            assert_eq!(first(results.into_iter()), expected);
        }
    }

    #[test]
    fn call_that_does_not_end_is_a_timeout() {
        let deadline = Deadline::after(Duration::from_millis(50));
        let results = each(vec![0, 1], deadline, |item| {
            if *item == 1 {
                thread::sleep(Duration::from_secs(600));
            }
            Ok(Vec::<()>::new())
        });
        assert_eq!(all(results), Err(ApiError::Timeout));
    }
}
