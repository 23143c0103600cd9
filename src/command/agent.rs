//! Parses the command line of `scw-agent` and runs the command. No error quotes an argument (invariant S3).

use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::command::exit::Exit;
use crate::command::grammar::{Form, Operand, Opt};
use crate::command::help::{AGAIN, AGENT, DEFAULTS, DRY_RUN, FOLLOW, HOST_KEYS, JSON, PACED, WAIT};
use crate::command::process::{hide_panic_texts, print};
use crate::command::{
    config, daemon, doctor, host_keys, hostname, instance, misuse, script_runs, setup, ssh_keys, status,
    sysprep, validate,
};
use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::runner::boot_run::Choice;
use crate::util::duration;

/// How long `status --wait` waits without `--timeout`.
const DEFAULT_WAIT: Duration = Duration::from_secs(600);
/// A parsed command line. `Help` has the words with which the commands of the help begin. `Incomplete` has words
/// that some commands begin with, but that are no complete command.
#[derive(Debug, PartialEq, Eq)]
enum AgentCommand {
    Help(Vec<String>),
    Incomplete(Vec<String>),
    Version,
    Daemon,
    HostKeysEnsure,
    HostKeysSettle { paced: bool },
    HostKeysShow { json: bool },
    HostKeysKnownHosts { host: Option<String> },
    HostKeysSshfp { host: Option<String> },
    HostnameApply { paced: bool },
    SetupRun { choice: Choice, paced: bool },
    SetupRunShutdown,
    SetupValidate { files: Vec<String>, json: bool },
    SetupFollow { key: String },
    SetupLaunch,
    SetupList { json: bool },
    SetupShow { key: String, json: bool, follow: bool },
    Status { json: bool, wait: Option<Duration> },
    Doctor { json: bool },
    Instance { json: bool },
    Volumes { json: bool },
    Sysprep { dry_run: bool, host_keys: bool },
    SshKeysAdopt,
    SshKeysApply { paced: bool },
    SshKeysEnd,
    SshKeysRemove { fingerprint: String },
    SshKeysShow { json: bool },
    ConfigCheck { json: bool },
    ConfigShow { defaults: bool },
}

/// Runs `scw-agent` with the process's arguments.
pub fn agent() -> Exit {
    hide_panic_texts(&AGENT);
    let command = match parse(Parser::from_env()) {
        Ok(command) => command,
        Err(why) => return AGENT.fail_usage(&why),
    };
    match command {
        AgentCommand::Help(words) => print(&AGENT.help(&strs(&words))),
        AgentCommand::Incomplete(words) => AGENT.fail_incomplete(&strs(&words)),
        AgentCommand::Version => print(&AGENT.version()),
        AgentCommand::Daemon => daemon::run(),
        AgentCommand::HostKeysEnsure => host_keys::ensure(),
        AgentCommand::HostKeysSettle { paced } => host_keys::settle(paced),
        AgentCommand::HostKeysShow { json } => host_keys::show(json),
        AgentCommand::HostKeysKnownHosts { host } => host_keys::known_hosts(host.as_deref()),
        AgentCommand::HostKeysSshfp { host } => host_keys::sshfp(host.as_deref()),
        AgentCommand::HostnameApply { paced } => hostname::apply(paced),
        AgentCommand::SetupRun { choice, paced } => setup::run(&choice, paced),
        AgentCommand::SetupRunShutdown => setup::run_shutdown(),
        AgentCommand::SetupValidate { files, json } => validate::validate(&files, json),
        AgentCommand::SetupFollow { key } => setup::follow(&key),
        AgentCommand::SetupLaunch => setup::launch(),
        AgentCommand::SetupList { json } => script_runs::list(json),
        AgentCommand::SetupShow { key, json, follow } => script_runs::show(&key, json, follow),
        AgentCommand::Status { json, wait } => status::status(json, wait),
        AgentCommand::Doctor { json } => doctor::run(json),
        AgentCommand::Instance { json } => instance::instance(json),
        AgentCommand::Volumes { json } => instance::volumes(json),
        AgentCommand::Sysprep { dry_run, host_keys } => sysprep::run(dry_run, host_keys),
        AgentCommand::SshKeysAdopt => ssh_keys::adopt(),
        AgentCommand::SshKeysApply { paced } => ssh_keys::apply(paced),
        AgentCommand::SshKeysEnd => ssh_keys::end(),
        AgentCommand::SshKeysRemove { fingerprint } => ssh_keys::remove(&fingerprint),
        AgentCommand::SshKeysShow { json } => ssh_keys::show(json),
        AgentCommand::ConfigCheck { json } => config::check(json),
        AgentCommand::ConfigShow { defaults } => config::show(defaults),
    }
}

