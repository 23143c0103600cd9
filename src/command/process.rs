//! What every command needs of its process: standard output, and an event loop.

use std::future::Future;

use super::exit::Exit;
use super::help::AGENT;

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Exit {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
            AGENT.failed(&format!("standard output cannot be written: {why}"), Exit::Failure)
        }
        _ => Exit::Success,
    }
}

/// Runs a future on this thread.
pub(super) fn block_on<F: Future<Output = Exit>>(future: F) -> Exit {
    on_this_thread(future).unwrap_or_else(|why| {
        AGENT.failed(&format!("the event loop cannot be started: {why}"), Exit::Failure)
    })
}

/// The same for what is not a whole command.
pub(super) fn on_this_thread<F: Future>(future: F) -> std::io::Result<F::Output> {
    // The further threads look up groups, which may hang: see `local_api::peer`. The end does not wait for them.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
