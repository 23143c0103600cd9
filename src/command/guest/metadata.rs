//! `scw-metadata` and `scw-metadata-json`: the service's own text.
//!
//! `--cached` uses a file in /run. It belongs to root, and only root may read it, because tags can have secrets. Where it cannot be read, the
//! service is asked.

use std::path::Path;
use std::time::Duration;

use hyper::body::Bytes;

use crate::command::exit::Exit;
use crate::command::grammar::Program;
use crate::command::guest::arguments::Parsed;
use crate::command::guest::asking::ask_then;
use crate::command::guest::programs::CACHED;
use crate::command::process::{print_bytes, print_error};
use crate::metadata::api::conf_text::{self, KeyPattern};
use crate::metadata::api::request::{Format, Request};
use crate::metadata::api::response::Ask;
use crate::util::files;

/// The cache of the original command, with its path.
const CACHE: &str = "/run/scw-metadata.cache";
/// Held while the cache is written.
const CACHE_LOCK: &str = "/run/scw-metadata.lock";
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn metadata(program: &'static Program, parsed: Parsed) -> Exit {
    let pattern = match parsed.operand.as_deref().map(KeyPattern::parse).transpose() {
        Ok(pattern) => pattern,
        Err(why) => return program.fail_usage(&why.to_string()),
    };
    let print = |text: &[u8]| match &pattern {
        None => print_text(program, text),
        Some(pattern) => {
            let values = conf_text::values(text, pattern);
            print_text(
                program,
                &values.iter().flat_map(|value| [value, &b"\n"[..]].concat()).collect::<Vec<_>>(),
            )
        }
    };
    let is_cached = parsed.has(&CACHED);
    match read_cache().filter(|_| is_cached) {
        Some(text) => print(&text),
        None => ask_then(
            program,
            Exit::Failure,
            async |api| api.text(Request::Conf(Format::Text)).await,
            |text| {
                if is_cached {
                    write_cache(program, &text);
                }
                print(&text)
            },
        ),
    }
}

/// Prints bytes as they are. Nothing is no line, also on a terminal.
fn print_text(program: &Program, text: &[u8]) -> Exit {
    if text.is_empty() { Exit::Success } else { print_bytes(program, text) }
}

pub(super) fn metadata_json(program: &'static Program, _: Parsed) -> Exit {
    ask_then(
        program,
        Exit::Failure,
        async |api| api.text(Request::Conf(Format::Json)).await,
        |text| print_bytes(program, &[&text, &b"\n"[..]].concat()),
    )
}

/// The cached text; `None` if there is none that this user can read.
fn read_cache() -> Option<Bytes> {
    let limit = Request::Conf(Format::Text).max_answer_bytes() as u64;
    let text = files::read_bounded(Path::new(CACHE), limit).ok().flatten()?;
    (!text.is_empty()).then(|| text.into())
}

/// Writes the cache, as root. Another user has no cache.
pub(super) fn write_cache(program: &Program, text: &[u8]) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // Several scripts may ask at the same time.
    let lock = files::lock_within(Path::new(CACHE_LOCK), LOCK_PATIENCE);
    if let Err(why) = lock.and_then(|_lock| files::write_atomic(Path::new(CACHE), text, 0o600)) {
        print_error(program, &format!("cannot write {CACHE}: {why}"));
    }
}
