//! The runner: one boot's work, from the list of keys to the summary and the published outcome. It reads as the whole program.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::metadata::api::response::Ask;
use crate::metadata::api::user_data_key::UserDataKey;
use crate::metadata::error::MetadataError;
use crate::scripts::history::record::{RecordError, Records};
use crate::scripts::history::summary::Summary;
use crate::scripts::history::value_readings::ValueReadings;
use crate::scripts::model::likely_key;
use crate::scripts::model::likely_key::{hint, suspect_keys};
use crate::scripts::model::policy::{OnChange, Policy};
use crate::scripts::model::script::ScriptKind;
use crate::scripts::paths::{SETUP_REQUESTED, SetupPaths};
use crate::scripts::prepare::preparation::Preparation;
use crate::scripts::run::script_file;
use crate::scripts::run::stop::Stop;
use crate::scripts::runner::attempts::BootContext;
use crate::scripts::runner::fetch::{FetchedScripts, gather, is_of_a_boot};
use crate::scripts::runner::publish_outcome;
use crate::system::console::Console;
use crate::system::systemctl;
use crate::util::files;
use crate::util::time::Moment;

/// What came of asking for this boot's work.
#[derive(Debug)]
pub(crate) enum BootRun {
    /// It was done by an earlier call; nothing ran (law S4).
    AlreadyDone(Summary),
    /// It is done now.
    Done(Summary),
    /// It was told to stop before all was done. What was cut off starts again.
    Stopped,
    /// User data hold no script of that name.
    NoSuchScript(UserDataKey),
    /// The metadata service cannot be reached yet, so nothing is known of scripts; the daemon asks again when it can be.
    NotYet(MetadataError),
}

/// Why the work could not be done.
#[derive(Debug)]
pub(crate) enum SetupError {
    /// The state folder cannot be used.
    State(RecordError),
    /// The same, for a file other than a record.
    File(PathBuf, io::Error),
    /// A request cannot be taken, and so starts the runner again and again.
    Requests(String),
}

/// Which scripts a call is about, and whether they must be due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// This one; otherwise all of a boot.
    pub only: Option<UserDataKey>,
    /// Whatever was, they run.
    pub again: bool,
}

