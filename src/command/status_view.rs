//! Prints the status document for people. Pure.

use std::time::Duration;

use crate::command::rows::{RowMark, Rows};
use crate::host_keys::sshd::server::SshServer;
use crate::scripts::history::running::RunningScript;
use crate::scripts::model::likely_key::suspect_key_hint;
use crate::status::document::{HostKey, Status};
use crate::status::states::{Fingerprints, Platform, Reachability};
use crate::system::cloud_init::CloudInit;

/// The text for a machine without an OpenSSH server. This is a normal state.
pub(crate) const NO_SERVER: &str = "no OpenSSH server is enabled; fingerprints are not published";

/// The complete view.
pub(crate) fn rows(status: &Status, colours: bool) -> Rows {
    let mut view = View(Rows::new(colours));
    if let Platform::NotAnInstance { why } = &status.platform {
        view.row(RowMark::Waiting, "platform", &format!("{why}; no requests are sent, no script runs"));
    } else {
        view.instance(status);
        view.metadata(&status.metadata);
        view.fingerprints(status);
    }
    for key in &status.host_keys {
        view.host_key(key);
    }
    if status.platform == Platform::Instance {
        view.scripts(status);
        view.cloud_init(&status.cloud_init);
        for key in &status.suspect_keys {
            view.row(RowMark::Waiting, "user data", &suspect_key_hint(key));
        }
    }
    for problem in &status.problems {
        view.row(RowMark::Bad, "problem", &problem.what);
        view.0.below(&problem.remedy);
    }
    view.0
}

/// The text for a published value that could not be checked now.
pub(crate) fn not_checked(age_ms: u64, why: &str) -> String {
    let age = humantime::format_duration(Duration::from_secs(age_ms / 1000));
    format!("published {age} ago, not checked since: {why}")
}

struct View(Rows);

impl View {
    fn row(&mut self, mark: RowMark, name: &str, what: &str) {
        self.0.row(mark, name, what);
    }

    fn instance(&mut self, status: &Status) {
        let Some(instance) = &status.instance else {
            return self.row(RowMark::Waiting, "Instance", "not known yet");
        };
        let parts = [&instance.name, &instance.zone, &instance.commercial_type];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        self.row(RowMark::Good, "Instance", &format!("{} {}", instance.id, parts.join(", ")));
    }

    fn metadata(&mut self, reach: &Reachability) {
        match reach {
            Reachability::Unknown => self.row(RowMark::Waiting, "metadata", "not asked yet"),
            Reachability::Reachable { family, since } => {
                let over = family.map(|family| format!(" over {family}")).unwrap_or_default();
                self.row(RowMark::Good, "metadata", &format!("answers{over}, since {since}"));
            }
            Reachability::Unreachable { since, .. } => {
                self.row(RowMark::Bad, "metadata", &format!("unreachable since {since}"))
            }
        }
    }

    fn fingerprints(&mut self, status: &Status) {
        let (mark, what) = match &status.fingerprints {
            Fingerprints::Waiting if status.ssh_server == SshServer::NotEnabled => {
                (RowMark::Waiting, NO_SERVER.to_owned())
            }
            Fingerprints::Waiting => (RowMark::Waiting, "not yet published".to_owned()),
            Fingerprints::NoKeys => (RowMark::Bad, "no host keys to publish".to_owned()),
            Fingerprints::Published { checked } => {
                (RowMark::Good, format!("published, last checked {checked}"))
            }
            Fingerprints::NotChecked { age_ms, why, .. } => (RowMark::Waiting, not_checked(*age_ms, why)),
            Fingerprints::Failed { since, .. } => {
                (RowMark::Bad, format!("not published; failing since {since}"))
            }
        };
        self.row(mark, "fingerprints", &what);
    }

    fn host_key(&mut self, key: &HostKey) {
        match (&key.type_name, key.bits, &key.fingerprint) {
            (Some(type_name), Some(bits), Some(fingerprint)) => {
                let not = if key.served { "" } else { ", which sshd does not serve" };
                self.row(RowMark::Good, "host key", &format!("{bits} {fingerprint} ({type_name}){not}"));
            }
            _ => self.row(RowMark::Bad, "host key", &key.file),
        }
    }