/// The options of a command line.
#[derive(Default)]
struct GivenOptions {
    given: Vec<&'static Opt>,
    host: Option<String>,
    timeout: Option<Duration>,
}

impl GivenOptions {
    /// Adds an option, with its value if it takes one.
    fn add(&mut self, option: &'static Opt, parser: &mut Parser) -> Result<(), String> {
        self.given.push(option);
        let mut value = || parser.value().map_err(|why| misuse::parse_error(&AGENT, &why));
        match option.value {
            Some(Operand::Name) => self.host = Some(parse_host_name(value()?)?),
            Some(Operand::Time) => self.timeout = Some(parse_duration(value()?)?),
            _ => {}
        }
        Ok(())
    }

    /// Checks that the form accepts all options.
    fn check(&self, form: &Form) -> Result<(), String> {
        match self.given.iter().find(|option| !form.accepts(option)) {
            Some(option) => Err(format!("`{}` takes no --{}", form.command(), option.long)),
            None => Ok(()),
        }
    }
}

fn parse(mut parser: Parser) -> Result<AgentCommand, String> {
    let mut words = Vec::new();
    let mut options = GivenOptions::default();
    while let Some(argument) = parser.next().map_err(|why| misuse::parse_error(&AGENT, &why))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                return misuse::check_no_suffix(&AGENT, &mut parser).and_then(|()| help(&strs(&words)));
            }
            Arg::Short('V') | Arg::Long("version") => {
                return misuse::check_no_suffix(&AGENT, &mut parser).map(|()| AgentCommand::Version);
            }
            Arg::Long(name) => match AGENT.options.iter().find(|option| option.long == name) {
                Some(option) => options.add(option, &mut parser)?,
                None => return Err(misuse::unknown_option(&AGENT, &argument)),
            },
            Arg::Value(word) => {
                words.push(word.into_string().map_err(|_| "an argument is not valid UTF-8".to_owned())?)
            }
            other => return Err(misuse::unknown_option(&AGENT, &other)),
        }
    }
    let words = strs(&words);
    let command = command_of(&words, &options)?;
    if let Some(form) = AGENT.form(&words) {
        options.check(form)?;
    }
    Ok(command)
}

/// The command of these words, whose options are not checked yet.
fn command_of(words: &[&str], options: &GivenOptions) -> Result<AgentCommand, String> {
    let has = |option: &Opt| options.given.iter().any(|given| given.long == option.long);
    let [json, follow, again, paced] = [&JSON, &FOLLOW, &AGAIN, &PACED].map(has);
    let wait = options.timeout.or(has(&WAIT).then_some(DEFAULT_WAIT));
    let host = || options.host.clone();
    Ok(match *words {
        ["status"] => AgentCommand::Status { json, wait },
        ["doctor"] => AgentCommand::Doctor { json },
        ["instance"] => AgentCommand::Instance { json },
        ["volumes"] => AgentCommand::Volumes { json },
        ["host-keys", "show"] => AgentCommand::HostKeysShow { json },
        ["host-keys", "known-hosts"] => AgentCommand::HostKeysKnownHosts { host: host() },
        ["host-keys", "sshfp"] => AgentCommand::HostKeysSshfp { host: host() },
        ["host-keys", "ensure"] => AgentCommand::HostKeysEnsure,
        ["host-keys", "settle"] => AgentCommand::HostKeysSettle { paced },
        ["hostname", "apply"] => AgentCommand::HostnameApply { paced },
        ["setup", "list"] => AgentCommand::SetupList { json },
        ["setup", "show", _] if json && follow => {
            return Err("--follow shows text; it cannot be combined with --json".to_owned());
        }
        ["setup", "show", key] => AgentCommand::SetupShow { key: key.to_owned(), json, follow },
        ["setup", "validate", ref files @ ..] if !files.is_empty() => {
            AgentCommand::SetupValidate { files: owned(files), json }
        }
        ["setup", "run"] => AgentCommand::SetupRun { choice: Choice { only: None, again }, paced },
        ["setup", "run", key] => {
            let only = Some(UserDataKey::new(key).map_err(|why| why.to_string())?);
            AgentCommand::SetupRun { choice: Choice { only, again }, paced }
        }
        ["setup", "run-shutdown"] => AgentCommand::SetupRunShutdown,
        // The setup runner starts these two; they are not in the table.
        ["setup", "launch"] if options.given.is_empty() => AgentCommand::SetupLaunch,
        ["setup", "follow", key] if options.given.is_empty() => {
            AgentCommand::SetupFollow { key: key.to_owned() }
        }
        ["ssh-keys", "show"] => AgentCommand::SshKeysShow { json },
        ["ssh-keys", "remove", fingerprint] => {
            AgentCommand::SshKeysRemove { fingerprint: fingerprint.to_owned() }
        }
        ["ssh-keys", "apply"] => AgentCommand::SshKeysApply { paced },
        ["ssh-keys", "adopt"] => AgentCommand::SshKeysAdopt,
        ["ssh-keys", "end"] => AgentCommand::SshKeysEnd,
        ["config", "check"] => AgentCommand::ConfigCheck { json },
        ["config", "show"] => AgentCommand::ConfigShow { defaults: has(&DEFAULTS) },
        ["sysprep"] => AgentCommand::Sysprep { dry_run: has(&DRY_RUN), host_keys: has(&HOST_KEYS) },
        ["daemon"] => AgentCommand::Daemon,
        ["help", ref words @ ..] => help(words)?,
        _ if !words.is_empty() && AGENT.forms_from(words).next().is_some() => {
            AgentCommand::Incomplete(owned(words))
        }
        _ => return Err(misuse::unknown_command(&AGENT, words)),
    })
}

