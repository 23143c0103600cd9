//! Whether cloud-init is active on this machine, and its progress in this boot. Both are read from cloud-init's files.
//!
//! If cloud-init is active, the agent never uses the user data key `cloud-init`. In doubt, the key belongs to cloud-init. The error
//! messages in cloud-init's files are not copied, because they may quote user data (invariant S3).

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::util::files;
use crate::util::printable;

/// The size limit of the status file. The real file is smaller.
const MAX_STATUS_BYTES: u64 = 1024 * 1024;

/// The progress of cloud-init in this boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CloudInit {
    /// It does not run in this boot.
    #[default]
    NotActive,
    /// It will start.
    Waiting,
    /// It is running.
    Running {
        /// Its present stage, such as `modules-final`.
        stage: Option<String>,
    },
    /// It has finished.
    Done {
        /// The stages that report an error, with the module that failed if it is known: `modules-final: scripts_user`.
        failed: Vec<String>,
    },
    /// Its status file cannot be read.
    Unknown {
        /// The reason, for a person.
        why: String,
    },
}

/// The progress of cloud-init in this boot, on the machine whose files are below `root`.
///
/// cloud-init runs in this boot if its generator enabled it or if it has started. A package that was installed during this boot
/// starts at the next boot.
pub(crate) fn progress(root: &Path) -> CloudInit {
    let folder = root.join("run/cloud-init");
    let exists = |name: &str| fs::metadata(folder.join(name)).is_ok();
    let status = match files::read_bounded(&folder.join("status.json"), MAX_STATUS_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if exists("enabled") => return CloudInit::Waiting,
        Ok(None) => return CloudInit::NotActive,
        Err(why) => return CloudInit::Unknown { why: why.to_string() },
    };
    match serde_json::from_slice::<StatusFile>(&status) {
        // cloud-init writes its result when it has finished.
        Ok(document) if exists("result.json") => document.v1.result(),
        Ok(document) => CloudInit::Running { stage: document.v1.stage.as_deref().and_then(plain_name) },
        Err(why) => CloudInit::Unknown { why: printable::json_fault(&why) },
    }
}

