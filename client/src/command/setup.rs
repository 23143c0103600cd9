//! `setup`: the ssh configuration, and the local list of Instances.

use super::arguments::{Policy, Setup};
use super::exit::Exit;
use super::{fail, look_up, print, say};
use crate::credentials::load::credentials;
use crate::instances::store;
use crate::search::unknown::Unknown;
use crate::ssh::programs::{self, NEEDED_VERSION};
use crate::ssh_config::install::{self, Files, InstallError};
use crate::ssh_config::own_file::{ChoiceError, Choices};

/// Why it ended.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("HOME is not set")]
    NoHome,
    #[error("{0}")]
    Choice(#[from] ChoiceError),
    #[error("{0}")]
    Program(#[from] programs::ProgramError),
    #[error(
        "this ssh ({0}) does not know KnownHostsCommand; OpenSSH 8.5 or newer is needed. Use `scw-known-hosts write HOST` instead"
    )]
    OldSsh(String),
    #[error("{0}")]
    Install(#[from] InstallError),
    #[error("cannot change the configuration of ssh: {0}")]
    Io(#[from] std::io::Error),
}

impl From<&SetupError> for Exit {
    fn from(error: &SetupError) -> Self {
        match error {
            SetupError::Choice(ChoiceError::Pattern) => Exit::Usage,
            _ => Exit::Failure,
        }
    }
}

pub(super) fn run(options: &Setup) -> Exit {
    let result = if options.remove { remove() } else { set_up(options) };
    result.unwrap_or_else(|error| fail(&error, (&error).into()))
}

fn remove() -> Result<Exit, SetupError> {
    let mut changed = Files::of_user().ok_or(SetupError::NoHome)?.remove()?;
    changed.extend(store::remove()?);
    let lines: Vec<_> =
        changed.iter().map(|path| format!("changed or removed {}\n", path.display())).collect();
    let text = if lines.is_empty() { "there was nothing to remove\n".to_owned() } else { lines.concat() };
    Ok(print(text.as_bytes()))
}

fn set_up(options: &Setup) -> Result<Exit, SetupError> {
    let files = Files::of_user().ok_or(SetupError::NoHome)?;
    let mut choices = files.choices()?;
    for host in &options.hosts {
        choices.add_host(host)?;
    }
    if let Some(policy) = options.unknown {
        choices.is_strict = policy == Policy::Refuse;
    }
    choices.all_hosts = options.all_hosts.unwrap_or(choices.all_hosts);
    let content = choices.content(&install::program()?)?;
    if options.print {
        return Ok(print(content.as_bytes()));
    }
    let (version, text) = programs::version()?;
    if version < NEEDED_VERSION {
        return Err(SetupError::OldSsh(text));
    }
    let changed = files.install(&content)?;
    let mut report: String = changed.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    if changed.is_empty() {
        report.push_str("the configuration of ssh is already as wanted\n");
    }
    report.push_str(&described(&choices));
    let exit = print(report.as_bytes());
    if exit == Exit::Success { Ok(list_instances()) } else { Ok(exit) }
}

fn described(choices: &Choices) -> String {
    let then = if choices.is_strict { "the connection is refused" } else { "ssh decides" };
    let mut text = format!("if the key of an Instance cannot be checked, {then}\n");
    for host in &choices.hosts {
        text.push_str(&format!("{host}: always refused if its key cannot be checked\n"));
    }
    text
}

/// Fills the local list. The configuration is in force without it, but only names with an id and declared hosts are candidates
/// then.
fn list_instances() -> Exit {
    let credentials = match credentials() {
        Ok(credentials) => credentials,
        Err(error) => return fail(&format!("the Instances cannot be listed: {error}"), Exit::Denied),
    };
    let (list, failed) = look_up::refresh(&credentials);
    for (zone, error) in &failed {
        say(&format!("the Instances of {zone} cannot be listed: {error}"));
    }
    let exit = failed.first().map_or(Exit::Success, |(_, error)| (&Unknown::from(error.clone())).into());
    match print(format!("{} Instances are known\n", list.len()).as_bytes()) {
        Exit::Success => exit,
        failed => failed,
    }
}
