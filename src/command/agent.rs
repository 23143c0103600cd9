//! `scw-agent`: from its words to a command.

use lexopt::{Arg, Parser};

use super::exit::Exit;
use super::help::AGENT;
use super::process::print;
use super::{config, daemon, doctor, host_keys, setup, status, sysprep};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Version,
    Daemon,
    HostKeysEnsure,
    HostKeysSettle,
    HostKeysShow { json: bool },
    HostKeysKnownHosts { host: Option<String> },
    HostKeysSshfp { host: Option<String> },
    SetupRun,
    SetupFollow { key: String },
    SetupList { json: bool },
    SetupShow { key: String, json: bool },
    Status { json: bool },
    Doctor { json: bool },
    Sysprep { dry_run: bool, host_keys: bool },
    ConfigCheck { json: bool },
    ConfigShow { defaults: bool },
}

/// Runs `scw-agent` with the process's arguments.
pub fn agent() -> Exit {
    let command = match parse(Parser::from_env()) {
        Ok(command) => command,
        Err(why) => return AGENT.misused(&why),
    };
    match command {
        Command::Help => print(&AGENT.help()),
        Command::Version => print(&AGENT.version()),
        Command::Daemon => daemon::run(),
        Command::HostKeysEnsure => host_keys::ensure(),
        Command::HostKeysSettle => host_keys::settle(),
        Command::HostKeysShow { json } => host_keys::show(json),
        Command::HostKeysKnownHosts { host } => host_keys::known_hosts(host.as_deref()),
        Command::HostKeysSshfp { host } => host_keys::sshfp(host.as_deref()),
        Command::SetupRun => setup::run(),
        Command::SetupFollow { key } => setup::follow(&key),
        Command::SetupList { json } => setup::list(json),
        Command::SetupShow { key, json } => setup::show(&key, json),
        Command::Status { json } => status::show(json),
        Command::Doctor { json } => doctor::run(json),
        Command::Sysprep { dry_run, host_keys } => sysprep::run(dry_run, host_keys),
        Command::ConfigCheck { json } => config::check(json),
        Command::ConfigShow { defaults } => config::show(defaults),
    }
}

fn parse(mut parser: Parser) -> Result<Command, String> {
    let mut words = Vec::new();
    let (mut json, mut defaults, mut host) = (false, false, None);
    let (mut dry_run, mut host_keys) = (false, false);
    while let Some(argument) = parser.next().map_err(|why| why.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Long("json") => json = true,
            Arg::Long("dry-run") => dry_run = true,
            Arg::Long("host-keys") => host_keys = true,
            Arg::Long("defaults") => defaults = true,
            Arg::Long("host") => host = Some(host_name(parser.value().map_err(|why| why.to_string())?)?),
            Arg::Value(word) => {
                words.push(word.into_string().map_err(|word| format!("{word:?} is not valid UTF-8"))?)
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let command = match *words {
        [] => return Err("say what to do".to_owned()),
        ["sysprep"] if !json && host.is_none() => Command::Sysprep { dry_run, host_keys },
        _ if dry_run => return Err(format!("`{}` takes no --dry-run", words.join(" "))),
        _ if host_keys => return Err(format!("`{}` takes no --host-keys", words.join(" "))),
        ["host-keys", "known-hosts"] if !json => Command::HostKeysKnownHosts { host },
        ["host-keys", "sshfp"] if !json => Command::HostKeysSshfp { host },
        ["config", "show"] if !json && host.is_none() => Command::ConfigShow { defaults },
        _ if defaults => return Err(format!("`{}` takes no --defaults", words.join(" "))),
        _ if host.is_some() => return Err(format!("`{}` takes no --host", words.join(" "))),
        ["host-keys", "show"] => Command::HostKeysShow { json },
        ["setup", "list"] => Command::SetupList { json },
        ["setup", "show", key] => Command::SetupShow { key: key.to_owned(), json },
        ["status"] => Command::Status { json },
        ["doctor"] => Command::Doctor { json },
        ["config", "check"] => Command::ConfigCheck { json },
        _ if json => return Err(format!("`{}` has no JSON form", words.join(" "))),
        ["daemon"] => Command::Daemon,
        ["host-keys", "ensure"] => Command::HostKeysEnsure,
        ["host-keys", "settle"] => Command::HostKeysSettle,
        ["setup", "run"] => Command::SetupRun,
        // The runner's own, and in no help.
        ["setup", "follow", key] => Command::SetupFollow { key: key.to_owned() },
        _ => return Err(format!("there is no command `{}`", words.join(" "))),
    };
    Ok(command)
}

/// A name that goes into one field of a known_hosts line or a zone file.
fn host_name(word: std::ffi::OsString) -> Result<String, String> {
    let good = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
    word.into_string().ok().filter(good).ok_or_else(|| "--host takes a name without spaces".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn words_become_a_command() {
        for (line, command) in [
            ("daemon", Command::Daemon),
            ("status --json", Command::Status { json: true }),
            ("--json status", Command::Status { json: true }),
            ("host-keys ensure", Command::HostKeysEnsure),
            ("host-keys show", Command::HostKeysShow { json: false }),
            ("setup show setup-script", Command::SetupShow { key: "setup-script".to_owned(), json: false }),
            ("sysprep --dry-run", Command::Sysprep { dry_run: true, host_keys: false }),
            ("status -h", Command::Help),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn words_that_are_no_command_are_refused_and_named() {
        for (line, named) in [
            ("", "say what"),
            ("frobnicate", "frobnicate"),
            ("setup", "setup"),
            ("setup show", "setup show"),
            ("daemon extra", "daemon extra"),
            ("daemon --json", "daemon"),
            ("status --jsno", "--jsno"),
            ("status --host x", "--host"),
            ("status --dry-run", "--dry-run"),
            ("config check --defaults", "--defaults"),
            ("config show --json", "JSON"),
            ("host-keys known-hosts --host=", "--host"),
        ] {
            let why = parsed(line).expect_err(line);
            assert!(why.contains(named), "{why}");
        }
    }

    #[test]
    fn every_command_of_the_help_is_understood_with_the_options_that_the_help_gives_it_and_no_other() {
        for (form, _) in AGENT.uses {
            assert!(parsed(form).is_ok(), "{form}");
            for option in AGENT.options.iter().filter(|option| !option.with.is_empty()) {
                let line = format!("{form} --{} {}", option.long, option.value.unwrap_or_default());
                assert_eq!(parsed(&line).is_ok(), option.with.contains(form), "{line}");
            }
        }
    }
}