/// The status file (cloud-init's `cmd/main.py`, `status_wrapper`).
#[derive(Deserialize)]
struct StatusFile {
    v1: Stages,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stages {
    /// The stage that runs now.
    stage: Option<String>,
    init_local: Option<Stage>,
    init: Option<Stage>,
    modules_init: Option<Stage>,
    modules_config: Option<Stage>,
    modules_final: Option<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    #[serde(default)]
    errors: Vec<String>,
}

impl Stages {
    /// The result after cloud-init has finished.
    fn result(&self) -> CloudInit {
        let stages = [
            ("init-local", &self.init_local),
            ("init", &self.init),
            ("modules-init", &self.modules_init),
            ("modules-config", &self.modules_config),
            ("modules-final", &self.modules_final),
        ];
        if stages.iter().all(|(_, stage)| stage.is_none()) {
            return CloudInit::Unknown { why: "it has no stages".to_owned() };
        }
        let mut failed = Vec::new();
        for (name, stage) in stages {
            for error in stage.iter().flat_map(|stage| &stage.errors) {
                let module = failed_module(error).map(|module| format!(": {module}"));
                let what = name.to_owned() + &module.unwrap_or_default();
                if !failed.contains(&what) {
                    failed.push(what);
                }
            }
        }
        CloudInit::Done { failed }
    }
}

/// The module in an error such as `('scripts_user', RuntimeError('…'))`. The rest of the error is ignored.
fn failed_module(error: &str) -> Option<String> {
    let (module, _) = error.strip_prefix("('")?.split_once('\'')?;
    plain_name(module)
}

/// The text, if it can be the name of a stage or module.
fn plain_name(text: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    (!text.is_empty() && text.len() <= 40 && text.chars().all(is_allowed)).then(|| text.to_owned())
}

/// Whether cloud-init is active on the machine whose files are below `root`.
///
/// The result of cloud-init's own generator in this boot comes first. Without one, cloud-init is active if it is installed and not
/// disabled; the checks have the same order as in the generator (cloud-init's `tools/cloud-init-generator`).
pub(crate) fn is_active(root: &Path) -> bool {
    let exists = |path: &str| fs::symlink_metadata(root.join(path)).is_ok();
    if exists("run/cloud-init/enabled") {
        return true;
    }
    if exists("run/cloud-init/disabled") || !exists("usr/bin/cloud-init") {
        return false;
    }
    match enabled_on_command_line(root) {
        Some(enabled) => enabled,
        None => !exists("etc/cloud/cloud-init.disabled"),
    }
}

/// Whether the kernel command line enables or disables cloud-init. The last such word decides.
fn enabled_on_command_line(root: &Path) -> Option<bool> {
    let line = files::read_bounded(&root.join("proc/cmdline"), 64 * 1024).ok().flatten()?;
    let line = String::from_utf8_lossy(&line);
    line.split_whitespace()
        .filter_map(|word| match word.strip_prefix("cloud-init=")? {
            "enabled" => Some(true),
            "disabled" => Some(false),
            _ => None,
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    fn root() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("scw-agent-ci-{:x}", random::generator().u64(..)))
    }

    #[test]
    fn s2_cloud_init_progress_table() {
        let status = |stage: &str, errors: &str| {
            format!(
                r#"{{"v1": {{"datasource": null, "init": {{"errors": [], "finished": 2.0, "start": 1.0}},
                   "modules-final": {{"errors": {errors}, "finished": null, "start": 3.0}}, "stage": {stage}}}}}"#
            )
        };
        let running = |stage: Option<&str>| CloudInit::Running { stage: stage.map(str::to_owned) };
        let failed = |what: &[&str]| CloudInit::Done { failed: what.iter().map(|&w| w.to_owned()).collect() };
        let at_final = status("\"modules-final\"", "[]");
        let script = r#"["('scripts_user', RuntimeError('hunter2'))", "('scripts_user', X('y'))"]"#;
        for (enabled, status, result, expected) in [
            (false, None, false, CloudInit::NotActive),
            (true, None, false, CloudInit::Waiting),
            (true, Some(at_final.clone()), false, running(Some("modules-final"))),
            (false, Some(at_final), false, running(Some("modules-final"))),
            (true, Some(status("null", "[]")), false, running(None)),
            (true, Some(status("null", "[]")), true, failed(&[])),
            (true, Some(status("null", script)), true, failed(&["modules-final: scripts_user"])),
            (true, Some(status("null", r#"["hunter2"]"#)), true, failed(&["modules-final"])),
            (true, Some(status("null", r#"["('hunter 2')"]"#)), true, failed(&["modules-final"])),
        ] {
            let root = root();
            let folder = root.join("run/cloud-init");
            fs::create_dir_all(&folder).expect("made");
            let put = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
            enabled.then(|| put("enabled", ""));
            result.then(|| put("result.json", "{}"));
            status.iter().for_each(|status| put("status.json", status));
            assert_eq!(progress(&root), expected, "{status:?}");
            for broken in ["", "{", "[]", r#"{"v2": {}}"#, r#"{"v1": {"init": {"errors": "boom"}}}"#] {
                put("status.json", broken);
                assert!(matches!(progress(&root), CloudInit::Unknown { .. }), "{broken}");
            }
            fs::remove_dir_all(root).expect("removed");
        }
    }

    #[test]
    fn cloud_init_activity_table() {
        const PROGRAM: &str = "usr/bin/cloud-init";
        const DISABLED: &str = "etc/cloud/cloud-init.disabled";
        for (existing, command_line, active) in [
            (&[][..], "", false),
            (&["run/cloud-init/disabled"], "", false),
            (&["run/cloud-init/enabled"], "", true),
            (&["run/cloud-init/enabled", DISABLED], "cloud-init=disabled", true),
            (&["run/cloud-init/disabled", PROGRAM], "", false),
            (&[DISABLED], "cloud-init=enabled", false),
            (&[PROGRAM], "", true),
            (&[PROGRAM, DISABLED], "", false),
            (&[PROGRAM], "quiet cloud-init=disabled", false),
            (&[PROGRAM], "not-cloud-init=disabled", true),
            (&[PROGRAM], "cloud-init=sometimes", true),
            (&[PROGRAM, DISABLED], "cloud-init=enabled quiet", true),
        ] {
            let root = root();
            for file in existing.iter().copied().chain(["proc/cmdline"]) {
                let path = root.join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, command_line).expect("written");
            }
            assert_eq!(is_active(&root), active, "{existing:?}, {command_line:?}");
            fs::remove_dir_all(root).expect("removed");
        }
    }
}
