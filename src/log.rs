//! Where events go: into the journal with their fields when systemd runs us, to standard error when a person does.
//!
//! Never a user data value, never a script's body, at any level (law S3).

use std::os::unix::fs::MetadataExt;

use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up the process's log; `name` is what the journal shows as the identifier.
pub fn start(name: &str) {
    let journal = is_the_journal().then(|| tracing_journald::layer().ok()).flatten().map(|layer| {
        layer.with_field_prefix(None).with_syslog_identifier(name.to_owned()).with_priority_mappings(
            PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                // Its own default is "notice", which would make every line stand out.
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            },
        )
    });
    let text = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            // The fields are for the journal; the text says it all.
            .fmt_fields(format::debug_fn(|out, field, value| match field.name() {
                "message" => write!(out, "{value:?}"),
                _ => Ok(()),
            }))
    });
    tracing_subscriber::registry().with(LevelFilter::INFO).with(journal).with(text).init();
}

/// Whether events go into the journal.
///
/// systemd names device and inode of the stream that it gave the service; a child whose standard error was sent elsewhere
/// inherits the variable, and must not write to the journal behind its caller's back.
pub fn is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
