//! Where Scaleway's tools have their configuration file and their cache. A variable that is empty does not count here.

use std::env;
use std::path::PathBuf;

/// The path in a variable, if that is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The user's home folder.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME")
}

/// The configuration file: `config.yaml`, or `config.yml` if only that exists. `None` without a home folder.
pub(crate) fn config_file() -> Option<PathBuf> {
    if let Some(path) = variable("SCW_CONFIG_PATH") {
        return Some(path);
    }
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?.join("scw");
    let (path, other) = (folder.join("config.yaml"), folder.join("config.yml"));
    Some(if !path.exists() && other.exists() { other } else { path })
}

/// The folder for what can be fetched again.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let below_home = || Some(home()?.join(".cache/scw"));
    let shared = || variable("XDG_CACHE_HOME").map(|folder| folder.join("scw"));
    variable("SCW_CACHE_DIR").or_else(shared).or_else(below_home)
}
