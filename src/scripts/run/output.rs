//! A script's output on its way to the log, line by line, with its end kept (law S2).
//!
//! Lines go through a thread of their own: a journal that hangs must not keep the runner from ending a script whose time is up. When
//! the thread cannot keep up, the script waits at its pipe, as it would for any slow reader; nothing is dropped.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::run::live_output::LiveOutput;

/// The end of the output that is kept, in bytes.
const TAIL: usize = 4096;
/// A line that is longer goes to the log in pieces of this many bytes.
const LONGEST_LINE: usize = 8192;
/// Lines on their way to the log.
const MOST_WAITING: usize = 64;
/// How long the log may take for the last lines.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Where a script's output goes.
pub(crate) struct ScriptOutput {
    line: Vec<u8>,
    tail: Vec<u8>,
    ready: VecDeque<String>,
    /// For those who look on; `None` where it cannot be written.
    live: Option<LiveOutput>,
    to_log: mpsc::Sender<String>,
    logged: oneshot::Receiver<()>,
}

impl ScriptOutput {
    /// # Errors
    /// If the system gives no further thread.
    pub(crate) fn new(key: &UserDataKey, live: Option<LiveOutput>) -> io::Result<Self> {
        let (to_log, mut lines) = mpsc::channel::<String>(MOST_WAITING);
        let (done, logged) = oneshot::channel();
        let key = key.clone();
        let log = move || {
            while let Some(line) = lines.blocking_recv() {
                tracing::info!(SCW_SCRIPT = %key, "{key}: {line}");
            }
            let _ = done.send(());
        };
        thread::Builder::new().spawn(log)?;
        Ok(Self { line: Vec::new(), tail: Vec::new(), ready: VecDeque::new(), live, to_log, logged })
    }

    /// Takes what was read.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.live.as_mut().is_some_and(|live| live.add(bytes).is_err()) {
            self.live = None;
        }
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LONGEST_LINE) {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
        self.ready.push_back(line.into_owned());
        self.line.clear();
    }

    /// Whether lines wait for the log; then no more may be read.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// How many lines wait for the log.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Hands lines to the log as it takes them. Can be broken off at any time.
    pub(crate) async fn pass_on(&mut self) {
        while !self.ready.is_empty() {
            // The thread lives as long as this.
            let Ok(place) = self.to_log.reserve().await else { return self.ready.clear() };
            if let Some(line) = self.ready.pop_front() {
                place.send(line);
            }
        }
    }

    /// The end of the output, once the log has it all, or has had its time.
    pub(crate) async fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        let tail = String::from_utf8_lossy(&self.tail).into_owned();
        let last_lines = async move {
            self.pass_on().await;
            drop(self.to_log);
            let _ = self.logged.await;
        };
        if timeout(LAST_LINES, last_lines).await.is_err() {
            #[expect(clippy::print_stderr, reason = "the log is what hangs")]
            {
                eprintln!("the log does not take a script's last lines");
            }
        }
        tail
    }
}