    fn scripts(&mut self, status: &Status) {
        if let Some(running) = &status.running {
            let RunningScript { key, started, attempt, .. } = running;
            self.row(
                RowMark::Waiting,
                "script",
                &format!("{key}: running since {started} (attempt {attempt})"),
            );
        }
        let Some(setup) = &status.setup else {
            return match status.has_scripts {
                _ if status.running.is_some() => {}
                Some(false) => self.row(RowMark::Good, "scripts", "none in user data"),
                Some(true) => self.row(RowMark::Waiting, "scripts", "this boot's scripts have not run yet"),
                None => self.row(RowMark::Waiting, "scripts", "user data not known yet"),
            };
        };
        if setup.scripts.is_empty() && setup.skipped.is_empty() {
            self.row(RowMark::Good, "scripts", "none in user data");
        }
        for script in &setup.scripts {
            let mark = if script.outcome.is_success() { RowMark::Good } else { RowMark::Bad };
            let when = match (script.ran_now, script.started) {
                (true, _) => " in this boot".to_owned(),
                (false, Some(started)) => format!(" at {started}"),
                (false, None) => String::new(),
            };
            self.row(mark, "script", &format!("{}: {}{when}", script.key, script.outcome));
        }
        for skipped in &setup.skipped {
            self.row(
                RowMark::Waiting,
                "script",
                &format!("{}: {}: not run: {}", skipped.key, skipped.what, skipped.why()),
            );
        }
    }

    fn cloud_init(&mut self, state: &CloudInit) {
        let (mark, what) = match state {
            CloudInit::NotActive => return,
            CloudInit::Waiting => (RowMark::Waiting, "not started yet".to_owned()),
            CloudInit::Running { stage } => {
                let stage = stage.iter().map(|stage| format!(": {stage}")).collect::<String>();
                (RowMark::Waiting, format!("running{stage}"))
            }
            CloudInit::Done { failed } if failed.is_empty() => (RowMark::Good, "done".to_owned()),
            CloudInit::Done { failed } => (RowMark::Bad, format!("failed at {}", failed.join(", "))),
            CloudInit::Unknown { .. } => (RowMark::Bad, "its state cannot be read".to_owned()),
        };
        self.row(mark, "cloud-init", &what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::time::Moment;

    #[test]
    fn status_has_marks_and_colours_where_wanted() {
        let status = Status { fingerprints: Fingerprints::NoKeys, ..Status::unknown() }.with_problems();
        let text = |status: &Status, colours| rows(status, colours).text().to_owned();
        let plain = text(&status, false);
        assert!(
            plain.contains("… Instance")
                && plain.contains("✗ fingerprints")
                && plain.contains("host-keys ensure"),
            "{plain}"
        );
        assert!(!plain.contains('\x1b'));
        assert!(text(&status, true).contains("\x1b[31m✗\x1b[0m fingerprints"));
    }

    #[test]
    fn s5_suspect_key_is_a_row_and_no_problem() {
        let status =
            Status { suspect_keys: vec!["setup_script".to_owned()], ..Status::unknown() }.with_problems();
        let text = rows(&status, false).text().to_owned();
        assert!(
            text.contains(
                "… user data     setup_script: not the key of a script; did you mean `setup-script`?"
            ),
            "{text}"
        );
        assert_eq!(status.problems, []);
    }

    #[test]
    fn text_from_outside_cannot_control_the_terminal() {
        let why = "evil \x1b]0;title\x07\u{202e}\u{2028}\u{9b}".to_owned();
        let metadata = Reachability::Unreachable { since: Moment::now(), why };
        let plain = rows(&Status { metadata, ..Status::unknown() }.with_problems(), false);
        let plain = plain.text();
        assert!(!plain.contains(['\x1b', '\x07', '\u{202e}', '\u{2028}', '\u{9b}']), "{plain:?}");
        assert!(plain.contains("evil \\u{1b}]0;title\\u{7}\\u{202e}"), "{plain:?}");
    }
}
