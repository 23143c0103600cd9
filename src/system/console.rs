//! Writes short lines to the machine's console: the start and the end of scripts, and the fingerprints of the host keys. The owner
//! of an Instance can read the console from outside, also when the machine does not answer. On by default (`[console] enabled`).
//!
//! Only the commands of root's units write here, never the daemon. A line contains names, numbers and fixed texts, and no part of a
//! value (invariant S3). A line is lost if the console is full or does not exist: no work waits for the console or fails because of
//! it.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::OFlag;

use crate::util::printable;

const PATH: &str = "/dev/console";
const PREFIX: &str = "scw-agent: ";
/// The limit for a line in bytes, including the line feed. A longer line is truncated and ends with `...`.
const MAX_LINE_BYTES: usize = 200;

/// The console, if lines are to be written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Whether lines are written.
    pub enabled: bool,
}

impl Console {
    /// Writes a line, with one system call.
    pub fn print_line(self, text: &dyn fmt::Display) {
        if self.enabled {
            // An error is ignored, because nothing depends on the console.
            let _ = write(&line(&text.to_string()));
        }
    }
}

fn write(line: &str) -> std::io::Result<()> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    // Opened for each line, because a login prompt that starts hangs up all processes that have the console open.
    let mut console = OpenOptions::new().write(true).custom_flags(flags.bits()).open(PATH)?;
    // If /dev/console is a regular file by mistake, it must not grow.
    if console.metadata()?.file_type().is_char_device() {
        let _ = console.write(line.as_bytes())?;
    }
    Ok(())
}

fn line(text: &str) -> String {
    let shown = printable::line(text).to_string();
    let max = MAX_LINE_BYTES - PREFIX.len() - 1;
    let end = (0..=max - 3).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or_default();
    let (text, more) = if shown.len() > max { (&shown[..end], "...") } else { (&*shown, "") };
    format!("{PREFIX}{text}{more}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_console_line_is_one_bounded_line() {
        assert_eq!(line("setup-script: started"), "scw-agent: setup-script: started\n");
        assert_eq!(line("a\u{1b}[2J\nb\u{202e}"), "scw-agent: a\\u{1b}[2J\\nb\\u{202e}\n");
        for text in ["x".repeat(1000), "\u{e9}".repeat(1000), "\u{1f511}".repeat(400), "\u{202e}".repeat(400)]
        {
            let line = line(&text);
            assert!((MAX_LINE_BYTES - 4..=MAX_LINE_BYTES).contains(&line.len()), "{line}");
            assert!(line.ends_with("...\n"), "{line}");
            assert_eq!(line.matches('\n').count(), 1);
        }
        let fits = "x".repeat(MAX_LINE_BYTES - PREFIX.len() - 1);
        assert_eq!(line(&fits), format!("{PREFIX}{fits}\n"));
    }
}
