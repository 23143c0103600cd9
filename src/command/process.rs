//! Functions that every command needs: output, error output, and an event loop.
//!
//! All output of a command goes through here and is escaped by [`crate::util::printable`], because names and
//! values come from outside and must not control root's terminal. Values that a command was asked to print go
//! unchanged to a file or a pipe, and escaped to a terminal.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::help::AGENT;
use crate::command::rows::Rows;
use crate::scripts::history::running::RunningScript;
use crate::scripts::paths::SetupPaths;
use crate::util::files;
use crate::util::printable;

/// Prints lines.
pub(crate) fn print(text: &str) -> Exit {
    exit_of_write(&AGENT, try_write(printable::lines(text.as_bytes()).as_bytes()))
}

/// Prints rows. Their cells are escaped already, since they may contain colours.
pub(crate) fn print_rows(rows: &Rows) -> Exit {
    exit_of_write(&AGENT, try_write(rows.text().as_bytes()))
}

/// Prints a JSON document.
pub(crate) fn print_json(document: &str) -> Exit {
    exit_of_write(&AGENT, try_write((printable::json(document) + "\n").as_bytes()))
}

/// Prints bytes unchanged; on a terminal escaped and with a newline at the end, so that the prompt begins a
/// new line.
pub(crate) fn print_bytes(program: &Program, bytes: &[u8]) -> Exit {
    exit_of_write(program, try_print_bytes(bytes))
}

/// Like [`print_bytes`], for a caller that stops at an error. [`exit_of_write`] turns the error into an exit
/// code.
pub(crate) fn try_print_bytes(bytes: &[u8]) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return try_write(bytes);
    }
    let mut printed = printable::lines(bytes);
    if !printed.ends_with('\n') {
        printed.push('\n');
    }
    try_write(printed.as_bytes())
}

fn try_write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Whether standard output still has a reader. A pipe without a reader is detected before it is written to.
pub(crate) fn has_reader() -> bool {
    let out = io::stdout();
    let mut poll_fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let polled = poll(&mut poll_fds, PollTimeout::ZERO);
    polled.is_err() || poll_fds[0].revents().is_none_or(|events| !events.contains(PollFlags::POLLERR))
}

/// The exit code of a write to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn exit_of_write(program: &Program, written: io::Result<()>) -> Exit {
    match written {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            program.fail(&format!("cannot write to standard output: {why}"), Exit::Failure)
        }
        _ => Exit::Success,
    }
}

/// Prints one line to standard error.
pub(crate) fn print_error(program: &Program, what: &dyn std::fmt::Display) {
    let line = format!("{}: {}\n", program.name, printable::line(&what.to_string()));
    // Without standard error, the error cannot be reported.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Prints text of this program to standard error, not escaped.
pub(crate) fn print_error_lines(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Reports a panic by its location in the source only, because its text may quote the data that the program
/// worked on (invariant S3).
pub(crate) fn hide_panic_texts(program: &'static Program) {
    std::panic::set_hook(Box::new(move |panic| {
        let location =
            panic.location().map(|location| format!(" at {}:{}", location.file(), location.line()));
        print_error(program, &format!("internal error: panicked{}", location.unwrap_or_default()));
    }));
}

/// Runs a command's future on this thread.
pub(crate) fn block_on<F: Future<Output = Exit>>(future: F) -> Exit {
    on_this_thread(future)
        .unwrap_or_else(|why| AGENT.fail(&format!("cannot start the event loop: {why}"), Exit::Failure))
}

/// Like [`block_on`], for a future that is not a complete command.
pub(crate) fn on_this_thread<F: Future>(future: F) -> io::Result<F::Output> {
    // The additional threads look up groups, which may hang: see `local_api::peer`. The process does not wait
    // for them at its end.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// The script or program among the ancestors of this process that the work of this boot waits for.
pub(crate) fn script_of_this_process() -> Option<String> {
    let running = RunningScript::read(&SetupPaths::default().running).ok().flatten();
    let mut pid = i32::try_from(std::process::id()).ok()?;
    // A leftover process of a script has another parent than the script.
    for _ in 0..MAX_ANCESTORS {
        pid = parent(pid).filter(|pid| *pid > 1)?;
        if let Some(running) = running.as_ref().filter(|running| running.runner == pid) {
            return Some(running.key.clone());
        }
        if is_cloud_init(pid) {
            return Some("cloud-init".to_owned());
        }
    }
    None
}

/// More ancestors than any process has.
const MAX_ANCESTORS: u32 = 1000;

fn parent(pid: i32) -> Option<i32> {
    let stat = files::read_bounded(Path::new(&format!("/proc/{pid}/stat")), 4096).ok().flatten()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // A process may have the name `) 1 (`.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_cloud_init(pid: i32) -> bool {
    let path = format!("/proc/{pid}/cmdline");
    let line = files::read_bounded(Path::new(&path), 64 * 1024).ok().flatten().unwrap_or_default();
    line.split(|byte| *byte == 0).take(2).any(|word| word.ends_with(b"/cloud-init"))
}