/// The help of the commands that begin with these words.
fn help(words: &[&str]) -> Result<AgentCommand, String> {
    let form = AGENT.forms_from(words).next().ok_or_else(|| misuse::unknown_command(&AGENT, words));
    form.map(|_| AgentCommand::Help(owned(words)))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn parse_duration(word: std::ffi::OsString) -> Result<Duration, String> {
    let duration = word.to_str().and_then(|word| duration::parse(word).ok());
    duration.ok_or_else(|| "--timeout takes a duration such as 90s or 10m, and at most a year".to_owned())
}

/// A name that fits into one field of a known_hosts line or of a zone file.
fn parse_host_name(word: std::ffi::OsString) -> Result<String, String> {
    let is_valid = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
    word.into_string().ok().filter(is_valid).ok_or_else(|| "--host takes a name without spaces".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<AgentCommand, String> {
        parse(Parser::from_args(line.split_whitespace()))
    }

    fn run(only: Option<UserDataKey>, again: bool, paced: bool) -> AgentCommand {
        AgentCommand::SetupRun { choice: Choice { only, again }, paced }
    }

    fn help_of(words: &str) -> AgentCommand {
        AgentCommand::Help(words.split_whitespace().map(str::to_owned).collect())
    }

    fn incomplete(words: &str) -> AgentCommand {
        AgentCommand::Incomplete(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn command_lines_are_parsed() {
        for (line, command) in [
            ("daemon", AgentCommand::Daemon),
            ("status --json", AgentCommand::Status { json: true, wait: None }),
            ("--json status", AgentCommand::Status { json: true, wait: None }),
            ("status --wait", AgentCommand::Status { json: false, wait: Some(DEFAULT_WAIT) }),
            (
                "status --wait --timeout 2s",
                AgentCommand::Status { json: false, wait: Some(Duration::from_secs(2)) },
            ),
            ("setup run", run(None, false, false)),
            ("setup run --again", run(None, true, false)),
            ("setup run --paced", run(None, false, true)),
            ("setup run x", run(UserDataKey::new("x").ok(), false, false)),
            (
                "setup validate a b",
                AgentCommand::SetupValidate { files: vec!["a".to_owned(), "b".to_owned()], json: false },
            ),
            ("host-keys ensure", AgentCommand::HostKeysEnsure),
            ("host-keys settle --paced", AgentCommand::HostKeysSettle { paced: true }),
            ("hostname apply --paced", AgentCommand::HostnameApply { paced: true }),
            ("host-keys show", AgentCommand::HostKeysShow { json: false }),
            (
                "setup show x --follow",
                AgentCommand::SetupShow { key: "x".to_owned(), json: false, follow: true },
            ),
            ("ssh-keys apply --paced", AgentCommand::SshKeysApply { paced: true }),
            ("ssh-keys remove SHA256:x", AgentCommand::SshKeysRemove { fingerprint: "SHA256:x".to_owned() }),
            ("ssh-keys remove", incomplete("ssh-keys remove")),
            ("sysprep --dry-run", AgentCommand::Sysprep { dry_run: true, host_keys: false }),
            (
                "status --timeout 1y",
                AgentCommand::Status { json: false, wait: Some(Duration::from_secs(31_557_600)) },
            ),
            ("-h", help_of("")),
            ("help", help_of("")),
            ("status -h", help_of("status")),
            ("setup --help", help_of("setup")),
            ("setup --json --help", help_of("setup")),
            ("setup show --help", help_of("setup show")),
            ("help setup show", help_of("setup show")),
            ("help help", help_of("help")),
            ("setup", incomplete("setup")),
            ("host-keys", incomplete("host-keys")),
            ("config --json", incomplete("config")),
            ("setup show", incomplete("setup show")),
            ("setup show --follow", incomplete("setup show")),
            ("setup validate", incomplete("setup validate")),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for (line, expected) in [
            ("", "no command"),
            ("frobnicate", "unknown command"),
            ("statsu", "did you mean `status`?"),
            ("setup frobnicate", "`setup list`"),
            ("setup shwo", "did you mean `setup show`?"),
            ("setup shwo x", "did you mean `setup show`?"),
            ("host-keys knwon-hosts", "did you mean `host-keys known-hosts`?"),
            ("config chek", "did you mean `config check`?"),
            ("setpu show x", "did you mean `setup`?"),
            ("setup show x y", "possible are `setup show KEY`"),
            ("help frobnicate", "unknown command"),
            ("help setup shwo", "did you mean `setup show`?"),
            ("setup shwo --help", "did you mean `setup show`?"),
            ("help status --json", "takes no --json"),
            ("status --timeout 2y", "at most a year"),
            ("status --timeout 550000000000y", "at most a year"),
            ("status --timeout 99999999999999999999y", "at most a year"),
            ("daemon extra", "wrong arguments; possible are `daemon`"),
            ("daemon --json", "daemon"),
            ("status --jsno", "did you mean --json?"),
            ("status --json=hunter2", "--json takes no value"),
            ("status --frobnicate", "unknown option"),
            ("host-keys sshfp --host", "--host needs a value"),
            ("-hunter2", "unknown option"),
            ("-Vunter2", "unknown option"),
            ("-5", "unknown option"),
            ("doctor --timeout 1m", "--timeout"),
            ("status --wait --timeout soon", "10m"),
            ("doctor --wait", "--wait"),
            ("setup show x --again", "--again"),
            ("setup show x --follow --json", "--follow"),
            ("setup list --follow", "--follow"),
            ("setup run --json", "setup run"),
            ("setup run x --paced", "--paced"),
            ("status --host x", "--host"),
            ("status --dry-run", "--dry-run"),
            ("config check --defaults", "--defaults"),
            ("config show --json", "--json"),
            ("host-keys known-hosts --host=", "--host"),
        ] {
            let why = parsed(line).expect_err(line);
            assert!(why.contains(expected) && !why.contains("unter2"), "{line}: {why}");
        }
    }

    #[test]
    fn s3_no_error_quotes_an_argument() {
        for line in [
            "hunter2",
            "status hunter2",
            "setup hunter2",
            "setup show hunter2 hunter2",
            "setup show hunter2 --again",
            "--hunter2",
            "--hunter2=x",
            "--json=hunter2 status",
            "-hunter2",
            "-5hunter2",
            "---BEGIN-hunter2",
            "status --timeout hunter2",
            "status --timeout=hunter2",
            "host-keys sshfp --host=hunter2\u{202e}",
            "setup run ..",
            "setup run hunter2\u{7}",
            "config hunter2",
            "hunter2=x",
            "setup-script hunter2",
            "help hunter2",
            "help setup show hunter2 hunter2",
            "hunter2 --help",
        ] {
            let why = parsed(line).expect_err(line);
            assert!(!why.contains("unter2"), "{line}: {why}");
        }
    }

    #[test]
    fn each_command_accepts_exactly_the_options_of_the_help() {
        for form in AGENT.forms {
            let typed = form.text().replace("COMMAND…", "setup show");
            assert!(parsed(&typed).is_ok(), "{typed}");
            let options = form.options.iter().chain(AGENT.options);
            for option in options.filter(|option| !["help", "version"].contains(&option.long)) {
                let line = format!("{typed} {}", option.long_text().replace("TIME", "9m"));
                assert_eq!(parsed(&line).is_ok(), form.accepts(option), "{line}");
            }
        }
    }
}
