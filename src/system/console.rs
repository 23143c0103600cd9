//! Short lines on the machine's console, which the owner of an Instance can read from outside when nothing else answers: how scripts start
//! and end, and the fingerprints of the host keys. On by default (`[console] enabled`).
//!
//! Only commands of root's units write here, never the daemon. A line holds names, numbers and this program's own words: nothing of a value
//! (invariant S3). It is a courtesy: a console that is full, or is not there, gets nothing, and no work waits for it or fails with it.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::OFlag;

use crate::util::printable;

const PATH: &str = "/dev/console";
const BEGIN: &str = "scw-agent: ";
/// A line has at most so many bytes, with its end. What is longer ends with `...`.
const LONGEST: usize = 200;

/// The console, or none where it is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Whether lines are written.
    pub enabled: bool,
}

impl Console {
    /// Writes a line, with one call.
    pub fn tell(self, text: &dyn fmt::Display) {
        if self.enabled {
            // Nobody can be told that it does not work, and nothing depends on it.
            let _ = write(&line(&text.to_string()));
        }
    }
}

fn write(line: &str) -> std::io::Result<()> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    // Opened for each line: a login prompt that starts hangs up whoever has it open.
    let mut console = OpenOptions::new().write(true).custom_flags(flags.bits()).open(PATH)?;
    // A damaged /dev must not get a file that grows.
    if console.metadata()?.file_type().is_char_device() {
        let _ = console.write(line.as_bytes())?;
    }
    Ok(())
}

fn line(text: &str) -> String {
    let shown = printable::line(text).to_string();
    let room = LONGEST - BEGIN.len() - 1;
    let end = (0..=room - 3).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or_default();
    let (text, more) = if shown.len() > room { (&shown[..end], "...") } else { (&*shown, "") };
    format!("{BEGIN}{text}{more}\n")
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
            assert!(line.len() <= LONGEST && line.len() > LONGEST - 5 && line.ends_with("...\n"), "{line}");
            assert_eq!(line.matches('\n').count(), 1);
        }
        let fits = "x".repeat(LONGEST - BEGIN.len() - 1);
        assert_eq!(line(&fits), format!("{BEGIN}{fits}\n"));
    }
}
