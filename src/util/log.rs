//! Where events go: to the journal with their fields when systemd runs this program, to standard error when a person does.
//!
//! Both ways are here, so that this holds for every event: a message is one line, whatever a name in it holds, and on standard error nothing
//! in it can steer a terminal. What must not stand in a message at all is the callers' part (invariant S3, see [`crate::util::printable`]).

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
/// A value is cut off here, in bytes: an entry must fit into one datagram. A script's lines are shorter.
const LONGEST: usize = 32 * 1024;

/// Sets up the process's log; `name` is what the journal shows as the identifier.
pub(crate) fn start(name: &'static str) {
    let journal = if is_the_journal() { UnixDatagram::unbound().ok() } else { None };
    // An empty entry is ignored. It shows whether the journal is there.
    let journal = journal.filter(|socket| socket.send_to(&[], JOURNAL).is_ok());
    let log = match journal {
        Some(socket) => Log::Journal { socket, name },
        None => Log::StandardError,
    };
    // It fails where a log was set up already; then that one stays.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Whether events go into the journal.
///
/// systemd names device and inode of the stream that it gave the service; a child whose standard error was sent elsewhere
/// inherits the variable, and must not write to the journal behind its caller's back.
pub(crate) fn is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

enum Log {
    Journal { socket: UnixDatagram, name: &'static str },
    StandardError,
}

/// Spans are not used in this program.
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
        // A log that cannot be written to keeps nobody from the work.
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

/// As syslog counts. Most lines are informational: journalctl shows "notice" in bold.
fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// One entry in the journal's own form: a field's name, its length, its value. So a value cannot add a field.
#[derive(Default)]
struct JournalEntry {
    bytes: Vec<u8>,
}

impl JournalEntry {
    fn put(&mut self, name: &str, value: &str) {
        let mut value = printable::without_line_breaks(value);
        if value.len() > LONGEST {
            value.truncate((0..=LONGEST).rev().find(|end| value.is_char_boundary(*end)).unwrap_or_default());
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

/// The text for a person: the fields are for the journal, and the message says it all.
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
