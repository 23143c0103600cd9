//! The programs, built for the demo, the benchmarks and the soak tests.
//! This module must build no other programs, and must not start those that it built.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The agent's programs.
#[derive(Debug)]
pub struct Programs {
    /// `scw-agent`
    pub agent: PathBuf,
    /// `scw-userdata`: a link to `scw-agent`, as in packages.
    pub userdata: PathBuf,
}

impl Programs {
    /// Builds the programs as for a release. cargo prints its progress.
    pub fn build() -> Result<Programs, String> {
        let agent = build("scw-agent", &["--release"])?;
        let userdata = agent.with_file_name("scw-userdata");
        link(&agent, &userdata).map_err(|error| format!("cannot make {}: {error}", userdata.display()))?;
        Ok(Programs { agent, userdata })
    }

    /// Builds `scw-known-hosts` for development: the test tools have most of its dependencies in that form.
    pub fn build_client() -> Result<PathBuf, String> {
        build("scw-known-hosts", &[])
    }

    /// Builds `scw-known-hosts` as for a release.
    pub fn build_released_client() -> Result<PathBuf, String> {
        build("scw-known-hosts", &["--release"])
    }
}

/// Builds the program of the package with the same name.
fn build(name: &str, options: &[&str]) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--package", name, "--bin", name]).args(options);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} does not build"));
    }
    built(&String::from_utf8_lossy(&output.stdout), name).ok_or_else(|| format!("cargo built no {name}"))
}

/// Makes `path` a link to `target`, whatever is there. Another process may do the same.
fn link(target: &Path, path: &Path) -> io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    symlink(target, &new)?;
    std::fs::rename(new, path)
}

/// The path of the program `name`, from cargo's messages.
fn built(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    programs.find(|path| path.file_stem() == Some(Path::new(name).as_os_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/scw-agent\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(built(messages, "scw-agent"), Some(PathBuf::from("/t/release/scw-agent")));
        assert_eq!(built(messages, "scw-userdata"), None);
    }
}
