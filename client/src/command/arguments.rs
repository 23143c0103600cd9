//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// The name of the program.
pub const NAME: &str = "scw-known-hosts";

/// Has ssh check the host keys of Scaleway Instances against the fingerprints that they published.
#[derive(Parser)]
#[command(name = NAME, version, max_term_width = 100, after_help = after_help())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write the ssh configuration that has ssh ask this program
    Setup(Setup),
    /// Print the fingerprints that an Instance published
    Show(Show),
    /// Compare the keys that a host offers with the published fingerprints
    Verify(Verify),
    /// Check the credentials, their permissions, and the configuration of ssh
    Doctor(Doctor),
    /// Write host keys that are published to a known_hosts file, for programs that do not run ssh
    Write(Write),
    /// Answer ssh: this is the KnownHostsCommand that `setup` configures
    Check(Check),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct Setup {
    /// Always refuse this host if its key cannot be checked; a pattern as in ssh_config, may be repeated
    #[arg(long = "host", value_name = "PATTERN")]
    pub(crate) hosts: Vec<String>,
    /// What happens if the key of another candidate cannot be checked [default: ask, or as configured]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) unknown: Option<Policy>,
    /// Ask the API about each host, not only about candidates [default: no, or as configured]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) all_hosts: Option<bool>,
    /// Print the configuration and change nothing
    #[arg(long, conflicts_with = "remove")]
    pub(crate) print: bool,
    /// Undo what `setup` did
    #[arg(long, conflicts_with_all = ["hosts", "unknown", "all_hosts"])]
    pub(crate) remove: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// A host as you would give it to ssh, or the name or id of an Instance
    pub(crate) host: String,
    /// Wait until the Instance has published its fingerprints, for at most this time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Print a JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// A host as you would give it to ssh, or the name or id of an Instance
    pub(crate) host: String,
    /// Print a JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Doctor {
    /// Check the configuration of ssh for this host, too
    pub(crate) host: Option<String>,
}

#[derive(Args)]
pub(crate) struct Write {
    /// Hosts as you would give them to ssh, or names or ids of Instances
    #[arg(required = true, value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// The file [default: ~/.ssh/known_hosts]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Check {
    /// Hosts that are candidates, and refused if their keys cannot be checked; patterns with commas between them
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) declared: Vec<String>,
    /// What happens if the key cannot be checked
    #[arg(long, value_enum, value_name = "POLICY", default_value = "ask")]
    pub(crate) unknown: Policy,
    /// Ask the API about each host, not only about candidates
    #[arg(long)]
    pub(crate) all_hosts: bool,
    /// The tokens %I %H %h %n %p %t %K of ssh_config
    #[arg(required = true, value_name = "TOKEN", allow_hyphen_values = true, trailing_var_arg = true)]
    pub(crate) tokens: Vec<OsString>,
}

/// What happens if a key cannot be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// ssh decides, as without this program
    #[default]
    Ask,
    /// The connection is refused
    Refuse,
}

/// The description of the command line, for the completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn after_help() -> String {
    let rows = super::exit::Exit::MEANINGS.map(|(exit, meaning)| format!("  {}  {meaning}\n", exit as u8));
    format!("Exit codes:\n{}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_of_the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn tokens_of_ssh_may_look_like_options() {
        let line = ["x", "check", "--unknown=refuse", "HOSTNAME", "-v", "--help", "a", "22", "t", "k"];
        let Ok(Arguments { command: Command::Check(check) }) = Arguments::try_parse_from(line) else {
            unreachable!("not a check");
        };
        assert_eq!((check.unknown, check.tokens.len()), (Policy::Refuse, 7));
    }
}
