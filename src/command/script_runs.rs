//! `scw-agent setup list` and `setup show`: the runs of scripts, and the one that runs now.

use std::thread::sleep;
use std::time::Duration;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{has_reader, print, print_bytes, print_json, told, try_print_bytes};
use crate::command::status;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::{Outcome, Record, Records, Run};
use crate::scripts::history::running::RunningScript;
use crate::scripts::paths::SetupPaths;
use crate::scripts::run::live_output::OutputReader;
use crate::util::printable;

/// What is longer is shown before its end has come.
const LONGEST_LINE: usize = 64 * 1024;
/// Between two looks at the output of a script that runs.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn list(json: bool) -> Exit {
    // Who looks for a script here may find why it did not run. In JSON it is in the status.
    if !json {
        status::tell_suspect_keys();
    }
    let records = match open() {
        Ok(records) => records,
        Err(exit) => return exit,
    };
    let keys = match records.keys() {
        Ok(keys) => keys,
        Err(why) => return AGENT.failed(&why, Exit::Failure),
    };
    let running = running();
    let mut text = String::new();
    let mut all = serde_json::Map::new();
    let mut exit = Exit::Success;
    for key in keys {
        match records.read(&key) {
            Ok(record) if json => {
                all.insert(key.as_str().to_owned(), as_json(&record.runs, running.as_ref()));
            }
            Ok(record) => {
                let last = record.runs.last().map(|run| line(run, running.as_ref())).unwrap_or_default();
                text.push_str(&format!("{key}  {last}\n"));
            }
            Err(why) => {
                exit = AGENT.failed(&format!("{key}: {why}"), Exit::Failure);
            }
        }
    }
    let printed = if json { print_json(&serde_json::Value::Object(all).to_string()) } else { print(&text) };
    match printed {
        Exit::Success => exit,
        exit => exit,
    }
}

/// With `follow`, what a script that runs prints is shown until it ends.
pub(crate) fn show(key: &str, json: bool, follow: bool) -> Exit {
    let key = match UserDataKey::new(key) {
        Ok(key) => key,
        Err(why) => return AGENT.misused(&why.to_string()),
    };
    let runs = match runs_of(&key) {
        Ok(runs) => runs,
        Err(exit) => return exit,
    };
    let running = running();
    match runs.last() {
        None => AGENT.failed(&format!("there is no record of a script {key}"), Exit::NotFound),
        Some(_) if json => print_json(&as_json(&runs, running.as_ref()).to_string()),
        Some(last) => {
            let mut text: String =
                runs.iter().map(|run| format!("{}\n", line(run, running.as_ref()))).collect();
            if let Some(running) = running.filter(|running| running.is(last)) {
                return show_running(&key, &running, &text, follow);
            }
            if !last.output.is_empty() {
                let output = last.output.trim_end_matches('\n');
                text.push_str(&format!("--- the end of its output ---\n{output}\n"));
            }
            // To a terminal nothing of a script's output goes raw; to a file or a pipe, all of it.
            print_bytes(&AGENT, text.as_bytes())
        }
    }
}

/// A script that runs, with its output so far.
fn show_running(key: &UserDataKey, run: &RunningScript, text: &str, follow: bool) -> Exit {
    let mut reader = match OutputReader::open(&run.output(&SetupPaths::default().outputs)) {
        Ok(reader) => reader,
        Err(why) => return AGENT.failed(&format!("its output cannot be read: {why}"), Exit::Failure),
    };
    let mut shown = format!("{text}--- its output so far ---\n").into_bytes();
    loop {
        // Asked before the last look at its output, so that nothing of it is missed.
        let goes_on = running().as_ref() == Some(run);
        while let Some(bytes) =
            reader.as_mut().and_then(|reader| reader.read().ok()).filter(|bytes| !bytes.is_empty())
        {
            shown.extend(bytes);
        }
        let is_last = !follow || !goes_on;
        // Whole lines: a character may not be whole yet. A line without an end is not awaited for ever.
        let whole = match shown.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last || shown.len() > LONGEST_LINE => shown.len(),
            at => at.map_or(0, |at| at + 1),
        };
        let lines: Vec<_> = shown.drain(..whole).collect();
        if !lines.is_empty() {
            let printed = try_print_bytes(&lines);
            if printed.is_err() {
                return told(&AGENT, printed);
            }
        }
        if is_last || !has_reader() {
            break;
        }
        sleep(PAUSE);
    }
    if !follow {
        return Exit::Success;
    }
    let runs = runs_of(key).unwrap_or_default();
    let ended = runs.iter().find(|known| known.started == run.started && known.attempt == run.attempt);
    ended.map_or(Exit::Success, |run| print(&format!("--- {}\n", line(run, None))))
}

fn running() -> Option<RunningScript> {
    RunningScript::read(&SetupPaths::default().running).ok().flatten()
}

fn runs_of(key: &UserDataKey) -> Result<Vec<Run>, Exit> {
    let Record { runs, .. } = open()?.read(key).map_err(|why| AGENT.failed(&why, Exit::Failure))?;
    Ok(runs)
}

/// The runs as they are recorded; the one that runs now has `running`.
fn as_json(runs: &[Run], running: Option<&RunningScript>) -> serde_json::Value {
    let mut json = serde_json::json!(runs);
    for (at, _) in runs.iter().enumerate().filter(|(_, run)| running.is_some_and(|running| running.is(run))) {
        json[at]["running"] = true.into();
    }
    json
}

fn line(run: &Run, running: Option<&RunningScript>) -> String {
    let unended = if running.is_some_and(|running| running.is(run)) { "running" } else { "cut off" };
    let outcome = run.outcome.as_ref().map_or(unended.to_owned(), Outcome::to_string);
    let length =
        run.ended.map(|ended| format!(" after {}", humantime::format_duration(ended.since(run.started))));
    let outcome = printable::line(&outcome);
    format!("{}  {outcome}{} (attempt {})", run.started, length.unwrap_or_default(), run.attempt)
}

/// The records are root's; looking at them must not make the folder.
fn open() -> Result<Records, Exit> {
    let state = SetupPaths::default().state;
    match std::fs::read_dir(&state) {
        Ok(_) => Records::open(&state).map_err(|why| AGENT.failed(&why, Exit::Failure)),
        Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(AGENT.failed(&"only root may see the records of scripts", Exit::NotPermitted))
        }
        Err(_) => Err(AGENT.failed(&"no script has run on this machine", Exit::NotFound)),
    }
}
