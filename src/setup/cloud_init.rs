//! Whether cloud-init works on this machine: where it does, the user data key of its name is never touched.
//!
//! When in doubt, the key is cloud-init's.

use std::fs;
use std::path::Path;

use crate::files;

/// Whether cloud-init is active on the machine whose files are below `root`.
///
/// What its own generator found at this boot counts first; then whether it is there at all, and whether somebody disabled it, in the order
/// in which the generator looks (cloud-init's `tools/cloud-init-generator`).
pub(super) fn is_active(root: &Path) -> bool {
    let there = |path: &str| fs::symlink_metadata(root.join(path)).is_ok();
    if there("run/cloud-init/enabled") {
        return true;
    }
    if there("run/cloud-init/disabled") || !there("usr/bin/cloud-init") {
        return false;
    }
    match of_command_line(root) {
        Some(active) => active,
        None => !there("etc/cloud/cloud-init.disabled"),
    }
}

/// What the kernel's command line says of it; the last word counts.
fn of_command_line(root: &Path) -> Option<bool> {
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
    use crate::random;

    #[test]
    fn the_table_of_signs_by_which_cloud_init_is_known_to_be_active() {
        const PROGRAM: &str = "usr/bin/cloud-init";
        const DISABLED: &str = "etc/cloud/cloud-init.disabled";
        for (there, command_line, active) in [
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
            let root = std::env::temp_dir().join(format!("scw-agent-ci-{:x}", random::generator().u64(..)));
            for file in there.iter().copied().chain(["proc/cmdline"]) {
                let path = root.join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, command_line).expect("written");
            }
            assert_eq!(is_active(&root), active, "{there:?}, {command_line:?}");
            fs::remove_dir_all(root).expect("removed");
        }
    }
}