impl Choice {
    /// Whether it is what the unit does.
    fn is_the_boots(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a key must be fetched for it. What runs when the machine goes down is run now only for somebody who insists.
    fn wants(&self, key: &UserDataKey) -> bool {
        let can_be = is_of_a_boot(key) || self.again && ScriptKind::of(key) == Some(ScriptKind::Shutdown);
        match &self.only {
            None => is_of_a_boot(key),
            Some(only) => can_be && (only == key || only.as_str().starts_with(&format!("{}.", key.as_str()))),
        }
    }
}

/// Runs the scripts that are due, once in a boot; or those that somebody chose.
pub(crate) async fn run_boot(
    api: &mut impl Ask,
    places: &SetupPaths,
    policy: &Policy,
    console: Console,
    choice: &Choice,
) -> Result<BootRun, SetupError> {
    if choice.only.is_some() {
        return run_chosen(api, places, policy, console, choice, false).await;
    }
    // Taken first of all: a request that comes later starts the runner again, and a request that stayed would do so at once.
    let requests = places.requests.take(&[SETUP_REQUESTED]);
    let came = run_chosen(api, places, policy, console, choice, requests.has(SETUP_REQUESTED)).await?;
    if matches!(came, BootRun::AlreadyDone(_) | BootRun::Done(_)) {
        let served = requests.served(SETUP_REQUESTED);
        served.map_err(|why| SetupError::File(places.requests.pending.clone(), why))?;
    }
    match requests.problems.into_iter().next() {
        Some(problem) => Err(SetupError::Requests(problem)),
        None => Ok(came),
    }
}

async fn run_chosen(
    api: &mut impl Ask,
    places: &SetupPaths,
    policy: &Policy,
    console: Console,
    choice: &Choice,
    requested: bool,
) -> Result<BootRun, SetupError> {
    let records = Records::open(&places.state).map_err(SetupError::State)?;
    // One runner at a time: the unit and a person may meet.
    let _lock = files::lock(&places.state).map_err(|why| SetupError::File(places.state.clone(), why))?;
    let mut stop = Stop::listen().map_err(|why| SetupError::File(places.state.clone(), why))?;
    script_file::remove_leftovers(&places.scripts);
    let done = Summary::read(&places.summary).ok().flatten();
    let look_again = requested && policy.on_change == OnChange::Now;
    let done = match done {
        Some(summary) if choice.is_the_boots() && !look_again => return Ok(BootRun::AlreadyDone(summary)),
        done => done,
    };

    let mut gathered = match gather(api, |key| choice.wants(key)).await {
        Ok(gathered) => gathered,
        Err(why) => return Ok(BootRun::NotYet(why)),
    };
    if !choice.again {
        let instance = &gathered.instance.id;
        let ran_elsewhere_only = || records.ran_elsewhere_only(instance);
        let mut readings = ValueReadings::load(&places.state, instance, ran_elsewhere_only);
        gathered.keep_passed_over(&mut readings);
    }
    let FetchedScripts { instance, mut found, passed_over, keys, unusable, .. } = gathered;
    if choice.is_the_boots() && done.is_none() {
        // The daemon tells of them where no script is due.
        for key in suspect_keys(&keys, policy.outcome_key.as_ref()) {
            tracing::warn!("{}", hint(&key));
        }
        if unusable > 0 {
            tracing::warn!("{}", likely_key::unusable(unusable));
        }
    }
    found.retain(|script| choice.only.as_ref().is_none_or(|name| script.is_called(name)));
    if let (Some(name), true) = (&choice.only, found.is_empty()) {
        return Ok(BootRun::NoSuchScript(name.clone()));
    }
    let preparation = Preparation::for_boot(policy.network_wait);
    let (id, again) = (boot_id(), choice.again);
    let boot =
        BootContext { instance, id, records, places, policy, again, deadline: None, console, preparation };
    let mut scripts = Vec::new();
    for script in found {
        match boot.one(api, script, &mut stop).await {
            Some(summary) => scripts.push(summary),
            None => return Ok(BootRun::Stopped),
        }
    }
    let network = boot.preparation.network();
    let now = Summary { ended: Moment::now(), scripts, passed_over, network };
    // One script by itself is not the boot's work; but what is known of that is kept true.
    let whole = match (&choice.only, done) {
        (None, None) => now.clone(),
        (None, Some(done)) => Summary { network: now.network.clone().or(done.network), ..now.clone() },
        (Some(_), Some(done)) => done.with(&now),
        (Some(_), None) => return Ok(BootRun::Done(now)),
    };
    leave(&whole, places)?;
    if whole.is_success() {
        systemctl::clear_failure().await;
    }
    if let Some(key) = &policy.outcome_key {
        publish_outcome::publish(api, key, &boot.instance, &whole).await;
    }
    Ok(BootRun::Done(now))
}

/// Writes the summary where everybody can read it.
fn leave(summary: &Summary, places: &SetupPaths) -> Result<(), SetupError> {
    let folder = places.summary.parent().unwrap_or(Path::new("/"));
    let file = |why| SetupError::File(places.summary.clone(), why);
    files::public_folder(folder).map_err(file)?;
    // The scripts' folder may have been the first in it.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(file)?;
    summary.write(&places.summary).map_err(file)
}

/// The kernel's id of this boot; it differs at every boot, and where it cannot be read, every run counts as another boot's.
pub(crate) fn boot_id() -> String {
    let id = files::read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 128).ok().flatten();
    String::from_utf8_lossy(&id.unwrap_or_default()).trim().to_owned()
}

impl SetupError {
    /// Whether it is a matter of who runs this.
    pub(crate) fn is_permission(&self) -> bool {
        let (Self::State(RecordError::File(_, why)) | Self::File(_, why)) = self else { return false };
        why.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(why) => why.fmt(f),
            Self::File(path, why) => write!(f, "{} cannot be used: {why}", path.display()),
            Self::Requests(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for SetupError {}
