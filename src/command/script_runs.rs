//! `scw-agent setup list` and `setup show`: print the recorded runs of scripts, and the one that is running.

use std::thread::sleep;
use std::time::Duration;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{exit_of_write, has_reader, print, print_bytes, print_json, try_print_bytes};
use crate::command::status;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::history::record::{Outcome, Record, Records, Run};
use crate::scripts::history::running::RunningScript;
use crate::scripts::paths::SetupPaths;
use crate::scripts::run::live_output::OutputReader;
use crate::util::printable;

/// A longer line is printed before its end has come.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The interval at which the output of a running script is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn list(json: bool) -> Exit {
    // A user who misses a script here can see why it did not run. In JSON the status has the suspect keys.
    if !json {
        status::print_suspect_keys();
    }
    let records = match open_records() {
        Ok(records) => records,
        Err(exit) => return exit,
    };
    let keys = match records.keys() {
        Ok(keys) => keys,
        Err(why) => return AGENT.fail(&why, Exit::Failure),
    };
    let running = running();
    let mut text = String::new();
    let mut all = serde_json::Map::new();
    let mut exit = Exit::Success;
    for key in keys {
        match records.read(&key) {
            Ok(record) if json => {
                all.insert(key.as_str().to_owned(), to_json(&record.runs, running.as_ref()));
            }
            Ok(record) => {
                let last = record.runs.last().map(|run| describe(run, running.as_ref())).unwrap_or_default();
                text.push_str(&format!("{key}  {last}\n"));
            }
            Err(why) => exit = AGENT.fail(&format!("{key}: {why}"), Exit::Failure),
        }
    }
    let printed = if json { print_json(&serde_json::Value::Object(all).to_string()) } else { print(&text) };
    printed.or(exit)
}

/// Prints a script's runs. With `follow`, prints the output of a running script until it ends.
pub(crate) fn show(key: &str, json: bool, follow: bool) -> Exit {
    let key = match UserDataKey::new(key) {
        Ok(key) => key,
        Err(why) => return AGENT.fail_usage(&why.to_string()),
    };
    let runs = match runs_of(&key) {
        Ok(runs) => runs,
        Err(exit) => return exit,
    };
    let running = running();
    match runs.last() {
        None => AGENT.fail(&format!("there is no record of a script {key}"), Exit::NotFound),
        Some(_) if json => print_json(&to_json(&runs, running.as_ref()).to_string()),
        Some(last) => {
            let mut text: String =
                runs.iter().map(|run| format!("{}\n", describe(run, running.as_ref()))).collect();
            if let Some(running) = running.filter(|running| running.is_run(last)) {
                return show_running(&key, &running, &text, follow);
            }
            if !last.output.is_empty() {
                let output = last.output.trim_end_matches('\n');
                text.push_str(&format!("--- the end of its output ---\n{output}\n"));
            }
            // On a terminal, a script's output is escaped; to a file or a pipe, it goes unchanged.
            print_bytes(&AGENT, text.as_bytes())
        }
    }
}

/// Prints a running script and its output so far.
fn show_running(key: &UserDataKey, run: &RunningScript, text: &str, follow: bool) -> Exit {
    let mut reader = match OutputReader::open(&run.output_path(&SetupPaths::default().outputs)) {
        Ok(reader) => reader,
        Err(why) => return AGENT.fail(&format!("its output cannot be read: {why}"), Exit::Failure),
    };
    let mut pending = format!("{text}--- its output so far ---\n").into_bytes();
    loop {
        // Checked before the output is read for the last time, so that no output is missed.
        let is_running = running().as_ref() == Some(run);
        while let Some(bytes) =
            reader.as_mut().and_then(|reader| reader.read().ok()).filter(|bytes| !bytes.is_empty())
        {
            pending.extend(bytes);
        }
        let is_last = !follow || !is_running;
        // Print complete lines only, because the last character may be incomplete. Do not wait for ever for
        // the end of a line.
        let complete_bytes = match pending.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last || pending.len() > MAX_LINE_BYTES => pending.len(),
            index => index.map_or(0, |index| index + 1),
        };
        let lines: Vec<_> = pending.drain(..complete_bytes).collect();
        if !lines.is_empty() {
            let printed = try_print_bytes(&lines);
            if printed.is_err() {
                return exit_of_write(&AGENT, printed);
            }
        }
        if is_last || !has_reader() {
            break;
        }
        sleep(POLL_INTERVAL);
    }
    if !follow {
        return Exit::Success;
    }
    let runs = runs_of(key).unwrap_or_default();
    let ended =
        runs.iter().find(|recorded| recorded.started == run.started && recorded.attempt == run.attempt);
    ended.map_or(Exit::Success, |run| print(&format!("--- {}\n", describe(run, None))))
}

fn running() -> Option<RunningScript> {
    RunningScript::read(&SetupPaths::default().running).ok().flatten()
}

fn runs_of(key: &UserDataKey) -> Result<Vec<Run>, Exit> {
    let Record { runs, .. } = open_records()?.read(key).map_err(|why| AGENT.fail(&why, Exit::Failure))?;
    Ok(runs)
}

/// The recorded runs as JSON; the running one has the field `running`.
fn to_json(runs: &[Run], running: Option<&RunningScript>) -> serde_json::Value {
    let mut json = serde_json::json!(runs);
    for (index, _) in
        runs.iter().enumerate().filter(|(_, run)| running.is_some_and(|running| running.is_run(run)))
    {
        json[index]["running"] = true.into();
    }
    json
}

fn describe(run: &Run, running: Option<&RunningScript>) -> String {
    let unended = if running.is_some_and(|running| running.is_run(run)) { "running" } else { "cut off" };
    let outcome = run.outcome.as_ref().map_or(unended.to_owned(), Outcome::to_string);
    let length =
        run.ended.map(|ended| format!(" after {}", humantime::format_duration(ended.since(run.started))));
    let outcome = printable::line(&outcome);
    format!("{}  {outcome}{} (attempt {})", run.started, length.unwrap_or_default(), run.attempt)
}

/// Opens the records, which belong to root. Reading them must not create the folder.
fn open_records() -> Result<Records, Exit> {
    let state = SetupPaths::default().state;
    match std::fs::read_dir(&state) {
        Ok(_) => Records::open(&state).map_err(|why| AGENT.fail(&why, Exit::Failure)),
        Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(AGENT.fail(&"only root may see the records of scripts", Exit::NotPermitted))
        }
        Err(_) => Err(AGENT.fail(&"no script has run on this machine", Exit::NotFound)),
    }
}
