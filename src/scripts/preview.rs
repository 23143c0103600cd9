//! Predicts what the agent would do with a value in user data, and why.
//!
//! Pure: it runs nothing, looks nothing up and sends no requests, so it works on any machine, before the Instance exists. It quotes nothing
//! that may be a secret (invariant S3): it also runs in CI systems, and other people read their logs.

use serde::Serialize;

use crate::metadata::api::user_data_key::UserDataKey;
use crate::scripts::cloud_init::unpack::{self, ItemContent, UnpackedItem, unpack};
use crate::scripts::model::header::{HeaderError, When};
use crate::scripts::model::likely_key;
use crate::scripts::model::script::{Digest, Script, ScriptError, ScriptKind};
use crate::scripts::model::settings::{ScriptSettings, SetupSettings};
use crate::scripts::model::warnings::{self, Warning};
use crate::scripts::model::wrong_form::WrongForm;

/// Replaces free text of a script. Numbers, durations and words from a fixed list are shown.
const NOT_SHOWN: &str = "(not shown)";

/// What the agent would do with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The user data key for which the prediction is made.
    pub key: String,
    /// Likely mistakes in the value or in its name.
    pub warnings: Vec<String>,
    /// The parts of the value, in the order in which they would run.
    pub parts: Vec<PreviewPart>,
}

/// One part of a value, or the complete value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewPart {
    /// Its name in records and logs.
    pub name: String,
    /// What the agent would do with it.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Likely mistakes that do not keep it from running.
    pub warnings: Vec<String>,
}

/// What the agent would do with a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Prediction {
    /// It would run.
    Runs(RunPlan),
    /// It would not run, because it needs cloud-init.
    #[serde(rename = "left-to-cloud-init")]
    NeedsCloudInit {
        /// What it is, by cloud-init's name, such as `#cloud-config`.
        what: &'static str,
    },
    /// It could not run.
    NotRun {
        /// The line with the error, counted from 1, if the error is in one line.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        /// The reason, as a text for a person.
        why: String,
    },
}

/// How a script would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunPlan {
    /// The kind of the script, which its key decides.
    pub kind: ScriptKind,
    /// When it is due, as a text for a person.
    pub due: &'static str,
    /// The program that would run it, if it is a well-known one.
    pub interpreter: Option<String>,
    /// The digest of its content.
    pub digest: Digest,
    /// The settings with which it would run.
    pub settings: Vec<Setting>,
}

/// A setting of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name in the script header.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where the value comes from.
    pub from: SettingSource,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The script header.
    Script,
    /// The configuration file of this machine.
    Configuration,
    /// The default value.
    Default,
}

impl Preview {
    /// The prediction for a value. If `name` is the key of a script or `cloud-init`, it is for that key. Otherwise it is for the key
    /// `cloud-init` if only that key can have this value, or else for the key `setup-script`.
    pub fn of(name: &str, value: &[u8], setup_settings: &SetupSettings) -> Self {
        let key = UserDataKey::new(name).ok();
        let suspect = key.as_ref().and_then(likely_key::intended_key);
        let is_only_for_cloud_init =
            key == Some(UserDataKey::cloud_init()) || unpack::is_only_for_cloud_init(value);
        let script = key.and_then(|key| Some((ScriptKind::of(&key)?, key)));
        let (key, parts) = match script {
            Some((kind, key)) => of_script(kind, key.as_str(), value, setup_settings),
            None if is_only_for_cloud_init => of_cloud_init(value, setup_settings),
            None => of_script(ScriptKind::Setup, "setup-script", value, setup_settings),
        };
        let mut warnings = Vec::new();
        warnings.extend(suspect.map(Warning::Name));
        warnings.extend(warnings::of_value(value));
        Self { key, warnings: texts(&warnings), parts }
    }

    /// Whether all scripts in the value would run.
    pub fn is_good(&self) -> bool {
        self.parts.iter().all(|part| !matches!(part.prediction, Prediction::NotRun { .. }))
    }
}

fn of_script(
    kind: ScriptKind,
    key: &str,
    value: &[u8],
    setup_settings: &SetupSettings,
) -> (String, Vec<PreviewPart>) {
    (key.to_owned(), vec![part(key.to_owned(), kind, false, value, setup_settings)])
}

fn of_cloud_init(value: &[u8], setup_settings: &SetupSettings) -> (String, Vec<PreviewPart>) {
    let key = UserDataKey::cloud_init().to_string();
    let parts = unpack(value).into_iter().map(|UnpackedItem { name, content, .. }| {
        let is_part = name.is_some();
        let name = name.map_or(key.clone(), |name| format!("{key}.{name}"));
        let not_run = |prediction| PreviewPart { name: name.clone(), prediction, warnings: Vec::new() };
        match content {
            ItemContent::Script(kind, body) => part(name, kind, is_part, &body, setup_settings),
            ItemContent::NeedsCloudInit(what) => not_run(Prediction::NeedsCloudInit { what }),
            ItemContent::Unusable(why) => not_run(Prediction::NotRun { line: None, why: why.to_string() }),
        }
    });
    let parts = parts.collect();
    (key, parts)
}

