//! Program files that tests write. Another process writes them: while this one has a file open for writing, each child that another thread
//! starts inherits it for a moment, and then the kernel refuses to execute the file ("Text file busy").

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a program with the mode 0755, or replaces it.
///
/// # Panics
/// If that is not possible.
pub fn write_program(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let mut command = Command::new("install");
    command.args(["-m", "755", "/dev/stdin"]).arg(path.as_ref()).stdin(Stdio::piped());
    let mut child = command.spawn().expect("install");
    let written = child.stdin.take().expect("piped").write_all(content.as_ref());
    let ended = child.wait().expect("ended");
    assert!(written.is_ok() && ended.success(), "{}: {written:?}, {ended}", path.as_ref().display());
}
