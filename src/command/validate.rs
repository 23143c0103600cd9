//! `scw-agent setup validate`: prints what the agent would do with files if they were values in user data. It
//! reads them and nothing else, and quotes nothing of them. A file's name is printed only if the file exists;
//! otherwise the argument may be a script's text, given in place of the file's name.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{print_json, print_rows};
use crate::command::rows::{RowMark, Rows, colours_wanted};
use crate::metadata::api::request::Request;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::model::settings::SetupSettings;
use crate::scripts::preview::{Prediction, Preview, PreviewPart, RunPlan, SettingSource};
use crate::settings;
use crate::settings::sources::Sources;
use crate::util::files;

const VERSION: u32 = 1;

/// The document of `--json`.
#[derive(Serialize)]
struct ValidateDocument<'a> {
    version: u32,
    files: Vec<ValidatedFile<'a>>,
}

#[derive(Serialize)]
struct ValidatedFile<'a> {
    file: &'a str,
    #[serde(flatten)]
    preview: Preview,
}

/// Runs the command.
pub(crate) fn validate(files: &[String], json: bool) -> Exit {
    let loaded = settings::load(&Sources::default());
    let mut exit = Exit::Success;
    for problem in &loaded.problems {
        exit = AGENT.fail(&format!("{problem}; this file is ignored"), Exit::Usage);
    }
    let mut previews = Vec::new();
    for (number, file) in (1..).zip(files) {
        match preview_file(file, &loaded.settings.setup) {
            Ok(preview) => previews.push(ValidatedFile { file, preview }),
            Err(why) => {
                let missing = why.kind() == std::io::ErrorKind::NotFound;
                let file_exit = if missing { Exit::NotFound } else { Exit::Failure };
                let exists = Path::new(file).symlink_metadata().is_ok();
                let name = if exists { file.clone() } else { format!("file {number} of {}", files.len()) };
                let why = if missing { "there is no such file".to_owned() } else { why.to_string() };
                exit = AGENT.fail(&format!("{name}: {why}"), file_exit);
            }
        }
    }
    if exit == Exit::Success && !previews.iter().all(|file| file.preview.is_good()) {
        exit = Exit::Failure;
    }
    let printed = if json {
        let document = ValidateDocument { version: VERSION, files: previews };
        print_json(&serde_json::to_string_pretty(&document).unwrap_or_default())
    } else {
        let mut rows = Rows::new(colours_wanted());
        previews.iter().for_each(|file| add_rows(file, &mut rows));
        print_rows(&rows)
    };
    printed.or(exit)
}

fn preview_file(file: &str, setup_settings: &SetupSettings) -> std::io::Result<Preview> {
    let path = Path::new(file);
    // The agent would not read more than this from the service, either.
    let limit = Request::GetUserData(UserDataKey::cloud_init()).max_answer_bytes();
    let value = files::read_bounded(path, limit as u64)?.ok_or(std::io::ErrorKind::NotFound)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(Preview::of(name, &value, setup_settings))
}

fn add_rows(file: &ValidatedFile<'_>, rows: &mut Rows) {
    let ValidatedFile { file, preview } = file;
    if preview.parts.is_empty() {
        rows.row(RowMark::Waiting, file, "empty: nothing to run");
    }
    for PreviewPart { name, prediction, warnings } in &preview.parts {
        match prediction {
            Prediction::Runs(plan) => {
                rows.row(RowMark::Good, file, &format!("as {name}: runs {}", plan.due));
                rows.below(&describe_settings(plan));
            }
            Prediction::NeedsCloudInit { what } => {
                rows.row(RowMark::Waiting, file, &format!("as {name}: {what}: not run, it needs cloud-init"));
            }
            Prediction::NotRun { line, why } => {
                let position = line.map_or((*file).to_owned(), |line| format!("{file}:{line}"));
                rows.row(RowMark::Bad, &position, &format!("as {name}: not run: {why}"));
            }
        }
        for warning in warnings {
            rows.below(&format!("warning: {warning}"));
        }
    }
    for warning in &preview.warnings {
        rows.below(&format!("warning: {warning}"));
    }
    if preview.key == UserDataKey::cloud_init().as_str() {
        rows.below("this applies only if cloud-init is not active; otherwise cloud-init handles the value");
    }
}

fn describe_settings(plan: &RunPlan) -> String {
    let mut text =
        format!("with {}", plan.interpreter.as_deref().unwrap_or("the interpreter of its first line"));
    for setting in &plan.settings {
        let _ = write!(text, ", {}={}", setting.name, setting.value);
        match setting.from {
            SettingSource::Script => {}
            SettingSource::Configuration => text.push_str(" (configuration)"),
            SettingSource::Default => text.push_str(" (default)"),
        }
    }
    text
}
