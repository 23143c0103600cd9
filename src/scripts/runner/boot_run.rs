//! One run of the setup runner in a boot, from the list of user data keys to the summary and the published outcome.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::MetadataError;
use crate::scripts::history::record::{RecordError, Records};
use crate::scripts::history::summary::Summary;
use crate::scripts::history::value_rules::RulesVersions;
use crate::scripts::model::likely_key;
use crate::scripts::model::script::ScriptKind;
use crate::scripts::model::settings::{OnChange, SetupSettings};
use crate::scripts::paths::{SETUP_REQUESTED, SetupPaths};
use crate::scripts::prepare::preparation::Preparation;
use crate::scripts::run::script_file;
use crate::scripts::run::stop::StopSignal;
use crate::scripts::runner::boot_context::BootContext;
use crate::scripts::runner::fetch::{FetchedScripts, fetch_scripts, runs_at_boot};
use crate::scripts::runner::publish_outcome;
use crate::system::console::Console;
use crate::system::systemctl;
use crate::util::files;
use crate::util::time::Moment;

/// The result of a call of the runner.
#[derive(Debug)]
pub(crate) enum BootRun {
    /// An earlier call in this boot has run the scripts; nothing ran now (invariant S4).
    AlreadyDone(Summary),
    /// The scripts that were due have run now.
    Done(Summary),
    /// The runner was stopped before all scripts had run. A script that was cut off starts again at the next run.
    Stopped,
    /// User data have no script of this name.
    NoSuchScript(UserDataKey),
    /// The scripts could not be fetched. If the service cannot be reached, the daemon requests the runner again later.
    FetchFailed(MetadataError),
}

/// Why the runner could not do its work.
#[derive(Debug, Error)]
pub(crate) enum SetupError {
    /// The folder of records or one of its files cannot be used.
    #[error("{0}")]
    State(#[from] RecordError),
    /// A file other than a record cannot be used.
    #[error("cannot use {}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// A request cannot be removed, so it starts the runner again and again.
    #[error("{0}")]
    Requests(String),
}

/// Which scripts to run, and whether they have to be due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Only this script. None: all scripts of a boot.
    pub only: Option<UserDataKey>,
    /// Run them even if they are not due.
    pub again: bool,
}

impl Choice {
    /// Whether this is what the unit runs: all scripts of a boot that are due.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the value of this key must be fetched. A shutdown script runs in a boot only when a person asks for it with `--again`.
    fn needs(&self, key: &UserDataKey) -> bool {
        let can_run = runs_at_boot(key) || self.again && ScriptKind::of(key) == Some(ScriptKind::Shutdown);
        match &self.only {
            None => runs_at_boot(key),
            Some(only) => {
                can_run && (only == key || only.as_str().starts_with(&format!("{}.", key.as_str())))
            }
        }
    }
}

/// Runs the scripts that are due, once in a boot, or the scripts that a person chose.
pub(crate) async fn run_boot(
    api: &mut impl Ask,
    paths: &SetupPaths,
    settings: &SetupSettings,
    console: Console,
    choice: &Choice,
) -> Result<BootRun, SetupError> {
    if choice.only.is_some() {
        return run_chosen(api, paths, settings, console, choice, false).await;
    }
    // Take the requests before anything else. A request that arrives later starts the runner again; one that cannot be removed starts it again at once.
    let requests = paths.requests.take(&[SETUP_REQUESTED]);
    let result = run_chosen(api, paths, settings, console, choice, requests.has(SETUP_REQUESTED)).await?;
    if matches!(result, BootRun::AlreadyDone(_) | BootRun::Done(_)) {
        let served = requests.mark_served(SETUP_REQUESTED);
        served.map_err(|why| SetupError::File(paths.requests.pending.clone(), why))?;
    }
    match requests.problems.into_iter().next() {
        Some(problem) => Err(SetupError::Requests(problem)),
        None => Ok(result),
    }
}