fn part(
    name: String,
    kind: ScriptKind,
    is_part: bool,
    body: &[u8],
    setup_settings: &SetupSettings,
) -> PreviewPart {
    let prediction = prediction(kind, is_part, body, setup_settings);
    let warnings =
        if matches!(prediction, Prediction::Runs(_)) { warnings::of_script(body) } else { Vec::new() };
    PreviewPart { name, prediction, warnings: texts(&warnings) }
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

fn prediction(kind: ScriptKind, is_part: bool, body: &[u8], setup_settings: &SetupSettings) -> Prediction {
    let script = match Script::parse(body) {
        Ok(script) => script,
        Err(why) => return Prediction::NotRun { line: line_of(&why), why: message_of(&why) },
    };
    let script_settings = match ScriptSettings::of(kind, is_part, &script.header, setup_settings) {
        Ok(script_settings) => script_settings,
        Err(why) => return Prediction::NotRun { line: None, why: why.to_string() },
    };
    Prediction::Runs(RunPlan {
        kind,
        due: match (kind, script_settings.when) {
            (ScriptKind::Shutdown, _) => "when the machine goes down",
            (_, When::Once) => "once for an Instance, even if its content changes",
            (_, When::Change) => "once for an Instance, and again when its content changes",
            (_, When::Boot) => "once in every boot",
        },
        interpreter: script.interpreter.well_known(),
        digest: Digest::of(body),
        settings: settings(kind, &script, script_settings, setup_settings),
    })
}

/// The error message without the line number, which is a field of its own.
fn message_of(why: &ScriptError) -> String {
    match why {
        ScriptError::Header(HeaderError { word: Some(word), fault, .. }) => format!("word {word}: {fault}"),
        ScriptError::Header(HeaderError { fault, .. }) => fault.to_string(),
        why => why.to_string(),
    }
}

/// The number of the line with the error, counted from 1.
fn line_of(why: &ScriptError) -> Option<usize> {
    match why {
        ScriptError::Empty => None,
        // In other wrong forms, such as base64, the complete value is wrong and not one of its lines.
        ScriptError::NoInterpreter(form) => {
            matches!(form, WrongForm::Unknown | WrongForm::WhiteSpaceInFront).then_some(1)
        }
        ScriptError::Header(why) => Some(why.line),
        _ => Some(1),
    }
}

fn settings(
    kind: ScriptKind,
    script: &Script<'_>,
    script_settings: ScriptSettings,
    setup_settings: &SetupSettings,
) -> Vec<Setting> {
    let ScriptSettings { timeout, retries, retry_delay, user, when, delete_after_success, environment } =
        script_settings;
    let header = &script.header;
    let script_or_default = |set: bool| if set { SettingSource::Script } else { SettingSource::Default };
    let defaults = SetupSettings::default();
    let source = |set: bool, is_default: bool| {
        if set || is_default { script_or_default(set) } else { SettingSource::Configuration }
    };
    let duration = |length| humantime::format_duration(length).to_string();
    let setting = |name, value, from| Setting { name, value, from };
    let mut settings = vec![
        setting(
            "timeout",
            duration(timeout),
            source(header.timeout.is_some(), defaults.timeout_of(kind) == setup_settings.timeout_of(kind)),
        ),
        setting(
            "when",
            when.as_str().to_owned(),
            source(header.when.is_some(), defaults.when(kind) == setup_settings.when(kind)),
        ),
        setting(
            "user",
            user.map_or("root", |_| NOT_SHOWN).to_owned(),
            script_or_default(header.user.is_some()),
        ),
        setting("retries", retries.to_string(), script_or_default(header.retries.is_some())),
    ];
    if kind == ScriptKind::Shutdown {
        settings.retain(|setting| setting.name != "when");
    }
    if retries > 0 {
        settings.push(setting(
            "retry-delay",
            duration(retry_delay),
            script_or_default(header.retry_delay.is_some()),
        ));
    }
    if delete_after_success {
        settings.push(setting("delete-after-success", "yes".to_owned(), SettingSource::Script));
    }
    settings.extend(environment.iter().map(|_| setting("env", NOT_SHOWN.to_owned(), SettingSource::Script)));
    settings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn predictions(name: &str, value: &[u8]) -> Vec<String> {
        let setup_settings = SetupSettings { timeout: Duration::from_secs(60), ..SetupSettings::default() };
        let preview = Preview::of(name, value, &setup_settings);
        let shown = |part: PreviewPart| match part.prediction {
            Prediction::Runs(plan) => {
                let all = plan.settings.iter().map(|s| format!("{}={} {:?}", s.name, s.value, s.from));
                format!("{}: {}: {}", part.name, plan.due, all.collect::<Vec<_>>().join(", "))
            }
            Prediction::NeedsCloudInit { what } => format!("{}: {what}", part.name),
            Prediction::NotRun { line, why } => format!("{}:{}: {why}", part.name, line.unwrap_or(0)),
        };
        preview.parts.into_iter().map(shown).collect()
    }

    #[test]
    fn prediction_follows_from_name_and_value() {
        let message = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n--x\n\n#include\n--x--\n";
        for (name, value, expected) in [
            (
                "setup-script.web",
                &b"#!/bin/sh\n# scw-setup: retries=2 user=deploy env=A=1 env=B=2\n"[..],
                "setup-script.web: once for an Instance, and again when its content changes: timeout=1m Configuration, when=change Default, user=(not shown) Script, retries=2 Script, retry-delay=10s Default, env=(not shown) Script, env=(not shown) Script",
            ),
            (
                "anything.sh",
                b"#!/bin/sh\n# scw-setup: timeout=5s when=once\n",
                "setup-script: once for an Instance, even if its content changes: timeout=5s Script, when=once Script, user=root Default, retries=0 Default",
            ),
            (
                "startup-script",
                b"#!/bin/sh\n",
                "startup-script: once in every boot: timeout=1m Configuration, when=boot Default, user=root Default, retries=0 Default",
            ),
            ("anything.sh", b"echo\n", "setup-script:1: the script does not start with `#!`"),
            (
                "anything.sh",
                b"#!/bin/sh\n# scw-setup: usr=x\n",
                "setup-script:2: word 1: unknown setting; did you mean `user`?",
            ),
            ("anything.sh", b"#!/bin/sh\0\n", "setup-script:1: the script's first line contains a NUL"),
            ("setup-script", b"#cloud-config\n", "setup-script:1: the script does not start with `#!`"),
            ("x.yaml", b"#cloud-config\n", "cloud-init: #cloud-config"),
            ("x.yaml", b"#CLOUD-CONFIG\n", "cloud-init: #cloud-config"),
            ("cloud-init", b"#!/bin/sh\n", "cloud-init: once for an Instance, and"),
            ("cloud-init", b"IyEvYmluL3NoCmVjaG8K", "cloud-init:0: the value is base64: set it decoded"),
            ("setup-script", b"IyEvYmluL3NoCmVjaG8K", "setup-script:0: the value is base64: set it decoded"),
            (
                "cloud-init",
                b"echo\n",
                "cloud-init:0: the value is neither a script nor a format of cloud-init",
            ),
            (
                "startup-script",
                b"\n#!/bin/sh\n",
                "startup-script:1: the value has white space or an empty line",
            ),
            ("mime", message, "cloud-init.part-001: once for an Instance, and"),
            ("mime", &message[..80], "cloud-init:0: the MIME message was cut off"),
        ] {
            let predicted = predictions(name, value);
            assert!(predicted[0].starts_with(expected), "{name}: {predicted:?}");
        }
        assert_eq!(predictions("mime", message)[1], "cloud-init.part-002: #include");
        assert_eq!(predictions("cloud-init", b""), Vec::<String>::new());
    }

    #[test]
    fn json_has_each_part_with_its_fate() {
        let preview = Preview::of("x", b"#!/bin/sh\n# scw-setup: when=never\n", &SetupSettings::default());
        let json = serde_json::to_value(&preview).expect("json");
        assert_eq!((&json["key"], &json["parts"][0]["fate"]), (&"setup-script".into(), &"not-run".into()));
        assert_eq!(json["parts"][0]["line"], 2);
        assert!(!preview.is_good());
    }

    #[test]
    fn s5_likely_mistakes_are_warnings_and_the_script_runs() {
        let preview = Preview::of("setup_script", b"#!/bin/sh\necho\r\n", &SetupSettings::default());
        assert!(preview.is_good());
        let json = serde_json::to_value(&preview).expect("json");
        let warning = json["warnings"][0].as_str().expect("text");
        assert!(warning.ends_with("did you mean `setup-script`?"), "{json}");
        assert_eq!(json["parts"][0]["warnings"][0], "line 2 of the script ends with CRLF (Windows)");
        let message = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n\n# scw-setup: user=x\n--x--\n";
        let preview = Preview::of("user-data", message, &SetupSettings::default());
        let is_warned = preview.parts[0].warnings[0].starts_with("line 3 of the script: a setting here");
        assert!(preview.warnings.len() == 1 && is_warned, "{preview:?}");
    }
}
