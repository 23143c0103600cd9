//! What every command needs of its process: the two ways out, and an event loop.
//!
//! All that a command prints goes through here and is escaped by [`crate::util::printable`], because names and values come from elsewhere and must
//! not steer the terminal of root. The values that a command was asked for go byte for byte to a file or a pipe, and escaped to a terminal.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::command::exit::Exit;
use crate::command::help::{AGENT, Program};
use crate::command::rows::Rows;
use crate::scripts::history::running::RunningScript;
use crate::scripts::paths::SetupPaths;
use crate::util::files;
use crate::util::printable;

/// Prints lines.
pub(crate) fn print(text: &str) -> Exit {
    write(&AGENT, printable::lines(text.as_bytes()).as_bytes())
}

/// Prints rows, whose cells are escaped already: they may be coloured.
pub(crate) fn print_rows(rows: &Rows) -> Exit {
    write(&AGENT, rows.text().as_bytes())
}

/// Prints a JSON document.
pub(crate) fn print_json(document: &str) -> Exit {
    write(&AGENT, (printable::json(document) + "\n").as_bytes())
}

/// Prints bytes as they are; on a terminal escaped, and with a line end, so that the prompt stands on a line of its own.
pub(crate) fn print_bytes(program: &Program, bytes: &[u8]) -> Exit {
    told(program, try_print_bytes(bytes))
}

/// The same for somebody who stops at an error, which [`told`] makes an exit code of.
pub(crate) fn try_print_bytes(bytes: &[u8]) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return try_write(bytes);
    }
    let mut shown = printable::lines(bytes);
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    try_write(shown.as_bytes())
}

fn write(program: &Program, bytes: &[u8]) -> Exit {
    told(program, try_write(bytes))
}

fn try_write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Whether somebody reads standard output: a pipe that nobody reads tells it before it is written to.
pub(crate) fn has_reader() -> bool {
    let out = io::stdout();
    let mut looked = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let asked = poll(&mut looked, PollTimeout::ZERO);
    asked.is_err() || looked[0].revents().is_none_or(|events| !events.contains(PollFlags::POLLERR))
}

/// What came of writing to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn told(program: &Program, written: io::Result<()>) -> Exit {
    match written {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            program.failed(&format!("standard output cannot be written: {why}"), Exit::Failure)
        }
        _ => Exit::Success,
    }
}

/// Prints one line to standard error.
pub(crate) fn complain(program: &Program, what: &dyn std::fmt::Display) {
    let line = format!("{}: {}\n", program.name, printable::line(&what.to_string()));
    // Without standard error there is nobody to tell.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Prints lines of this program's own to standard error.
pub(crate) fn complain_lines(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A panic is told by its place in the source alone: its text may quote what the program worked on (invariant S3).
pub(crate) fn hide_panic_texts(program: &'static Program) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        complain(program, &format!("internal error: panicked{}", place.unwrap_or_default()));
    }));
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future<Output = Exit>>(future: F) -> Exit {
    on_this_thread(future).unwrap_or_else(|why| {
        AGENT.failed(&format!("the event loop cannot be started: {why}"), Exit::Failure)
    })
}

/// The same for what is not a whole command.
pub(crate) fn on_this_thread<F: Future>(future: F) -> io::Result<F::Output> {
    // The further threads look up groups, which may hang: see `local_api::peer`. The end does not wait for them.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// The script or the program that started this process, directly or not, where this boot's work is not done before it ends.
pub(crate) fn script_of_this_process() -> Option<String> {
    let running = RunningScript::read(&SetupPaths::default().running).ok().flatten();
    let mut pid = i32::try_from(std::process::id()).ok()?;
    // What a script left behind has another parent than the script.
    for _ in 0..MOST_ANCESTORS {
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

/// More than any process has.
const MOST_ANCESTORS: u32 = 1000;

fn parent(pid: i32) -> Option<i32> {
    let stat = files::read_bounded(Path::new(&format!("/proc/{pid}/stat")), 4096).ok().flatten()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // A process may call itself `) 1 (`.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_cloud_init(pid: i32) -> bool {
    let path = format!("/proc/{pid}/cmdline");
    let line = files::read_bounded(Path::new(&path), 64 * 1024).ok().flatten().unwrap_or_default();
    line.split(|byte| *byte == 0).take(2).any(|word| word.ends_with(b"/cloud-init"))
}
