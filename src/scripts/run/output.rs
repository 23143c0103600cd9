//! Passes a script's output to the log, line by line, and keeps the end of the output (invariant S2).
//!
//! A separate thread writes the lines to the log. So if the journal hangs, the runner can still end a script that timed out.
//! If the thread is too slow, the script waits at its pipe, as for any slow reader. No line is dropped.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::run::live_output::LiveOutput;

/// How much of the end of the output is kept, in bytes.
const TAIL_BYTES: usize = 4096;
/// The maximum length of a line in bytes. A longer line is logged in pieces of this length.
const MAX_LINE_BYTES: usize = 8192;
/// How many lines the thread's queue can hold.
const MAX_QUEUED_LINES: usize = 64;
/// How long the log may take for the last lines.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(10);

/// The output of a script.
pub(crate) struct ScriptOutput {
    /// The current line, which is not complete yet.
    line: Vec<u8>,
    /// The end of the output.
    tail: Vec<u8>,
    /// Complete lines that the thread's queue has no space for yet.
    waiting: VecDeque<String>,
    /// The live output. `None`: it cannot be written.
    live: Option<LiveOutput>,
    to_log: mpsc::Sender<String>,
    /// Receives a message when the thread has logged the last line.
    all_logged: oneshot::Receiver<()>,
}

impl ScriptOutput {
    /// Starts the thread that writes to the log.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn new(key: &UserDataKey, live: Option<LiveOutput>) -> io::Result<Self> {
        let (to_log, mut lines) = mpsc::channel::<String>(MAX_QUEUED_LINES);
        let (finished, all_logged) = oneshot::channel();
        let key = key.clone();
        let log = move || {
            while let Some(line) = lines.blocking_recv() {
                tracing::info!(SCW_SCRIPT = %key, "{key}: {line}");
            }
            let _ = finished.send(());
        };
        thread::Builder::new().spawn(log)?;
        Ok(Self { line: Vec::new(), tail: Vec::new(), waiting: VecDeque::new(), live, to_log, all_logged })
    }

    /// Takes bytes that were read from the script.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.live.as_mut().is_some_and(|live| live.add(bytes).is_err()) {
            self.live = None;
        }
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE_BYTES) {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") || self.line.len() >= MAX_LINE_BYTES {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
        self.waiting.push_back(line.into_owned());
        self.line.clear();
    }

    /// Whether lines wait for the log. Then no more output may be read.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// How many lines wait for the log.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Passes the waiting lines to the log thread as soon as its queue has space. Cancellation loses no line.
    pub(crate) async fn pass_on(&mut self) {
        while !self.waiting.is_empty() {
            // This fails only if the thread has ended, which it does not as long as `self` exists.
            let Ok(permit) = self.to_log.reserve().await else { return self.waiting.clear() };
            if let Some(line) = self.waiting.pop_front() {
                permit.send(line);
            }
        }
    }

    /// Logs the last lines, and returns the end of the output. It waits for the log for 10 s at most.
    pub(crate) async fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        let tail = String::from_utf8_lossy(&self.tail).into_owned();
        let last_lines = async move {
            self.pass_on().await;
            drop(self.to_log);
            let _ = self.all_logged.await;
        };
        if timeout(LAST_LINES_TIMEOUT, last_lines).await.is_err() {
            #[expect(clippy::print_stderr, reason = "the log is what hangs")]
            {
                eprintln!("the log did not accept all of the last lines of a script within 10 s");
            }
        }
        tail
    }
}
