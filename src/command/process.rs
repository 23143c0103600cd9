//! What every command needs of its process: the two ways out, and an event loop.
//!
//! All that a command prints goes through here and is escaped by [`crate::printable`], because names and values come from elsewhere and must
//! not steer the terminal of root. The values that a command was asked for go byte for byte to a file or a pipe, and escaped to a terminal.

use std::future::Future;
use std::io::{self, IsTerminal, Write};

use super::exit::Exit;
use super::help::{AGENT, Program};
use super::rows::Rows;
use crate::printable;

/// Prints lines.
pub(super) fn print(text: &str) -> Exit {
    write(&AGENT, printable::lines(text.as_bytes()).as_bytes())
}

/// Prints rows, whose cells are escaped already: they may be coloured.
pub(super) fn print_rows(rows: &Rows) -> Exit {
    write(&AGENT, rows.text().as_bytes())
}

/// Prints a JSON document.
pub(super) fn print_json(document: &str) -> Exit {
    write(&AGENT, (printable::json(document) + "\n").as_bytes())
}

/// Prints bytes as they are; on a terminal escaped, and with a line end, so that the prompt stands on a line of its own.
pub(super) fn print_bytes(program: &Program, bytes: &[u8]) -> Exit {
    if !io::stdout().is_terminal() {
        return write(program, bytes);
    }
    let mut shown = printable::lines(bytes);
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    write(program, shown.as_bytes())
}

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
fn write(program: &Program, bytes: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            program.failed(&format!("standard output cannot be written: {why}"), Exit::Failure)
        }
        _ => Exit::Success,
    }
}

/// Prints one line to standard error.
pub(super) fn complain(program: &Program, what: &dyn std::fmt::Display) {
    let line = format!("{}: {}\n", program.name, printable::line(&what.to_string()));
    // Without standard error there is nobody to tell.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// A panic is told by its place in the source alone: its text may quote what the program worked on (invariant S3).
pub(super) fn hide_panic_texts(program: &'static Program) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        complain(program, &format!("internal error: panicked{}", place.unwrap_or_default()));
    }));
}

/// Runs a future on this thread.
pub(super) fn block_on<F: Future<Output = Exit>>(future: F) -> Exit {
    on_this_thread(future).unwrap_or_else(|why| {
        AGENT.failed(&format!("the event loop cannot be started: {why}"), Exit::Failure)
    })
}

/// The same for what is not a whole command.
pub(super) fn on_this_thread<F: Future>(future: F) -> io::Result<F::Output> {
    // The further threads look up groups, which may hang: see `local_api::peer`. The end does not wait for them.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
