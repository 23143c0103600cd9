//! The log. If systemd runs this program, events go to the journal with their fields. If a person runs it, messages go to standard
//! error.
//!
//! This module guarantees for every event: a message is one line, whatever text it contains, and on standard error it cannot
//! control the terminal. The callers must not put secrets into a message (invariant S3, see [`crate::util::printable`]).

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::util::printable;

/// The journal's socket; see systemd's "Native Journal Protocol".
const JOURNAL: &str = "/run/systemd/journal/socket";
/// A longer value is truncated to this many bytes, because an entry must fit into one datagram. The lines of a script are shorter.
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// Starts the log of this process. `name` is the identifier in the journal.
pub(crate) fn start(name: &'static str) {
    let journal = if stderr_is_journal() { UnixDatagram::unbound().ok() } else { None };
    // The journal ignores an empty entry. If it can be sent, the journal is available.
    let journal = journal.filter(|socket| socket.send_to(&[], JOURNAL).is_ok());
    let log = match journal {
        Some(socket) => Log::Journal { socket, name },
        None => Log::StandardError,
    };
    // This fails if a log was started already. Then that log stays.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Whether standard error is connected to the journal.
///
/// `JOURNAL_STREAM` has the device and the inode of the stream that systemd gave to the service. A child process inherits the
/// variable even if its standard error was redirected; then it must not write to the journal.
pub(crate) fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

enum Log {
    Journal { socket: UnixDatagram, name: &'static str },
    StandardError,
}

/// Only events are logged: this program does not use spans.
impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= LevelFilter::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level();
        // A failed write to the log is ignored: it must not stop the program's work.
        match self {
            Self::Journal { socket, name } => {
                let mut entry = JournalEntry::default();
                entry.put("PRIORITY", priority(level));
                entry.put("SYSLOG_IDENTIFIER", name);
                event.record(&mut entry);
                let _ = socket.send_to(&entry.bytes, JOURNAL);
            }
            Self::StandardError => {
                let mut message = Message::default();
                event.record(&mut message);
                let line = format!("{level:>5} {}\n", printable::line(&message.text));
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            }
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The syslog priority. Most messages have priority 6 (info), because journalctl shows 5 (notice) in bold.
fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// One entry in the journal's binary form: for each field its name, the length of the value, and the value. So a value cannot add a
/// field.
#[derive(Default)]
struct JournalEntry {
    bytes: Vec<u8>,
}

impl JournalEntry {
    fn put(&mut self, name: &str, value: &str) {
        let mut value = printable::without_line_breaks(value);
        if value.len() > MAX_VALUE_BYTES {
            let end = (0..=MAX_VALUE_BYTES).rev().find(|end| value.is_char_boundary(*end));
            value.truncate(end.unwrap_or_default());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(b'\n');
    }
}

impl Visit for JournalEntry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = if field.name() == "message" { "MESSAGE" } else { field.name() };
        self.put(name, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// The message for a person. It is complete without the fields, which are for the journal.
#[derive(Default)]
struct Message {
    text: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
}