/// Runs the chosen scripts and writes the summary. `requested`: whether the daemon requested this run.
async fn run_chosen(
    api: &mut impl Ask,
    paths: &SetupPaths,
    settings: &SetupSettings,
    console: Console,
    choice: &Choice,
    requested: bool,
) -> Result<BootRun, SetupError> {
    let records = Records::open(&paths.state)?;
    let state_error = |why| SetupError::File(paths.state.clone(), why);
    // Only one runner at a time: the unit and a person may start one at the same moment.
    let _lock = files::lock(&paths.state).map_err(state_error)?;
    let mut stop = StopSignal::listen().map_err(state_error)?;
    script_file::remove_leftovers(&paths.scripts);
    let has_new_value = requested && settings.on_change == OnChange::Now;
    let previous = match Summary::read(&paths.summary).ok().flatten() {
        Some(summary) if choice.is_default() && !has_new_value => return Ok(BootRun::AlreadyDone(summary)),
        previous => previous,
    };

    let mut fetched = match fetch_scripts(api, |key| choice.needs(key)).await {
        Ok(fetched) => fetched,
        Err(why) => return Ok(BootRun::FetchFailed(why)),
    };
    if !choice.again {
        skip_earlier_values(&mut fetched, &records, paths);
    }
    if choice.is_default() && previous.is_none() {
        warn_of_keys(&fetched, settings);
    }
    let FetchedScripts { instance, mut scripts, skipped, .. } = fetched;
    scripts.retain(|script| choice.only.as_ref().is_none_or(|name| script.has_name(name)));
    if let (Some(name), true) = (&choice.only, scripts.is_empty()) {
        return Ok(BootRun::NoSuchScript(name.clone()));
    }

    let boot = BootContext {
        instance,
        boot_id: boot_id(),
        records,
        paths,
        settings,
        run_again: choice.again,
        deadline: None,
        console,
        preparation: Preparation::for_boot(settings.network_wait),
    };
    let Some(scripts) = boot.run_scripts(api, scripts, &mut stop).await else { return Ok(BootRun::Stopped) };
    let network = boot.preparation.network();
    let latest = Summary { ended: Moment::now(), scripts, skipped, network };
    let Some(summary) = summary_of_boot(choice, &latest, previous) else { return Ok(BootRun::Done(latest)) };
    write_summary(&summary, paths)?;
    if summary.is_success() {
        systemctl::reset_setup_failure().await;
    }
    if let Some(key) = &settings.outcome_key {
        publish_outcome::publish(api, key, &boot.instance, &summary).await;
    }
    Ok(BootRun::Done(latest))
}

/// Does not run what an earlier version of the agent skipped for this Instance (invariant S4).
fn skip_earlier_values(fetched: &mut FetchedScripts, records: &Records, paths: &SetupPaths) {
    let instance = &fetched.instance.id;
    let ran_elsewhere_only = || records.ran_elsewhere_only(instance);
    let mut rules_versions = RulesVersions::load(&paths.state, instance, ran_elsewhere_only);
    fetched.skip_earlier(&mut rules_versions);
}

/// Logs keys that are likely mistakes, and how many names cannot be used. Where no script is due, the daemon does this.
fn warn_of_keys(fetched: &FetchedScripts, settings: &SetupSettings) {
    for key in likely_key::suspect_keys(&fetched.keys, settings.outcome_key.as_ref()) {
        tracing::warn!("{}", likely_key::suspect_key_hint(&key));
    }
    if fetched.unusable > 0 {
        tracing::warn!("{}", likely_key::unusable_keys_hint(fetched.unusable));
    }
}

/// The summary of this boot after a run with the result `latest`. None when a person ran one script before the boot's scripts have run: one
/// script alone is not the summary of a boot.
fn summary_of_boot(choice: &Choice, latest: &Summary, previous: Option<Summary>) -> Option<Summary> {
    match (&choice.only, previous) {
        (None, None) => Some(latest.clone()),
        (None, Some(previous)) => {
            let network = latest.network.clone().or(previous.network);
            Some(Summary { network, ..latest.clone() })
        }
        (Some(_), Some(previous)) => Some(previous.updated_with(latest)),
        (Some(_), None) => None,
    }
}

/// Writes the summary as a file that everybody can read.
fn write_summary(summary: &Summary, paths: &SetupPaths) -> Result<(), SetupError> {
    let folder = paths.summary.parent().unwrap_or(Path::new("/"));
    let file_error = |why| SetupError::File(paths.summary.clone(), why);
    files::create_public_folder(folder).map_err(file_error)?;
    // The folder may have been made with another mode, together with the folder of the scripts in it.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(file_error)?;
    summary.write(&paths.summary).map_err(file_error)
}

/// The kernel's ID of this boot, different in every boot. Empty if it cannot be read; then each run is treated as the only one of its boot.
pub(crate) fn boot_id() -> String {
    let id = files::read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 128).ok().flatten();
    String::from_utf8_lossy(&id.unwrap_or_default()).trim().to_owned()
}

impl SetupError {
    /// Whether the user who runs the command lacks a permission.
    pub(crate) fn is_permission(&self) -> bool {
        let (Self::State(RecordError::File(_, why)) | Self::File(_, why)) = self else { return false };
        why.kind() == io::ErrorKind::PermissionDenied
    }
}
